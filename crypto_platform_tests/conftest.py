"""Fixtures that all tests share: candles as plain frames, recorded history where there is any, and empty stores."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from crypto_platform.storage.warehouse import Warehouse
from crypto_platform_tests.postgres import NoPostgresError, fresh_database, running_postgres

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.register_profile("thorough", deadline=None, max_examples=2_000)  # --hypothesis-profile=thorough
settings.load_profile("untimed")

TEST_DATA = "CRYPTO_PLATFORM_TEST_DATA"


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


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a Postgres server's maintenance database; one server a process, so also one a worker of pytest-xdist."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(running_postgres())
        except NoPostgresError as error:
            pytest.skip(str(error))
        yield url


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """URL of a fresh, empty Postgres database, gone afterwards."""
    with fresh_database(postgres_url) as url:
        yield url


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
