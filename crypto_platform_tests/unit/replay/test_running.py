"""A running candle reveals its hour little by little and takes nothing back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.replay.running import running_candle

PRICES = st.floats(1e-6, 1e6)
VOLUMES = st.one_of(st.just(math.nan), st.floats(0, 1e9))
FRACTIONS = st.floats(0, 1)
WHOLE = {"open": 10.0, "high": 13.0, "low": 9.0, "close": 12.0, "volume_base": 8.0, "volume": 88.0, "trades": 3.0}


@st.composite
def candles(draw):
    low, *inner, high = sorted(draw(st.lists(PRICES, min_size=4, max_size=4)))
    opened, close = draw(st.permutations(inner))
    trades = draw(st.one_of(st.just(math.nan), st.integers(0, 10**6).map(float)))
    volumes = {"volume_base": draw(VOLUMES), "volume": draw(VOLUMES), "trades": trades}
    return {"open": opened, "high": high, "low": low, "close": close, **volumes}


@given(candles(), FRACTIONS)
def test_every_running_candle_is_a_valid_candle(candle, fraction):
    seen = running_candle(candle, fraction)
    assert seen["open"] == candle["open"]
    assert candle["low"] <= seen["low"] <= min(seen["open"], seen["close"])
    assert max(seen["open"], seen["close"]) <= seen["high"] <= candle["high"]


@given(candles(), FRACTIONS, FRACTIONS)
def test_what_was_seen_is_never_taken_back(candle, one, other):
    earlier, later = (running_candle(candle, fraction) for fraction in sorted((one, other)))
    assert earlier["high"] <= later["high"]
    assert earlier["low"] >= later["low"]
    for name in ("volume_base", "volume", "trades"):
        assert earlier[name] <= later[name] or math.isnan(candle[name])


@given(candles(), FRACTIONS)
def test_unknown_volume_stays_unknown_and_known_volume_known(candle, fraction):
    seen = running_candle(candle, fraction)
    assert all(math.isnan(seen[name]) == math.isnan(value) for name, value in candle.items())


@given(candles())
def test_nothing_has_happened_at_the_start(candle):
    seen = running_candle(candle, 0.0)
    assert seen["high"] == seen["low"] == seen["close"] == candle["open"]
    assert all(seen[name] == 0 or math.isnan(seen[name]) for name in ("volume_base", "volume", "trades"))


@given(candles(), st.sampled_from([1.0, 1.5, math.inf]))
def test_the_finished_hour_is_the_candle_itself(candle, fraction):
    assert running_candle(candle, fraction) == pytest.approx(candle, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize("close", [11.9, 9.1])
def test_both_extremes_are_reached_before_the_end(close):
    """An hour that rises in the end falls first, and the other way round."""
    whole = WHOLE | {"open": 10.5, "close": close}
    early, late = running_candle(whole, 0.35), running_candle(whole, 0.99)
    assert (late["low"], late["high"]) == (9.0, 13.0)
    assert (early["low"] == 9.0) == (close > whole["open"])


@given(FRACTIONS)
def test_a_flat_hour_stays_flat(fraction):
    flat = WHOLE | dict.fromkeys(("open", "high", "low", "close"), 7.0)
    seen = running_candle(flat, fraction)
    assert {seen[name] for name in ("open", "high", "low", "close")} == {7.0}
