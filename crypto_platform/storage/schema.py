"""The schema's version: created in an empty store, refused where it is not ours, upgraded on request."""

from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from crypto_platform.errors import SchemaVersionError
from crypto_platform.tables import metadata

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


def _refuse_newer(revision: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaVersionError(
            f"the database has schema {revision}, which is newer than this version of crypto_platform knows "
            f"({head()}): install the version that made it, or point CRYPTO_PLATFORM_DATABASE_URL elsewhere"
        )
