"""Laws of the time model."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.core.hours import HOUR, as_of, closed_until, floor_hour, newest_closed

zones = st.integers(-14 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=zones)  # noqa: DTZ001
settles = st.integers(0, 1800).map(lambda seconds: timedelta(seconds=seconds))


@given(moments)
def test_a_floor_is_a_whole_utc_hour_at_most_an_hour_before(moment: datetime) -> None:
    floor = floor_hour(moment)
    assert floor.tzinfo is UTC
    assert (floor.minute, floor.second, floor.microsecond) == (0, 0, 0)
    assert floor <= moment < floor + HOUR
    assert floor_hour(floor) == floor


@given(moments, settles)
def test_the_newest_closed_candle_has_ended_and_settled_and_the_next_has_not(now: datetime, settle: timedelta) -> None:
    newest = newest_closed(now, settle)
    assert as_of(newest) + settle <= now < as_of(newest + HOUR) + settle
    assert closed_until(now, settle) == newest + HOUR


@given(moments, st.integers(0, 10**6), settles)
def test_closed_candles_only_grow(now: datetime, later: int, settle: timedelta) -> None:
    assert closed_until(now, settle) <= closed_until(now + timedelta(seconds=later), settle)


def test_naive_moments_are_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        floor_hour(datetime(2026, 1, 1))  # noqa: DTZ001
