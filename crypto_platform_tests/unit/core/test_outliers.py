"""Outliers: without a scale of their own, not fooled by an old spike, and silent about stablecoins."""

from collections.abc import Callable
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.core.hours import HOUR
from crypto_platform.core.outliers import MIN_HOURS, find_outliers, longest_run, robust_scale

HOURS = 24 * 22
SINCE = HOURS - 24
PRICES = ["open", "high", "low", "close"]


@pytest.fixture(scope="module")
def candles(walk: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return walk("BTC", HOURS, seed=1)


def since(candles: pd.DataFrame) -> datetime:
    return candles["timestamp"].iloc[SINCE].to_pydatetime()


def with_close(candles: pd.DataFrame, hour: int, factor: float) -> pd.DataFrame:
    """One close times `factor`; the next hour goes on from where it was."""
    changed = candles.copy()
    changed.loc[hour, "close"] *= factor
    changed.loc[hour, "high"] = changed.loc[hour, ["high", "close"]].max()
    changed.loc[hour, "low"] = changed.loc[hour, ["low", "close"]].min()
    return changed


def with_range(candles: pd.DataFrame) -> pd.DataFrame:
    """High and low no wider than open and close."""
    ends = candles[["open", "close"]]
    return candles.assign(high=ends.max(axis=1), low=ends.min(axis=1))


def hours_of(candles: pd.DataFrame, what: str) -> list[int]:
    start = candles["timestamp"].iloc[0].to_pydatetime()
    return [(o.timestamp - start) // HOUR for o in find_outliers(candles, since(candles)) if o.what == what]


def test_an_ordinary_walk_has_none(candles: pd.DataFrame) -> None:
    assert find_outliers(candles, since(candles)) == []


@pytest.mark.parametrize("factor", [10.0, 0.1])
@pytest.mark.parametrize("hour", [SINCE, HOURS - 10])
def test_ten_times_the_price_is_one_by_close_range_and_the_next_open(
    candles: pd.DataFrame, factor: float, hour: int
) -> None:
    changed = with_close(candles, hour, factor)
    assert hours_of(changed, "close") == [hour, hour + 1]  # there, and back
    assert hours_of(changed, "open") == [hour + 1]
    assert hours_of(changed, "range") == [hour]


@given(st.floats(-12, 12))
@settings(deadline=None, max_examples=30)
def test_the_unit_of_the_price_does_not_matter(candles: pd.DataFrame, exponent: float) -> None:
    changed = with_close(candles, HOURS - 10, 1.4)
    scaled = changed.assign(**{name: changed[name] * 10**exponent for name in PRICES})
    found, expected = find_outliers(scaled, since(scaled)), find_outliers(changed, since(changed))
    assert [(o.timestamp, o.what) for o in found] == [(o.timestamp, o.what) for o in expected]
    assert [o.scales for o in found] == pytest.approx([o.scales for o in expected], rel=1e-6)


@given(st.integers(1, SINCE - 3), st.floats(0.01, 100))
@settings(deadline=None, max_examples=30)
def test_an_old_spike_hides_no_jump_of_today(candles: pd.DataFrame, hour: int, factor: float) -> None:
    """A standard deviation would be ruled by the spike."""
    spiked = with_close(candles, hour, factor)
    assert hours_of(with_close(spiked, HOURS - 10, 1.3), "close") == [HOURS - 10, HOURS - 9]
    assert hours_of(spiked, "close") == []


def test_a_coin_that_always_moves_so_much_is_not_one(candles: pd.DataFrame) -> None:
    """Six percent are many scales of a calm coin, and few of a wild one."""
    calm = with_close(candles.assign(**{n: 100 + (candles[n] - 100) * 0.05 for n in PRICES}), HOURS - 10, 1.06)
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.choice([-0.04, 0.04], HOURS)))
    wild = candles.assign(close=close, open=np.r_[100.0, close[:-1]])
    wild = with_close(with_range(wild), HOURS - 10, 1.06)
    assert hours_of(calm, "close") == [HOURS - 10, HOURS - 9]
    assert hours_of(wild, "close") == []


@pytest.mark.parametrize("noise", [0.0, 1e-5])
def test_a_stablecoin_may_slip_by_less_than_the_floor(candles: pd.DataFrame, noise: float) -> None:
    """Many scales, or infinitely many, of what hardly moves."""
    close = 1 + noise * np.random.default_rng(0).standard_normal(HOURS)
    stable = candles.assign(open=np.r_[1.0, close[:-1]], close=close)
    stable = with_range(stable)
    assert hours_of(with_close(stable, HOURS - 10, 0.96), "close") == []
    assert hours_of(with_close(stable, HOURS - 10, 0.9), "close") == [HOURS - 10, HOURS - 9]


def test_a_gap_of_many_hours_may_move_the_price_further(candles: pd.DataFrame) -> None:
    jumped = with_close(candles, HOURS - 10, 1.2)
    cut = jumped.drop(index=range(HOURS - 19, HOURS - 10)).reset_index(drop=True)
    assert hours_of(jumped, "close") == [HOURS - 10, HOURS - 9]
    assert hours_of(cut, "close") == [HOURS - 9]  # the way back is one hour's, the way there was ten hours'


def test_too_few_hours_tell_no_scale(candles: pd.DataFrame) -> None:
    jumped = with_close(candles, HOURS - 10, 10)
    for kept, known in ((MIN_HOURS, False), (MIN_HOURS + 1, True)):
        part = jumped.iloc[SINCE - kept :].reset_index(drop=True)
        assert bool(find_outliers(part, since(candles))) == known
    assert np.isnan(robust_scale(np.full(1000, np.nan)))


def test_the_scale_of_normal_returns_is_their_standard_deviation() -> None:
    assert robust_scale(np.random.default_rng(0).normal(0, 0.02, 100_000)) == pytest.approx(0.02, rel=0.02)


@given(st.sets(st.integers(0, 30)))
def test_the_longest_run_is_what_counting_by_hand_gives(hours: set[int]) -> None:
    stamps = pd.Series(pd.to_datetime([h * 3600 for h in sorted(hours)], unit="s", utc=True))
    by_hand = max((n for n in range(1, 32) for start in hours if set(range(start, start + n)) <= hours), default=0)
    assert longest_run(stamps) == by_hand
