"""Candles on an hourly grid: short gaps filled, long gaps splitting a series into segments.

Every row of a panel is one segment of one symbol, left-aligned at its first hour and padded with NaN on the right.
Windows and recursions along a row can therefore never see another segment, and never look ahead.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crypto_platform.errors import InvalidBarsError

Floats = NDArray[np.float64]

MAX_FILL: Final = 2  # hours; a longer gap splits the series
FILL_WINDOW: Final = 168
MAX_FILLED_IN_WINDOW: Final = 5  # more missing hours than this among FILL_WINDOW make a short gap count as a long one
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

    def blocks(self, cells: int) -> Iterator["Panel"]:
        """Panels of consecutive segments, in order, each as narrow as its longest one and at most `cells` large.

        A segment that is larger alone comes alone. Small blocks stay in the processor's cache, and a short segment is
        not padded to the longest of all.
        """
        first = 0
        for end in range(1, len(self.lengths) + 1):
            if end == len(self.lengths) or (end + 1 - first) * self.lengths[first : end + 1].max() > cells:
                yield self._part(slice(first, end), slice(int(self.lengths[first:end].max())))
                first = end

    def since(self, column: int) -> "Panel":
        """The panel without its first columns; segments that end before are all padding."""
        part = self._part(slice(None), slice(column, None))
        return replace(part, starts=self.starts + column, lengths=np.maximum(self.lengths - column, 0))

    def _part(self, rows: slice, columns: slice) -> "Panel":
        arrays = {f.name: getattr(self, f.name)[rows] for f in fields(self)}
        return Panel(**{name: a[:, columns] if a.ndim == 2 else a for name, a in arrays.items()})

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
        Where a segment begins depends on its first hour and the `FILL_WINDOW` before it only: withholding later or
        much earlier candles changes nothing. Hours after a symbol's last candle are not there, never filled.

    Raises
    ------
    InvalidBarsError
        A candle is off the hour, out of order, there twice, or a price or volume is not a sound number.
    """
    if candles.empty:
        return _empty()
    hours = hours_since_1970(candles["timestamp"])
    codes, names = pd.factorize(candles["symbol"], sort=False)
    _require_sound(candles, hours, codes)
    new_symbol = np.r_[True, codes[1:] != codes[:-1]]
    gap = np.where(new_symbol, 0, np.diff(hours, prepend=hours[0]) - 1)  # missing hours before each candle
    splits = new_symbol | (gap > MAX_FILL) | _too_many_filled(hours, gap, new_symbol)

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
    hours: NDArray[np.int64], gap: NDArray[np.int64], new_symbol: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Candles that end a short gap after which more than `MAX_FILLED_IN_WINDOW` of `FILL_WINDOW` hours are missing.

    All short gaps of the window count, those that were not filled too: so the answer depends on these hours alone, and
    is the same wherever the reading of a history begins.
    """
    short = np.where(gap <= MAX_FILL, gap, 0)
    ends = np.flatnonzero(short)
    # One clock for all symbols, a window apart from each other, so that one search serves them all.
    clock = hours + np.cumsum(new_symbol) * (int(np.ptp(hours)) + FILL_WINDOW)
    before = np.r_[0, np.cumsum(short)]  # missing hours before each candle
    oldest = np.searchsorted(clock, clock[ends] - FILL_WINDOW, side="right")  # first candle inside the window
    missing = before[ends + 1] - before[oldest]
    # Of the gap that the oldest candle ends, only the hours inside the window.
    overhang = clock[ends] - FILL_WINDOW - (clock[oldest] - short[oldest]) + 1
    missing -= np.clip(overhang, 0, short[oldest])
    crowded = np.zeros(len(hours), dtype=bool)
    crowded[ends] = missing > MAX_FILLED_IN_WINDOW
    return crowded


def _require_sound(candles: pd.DataFrame, hours: NDArray[np.int64], codes: NDArray[np.int64]) -> None:
    """Raise on what would become a wrong number further down."""
    same = codes[1:] == codes[:-1]
    prices = candles[list(FIELDS[:4])].to_numpy(float)
    volume = candles["volume_base"].to_numpy(float)
    unsorted = np.zeros(len(hours), dtype=bool)
    unsorted[1:] = same & (np.diff(hours) <= 0)
    first = np.flatnonzero(np.r_[True, ~same])
    _, once = np.unique(codes[first], return_index=True)
    returns = np.delete(first, once)
    unsorted[returns] = True
    instants = candles["timestamp"].dt.tz_convert(None)  # UTC: hours of other zones may begin at a half
    rules = (
        ((instants != instants.dt.floor("h")).to_numpy(bool), "is not on the hour"),
        (unsorted, "is out of order or there twice: sort by symbol and time, drop duplicates"),
        (~(np.isfinite(prices) & (prices > 0)).all(axis=1), "has a price that is not finite and positive"),
        (~(np.isfinite(volume) & (volume >= 0)), "has a volume that is not finite and at least 0"),
    )
    for broken, complaint in rules:
        if broken.any():
            row = candles.iloc[int(broken.argmax())]
            raise InvalidBarsError(f"the candle of {row['symbol']} at {row['timestamp']} {complaint}")


def _empty() -> Panel:
    grid, flags = np.empty((0, 0)), np.empty((0, 0), dtype=bool)
    numbers = np.empty(0, dtype=np.int64)
    return Panel(np.empty(0, dtype=object), numbers, numbers, grid, grid, grid, grid, grid, flags, flags)
