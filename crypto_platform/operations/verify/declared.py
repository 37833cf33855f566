"""Rules that the tables declare, looked at in the rows themselves: a database may not have enforced them."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Double,
    Table,
    case,
    exists,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
)

from crypto_platform.operations.verify.findings import (
    Breach,
    Finding,
    RowRule,
    Rule,
    ask,
    culprits,
    place_of,
    symbol_of,
)
from crypto_platform.storage import schema
from crypto_platform.tables import (
    ab_test_results,
    metadata,
    model_metrics,
    model_versions,
    ohlcv_crosschecks,
    ohlcv_data,
    ohlcv_revisions,
    predictions,
)
from crypto_platform.tables.columns import UTCDateTime, check_constraints
from crypto_platform.tables.features import FEATURE_COLUMNS
from crypto_platform.tables.predictions import NO_VERSION

CLOCK_SKEW: Final = timedelta(minutes=5)  # of machines that share a store
LARGEST: Final = 1.7976931348623157e308  # beyond it: infinity; Postgres sorts NaN there too, SQLite any text
# Columns that say when something happened, which nothing can have done yet.
HAPPENED: Final = (
    "known_at",
    "seen_at",
    "created_at",
    "found_at",
    "checked_at",
    "imported_at",
    "trained_at",
    "training_timestamp",
    "decision_time",
    "raised_at",
    "cleared_at",
    "attempted_at",
    "delivered_at",
    "resolved_at",
    "last_failure_at",
    "watermark",
    "at",
)

Key = tuple[str, ...]
Reference = tuple[Table, Key, Table, Key]

# Beyond the declared foreign keys.
LOGICAL: Final[tuple[Reference, ...]] = (
    (predictions, ("version",), model_versions, ("version",)),
    (model_metrics, ("version",), model_versions, ("version",)),
    (ab_test_results, ("model_version",), model_versions, ("version",)),
    (ohlcv_revisions, ("symbol", "timestamp"), ohlcv_data, ("symbol", "timestamp")),
    (ohlcv_crosschecks, ("symbol", "timestamp"), ohlcv_data, ("symbol", "timestamp")),
)

RESTORE: Final = "take the row out or restore the store from a backup"


def absent(connection: Connection) -> list[Finding]:
    """Whether the store has the schema's revision, tables and columns; without them nothing else can be looked at."""
    revision = schema.current(connection)
    if revision != schema.head():
        message = f"the schema is {revision or 'not there'}, this version needs {schema.head()}"
        return [Finding(Rule.SCHEMA, "alembic_version", None, message, "run `crypto-platform db upgrade`")]
    return _schema_findings(schema.missing_columns(connection))


def unenforced(connection: Connection) -> list[Finding]:
    """Whether the database enforces what the tables declare."""
    return _schema_findings(schema.missing_constraints(connection))


def _schema_findings(missing: Iterator[tuple[str, str]]) -> list[Finding]:
    cure = "somebody changed the database by hand: undo it, or restore it from a backup"
    return [Finding(Rule.SCHEMA, table, None, what, cure) for table, what in missing]


def duplicates(tables: Iterable[Table]) -> Iterator[Breach]:
    """Keys that several rows have."""
    for table in tables:
        rows = (
            select(func.min(symbol_of(table)).label("symbol"), place_of(table))
            .select_from(table)
            .group_by(*table.primary_key)
            .having(func.count() > 1)
        )
        what = f"several rows have the same {', '.join(c.name for c in table.primary_key)}"
        yield Breach(Rule.KEYS, table.name, rows, what, "keep one of them and restore the primary key")


def row_rules(table: Table, dialect: str, *, deep: bool) -> Iterator[RowRule]:
    """NOT NULL, finite numbers, instants that are numbers, and the CHECK constraints of a table.

    Features are many columns of many rows: all are looked at where all are computed again, else the newest alone.
    """
    for column in table.columns:
        if not column.nullable:
            yield RowRule(Rule.ROWS, table, column.is_(None), f"{column.name} is missing", RESTORE)
        if isinstance(column.type, Double) and (deep or column.name not in FEATURE_COLUMNS):
            wild = not_(column.between(-LARGEST, LARGEST))
            yield RowRule(Rule.ROWS, table, wild, f"{column.name} is no finite number", RESTORE)
        if isinstance(column.type, UTCDateTime) and dialect == "sqlite":
            wild = func.typeof(column).not_in(("integer", "null"))
            yield RowRule(Rule.ROWS, table, wild, f"{column.name} is no number of microseconds", RESTORE)
    for check in check_constraints(table):
        broken = literal_column(f"(NOT ({check.sqltext}))", Boolean)
        yield RowRule(Rule.ROWS, table, broken, f"`{check.sqltext}` does not hold", RESTORE)


def future(table: Table, as_of: datetime) -> Iterator[RowRule]:
    """Rows that say they happened after `as_of`."""
    latest = literal(as_of + CLOCK_SKEW, UTCDateTime)
    cure = "mend the clock of the machine that wrote it, and take the row out"
    for column in table.columns:
        if column.name in HAPPENED:
            yield RowRule(Rule.PAST, table, column > latest, f"{column.name} is later than now", cure)


def scan(connection: Connection, table: Table, rules: list[RowRule]) -> tuple[int, list[Finding]]:
    """Rows of a table and what breaks its rules, in one pass where nothing does."""
    anything = func.count(case((or_(*(rule.broken for rule in rules)), 1)))
    rows, broken = connection.execute(select(func.count(), anything).select_from(table)).one()
    findings: list[Finding] = []
    if broken:
        for rule in rules:
            breach = Breach(rule.rule, table.name, culprits(table, rule.broken), rule.what, rule.cure)
            findings.extend(ask(connection, breach))
    return int(rows), findings


def dangling() -> Iterator[Breach]:
    """Rows that speak of a row that is not there."""
    declared = (
        (table, tuple(key.column_keys), key.referred_table, tuple(e.column.name for e in key.elements))
        for table in metadata.sorted_tables
        for key in table.foreign_key_constraints
    )
    for table, names, target, target_names in (*declared, *LOGICAL):
        other = target.alias()
        there = exists().where(*(other.c[b] == table.c[a] for a, b in zip(names, target_names, strict=True)))
        given: list[ColumnElement[bool]] = [table.c[name].is_not(None) for name in names]
        if table is predictions:
            given.append(table.c.version != NO_VERSION)
        what = f"{target.name} has no row of its {', '.join(names)}"
        cure = f"restore {target.name} from a backup, or take the row out of {table.name}"
        yield Breach(Rule.REFERENCES, table.name, culprits(table, *given, not_(there)), what, cure)
