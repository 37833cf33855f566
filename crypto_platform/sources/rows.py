"""From parsed vendor rows to sound candles and rejected ones."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import pandas as pd

from crypto_platform.core.bars import CANDLE_COLUMNS, TIMESTAMP_DTYPE, empty_candles, rejection_reasons
from crypto_platform.core.hours import HOUR, floor_hour
from crypto_platform.core.provenance import Provenance, source_label
from crypto_platform.sources.base import PAYLOAD_LIMIT, Fetched, Rejected
from crypto_platform.tables import ohlcv_data

MALFORMED: Final = "malformed"
DUPLICATE: Final = "duplicate"  # as `core.bars.rejection_reasons` names it
CONTRADICTORY: Final = "contradictory"  # several values, with nothing to choose by
UNKNOWN_COIN: Final = "unknown_coin"  # by the identifier that the symbols file gives
FUTURE: Final = "future"
CLOCK_TOLERANCE: Final = timedelta(minutes=1)  # a vendor's machines differ by less
AHEAD: Final = timedelta(minutes=5)  # the same for what is not measured in hours: its time is nobody's grid
LATEST: Final = 2**33  # the year 2242: milliseconds taken for seconds lie far beyond

Parsed = tuple[float, ...]


@dataclass(slots=True)
class Page:
    """Rows of one answer, or of several.

    Parameters
    ----------
    parsed : list of tuple
        (epoch seconds, open, high, low, close, volume_base, volume, trades) of each row that could be read.
    raw : list
        The same rows as they came.
    malformed : list
        Rows that could not be read.
    """

    parsed: list[Parsed] = field(default_factory=list)
    raw: list[Any] = field(default_factory=list)
    malformed: list[Any] = field(default_factory=list)

    def add(self, other: "Page") -> None:
        """Append the rows of another page."""
        self.parsed += other.parsed
        self.raw += other.raw
        self.malformed += other.malformed


def number(value: Any) -> float:
    """A number that may come as a number, a numeric text, null or an empty text (both NaN).

    Raises
    ------
    ValueError, TypeError, OverflowError
        Anything else, "NaN" and numbers beyond a float among it.
    """
    if value is None or value == "":
        return math.nan
    if isinstance(value, bool):
        raise TypeError(f"{value!r} is no number")
    read = float(value)
    if not math.isfinite(read):  # JSON's 1e999 is read as infinity
        raise ValueError(f"{value!r} is no finite number")
    return read


def epoch_seconds(value: Any, per_second: int = 1) -> float:
    """Seconds since 1970 of a vendor's time stamp.

    Raises
    ------
    ValueError, TypeError, OverflowError
        Absent, or in another unit than the contract says.
    """
    seconds = number(value) / per_second
    if not 0 <= seconds < LATEST:
        raise ValueError(f"{value!r} is no time in the unit of its contract")
    return seconds


def read_rows(rows: Sequence[Any], read: Callable[[Any], Parsed]) -> Page:
    """Read each row of a page, keeping apart those that `read` cannot."""
    page = Page()
    for row in rows:
        try:
            page.parsed.append(read(row))
            page.raw.append(row)
        except (LookupError, TypeError, ValueError, OverflowError):
            page.malformed.append(row)
    return page


def payload_text(row: Any) -> str:
    """A row as it is kept in quarantine."""
    try:
        return json.dumps(row, default=str)[:PAYLOAD_LIMIT]
    except RecursionError:
        return "(nested too deeply to be shown)"


def candles_from(
    page: Page,
    *,
    symbol: str,
    vendor: str,
    provenance: Provenance,
    start: datetime,
    end: datetime,
    clock: datetime | None = None,
) -> Fetched:
    """Sort, bound, de-duplicate and validate the rows of all pages.

    Parameters
    ----------
    page : Page
        All rows, in order of arrival.
    symbol, vendor, provenance
        For the attribution of rejected rows.
    start, end : datetime
        Rows outside [start, end) are left out silently: pages overlap the interval by contract.
    clock : datetime, optional
        The vendor's own time, `end` without it: what begins after it is ``future``, in the interval or not. The
        running hour is not; it is left out, by this clock too where that is less than an hour behind `end`: then ours
        may be fast. One that is further away is a wrong clock, and says nothing of an hour's end.

    Returns
    -------
    Fetched
        Of several sound rows of one hour the first to arrive; the others are rejected unless they are equal.
    """
    label = source_label(vendor, provenance)

    def reject(reason: str, row: Any) -> Rejected:
        return Rejected(label, ohlcv_data.name, symbol, reason, payload_text(row))

    rejected = [reject(MALFORMED, row) for row in page.malformed]
    if not page.parsed:
        return Fetched(empty_candles(), vendor, provenance, tuple(dict.fromkeys(rejected)), clock)
    frame = pd.DataFrame(page.parsed, columns=list(CANDLE_COLUMNS), dtype=float)
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], unit="s", utc=True).astype(TIMESTAMP_DTYPE)
    future = frame["timestamp"] > (clock or end) + CLOCK_TOLERANCE
    rejected += [reject(FUTURE, page.raw[i]) for i in frame.index[future]]
    until = floor_hour(clock) if clock and end - HOUR <= clock < end else end
    frame = frame[(frame["timestamp"] >= start) & (frame["timestamp"] < until) & ~future]
    frame = frame.drop_duplicates().sort_values("timestamp", kind="stable")
    reasons = rejection_reasons(frame)
    # An unsound row must not push out a sound one of its hour: contradictions are sought among the sound ones.
    sound = frame[(reasons == "") | (reasons == DUPLICATE)]
    reasons[sound.index] = rejection_reasons(sound)
    bad = reasons != ""
    rejected += [reject(reasons[i], page.raw[i]) for i in frame.index[bad]]
    return Fetched(frame[~bad].reset_index(drop=True), vendor, provenance, tuple(dict.fromkeys(rejected)), clock)
