"""Times as files write them: epochs in any unit, ISO texts, and dates in the orders people write them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crypto_platform.core.vintages import LATEST, best_clock, clock_quality

MICROSECONDS_FROM: Final = 1e14  # 1973 in microseconds, the year 5138 in milliseconds
MILLISECONDS_FROM: Final = 1e11  # 1973 in milliseconds, the year 5138 in seconds
SAMPLE: Final = 200  # rows on which a form of writing must work once to be tried on all
PLAIN: Final = 0.9  # share of hours that follow one another from which a clock without a flaw needs no rival

_DATES: Final = ("%d-%m-%y", "%d-%m-%Y", "%m-%d-%y", "%m-%d-%Y", "%y-%m-%d", "%Y-%m-%d")
_TIMES: Final = (" %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", " %I-%p", "")
_FORMS: Final = tuple(date + time for date in _DATES for time in _TIMES)
_SEPARATOR: Final = re.compile(r"(?<=\d)[/.](?=\d)")
_ZONE: Final = re.compile(r"(Z|UTC|GMT|[+-]\d\d(:?\d\d)?)$")


@dataclass(frozen=True, slots=True)
class Clock:
    """One reading of one column of times.

    Parameters
    ----------
    name : str
        Column or columns, and how they were read.
    seconds : array of float64
        Since 1970, UTC; NaN where a cell could not be read so.
    naive : bool
        Whether it had to take times without a zone as UTC.
    """

    name: str
    seconds: NDArray[np.float64]
    naive: bool = False


def epoch_seconds(value: float) -> float:
    """Seconds of an epoch in seconds, milliseconds or microseconds, told apart by magnitude.

    Examples
    --------
    >>> [epoch_seconds(v) for v in (1735689600, 1735689600000, 1735689600000000)]
    [1735689600.0, 1735689600.0, 1735689600.0]
    """
    if value > MICROSECONDS_FROM:
        return value / 1_000_000
    return value / 1000.0 if value > MILLISECONDS_FROM else float(value)


def choose_clock(columns: Sequence[tuple[str, Sequence[Any]]]) -> tuple[Clock | None, tuple[str, ...]]:
    """The best hourly clock that a file's columns of times hold.

    Parameters
    ----------
    columns : sequence of (name, cells)
        In order of trust.

    Returns
    -------
    clock : Clock or None
        The reading under which most hours follow an hour that is there too, then under which most hours are
        distinct (`core.vintages.clock_quality`); of equally good ones the first: epochs before ISO texts before
        other forms. None where no reading finds a full hour.
    rivals : tuple of str
        Other forms that are as good and say other hours: the file does not tell which one it means.
    """
    readings: list[Clock] = []
    for reading in (reading for name, cells in columns for reading in _readings(name, cells)):
        readings.append(reading)
        following, distinct = clock_quality(reading.seconds)
        if "%" not in reading.name and distinct == len(reading.seconds) and following >= PLAIN * (distinct - 1):
            break
    if not readings:
        return None, ()
    best = readings[best_clock([reading.seconds for reading in readings])]
    quality = clock_quality(best.seconds)
    if quality[1] == 0:
        return None, ()
    is_form = "%" in best.name
    rivals = [
        r.name
        for r in readings
        if is_form
        and clock_quality(r.seconds) == quality
        and not np.array_equal(r.seconds, best.seconds, equal_nan=True)
    ]
    return best, tuple(rivals)


def instants(cells: Sequence[Any]) -> NDArray[np.float64]:
    """Seconds since 1970 of cells that are epochs or ISO texts; NaN where one is neither."""
    epochs = np.array([_epoch(cell) for cell in cells])
    if np.isfinite(epochs).all():
        return epochs
    iso = _parsed([cell if isinstance(cell, str) else "" for cell in cells], "ISO8601")
    return np.where(np.isfinite(epochs), epochs, iso)


def _readings(name: str, cells: Sequence[Any]) -> Iterator[Clock]:
    epochs = np.array([_epoch(cell) for cell in cells])
    if np.isfinite(epochs).any():
        yield Clock(name, epochs)
    texts = [
        cell if isinstance(cell, str) and not np.isfinite(e) else "" for cell, e in zip(cells, epochs, strict=True)
    ]
    if not any(texts):
        return
    naive = any(text and not _ZONE.search(text) for text in texts)
    iso = _parsed(texts, "ISO8601")
    if np.isfinite(iso).any():
        yield Clock(f"{name} as ISO", iso, naive)
    texts = [_SEPARATOR.sub("-", text) for text in texts]
    sample = [text for text in texts if text][:SAMPLE]
    for form in _FORMS:
        if np.isfinite(_parsed(sample, form)).any():
            yield Clock(f"{name} as {form}", _parsed(texts, form), naive=True)


def _epoch(cell: Any) -> float:
    if cell is None or isinstance(cell, bool):
        return np.nan
    try:
        seconds = epoch_seconds(float(cell))
    except (TypeError, ValueError, OverflowError):
        return np.nan
    return seconds if 0 <= seconds < LATEST else np.nan


def _parsed(texts: Sequence[str], form: str) -> NDArray[np.float64]:
    read = pd.to_datetime(pd.Series(list(texts), dtype=object), format=form, utc=True, errors="coerce")
    seconds = read.astype("datetime64[us, UTC]").astype("int64").to_numpy() / 1_000_000
    seconds = np.where(read.isna(), np.nan, seconds)
    return np.where((seconds >= 0) & (seconds < LATEST), seconds, np.nan)
