"""Binance's archive, Coinbase Exchange and Kraken over HTTP, the latter two through the clients of the platform."""

import hashlib
import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
import requests

from crypto_platform.errors import SourceError, SourceRefusedError, SourceUnavailableError
from crypto_platform.replay.clock import ReplayClock
from crypto_platform.replay.server import build_app, running_server
from crypto_platform.sources.exchange import ExchangeCandles
from crypto_platform.sources.http import Patience
from crypto_platform.symbols import Symbol, load_symbols

HOUR = timedelta(hours=1)
CLOSED = datetime(2025, 2, 5, 10, tzinfo=UTC)
ARCHIVE = "/binance-archive/data/spot"
BOOK = load_symbols()


def file_path(name: str, pair: str = "BTCUSDT") -> str:
    kind = "monthly" if len(name) == 7 else "daily"
    return f"{ARCHIVE}/{kind}/klines/{pair}/1h/{pair}-1h-{name}.zip"


def csv_rows(content: bytes) -> list[list[str]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = archive.namelist()
        return [[name, *line.split(",")] for line in archive.read(name).decode().splitlines()]


@pytest.fixture
def client(replay: Any) -> Callable[[str], ExchangeCandles]:
    def build(name: str) -> ExchangeCandles:
        patience = Patience(timeout=5.0, deadline=10.0, attempts=2, sleep=lambda seconds: None)
        return ExchangeCandles(name, replay.urls[name], patience=patience)

    return build


class TestArchive:
    def test_a_month_is_one_csv_of_the_same_stem_without_header_and_checks_out(self, replay: Any, market: Any) -> None:
        response = replay.get(file_path("2025-01"))
        rows = csv_rows(response.content)
        assert (response.headers["Content-Type"], {len(row) for row in rows}) == ("application/zip", {13})
        assert {row[0] for row in rows} == {"BTCUSDT-1h-2025-01.csv"}
        truth = market.candles("BTC", datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC))
        assert [float(row[5]) for row in rows] == pytest.approx(truth["close"].tolist(), abs=1e-8)
        assert [int(row[1]) for row in rows] == [int(t.timestamp()) * 10**6 for t in truth["timestamp"]]
        assert int(rows[0][7]) == 1735693199999999  # 2025-01-01T00:59:59.999999
        told = replay.get(file_path("2025-01") + ".CHECKSUM").text
        assert told == f"{hashlib.sha256(response.content).hexdigest()}  BTCUSDT-1h-2025-01.zip\n"

    def test_times_are_milliseconds_before_2025(self, replay: Any) -> None:
        rows = csv_rows(replay.get(file_path("2024-12-31")).content)
        assert (rows[0][1], rows[-1][7]) == ("1735603200000", "1735689599999")

    def test_the_same_file_is_the_same_bytes(self, replay: Any) -> None:
        first = replay.get(file_path("2025-02-04")).content
        assert replay.get(file_path("2025-02-04")).content == first

    @pytest.mark.parametrize(
        ("name", "pair", "status"),
        [
            ("2025-02-04", "BTCUSDT", 200),
            ("2025-02-05", "BTCUSDT", 404),  # today
            ("2025-02", "BTCUSDT", 404),
            ("2031-01", "BTCUSDT", 404),
            ("2019-01", "BTCUSDT", 404),  # before the listing
            ("2019-01-01", "BTCUSDT", 404),
            ("2025-01", "NOPEUSDT", 404),
            ("2025-01", "BTCEUR", 404),
            ("2025-13", "BTCUSDT", 404),
            ("9999-12", "BTCUSDT", 404),
            ("2025-1-4", "BTCUSDT", 404),
            ("2025-1-04", "BTCUSDT", 404),
        ],
    )
    def test_what_is_not_there_yet_or_never_was_is_404(self, replay: Any, name: str, pair: str, status: int) -> None:
        for ending in ("", ".CHECKSUM"):
            assert replay.get(file_path(name, pair) + ending).status_code == status

    @pytest.mark.parametrize(("day", "status"), [(2, 404), (3, 200)])
    def test_a_month_appears_on_the_first_monday_after_it(self, market: Any, day: int, status: int) -> None:
        now = datetime(2025, 2, day, tzinfo=UTC)  # a Sunday, a Monday
        with running_server(build_app(market, ReplayClock(now, 0))) as url:
            assert requests.get(url + file_path("2025-01"), timeout=10).status_code == status

    def test_other_intervals_are_not_replayed(self, replay: Any) -> None:
        assert replay.get(file_path("2025-01").replace("1h", "1m")).status_code == 404

    def test_a_restated_file_still_agrees_with_its_checksum(self, replay: Any) -> None:
        replay.set("binance_archive.*=restated")
        content = replay.get(file_path("2025-02-04")).content
        assert hashlib.sha256(content).hexdigest() in replay.get(file_path("2025-02-04") + ".CHECKSUM").text
        assert replay.get(file_path("2025-02-04")).content != content


class TestClients:
    @pytest.mark.parametrize("symbol", ["BTC", "ETH", "DOGE", "ADA"])
    @pytest.mark.parametrize("name", ["coinbase", "kraken"])
    def test_the_platforms_client_reads_the_one_history(
        self, client: Callable[[str], ExchangeCandles], market: Any, name: str, symbol: str
    ) -> None:
        start = CLOSED - 640 * HOUR  # three pages of Coinbase
        fetched = client(name).fetch_candles(BOOK[symbol], start, CLOSED)
        truth = market.candles(symbol, start, CLOSED)
        truth = truth[truth["volume_base"] > 0].reset_index(drop=True)
        columns = ["timestamp", "open", "high", "low", "close", "volume_base"]
        rows = fetched.rows[fetched.rows["volume_base"] > 0].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows[columns], truth[columns], check_exact=False, atol=1e-8)
        assert (fetched.rejected, str(fetched.provenance)) == ((), "simulated")

    def test_kraken_gives_the_newest_720_hours_however_far_back_it_is_asked(
        self, client: Callable[[str], ExchangeCandles], replay: Any
    ) -> None:
        since = int((CLOSED - 1000 * HOUR).timestamp())
        result = replay.get(f"/kraken/0/public/OHLC?pair=XBTUSD&interval=60&since={since}").json()["result"]
        rows = result["XXBTZUSD"]
        assert (len(rows), rows[-1][0], result["last"]) == (720, int(CLOSED.timestamp()), rows[-2][0])
        assert [type(item) for item in rows[0]] == [int, str, str, str, str, str, str, int]
        fetched = client("kraken").fetch_candles(BOOK["BTC"], CLOSED - 1000 * HOUR, CLOSED)
        assert len(fetched.rows) == 719

    @pytest.mark.parametrize("name", ["coinbase", "kraken"])
    def test_an_unknown_market_is_refused(self, client: Callable[[str], ExchangeCandles], name: str) -> None:
        nobody = Symbol("NOPE", "Nobody", None, "NOPE", default=False)
        with pytest.raises(SourceRefusedError, match="NOPE/USD"):
            client(name).fetch_candles(nobody, CLOSED - HOUR, CLOSED)

    @pytest.mark.parametrize(
        ("plan", "error"),
        [
            ("kraken.ohlc=too_manyx*", SourceUnavailableError),
            ("kraken.ohlc=unavailablex*", SourceUnavailableError),
            ("kraken.ohlc=unknown_pairx*", SourceRefusedError),
            ("kraken.assets=503x*", SourceUnavailableError),
            ("coinbase.candles=429x*", SourceUnavailableError),
            ("coinbase.products=truncatedx*", SourceError),
            ("coinbase.candles=resetx*", SourceUnavailableError),
        ],
    )
    def test_faults_reach_the_client(
        self, client: Callable[[str], ExchangeCandles], replay: Any, plan: str, error: type[SourceError]
    ) -> None:
        replay.set(plan)
        with pytest.raises(error):
            client(plan.partition(".")[0]).fetch_candles(BOOK["BTC"], CLOSED - HOUR, CLOSED)

    @pytest.mark.parametrize("plan", ["kraken.ohlc=too_many", "coinbase.candles=reset_body", "coinbase.candles=drip:0"])
    def test_a_passing_fault_is_survived(
        self, client: Callable[[str], ExchangeCandles], replay: Any, plan: str
    ) -> None:
        replay.set(plan)
        assert len(client(plan.partition(".")[0]).fetch_candles(BOOK["BTC"], CLOSED - 3 * HOUR, CLOSED).rows) == 3


class TestCoinbase:
    PATH = "/coinbase/products/BTC-USD/candles"

    def rows(self, replay: Any, **params: object) -> requests.Response:
        return replay.get(self.PATH, params={"granularity": 3600} | params)

    def test_rows_are_newest_first_low_before_high_and_bounds_are_inclusive(self, replay: Any, market: Any) -> None:
        start = CLOSED - 5 * HOUR
        rows = self.rows(replay, start=start.isoformat(), end=(CLOSED - 3 * HOUR).isoformat()).json()
        truth = market.candles("BTC", start, CLOSED - 2 * HOUR).iloc[::-1]
        assert [row[0] for row in rows] == [int(stamp.timestamp()) for stamp in truth["timestamp"]]
        names = ["low", "high", "open", "close", "volume_base"]
        assert [row[1:] for row in rows] == truth[names].to_numpy().tolist()

    def test_300_rows_are_given_and_301_refused(self, replay: Any) -> None:
        first = (CLOSED - 299 * HOUR).isoformat()
        assert self.rows(replay, start=first, end=CLOSED.isoformat()).status_code == 200
        refused = self.rows(replay, start=(CLOSED - 300 * HOUR).isoformat(), end=CLOSED.isoformat())
        assert (refused.status_code, "exceeds 300" in refused.json()["message"]) == (400, True)

    def test_a_start_alone_is_ignored_and_the_newest_come(self, replay: Any) -> None:
        newest = self.rows(replay).json()
        assert newest[0][0] == int(CLOSED.timestamp())  # the running hour
        assert self.rows(replay, start=(CLOSED - 1000 * HOUR).isoformat()).json() == newest

    @pytest.mark.parametrize(
        "params", [{"granularity": 60}, {"granularity": 7}, {"start": "soon", "end": "2025-01-01"}]
    )
    def test_what_it_does_not_serve_is_400(self, replay: Any, params: dict[str, object]) -> None:
        assert self.rows(replay, **params).status_code == 400

    def test_hours_without_a_trade_have_no_row(self, replay: Any, market: Any) -> None:
        candles = market.candles("BTC", datetime(2024, 12, 10, tzinfo=UTC), CLOSED)
        (still, *_) = candles.loc[candles["volume_base"] == 0, "timestamp"].tolist() or [None]
        assert still is not None, "the market needs an hour without trades"
        rows = self.rows(replay, start=still.isoformat(), end=(still + HOUR).isoformat()).json()
        assert int(still.timestamp()) not in [row[0] for row in rows]

    def test_products_tell_whether_they_trade_and_an_agent_must_be_named(self, replay: Any) -> None:
        products = {item["id"]: item for item in replay.get("/coinbase/products").json()}
        assert set(products) == {"BTC-USD", "ETH-USD", "DOGE-USD", "ADA-USD"}
        assert replay.get("/coinbase/products/BTC-USD").json() == products["BTC-USD"]
        assert replay.get("/coinbase/products/NOPE-USD").status_code == 404
        assert products["BTC-USD"]["status"] == "online"
        with requests.Session() as session:
            session.headers.clear()
            session.headers["User-Agent"] = ""
            assert session.get(replay.url + "/coinbase/products", timeout=10).status_code == 400


class TestKraken:
    PATH = "/kraken/0/public"

    def test_the_oldest_coins_keep_their_prefixes(self, replay: Any) -> None:
        pairs = replay.get(f"{self.PATH}/AssetPairs").json()["result"]
        assert {key: (pair["altname"], pair["base"], pair["quote"]) for key, pair in pairs.items()} == {
            "XXBTZUSD": ("XBTUSD", "XXBT", "ZUSD"),
            "XETHZUSD": ("ETHUSD", "XETH", "ZUSD"),
            "XDGUSD": ("XDGUSD", "XXDG", "ZUSD"),
            "ADAUSD": ("ADAUSD", "ADA", "ZUSD"),
        }
        assert set(replay.get(f"{self.PATH}/Assets").json()["result"]) == {"XXBT", "XETH", "XXDG", "ADA", "ZUSD"}

    @pytest.mark.parametrize("name", ["XXBTZUSD", "XBTUSD", "XBT/USD"])
    def test_a_pair_is_found_by_each_of_its_names(self, replay: Any, name: str) -> None:
        body = replay.get(f"{self.PATH}/OHLC", params={"pair": name, "interval": 60}).json()
        assert (body["error"], set(body["result"])) == ([], {"XXBTZUSD", "last"})

    @pytest.mark.parametrize(
        ("params", "words"),
        [
            ({"pair": "NOPEUSD", "interval": 60}, "EQuery:Unknown asset pair"),
            ({"pair": "XBTUSD"}, "EGeneral:Invalid arguments"),
            ({"pair": "XBTUSD", "interval": 7}, "EGeneral:Invalid arguments"),
            ({"interval": 60}, "EGeneral:Invalid arguments"),
        ],
    )
    def test_errors_come_with_http_200(self, replay: Any, params: dict[str, object], words: str) -> None:
        response = replay.get(f"{self.PATH}/OHLC", params=params)
        assert (response.status_code, response.json()) == (200, {"error": [words]})

    def test_only_rows_after_since_come(self, replay: Any) -> None:
        since = int((CLOSED - 3 * HOUR).timestamp())
        rows = replay.get(f"{self.PATH}/OHLC?pair=ADAUSD&interval=60&since={since}").json()["result"]["ADAUSD"]
        assert [row[0] for row in rows] == [since + 3600, since + 7200, since + 10800]
