"""Moving windows equal the plain definition, to the last digits, whatever came before them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crypto_platform.core.indicators import momentum, windows

WINDOWS = (1, 2, 3, 7, 14, 20, 30, 72, 168)


@pytest.fixture(scope="module")
def series() -> np.ndarray:
    """Three rows; the second loses seven orders of magnitude, the third has NaN on both sides."""
    rng = np.random.default_rng(8)
    x = np.exp(rng.normal(0, 0.01, (3, 400)).cumsum(axis=1)) * 100
    x[1, 150:] *= 1e-7
    x[2, :5] = x[2, 390:] = np.nan
    return x


@pytest.mark.parametrize("n", WINDOWS)
def test_sum_mean_and_moments_equal_each_window_on_its_own(series: np.ndarray, n: int) -> None:
    views = np.lib.stride_tricks.sliding_window_view(series, n, axis=1)
    center = views.mean(axis=2)
    off = views - center[..., None]
    got = windows.moments(series, n)
    for values, expected in (
        (windows.total(series, n), views.sum(axis=2)),
        (windows.mean(series, n), center),
        (got.mean, center),
        (got.second, (off**2).sum(axis=2)),
    ):
        assert np.isnan(values[:, : n - 1]).all()
        np.testing.assert_allclose(values[:, n - 1 :], expected, rtol=1e-12, atol=1e-20)
    # The mean of the reference is itself rounded: relative to the cubes, the third moment of a calm window is worst.
    cubes = np.abs(off**3).sum(axis=2)
    assert (np.abs(got.third[:, n - 1 :] - (off**3).sum(axis=2)) <= 1e-9 * cubes)[:2].all()


@pytest.mark.parametrize("n", WINDOWS[1:])
def test_a_window_is_the_same_to_the_last_bit_wherever_reading_begins(series: np.ndarray, n: int) -> None:
    cut = 151
    for function in (windows.total, windows.variance, lambda x, n: windows.moments(x, n).third):
        np.testing.assert_array_equal(function(series, n)[:, cut + n - 1 :], function(series[:, cut:], n)[:, n - 1 :])


@given(value=st.floats(1e-12, 1e12), n=st.sampled_from(WINDOWS[1:]), tiny=st.booleans())
def test_equal_values_have_exactly_no_variance(value: float, n: int, tiny: bool) -> None:
    x = np.full((1, 200), value)
    x[0, :20] *= 1e-9 if tiny else 1e9
    assert (windows.deviation(x, n)[0, 20 + n - 1 :] == 0).all()


def test_moments_of_some_hours_equal_numpy(series: np.ndarray) -> None:
    counted = np.random.default_rng(2).random(series.shape) < 0.7
    x = np.where(counted & ~np.isnan(series), series, np.nan)
    count, mean, second = windows.moments_where(x, ~np.isnan(x), 24)
    view = pd.DataFrame(x[0]).rolling(24, min_periods=2)
    np.testing.assert_array_equal(count[0, 23:], view.count()[0].to_numpy()[23:])
    np.testing.assert_allclose(mean[0, 23:], view.mean()[0].to_numpy()[23:], rtol=1e-12)
    np.testing.assert_allclose((second / (count - 1))[0, 23:], view.var()[0].to_numpy()[23:], rtol=1e-9)


def test_skewness_and_autocorrelation_equal_scipy_and_numpy() -> None:
    r = np.random.default_rng(5).standard_t(4, (1, 120)) * 0.01
    r[0, 0] = np.nan
    skew, correlation = momentum.skewness(r, 72), momentum.autocorrelation(r, 24)
    for t in range(72, 120):
        assert skew[0, t] == pytest.approx(stats.skew(r[0, t - 71 : t + 1], bias=False), abs=1e-12)
        expected = np.corrcoef(r[0, t - 23 : t + 1], r[0, t - 24 : t])[0, 1]
        assert correlation[0, t] == pytest.approx(expected, abs=1e-12)


def test_windows_longer_than_the_series_are_missing() -> None:
    assert np.isnan(windows.variance(np.ones((2, 5)), 6)).all()
