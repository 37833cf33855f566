"""Candles on an hourly grid: short gaps filled, long gaps splitting a series into segments.

Every row of a panel is one segment of one symbol, left-aligned at its first hour and padded with NaN on the right.
Windows and recursions along a row can therefore never see another segment, and never look ahead.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAX_FILL: Final = 2  # hours; a longer gap splits the series
FILL_WINDOW: Final = 168
MAX_FILLED_IN_WINDOW: Final = 5  # more filled hours than this among FILL_WINDOW count as a long gap
HOUR_NS: Final = "datetime64[h]"
FIELDS: Final = ("open", "high", "low", "close", "volume_base")


@dataclass(frozen=True, slots=True)
class Panel:
    """Gap-free segments of many symbols, stacked.

    Attributes
    ----------
    symbols : array of str, shape (n_segments,)
        Symbol of each row.
    starts : array of int, shape (n_segments,)
        First hour of each row, in hours since 1970.
    lengths : array of int, shape (n_segments,)
        Hours of each row; the rest of it is padding.
    open, high, low, close, volume : array, shape (n_segments, max_length)
        NaN in the padding. A filled hour has the close before it as all four prices, and volume 0.
    is_filled : array of bool, shape (n_segments, max_length)
        True for hours without a candle of their own, and for padding.
    unlabeled : array of bool, shape (n_segments, max_length)
        True where a label must not begin or end: filled hours, and hours taken from a fallback source.
    """

    symbols: NDArray[np.object_]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    is_filled: NDArray[np.bool_]
    unlabeled: NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, int]:
        """(n_segments, max_length)."""
        return self.close.shape[0], self.close.shape[1]

    @property
    def hours(self) -> NDArray[np.int64]:
        """Hour of every cell since 1970, shape (n_segments, max_length); padding counts on."""
        return self.starts[:, None] + np.arange(self.shape[1])

    @property
    def inside(self) -> NDArray[np.bool_]:
        """True for cells that are not padding."""
        return np.arange(self.shape[1]) < self.lengths[:, None]


def hours_since_1970(timestamps: pd.Series) -> NDArray[np.int64]:
    """Whole hours since 1970 of a UTC series."""
    return np.asarray(timestamps.dt.tz_convert(None).to_numpy().astype(HOUR_NS).astype(np.int64))


def from_hours(hours: NDArray[np.int64]) -> pd.DatetimeIndex:
    """UTC instants of whole hours since 1970, datetime64[us, UTC]."""
    return pd.DatetimeIndex(hours.astype(HOUR_NS).astype("datetime64[us]"), tz="UTC")


def build_panel(candles: pd.DataFrame) -> Panel:
    """Place candles on the grid.

    Parameters
    ----------
    candles : DataFrame
        Columns `symbol`, `timestamp` (UTC, on the hour) and `FIELDS`; sorted by symbol, then time, without duplicates.
        An optional boolean `is_fallback` marks hours taken from another source than the symbol's own.

    Returns
    -------
    Panel
        Where a segment begins depends on hours up to its first one only: withholding later candles changes nothing
        before them.
    """
    if candles.empty:
        return _empty()
    hours = hours_since_1970(candles["timestamp"])
    codes, names = pd.factorize(candles["symbol"], sort=False)
    new_symbol = np.r_[True, codes[1:] != codes[:-1]]
    gap = np.where(new_symbol, 0, np.r_[0, np.diff(hours)] - 1)  # missing hours before each candle
    splits = new_symbol | (gap > MAX_FILL)
    splits |= _too_many_filled(hours, np.where(splits, 0, gap), splits)

    segment = np.cumsum(splits) - 1
    first = np.flatnonzero(splits)
    starts = hours[first]
    last = np.r_[first[1:] - 1, len(hours) - 1]
    lengths = hours[last] - starts + 1
    cells = (segment, hours - starts[segment])
    shape = (len(first), int(lengths.max()))

    def grid(values: NDArray[np.float64]) -> Floats:
        laid = np.full(shape, np.nan)
        laid[cells] = values
        return laid

    close = grid(candles["close"].to_numpy(float))
    inside = np.arange(shape[1]) < lengths[:, None]
    is_filled = np.isnan(close)
    holes = is_filled & inside
    before = np.maximum.accumulate(np.where(is_filled, 0, np.arange(shape[1])), axis=1)
    close[holes] = np.take_along_axis(close, before, axis=1)[holes]
    prices = {name: grid(candles[name].to_numpy(float)) for name in ("open", "high", "low")}
    for laid in prices.values():
        laid[holes] = close[holes]
    volume = grid(candles["volume_base"].to_numpy(float))
    volume[holes] = 0.0
    unlabeled = is_filled.copy()
    if "is_fallback" in candles.columns:
        unlabeled[cells] |= candles["is_fallback"].to_numpy(bool)
    return Panel(
        symbols=np.asarray(names, dtype=object)[codes[first]],
        starts=starts,
        lengths=lengths,
        close=close,
        volume=volume,
        is_filled=is_filled,
        unlabeled=unlabeled,
        **prices,
    )


def _too_many_filled(
    hours: NDArray[np.int64], filled_before: NDArray[np.int64], splits: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Candles before whose gap more than `MAX_FILLED_IN_WINDOW` of the last `FILL_WINDOW` hours were filled.

    Only candles that end a short gap can be such, and they are few: a loop over them is cheap and exact.
    """
    extra = np.zeros(len(hours), dtype=bool)
    gaps = np.flatnonzero(filled_before > 0)
    segment = np.cumsum(splits)
    recent: list[int] = []  # candles of this segment that ended a short gap within the window
    for i in gaps.tolist():
        recent = [j for j in recent if segment[j] == segment[i] and hours[i] - hours[j] < FILL_WINDOW] + [i]
        if sum(int(filled_before[j]) for j in recent) > MAX_FILLED_IN_WINDOW:
            extra[i] = True
            recent = []
    return extra


def _empty() -> Panel:
    grid, flags = np.empty((0, 0)), np.empty((0, 0), dtype=bool)
    numbers = np.empty(0, dtype=np.int64)
    return Panel(np.empty(0, dtype=object), numbers, numbers, grid, grid, grid, grid, grid, flags, flags)
