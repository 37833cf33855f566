"""Candles unlike the weeks before them, and prices that do not move. They are shown, never dropped: crashes are real.

Bounds are in units of a symbol's own robust scale, and never below an absolute floor, so that a quiet stablecoin is
left alone. On 17 recorded symbols (80 symbol-years of hourly candles, `benchmarks.recorded`) they flag 6 hours on 4
days a symbol and year in the median: 22 for DOGE, 25 for FTT in its ruin, none for a stablecoin. No outage froze a
price for longer than 3 hours there.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crypto_platform.core.hours import HOUR

SCALE_OVER: Final = timedelta(days=21)  # hours that the scale is taken from
MIN_HOURS: Final = 72  # fewer returns tell no scale: nothing is flagged
NORMAL: Final = 1.4826  # median |r| to standard deviation, if r were normal


@dataclass(frozen=True, slots=True)
class Bound:
    """A change is beyond the bound where it is more than so many scales, and more than a share of the price."""

    scales: float
    share: float

    @property
    def floor(self) -> float:
        """The share in log units."""
        return math.log1p(self.share)

    def at(self, scale: float) -> float:
        """The bound of a symbol with this scale."""
        return max(self.scales * scale, self.floor)

    def __str__(self) -> str:
        return f"{self.scales:g} scales and {self.share:.0%}"


CLOSE: Final = Bound(15, 0.05)  # |ln(close / previous close)|
OPEN: Final = Bound(5, 0.02)  # |ln(open / previous close)|: trading goes on where it stopped
RANGE: Final = Bound(25, 0.10)  # ln(high / low)


@dataclass(frozen=True, slots=True)
class Outlier:
    """One hour that is unlike the others.

    Parameters
    ----------
    timestamp : datetime
        Start of the hour.
    what : str
        ``close``, ``open`` or ``range``.
    size : float
        Log units; signed for `close` and `open`.
    scales : float
        `size` in units of the symbol's scale; infinite where that is 0.
    """

    timestamp: datetime
    what: str
    size: float
    scales: float

    def __str__(self) -> str:
        change = f"{math.expm1(self.size):+.1%}"
        said = {"close": f"close {change}", "open": f"open {change} off the close before", "range": f"range {change}"}
        return f"{self.timestamp:%Y-%m-%d %H:%M} {said[self.what]} ({abs(self.scales):.0f} scales)"


def robust_scale(returns: NDArray[np.float64]) -> float:
    """Spread of log returns that half of them cannot move.

    Parameters
    ----------
    returns : array of float
        Hourly log returns; NaN is left out.

    Returns
    -------
    float
        Median of |r| times 1.4826, the standard deviation if they were normal; NaN of fewer than `MIN_HOURS`.
    """
    known = returns[~np.isnan(returns)]
    return float(np.median(np.abs(known))) * NORMAL if len(known) >= MIN_HOURS else math.nan


def find_outliers(candles: pd.DataFrame, since: datetime) -> list[Outlier]:
    """Hours from `since` on whose close, open or range is beyond its bound.

    Parameters
    ----------
    candles : DataFrame
        `timestamp`, `open`, `high`, `low`, `close` of one symbol, ascending: `SCALE_OVER` before `since` and on.
    since : datetime
        First hour that is judged; those before give the scale.

    Returns
    -------
    list of Outlier
        In order of time. After a gap of n hours the bounds on close and open are √n times as wide.
    """
    stamps = candles["timestamp"]
    logs = {name: np.log(candles[name].to_numpy(float)) for name in ("open", "high", "low", "close")}
    before = np.r_[np.nan, logs["close"][:-1]]
    hours = (stamps.diff() / HOUR).to_numpy(float)
    judged = (stamps >= since).to_numpy()
    sizes = {"close": logs["close"] - before, "open": logs["open"] - before, "range": logs["high"] - logs["low"]}
    scale = robust_scale(np.where((hours == 1) & ~judged, sizes["close"], np.nan))
    if math.isnan(scale):
        return []
    root = {"close": np.sqrt(hours), "open": np.sqrt(hours), "range": np.ones(len(candles))}
    found = []
    for what, bound in (("close", CLOSE), ("open", OPEN), ("range", RANGE)):
        for i in np.flatnonzero(judged & (np.abs(sizes[what]) > bound.at(scale) * root[what])):
            size = float(sizes[what][i])
            scales = size / (scale * root[what][i]) if scale else math.copysign(math.inf, size)
            found.append(Outlier(stamps.iloc[i].to_pydatetime(), what, size, float(scales)))
    return sorted(found, key=lambda outlier: outlier.timestamp)


def longest_run(stamps: pd.Series) -> int:
    """Most hours in a row among ascending, unique hours.

    Examples
    --------
    >>> longest_run(pd.Series(pd.to_datetime(["2026-01-01 00:00", "2026-01-01 03:00", "2026-01-01 04:00"], utc=True)))
    2
    """
    if stamps.empty:
        return 0
    breaks = (stamps.diff() != HOUR).cumsum()
    return int(breaks.value_counts().max())
