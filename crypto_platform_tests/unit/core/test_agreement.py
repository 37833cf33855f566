"""Two sources agree within the tolerance, whichever is asked first; and each symbol has its turn once a day."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.core.agreement import FAR_SHARE, MIN_HOURS, SLOT, SLOTS, TOLERANCE, agreement, share_of_slot

OWN = np.linspace(90, 110, 24)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=40), st.floats(1e-6, 1e6))
def test_it_is_symmetric_and_without_a_unit(ratios: list[float], unit: float) -> None:
    own = np.linspace(1, 2, len(ratios)) * unit
    other = own * ratios
    ours, theirs = agreement(own, other), agreement(other, own)
    assert (ours.hours, ours.median, ours.holds) == (
        theirs.hours,
        pytest.approx(theirs.median, abs=1e-12),
        theirs.holds,
    )
    assert ours.median == pytest.approx(agreement(own / unit, other / unit).median, abs=1e-12)


@pytest.mark.parametrize(("apart", "holds"), [(0.0, True), (0.019, True), (0.021, False), (-0.021, False)])
def test_the_median_decides_at_the_tolerance(apart: float, holds: bool) -> None:
    assert (abs(apart) <= TOLERANCE) == holds
    assert agreement(OWN, OWN * np.exp(apart)).holds == holds


@pytest.mark.parametrize(("bad", "holds"), [(0, True), (2, True), (3, False), (24, False)])
def test_hours_of_another_scale_count_by_their_share(bad: int, holds: bool) -> None:
    assert (bad / 24 <= FAR_SHARE) == holds
    assert agreement(OWN, np.where(np.arange(24) < bad, OWN * 1000, OWN)).holds == holds


def test_too_few_hours_in_common_say_nothing() -> None:
    for hours in range(MIN_HOURS):
        assert agreement(OWN[:hours], OWN[:hours] * 10).holds
    assert not agreement(OWN[:MIN_HOURS], OWN[:MIN_HOURS] * 10).holds


@given(
    st.integers(1, 700),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - the zone follows
)
def test_over_any_96_ticks_in_a_row_each_has_its_turn_once_and_no_tick_more_than_its_share(
    n: int, start: datetime
) -> None:
    ticks = [share_of_slot(n, start.replace(tzinfo=UTC) + i * SLOT) for i in range(SLOTS)]
    assert Counter(i for tick in ticks for i in tick) == Counter(range(n))
    assert max(map(len, ticks)) == -(-n // SLOTS)


def test_the_turn_follows_from_the_quarter_of_the_hour() -> None:
    """A tick that is run again, or a few minutes late, asks for the same."""
    tick = datetime(2026, 3, 4, 12, 3, tzinfo=UTC)
    assert share_of_slot(500, tick) == share_of_slot(500, tick + timedelta(minutes=11))
    assert share_of_slot(500, tick) == share_of_slot(500, tick + timedelta(days=1))
