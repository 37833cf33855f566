"""Volume indicators under the zero-volume rule.

Hours without a trade are left out of a window, of which at least `MIN_SHARE` must remain; a zero-volume hour itself
has no value.
"""

import math
from typing import Any

import bottleneck as bn
import numpy as np

from crypto_platform.core.indicators.windows import Floats, divide, lag, ln

MIN_SHARE = 0.8


def _over_traded(function: Any, x: Floats, volume: Floats, n: int, **options: int) -> Floats:
    """A moving statistic of x over the traded hours of full windows; NaN at untraded hours and too thin windows."""
    if x.shape[1] < n:
        return np.full_like(x, np.nan)
    traded = np.where(volume > 0, x, np.nan)
    values = np.asarray(function(traded, window=n, min_count=math.ceil(MIN_SHARE * n), axis=1, **options))
    values[:, : n - 1] = np.nan
    return np.where(volume > 0, values, np.nan)


def volume_ratio(volume: Floats, n: int) -> Floats:
    """ln(volume / its mean over the traded hours of n)."""
    return ln(divide(volume, _over_traded(bn.move_mean, volume, volume, n)))


def log_volume_zscore(volume: Floats, n: int) -> Floats:
    """(ln volume - mean) / standard deviation (ddof = 1) of ln volume over the traded hours of n."""
    logs = ln(volume)
    return divide(
        logs - _over_traded(bn.move_mean, logs, volume, n), _over_traded(bn.move_std, logs, volume, n, ddof=1)
    )


def vwap_ratio(high: Floats, low: Floats, close: Floats, volume: Floats, n: int = 24) -> Floats:
    """Close / volume-weighted typical price over the traded hours of n - 1."""
    typical = (high + low + close) / 3
    value = _over_traded(bn.move_sum, typical * volume, volume, n)
    return divide(close, divide(value, _over_traded(bn.move_sum, volume, volume, n))) - 1


def money_flow_index(high: Floats, low: Floats, close: Floats, volume: Floats, n: int = 14) -> Floats:
    """Share of the money flow of n hours that came with a rising typical price, 0 to 1; NaN without any flow."""
    typical = (high + low + close) / 3
    change = typical - lag(typical, 1)
    flow = np.where(np.isnan(change), np.nan, typical * volume)
    rising = _over_traded(bn.move_sum, np.where(change < 0, 0.0, flow) * (change != 0), volume, n)
    falling = _over_traded(bn.move_sum, np.where(change > 0, 0.0, flow) * (change != 0), volume, n)
    first = np.arange(volume.shape[1]) < n  # the first change is one hour late
    return np.where(first, np.nan, divide(rising, rising + falling))
