"""Oscillators and moments of returns."""

import numpy as np

from crypto_platform.core.indicators.windows import Floats, divide, flat, highest, lag, lowest, mean, total, wilder


def rsi(close: Floats, n: int) -> Floats:
    """Wilder's relative strength index, 0 to 1; 0.5 where nothing moved at all."""
    change = close - lag(close, 1)
    gain = wilder(np.where(np.isnan(change), np.nan, np.maximum(change, 0.0)), n)
    loss = wilder(np.where(np.isnan(change), np.nan, np.maximum(-change, 0.0)), n)
    return np.where(gain + loss == 0, 0.5, divide(gain, gain + loss))


def stochastic(high: Floats, low: Floats, close: Floats, n: int = 14, smooth: int = 3) -> tuple[Floats, Floats]:
    """Slow stochastic %K and %D, 0 to 1; NaN where the range is empty."""
    bottom = lowest(low, n)
    fast = divide(close - bottom, highest(high, n) - bottom)
    k = mean(fast, smooth)
    return k, mean(k, smooth)


def cci(high: Floats, low: Floats, close: Floats, n: int = 20) -> Floats:
    """Commodity channel index / 100."""
    typical = (high + low + close) / 3
    center = mean(typical, n)
    spread = np.zeros_like(typical)
    for k in range(n):
        spread += np.abs(lag(typical, k) - center)
    return divide(typical - center, 0.015 * spread / n) / 100


def williams_r(high: Floats, low: Floats, close: Floats, n: int = 14) -> Floats:
    """Williams %R / 100, -1 to 0; NaN where the range is empty."""
    top = highest(high, n)
    return divide(close - top, top - lowest(low, n))


def skewness(x: Floats, n: int) -> Floats:
    """Bias-corrected sample skewness of the last n values; NaN where they do not vary."""
    # Raw moments do: hourly returns have a mean far below their spread, so nothing cancels.
    m1, m2, m3 = (total(x**power, n) / n for power in (1, 2, 3))
    second = np.where(flat(x, n), 0.0, m2 - m1**2)
    third = m3 - 3 * m1 * m2 + 2 * m1**3
    correction = float(np.sqrt(n * (n - 1)) / (n - 2))
    return divide(third, np.maximum(second, 0.0) ** 1.5) * correction


def autocorrelation(x: Floats, n: int) -> Floats:
    """Correlation of the last n values with their predecessors; NaN where either does not vary."""
    y = lag(x, 1)
    cross = total(x * y, n) - total(x, n) * total(y, n) / n
    left = total(x * x, n) - total(x, n) ** 2 / n
    right = total(y * y, n) - total(y, n) ** 2 / n
    scale = np.sqrt(np.maximum(left, 0.0) * np.maximum(right, 0.0))
    return np.clip(divide(cross, scale), -1.0, 1.0)
