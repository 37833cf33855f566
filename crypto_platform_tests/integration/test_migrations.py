"""Laws of migrations: what a store held before an upgrade it holds afterwards, and there is no way back."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from importlib import resources
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Double,
    Engine,
    ForeignKeyConstraint,
    Integer,
    String,
    Table,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.types import JSON

from crypto_platform.storage import schema
from crypto_platform.storage.engines import open_engine
from crypto_platform.tables import metadata, ohlcv_data, watermarks
from crypto_platform.tables.columns import UTCDateTime

ROWS = 50
START = datetime.fromisoformat("2026-01-05T00:00:00.000001+00:00")
WORDS = {
    "alias": "champion",
    "arm": "A",
    "dataset": "ohlcv_data",
    "origin": "live",
    "published_arm": "B",
    "role": "champion",
    "signal": "HOLD",
    "signal_before_costs": "BUY",
}
PRICES = {"open": 2.5, "high": 3.5, "low": 1.5, "close": 2.75}


VALUES: tuple[tuple[type[Any], Callable[[Column[Any], int], Any]], ...] = (
    (UTCDateTime, lambda column, row: START + row * timedelta(hours=1)),
    (Boolean, lambda column, row: row % 2 == 0),
    (Integer, lambda column, row: row % 2 if "direction" in column.name else 1 + row),
    (Double, lambda column, row: PRICES.get(column.name, 0.1 + row / 1000)),
    (JSON, lambda column, row: {"row": row, "ß": [None, 0.1]}),
    (
        String,
        lambda column, row: WORDS.get(column.name, f"{_number(column, row)} ü of {column.name}")[: column.type.length],
    ),
)


def _number(column: Column[Any], row: int) -> int:
    """Symbols have several rows where an instant tells these apart."""
    dated = any(isinstance(key.type, UTCDateTime) for key in column.table.primary_key)
    return row % 10 if dated and column.name == "symbol" else row


ONCE_NEEDED = {"version_to"}  # NOT NULL in the first schema


def value_of(column: Column[Any], row: int) -> Any:
    """A value that keeps every rule of its column, NULL in each third row where it may be."""
    if column.nullable and column.name not in ONCE_NEEDED and row % 3 == 0:
        return None
    return next(make(column, row) for kind, make in VALUES if isinstance(column.type, kind))


def rows_of(table: Table, columns: list[Column[Any]]) -> list[dict[str, Any]]:
    rows = [{c.name: value_of(c, row) for c in columns} for row in range(ROWS)]
    for key in table.constraints:
        if isinstance(key, ForeignKeyConstraint):  # row i speaks of row i
            for mine, element in zip(key.columns, key.elements, strict=True):
                for row, values in enumerate(rows):
                    values[mine.name] = values[mine.name] and value_of(element.column, row)
    return rows


def columns_held(connection: Connection) -> dict[Table, list[Column[Any]]]:
    """Declared columns that a store has, by table."""
    inspector = inspect(connection)
    names = set(inspector.get_table_names())
    return {
        table: [c for c in table.columns if c.name in {held["name"] for held in inspector.get_columns(table.name)}]
        for table in metadata.sorted_tables
        if table.name in names
    }


def contents(connection: Connection, columns: dict[Table, list[Column[Any]]]) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table.name: [tuple(row) for row in connection.execute(select(*those).order_by(*table.primary_key))]
        for table, those in columns.items()
    }


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    opened = open_engine(store_url)
    yield opened
    opened.dispose()


def scripts() -> ScriptDirectory:
    return ScriptDirectory(str(resources.files("crypto_platform").joinpath("migrations")))


def test_an_upgrade_from_the_first_schema_loses_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        command.upgrade(schema._config(connection), "0001")
    with engine.begin() as connection:
        columns = columns_held(connection)
        for table, those in columns.items():
            connection.execute(insert(table), rows_of(table, those))
        before = contents(connection, columns)
    assert len(before) == 16
    assert {len(rows) for rows in before.values()} == {ROWS}

    schema.upgrade(engine)
    with engine.begin() as connection:
        assert schema.current(connection) == schema.head()
        assert contents(connection, columns) == before
        assert list(schema.missing_columns(connection)) == []
        assert list(schema.missing_constraints(connection)) == []
        begun = dict(connection.execute(select(watermarks.c.symbol, watermarks.c.since)).fetchall())
        candle = ohlcv_data.c
        first = select(candle.symbol, func.min(candle.timestamp)).group_by(candle.symbol)
        found = dict(connection.execute(first).fetchall())
        assert len(found) == 10
        assert begun == {symbol: found.get(symbol) for symbol in begun}  # a series begins at its first candle


def test_no_migration_offers_a_way_back() -> None:
    """Going back would have to lose what the newer tables hold."""
    revisions = list(scripts().walk_revisions())
    assert len(revisions) >= 2
    assert not any(hasattr(revision.module, "downgrade") for revision in revisions)
