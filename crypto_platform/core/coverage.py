"""Which hours a series still wants: chunks to ask for, stretches that are missing, and when to ask for those again."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd

from crypto_platform.core.bars import FROZEN_HOURS
from crypto_platform.core.hours import HOUR
from crypto_platform.core.panel import from_hours, hours_since_1970

# With the hours of context, one page of the price indices and two of Binance; a kill loses no more than this.
CHUNK_HOURS: Final = 2000 - FROZEN_HOURS
FIRST_WAIT: Final = HOUR
WAIT_FACTOR: Final = 4
LONGEST_WAIT: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Interval:
    """Hours of [start, end)."""

    start: datetime
    end: datetime

    @property
    def hours(self) -> int:
        """Number of hours, 0 where it ends before it starts."""
        return max(0, (self.end - self.start) // HOUR)

    def overlaps(self, other: "Interval") -> bool:
        """Whether they share an hour."""
        return self.start < other.end and other.start < self.end


def forward(start: datetime, end: datetime, size: int = CHUNK_HOURS) -> Iterator[Interval]:
    """[start, end) in chunks of at most `size` hours, oldest first.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = datetime(2026, 1, 1, tzinfo=UTC)
    >>> [chunk.hours for chunk in forward(day, day + 5 * HOUR, 2)]
    [2, 2, 1]
    """
    while start < end:
        chunk = Interval(start, min(start + size * HOUR, end))
        yield chunk
        start = chunk.end


def backward(start: datetime, end: datetime, size: int = CHUNK_HOURS) -> Iterator[Interval]:
    """[start, end) in chunks of at most `size` hours, newest first."""
    while start < end:
        chunk = Interval(max(end - size * HOUR, start), end)
        yield chunk
        end = chunk.start


def missing(stamps: pd.Series, within: Interval) -> list[Interval]:
    """Stretches of hours inside an interval that have no candle.

    Parameters
    ----------
    stamps : Series of datetime64[us, UTC]
        Open times, ascending, unique; those outside `within` are left alone.

    Returns
    -------
    list of Interval
        Ascending, none of them adjacent.
    """
    bounds = hours_since_1970(pd.Series([within.start, within.end]))
    held = hours_since_1970(stamps)
    held = held[(held >= bounds[0]) & (held < bounds[1])]
    edges = np.concatenate([[bounds[0] - 1], held, [bounds[1]]])
    holes = np.flatnonzero(np.diff(edges) > 1)
    starts, ends = from_hours(edges[holes] + 1), from_hours(edges[holes + 1])
    return [Interval(a.to_pydatetime(), b.to_pydatetime()) for a, b in zip(starts, ends, strict=True)]


def wait_after(attempts: int) -> timedelta:
    """How long to leave a gap alone after so many attempts to fill it: 1 h, 4 h, 16 h, … at most 30 days.

    What a vendor published late comes within hours; what it never had is not worth a request each tick.

    Examples
    --------
    >>> [wait_after(n) // HOUR for n in (1, 2, 3, 9)]
    [1, 4, 16, 720]
    """
    factor: int = WAIT_FACTOR ** min(attempts - 1, 9)
    return min(FIRST_WAIT * factor, LONGEST_WAIT)
