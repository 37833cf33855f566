"""Hours that a series lacks, or its primary: written down, asked for again, gone when they come."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import ColumnElement, Connection, delete, func, select

from crypto_platform.core.coverage import Interval, missing, wait_after
from crypto_platform.core.hours import HOUR
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import ohlcv_data, ohlcv_gaps

GAPS_PER_RUN: Final = 50  # of one symbol: a first backfill of many years finds dozens


@dataclass(frozen=True, slots=True)
class Gap:
    """A row of `ohlcv_gaps`."""

    hours: Interval
    filled_from: str | None
    found_at: datetime
    next_attempt_at: datetime
    attempts: int = 0
    asked: Sequence[str] = field(default=())


def record(connection: Connection, symbol: str, within: Interval, own: str, as_of: datetime) -> bool:
    """Write down what the primary lacks in and around an interval, and what nobody has.

    Parameters
    ----------
    connection : Connection
        In the transaction that wrote the candles.
    symbol : str
    within : Interval
    own : str
        `source` of the primary's candles.
    as_of : datetime

    Returns
    -------
    bool
        Whether it lacks anything there.
    """
    series = (ohlcv_data.c.symbol == symbol,)
    ours = (*series, ohlcv_data.c.source == own)
    at = ohlcv_data.c.timestamp
    oldest, newest = connection.execute(select(func.min(at), func.max(at)).where(*series)).one()
    before = connection.execute(select(func.max(at)).where(*ours, at < within.start)).scalar() or oldest
    after = connection.execute(select(func.min(at)).where(*ours, at >= within.end)).scalar() or newest
    if before is None:
        return False
    around = Interval(min(before, within.start), max(after + HOUR, within.end))
    rows = warehouse.read(
        connection,
        select(at, ohlcv_data.c.source).where(*series, at >= around.start, at < around.end).order_by(at),
    )
    stamps, is_own = rows["timestamp"], rows["source"] == own
    first, last = stamps[is_own].min(), stamps[is_own].max()
    between = Interval(stamps.iloc[0].to_pydatetime(), stamps.iloc[-1].to_pydatetime() + HOUR)
    holes: list[tuple[Interval, str | None]] = [(hole, None) for hole in missing(stamps, between)]
    holes += _stand_ins(rows[~is_own & (stamps > first) & (stamps < last)])
    known = _overlapping(connection, symbol, around)
    found = sorted((_inherit(hole, source, known, as_of) for hole, source in holes), key=lambda gap: gap.hours.start)
    if found != known:
        connection.execute(delete(ohlcv_gaps).where(*_is_in(symbol, around)))
        _write(connection, symbol, found)
    return bool(found)


def due(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> dict[str, list[Interval]]:
    """Gaps whose time to be asked for has come, newest first, at most `GAPS_PER_RUN` a symbol."""
    rows = store.read(
        select(ohlcv_gaps.c.symbol, ohlcv_gaps.c.gap_start, ohlcv_gaps.c.gap_end)
        .where(ohlcv_gaps.c.symbol.in_(symbols), ohlcv_gaps.c.next_attempt_at <= as_of)
        .order_by(ohlcv_gaps.c.symbol, ohlcv_gaps.c.gap_start.desc())
    )
    gaps: dict[str, list[Interval]] = {}
    for row in rows.itertuples():
        gaps.setdefault(row.symbol, []).append(Interval(row.gap_start.to_pydatetime(), row.gap_end.to_pydatetime()))
    return {symbol: found[:GAPS_PER_RUN] for symbol, found in gaps.items()}


def note_attempt(connection: Connection, symbol: str, hours: Interval, asked: Collection[str], as_of: datetime) -> None:
    """Remember which sources answered without what is still missing of an interval, and leave it alone for a while."""
    still = [
        replace(
            gap,
            next_attempt_at=as_of + wait_after(gap.attempts + 1),
            attempts=gap.attempts + 1,
            asked=sorted(asked),
        )
        for gap in _overlapping(connection, symbol, hours)
    ]
    _write(connection, symbol, still)


def _stand_ins(others: pd.DataFrame) -> list[tuple[Interval, str | None]]:
    """Stretches of consecutive hours that came from one other source."""
    if others.empty:
        return []
    goes_on = others["timestamp"].diff().eq(HOUR) & others["source"].eq(others["source"].shift())
    stretch = np.cumsum(~goes_on.to_numpy(bool))
    return [
        (Interval(part["timestamp"].iloc[0].to_pydatetime(), part["timestamp"].iloc[-1].to_pydatetime() + HOUR), source)
        for (_, source), part in others.groupby([stretch, others["source"]], sort=False)
    ]


def _inherit(hole: Interval, filled_from: str | None, known: Sequence[Gap], as_of: datetime) -> Gap:
    """A gap that was part of a known one goes on with its attempts; a new one is asked for at once."""
    parents = [gap for gap in known if gap.hours.overlaps(hole)]
    if not parents:
        return Gap(hole, filled_from, as_of, as_of)
    oldest = min(parents, key=lambda gap: gap.found_at)
    return replace(oldest, hours=hole, filled_from=filled_from, next_attempt_at=min(g.next_attempt_at for g in parents))


def _is_in(symbol: str, around: Interval) -> tuple[ColumnElement[bool], ...]:
    return (
        ohlcv_gaps.c.symbol == symbol,
        ohlcv_gaps.c.gap_start < around.end,
        ohlcv_gaps.c.gap_end > around.start,
    )


def _overlapping(connection: Connection, symbol: str, around: Interval) -> list[Gap]:
    rows = warehouse.read(
        connection, select(ohlcv_gaps).where(*_is_in(symbol, around)).order_by(ohlcv_gaps.c.gap_start)
    )
    return [
        Gap(
            Interval(row.gap_start.to_pydatetime(), row.gap_end.to_pydatetime()),
            row.filled_from,
            row.found_at.to_pydatetime(),
            row.next_attempt_at.to_pydatetime(),
            row.attempts,
            row.asked,
        )
        for row in rows.itertuples()
    ]


def _write(connection: Connection, symbol: str, gaps: Sequence[Gap]) -> None:
    rows: list[dict[str, Any]] = [
        {
            "symbol": symbol,
            "gap_start": gap.hours.start,
            "gap_end": gap.hours.end,
            "found_at": gap.found_at,
            "next_attempt_at": gap.next_attempt_at,
            "attempts": gap.attempts,
            "asked": list(gap.asked),
            "filled_from": gap.filled_from,
        }
        for gap in gaps
    ]
    warehouse.upsert(connection, ohlcv_gaps, warehouse.records(rows))
