"""A small simulated market behind the real clients' interface, and the graph on a store of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from crypto_platform import settings as configuration
from crypto_platform.core.provenance import Provenance
from crypto_platform.definitions import build_defs
from crypto_platform.defs.partitions import range_tags
from crypto_platform.defs.resources import AS_OF_TAG, Platform, SimulatedClock
from crypto_platform.errors import SourceUnavailableError
from crypto_platform.settings import Settings
from crypto_platform.sources.base import Fetched
from crypto_platform.symbols import Symbol

SYMBOLS = ("BTC", "ETH", "ADA")
NOW = datetime(2026, 3, 4, 12, 5, tzinfo=UTC)


@dataclass
class Candles:
    """Random walks; a symbol in `down` is refused."""

    walks: dict[str, pd.DataFrame]
    down: set[str] = field(default_factory=set)
    name: str = "binance"

    def fetch_candles(self, symbol: Symbol, start: datetime, end: datetime) -> Fetched:
        if symbol.name in self.down:
            raise SourceUnavailableError(f"binance does not answer for {symbol.name}")
        rows = self.walks[symbol.name].drop(columns="symbol")
        inside = (rows["timestamp"] >= start) & (rows["timestamp"] < end)
        return Fetched(rows[inside].reset_index(drop=True), self.name, Provenance.SIMULATED)


@dataclass
class World:
    """The graph, its store and the instance it is run on."""

    platform: Platform
    defs: dg.Definitions
    instance: dg.DagsterInstance
    candles: Candles

    def materialize(self, *assets: str, symbols: Sequence[str] = SYMBOLS) -> dg.ExecuteInProcessResult:
        """One run of assets over a range of symbols; with all their checks."""
        job = self.defs.resolve_implicit_global_asset_job_def()
        return self._run(job, symbols, asset_selection=[dg.AssetKey(name) for name in assets])

    def run(self, job: str, symbols: Sequence[str] = SYMBOLS, **more: Any) -> dg.ExecuteInProcessResult:
        """One run of a job over a range of symbols."""
        return self._run(self.defs.resolve_job_def(job), symbols, **more)

    def _run(
        self, job: dg.JobDefinition, symbols: Sequence[str], as_of: datetime = NOW, **more: Any
    ) -> dg.ExecuteInProcessResult:
        single = len(symbols) == 1
        partition: dict[str, Any] = {"partition_key": symbols[0]} if single else {}
        tags = {AS_OF_TAG: as_of.isoformat()} | ({} if single else range_tags(symbols))
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        more["run_config"] = quiet | more.get("run_config", {})
        return job.execute_in_process(instance=self.instance, tags=tags, raise_on_error=False, **partition, **more)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return configuration.load(
        home=tmp_path_factory.mktemp("home"), symbols=SYMBOLS, history_days=55, train_days=30, workers=1
    )


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as opened:
        yield opened


@pytest.fixture(scope="module")
def world(settings: Settings, instance: dg.DagsterInstance, walk: Any) -> Iterator[World]:
    """A fresh store with 55 days of three random walks behind its source."""
    candles = Candles({name: walk(name, 1410, seed=n) for n, name in enumerate(SYMBOLS)})
    platform = Platform(settings, SimulatedClock(NOW))
    platform.__dict__["candle_sources"] = [candles]
    yield World(platform, build_defs(settings, {"platform": platform}), instance, candles)
    platform.close()
