"""After any storm of faults and restarts, a store becomes what it would be had there been none."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from sqlalchemy import Table, select
from sqlalchemy import event as sql

from crypto_platform.errors import PlatformError
from crypto_platform.operations.candles import collect_candles
from crypto_platform.operations.collect import collect_market_data, collect_sentiment
from crypto_platform.operations.results import Report
from crypto_platform.operations.verify import verify
from crypto_platform.replay.catalogue import EFFECTS, applies, catalogue
from crypto_platform.replay.clock import ReplayClock
from crypto_platform.replay.faults import Faults
from crypto_platform.replay.handling import HANDLED, Handling
from crypto_platform.replay.scenario import Scenario
from crypto_platform.replay.server import build_app, running_server
from crypto_platform.replay.simulated import SimulatedMarket
from crypto_platform.sources import catalog
from crypto_platform.sources.gate import Gate
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import load_symbols
from crypto_platform.symbols import select as pick
from crypto_platform.tables import market_data, ohlcv_data, ohlcv_gaps, sentiment_data
from crypto_platform_tests.integration.faulty import QUICK_ARGUMENTS, Impatient

NOW = datetime(2025, 2, 5, 10, 20, tzinfo=UTC)
FIRST = NOW - timedelta(days=4)  # of the history that is wanted
SYMBOLS = pick(load_symbols(), ("BTC", "ETH"))
ENDPOINTS = ("binance.klines", "cryptocompare.histohour", "coinpaprika.tickers", "fear_greed.fng")
STATUSES = ("401", "402", "403", "404", "418", "429", "429:5", "451", "500", "503", "503:7", "304")
# What a healthy answer soon after does not correct is no fault but a vendor's word: a lie about all of a history, which
# nobody can tell from the truth. `test_faults` has them one by one.
LASTING_LIES = {"jump", "scaled"}
CALM = (2, 1, 4, 16, 24, 64)  # hours between the healthy collections: the waits of gaps, the pauses of vendors


def words() -> list[tuple[str, str]]:
    """Every fault as a script's step, with an endpoint it makes sense for."""
    found = [(endpoint, status) for endpoint in ENDPOINTS for status in STATUSES]
    for entry in catalogue():
        if entry.name not in EFFECTS or entry.name in LASTING_LIES:
            continue
        arguments = [QUICK_ARGUMENTS.get(entry.name, "")]
        if entry.argument == "[HOURS]":
            newest = HANDLED[entry.name][0] is Handling.BELIEVED
            arguments = [":1", ":5"] if newest else ["", ":1", ":5", ":30"]
        found += [
            (endpoint, entry.name + each)
            for endpoint in ENDPOINTS
            if applies(entry.name, endpoint)
            for each in arguments
        ]
    return found


@dataclass(frozen=True)
class Step:
    """What happens before a collection, and to it."""

    faults: tuple[tuple[str, str, str], ...]  # endpoint, fault, times
    minutes: int
    restarted: bool
    killed_at: int | None  # statement to the store that is never made


STEPS = st.builds(
    Step,
    st.lists(
        st.tuples(st.sampled_from(words()), st.sampled_from(["", "x2", "x4", "x9"])).map(lambda f: (*f[0], f[1])),
        max_size=4,
    ).map(tuple),
    st.sampled_from([1, 15, 60, 150, 480]),
    st.booleans(),
    st.none() | st.integers(1, 40),
)


class Killed(BaseException):
    """The process ends here: nothing in it may catch this."""


@dataclass
class World:
    """One market behind two replay servers, of which one suffers, on one clock that is set by hand."""

    storm_url: str
    healthy_url: str
    faults: Faults
    template: Path
    seconds: list[float]
    gate: Gate = field(default_factory=Gate)

    @property
    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds[0])

    def open(self, path: Path) -> Warehouse:
        """A new process on a store: what vendors asked of the last one is forgotten."""
        if not path.exists():
            shutil.copy(self.template, path)
        self.gate = Gate(clock=lambda: self.now.timestamp(), sleep=Impatient.waits.append)  # noqa: PLW0108 - not now's now
        return Warehouse.open(f"sqlite:///{path}")

    def collect(
        self, store: Warehouse, url: str, only: Sequence[str] = ("candles", "snapshots", "sentiment")
    ) -> list[str]:
        """Some collections; the errors they ended in."""
        config, as_of = Impatient.at(url, "binance", "cryptocompare"), self.now
        gate = self.gate if url == self.storm_url else Gate(sleep=Impatient.waits.append)
        wanted = as_of - FIRST
        parts: dict[str, Callable[[], Report]] = {
            "candles": lambda: collect_candles(
                store, catalog.candle_sources(config, gate), SYMBOLS, as_of=as_of, history=wanted
            ),
            "snapshots": lambda: collect_market_data(
                store, catalog.snapshot_source(config, gate), SYMBOLS, as_of=as_of
            ),
            "sentiment": lambda: collect_sentiment(
                store, catalog.sentiment_source(config, gate), as_of=as_of, history=wanted
            ),
        }
        errors = []
        for name in only:
            try:
                errors += [result.error for result in parts[name]().results if result.error]
            except PlatformError as error:
                errors.append(str(error))
        return errors


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    template = tmp_path_factory.mktemp("template") / "store.db"
    store = Warehouse.open(f"sqlite:///{template}")
    assert store.engine  # which makes the tables
    store.close()
    seconds, faults = [0.0], Faults()
    market = SimulatedMarket(Scenario.around(NOW, 60, ("BTC", "ETH"), 15, 0.0))
    clock = ReplayClock(NOW, 1, monotonic=lambda: seconds[0])
    with (
        running_server(build_app(market, clock, faults)) as storm,
        running_server(build_app(market, clock, Faults())) as healthy,
    ):
        yield World(storm, healthy, faults, template, seconds)


def read(store: Warehouse, table: Table, *names: str) -> pd.DataFrame:
    return store.read(select(*(table.c[name] for name in names)).order_by(*table.primary_key.columns))


def require_equal(store: Warehouse, reference: Warehouse) -> None:
    """The same series, gaps and sentiment; and no number of a snapshot but the vendor's own."""
    candles = [c.name for c in ohlcv_data.columns if c.name not in {"known_at", "known_at_estimated"}]
    for table, names in (
        (ohlcv_data, candles),
        (ohlcv_gaps, ["symbol", "gap_start", "gap_end", "filled_from"]),
        (sentiment_data, ["timestamp", "fear_greed_value", "fear_greed_classification", "source"]),
    ):
        pd.testing.assert_frame_equal(read(store, table, *names), read(reference, table, *names), obj=table.name)
    numbers = ["price_usd", "market_cap", "total_volume", "price_change_24h", "circulating_supply", "total_supply"]
    key = ["symbol", "timestamp"]
    told, true = (read(s, market_data, *key, *numbers).set_index(key) for s in (store, reference))
    both = told.index.intersection(true.index)
    told, true = told.loc[both], true.loc[both]
    pd.testing.assert_frame_equal(told, true.where(told.notna()), check_dtype=False)
    assert told["price_usd"].notna().all()


def endure(world: World, store: Warehouse, step: Step) -> bool:
    """One collection under a step's faults; whether it was killed."""
    for endpoint, words_of_it, times in step.faults:
        scripts = Faults.parse(f"{endpoint}={words_of_it}{times}").pending()
        for each, script in scripts.items():
            world.faults.set(each, script)
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1
        if statements == step.killed_at:
            raise Killed

    sql.listen(store.engine, "before_cursor_execute", count)
    try:
        world.collect(store, world.storm_url)
    except Killed:
        return True
    finally:
        sql.remove(store.engine, "before_cursor_execute", count)
    return False


@given(storm=st.lists(STEPS, min_size=1, max_size=8))
@settings(max_examples=25, derandomize=True)
def test_after_any_storm_the_store_is_as_without_one(
    world: World, tmp_path_factory: pytest.TempPathFactory, storm: list[Step]
) -> None:
    folder = tmp_path_factory.mktemp("storm")
    world.seconds[0] = 0.0
    world.faults.clear("*")
    reference, store = world.open(folder / "reference.db"), world.open(folder / "store.db")
    try:
        for step in storm:
            is_killed = endure(world, store, step)
            event(f"killed: {is_killed}")
            if is_killed or step.restarted:
                store.close()
                store = world.open(folder / "store.db")
                assert verify(store, ArtifactStore(folder), as_of=world.now).findings == ()
            world.collect(reference, world.healthy_url, only=("snapshots",))
            world.seconds[0] += 60 * step.minutes
        world.faults.clear("*")
        for hours in CALM:
            world.seconds[0] += 3600 * hours
            errors = world.collect(store, world.storm_url)
            world.collect(reference, world.healthy_url, only=("snapshots",))
        assert errors == world.collect(reference, world.healthy_url) == []
        assert verify(store, ArtifactStore(folder), as_of=world.now).findings == ()
        require_equal(store, reference)
    finally:
        store.close()
        reference.close()
        shutil.rmtree(folder)
