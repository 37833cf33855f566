"""Engines that lose nothing: SQLite in WAL mode with immediate write transactions, Postgres through psycopg 3."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from crypto_platform.errors import ConfigurationError, StoreError
from crypto_platform.storage.encoding import document

BUSY_TIMEOUT_MS = 30_000
READ_ONLY = "crypto_platform_read_only"  # execution option of connections that only read


def parse_url(text: str) -> URL:
    """URL of a store; a bare `postgresql://` means psycopg 3, the driver this project installs.

    Raises
    ------
    ConfigurationError
        Not a URL, or of an engine that is not supported. The message never holds the password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise ConfigurationError(
            "CRYPTO_PLATFORM_DATABASE_URL is not a database URL; use sqlite:///path or postgresql://user:password@host/db"
        ) from error
    if url.drivername in {"postgres", "postgresql"}:
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise ConfigurationError(
            f"CRYPTO_PLATFORM_DATABASE_URL names {url.get_backend_name()!r}; supported are sqlite and postgresql"
        )
    return url


def open_engine(text: str) -> Engine:
    """Engine of the store at a URL. No connection is made; the folder of an SQLite file is.

    Raises
    ------
    ConfigurationError
        See `parse_url`.
    StoreError
        The folder cannot be created or written.
    """
    url = parse_url(text)
    if url.get_backend_name() == "postgresql":
        return create_engine(
            url,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 10, "options": "-c timezone=UTC"},
            json_serializer=document,
        )
    if url.database and url.database != ":memory:":
        folder = Path(url.database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the store's folder {folder} cannot be created ({error.strerror}); "
                "set CRYPTO_PLATFORM_HOME to a folder that can be written"
            ) from error
    engine = create_engine(url, json_serializer=document)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one state of the store, whoever writes meanwhile, and cannot write."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection
            return
        connection.execution_options(**{READ_ONLY: True})
        connection.exec_driver_sql("PRAGMA query_only = ON")
        connection.exec_driver_sql("BEGIN")
        try:
            yield connection
        finally:
            connection.rollback()
            connection.exec_driver_sql("PRAGMA query_only = OFF")  # the pool hands it on


def _configure_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # BEGIN is ours: the driver's own would be deferred
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    # A deferred transaction that turns into a write after another wrote fails at once instead of waiting.
    if not connection.get_execution_options().get(READ_ONLY):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
