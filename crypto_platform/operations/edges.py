"""First and last hour that a series had of its primary: candles taken out there leave no gap between others.

The mark of the candles remembers them; one written before it did says nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, func, select

from crypto_platform.core.coverage import Interval
from crypto_platform.core.hours import HOUR
from crypto_platform.core.provenance import Provenance, source_label
from crypto_platform.operations import provenance
from crypto_platform.operations.watermarks import Mark
from crypto_platform.tables import ohlcv_data

KEYS: Final = ("first_own", "last_own")  # of a mark's details: open times, ISO 8601


def own_label(connection: Connection, primary: str) -> str:
    """`source` of a primary's candles in this store."""
    return source_label(primary, provenance.store_provenance(connection) or Provenance.LIVE)


def told(details: Mapping[str, Any]) -> Interval | None:
    """The hours from the first to the last that a mark remembers."""
    first, last = (details.get(key) for key in KEYS)
    return Interval(datetime.fromisoformat(first), datetime.fromisoformat(last) + HOUR) if first and last else None


def held(connection: Connection, symbol: str, own: str | None = None) -> Interval | None:
    """The hours from the first to the last candle that are stored, of one source or of all."""
    at, mine = ohlcv_data.c.timestamp, [ohlcv_data.c.symbol == symbol]
    if own is not None:
        mine.append(ohlcv_data.c.source == own)
    first, last = connection.execute(select(func.min(at), func.max(at)).where(*mine)).one()
    return None if first is None else Interval(first, last + HOUR)


def grown(connection: Connection, symbol: str, mark: Mark | None, own: str, by: Interval) -> dict[str, str]:
    """Details of a mark after own candles were stored, the first and last of which bound `by`."""
    known = told(mark.details) if mark else None
    if known is None and mark is not None and mark.source is not None:
        known = held(connection, symbol, own)
    first, end = (min(known.start, by.start), max(known.end, by.end)) if known else (by.start, by.end)
    return details(Interval(first, end))


def details(hours: Interval) -> dict[str, str]:
    """Details of a mark that remembers these hours as the first to the last."""
    return dict(zip(KEYS, (hours.start.isoformat(), (hours.end - HOUR).isoformat()), strict=True))


def lost(connection: Connection, symbol: str, mark: Mark) -> list[Interval]:
    """Stretches at the edges of a series that were there and are not."""
    if mark.source is None:
        return []
    was, now = told(mark.details), held(connection, symbol, own_label(connection, mark.source))
    if was is None:
        covered = Interval(mark.since or mark.watermark, mark.watermark)
        return [covered] if covered.hours and held(connection, symbol) is None else []
    if now is None:
        return [was]
    return [part for part in (Interval(was.start, now.start), Interval(now.end, was.end)) if part.hours]
