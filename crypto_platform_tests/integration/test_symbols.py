"""`crypto-platform symbols` against a replay server: what it asks, what it writes, and what it leaves alone."""

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from crypto_platform import settings as configuration
from crypto_platform.cli.app import app
from crypto_platform.cli.market import Choice, served
from crypto_platform.errors import ConfigurationError
from crypto_platform.operations import symbols as operation
from crypto_platform.replay.clock import ReplayClock
from crypto_platform.replay.faults import Faults, parse_step
from crypto_platform.replay.scenario import Scenario
from crypto_platform.replay.server import build_app, running_server, vendor_urls
from crypto_platform.replay.simulated import SimulatedMarket
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import Symbol, load_symbols
from crypto_platform.tables import ohlcv_data, watermarks

HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 2, 12, 20, tzinfo=UTC)
AT = ("--now", NOW.isoformat())
CANDLES = 30
# What the vendors know and the shipped file does not. BARE has candles and no CoinPaprika id.
EXTRA = (
    Symbol("NEWCOIN", 'New "Coin"', "newcoin-new-coin", "NEWCOIN", default=False),
    Symbol("TWINA", "Twin A", "twin-a", "TWIN", default=False),
    Symbol("TWINB", "Twin B", "twin-b", "TWIN", default=False),
)


@pytest.fixture(scope="module")
def vendors() -> Iterator[tuple[dict[str, str], Faults]]:
    """Addresses of a simulated market, and its faults."""
    names = ("BTC", "BARE", *(symbol.name for symbol in EXTRA))
    market = SimulatedMarket(Scenario(3, datetime(2026, 3, 1, tzinfo=UTC), names))
    book = dict(load_symbols()) | {symbol.name: symbol for symbol in EXTRA}
    faults = Faults()
    with running_server(build_app(market, ReplayClock(NOW, 0), faults, book=book)) as url:
        yield vendor_urls(url), faults


class Cli:
    """Commands in this process, in a home of their own."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.file = home / "symbols.toml"
        self._monkeypatch = monkeypatch

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._monkeypatch.setenv(f"CRYPTO_PLATFORM_{name}", value)

    def run(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, ["symbols", *arguments])
        assert done.exit_code == 0, (done.output, done.exception)
        return " ".join(done.output.split())

    def refused(self, *arguments: str) -> str:
        """Error of a command that must fail and write nothing."""
        before = self.file.read_bytes() if self.file.exists() else None
        done = CliRunner().invoke(app, ["symbols", *arguments])
        assert isinstance(done.exception, configuration.ConfigurationError | operation.SourceError), done.output
        assert (self.file.read_bytes() if self.file.exists() else None) == before
        return str(done.exception)

    @property
    def followed(self) -> list[str]:
        return [symbol.name for symbol in configuration.load().followed]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vendors: tuple[dict[str, str], Faults]) -> Cli:
    for name in list(os.environ):
        if name.startswith(configuration.PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    cli = Cli(tmp_path / "home", monkeypatch)
    cli.set(HOME=str(cli.home), OHLCV_SOURCES="binance")
    cli.set(**{f"{vendor.upper()}_URL": url for vendor, url in vendors[0].items()})
    return cli


FIVE = ["BTC", "ETH", "ADA", "SOL", "DOT"]


def test_a_known_symbol_is_followed_without_a_question(cli: Cli) -> None:
    cli.set(BINANCE_URL="http://127.0.0.1:9", COINPAPRIKA_URL="http://127.0.0.1:9")
    said = cli.run("add", "xrp")
    assert "XRP is followed from now on: XRP, CoinPaprika xrp-xrp." in said
    assert "Reload in the UI, or restart the code server" in said
    assert cli.followed == [*FIVE, "XRP"]
    before = cli.file.read_text()
    assert "XRP is followed already" in cli.run("add", "XRP")
    assert cli.file.read_text() == before


def test_later_ones_come_last_whatever_the_shipped_order(cli: Cli) -> None:
    for name in ("XLM", "XRP"):
        cli.run("add", name)
    cli.run("remove", "BTC")
    assert cli.followed == [*FIVE[1:], "XLM", "XRP"]


def test_an_ended_one_says_so(cli: Cli) -> None:
    assert "Its market ended on 2024-09-10 03:00 UTC" in cli.run("add", "MATIC", *AT)


def test_an_unknown_one_is_looked_up_and_asked_of_the_sources(cli: Cli) -> None:
    said = cli.run("add", "newcoin", *AT)
    assert re.search(r"binance [1-9]\d* of the last 24 hours", said)
    assert 'NEWCOIN is followed from now on: New "Coin", CoinPaprika newcoin-new-coin.' in said
    settings = configuration.load()
    assert settings.book["NEWCOIN"] == Symbol("NEWCOIN", 'New "Coin"', "newcoin-new-coin", "NEWCOIN", default=True)
    assert cli.followed == [*FIVE, "NEWCOIN"]


def test_several_coins_of_one_ticker_are_listed_and_one_is_asked_for(cli: Cli) -> None:
    error = cli.refused("add", "TWIN", *AT)
    assert "2 coins are called TWIN (twin-a, twin-b): choose one by --coinpaprika" in error
    cli.run("add", "TWIN", "--coinpaprika", "twin-b", *AT)
    assert configuration.load().book["TWIN"].coinpaprika == "twin-b"


def test_a_wrong_id_is_refused(cli: Cli) -> None:
    assert "CoinPaprika knows no coin 'no-such'" in cli.refused("add", "NEWCOIN", "--coinpaprika", "no-such", *AT)
    assert "CoinPaprika knows no coin 'no-such'" in cli.refused("add", "XRP", "--coinpaprika", "no-such", *AT)


def test_an_id_that_cannot_be_checked_now_is_taken_and_told(cli: Cli, vendors: tuple[dict[str, str], Faults]) -> None:
    faults = vendors[1]
    faults.set("coinpaprika.tickers", [parse_step("402"), parse_step("402")])
    said = cli.run("add", "NEWCOIN", "--coinpaprika", "newcoin-new-coin", *AT)
    assert "The id newcoin-new-coin could not be checked" in said
    assert "coinpaprika said 402" in cli.refused("add", "BARE", *AT)
    faults.clear("coinpaprika.tickers")


def test_one_without_a_coin_is_followed_without_snapshots(cli: Cli) -> None:
    assert "CoinPaprika lists no coin called BARE" in cli.run("add", "BARE", *AT)
    assert configuration.load().book["BARE"].coinpaprika is None


def test_one_that_no_source_knows_is_refused(cli: Cli) -> None:
    error = cli.refused("add", "NOBODY", *AT)
    assert "no candle source has candles of NOBODY now (binance were asked)" in error
    assert "--market" in error


def test_another_name_of_the_market_is_asked_for_and_kept(cli: Cli) -> None:
    said = cli.run("add", "OTHER", "--market", "newcoin", *AT)
    assert "Candles of NEWCOIN" in said
    assert configuration.load().book["OTHER"].market == "NEWCOIN"
    assert "no candle source has candles of NOBODY" in cli.refused("add", "XRP", "--market", "NOBODY", *AT)


def test_a_ticker_is_letters_and_digits(cli: Cli) -> None:
    assert "'A,B' is no ticker" in cli.refused("add", "A,B", *AT)


def test_what_the_operator_wrote_stays_as_it_is(cli: Cli) -> None:
    mine = '# my own\n[[symbol]]\nname = "XRP"  # ripple\ntitle = "Ripple"\n'
    cli.home.mkdir()
    cli.file.write_text(mine)
    cli.run("add", "XRP")
    assert cli.file.read_text().startswith(mine)
    assert configuration.load().book["XRP"].title == "Ripple"


def test_a_file_that_cannot_be_gone_on_with_is_left_alone(cli: Cli) -> None:
    cli.home.mkdir()
    cli.file.write_text('symbol = [{name = "XRP"}]\n')
    assert "symbols.toml cannot be read" in cli.refused("add", "XRP")


def test_a_list_in_the_settings_decides_alone(cli: Cli) -> None:
    cli.set(SYMBOLS="BTC,ETH")
    for command in ("add", "remove"):
        assert "CRYPTO_PLATFORM_SYMBOLS says which symbols are followed: edit it" in cli.refused(command, "ETH")
    assert not cli.file.exists()


def test_the_symbols_file_of_the_settings_is_what_the_choices_go_on_top_of(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[symbol]]\nname = "B"\ndefault = true\n[[symbol]]\nname = "A"\n')
    cli.set(SYMBOLS_FILE=str(path))
    cli.run("add", "A")
    assert cli.followed == ["B", "A"]


def held(store: Warehouse, frame: pd.DataFrame, source: str) -> None:
    """Candles of a symbol, with the mark of their collection and of two feature sets."""
    candles = frame.assign(source=source, known_at=frame["timestamp"] + HOUR, known_at_estimated=True)
    store.upsert(ohlcv_data, candles)
    since, end = frame["timestamp"].iloc[0], frame["timestamp"].iloc[-1] + HOUR
    marks = [("ohlcv_data", end, source, since), ("features:abc", end, None, None), ("predictions", end, None, None)]
    rows = pd.DataFrame(marks, columns=["dataset", "watermark", "source", "since"])
    store.upsert(watermarks, rows.assign(symbol=frame["symbol"].iloc[0], details=None))


def marks(store: Warehouse, symbol: str) -> dict[str, Any]:
    rows = store.read(select(watermarks).where(watermarks.c.symbol == symbol))
    return {row.dataset: row for row in rows.itertuples()}


def test_removing_keeps_the_history_and_says_how_much(cli: Cli, walk: Callable[..., pd.DataFrame]) -> None:
    store = Warehouse.open(configuration.load().store_url)
    held(store, walk("BTC", CANDLES, 1), "binance")
    assert f"BTC is no longer followed; {CANDLES} candles of it stay" in cli.run("remove", "btc")
    assert operation.candles_stored(store, "BTC") == CANDLES
    store.close()
    assert cli.followed == FIVE[1:]
    assert "BTC is not followed; `crypto-platform symbols add BTC` does" in cli.refused("remove", "BTC")
    assert "unknown symbol 'NOPE'" in cli.refused("remove", "NOPE")
    for name in FIVE[1:-1]:
        cli.run("remove", name)
    assert "DOT is the last symbol that is followed" in cli.refused("remove", "DOT")


def test_pinning_takes_the_candles_back_to_their_beginning(store: Warehouse, walk: Callable[..., pd.DataFrame]) -> None:
    first = datetime(2026, 1, 5, tzinfo=UTC)
    held(store, walk("BTC", CANDLES, 1), "binance")
    held(store, walk("ETH", CANDLES, 2), "binance")
    others = marks(store, "ETH")
    before = operation.pin(store, "BTC", "kraken")
    assert (before.source, before.since, before.until) == ("binance", first, first + CANDLES * HOUR)
    after = marks(store, "BTC")
    assert (after["ohlcv_data"].source, after["ohlcv_data"].since, after["ohlcv_data"].watermark) == (
        "kraken",
        first,
        first,
    )
    assert after["features:abc"].watermark == first
    assert after["predictions"].watermark == first + CANDLES * HOUR
    assert marks(store, "ETH") == others
    assert operation.candles_stored(store, "BTC") == CANDLES


def test_pinning_to_what_it_is_pinned_to_changes_nothing(store: Warehouse, walk: Callable[..., pd.DataFrame]) -> None:
    held(store, walk("BTC", CANDLES, 1), "binance")
    before = marks(store, "BTC")
    operation.pin(store, "BTC", "binance")
    assert marks(store, "BTC") == before


def test_there_is_nothing_to_pin_before_the_first_candle(store: Warehouse) -> None:
    with pytest.raises(ConfigurationError, match="BTC has no candles yet"):
        operation.pin(store, "BTC", "binance")


def test_the_command_pins_to_what_is_usable_and_shows_it(cli: Cli, walk: Callable[..., pd.DataFrame]) -> None:
    cli.set(OHLCV_SOURCES="coindesk,binance")
    store = Warehouse.open(configuration.load().store_url)
    held(store, walk("BTC", CANDLES, 1), "coindesk")
    assert "'coindesk' is not usable, binance are" in cli.refused("pin", "BTC", "coindesk")
    assert "unknown symbol 'NOPE'" in cli.refused("pin", "NOPE", "binance")
    assert "BTC Bitcoin btc-bitcoin followed coindesk 2026-01-05 00:00 2026-01-06 06:00 –" in cli.run("list")
    assert "BTC is pinned to binance, before to coindesk" in cli.run("pin", "btc", "Binance")
    assert "BTC is pinned to binance already" in cli.run("pin", "BTC", "binance")
    assert "BTC Bitcoin btc-bitcoin followed binance 2026-01-05 00:00 2026-01-05 00:00 –" in cli.run()
    store.close()


def test_a_look_makes_no_store_and_says_the_same_with_and_without_the_word(cli: Cli) -> None:
    assert cli.run() == cli.run("list")
    assert cli.run("--json") == cli.run("list", "--json")
    assert not cli.home.exists()


@pytest.mark.slow
def test_listing_dates_mean_nothing_on_a_simulated_market(cli: Cli) -> None:
    settings = configuration.load()
    choice = Choice(data=None, live=False, seed=1, edge=0.0, days=60)
    with served(choice, settings, NOW, speed=0) as (overrides, _):
        assert not any(symbol.listings for symbol in configuration.load(**overrides).book.values())
    with served(Choice(data=None, live=True, seed=1, edge=0.0, days=60), settings, NOW, speed=0) as (overrides, _):
        assert configuration.load(**overrides).book["MATIC"].listings
