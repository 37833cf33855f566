"""Laws of alerts: told once, told at all, told together, and not in vain."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.core import alerts
from crypto_platform.core.alerts import (
    LINES,
    LONGEST_PAUSE,
    REMINDER,
    Alert,
    Episode,
    Evaluation,
    Kind,
    Verdict,
    compose,
    is_due,
    judge,
    one_line,
)

START = datetime(2026, 3, 4, 12, tzinfo=UTC)
NAMES = ("BTC", "ETH", "ADA")
MINUTE = timedelta(minutes=1)


def seen(
    at: datetime, *failing: str, only: tuple[str, ...] | None = None, about: str = "ohlcv_data:candles_are_fresh"
) -> Evaluation:
    scope = None if only is None else frozenset(only)
    return Evaluation(Kind.CHECK, about, at, dict.fromkeys(failing, "3 hours old"), "/assets/ohlcv_data", scope)


def event(number: int, about: str = "hourly_job", kind: Kind = Kind.RUN) -> Alert:
    return Alert(f"{kind}/{about}/{number}", kind, about, None, f"number {number}", "/runs/1", START + number * MINUTE)


class Memory:
    """What a store keeps of verdicts: alerts by key, each condition's newest as an episode."""

    def __init__(self) -> None:
        self.raised: dict[str, Alert] = {}
        self.cleared: dict[str, datetime] = {}

    def tell(self, *evaluations: Evaluation) -> Verdict:
        verdict = judge(evaluations, self.episodes())
        for alert in verdict.raised:
            assert alert.key not in self.raised
            self.raised[alert.key] = alert
        for subject, at in verdict.cleared:
            for alert in self.raised.values():
                if alert.subject == subject and alert.raised_at < at:
                    self.cleared.setdefault(alert.key, at)
        return verdict

    def episodes(self) -> dict[str, Episode]:
        ordered = sorted(self.raised.values(), key=lambda alert: alert.raised_at)
        return {str(a.subject): Episode(a.raised_at, self.cleared.get(a.key)) for a in ordered}


EVALUATIONS = st.lists(
    st.tuples(
        st.integers(0, 60), st.sets(st.sampled_from(NAMES)), st.none() | st.sets(st.sampled_from(NAMES), min_size=1)
    ),
    unique_by=lambda drawn: drawn[0],
    max_size=25,
).map(
    lambda drawn: [
        seen(
            START + hour * timedelta(hours=1),
            *sorted(failing if only is None else failing & only),
            only=only and tuple(only),
        )
        for hour, failing, only in sorted(drawn, key=lambda entry: entry[0])
    ]
)


def told(evaluations: list[Evaluation]) -> set[tuple[str, datetime]]:
    """What should be told, hour by hour for each name alone."""
    expected = set()
    for name in NAMES:
        since: datetime | None = None  # of the newest alert, while the condition lasts
        for one in evaluations:
            if one.only is not None and name not in one.only:
                continue
            if name not in one.failing:
                since = None
            elif since is None or one.at - since >= REMINDER:
                since = one.at
                expected.add((name, one.at))
    return expected


@given(EVALUATIONS, st.data())
def test_a_condition_is_told_when_it_begins_and_once_a_day_while_it_lasts(
    evaluations: list[Evaluation], data: st.DataObject
) -> None:
    """However the evaluations are parted into ticks: nothing twice, nothing lost."""
    memory = Memory()
    rest = evaluations
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        memory.tell(*data.draw(st.permutations(rest[:size])))
        rest = rest[size:]
    assert {(str(a.symbol), a.raised_at) for a in memory.raised.values()} == told(evaluations)


@given(EVALUATIONS, st.integers(0, 25))
def test_what_was_judged_before_changes_nothing(evaluations: list[Evaluation], again: int) -> None:
    """A lost cursor reads the last day again."""
    memory = Memory()
    for one in evaluations:
        memory.tell(one)
    before = memory.episodes()
    assert judge(evaluations[-again:], before).raised == ()
    memory.tell(*evaluations[-again:])
    assert memory.episodes() == before


def test_two_checks_of_a_symbol_are_two_conditions() -> None:
    verdict = judge([seen(START, "BTC"), seen(START, "BTC", about="ohlcv_data:sources_agree")], {})
    assert len({alert.subject for alert in verdict.raised}) == 2
    held = seen(START + MINUTE)
    assert judge([held], {str(a.subject): Episode(START) for a in verdict.raised}).cleared == (
        (verdict.raised[0].subject, START + MINUTE),
    )


def test_a_run_over_some_symbols_says_nothing_of_the_others() -> None:
    memory = Memory()
    memory.tell(seen(START, "BTC", "ETH"))
    assert [subject.rpartition("/")[2] for subject, _ in memory.tell(seen(START + MINUTE, only=("ETH",))).cleared] == [
        "ETH"
    ]
    assert [a.symbol for a in memory.tell(seen(START + 2 * MINUTE, "BTC", "ETH")).raised] == ["ETH"]


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from("abc"), st.sampled_from(list(Kind))), min_size=1, unique=True
    )
)
def test_a_message_counts_everything_and_spells_out_some_of_each_thing(drawn: list[tuple[int, str, Kind]]) -> None:
    given_alerts = [event(number, about, kind) for number, about, kind in drawn]
    message = compose(given_alerts, sent_at=START, ui_url="http://ui/")
    assert [section.kind for section in message.sections] == [
        kind for kind in Kind if any(a.kind is kind for a in given_alerts)
    ]
    for section in message.sections:
        mine = [alert for alert in given_alerts if alert.kind is section.kind]
        assert section.count == len(mine)
        assert len(section.alerts) == min(len(mine), LINES)
        assert set(section.alerts) <= set(mine)
        assert {alert.about for alert in section.alerts} == {alert.about for alert in mine}
    shown = [alert for section in message.sections for alert in section.alerts]
    assert all(alert.summary in message.text and "http://ui/runs/1" in message.text for alert in shown)
    assert ("more" in message.text) == any(section.count > LINES for section in message.sections)
    assert "\n" not in message.title
    again = compose(given_alerts[::-1], sent_at=START + MINUTE, ui_url="")
    assert (again.id, again.sections) == (message.id, message.sections)


def test_the_text_of_a_message() -> None:
    told = [event(0), judge([seen(START, "BTC")], {}).raised[0]]
    message = compose(told, sent_at=START, ui_url="https://ui.example", label="SIMULATED")
    assert message.title == "[SIMULATED] crypto_platform: failed runs 1, failed checks 1"
    assert message.text == (
        "Failed runs (1)\n"
        "- 2026-03-04 12:00 UTC hourly_job: number 0\n"
        "  https://ui.example/runs/1\n"
        "\n"
        "Failed checks (1)\n"
        "- 2026-03-04 12:00 UTC ohlcv_data:candles_are_fresh: BTC: 3 hours old\n"
        "  https://ui.example/assets/ohlcv_data"
    )


def test_every_kind_has_a_title() -> None:
    assert set(alerts.TITLES) == set(Kind)


@given(st.text())
def test_a_line_is_one_line_of_bounded_length(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert len(line) <= alerts.LONGEST_SUMMARY
    assert one_line(line) == line


@given(st.integers(1, 10_000), st.integers(0, 7_200))
def test_a_dead_target_is_tried_ever_less_but_within_the_hour(attempts: int, seconds: int) -> None:
    now = START + timedelta(seconds=seconds)
    assert is_due(attempts, START, now) or not is_due(attempts + 1, START, now)
    assert is_due(attempts, START, START + LONGEST_PAUSE)
    assert not is_due(attempts, START, START + timedelta(seconds=59))
    assert is_due(0, None, now)
