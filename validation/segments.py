"""The inputs of features, laid out again in plain loops: gap-free stretches, and what was known at each hour.

Nothing here calls the platform. The rules are those of `core.panel` and `core.joins`, in words: gaps of up to two hours
are carried, unless more than five of the last 168 hours are missing; a record counts once it is known, the newest one
by the time it speaks of, until it is too old.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HOUR = timedelta(hours=1)
CARRIED, CROWDED, WITHIN = 2, 5, 168  # hours
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Segment:
    """One symbol's hours without a long gap, oldest first; arrays of shape (n_hours,).

    Attributes
    ----------
    symbol : str
    hours : list of datetime, UTC
        Starts of the candles.
    open, high, low, close, volume : array
        Of a carried hour: the close before it, and volume 0.
    filled : array of bool
    joined : dict of str to array
        `sentiment`, `turnover`, `btc_1` and `btc_24` at the end of each hour, NaN where unknown; `btc_seen`, 1 where
        the reference has a candle of the hour, which it may lack and yet be carried once its next one has come.
    """

    symbol: str
    hours: list[datetime]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    filled: NDArray[np.bool_]
    joined: dict[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.hours)


def segments(candles: pd.DataFrame) -> list[Segment]:
    """Segments of each symbol in turn."""
    return [
        _laid(str(symbol), stretch)
        for symbol, mine in candles.groupby("symbol", sort=False)
        for stretch in _stretches(list(mine.itertuples(index=False)))
    ]


def _stretches(rows: list) -> list[list]:
    stretches, missing = [rows[:1]], deque[datetime]()
    for before, row in pairwise(rows):
        here = row.timestamp.to_pydatetime()
        gap = round((row.timestamp - before.timestamp) / HOUR) - 1
        if 0 < gap <= CARRIED:
            missing.extend(here - k * HOUR for k in range(gap, 0, -1))
        while missing and missing[0] <= here - WITHIN * HOUR:
            missing.popleft()
        if gap > CARRIED or (gap and len(missing) > CROWDED):
            stretches.append([])
        stretches[-1].append(row)
    return stretches


def _laid(symbol: str, rows: list) -> Segment:
    hours, values, filled = [], [], []
    for row in rows:
        here = row.timestamp.to_pydatetime()
        while hours and hours[-1] + HOUR < here:
            hours.append(hours[-1] + HOUR)
            values.append((*[values[-1][3]] * 4, 0.0))
            filled.append(True)
        hours.append(here)
        values.append((row.open, row.high, row.low, row.close, row.volume_base))
        filled.append(False)
    return Segment(symbol, hours, *np.array(values, dtype=float).T.copy(), np.array(filled))


def as_known(hours: list[datetime], records: Iterable[tuple[datetime, datetime, float]], stale: timedelta) -> Floats:
    """Value of the newest record known at the end of each hour; NaN if none, or older than `stale`.

    Parameters
    ----------
    hours : list of datetime
        Ascending.
    records : iterable of (datetime, datetime, float)
        When each was known, what time it speaks of, its value.
    stale : timedelta
    """
    waiting = deque(sorted(records, key=lambda record: record[:2]))
    newest, told = None, []
    for hour in hours:
        while waiting and waiting[0][0] <= hour + HOUR:
            _, speaks_of, value = waiting.popleft()
            if newest is None or speaks_of >= newest[0]:
                newest = speaks_of, value
        fresh = newest is not None and hour + HOUR - newest[0] <= stale
        told.append(newest[1] if fresh else np.nan)
    return np.array(told)


def returns_by_hour(reference: list[Segment], k: int) -> dict[datetime, float]:
    """Log return over k hours at each hour of the reference's segments."""
    return {
        hour: float(np.log(segment.close[i] / segment.close[i - k]))
        for segment in reference
        for i, hour in enumerate(segment.hours)
        if i >= k
    }
