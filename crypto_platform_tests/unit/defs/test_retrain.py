"""The retrain sensor: a failed decision check leads to one training of its symbol, whatever happens around it."""

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import DagsterEvent, DagsterEventType
from sqlalchemy import select

from crypto_platform import settings as configuration
from crypto_platform.core.timetable import RETRAIN_SENSOR
from crypto_platform.definitions import build_defs
from crypto_platform.defs import history as reading
from crypto_platform.defs import retrain
from crypto_platform.defs.checks import decision_keys
from crypto_platform.defs.partitions import covered, range_tags
from crypto_platform.defs.resources import Platform, SimulatedClock
from crypto_platform.storage import warehouse
from crypto_platform.tables import model_versions, retrain_decisions

SYMBOLS = ("BTC", "ETH", "ADA", "SOL", "DOT")
NOON = datetime.now(UTC)  # runs are stamped by the instance's clock
ACCURACY, DRIFT, FRESH = decision_keys()
SENSOR = {"dagster/sensor_name": RETRAIN_SENSOR}


@dataclass
class History:
    """An instance's check history, written as runs write it, the sensor that reads it, and the daemon around it."""

    instance: dg.DagsterInstance
    repository: dg.RepositoryDefinition
    platform: Platform
    cursor: str | None = None
    skipped: str | None = None
    now: datetime = NOON

    def plan(self, run: str, *checks: str, symbols: Sequence[str] = SYMBOLS) -> None:
        """A run over the symbols begins: every evaluation it will make gets its number."""
        subset = dg.StaticPartitionsDefinition(list(SYMBOLS)).subset_with_partition_keys(symbols)
        for check in checks:
            key = decision_keys()[check]
            planned = AssetCheckEvaluationPlanned(
                asset_key=key.asset_key, check_name=key.name, partitions_subset=subset
            )
            self._report(run, DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, planned, NOON)

    def evaluate(self, run: str, check: str, symbol: str, *, passed: bool, at: datetime = NOON, **said: bool) -> None:
        key = decision_keys()[check]
        metadata = {name: dg.MetadataValue.bool(value) for name, value in said.items()}
        evaluation = dg.AssetCheckEvaluation(
            asset_key=key.asset_key, check_name=key.name, passed=passed, metadata=metadata, partition=symbol
        )
        self._report(run, DagsterEventType.ASSET_CHECK_EVALUATION, evaluation, at)

    def fail(self, *symbols: str, check: str = ACCURACY, at: datetime = NOON) -> None:
        """A run in which a check of some symbols fails."""
        run = str(uuid.uuid4())
        self.plan(run, check, symbols=symbols)
        for symbol in symbols:
            self.evaluate(run, check, symbol, passed=False, at=at)

    def _report(self, run: str, kind: DagsterEventType, data: object, at: datetime) -> None:
        event = DagsterEvent(kind.value, "retrain_decision_job", event_specific_data=data)
        self.instance.report_dagster_event(event, run, timestamp=at.timestamp())

    def tick(self) -> list[dg.RunRequest]:
        self.platform.clock = SimulatedClock(self.now)
        context = dg.build_sensor_context(
            self.instance, cursor=self.cursor, repository_def=self.repository, resources={"platform": self.platform}
        )
        data = self.repository.get_sensor_def(RETRAIN_SENSOR).evaluate_tick(context)
        self.cursor, self.skipped = data.cursor, data.skip_message
        return list(data.run_requests or ())

    def launch(self, requests: Sequence[dg.RunRequest], status: str = "SUCCESS") -> None:
        """What the daemon makes of requests: a run each, unless there is one of its key."""
        for request in requests:
            tags = {**request.tags, **SENSOR, "dagster/run_key": str(request.run_key)}
            if not self.instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": str(request.run_key)})):
                self.run(status, tags)

    def end(self, run_id: str, *, begun: bool = True) -> None:
        """A run fails, after its first step or before it."""
        if begun:
            self.instance.report_dagster_event(DagsterEvent("PIPELINE_START", "train_job"), run_id)
        self.instance.report_run_failed(self.instance.get_run_by_id(run_id))

    def run(self, status: str, tags: dict[str, str], **config: bool) -> str:
        """A training in the run storage."""
        held = {"ops": {"models": {"config": config}}}
        run = dg.DagsterRun(
            "train_job", str(uuid.uuid4()), status=dg.DagsterRunStatus(status), tags=tags, run_config=held
        )
        return self.instance.add_run(run).run_id

    def trained(self) -> Counter[str]:
        """How many launched runs each symbol had."""
        runs = self.instance.get_runs(dg.RunsFilter(job_name="train_job"))
        launched = [run for run in runs if run.status is not dg.DagsterRunStatus.NOT_STARTED]
        return Counter(symbol for run in launched for symbol in covered(run.tags, SYMBOLS))


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return build_defs(configuration.load(symbols=SYMBOLS)).get_repository_def()


@pytest.fixture
def history(repository: dg.RepositoryDefinition, tmp_path: Path) -> Iterator[History]:
    platform = Platform(configuration.load(home=tmp_path, symbols=SYMBOLS))
    with dg.DagsterInstance.ephemeral() as instance:
        yield History(instance, repository, platform)
    platform.close()


def asked(requests: Sequence[dg.RunRequest]) -> list[list[str]]:
    """Symbols of each request."""
    return [covered(request.tags, SYMBOLS) for request in requests]


def test_no_failure_no_run(history: History) -> None:
    history.plan("a", ACCURACY)
    for symbol in SYMBOLS:
        history.evaluate("a", ACCURACY, symbol, passed=True)
    assert history.tick() == []


def test_neighbors_are_trained_in_one_run_with_the_checks_that_failed_among_them(history: History) -> None:
    history.plan("a", ACCURACY, DRIFT)
    for check, symbol in ((DRIFT, "ETH"), (ACCURACY, "BTC"), (DRIFT, "BTC"), (ACCURACY, "SOL")):
        history.evaluate("a", check, symbol, passed=False)
    requests = history.tick()
    assert asked(requests) == [["BTC", "ETH"], ["SOL"]]
    reasons = [f"checks failed in BTC...ETH: {ACCURACY}, {DRIFT}", f"checks failed in SOL: {ACCURACY}"]
    assert [request.run_config for request in requests] == [
        {"ops": {"models": {"config": {"reason": reason}}}} for reason in reasons
    ]


def test_all_symbols_are_one_run(history: History) -> None:
    history.fail(*SYMBOLS)
    assert asked(history.tick()) == [list(SYMBOLS)]


def test_what_is_beyond_a_tick_s_runs_waits_for_the_next_and_is_not_lost(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it asked twice, nor hidden by failures that come later."""
    monkeypatch.setattr(retrain, "RUNS_A_TICK", 1)
    history.fail("DOT", at=NOON - timedelta(hours=2))
    history.fail("ADA", "BTC", at=NOON - timedelta(hours=1))
    found = []
    for _ in range(4):
        requests = history.tick()
        found.append(asked(requests))
        history.launch(requests)
        history.now += timedelta(minutes=1)
    assert found == [[["BTC"]], [["ADA"]], [["DOT"]], []]
    assert history.trained() == dict.fromkeys(("BTC", "ADA", "DOT"), 1)


def test_a_failure_is_answered_once(history: History) -> None:
    history.fail("ETH", check=FRESH)
    requests = history.tick()
    assert asked(requests) == [["ETH"]]
    history.launch(requests)
    assert history.tick() == []
    assert history.tick() == []


def test_a_pass_or_a_plan_before_the_tick_does_not_hide_a_failure(history: History) -> None:
    history.plan("a", ACCURACY)
    history.evaluate("a", ACCURACY, "BTC", passed=False)
    history.plan("b", ACCURACY)
    history.evaluate("b", ACCURACY, "BTC", passed=True, at=NOON + timedelta(minutes=1))
    history.plan("c", ACCURACY)
    assert asked(history.tick()) == [["BTC"]]


def test_a_tick_in_the_middle_of_a_run_misses_none_of_the_rest(history: History) -> None:
    """Evaluations are numbered when planned: one made later may have a lower number."""
    history.plan("a", ACCURACY, DRIFT, FRESH)
    history.evaluate("a", FRESH, "BTC", passed=False)
    history.launch(history.tick())
    assert history.trained() == {"BTC": 1}
    history.evaluate("a", ACCURACY, "ETH", passed=False, at=NOON + timedelta(milliseconds=5))
    assert asked(history.tick()) == [["ETH"]]


def test_runs_side_by_side_hide_nothing_of_each_other(history: History) -> None:
    """A run planned first and stamped first may store its evaluation last."""
    history.plan("a", DRIFT, symbols=("BTC", "ETH"))
    history.plan("b", DRIFT, symbols=("ADA",))
    history.evaluate("b", DRIFT, "ADA", passed=False, at=NOON + timedelta(seconds=1))
    history.launch(history.tick())
    assert history.trained() == {"ADA": 1}
    history.evaluate("a", DRIFT, "BTC", passed=False, at=NOON)
    assert asked(history.tick()) == [["BTC"]]


@pytest.mark.parametrize(("hours", "expected"), [(6, []), (23, []), (25, [["BTC"]])])
def test_a_second_failure_is_answered_once_the_cooldown_is_over(
    history: History, hours: int, expected: list[list[str]]
) -> None:
    """Also where the first training left no model whose age could hold it back."""
    history.fail("BTC")
    history.launch(history.tick(), "STARTED")
    (run,) = history.instance.get_runs()
    history.end(run.run_id)
    history.now = NOON + timedelta(hours=hours)
    history.fail("BTC", at=history.now)
    assert asked(history.tick()) == expected


def test_the_cooldown_is_that_of_the_settings(history: History) -> None:
    history.platform.settings = history.platform.settings.model_copy(update={"cooldown_hours": 2.0})
    found = []
    for hours in (0, 1, 3):
        history.now = NOON + timedelta(hours=hours)
        history.fail("BTC", at=history.now)
        requests = history.tick()
        history.launch(requests)
        found.append(len(requests))
    assert found == [1, 0, 1]


def test_the_history_is_read_beyond_one_page(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "HISTORY_PAGE", 2)
    history.fail(*SYMBOLS)
    assert asked(history.tick()) == [list(SYMBOLS)]


def test_symbols_no_longer_followed_are_left_alone(history: History) -> None:
    history.run("SUCCESS", SENSOR | range_tags(["BTC", "DOGE"]))
    key = decision_keys()[ACCURACY]
    evaluation = dg.AssetCheckEvaluation(
        asset_key=key.asset_key, check_name=key.name, passed=False, metadata={}, partition="DOGE"
    )
    history._report("a", DagsterEventType.ASSET_CHECK_EVALUATION, evaluation, NOON)
    assert history.tick() == []
    history.fail("BTC")
    assert asked(history.tick()) == [["BTC"]]


def test_a_failure_that_waits_for_its_cooldown_starts_nothing(history: History) -> None:
    history.plan("a", ACCURACY, FRESH)
    history.evaluate("a", ACCURACY, "BTC", passed=False, retrain=False)
    history.evaluate("a", FRESH, "ETH", passed=False, retrain=True)
    requests = history.tick()
    assert asked(requests) == [["ETH"]]
    history.launch(requests)
    assert history.tick() == []


def test_a_lost_cursor_starts_nothing_twice_however_the_failures_are_grouped_now(history: History) -> None:
    for symbols in (("ETH",), ("BTC", "ADA")):
        history.fail(*symbols)
        history.launch(history.tick())
    history.cursor = None
    assert history.tick() == []
    history.fail("SOL", at=NOON + timedelta(minutes=1))
    history.cursor = None
    history.launch(history.tick())
    assert history.trained() == dict.fromkeys(("BTC", "ETH", "ADA", "SOL"), 1)


def test_a_run_that_was_written_and_never_launched_is_asked_again_by_its_key(history: History) -> None:
    """Dagster launches what it finds under a key: a daemon killed in between leaves such a run."""
    history.fail("BTC", "ETH")
    first = history.tick()
    history.launch(first, "NOT_STARTED")
    history.cursor = None
    again = history.tick()
    assert [request.run_key for request in again] == [request.run_key for request in first]
    assert len(history.instance.get_runs()) == 1


def test_without_a_cursor_old_failures_are_left_to_the_next_check(history: History) -> None:
    history.fail("BTC", at=NOON - timedelta(days=3))
    assert history.tick() == []


def test_a_daemon_that_was_down_for_days_reads_on_where_it_was(history: History) -> None:
    history.now = NOON - timedelta(days=4)
    assert history.tick() == []
    history.fail("BTC", at=NOON - timedelta(days=3))
    history.now = NOON
    assert asked(history.tick()) == [["BTC"]]


@pytest.mark.parametrize("status", ["STARTING", "STARTED"])
@pytest.mark.parametrize("trains", [True, False])
def test_a_training_of_somebody_else_keeps_its_symbols_waiting_until_it_shows_whom_it_trained(
    history: History, status: str, trains: bool
) -> None:
    """The daily training covers all symbols, and trains those that are due."""
    run = history.run(status, range_tags(["BTC"]), only_due=True)
    history.fail("BTC", "ETH")
    history.launch(history.tick())
    assert history.trained() == {"BTC": 1, "ETH": 1}
    assert history.tick() == []
    assert history.skipped == "1 symbols wait for a training under way"
    if trains:
        write_version(history.platform, "BTC", NOON - timedelta(minutes=20))
    history.end(run)
    assert asked(history.tick()) == ([] if trains else [["BTC"]])


def write_version(platform: Platform, symbol: str, at: datetime) -> None:
    """A bundle, whatever it is worth."""
    row = {
        "version": f"{symbol}-{at.timestamp():.0f}", "symbol": symbol, "horizon": 1, "trained_at": at,
        "train_start": at, "train_end": at, "n_rows": 1, "feature_set": "default", "feature_set_hash": "h",
        "data_hash": "d", "bundle_sha256": "b", "details": {},
    }  # fmt: skip
    with platform.store.begin() as connection:
        warehouse.insert_missing(connection, model_versions, warehouse.records([row]))


@pytest.mark.parametrize(("hours", "expected"), [(-30, [["BTC"]]), (-20, []), (1, [])])
def test_a_training_by_hand_answers_what_failed_before_it_and_in_its_cooldown(
    history: History, hours: int, expected: list[list[str]]
) -> None:
    """Also one by the command line, which is no run of Dagster."""
    history.fail("BTC")
    history.now = NOON + timedelta(hours=2)
    write_version(history.platform, "BTC", NOON + timedelta(hours=hours))
    assert asked(history.tick()) == expected


def write_decision(platform: Platform, symbol: str, *, yes: bool = True) -> None:
    row = {
        "symbol": symbol, "horizon": 1, "decision_time": NOON - timedelta(minutes=1), "should_retrain": yes,
        "policy": "calibrated", "reasons": [], "details": {},
    }  # fmt: skip
    with platform.store.begin() as connection:
        warehouse.insert_missing(connection, retrain_decisions, warehouse.records([row]))


def decisions(history: History) -> dict[str, tuple[str | None, str | None]]:
    d = retrain_decisions.c
    rows = history.platform.store.read(select(d.symbol, d.run_id, d.result).where(d.run_id.is_not(None)))
    return {row.symbol: (row.run_id, row.result) for row in rows.itertuples()}


def test_the_decision_says_what_became_of_a_run_that_could_not_say_it_itself(history: History) -> None:
    for symbol in ("BTC", "ETH", "ADA"):
        write_decision(history.platform, symbol, yes=symbol != "ETH")
    history.fail("BTC", "ETH")
    history.launch(history.tick(), "STARTED")
    (run,) = history.instance.get_runs()
    history.end(run.run_id)
    history.tick()
    assert decisions(history) == {"BTC": (run.run_id, "the run ended as FAILURE")}


@pytest.mark.parametrize("cursor_is_lost", [True, False])
def test_a_run_that_failed_before_it_began_is_launched_again_twice(history: History, cursor_is_lost: bool) -> None:
    """As where a daemon dies in the middle of a launch; the decision is left to the run that takes its place."""
    write_decision(history.platform, "BTC")
    history.fail("BTC")
    for attempt in range(1, retrain.ATTEMPTS + 1):
        requests = history.tick()
        assert asked(requests) == [["BTC"]]
        history.launch(requests, "STARTING")
        assert history.tick() == []
        assert len(history.instance.get_runs()) == attempt
        history.end(history.instance.get_runs()[0].run_id, begun=False)
        assert decisions(history) == {}
        history.cursor = None if cursor_is_lost else history.cursor
    assert history.tick() == []
    assert decisions(history)["BTC"][1] == "the run ended as FAILURE"


def test_a_queued_run_that_a_person_canceled_is_not_launched_again(history: History) -> None:
    history.fail("BTC")
    history.launch(history.tick(), "CANCELED")
    assert history.tick() == []
