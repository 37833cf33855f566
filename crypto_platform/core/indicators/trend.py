"""Moving averages against price, MACD, directional movement, Aroon and slope."""

from typing import NamedTuple

import numpy as np

from crypto_platform.core.indicators.volatility import true_range
from crypto_platform.core.indicators.windows import (
    NEGLIGIBLE,
    Floats,
    divide,
    ema,
    lag,
    since_highest,
    since_lowest,
    wilder,
    wilder_sum,
)


class Macd(NamedTuple):
    """MACD line, its signal line and their difference, in price units."""

    line: Floats
    signal: Floats
    histogram: Floats


def macd(close: Floats, fast: int = 12, slow: int = 26, smooth: int = 9) -> Macd:
    """Moving average convergence divergence.

    Both means begin on bar `slow` - 1: the fast one is seeded by the `fast` values that end there, as TA-Lib does.
    """
    started = close.copy()
    started[:, : slow - fast] = np.nan
    line = ema(started, fast) - ema(close, slow)
    signal = ema(line, smooth)
    line = np.where(np.isnan(signal), np.nan, line)  # the three appear together
    return Macd(line, signal, line - signal)


class Directional(NamedTuple):
    """+DI, -DI and ADX, each 0 to 1."""

    plus: Floats
    minus: Floats
    adx: Floats


def directional(high: Floats, low: Floats, close: Floats, n: int = 14) -> Directional:
    """Wilder's directional movement.

    Movements and ranges are summed Wilder's way, as TA-Lib does. Without any range all three are NaN; without any
    directional movement the index DX is 0.
    """
    up, down = high - lag(high, 1), lag(low, 1) - low
    plus_move = np.where(np.isnan(up), np.nan, np.where((up > down) & (up > 0), up, 0.0))
    minus_move = np.where(np.isnan(up), np.nan, np.where((down > up) & (down > 0), down, 0.0))
    ranges = wilder_sum(true_range(high, low, close), n)
    still = ranges <= NEGLIGIBLE * close
    up_sum, down_sum = wilder_sum(plus_move, n), wilder_sum(minus_move, n)
    moved = up_sum + down_sum
    strength = np.where(moved <= NEGLIGIBLE * close, 0.0, divide(np.abs(up_sum - down_sum), moved))
    ranges = np.where(still, np.nan, ranges)
    adx = np.where(still, np.nan, wilder(strength, n))
    return Directional(divide(up_sum, ranges), divide(down_sum, ranges), adx)


def aroon_oscillator(high: Floats, low: Floats, n: int = 25) -> Floats:
    """(hours since the lowest low - hours since the highest high) / n over n + 1 hours, -1 to 1."""
    return (since_lowest(low, n + 1) - since_highest(high, n + 1)) / n
