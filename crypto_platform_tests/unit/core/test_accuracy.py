"""Accuracy and its interval: agreement with an independent source, and words that never claim too much."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from crypto_platform.core.accuracy import (
    ABOVE_BOTH,
    ABOVE_COIN,
    MIN_SEPARATE,
    NO_EDGE,
    TOO_FEW,
    WORSE,
    Accuracy,
    score,
    wilson_interval,
)

START = pd.Timestamp("2026-01-05", tz="UTC")


def outcomes(correct: list[bool | None], horizon: int = 1, symbols: int = 1) -> pd.DataFrame:
    hours = pd.date_range(START, periods=len(correct), freq="h")
    one = pd.DataFrame(
        {"horizon": horizon, "prediction_timestamp": hours, "correct": correct, "realized_direction": 1.0}
    )
    return pd.concat([one] * symbols, ignore_index=True)


@given(n=st.integers(1, 2000), data=st.data())
def test_wilson_interval_is_scipys(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    theirs = binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson_interval(hits / n, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@given(share=st.floats(0, 1), n=st.floats(0.5, 1e5))
def test_interval_holds_the_share_and_stays_inside_zero_to_one(share: float, n: float) -> None:
    lower, upper = wilson_interval(share, n)
    assert 0 <= lower <= share + 1e-12
    assert share - 1e-12 <= upper <= 1


def test_unsettled_forecasts_are_not_counted() -> None:
    scored = score(outcomes([True, None, False, None]))
    assert (scored.n, scored.share) == (2, 0.5)


def test_nothing_scored_is_unknown_not_zero() -> None:
    for frame in (outcomes([]), outcomes([None])):
        assert score(frame) == Accuracy(0)
        assert score(frame).verdict == TOO_FEW


def test_more_symbols_in_the_same_hours_do_not_narrow_the_interval() -> None:
    one, five = (score(outcomes([True, False] * 50, symbols=k)) for k in (1, 5))
    assert five.n == 5 * one.n
    assert (five.lower, five.upper) == (one.lower, one.upper)


def test_overlapping_labels_count_once_per_horizon() -> None:
    assert score(outcomes([True] * 90, horizon=3)).n_separate == pytest.approx(30)


def test_base_rate_is_the_more_frequent_side() -> None:
    frame = outcomes([True] * 10)
    frame["realized_direction"] = [0.0] * 7 + [1.0] * 3
    assert score(frame).base_rate == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("n", "share", "base_rate", "verdict"),
    [
        (MIN_SEPARATE - 1, 1.0, 0.5, TOO_FEW),
        (168, 0.5, 0.5, NO_EDGE),
        (168, 0.57, 0.5, NO_EDGE),
        (168, 0.6, 0.55, ABOVE_COIN),
        (168, 0.7, 0.55, ABOVE_BOTH),
        (168, 0.4, 0.55, WORSE),
    ],
)
def test_words_follow_the_interval(n: int, share: float, base_rate: float, verdict: str) -> None:
    assert Accuracy(n, n, share, *wilson_interval(share, n), base_rate).verdict == verdict


def test_a_coin_is_rarely_called_anything_else() -> None:
    """Over weeks of fair coins, at most about one in twenty verdicts is other than `no edge shown`."""
    rng = np.random.default_rng(0)
    verdicts = [score(outcomes((rng.random(168) < 0.5).tolist())).verdict for _ in range(400)]
    assert np.mean([verdict != NO_EDGE for verdict in verdicts]) < 0.08
