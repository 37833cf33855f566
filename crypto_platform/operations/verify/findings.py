"""Rules of the store, what breaks them, and how a query of culprits becomes words."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby, islice
from typing import Any, Final

import pandas as pd
from sqlalchemy import BigInteger, Column, ColumnElement, Connection, Select, String, Table, cast, func, null, select
from sqlalchemy import type_coerce as seen_as

from crypto_platform.storage.warehouse import read
from crypto_platform.tables.columns import UTCDateTime

SHOWN: Final = 3  # culprits named per symbol
SYMBOLS_SHOWN: Final = 50  # symbols named per rule and table


class Rule(StrEnum):
    """What is true of a sound store."""

    SCHEMA = "schema_is_as_declared"
    KEYS = "keys_are_unique"
    ROWS = "rows_keep_their_constraints"
    REFERENCES = "references_are_there"
    GRID = "times_are_on_the_hour"
    CLOSED = "only_closed_candles_are_stored"
    PAST = "nothing_is_from_the_future"
    GAPS = "gaps_are_recorded"
    COVERAGE = "watermarks_cover_their_rows"
    PROVENANCE = "data_is_of_one_provenance"
    VENDORS = "vendors_are_known"
    REVISIONS = "revisions_lead_to_the_candles"
    QUARANTINE = "quarantine_ids_match_their_rows"
    RECORDS = "records_are_plausible"
    FEATURES = "features_follow_from_candles"
    BUNDLES = "bundles_are_as_registered"
    MODELS = "models_saw_nothing_later"
    FORECASTS = "forecasts_are_of_their_hour"
    OUTCOMES = "outcomes_came_after_their_hours"


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach of a rule: the culprit and the cure.

    Parameters
    ----------
    rule : Rule
    table : str
    symbol : str or None
        None where the rows have none.
    message : str
        What is wrong, of how many rows, and which come first.
    cure : str
    """

    rule: Rule
    table: str
    symbol: str | None
    message: str
    cure: str


@dataclass(frozen=True, slots=True)
class RowRule:
    """A condition on single rows, true where one is broken; all of a table are looked at in one pass."""

    rule: Rule
    table: Table
    broken: ColumnElement[bool]
    what: str
    cure: str


@dataclass(frozen=True, slots=True)
class Breach:
    """Rows that must not be there.

    Parameters
    ----------
    rows : Select
        Columns `symbol` and `at`, an instant or a text.
    """

    rule: Rule
    table: str
    rows: Select[Any]
    what: str
    cure: str


def symbol_of(table: Table) -> ColumnElement[Any]:
    """The symbol of a row, NULL in tables without."""
    return table.c.symbol if "symbol" in table.c else cast(null(), String).label("symbol")


def place_of(table: Table) -> ColumnElement[Any]:
    """What tells rows of a symbol apart for a reader: the first instant of the key, else its first other column."""
    keys = [c for c in table.primary_key if c.name != "symbol"]
    return next((c for c in keys if isinstance(c.type, UTCDateTime)), keys[0]).label("at")


def culprits(table: Table, *where: ColumnElement[bool]) -> Select[Any]:
    """Rows of a table in the shape of `Breach.rows`."""
    return select(symbol_of(table), place_of(table)).select_from(table).where(*where)


def ask(connection: Connection, breach: Breach) -> Iterator[Finding]:
    """Findings of a breach, one a symbol; none where no row is found."""
    rows = breach.rows.subquery()
    numbered = select(
        rows.c.symbol,
        _readable(rows.c.at, connection.dialect.name).label("at"),
        func.count().over(partition_by=rows.c.symbol).label("n"),
        func.row_number().over(partition_by=rows.c.symbol, order_by=rows.c.at).label("number"),
    ).subquery()
    found = read(
        connection,
        select(numbered)
        .where(numbered.c.number <= SHOWN)
        .order_by(numbered.c.symbol, numbered.c.number)
        .limit(SHOWN * SYMBOLS_SHOWN),
    )
    for symbol, group in groupby(zip(found["symbol"], found["n"], words(found["at"]), strict=True), lambda row: row[0]):
        named = list(group)
        message = f"{breach.what} ({listed(int(named[0][1]), [at for _, _, at in named])})"
        yield Finding(breach.rule, breach.table, symbol, message, breach.cure)


def tell(rule: Rule, table: Table, rows: pd.DataFrame, what: str, cure: str) -> Iterator[Finding]:
    """Findings of rows that were not found by SQL: `symbol` (None where there is none) and `at`, in order."""
    for symbol, mine in islice(rows.groupby("symbol", dropna=False), SYMBOLS_SHOWN):
        message = f"{what} ({listed(len(mine), words(mine['at'][:SHOWN]))})"
        yield Finding(rule, table.name, symbol if isinstance(symbol, str) else None, message, cure)


def listed(n: int, first: list[str]) -> str:
    """A number of rows and the first of them.

    Examples
    --------
    >>> listed(1, ["2026-01-05 03:30:00"]), listed(5, ["a", "b"])
    ('1 row: 2026-01-05 03:30:00', '5 rows: a, b, …')
    """
    rest = [] if n <= len(first[:SHOWN]) else ["…"]
    return f"{n} row{'s' * (n != 1)}: {', '.join([*first[:SHOWN], *rest])}"


def words(values: pd.Series) -> list[str]:
    """Instants to the second, texts cut to a line."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        seconds = values.dt.tz_convert(None).to_numpy().astype("datetime64[s]")
        return [str(moment).replace("T", " ") for moment in seconds]
    return [str(value)[:60] for value in values]


def _readable(column: Column[Any] | ColumnElement[Any], dialect: str) -> ColumnElement[Any]:
    """A text in place of an instant, which SQLite stores without a word, must not end the verification."""
    if dialect == "sqlite" and isinstance(column.type, UTCDateTime):
        return seen_as(cast(seen_as(column, BigInteger), BigInteger), UTCDateTime)
    return column
