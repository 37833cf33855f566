"""How far each step is done for each symbol: read before the work, written with its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
from sqlalchemy import Connection, select, update

from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import watermarks


@dataclass(frozen=True, slots=True)
class Mark:
    """A dataset is done before `watermark` for one symbol; `source` is the vendor its series is pinned to."""

    watermark: datetime
    source: str | None = None


def read_marks(store: Warehouse, dataset: str, symbols: Sequence[str]) -> dict[str, Mark]:
    """Marks of a dataset; a symbol without one is absent."""
    rows = store.read(
        select(watermarks.c.symbol, watermarks.c.watermark, watermarks.c.source).where(
            watermarks.c.dataset == dataset, watermarks.c.symbol.in_(symbols)
        )
    )
    return {row.symbol: Mark(row.watermark.to_pydatetime(), row.source) for row in rows.itertuples()}


def write_mark(
    connection: Connection, dataset: str, symbol: str, mark: Mark, details: Mapping[str, Any] | None = None
) -> None:
    """Set a mark, in the transaction that wrote its rows."""
    frame = pd.DataFrame(
        {
            "dataset": [dataset],
            "symbol": [symbol],
            "watermark": [mark.watermark],
            "source": [mark.source],
            "details": [dict(details) if details else None],
        }
    )
    warehouse.upsert(connection, watermarks, frame)


def lower_marks(connection: Connection, prefix: str, symbol: str, to: datetime) -> None:
    """Take back the marks of all datasets that begin with `prefix`: what they cover from `to` on must be redone."""
    connection.execute(
        update(watermarks)
        .where(
            watermarks.c.dataset.startswith(prefix, autoescape=True),
            watermarks.c.symbol == symbol,
            watermarks.c.watermark > to,
        )
        .values(watermark=to)
    )
