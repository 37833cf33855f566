"""Laws of the change detectors: the recursions, the reset at zero, false alarms and delays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crypto_platform.core.cusum import POOLED_STAKES, cusum, cusum_path, e_detector, expected_accuracy, one_per_horizon

outcomes = arrays(np.bool_, st.integers(0, 200))
levels = st.floats(0.5, 0.9)


@given(outcomes, levels)
def test_the_path_is_pages_recursion(correct: np.ndarray, p0: float) -> None:
    p1, s, expected = p0 - 0.08, 0.0, []
    for right in correct:
        s = max(0.0, s + (np.log(p1 / p0) if right else np.log((1 - p1) / (1 - p0))))
        expected.append(s)
    assert cusum_path(correct, p0) == pytest.approx(expected, abs=1e-9)


@given(outcomes, levels, st.integers(1, 500))
def test_sharing_a_budget_only_raises_the_threshold(correct: np.ndarray, p0: float, k: int) -> None:
    one, many = cusum(correct, p0), cusum(correct, p0, n_series=k)
    assert (one.statistic, one.highest) == (many.statistic, many.highest)
    assert many.threshold == pytest.approx(one.threshold + np.log(k))
    assert many.raised <= one.raised


def test_an_alarm_stays_until_the_detector_begins_anew() -> None:
    bad, good = np.zeros(60, dtype=bool), np.ones(200, dtype=bool)
    held = cusum(np.r_[bad, good], 0.5)
    assert held.raised
    assert held.statistic == 0
    assert not cusum(good, 0.5).raised


def test_a_coin_alarms_seldom_and_a_bad_model_soon() -> None:
    """Mean run lengths: above 100 days for a coin held to one half, under 15 for one right in 40 % of hours."""
    rng = np.random.default_rng(4)

    def run_length(accuracy: float, longest: int = 24 * 600) -> int:
        path = cusum_path(rng.random(longest) < accuracy, 0.5)
        return int(np.argmax(path >= 4.0)) if (path >= 4.0).any() else longest

    assert np.mean([run_length(0.5) for _ in range(60)]) > 24 * 100
    assert np.mean([run_length(0.40) for _ in range(60)]) < 24 * 15


@given(arrays(np.float64, st.integers(0, 60), elements=st.floats(0, 1)), levels)
def test_the_e_detector_sums_the_bets_begun_at_every_hour(shares: np.ndarray, p0: float) -> None:
    held = e_detector(shares, np.full(len(shares), p0))
    factors = 1 + POOLED_STAKES[:, None] * (p0 - shares) / (1 - p0)
    expected = sum(np.prod(factors[:, start:], axis=1).mean() for start in range(len(shares)))
    assert held.statistic == pytest.approx(expected, rel=1e-6)
    assert (factors >= 0).all()  # no bet loses more than there is


@pytest.mark.parametrize("n", [1, 5, 10])
def test_on_coins_the_e_detector_grows_by_one_an_hour_on_average(n: int) -> None:
    """Over all equally likely outcomes. Hence the mean time to a threshold is at least the threshold."""
    every = [[(number >> bit) & 1 for bit in range(n)] for number in range(2**n)]
    held = [e_detector(np.array(row, dtype=float), np.full(n, 0.5)).statistic for row in every]
    assert np.mean(held) == pytest.approx(n)


def test_the_pooled_view_sees_a_drop_within_two_weeks() -> None:
    bad = np.random.default_rng(5).binomial(5, 0.40, 14 * 24) / 5
    assert e_detector(bad, np.full(len(bad), 0.5)).raised


def test_labels_that_overlap_are_thinned() -> None:
    kept = np.flatnonzero(one_per_horizon(np.arange(100, 160), 7))
    assert set(np.diff(kept)) == {7}


def test_a_model_is_never_held_to_less_than_a_coin() -> None:
    assert expected_accuracy(0.45, 0.01) == 0.5
