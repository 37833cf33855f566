"""A small world for the time machine: two simulated symbols, quick models, trainings every other day.

Run as a program it operates a home until a moment, for tests that kill it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import select

from crypto_platform import settings as configuration
from crypto_platform.cli.market import url_settings
from crypto_platform.core.estimators import ModelParameters
from crypto_platform.defs.resources import Platform, SimulatedClock
from crypto_platform.operations.machine.run import Journey, operate
from crypto_platform.operations.machine.ticks import Deployment
from crypto_platform.replay.clock import ReplayClock
from crypto_platform.replay.history import History
from crypto_platform.replay.scenario import Scenario
from crypto_platform.replay.server import build_app, running_server
from crypto_platform.replay.simulated import SimulatedMarket
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import metadata

SYMBOLS = ("BTC", "ETH")
START = datetime(2026, 3, 2, tzinfo=UTC)
QUICK = ModelParameters(forest_trees=5, boosting_iterations=5)
Tables = dict[str, pd.DataFrame]
# when rows were read, which strides do later than ticks; the machine's clock; the policy's own JSON has no such time
ARRIVAL = frozenset({"known_at", "known_at_estimated", "seen_at"})
COLLECTED = frozenset(
    {"market_data", "watermarks", "vendor_states", "ohlcv_gaps"}
)  # further: rows of the collection alone


def market(seed: int = 1) -> SimulatedMarket:
    return SimulatedMarket(Scenario(seed, START - timedelta(days=63), SYMBOLS, edge=0.25))  # what the gate lets through


@dataclass
class World:
    """A deployment, its clock, and how a test looks at it."""

    deployment: Deployment
    platform: Platform

    def operate(
        self, until: datetime, *, every_tick: bool = False, progress: Callable[..., None] | None = None
    ) -> None:
        journey = Journey(START, until, every_tick, {"market": "small"})
        operate(self.deployment, journey, progress or (lambda *_: None))

    def tables(self) -> Tables:
        return tables_of(self.deployment.store)


def tables_of(store: Warehouse) -> Tables:
    return {table.name: store.read(select(table).order_by(*table.primary_key)) for table in metadata.sorted_tables}


@contextmanager
def world(
    home: Path, history: History | None = None, parameters: ModelParameters = QUICK, **more: Any
) -> Iterator[World]:
    clock = ReplayClock(START, 0)
    with running_server(build_app(history or market(), clock)) as url:
        home.mkdir(parents=True, exist_ok=True)
        given: dict[str, Any] = {
            "home": home, "symbols": SYMBOLS, "train_days": 20, "history_days": 36, "workers": 1, "horizons": (1, 3),
            "listing_dates": "ignored", "retrain_after_days": 1.5, "cooldown_hours": 12,
        }  # fmt: skip
        platform = Platform(configuration.load(**{**given, **more, **url_settings(url)}), SimulatedClock(START))
        deployment = Deployment(
            platform.store,
            platform.artifacts,
            platform.candle_sources,
            platform.snapshot_source,
            platform.sentiment_source,
            clock.set,
            platform.settings,
            parameters,
            platform.rules,
            platform.workers,
        )
        try:
            yield World(deployment, platform)
        finally:
            platform.close()


def assert_same(
    ours: Tables,
    theirs: Tables,
    *,
    without: frozenset[str] = frozenset(),
    ignored: frozenset[str] = frozenset(),
    rtol: float = 0.0,
) -> None:
    """Equal, to the last bit unless `rtol` says less, but for some tables and columns."""
    for name, frame in ours.items():
        if name not in without:
            kept = [column for column in frame if column not in ignored]
            pd.testing.assert_frame_equal(
                frame[kept], theirs[name][kept], rtol=rtol, atol=0, check_dtype=False, obj=name
            )


if __name__ == "__main__":
    with world(Path(sys.argv[1])) as small:
        small.operate(datetime.fromisoformat(sys.argv[2]))
