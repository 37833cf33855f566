"""Volume indicators under the zero-volume rule.

Hours without a trade are left out of a window, of which at least `MIN_SHARE` must remain; a zero-volume hour itself
has no value.
"""

import math

import numpy as np
from numpy.typing import NDArray

from crypto_platform.core.indicators.windows import Floats, divide, lag, ln, moments_where, total

MIN_SHARE = 0.8


def _enough(volume: Floats, n: int) -> NDArray[np.bool_]:
    """True at traded hours of which at least `MIN_SHARE` of the window of n were traded."""
    traded = volume > 0
    return traded & (total(traded.astype(float), n) >= math.ceil(MIN_SHARE * n))


def _traded_total(x: Floats, volume: Floats, n: int) -> Floats:
    """Sum of x over the traded hours of full windows; NaN at untraded hours and too thin windows."""
    return np.where(_enough(volume, n), total(np.where(volume > 0, x, 0.0), n), np.nan)


def volume_ratio(volume: Floats, n: int) -> Floats:
    """ln(volume / its mean over the traded hours of n)."""
    count = _traded_total(np.ones_like(volume), volume, n)
    return ln(divide(volume, divide(_traded_total(volume, volume, n), count)))


def log_volume_zscore(volume: Floats, n: int) -> Floats:
    """(ln volume - mean) / standard deviation (ddof = 1) of ln volume over the traded hours of n."""
    logs = ln(volume)
    count, center, second = moments_where(logs, volume > 0, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(second / (count - 1))
    return np.where(_enough(volume, n), divide(logs - center, spread), np.nan)


def vwap_ratio(high: Floats, low: Floats, close: Floats, volume: Floats, n: int = 24) -> Floats:
    """Close / volume-weighted typical price over the traded hours of n - 1."""
    typical = (high + low + close) / 3
    return divide(close, divide(_traded_total(typical * volume, volume, n), _traded_total(volume, volume, n))) - 1


def money_flow_index(high: Floats, low: Floats, close: Floats, volume: Floats, n: int = 14) -> Floats:
    """Share of the money flow of n hours that came with a rising typical price, 0 to 1; NaN without any flow."""
    typical = (high + low + close) / 3
    change = typical - lag(typical, 1)
    flow = np.where(np.isnan(change), np.nan, typical * volume)
    rising = _traded_total(np.where(change > 0, flow, 0.0 * flow), volume, n)
    falling = _traded_total(np.where(change < 0, flow, 0.0 * flow), volume, n)
    return divide(rising, rising + falling)
