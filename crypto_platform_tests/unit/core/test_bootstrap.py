"""Laws of intervals and errors of dependent series, against theory and statsmodels."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from crypto_platform.core.bootstrap import (
    Resample,
    block_length,
    hac_error,
    hac_lag,
    interval,
    mean_interval,
    positive_mean_p_value,
)


def autoregressive(trials: int, n: int, phi: float, seed: int = 11) -> np.ndarray:
    """AR(1) series with unit innovations and mean zero, one a row."""
    noise = np.random.default_rng(seed).standard_normal((trials, n + 200))
    return lfilter([1], [1, -phi], noise, axis=1)[:, 200:]


def test_the_interval_covers_the_mean_of_a_dependent_series() -> None:
    """AR(1) with coefficient 0.7: about 95 of 100 intervals hold the true mean, where naive ones would not."""
    covered = naive = 0
    for row in autoregressive(120, 1000, 0.7):
        found = mean_interval(row, 24, seed=1, replications=400)
        assert found is not None
        covered += found[0] <= 0 <= found[1]
        naive += abs(row.mean()) <= 1.96 * row.std() / np.sqrt(1000)
    assert covered / 120 > 0.86  # four standard errors below 95 % less the known small-sample shortfall
    assert naive / 120 < 0.75


def test_the_spread_of_the_mean_is_that_of_theory() -> None:
    """Politis & Romano (1994), lemma 1: a pair of rows i apart stays together with probability (1 - p)^i."""
    series = autoregressive(1, 400, 0.5)[0]
    n, p = len(series), 1 / 24
    off = series - series.mean()
    circular = np.array([off @ np.roll(off, -i) / n for i in range(n)])
    i = np.arange(1, n)
    expected = (circular[0] + 2 * ((1 - i / n) * (1 - p) ** i) @ circular[1:]) / n
    means = Resample.stationary(n, 24, seed=3, replications=6000).means(series)[1:]
    assert means.var() == pytest.approx(expected, rel=0.1)
    assert means.mean() == pytest.approx(series.mean(), abs=4 * np.sqrt(expected / 6000))


@given(st.integers(48, 90), st.integers(0, 9))
def test_replications_are_shares_and_repeatable(n: int, seed: int) -> None:
    resample = Resample.stationary(n, 24, seed, replications=30)
    assert resample.weights.shape == (31, n)
    np.testing.assert_allclose(resample.weights.sum(axis=1), 1)
    np.testing.assert_array_equal(resample.weights[0], 1 / n)
    np.testing.assert_array_equal(resample.weights, Resample.stationary(n, 24, seed, replications=30).weights)


def test_rows_of_a_replication_come_in_blocks_of_the_mean_length() -> None:
    """In a long circle almost every drawn row is drawn with its successor, bar one in `block`."""
    weights = Resample.stationary(2000, 40, seed=5, replications=200).weights[1:] * 2000
    ends = np.maximum(weights - np.roll(weights, -1, axis=1), 0).sum() / weights.sum()
    assert ends == pytest.approx(1 / 40, rel=0.15)  # an end that meets another block's start is not seen


@given(st.lists(st.floats(0, 1), min_size=48, max_size=80), st.integers(0, 9))
def test_an_interval_is_ordered_and_within_the_values(values: list[float], seed: int) -> None:
    series = np.array(values)
    found = mean_interval(series, 24, seed, replications=50)
    assert found is not None
    assert series.min() - 1e-12 <= found[0] <= found[1] <= series.max() + 1e-12


def test_too_short_a_series_has_no_interval() -> None:
    assert mean_interval(np.ones(47), 24, 1) is None
    assert mean_interval(np.ones(48), 24, 1) == pytest.approx((1.0, 1.0))
    assert [block_length(h) for h in (1, 3, 7, 24)] == [24, 24, 24, 48]


def test_a_statistic_that_most_replications_lack_has_no_interval() -> None:
    assert interval(np.r_[0.5, np.full(80, 0.5), np.full(20, np.nan)]) is None
    assert interval(np.r_[0.5, np.full(95, 0.5), np.full(5, np.nan)]) == (0.5, 0.5)


@pytest.mark.parametrize("horizon", [1, 3, 7])
@pytest.mark.parametrize("n", [60, 336, 2000])
def test_the_error_is_that_of_statsmodels(horizon: int, n: int) -> None:
    series = autoregressive(1, n, 0.6)[0] + 0.3
    settings = {"maxlags": hac_lag(horizon), "use_correction": False}
    fitted = sm.OLS(series, np.ones(n)).fit(cov_type="HAC", cov_kwds=settings)
    assert hac_error(series, hac_lag(horizon)) == pytest.approx(fitted.bse[0], rel=1e-9)


def test_noise_is_rejected_about_as_often_as_stated_and_an_edge_is_found() -> None:
    """336 hours of AR(1) noise at 5 %: between 2 % and 9 %; the normal approximation would exceed 10 %."""
    noise = autoregressive(600, 336, 0.4)
    rejected = np.mean([positive_mean_p_value(row, hac_lag(1)) <= 0.05 for row in noise])
    assert 0.02 < rejected < 0.09
    found = np.mean([positive_mean_p_value(row + 0.5, hac_lag(1)) <= 0.05 for row in noise[:100]])
    assert found > 0.9


def test_a_constant_gain_is_certain() -> None:
    assert positive_mean_p_value(np.full(100, 0.1), 25) == 0.0
    assert positive_mean_p_value(np.zeros(100), 25) == 1.0
    assert positive_mean_p_value(np.full(100, -0.1), 25) == 1.0
