"""The schema's version: created in an empty store, refused where it is not ours, upgraded on request."""

from collections.abc import Iterator
from importlib import resources
from typing import Any, Final

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from crypto_platform.errors import SchemaVersionError
from crypto_platform.tables import latest_predictions, metadata
from crypto_platform.tables.columns import check_constraints

NAME_LENGTH: Final = 63  # of identifiers on Postgres; migrations cut longer ones
UPGRADE_LOCK = 6_021_866  # any constant: the key of Postgres' advisory lock around migrations


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("crypto_platform").joinpath("migrations")))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """Revision that this version of the platform speaks."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def current(connection: Connection) -> str | None:
    """Revision of a store; None where there is none yet."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine) -> None:
    """Bring a store to `head` in one transaction. Nothing happens where it is there already.

    Raises
    ------
    SchemaVersionError
        The store was made by a newer version of the platform.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        _refuse_newer(current(connection))
        command.upgrade(_config(connection), "head")


def ensure(engine: Engine) -> None:
    """Create the schema in an empty store; refuse one that is older, newer or not ours.

    Raises
    ------
    SchemaVersionError
        With the command that mends it.
    """
    with engine.connect() as connection:
        revision = current(connection)
        tables = set(inspect(connection).get_table_names())
    if revision == head():
        return
    _refuse_newer(revision)
    if revision is not None:
        raise SchemaVersionError(
            f"the database has schema {revision}, this version needs {head()}: run `crypto-platform db upgrade`"
        )
    if foreign := tables & set(metadata.tables):
        raise SchemaVersionError(
            f"the database holds tables named {', '.join(sorted(foreign))} that this platform did not make: "
            "point CRYPTO_PLATFORM_DATABASE_URL at an empty database"
        )
    upgrade(engine)


def missing_columns(connection: Connection) -> Iterator[tuple[str, str]]:
    """Declared tables, columns and views that a store lacks, each as (table, what)."""
    inspector = inspect(connection)
    tables = set(inspector.get_table_names())
    for table in metadata.sorted_tables:
        if table.name not in tables:
            yield table.name, "the table is not there"
        else:
            there = {column["name"] for column in inspector.get_columns(table.name)}
            for column in table.columns:
                if column.name not in there:
                    yield table.name, f"the column {column.name} is not there"
    if latest_predictions.name not in inspector.get_view_names():
        yield latest_predictions.name, "the view is not there"


def missing_constraints(connection: Connection) -> Iterator[tuple[str, str]]:
    """What a store with all columns does not enforce as declared: keys, checks, NOT NULL, types, references."""
    inspector = inspect(connection)
    for table in metadata.sorted_tables:
        if inspector.get_pk_constraint(table.name)["constrained_columns"] != [c.name for c in table.primary_key]:
            yield table.name, f"the primary key ({', '.join(c.name for c in table.primary_key)}) is not there"
        there = {check["name"] for check in inspector.get_check_constraints(table.name)}
        for check in check_constraints(table):
            if str(check.name)[:NAME_LENGTH] not in there:
                yield table.name, f"the constraint {check.name} is not there"
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    for difference in compare_metadata(context, metadata):
        yield from _in_words(difference)


def _in_words(difference: Any) -> Iterator[tuple[str, str]]:
    """A difference as Alembic gives it; what a store has beyond the declarations is nobody's business here."""
    if isinstance(difference, list):  # of one column: (what, schema, table, column, …, held, declared)
        for what, _, table, column, *_, held, declared in difference:
            yield table, f"the column {column} has {what.removeprefix('modify_')} {held}, declared is {declared}"
    elif difference[0].startswith("add_"):
        thing = difference[1]
        yield thing.table.name, f"the {difference[0].removeprefix('add_')} {thing.name} is not there"


def _refuse_newer(revision: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaVersionError(
            f"the database has schema {revision}, which is newer than this version of crypto_platform knows "
            f"({head()}): install the version that made it, or point CRYPTO_PLATFORM_DATABASE_URL elsewhere"
        )
