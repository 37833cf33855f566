"""Laws of drift: the distances against scipy's, the null from the reference itself, what triggers and what does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ks_2samp, wasserstein_distance

from crypto_platform.core.drift import Channel, Drift, compare, domain_auc, measure, null_distances, wasserstein

values = arrays(np.float64, st.integers(4, 60), elements=st.floats(-100, 100).map(lambda x: round(x, 1)))


def wave(n: int, seed: int, persistence: float = 0.98) -> np.ndarray:
    """A stationary series that remembers, as hourly features do."""
    rng = np.random.default_rng(seed)
    x = np.empty(n)
    x[0] = rng.normal() / np.sqrt(1 - persistence**2)
    for t in range(1, n):
        x[t] = persistence * x[t - 1] + rng.normal()
    return x


@given(values, st.data())
def test_a_subset_is_as_far_from_the_rest_as_scipy_says(x: np.ndarray, data: st.DataObject) -> None:
    ordered = np.sort(x)
    sizes = data.draw(st.lists(st.integers(1, len(x) - 1), min_size=1, max_size=4))
    chosen = [data.draw(st.permutations(range(len(x)))).copy()[:size] for size in sizes]
    ranks = np.array([sorted(c) + [len(x)] * (max(sizes) - len(c)) for c in chosen])
    expected = [wasserstein_distance(ordered[c], ordered[np.setdiff1d(np.arange(len(x)), c)]) for c in chosen]
    assert wasserstein(ranks, ordered) == pytest.approx(expected, abs=1e-9)


def test_the_null_is_every_window_against_the_rest_of_the_reference() -> None:
    x = wave(300, 0).round(1)
    x[np.random.default_rng(1).random(300) < 0.1] = np.nan
    expected = []
    for start in range(0, 300 - 48 + 1, 6):
        inside, outside = x[start : start + 48], np.r_[x[:start], x[start + 48 :]]
        expected.append(wasserstein_distance(inside[np.isfinite(inside)], outside[np.isfinite(outside)]))
    assert null_distances(x, 48, 6) == pytest.approx(expected, abs=1e-9)


def test_a_channel_reports_what_scipy_and_the_definitions_say() -> None:
    reference, current = wave(2160, 2).round(1), wave(168, 3).round(1) + 1  # equal values on both sides
    held = measure(reference, current)
    spread = reference.std(ddof=1)
    assert held.distance == pytest.approx(wasserstein_distance(reference, current) / spread)
    assert held.ks == pytest.approx(ks_2samp(reference, current).statistic)
    assert held.shift == pytest.approx((current.mean() - reference.mean()) / spread)
    assert held.n_null == (2160 - 168) // 6 + 1
    null = null_distances(reference) / spread
    assert held.p_value == pytest.approx((1 + (null >= held.distance).sum()) / (1 + len(null)))
    assert held.calibrated


@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-100, 100))
def test_the_unit_does_not_matter(seed: int, factor: float, offset: float) -> None:
    reference, current = wave(400, seed), wave(48, seed + 1)
    one = measure(reference, current, 48)
    other = measure(reference * factor + offset, current * factor + offset, 48)
    assert other.distance == pytest.approx(one.distance, rel=1e-6)
    assert other.p_value == one.p_value


def test_a_reference_under_32_days_is_uncalibrated_and_triggers_nothing() -> None:
    short, long = wave(31 * 24, 4), wave(32 * 24, 4)
    current = np.full(168, 1000.0) + np.arange(168)
    assert not measure(short, current).calibrated
    assert measure(long, current).calibrated
    held = Drift({"a": measure(short, current)})
    assert held.score is None
    assert held.far == frozenset()


def test_what_does_not_vary_or_is_not_known_is_not_judged() -> None:
    assert measure(np.ones(2160), np.zeros(168)) == Channel(None)
    assert measure(wave(2160, 5), np.full(168, np.nan)) == Channel(None)
    assert measure(wave(100, 5), wave(168, 6)) == Channel(None)


def test_the_score_is_the_share_of_moved_channels_and_rates_trigger_nothing_alone() -> None:
    names = [f"c{i}" for i in range(10)]
    reference = {name: wave(2160, i) for i, name in enumerate(names)}
    current = {name: wave(168, 100 + i) + (200 if i < 4 else 0) for i, name in enumerate(names)}
    held = compare(reference, current, frozenset({"c0"}))
    assert held.score is not None
    assert held.score >= 0.4
    assert {"c1", "c2", "c3"} <= held.far
    assert "c0" not in held.far
    assert held.domain_auc is not None
    assert held.domain_auc > 0.9


def test_stationary_channels_seldom_score() -> None:
    """Share of 200 stationary weeks with p of at most 0.01; rules of thumb fire on most of the same weeks."""
    weeks = [measure(wave(2160 + 168, s)[:2160], wave(2160 + 168, s)[2160:]) for s in range(200)]
    assert np.mean([w.p_value <= 0.01 for w in weeks if w.p_value is not None]) < 0.12
    assert np.mean([w.psi > 0.2 for w in weeks if w.psi is not None]) > 0.5


def test_too_few_rows_give_no_auc() -> None:
    assert domain_auc(np.zeros((5, 2)), np.ones((100, 2))) is None
