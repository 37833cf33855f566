"""A simulated market behind a replay server, and the same page of candles from each endpoint that has some."""

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
import requests

from crypto_platform.replay.clock import ReplayClock
from crypto_platform.replay.faults import Faults
from crypto_platform.replay.scenario import Scenario
from crypto_platform.replay.server import build_app, running_server, vendor_urls
from crypto_platform.replay.simulated import SimulatedMarket

NOW = datetime(2025, 2, 5, 10, 20, tzinfo=UTC)  # a Wednesday, after the first Monday
HOUR = timedelta(hours=1)
SEED = 15  # has an outage on 28 January, right after an hour without trades
FIRST = datetime(2025, 2, 5, 2, tzinfo=UTC)  # hour of the pages: eight closed candles, and the running one
COLUMNS = ("time", "open", "high", "low", "close", "volume")


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


@dataclass(frozen=True)
class Page:
    """How a page of candles is asked for, and how the vendor's rows read: ascending, in the order it gives them."""

    path: str
    rows: Callable[[requests.Response], list[tuple[Any, ...]]]


def _archive(response: requests.Response) -> list[tuple[Any, ...]]:
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    lines = [line.split(",") for line in text.splitlines()]
    return [(int(items[0]) // 1_000_000, *items[1:6]) for items in lines]


_COINDESK = ("TIMESTAMP", "OPEN", "HIGH", "LOW", "CLOSE", "VOLUME")
_LEGACY = ("time", "open", "high", "low", "close", "volumefrom")
_DAY = "BTCUSDT-1h-2025-02-04.zip"
PAGES = {
    "binance.klines": Page(
        f"/binance/api/v3/klines?symbol=BTCUSDT&interval=1h&startTime={_seconds(FIRST)}000",
        lambda response: [(row[0] // 1000, *row[1:6]) for row in response.json()],
    ),
    "cryptocompare.histohour": Page(
        "/cryptocompare/data/v2/histohour?fsym=BTC&tsym=USD&limit=8&api_key=replay",
        lambda response: [tuple(row[name] for name in _LEGACY) for row in response.json()["Data"]["Data"]],
    ),
    "coindesk.hours": Page(
        "/coindesk/index/cc/v1/historical/hours?market=cadli&instrument=BTC-USD&limit=9&api_key=replay",
        lambda response: [tuple(row[name] for name in _COINDESK) for row in response.json()["Data"]],
    ),
    "coinbase.candles": Page(
        f"/coinbase/products/BTC-USD/candles?granularity=3600&start={_seconds(FIRST)}&end={_seconds(NOW)}",
        lambda response: [(t, o, h, low, c, v) for t, low, h, o, c, v in response.json()][::-1],
    ),
    "kraken.ohlc": Page(
        f"/kraken/0/public/OHLC?pair=XBTUSD&interval=60&since={_seconds(FIRST) - 1}",
        lambda response: [(*row[:5], row[6]) for row in response.json()["result"]["XXBTZUSD"]],
    ),
    "binance_archive.daily": Page(f"/binance-archive/data/spot/daily/klines/BTCUSDT/1h/{_DAY}", _archive),
    "binance_archive.monthly": Page(
        "/binance-archive/data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2025-01.zip", _archive
    ),
}


@dataclass
class Replay:
    """A running server and its faults."""

    url: str
    faults: Faults
    now: datetime = NOW

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, **{"timeout": 10, "allow_redirects": False, **options})

    def set(self, plan: str) -> None:
        """Follow a plan in text form."""
        for endpoint, steps in Faults.parse(plan).pending().items():
            self.faults.set(endpoint, steps)

    def candles(self, endpoint: str) -> pd.DataFrame:
        """The page of an endpoint, as floats: NaN for what is null or an empty text."""
        rows = PAGES[endpoint].rows(self.get(PAGES[endpoint].path))
        frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).replace({"": None})
        return frame.astype(dict.fromkeys(COLUMNS, float))

    @property
    def urls(self) -> dict[str, str]:
        return vendor_urls(self.url)


@pytest.fixture(scope="session")
def market() -> SimulatedMarket:
    return SimulatedMarket(Scenario.around(NOW, 60, ("BTC", "ETH", "DOGE", "ADA"), SEED, 0.0))


@pytest.fixture(scope="session")
def server(market: SimulatedMarket) -> Iterator[Replay]:
    faults = Faults()
    with running_server(build_app(market, ReplayClock(NOW, 0), faults)) as url:
        yield Replay(url, faults)


@pytest.fixture
def replay(server: Replay) -> Iterator[Replay]:
    """The server, healthy before and after; its clock stands still."""
    yield server
    server.faults.clear("*")


@pytest.fixture(scope="session")
def pages() -> dict[str, Page]:
    return PAGES
