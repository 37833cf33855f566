"""How far each step is done for each symbol: read before the work, written with its rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Select, case, literal, select, update

from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
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
    """

    watermark: datetime
    source: str | None = None
    since: datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 0


def read_marks(store: Warehouse, dataset: str, symbols: Sequence[str]) -> dict[str, Mark]:
    """Marks of a dataset; a symbol without one is absent."""
    return _marks(store.read(_select(dataset, symbols)))


def pins(read: Callable[[Select[Any]], pd.DataFrame], dataset: str, symbols: Sequence[str]) -> dict[str, str | None]:
    """Vendor that each symbol's series is pinned to."""
    return {symbol: mark.source for symbol, mark in _marks(read(_select(dataset, symbols))).items()}


def read_mark(connection: Connection, dataset: str, symbol: str) -> Mark | None:
    """One mark, kept from others until the transaction ends where the engine can."""
    return _marks(warehouse.read(connection, _select(dataset, [symbol]).with_for_update())).get(symbol)


def _select(dataset: str, symbols: Sequence[str]) -> Select[Any]:
    return select(watermarks).where(watermarks.c.dataset == dataset, watermarks.c.symbol.in_(symbols))


def _marks(rows: pd.DataFrame) -> dict[str, Mark]:
    return {
        row.symbol: Mark(
            row.watermark.to_pydatetime(),
            row.source,
            None if pd.isna(row.since) else row.since.to_pydatetime(),
            row.details or {},
            row.revision,
        )
        for row in rows.itertuples()
    }


def begin_marks(connection: Connection, dataset: str, at: Mapping[str, datetime]) -> None:
    """Set the marks of symbols that have none yet."""
    rows = [{"dataset": dataset, "symbol": symbol, "watermark": moment} for symbol, moment in at.items()]
    warehouse.insert_missing(connection, watermarks, warehouse.records(rows))


def write_mark(connection: Connection, dataset: str, symbol: str, mark: Mark) -> None:
    """Set a mark, in the transaction that wrote its rows."""
    frame = pd.DataFrame(
        {
            "dataset": [dataset],
            "symbol": [symbol],
            "watermark": [mark.watermark],
            "source": [mark.source],
            "since": pd.to_datetime([mark.since], utc=True),
            "details": [dict(mark.details) or None],
            "revision": [mark.revision],
        }
    )
    warehouse.upsert(connection, watermarks, frame)


def lower_marks(connection: Connection, prefix: str, symbol: str, to: datetime) -> None:
    """Take back the marks of all datasets that begin with `prefix`: what they cover from `to` on must be redone.

    Marks that do not reach that far learn of the change, too: whoever is at work beyond them has read what it replaces.
    """
    c = watermarks.c
    connection.execute(
        update(watermarks)
        .where(c.dataset.startswith(prefix, autoescape=True), c.symbol == symbol)
        .values(
            watermark=case((c.watermark > to, literal(to, c.watermark.type)), else_=c.watermark),
            revision=c.revision + 1,
        )
    )
