"""The platform's own work of one hourly tick: operations alone, without Dagster and HTTP.

Every symbol has a bundle of its own and each tick loads it from disk, as a fresh process does once its imports are
done. The bundles hold the same fitted models: fitting one for each symbol would take hours and measure nothing.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from sqlalchemy import Table, select

from benchmarks.world import NOW, MemorySource, World
from crypto_platform.core import features as science
from crypto_platform.core.estimators import ModelParameters
from crypto_platform.core.hours import HOUR
from crypto_platform.core.signals import SignalRules
from crypto_platform.operations import (
    aliases,
    build,
    candles,
    checks,
    collect,
    compare,
    predict,
    registry,
    series,
    settle,
    train,
    watermarks,
)
from crypto_platform.operations.results import Report
from crypto_platform.operations.watermarks import Mark
from crypto_platform.storage import warehouse
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import features, model_aliases, model_metrics, model_versions, predictions

LOAD: Final = "load models"  # taken out of "predict", in which it happens
STEPS: Final = ("collect", "features", LOAD, "predict", "settle", "compare", "checks")
HORIZONS: Final = (1,)
TRAIN_DAYS: Final = 30
FEATURE_DAYS: Final = 16  # of held feature rows; a tick reads two weeks of them
PAST: Final = timedelta(days=7)  # forecasts, outcomes and arms held before the first measured tick
LAG: Final = timedelta(minutes=5)  # of a tick after the hour
RULES: Final = SignalRules()
EXPIRY: Final = timedelta(days=14)


class Platform:
    """An SQLite store and bundles under `folder`, filled up to `NOW`."""

    def __init__(self, folder: Path, world: World, parameters: ModelParameters) -> None:
        self._world = world
        self.store = Warehouse.open(f"sqlite:///{folder / 'platform.db'}")
        self.artifacts = ArtifactStore(folder / "artifacts")
        self._fill(parameters)

    def close(self) -> None:
        """Give back all connections."""
        self.store.close()

    @property
    def first(self) -> str:
        """The symbol whose models were trained here."""
        return self._world.names[0]

    def count(self, table: Table) -> int:
        """Rows of a table."""
        return len(self.store.read(select(table.c.symbol)))

    def tick(self, as_of: datetime) -> dict[str, float]:
        """Seconds of each step of one hour's work; a symbol that fails ends the benchmark."""
        seconds = dict.fromkeys(STEPS, 0.0)
        load = registry.load

        def timed_load(*arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return load(*arguments)
            finally:
                seconds[LOAD] += time.perf_counter() - began

        with patch.object(registry, "load", timed_load):
            for step, work in self._steps(as_of).items():
                began = time.perf_counter()
                work()
                seconds[step] = time.perf_counter() - began
        seconds["predict"] -= seconds[LOAD]
        return seconds

    def _steps(self, as_of: datetime) -> Mapping[str, Callable[[], object]]:
        store, names = self.store, self._world.names
        scope = checks.Scope(self._world.symbols, as_of)
        return {
            "collect": lambda: self._collect(as_of),
            "features": lambda: _sound(build.build_features(store, names, as_of=as_of)),
            "predict": lambda: self.predict(names, as_of, created_at=as_of),
            "settle": lambda: _sound(settle.settle(store, names, as_of=as_of)),
            "compare": lambda: _sound(compare.compare(store, names, as_of=as_of, horizons=HORIZONS)),
            "checks": lambda: [check.statement(store, scope) for check in checks.CHECKS],
        }

    def _collect(self, as_of: datetime) -> None:
        source, symbols = MemorySource(self._world, as_of), self._world.symbols
        history = timedelta(days=self._world.days) - HOUR
        _sound(candles.collect_candles(self.store, [source], symbols, as_of=as_of, history=history))
        _sound(collect.collect_market_data(self.store, source, symbols, as_of=as_of))
        _sound(collect.collect_sentiment(self.store, source, as_of=as_of, history=history))

    def predict(
        self, names: list[str], as_of: datetime, created_at: datetime | None, since: datetime | None = None
    ) -> None:
        """Forecast the newest hour of some symbols, or all from `since` on; one that fails ends the benchmark."""
        report = predict.predict(
            self.store,
            self.artifacts,
            names,
            as_of=as_of,
            created_at=created_at,
            horizons=HORIZONS,
            rules=RULES,
            expiry=EXPIRY,
            since=since,
        )
        _sound(report)

    def _fill(self, parameters: ModelParameters) -> None:
        """All that a tick finds: candles, features, a champion a symbol, a week of forecasts with their outcomes."""
        as_of, names = NOW + LAG, self._world.names
        self._collect(as_of)
        dataset = series.FEATURES_MARK + science.DEFAULT.hash
        with self.store.begin() as connection:
            for name in names[1:]:  # the first symbol's models learn from more
                mark = Mark(NOW - timedelta(days=FEATURE_DAYS))
                watermarks.write_mark(connection, dataset, name, mark)
        _sound(build.build_features(self.store, names, as_of=as_of))
        self._register(parameters)
        first = names[0]
        self.predict([first], as_of, created_at=None, since=NOW - PAST)
        past = self.store.read(select(predictions).where(predictions.c.symbol == first))
        for name in names[1:]:
            self.store.upsert(predictions, past.assign(symbol=name))
        _sound(settle.settle(self.store, names, as_of=as_of))
        _sound(compare.compare(self.store, names, as_of=as_of, horizons=HORIZONS))

    def _register(self, parameters: ModelParameters) -> None:
        """Train the first symbol a week ago; publish its models under every other symbol's name too."""
        first, *others = self._world.names
        trained = train.train(
            self.store,
            self.artifacts,
            [first],
            as_of=NOW - PAST,
            horizons=HORIZONS,
            train_days=TRAIN_DAYS,
            parameters=parameters,
            expiry=EXPIRY,
        )
        if trained.results[0].details["status"] != "trained":
            raise RuntimeError(f"the benchmark's models cannot be trained: {trained.results[0].details}")
        version, why = trained.results[0].details["version"], "what models forecast is not measured here"
        with self.store.begin() as connection:  # whatever the gate says: on so few rows it may refuse them
            aliases.point(connection, first, HORIZONS[0], version, at=NOW - PAST, actor="benchmark", reason=why)
        self._publish_copies(others)

    def clone(self, names: Sequence[str]) -> list[str]:
        """Further symbols with the first one's features and models; all names are returned."""
        first = self.first
        since = NOW - timedelta(days=FEATURE_DAYS)
        rows = self.store.read(select(features).where(features.c.symbol == first, features.c.timestamp >= since))
        for name in names:
            self.store.upsert(features, rows.assign(symbol=name))
        self._publish_copies(names)
        return [first, *names]

    def forget(self, since: datetime) -> None:
        """Take the forecasts from a moment on out again: those of a batch, to make it once more."""
        with self.store.begin() as connection:
            connection.execute(predictions.delete().where(predictions.c.prediction_timestamp >= since))

    def _publish_copies(self, names: Sequence[str]) -> None:
        """The first symbol's bundle under each name."""
        first = self.first
        served = registry.champions(self.store, [first], NOW)[first, HORIZONS[0]]
        bundle = self.artifacts.open(served.version, served.bundle_sha256)
        files = {name: bundle.read(name) for name in bundle.manifest["files"]}
        rows = {table: self.store.read(select(table)) for table in (model_versions, model_metrics, model_aliases)}
        for name in names:
            copy = self.artifacts.publish(files, {**bundle.manifest, "symbol": name})
            with self.store.begin() as connection:
                for table, change in _renamed(name, copy.version, copy.sha256).items():
                    warehouse.insert_missing(connection, table, rows[table].assign(**change))


def _renamed(symbol: str, version: str, sha256: str) -> dict[Table, dict[str, Any]]:
    return {
        model_versions: {"symbol": symbol, "version": version, "bundle_sha256": sha256},
        model_metrics: {"symbol": symbol, "version": version},
        model_aliases: {"symbol": symbol, "version_to": version},
    }


def _sound(report: Report) -> None:
    if report.failed:
        raise RuntimeError(f"{report.subject}: {report.failed}")
