"""Ranges, bands and volatility estimators."""

import numpy as np

from crypto_platform.core.indicators.windows import Floats, deviation, divide, flat, lag, ln, mean, wilder

BAND_WIDTH = 2.0  # Bollinger's standard deviations (ddof = 0)


def true_range(high: Floats, low: Floats, close: Floats) -> Floats:
    """Wilder's true range, price units; NaN at the first hour, which has no close before it."""
    before = lag(close, 1)
    return np.maximum(high, before) - np.minimum(low, before)


def normalized_atr(high: Floats, low: Floats, close: Floats, n: int = 14) -> Floats:
    """Wilder's average true range / close."""
    return divide(wilder(true_range(high, low, close), n), close)


def band_position(close: Floats, n: int = 20) -> Floats:
    """Place of the close between the Bollinger bands: 0 = lower, 1 = upper; 0.5 where they have no width."""
    half = BAND_WIDTH * deviation(close, n, ddof=0)
    position = divide(close - (mean(close, n) - half), 2 * half)
    return np.where(flat(close, n), 0.5, position)


def band_width(close: Floats, n: int = 20) -> Floats:
    """Distance between the Bollinger bands / their middle."""
    return divide(2 * BAND_WIDTH * deviation(close, n, ddof=0), mean(close, n))


def parkinson(high: Floats, low: Floats, n: int = 24) -> Floats:
    """Parkinson (1980) volatility per hour, from the range alone."""
    variance = mean(ln(divide(high, low)) ** 2, n) / (4 * np.log(2))
    return np.asarray(np.sqrt(variance))


def garman_klass(opened: Floats, high: Floats, low: Floats, close: Floats, n: int = 24) -> Floats:
    """Garman & Klass (1980) volatility per hour; a negative estimate counts as 0."""
    term = 0.5 * ln(divide(high, low)) ** 2 - (2 * np.log(2) - 1) * ln(divide(close, opened)) ** 2
    return np.asarray(np.sqrt(np.maximum(0.0, mean(term, n))))


def zscore(x: Floats, n: int) -> Floats:
    """(x - its mean) / its standard deviation (ddof = 1) over n; NaN where it does not vary."""
    return divide(x - mean(x, n), deviation(x, n))
