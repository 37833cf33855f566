"""Oscillators and moments of returns."""

import numpy as np

from crypto_platform.core.indicators.windows import (
    NEGLIGIBLE,
    Floats,
    deviation,
    divide,
    flat,
    highest,
    lag,
    lowest,
    mean,
    moments,
    variance,
    wilder,
)


def rsi(close: Floats, n: int) -> Floats:
    """Wilder's relative strength index, 0 to 1; 0.5 where nothing moved, or too long ago to be told from nothing."""
    change = close - lag(close, 1)
    gain = wilder(np.where(np.isnan(change), np.nan, np.maximum(change, 0.0)), n)
    loss = wilder(np.where(np.isnan(change), np.nan, np.maximum(-change, 0.0)), n)
    moved = gain + loss
    return np.where(moved <= NEGLIGIBLE * close, 0.5, divide(gain, moved))


def stochastic(high: Floats, low: Floats, close: Floats, n: int = 14, smooth: int = 3) -> tuple[Floats, Floats]:
    """Slow stochastic %K and %D, 0 to 1; NaN where the range is empty."""
    bottom = lowest(low, n)
    fast = divide(close - bottom, highest(high, n) - bottom)
    k = mean(fast, smooth)
    return k, mean(k, smooth)


def cci(high: Floats, low: Floats, close: Floats, n: int = 20) -> Floats:
    """Commodity channel index / 100; NaN where the typical price does not vary."""
    typical = (high + low + close) / 3
    center = mean(typical, n)
    spread = np.zeros_like(typical)
    for k in range(n):
        spread += np.abs(lag(typical, k) - center)
    return np.where(flat(typical, n), np.nan, divide(typical - center, 0.015 * spread / n) / 100)


def williams_r(high: Floats, low: Floats, close: Floats, n: int = 14) -> Floats:
    """Williams %R / 100, -1 to 0; NaN where the range is empty."""
    top = highest(high, n)
    return divide(close - top, top - lowest(low, n))


def skewness(x: Floats, n: int) -> Floats:
    """Bias-corrected sample skewness of the last n values; NaN where they do not vary."""
    _, second, third = moments(x, n)
    correction = float(np.sqrt(n * (n - 1)) / (n - 2))
    return divide(third / n, (second / n) ** 1.5) * correction


def autocorrelation(x: Floats, n: int) -> Floats:
    """Correlation of the last n values with their predecessors; NaN where either does not vary."""
    return correlation(x, lag(x, 1), n)


def correlation(x: Floats, y: Floats, n: int) -> Floats:
    """Pearson's correlation of the last n values of both; NaN where either does not vary or is missing."""
    # cov(x, y) = (var(x + y) - var(x - y)) / 4 needs no difference of large sums
    covariance = (variance(x + y, n) - variance(x - y, n)) / 4
    return np.clip(divide(covariance, deviation(x, n) * deviation(y, n)), -1.0, 1.0)
