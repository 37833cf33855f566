"""How far each step is done for each symbol: read before the work, written with its rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Select, case, literal, or_, select, tuple_, update

from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import ALL
from crypto_platform.tables import watermarks


@dataclass(frozen=True, slots=True)
class Mark:
    """A dataset is done in [`since`, `watermark`) for one symbol.

    Parameters
    ----------
    watermark : datetime
    source : str or None
        The vendor its series is pinned to.
    since : datetime or None
        None where the step has no beginning of its own.
    details : mapping
        What the step wants to remember; plain JSON values.
    revision : int
        How often what the step reads has changed: one that is not what it was before the work says that the work may
        be of old rows.
    follows : str or None
        Another symbol whose candles the step reads for this one.
    """

    watermark: datetime
    source: str | None = None
    since: datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 0
    follows: str | None = None


def read_marks(store: Warehouse, dataset: str, symbols: Sequence[str]) -> dict[str, Mark]:
    """Marks of a dataset; a symbol without one is absent."""
    with store.reading() as connection:
        return _marks(connection, _select(dataset, symbols))


def pins(read: Callable[[Select[Any]], pd.DataFrame], dataset: str, symbols: Sequence[str]) -> dict[str, str | None]:
    """Vendor that each symbol's series is pinned to."""
    rows = read(_select(dataset, symbols))
    return dict(zip(rows["symbol"], rows["source"], strict=True))


def hold_marks(connection: Connection, dataset: str, symbols: Sequence[str]) -> dict[str, Mark]:
    """`read_marks`, kept from others until the transaction ends where the engine can."""
    # Locked in the order of `lower_marks`, so that two that hold many do not wait for one another.
    return _marks(connection, _select(dataset, symbols).order_by(watermarks.c.symbol).with_for_update())


def read_mark(connection: Connection, dataset: str, symbol: str) -> Mark | None:
    """`hold_marks` of one symbol."""
    return hold_marks(connection, dataset, [symbol]).get(symbol)


def _select(dataset: str, symbols: Sequence[str]) -> Select[Any]:
    return select(watermarks).where(watermarks.c.dataset == dataset, watermarks.c.symbol.in_(symbols))


def _marks(connection: Connection, statement: Select[Any]) -> dict[str, Mark]:
    return {
        row.symbol: Mark(row.watermark, row.source, row.since, row.details or {}, row.revision, row.follows)
        for row in connection.execute(statement)
    }


def begin_marks(connection: Connection, dataset: str, at: Mapping[str, datetime], follows: str | None = None) -> None:
    """Set the marks of symbols that have none yet; `follows` names a symbol whose changes take them back, too."""
    rows = [
        {"dataset": dataset, "symbol": symbol, "watermark": moment, "follows": follows} for symbol, moment in at.items()
    ]
    warehouse.insert_missing(connection, watermarks, warehouse.records(rows))


def write_mark(connection: Connection, dataset: str, symbol: str, mark: Mark) -> None:
    """Set a mark, in the transaction that wrote its rows."""
    warehouse.upsert_row(connection, watermarks, _row(dataset, symbol, mark))


def write_marks(connection: Connection, dataset: str, marks: Mapping[str, Mark]) -> None:
    """`write_mark` of many symbols at once."""
    rows = (_row(dataset, symbol, mark) for symbol, mark in sorted(marks.items()))
    warehouse.upsert(connection, watermarks, warehouse.records(rows))


def _row(dataset: str, symbol: str, mark: Mark) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "symbol": symbol,
        "watermark": mark.watermark,
        "source": mark.source,
        "since": mark.since,
        "details": dict(mark.details) or None,
        "revision": mark.revision,
        "follows": mark.follows,
    }


def lower_marks(connection: Connection, prefix: str, symbol: str, to: datetime) -> None:
    """Take back the marks of all datasets that begin with `prefix`: what they cover from `to` on must be redone.

    Those of a symbol, and of symbols that follow it; of all where it is `ALL`. Marks that do not reach that far learn
    of the change, too: whoever is at work beyond them has read what it replaces.
    """
    c = watermarks.c
    of_symbol = (or_(c.symbol == symbol, c.follows == symbol),) if symbol != ALL else ()
    # Locked in one order, so that two that take back many do not wait for one another.
    wanted = (
        select(c.dataset, c.symbol)
        .where(c.dataset.startswith(prefix, autoescape=True), *of_symbol)
        .order_by(c.dataset, c.symbol)
        .with_for_update()
    )
    connection.execute(
        update(watermarks)
        .where(tuple_(c.dataset, c.symbol).in_(wanted))
        .values(
            watermark=case((c.watermark > to, literal(to, c.watermark.type)), else_=c.watermark),
            revision=c.revision + 1,
        )
    )
