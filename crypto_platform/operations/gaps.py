"""Missing hours between a symbol's candles: written down when they are seen, asked for again, gone when filled."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

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
    found_at: datetime
    next_attempt_at: datetime
    attempts: int = 0
    asked: Sequence[str] = field(default=())


def record(connection: Connection, symbol: str, within: Interval, held: pd.Series, as_of: datetime) -> int:
    """Write down what is missing in and around an interval of which all candles are known.

    Parameters
    ----------
    connection : Connection
        In the transaction that wrote the candles.
    symbol : str
    within : Interval
    held : Series of datetime64[us, UTC]
        Open times of all candles inside the interval, ascending.
    as_of : datetime

    Returns
    -------
    int
        Missing hours, of the gaps that reach into the interval.
    """
    before = _neighbor(connection, symbol, func.max, ohlcv_data.c.timestamp < within.start)
    after = _neighbor(connection, symbol, func.min, ohlcv_data.c.timestamp >= within.end)
    edges = [*([before] if before else []), *held, *([after] if after else [])]
    if not edges:
        return 0
    around = Interval(pd.Timestamp(edges[0]).to_pydatetime(), pd.Timestamp(edges[-1]).to_pydatetime() + HOUR)
    holes = missing(pd.Series(pd.DatetimeIndex(edges)).dt.as_unit("us"), around)
    known = _overlapping(connection, symbol, around)
    if [gap.hours for gap in known] != holes:
        connection.execute(delete(ohlcv_gaps).where(*_is_in(symbol, around)))
        _write(connection, symbol, [_inherit(hole, known, as_of) for hole in holes])
    return sum(hole.hours for hole in holes)


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
        Gap(gap.hours, gap.found_at, as_of + wait_after(gap.attempts + 1), gap.attempts + 1, sorted(asked))
        for gap in _overlapping(connection, symbol, hours)
    ]
    _write(connection, symbol, still)


def _inherit(hole: Interval, known: Sequence[Gap], as_of: datetime) -> Gap:
    """A gap that was part of a known one goes on with its attempts; a new one is asked for at once."""
    parents = [gap for gap in known if gap.hours.overlaps(hole)]
    if not parents:
        return Gap(hole, as_of, as_of)
    oldest = min(parents, key=lambda gap: gap.found_at)
    return Gap(hole, oldest.found_at, min(gap.next_attempt_at for gap in parents), oldest.attempts, oldest.asked)


def _neighbor(connection: Connection, symbol: str, pick: Any, condition: ColumnElement[bool]) -> datetime | None:
    """Open time of the nearest candle outside an interval, which is found in the key's index."""
    nearest = select(pick(ohlcv_data.c.timestamp)).where(ohlcv_data.c.symbol == symbol, condition)
    found: datetime | None = connection.execute(nearest).scalar()
    return found


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
            row.found_at.to_pydatetime(),
            row.next_attempt_at.to_pydatetime(),
            row.attempts,
            row.asked,
        )
        for row in rows.itertuples()
    ]


def _write(connection: Connection, symbol: str, gaps: Sequence[Gap]) -> None:
    rows = [
        {
            "symbol": symbol,
            "gap_start": gap.hours.start,
            "gap_end": gap.hours.end,
            "found_at": gap.found_at,
            "next_attempt_at": gap.next_attempt_at,
            "attempts": gap.attempts,
            "asked": list(gap.asked),
        }
        for gap in gaps
    ]
    warehouse.upsert(connection, ohlcv_gaps, warehouse.records(rows))
