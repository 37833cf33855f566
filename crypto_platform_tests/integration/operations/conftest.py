"""A small deployment on made-up candles: two symbols, quick models, any number of hours."""

import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Connection, Table, select

from crypto_platform.core.estimators import ModelParameters
from crypto_platform.core.hours import HOUR
from crypto_platform.core.provenance import Provenance
from crypto_platform.core.signals import SignalRules
from crypto_platform.errors import SourceError, SourceUnavailableError
from crypto_platform.operations import aliases, build, candles, collect, predict, settle, train
from crypto_platform.operations.results import Report
from crypto_platform.operations.workers import ALONE, Workers
from crypto_platform.sources.base import Fetched
from crypto_platform.storage import warehouse
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import Symbol
from crypto_platform.tables import features, model_versions

SYMBOLS = ("BTC", "ETH")
START = datetime.fromisoformat("2026-01-05T00:00:00+00:00")
HISTORY = timedelta(days=400)  # more than any test has
QUICK = ModelParameters(forest_trees=10, boosting_iterations=10)
CANDLES = ["timestamp", "open", "high", "low", "close", "volume_base", "volume", "trades"]


@dataclass
class FakeCandles:
    """A vendor with frames for answers; a symbol in `broken` gives an error."""

    frames: dict[str, pd.DataFrame]
    name: str = "fake"
    provenance: Provenance = Provenance.SIMULATED
    broken: set[str] = field(default_factory=set)
    error: type[SourceError] = SourceUnavailableError
    asked: list[tuple[str, datetime, datetime]] = field(default_factory=list)

    def fetch_candles(self, symbol: Symbol, start: datetime, end: datetime) -> Fetched:
        self.asked.append((symbol.name, start, end))
        if symbol.name in self.broken:
            raise self.error(f"{self.name} is down for {symbol.name}")
        rows = self.frames[symbol.name]
        rows = rows[(rows["timestamp"] >= start) & (rows["timestamp"] < end)]
        return Fetched(rows[CANDLES].reset_index(drop=True), self.name, self.provenance)


@dataclass
class FakeSentiment:
    """A vendor of a daily index."""

    rows: pd.DataFrame
    name: str = "mood"
    provenance: Provenance = Provenance.SIMULATED

    def fetch_sentiment(self, start: datetime, end: datetime) -> Fetched:
        rows = self.rows[(self.rows["timestamp"] >= start) & (self.rows["timestamp"] < end)]
        return Fetched(rows.reset_index(drop=True), self.name, self.provenance)


@dataclass
class Deployment:
    """The operations with one set of arguments."""

    store: Warehouse
    artifacts: ArtifactStore
    candles: FakeCandles
    sentiment: FakeSentiment
    names: tuple[str, ...] = SYMBOLS

    def collect(
        self, as_of: datetime, sources: Sequence[FakeCandles] | None = None, history: timedelta = HISTORY, **more: Any
    ) -> Report:
        symbols = [Symbol(name, name, None, name, default=True) for name in self.names]
        chosen = [self.candles] if sources is None else sources
        return candles.collect_candles(self.store, chosen, symbols, as_of=as_of, history=history, **more)

    def collect_sentiment(self, as_of: datetime) -> Report:
        return collect.collect_sentiment(self.store, self.sentiment, as_of=as_of, history=HISTORY)

    def build(self, as_of: datetime) -> Report:
        return build.build_features(self.store, self.names, as_of=as_of)

    def train(self, as_of: datetime, workers: Workers = ALONE, *, gated: bool = False) -> Report:
        """Train everything; unless `gated`, what was trained serves, whatever the gate says of such small models."""
        done = train.train(
            self.store,
            self.artifacts,
            self.names,
            as_of=as_of,
            horizons=(1, 3),
            train_days=30,
            parameters=QUICK,
            expiry=timedelta(days=14),
            workers=workers,
        )
        if not gated:
            made = self.store.read(select(model_versions).where(model_versions.c.trained_at == as_of))
            with self.store.begin() as connection:
                for row in made.itertuples():
                    key = (row.symbol, int(row.horizon), row.version)
                    aliases.point(connection, *key, at=as_of, actor="train", reason="requested")
        return done

    def predict(self, as_of: datetime, **options: Any) -> Report:
        given: dict[str, Any] = {
            "created_at": None,
            "horizons": (1, 3),
            "rules": SignalRules(),
            "expiry": timedelta(days=14),
        }
        return predict.predict(self.store, self.artifacts, self.names, as_of=as_of, **{**given, **options})

    def settle(self, as_of: datetime) -> Report:
        return settle.settle(self.store, self.names, as_of=as_of)

    def ingest(self, as_of: datetime) -> None:
        """Everything before the models."""
        self.collect_sentiment(as_of)
        self.collect(as_of)
        self.build(as_of)

    def tick(self, as_of: datetime) -> None:
        """An hour's tick."""
        self.collect(as_of)
        self.build(as_of)
        self.predict(as_of)
        self.settle(as_of)

    def features(self) -> pd.DataFrame:
        return self.store.read(select(features).order_by(features.c.symbol, features.c.timestamp))


def after(hours: float) -> datetime:
    """Shortly after the candle of hour `hours - 1` has closed."""
    return START + hours * HOUR + timedelta(minutes=5)


@pytest.fixture(scope="session")
def moment() -> Callable[[float], datetime]:
    return after


@pytest.fixture(scope="session")
def walks(walk: Callable[..., pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """1450 hours of two symbols: a hole of 2 h (filled) and one of 5 h (splits) in the first."""
    frames = {name: walk(name, 1450, seed) for seed, name in enumerate(SYMBOLS)}
    frames["BTC"] = frames["BTC"].drop(index=[410, 411, *range(430, 435)])
    return frames


@pytest.fixture(scope="session")
def moods() -> pd.DataFrame:
    days = pd.date_range("2025-11-01", "2026-04-01", freq="D", tz="UTC", unit="us")
    return pd.DataFrame(
        {
            "timestamp": days,
            "fear_greed_value": [20 + (i * 7) % 60 for i in range(len(days))],
            "fear_greed_classification": "Fear",
        }
    )


Deploy = Callable[..., Deployment]


@pytest.fixture(scope="session")
def make_deployment(walks: dict[str, pd.DataFrame], moods: pd.DataFrame) -> Callable[[Warehouse, Path], Deployment]:
    """A deployment on a store and a folder, its frames its own to change."""

    def make(store: Warehouse, artifacts: Path) -> Deployment:
        frames = {name: frame.copy() for name, frame in walks.items()}
        return Deployment(store, ArtifactStore(artifacts), FakeCandles(frames), FakeSentiment(moods))

    return make


@pytest.fixture
def deploy(make_deployment: Callable[[Warehouse, Path], Deployment], tmp_path: Path) -> Deploy:
    """A deployment on a store, its artifacts in the test's own folder."""
    return lambda store: make_deployment(store, tmp_path / "artifacts")


@pytest.fixture
def deployment(store: Warehouse, deploy: Deploy) -> Deployment:
    """A deployment on each engine in turn, nothing collected."""
    return deploy(store)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite store: copying one is a hundred times quicker than making one."""
    path = tmp_path_factory.mktemp("template") / "store.db"
    store = Warehouse.open(f"sqlite:///{path}")
    assert store.engine
    store.close()
    return path


@pytest.fixture
def blank(template: Path, tmp_path: Path) -> Callable[[], Warehouse]:
    """Further empty stores, on SQLite."""
    count = itertools.count()

    def make() -> Warehouse:
        path = tmp_path / f"blank_{next(count)}.db"
        shutil.copy(template, path)
        return Warehouse.open(f"sqlite:///{path}")

    return make


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A context in which some tables take no rows of BTC, alone or among others'."""

    @contextmanager
    def refuse(error: Exception, *tables: Table) -> Iterator[None]:
        def guarded(original: Callable[..., Any]) -> Callable[..., Any]:
            def write(connection: Connection, table: Table, rows: pd.DataFrame) -> Any:
                if table in tables and "BTC" in set(rows["symbol"]):
                    raise error
                return original(connection, table, rows)

            return write

        with monkeypatch.context() as patch:
            for name in ("upsert", "insert_missing", "upsert_by_symbol", "insert_missing_by_symbol"):
                patch.setattr(warehouse, name, guarded(getattr(warehouse, name)))
            yield

    return refuse
