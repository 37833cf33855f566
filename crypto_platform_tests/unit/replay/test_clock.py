"""The replay clock starts where it is told and runs as fast as it is told."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.errors import ConfigurationError
from crypto_platform.replay.clock import ReplayClock

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


@given(speed=st.floats(0, 1e5), elapsed=st.floats(0, 1e6), origin=st.floats(-1e6, 1e6))
def test_now_is_start_plus_speed_times_elapsed(speed: float, elapsed: float, origin: float) -> None:
    readings = iter([origin, origin + elapsed])
    clock = ReplayClock(START, speed, monotonic=lambda: next(readings))
    assert abs(clock.now() - START - timedelta(seconds=speed * elapsed)) <= timedelta(milliseconds=1 + speed / 100)


def test_speed_zero_fixes_the_clock() -> None:
    readings = iter([0.0, 5.0, 5e9])
    clock = ReplayClock(START, 0, monotonic=lambda: next(readings))
    assert [clock.now(), clock.now()] == [START, START]


def test_it_runs_by_itself_and_never_back() -> None:
    clock = ReplayClock(START)
    first, second = clock.now(), clock.now()
    assert START <= first <= second


def test_it_tells_utc() -> None:
    local = datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert ReplayClock(local, 0).now().isoformat() == "2026-01-01T12:00:00+00:00"


@pytest.mark.parametrize("speed", [-1.0, float("nan"), float("inf")])
def test_a_senseless_speed_is_refused(speed: float) -> None:
    with pytest.raises(ConfigurationError, match="speed"):
        ReplayClock(START, speed)


def test_a_naive_start_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        ReplayClock(START.replace(tzinfo=None))
