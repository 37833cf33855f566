"""What docs/faults.md says the platform does about each fault of the catalogue is what it does."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select

from crypto_platform.errors import PlatformError
from crypto_platform.operations.candles import collect_candles
from crypto_platform.operations.collect import collect_market_data, collect_sentiment
from crypto_platform.operations.imports import import_archive
from crypto_platform.operations.verify import verify
from crypto_platform.replay.catalogue import catalogue
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
from crypto_platform.tables import market_data, ohlcv_data, ohlcv_revisions, quarantine, sentiment_data
from crypto_platform_tests.integration.faulty import QUICK_ARGUMENTS, Impatient

NOW = datetime(2025, 2, 5, 10, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = 24 * HOUR
MONTH = (datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC))
BTC = pick(load_symbols(), ("BTC",))
NOT_DATA = ["known_at", "known_at_estimated", "high_24h", "low_24h"]  # ours, or of the collection's moment

# ccxt itself cuts and sorts the rows of its exchanges; the formats of all vendors have tests of their own.
CANDLE_ENDPOINTS = ("binance.klines", "cryptocompare.histohour", "coindesk.hours", "binance_archive.*")
EVERYWHERE = ("binance.klines", "coinpaprika.tickers", "fear_greed.fng", "binance_archive.monthly")
TABLES = {"coinpaprika": market_data, "fear_greed": sentiment_data}


@dataclass
class Lab:
    """A simulated market behind a replay server whose clock is set by hand, and a store a vendor."""

    url: str
    faults: Faults
    folder: Path
    seconds: list[float]
    prepared: dict[str, tuple[Path, pd.DataFrame]] = field(default_factory=dict)
    gate: Gate = field(default_factory=Gate)

    @property
    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds[0])

    def config(self, vendor: str) -> Impatient:
        order = (vendor,) if vendor not in {"coinpaprika", "fear_greed", "binance_archive"} else ("binance",)
        return Impatient.at(self.url, *order)

    def collect(self, store: Warehouse, vendor: str) -> str:
        """One collection; the error it ended in, of the vendor or of the symbol."""
        config, as_of = self.config(vendor), self.now
        try:
            if vendor == "coinpaprika":
                report = collect_market_data(store, catalog.snapshot_source(config, self.gate), BTC, as_of=as_of)
            elif vendor == "fear_greed":
                source = catalog.sentiment_source(config, self.gate)
                report = collect_sentiment(store, source, as_of=as_of, history=5 * DAY)
            elif vendor == "binance_archive":
                report = import_archive(store, catalog.archive_host(config, self.gate), BTC, *MONTH, as_of=as_of)
            else:
                sources = catalog.candle_sources(config, self.gate)
                report = collect_candles(store, sources, BTC, as_of=as_of, history=3 * DAY)
        except PlatformError as error:
            return str(error)
        return "; ".join(result.error for result in report.results if result.error)

    def data(self, store: Warehouse, vendor: str) -> pd.DataFrame:
        table = TABLES.get(vendor, ohlcv_data)
        rows = store.read(select(table).order_by(table.c.timestamp))
        return rows.drop(columns=[name for name in NOT_DATA if name in rows])

    def store(self, vendor: str, template: Path) -> tuple[Warehouse, pd.DataFrame, pd.DataFrame]:
        """A store with a healthy collection's rows, those rows, and what the next healthy one makes of them."""
        step = DAY if vendor == "fear_greed" else HOUR
        if vendor not in self.prepared:
            path = self.folder / f"{vendor}.db"
            shutil.copy(template, path)
            store = Warehouse.open(f"sqlite:///{path}")
            self.seconds[0] = 0.0
            if vendor != "binance_archive":
                assert self.collect(store, vendor) == ""
            store.close()
            after = self._copy(path)
            self.seconds[0] = step.total_seconds()
            assert self.collect(after, vendor) == ""
            self.prepared[vendor] = path, self.data(after, vendor)
            after.close()
        path, expected = self.prepared[vendor]
        store = self._copy(path)
        self.seconds[0] = step.total_seconds()
        self.gate = Gate(clock=lambda: self.now.timestamp(), sleep=Impatient.waits.append)  # noqa: PLW0108 - not now's now
        Impatient.waits.clear()
        return store, self.data(store, vendor), expected

    def _copy(self, path: Path) -> Warehouse:
        copy = self.folder / "copy.db"
        for old in self.folder.glob("copy.db*"):
            old.unlink()
        shutil.copy(path, copy)
        return Warehouse.open(f"sqlite:///{copy}")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "store.db"
    store = Warehouse.open(f"sqlite:///{path}")
    assert store.engine  # which makes the tables
    store.close()
    return path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    seconds, faults = [0.0], Faults()
    market = SimulatedMarket(Scenario.around(NOW, 60, ("BTC", "ETH"), 15, 0.0))
    clock = ReplayClock(NOW, 1, monotonic=lambda: seconds[0])
    with running_server(build_app(market, clock, faults)) as url:
        yield Lab(url, faults, tmp_path_factory.mktemp("faults"), seconds)


@dataclass
class Run:
    """What a fault did: the rows before it, after it, as they should become, and after a healthy collection."""

    error: str
    waits: int
    before: pd.DataFrame
    after: pd.DataFrame
    expected: pd.DataFrame
    healthy: pd.DataFrame
    reasons: set[str]
    n_revisions: int


def words(name: str, endpoint: str) -> str:
    """The fault as a script's step."""
    argument = QUICK_ARGUMENTS.get(name, "")
    is_newest = name in {"withhold", "restated", "frozen", "duplicate"} or (HANDLED[name][0] is Handling.ROW_REFUSED)
    takes_hours = any(e.name == name and e.argument == "[HOURS]" for e in catalogue())
    if takes_hours and is_newest and not endpoint.startswith("binance_archive"):
        argument = ":1"  # the hour that the collection is about
    return ("500" if name == "STATUS" else name) + argument


@pytest.fixture
def suffer(lab: Lab, template: Path, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    def run(name: str, endpoint: str, times: str = "", later: float = 300.0) -> Run:
        vendor = endpoint.partition(".")[0]
        store, before, expected = lab.store(vendor, template)
        try:
            steps = Faults.parse(f"{endpoint}={words(name, endpoint)}{times}").pending()
            for each, script in steps.items():
                lab.faults.set(each, script)
            error = lab.collect(store, vendor)
            after, waits = lab.data(store, vendor), len(Impatient.waits)
            reasons = set(store.read(select(quarantine.c.reason))["reason"])
            lab.faults.clear("*")
            if vendor != "coinpaprika":  # whose snapshot would be another one then
                lab.seconds[0] += later
            lab.collect(store, vendor)
            healthy, revisions = lab.data(store, vendor), store.read(select(ohlcv_revisions))
            findings = verify(store, ArtifactStore(tmp_path), as_of=lab.now).findings
            assert findings == ()
            return Run(error, waits, before, after, expected, healthy, reasons, len(revisions))
        finally:
            lab.faults.clear("*")
            store.close()

    yield run
    lab.faults.clear("*")


# A month that is not there is none, and only then are its days asked for; a price that never moves again is refused;
# zeros are the price indices' word for hours before a listing.
OTHERWISE = {
    ("404", "binance_archive.*"),
    ("corrupt_zip", "binance_archive.daily"),
    ("frozen", "binance_archive.*"),
    ("zero", "cryptocompare.histohour"),
    ("zero", "coindesk.hours"),
}


def cases(*handlings: Handling) -> list[Any]:
    """Each fault of some handlings at each endpoint it makes sense for."""
    found = []
    for entry in catalogue():
        if HANDLED[entry.name][0] not in handlings:
            continue
        if entry.endpoints == "candles":
            named = CANDLE_ENDPOINTS
        elif entry.endpoints == "*":
            named = EVERYWHERE
        else:
            named = tuple(e.replace("kraken.*", "kraken.ohlc") for e in entry.endpoints.split(", "))
        for endpoint in named:
            if (entry.name, endpoint) in OTHERWISE:
                continue
            found.append(pytest.param(entry.name, endpoint, id=f"{entry.name}-{endpoint}"))
    return found


def rows_of(frame: pd.DataFrame) -> set[tuple[Any, ...]]:
    return set(frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None))


def require_nothing_stored(run: Run) -> None:
    """At once, without asking again; and the next collection has it all."""
    assert run.waits == 0
    pd.testing.assert_frame_equal(run.after, run.before)
    pd.testing.assert_frame_equal(run.healthy, run.expected)


def test_every_fault_of_the_catalogue_has_its_handling() -> None:
    assert [entry.name for entry in catalogue()] == list(HANDLED)


@pytest.mark.parametrize("times", ["", "x*"])
@pytest.mark.parametrize(("name", "endpoint"), cases(Handling.USED))
def test_a_harmless_answer_is_used(suffer: Callable[..., Run], name: str, endpoint: str, times: str) -> None:
    run = suffer(name, endpoint, times)
    assert (run.error, run.waits, run.reasons) == ("", 0, set())
    if name in {"null_numbers", "empty_numbers"}:
        newest = run.after.iloc[-1]
        assert newest["price_usd"] == run.expected["price_usd"].iloc[-1]
        assert newest[["market_cap", "total_volume", "price_change_24h", "total_supply"]].isna().all()
    elif name == "stale":
        assert run.expected["timestamp"].max() - 2 * HOUR in set(run.after["timestamp"])
        assert rows_of(run.expected) <= rows_of(run.healthy)
    else:
        pd.testing.assert_frame_equal(run.after, run.expected)


@pytest.mark.parametrize(("name", "endpoint"), cases(Handling.ASKED_AGAIN))
def test_a_passing_fault_is_waited_out_and_a_lasting_one_is_named(
    suffer: Callable[..., Run], name: str, endpoint: str
) -> None:
    once = suffer(name, endpoint)
    assert (once.error, once.waits) == ("", 1)
    pd.testing.assert_frame_equal(once.after, once.expected)
    lasting = suffer(name, endpoint, "x*")
    assert "CRYPTO_PLATFORM_" in lasting.error
    pd.testing.assert_frame_equal(lasting.after, lasting.before)
    pd.testing.assert_frame_equal(lasting.healthy, lasting.expected)


@pytest.mark.parametrize(("name", "endpoint"), cases(Handling.LEFT_ALONE))
def test_a_vendor_that_asks_for_a_long_wait_is_left_alone(suffer: Callable[..., Run], name: str, endpoint: str) -> None:
    too_soon, run = suffer(name, endpoint, later=60.0), suffer(name, endpoint)
    assert "CRYPTO_PLATFORM_" in run.error
    pd.testing.assert_frame_equal(too_soon.healthy, too_soon.before)
    require_nothing_stored(run)


@pytest.mark.parametrize(("name", "endpoint"), cases(Handling.REFUSED))
def test_a_refusal_names_the_culprit_and_stores_nothing(suffer: Callable[..., Run], name: str, endpoint: str) -> None:
    run = suffer(name, endpoint)
    assert any(cure in run.error for cure in ("CRYPTO_PLATFORM_", "symbols file", "try later", "get it again"))
    require_nothing_stored(run)


@pytest.mark.parametrize(("name", "endpoint"), cases(Handling.ROW_REFUSED))
def test_a_bad_row_is_quarantined_and_the_others_are_stored(
    suffer: Callable[..., Run], name: str, endpoint: str
) -> None:
    run = suffer(name, endpoint)
    assert len(run.reasons) == 1
    assert run.reasons <= set(HANDLED[name][1].partition("; ")[0].split(", "))
    assert rows_of(run.before) <= rows_of(run.after) <= rows_of(run.expected)
    assert len(run.after) >= len(run.expected) - 1
    pd.testing.assert_frame_equal(run.healthy, run.expected)


@pytest.mark.parametrize(("name", "endpoint"), cases(Handling.MISSING))
def test_what_did_not_come_is_missing_until_it_comes(suffer: Callable[..., Run], name: str, endpoint: str) -> None:
    run = suffer(name, endpoint)
    assert (run.reasons, run.waits) == (set(), 0)
    assert rows_of(run.before) <= rows_of(run.after) < rows_of(run.expected)
    pd.testing.assert_frame_equal(run.healthy, run.expected)


@pytest.mark.parametrize(("name", "endpoint"), cases(Handling.BELIEVED))
def test_a_plausible_lie_is_stored_until_the_vendor_corrects_it(
    suffer: Callable[..., Run], name: str, endpoint: str
) -> None:
    run = suffer(name, endpoint)
    assert run.error == ""
    assert run.after["timestamp"].tolist() == run.expected["timestamp"].tolist()
    assert not run.after.equals(run.expected)
    assert run.n_revisions > 0
    pd.testing.assert_frame_equal(run.healthy, run.expected)


def test_a_month_that_the_archive_lacks_comes_by_its_days(suffer: Callable[..., Run]) -> None:
    run = suffer("404", "binance_archive.monthly")
    assert run.error == ""
    pd.testing.assert_frame_equal(run.after, run.expected)


def test_a_price_that_never_moves_again_is_refused(suffer: Callable[..., Run]) -> None:
    run = suffer("frozen", "binance_archive.*")
    assert (run.error, run.reasons) == ("", {"frozen_price"})
    pd.testing.assert_frame_equal(run.healthy, run.expected)


@pytest.mark.parametrize("endpoint", ["cryptocompare.histohour", "coindesk.hours"])
def test_zeros_of_a_price_index_are_missing_hours(suffer: Callable[..., Run], endpoint: str) -> None:
    run = suffer("zero", endpoint)
    assert (run.error, run.reasons) == ("", set())
    require_nothing_stored(run)
