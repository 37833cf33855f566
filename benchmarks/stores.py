"""Empty stores of both engines, and the way into their tables of one who writes row by row."""

import math
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pandas as pd
import psycopg
from sqlalchemy import Table

from benchmarks.baseline import upsert_statement
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform_tests.postgres import NoPostgresError, fresh_database, running_postgres

SQLITE: Final = "SQLite"
POSTGRES: Final = "Postgres"

Fresh = Callable[[], AbstractContextManager[str]]


@contextmanager
def engines() -> Iterator[dict[str, Fresh]]:
    """By engine, what gives the URL of a new and empty store. Commits on Postgres wait for the disk."""
    with ExitStack() as stack:
        found: dict[str, Fresh] = {SQLITE: fresh_file}
        try:
            server = stack.enter_context(running_postgres(durable=True))
        except NoPostgresError as error:
            print(f"Postgres is left out: {error}", file=sys.stderr)
        else:
            found[POSTGRES] = partial(fresh_database, server)
        yield found


@contextmanager
def fresh_file() -> Iterator[str]:
    """URL of a new and empty store in a file, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'store.db'}"


class ServerCpu:
    """CPU seconds of the server's processes that work for a store. None for SQLite, which works in this process."""

    def __init__(self, url: str) -> None:
        self._admin = None if url.startswith("sqlite") else psycopg.connect(url, autocommit=True)

    def close(self) -> None:
        """Close the connection."""
        if self._admin:
            self._admin.close()

    def seconds(self) -> float:
        """So far, of processes whose connections are open; NaN where the server is not on this machine."""
        if self._admin is None:
            return 0.0
        pids = self._admin.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()").fetchall()
        try:
            return sum(_cpu_of(pid) for (pid,) in pids)
        except OSError:
            return math.nan


def _cpu_of(pid: int) -> float:
    """CPU seconds of a process of this machine, where it has /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class RowByRow:
    """The platform's tables in a store of their own, written as a first working version does.

    One statement a row, every column refreshed, one commit a batch; the plain driver, durability as the platform's.
    Values are converted column by column before the first statement: what is measured is the writing.
    """

    def __init__(self, url: str) -> None:
        Warehouse.open(url).engine.dispose()  # the schema
        self._is_sqlite = url.startswith("sqlite")
        self._mark = "?" if self._is_sqlite else "%s"
        self._connection: Any
        if self._is_sqlite:
            self._connection = sqlite3.connect(url.removeprefix("sqlite:///"))
            self._connection.execute("PRAGMA synchronous = NORMAL")
        else:
            self._connection = psycopg.connect(url)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def upsert(self, table: Table, frame: pd.DataFrame) -> None:
        """Insert or refresh the rows of a frame."""
        key = tuple(c.name for c in table.primary_key)
        others = tuple(name for name in frame.columns if name not in key)
        statement = upsert_statement(table.name, key, others, self._mark)
        columns = [self._plain(frame[name]) for name in (*key, *others)]
        cursor = self._connection.cursor()
        for row in zip(*columns, strict=True):
            cursor.execute(statement, row)
        self._connection.commit()

    def count(self, table: Table) -> int:
        """Rows of a table."""
        return int(self._connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0])

    def _plain(self, series: pd.Series) -> list[Any]:
        missing = series.isna()
        if isinstance(series.dtype, pd.DatetimeTZDtype):
            series = series.astype("int64") if self._is_sqlite else pd.Series(series.dt.to_pydatetime(), dtype=object)
        values = series.tolist()
        return [None if gone else value for value, gone in zip(values, missing, strict=True)]
