"""A vendor that fails is left alone for longer and longer, never for longer than an hour."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.core.politeness import FAILURES, LONGEST_PAUSE, Health, month_after, month_of, pause

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def failed(health: Health, now: datetime = NOW, asked: timedelta | None = None, *, probe: bool = False) -> Health:
    return health.after_failure("HTTP 503", asked, now, probe=probe)


def test_the_fifth_failure_in_a_row_opens_it_for_a_minute():
    health = Health()
    for n in range(1, FAILURES):
        health = failed(health)
        assert (health.failures, health.open_until) == (n, None)
    assert failed(health) == Health(FAILURES, NOW + MINUTE, "HTTP 503", NOW)


def test_calls_under_way_neither_lengthen_nor_shorten_the_pause():
    opened = Health(FAILURES, NOW + MINUTE)
    later = failed(opened, NOW + timedelta(seconds=9))
    assert (later.failures, later.open_until) == (FAILURES, NOW + MINUTE)


def test_a_failed_probe_doubles_the_pause():
    health = Health(FAILURES, NOW + MINUTE)
    for minutes in (2, 4, 8, 16, 32, 60, 60):
        now = health.open_until
        health = failed(health.probing(now), now, probe=True)
        assert health.open_until == now + minutes * MINUTE


def test_a_time_the_vendor_names_is_kept_at_once_where_it_is_longer():
    assert failed(Health(), asked=7 * MINUTE).open_until == NOW + 7 * MINUTE
    assert failed(Health(FAILURES - 1), asked=timedelta(seconds=5)).open_until == NOW + MINUTE
    assert failed(Health(FAILURES, NOW + MINUTE), asked=7 * MINUTE).open_until == NOW + 7 * MINUTE
    assert failed(Health(FAILURES, NOW + 7 * MINUTE), asked=MINUTE).open_until == NOW + 7 * MINUTE


@given(st.integers(0, 10**9), st.none() | st.timedeltas(min_value=timedelta(), max_value=timedelta(days=999)))
def test_no_pause_is_longer_than_an_hour_nor_shorter_than_asked_up_to_that(failures, asked):
    lasts = pause(failures, asked)
    assert min(asked or timedelta(), LONGEST_PAUSE) <= lasts <= LONGEST_PAUSE
    assert lasts >= timedelta()


@given(st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001
def test_a_month_ends_where_the_next_begins(naive):
    now = naive.replace(tzinfo=UTC)
    begin = month_after(now)
    assert month_of(now) < month_of(begin)
    assert month_of(begin - timedelta(microseconds=1)) == month_of(now)
