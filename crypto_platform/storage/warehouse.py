"""Frames in and out of the tables: upserts that change only what differs, reads with exact types."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any, Final, Self

import numpy as np
import pandas as pd
import psycopg
from psycopg import sql
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Engine,
    Integer,
    MetaData,
    Numeric,
    Select,
    Table,
    cast,
    extract,
    or_,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DatabaseError, DBAPIError

from crypto_platform.core.bars import TIMESTAMP_DTYPE
from crypto_platform.errors import StoreError
from crypto_platform.storage import binary_copy, encoding, schema
from crypto_platform.storage.engines import READ_ONLY, open_engine, snapshot
from crypto_platform.tables.columns import UTCDateTime

MICROSECONDS_PER_SECOND = 1_000_000
SYMBOL: Final = "symbol"
Columns = Sequence[Column[Any]]
_ALL: Final = ""  # counts what is not counted by a column


class Warehouse:
    """The store of all tables.

    Parameters
    ----------
    engine : Engine
        As `storage.engines.open_engine` makes it. The schema is checked at first use: an empty store gets it,
        one of another version is refused.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> Self:
        """Warehouse at a URL; nothing is connected yet."""
        return cls(open_engine(url))

    @cached_property
    def engine(self) -> Engine:
        """The engine, its schema checked.

        Raises
        ------
        StoreError
            The store cannot be reached or written, or is of another schema version.
        """
        try:
            schema.ensure(self._engine)
        except DatabaseError as error:
            raise StoreError(
                f"the store {self._engine.url.render_as_string(hide_password=True)} cannot be used "
                f"({str(error.orig).splitlines()[0]}); check CRYPTO_PLATFORM_DATABASE_URL and CRYPTO_PLATFORM_HOME"
            ) from error
        return self._engine

    @property
    def raw_engine(self) -> Engine:
        """The engine without the schema check, for `db upgrade` and `doctor`."""
        return self._engine

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A write transaction: committed as a whole at the end, rolled back on any error."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that only reads and never waits for a writer."""
        with self.engine.connect().execution_options(**{READ_ONLY: True}) as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """See `storage.engines.snapshot`; the schema is taken as it is."""
        with snapshot(self._engine) as connection:
            yield connection

    def read(self, statement: Select[Any]) -> pd.DataFrame:
        """Rows of a select as a frame.

        Returns
        -------
        DataFrame
            Instants as datetime64[us, UTC], doubles as float64 (NULL is NaN), integers as float64 where a NULL
            is among them, booleans, texts and documents as Python objects (NULL is None).
        """
        with self.reading() as connection:
            return read(connection, statement)

    def upsert(self, table: Table, frame: pd.DataFrame) -> int:
        """`upsert` in a transaction of its own."""
        with self.begin() as connection:
            return upsert(connection, table, frame)


def read(connection: Connection, statement: Select[Any]) -> pd.DataFrame:
    """`Warehouse.read` inside a transaction of the caller's."""
    columns = list(statement.selected_columns)
    instants_as_numbers = statement.with_only_columns(
        *(_as_microseconds(c, connection.dialect.name).label(c.key) for c in columns), maintain_column_froms=True
    )
    rows = connection.execute(instants_as_numbers).fetchall()
    values: Iterable[tuple[Any, ...]] = zip(*rows, strict=True) if rows else ((),) * len(columns)
    return pd.DataFrame({c.key: _series(c, v) for c, v in zip(columns, values, strict=True)})


def upsert(connection: Connection, table: Table, frame: pd.DataFrame) -> int:
    """Insert rows or refresh every non-key column of those that are there.

    Parameters
    ----------
    connection : Connection
        In a transaction of the caller's.
    table : Table
        Its columns name the frame's; columns the frame lacks become NULL or their default.
    frame : DataFrame, shape (n_rows, ≤ n_columns)
        Unique in the table's key. NaN, NaT and None are stored as NULL.

    Returns
    -------
    int
        Rows inserted or changed; a row that is there with equal values is not touched.

    Raises
    ------
    StoreError
        A value is infinite, an instant naive, a constraint broken, or the frame has a column that the table does not.
    """
    return _write(connection, table, frame, refresh=True).total()


def insert_missing(connection: Connection, table: Table, frame: pd.DataFrame) -> int:
    """Insert the rows whose key is not there yet; rows that are there are never touched.

    Returns the number of rows inserted. Raises as `upsert` does.
    """
    return _write(connection, table, frame, refresh=False).total()


def upsert_by_symbol(connection: Connection, table: Table, frame: pd.DataFrame) -> Counter[str]:
    """`upsert` of many symbols at once, one after the other; rows inserted or changed of each."""
    return _write(connection, table, frame, refresh=True, by=SYMBOL)


def insert_missing_by_symbol(connection: Connection, table: Table, frame: pd.DataFrame) -> Counter[str]:
    """`insert_missing` of many symbols at once, one after the other; rows inserted of each."""
    return _write(connection, table, frame, refresh=False, by=SYMBOL)


def upsert_row(connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """`upsert` of one row, without the cost of a frame; what is None is left out, and becomes NULL or its default.

    Raises
    ------
    StoreError
        A constraint is broken.
    """
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    with _refusals(table):
        connection.execute(
            _on_conflict(table, insert(table), refresh=True),
            {name: value for name, value in row.items() if value is not None},
        )


def records(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Frame of plain rows, in the column order of the first."""
    return pd.DataFrame.from_records(list(rows))


def _write(
    connection: Connection, table: Table, frame: pd.DataFrame, *, refresh: bool, by: str | None = None
) -> Counter[str]:
    """Rows inserted or changed, counted by a column, in whose order they are then written, or under one name."""
    if frame.empty:
        return Counter()
    if by:  # in one order, so that two that write the same rows do not wait for one another
        frame = frame.sort_values(by, kind="stable")
    if unknown := set(frame.columns) - {c.name for c in table.columns}:
        raise StoreError(
            f"table {table.name} has no column {sorted(unknown)}; declared are {list(table.columns.keys())}"
        )
    columns = [c for c in table.columns if c.name in frame.columns]
    write = _execute_many if connection.dialect.name == "sqlite" else _copy_merge
    with _refusals(table):
        return write(connection, table, columns, frame, refresh=refresh, by=by)


@contextmanager
def _refusals(table: Table) -> Iterator[None]:
    """What the engine refuses, as a `StoreError` of this table."""
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:  # COPY goes past SQLAlchemy, and so do its errors
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        raise StoreError(f"rows for {table.name} were refused ({reason}): mend what made them") from error


def _as_microseconds(column: Any, dialect: str) -> Any:
    if not isinstance(column.type, UTCDateTime):
        return column
    if dialect == "sqlite":
        return type_coerce(column, BigInteger)
    return cast(cast(extract("epoch", column), Numeric) * MICROSECONDS_PER_SECOND, BigInteger)


def _series(column: Any, values: tuple[Any, ...]) -> pd.Series:
    kind = column.type
    if isinstance(kind, UTCDateTime):
        numbers = np.array([np.iinfo(np.int64).min if v is None else v for v in values], dtype=np.int64)
        return pd.Series(pd.DatetimeIndex(numbers.view("datetime64[us]"), tz="UTC"), dtype=TIMESTAMP_DTYPE)
    if isinstance(kind, Double | Numeric):
        return pd.Series(np.array(values, dtype=np.float64))
    if isinstance(kind, Integer) and None not in values:
        return pd.Series(np.array(values, dtype=np.int64))
    if isinstance(kind, Integer):
        return pd.Series(np.array(values, dtype=np.float64))
    if isinstance(kind, Boolean) and None not in values:
        return pd.Series(np.array(values, dtype=bool))
    return pd.Series(np.array([*values, None], dtype=object)[:-1], dtype=object)


def _on_conflict(table: Table, statement: Any, *, refresh: bool) -> Any:
    """Keep the row that is there, or refresh all its non-key columns where any differs."""
    others = [c.name for c in table.columns if not c.primary_key]
    if not refresh or not others:
        return statement.on_conflict_do_nothing()
    return statement.on_conflict_do_update(
        index_elements=[c.name for c in table.primary_key],
        # `excluded` has the default of a column that was not given.
        set_={name: statement.excluded[name] for name in others},
        where=or_(*(table.c[name].is_distinct_from(statement.excluded[name]) for name in others)),
    )


def _execute_many(
    connection: Connection, table: Table, columns: Columns, frame: pd.DataFrame, *, refresh: bool, by: str | None
) -> Counter[str]:
    """One statement a row inside the driver: SQLite has no way that is quicker."""
    driver = connection.connection.driver_connection
    assert driver is not None
    statement = _sqlite_write(table, tuple(c.name for c in columns), refresh=refresh)
    rows, changed, first = encoding.rows(columns, frame), Counter[str](), 0
    for name, size in frame.groupby(by, sort=False).size().items() if by else [(_ALL, len(rows))]:
        before = driver.total_changes
        connection.exec_driver_sql(statement, rows[first : first + size])
        changed[name] = driver.total_changes - before
        first += size
    return changed


@lru_cache(maxsize=64)
def _sqlite_write(table: Table, names: tuple[str, ...], *, refresh: bool) -> str:
    insert = sqlite.insert(table).values(dict.fromkeys(names))
    return str(_on_conflict(table, insert, refresh=refresh).compile(dialect=sqlite.dialect()))


def _copy_merge(
    connection: Connection, table: Table, columns: Columns, frame: pd.DataFrame, *, refresh: bool, by: str | None
) -> Counter[str]:
    """COPY into a table of this transaction, then merge: the quickest way into Postgres."""
    driver = connection.connection.driver_connection
    assert driver is not None
    columns = binary_copy.in_order(columns)
    names = tuple(c.name for c in columns)
    parts = {
        "stage": sql.Identifier(_stage(table)),
        "table": sql.Identifier(table.name),
        "columns": sql.SQL(", ").join(map(sql.Identifier, names)),
    }
    blocks = binary_copy.encode(columns, frame)
    with driver.cursor() as cursor:
        cursor.execute(
            sql.SQL("CREATE TEMP TABLE {stage} AS SELECT {columns} FROM {table} WITH NO DATA").format(**parts)
        )
        with cursor.copy(sql.SQL("COPY {stage} ({columns}) FROM STDIN (FORMAT BINARY)").format(**parts)) as copy:
            for block in blocks:
                copy.write(block)
        merge = _postgres_merge(table, names, refresh=refresh, by=by)
        cursor.execute(merge)
        changed = Counter(name for (name,) in cursor) if by else Counter({_ALL: cursor.rowcount})
        cursor.execute(sql.SQL("DROP TABLE {stage}").format(**parts))
    return changed


def _stage(table: Table) -> str:
    return f"stage_{table.name}"


@lru_cache(maxsize=64)
def _postgres_merge(table: Table, names: tuple[str, ...], *, refresh: bool, by: str | None) -> str:
    stage = Table(_stage(table), MetaData(), *(Column(n, table.c[n].type) for n in names))
    insert = postgresql.insert(table).from_select(list(names), stage.select())
    merged = _on_conflict(table, insert, refresh=refresh)
    merged = merged.returning(table.c[by]) if by else merged
    return str(merged.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
