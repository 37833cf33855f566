"""The replay server over real HTTP: routes, keys, clock, labels, faults, and how it starts and stops."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
import requests

from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import ConfigurationError
from crypto_platform.replay.clock import ReplayClock
from crypto_platform.replay.faults import ENDPOINTS, Faults
from crypto_platform.replay.history import Supply
from crypto_platform.replay.server import BASES, ROUTES, build_app, running_server, serve, vendor_urls
from crypto_platform.replay.wire.unconfirmed import Unconfirmed

START = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = START + 300 * HOUR + timedelta(minutes=25, seconds=12)
KEY = {"Authorization": "Apikey replay"}
HISTOHOUR = "/cryptocompare/data/v2/histohour?fsym=BTC&tsym=USD"
HOURS = "/coindesk/index/cc/v1/historical/hours?market=cadli&instrument=BTC-USD"
KLINES = "/binance/api/v3/klines?symbol=BTCUSDT&interval=1h"


@dataclass
class Walks:
    """BTC with an outage of hours 200 to 202, ETH listed at 100 and without turnover, ADA ended at 250."""

    frames: dict[str, pd.DataFrame]
    provenance: Provenance = Provenance.SIMULATED
    title: str = "random walks × 3"

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.frames)

    def candles(self, symbol: str, start: datetime, end: datetime) -> pd.DataFrame:
        frame = self.frames[symbol]
        return frame[(frame["timestamp"] >= start) & (frame["timestamp"] < end)].reset_index(drop=True)

    def supply(self, symbol: str) -> Supply:
        return Supply(19_426_506.0, 21_000_000.0) if symbol == "BTC" else Supply(None, None)

    def sentiment(self, start: datetime, end: datetime) -> pd.DataFrame:
        days = pd.date_range("2026-01-01", periods=30, freq="D", tz="UTC", unit="us").delete(10)
        frame = pd.DataFrame({"timestamp": days, "value": range(10, 39), "classification": "Fear"})
        return frame[(days >= start) & (days < end)]


@dataclass
class Replay:
    """A running server, its clock's hand, and its faults."""

    url: str
    elapsed: list[float] = field(default_factory=lambda: [0.0])
    faults: Faults = field(default_factory=Faults)

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=10, **options)

    def json(self, path: str) -> Any:
        response = self.get(path, headers=KEY)
        response.raise_for_status()
        return response.json()


@pytest.fixture(scope="module")
def history(walk: Callable[..., pd.DataFrame]) -> Walks:
    frames = {name: walk(name, 400, seed).drop(columns="symbol") for seed, name in enumerate(("BTC", "ETH", "ADA"))}
    frames["BTC"] = frames["BTC"].drop(index=[200, 201, 202])
    frames["ETH"] = frames["ETH"].iloc[100:].assign(volume=float("nan"), trades=float("nan"))
    frames["ADA"] = frames["ADA"].iloc[:250]
    return Walks(frames)


@pytest.fixture(scope="module")
def server(history: Walks) -> Iterator[Replay]:
    elapsed, faults = [0.0], Faults()
    app = build_app(history, ReplayClock(NOW, monotonic=lambda: elapsed[0]), faults)
    with running_server(app) as url:
        yield Replay(url, elapsed, faults)


@pytest.fixture
def replay(server: Replay) -> Iterator[Replay]:
    """The module's server with its clock at NOW, healthy before and after."""
    yield server
    server.elapsed[0] = 0.0
    for endpoint in ENDPOINTS:
        server.faults.clear(endpoint)


def stamp(moment: datetime) -> int:
    return int(moment.timestamp())


class TestServer:
    def test_every_endpoint_that_can_fail_has_a_route_and_each_route_a_vendor(self) -> None:
        assert {endpoint for _, endpoint, _ in ROUTES} == set(ENDPOINTS)
        assert all(path.startswith(BASES[endpoint.partition(".")[0]]) for path, endpoint, _ in ROUTES)
        assert vendor_urls("http://h:1")["coindesk"] == "http://h:1/coindesk"

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/healthz", 200),
            ("/coinpaprika/v1/tickers", 200),
            ("/coinpaprika/v1/tickers/nope", 404),
            ("/nowhere", 404),
            (HISTOHOUR, 401),
            ("/binance/api/v3/klines", 400),
            ("/replay/clock", 200),
        ],
    )
    def test_every_answer_says_what_its_data_is_and_is_dated_by_the_replay_clock(
        self, replay: Replay, path: str, status: int
    ) -> None:
        response = replay.get(path)
        assert response.status_code == status
        assert response.headers["X-Market-Data"] == "simulated"
        assert response.headers["X-Market-Title"] == "random walks × 3"
        assert response.headers["Date"] == "Sat, 17 Jan 2026 12:25:12 GMT"

    def test_the_clock_is_told(self, replay: Replay) -> None:
        assert replay.json("/replay/clock") == {
            "now": "2026-01-17T12:25:12Z",
            "speed": 1.0,
            "provenance": "simulated",
            "title": "random walks × 3",
            "symbols": ["BTC", "ETH", "ADA"],
        }

    def test_recorded_history_is_called_so(self, history: Walks) -> None:
        recorded = Walks(history.frames, Provenance.RECORDED, "a folder\nof files €")
        with running_server(build_app(recorded, ReplayClock(NOW, 0))) as url:
            headers = requests.get(url + "/healthz", timeout=10).headers
        assert (headers["X-Market-Data"], headers["X-Market-Title"]) == ("recorded", "a folder of files ?")

    def test_what_does_not_exist_is_plain_text(self, replay: Replay) -> None:
        response = replay.get("/coinpaprika/v1/tickers/simple/none")
        assert (response.status_code, response.text) == (404, "404 page not found")
        assert response.headers["Content-Type"].startswith("text/plain")

    def test_a_port_in_use_is_named(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(ConfigurationError, match=str(port)):
                serve(lambda scope, receive, send: None, port=port)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_cleanly(self, number: signal.Signals) -> None:
        script = textwrap.dedent("""
            from starlette.applications import Starlette
            from starlette.responses import PlainTextResponse
            from starlette.routing import Route
            from crypto_platform.replay.server import serve
            app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("here"))])
            serve(app, on_ready=lambda url: print(url, flush=True))
            print("stopped", flush=True)
        """)
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            assert requests.get(url, timeout=10).text == "here"
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
            process.wait()
        assert (process.returncode, out.strip(), err) == (0, "stopped", "")


class TestKeys:
    @pytest.mark.parametrize("path", [HISTOHOUR, HOURS])
    @pytest.mark.parametrize(
        ("headers", "query"),
        [
            ({}, ""),
            ({"Authorization": "Apikey wrong"}, ""),
            ({"Authorization": "Bearer replay"}, ""),
            ({}, "&api_key=no"),
        ],
    )
    def test_no_key_and_a_wrong_key_get_the_401_envelope(
        self, replay: Replay, path: str, headers: dict[str, str], query: str
    ) -> None:
        response = replay.get(path + query, headers=headers)
        assert response.status_code == 401
        body = response.json()
        assert list(body) == ["Data", "Err"]
        assert (body["Data"], body["Err"]["type"], body["Err"]["http_status_code"]) == ({}, 2, 401)

    @pytest.mark.parametrize("path", [HISTOHOUR, HOURS])
    def test_the_key_is_taken_from_header_or_query(self, replay: Replay, path: str) -> None:
        assert replay.get(path, headers=KEY).status_code == 200
        assert replay.get(path + "&api_key=replay").status_code == 200

    def test_other_keys_can_be_chosen(self, history: Walks) -> None:
        with running_server(build_app(history, ReplayClock(NOW, 0), keys=("mine",))) as url:
            statuses = [
                requests.get(f"{url}{HOURS}&api_key={key}", timeout=10).status_code for key in ("mine", "replay")
            ]
        assert statuses == [200, 401]


class TestHistohour:
    def test_limit_n_gives_n_plus_one_rows_the_running_hour_last(self, replay: Replay) -> None:
        data = replay.json(HISTOHOUR + "&limit=10")["Data"]
        times = [row["time"] for row in data["Data"]]
        assert times == [stamp(START + (290 + i) * HOUR) for i in range(11)]
        assert (data["TimeFrom"], data["TimeTo"]) == (times[0], times[-1])
        assert len(replay.json(HISTOHOUR)["Data"]["Data"]) == 169

    def test_to_ts_is_inclusive_of_the_candle_that_holds_it(self, replay: Replay) -> None:
        inside = stamp(START + 150 * HOUR) + 1234
        assert replay.json(f"{HISTOHOUR}&limit=3&toTs={inside}")["Data"]["TimeTo"] == stamp(START + 150 * HOUR)

    def test_pages_of_oldest_minus_an_hour_meet_without_overlap_or_hole(self, replay: Replay) -> None:
        newer = replay.json(f"{HISTOHOUR}&limit=20")["Data"]
        older = replay.json(f"{HISTOHOUR}&limit=20&toTs={newer['TimeFrom'] - 3600}")["Data"]
        assert older["TimeTo"] == newer["TimeFrom"] - 3600

    def test_the_future_is_hidden(self, replay: Replay) -> None:
        assert replay.json(f"{HISTOHOUR}&toTs={stamp(NOW + 90 * HOUR)}") == replay.json(HISTOHOUR)

    def test_the_running_candle_changes_until_its_hour_ends_and_then_no_more(
        self, replay: Replay, history: Walks
    ) -> None:
        def newest() -> dict[str, float]:
            return replay.json(HISTOHOUR + "&limit=2")["Data"]["Data"][-1]

        first = newest()
        replay.elapsed[0] = 600
        second = newest()
        assert first["time"] == second["time"]
        assert first["open"] == second["open"]
        assert first["volumefrom"] < second["volumefrom"]
        replay.elapsed[0] = 3600
        finished = replay.json(HISTOHOUR + "&limit=2")["Data"]["Data"][-2]
        true = history.candles("BTC", START + 300 * HOUR, START + 301 * HOUR).iloc[0]
        assert [finished[name] for name in ("open", "high", "low", "close", "volumefrom")] == [
            true[name] for name in ("open", "high", "low", "close", "volume_base")
        ]

    def test_before_the_listing_all_is_zero_with_success(self, replay: Replay) -> None:
        for to in (0, 86_400, stamp(START - HOUR)):
            body = replay.json(f"{HISTOHOUR}&limit=2000&toTs={to}")
            assert (body["Response"], len(body["Data"]["Data"])) == ("Success", 2001)
            assert not any(
                row[name] for row in body["Data"]["Data"] for name in ("open", "high", "low", "close", "volumeto")
            )

    def test_an_outage_carries_the_price_with_zero_volume(self, replay: Replay, history: Walks) -> None:
        rows = replay.json(f"{HISTOHOUR}&limit=4&toTs={stamp(START + 203 * HOUR)}")["Data"]["Data"]
        last = history.frames["BTC"].loc[199, "close"]
        assert [row["close"] for row in rows[1:4]] == [last] * 3
        assert [row["volumefrom"] for row in rows[1:4]] == [0, 0, 0]
        assert rows[0]["volumefrom"] > 0 < rows[4]["volumefrom"]

    @pytest.mark.parametrize(
        ("fsym", "kind"),
        [("BTC999", 2), ("POL", 1), ("???", 2)],
    )
    def test_errors_come_with_http_200(self, replay: Replay, fsym: str, kind: int) -> None:
        response = replay.get("/cryptocompare/data/v2/histohour", params={"fsym": fsym, "tsym": "USD"}, headers=KEY)
        assert response.status_code == 200
        assert (response.json()["Response"], response.json()["Type"]) == ("Error", kind)

    def test_too_large_a_limit_is_an_error(self, replay: Replay) -> None:
        assert replay.json(HISTOHOUR + "&limit=2001")["Message"] == "limit is larger than max value."

    def test_unknown_turnover_is_null(self, replay: Replay) -> None:
        rows = replay.json(HISTOHOUR.replace("BTC", "ETH") + "&limit=3")["Data"]["Data"]
        assert [row["volumeto"] for row in rows] == [None] * 4

    def test_v1_holds_the_same_rows_directly(self, replay: Replay) -> None:
        old = replay.json(HISTOHOUR.replace("/v2", "") + "&limit=3")
        new = replay.json(HISTOHOUR + "&limit=3")["Data"]["Data"]
        assert [row["close"] for row in old["Data"]] == [row["close"] for row in new]


class TestCoinDesk:
    def test_limit_n_gives_n_rows_the_running_hour_last(self, replay: Replay) -> None:
        rows = replay.json(HOURS + "&limit=10")["Data"]
        assert [row["TIMESTAMP"] for row in rows] == [stamp(START + (291 + i) * HOUR) for i in range(10)]
        assert rows[-1]["LAST_MESSAGE_TIMESTAMP"] == stamp(NOW)
        assert len(replay.json(HOURS)["Data"]) == 168

    def test_an_outage_is_filled_unless_told_not_to(self, replay: Replay) -> None:
        page = f"{HOURS}&limit=5&to_ts={stamp(START + 203 * HOUR)}"
        filled, traded = replay.json(page)["Data"], replay.json(page + "&fill=false")["Data"]
        assert [row["VOLUME"] for row in filled[1:4]] == [0, 0, 0]
        assert {row["OPEN"] for row in filled[1:4]} == {filled[0]["CLOSE"]}
        assert [row["TIMESTAMP"] for row in traded] == [filled[0]["TIMESTAMP"], filled[4]["TIMESTAMP"]]

    def test_a_page_across_the_listing_is_short(self, replay: Replay) -> None:
        page = HOURS.replace("BTC", "ETH") + f"&limit=50&to_ts={stamp(START + 109 * HOUR)}"
        rows = replay.json(page)["Data"]
        assert (len(rows), rows[0]["TIMESTAMP"]) == (10, stamp(START + 100 * HOUR))

    def test_before_the_listing_is_an_empty_page_or_a_404(self, replay: Replay, history: Walks) -> None:
        page = f"{HOURS}&to_ts={stamp(START - HOUR)}"
        assert replay.json(page) == {"Data": [], "Err": {}}
        other = build_app(history, ReplayClock(NOW, 0), unconfirmed=Unconfirmed(coindesk_before_listing="not_found"))
        with running_server(other) as url:
            response = requests.get(url + page, headers=KEY, timeout=10)
        assert (response.status_code, response.json()["Err"]["other_info"]["first"]) == (404, stamp(START))

    def test_errors_are_real_statuses(self, replay: Replay) -> None:
        for change in (("BTC-USD", "BTC999-USD"), ("BTC-USD", "BTC-EUR"), ("cadli", "moon")):
            response = replay.get(HOURS.replace(*change), headers=KEY)
            assert (response.status_code, response.json()["Data"]) == (400, {})
            assert response.json()["Err"]["message"]


class TestBinance:
    def test_rows_are_strings_and_milliseconds_and_the_last_is_running(self, replay: Replay) -> None:
        rows = replay.json(KLINES + "&limit=3")
        assert [row[0] for row in rows] == [stamp(START + (298 + i) * HOUR) * 1000 for i in range(3)]
        assert all(len(row) == 12 and isinstance(row[4], str) for row in rows)
        assert rows[-2][6] < stamp(NOW) * 1000 < rows[-1][6]

    def test_the_running_candle_changes(self, replay: Replay) -> None:
        first = replay.json(KLINES + "&limit=1")[0]
        replay.elapsed[0] = 1200
        second = replay.json(KLINES + "&limit=1")[0]
        assert first[0] == second[0]
        assert float(first[5]) < float(second[5])

    def test_an_outage_has_no_rows(self, replay: Replay) -> None:
        first, last = (stamp(START + n * HOUR) * 1000 for n in (199, 203))
        assert [row[0] for row in replay.json(f"{KLINES}&startTime={first}&endTime={last}")] == [first, last]

    def test_bounds_are_inclusive_on_the_open_time(self, replay: Replay) -> None:
        first, last = (stamp(START + n * HOUR) * 1000 for n in (10, 12))
        assert [row[0] for row in replay.json(f"{KLINES}&startTime={first}&endTime={last}")] == [
            first,
            first + 3_600_000,
            last,
        ]
        inner = replay.json(f"{KLINES}&startTime={first + 1}&endTime={last - 1}")
        assert [row[0] for row in inner] == [first + 3_600_000]

    def test_a_start_gives_the_oldest_an_end_the_newest(self, replay: Replay) -> None:
        first, last = (stamp(START + n * HOUR) * 1000 for n in (0, 206))
        assert [row[0] for row in replay.json(f"{KLINES}&startTime=0&limit=2")] == [first, first + 3_600_000]
        newest = [row[0] for row in replay.json(f"{KLINES}&endTime={last}&limit=5")]
        assert newest == [last - n * 3_600_000 for n in (7, 3, 2, 1, 0)]

    def test_the_future_is_hidden(self, replay: Replay) -> None:
        assert replay.json(f"{KLINES}&startTime={stamp(NOW) * 1000}&endTime={10**20}") == []
        assert replay.json(KLINES + f"&endTime={stamp(NOW + 90 * HOUR) * 1000}") == replay.json(KLINES)

    def test_unknown_turnover_is_an_empty_string(self, replay: Replay) -> None:
        row = replay.json(KLINES.replace("BTC", "ETH") + "&limit=2")[0]
        assert row[7:] == ["", "", "", "", "0"]

    def test_an_unknown_pair_is_http_400(self, replay: Replay) -> None:
        for pair in ("NOPEUSDT", "BTC", "BTCEUR", "USDT"):
            response = replay.get(KLINES.replace("BTCUSDT", pair))
            assert (response.status_code, response.json()) == (400, {"code": -1121, "msg": "Invalid symbol."})

    def test_a_coin_does_not_exist_before_its_listing(self, history: Walks) -> None:
        with running_server(build_app(history, ReplayClock(START + 50 * HOUR, 0))) as url:
            assert requests.get(url + KLINES.replace("BTC", "ETH"), timeout=10).status_code == 400
            listed = requests.get(url + "/binance/api/v3/exchangeInfo", timeout=10).json()["symbols"]
            coins = requests.get(url + "/coinpaprika/v1/tickers", timeout=10).json()
            one = requests.get(url + "/coinpaprika/v1/tickers/eth-ethereum", timeout=10)
        assert [market["symbol"] for market in listed] == ["BTCUSDT", "ADAUSDT"]
        assert [coin["symbol"] for coin in coins] == ["BTC", "ADA"]
        assert one.status_code == 404

    def test_ping_time_and_pairs(self, replay: Replay) -> None:
        assert replay.json("/binance/api/v3/ping") == {}
        assert replay.json("/binance/api/v3/time") == {"serverTime": stamp(NOW) * 1000}
        states = {pair["symbol"]: pair["status"] for pair in replay.json("/binance/api/v3/exchangeInfo")["symbols"]}
        assert states == {"BTCUSDT": "TRADING", "ETHUSDT": "TRADING", "ADAUSDT": "BREAK"}

    def test_the_used_weight_is_told(self, replay: Replay) -> None:
        for path, status in ((KLINES, 200), (KLINES.replace("BTC", "NOPE"), 400)):
            response = replay.get(path)
            assert (response.status_code, int(response.headers["X-MBX-USED-WEIGHT-1M"]) >= 2) == (status, True)

    def test_ccxt_reads_it(self, replay: Replay, history: Walks) -> None:
        """The library that real deployments use finds markets, candles and its own exceptions."""
        import ccxt

        options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}
        client = ccxt.binance({"enableRateLimit": False, "options": options})
        client.urls["api"]["public"] = replay.url + "/binance/api/v3"
        rows = client.fetch_ohlcv("BTC/USDT", "1h", since=stamp(START) * 1000, limit=2)
        assert [row[4] for row in rows] == pytest.approx(history.frames["BTC"]["close"].head(2).tolist(), abs=1e-8)
        with pytest.raises(ccxt.BadSymbol):
            client.public_get_klines({"symbol": "NOPEUSDT", "interval": "1h"})
        replay.faults.set("binance.klines", Faults.parse("binance.klines=503").pending()["binance.klines"])
        with pytest.raises(ccxt.ExchangeNotAvailable):
            client.public_get_klines({"symbol": "BTCUSDT", "interval": "1h"})


class TestCoinPaprika:
    def test_the_list_holds_the_coins_of_the_market(self, replay: Replay) -> None:
        coins = {coin["id"]: coin for coin in replay.json("/coinpaprika/v1/tickers")}
        assert list(coins) == ["btc-bitcoin", "eth-ethereum", "ada-cardano"]
        assert replay.json("/coinpaprika/v1/tickers/btc-bitcoin") == coins["btc-bitcoin"]
        assert not any("circulating_supply" in coin for coin in coins.values())

    def test_it_is_as_of_the_last_five_minutes_and_a_delisted_coin_stays_behind(self, replay: Replay) -> None:
        updated = {coin["symbol"]: coin["last_updated"] for coin in replay.json("/coinpaprika/v1/tickers")}
        assert updated == {"BTC": "2026-01-17T12:25:00Z", "ETH": "2026-01-17T12:25:00Z", "ADA": "2026-01-15T10:00:00Z"}

    def test_what_the_history_does_not_hold_is_null(self, replay: Replay) -> None:
        bitcoin, ether, _ = replay.json("/coinpaprika/v1/tickers")
        assert bitcoin["quotes"]["USD"]["market_cap"] == round(19_426_506 * bitcoin["quotes"]["USD"]["price"])
        assert (ether["total_supply"], ether["quotes"]["USD"]["market_cap"], ether["quotes"]["USD"]["volume_24h"]) == (
            None,
            None,
            None,
        )

    def test_the_price_moves_inside_the_hour(self, replay: Replay) -> None:
        first = replay.json("/coinpaprika/v1/tickers/btc-bitcoin")["quotes"]["USD"]["price"]
        replay.elapsed[0] = 900
        assert replay.json("/coinpaprika/v1/tickers/btc-bitcoin")["quotes"]["USD"]["price"] != first

    def test_errors(self, replay: Replay) -> None:
        response = replay.get("/coinpaprika/v1/tickers/no-coin")
        assert (response.status_code, response.json()) == (404, {"error": "id not found"})
        response = replay.get("/coinpaprika/v1/tickers?quotes=USD,BTC,ETH,EUR")
        assert (response.status_code, response.json()) == (400, {"error": "Max number of quotes is 3"})


class TestFearGreed:
    def test_it_redirects_to_its_slash_with_the_query(self, replay: Replay) -> None:
        moved = replay.get("/fear-greed/fng?limit=2", allow_redirects=False)
        assert (moved.status_code, moved.headers["Location"]) == (301, "/fear-greed/fng/?limit=2")
        assert replay.json("/fear-greed/fng?limit=2") == replay.json("/fear-greed/fng/?limit=2")

    def test_newest_first_all_strings_and_nothing_of_tomorrow(self, replay: Replay) -> None:
        response = replay.get("/fear-greed/fng/?limit=0")
        rows = response.json()["data"]
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert rows[0]["timestamp"] == str(stamp(datetime(2026, 1, 17, tzinfo=UTC)))
        assert int(rows[0]["time_until_update"]) == stamp(datetime(2026, 1, 18, tzinfo=UTC)) - stamp(NOW)
        assert [row["timestamp"] for row in rows] == sorted((row["timestamp"] for row in rows), reverse=True)
        assert len(rows) == 16  # seventeen days, one of them missing


class TestFaults:
    def test_a_script_plays_over_http_and_heals(self, replay: Replay) -> None:
        put = requests.put(
            replay.url + "/replay/faults/binance.klines", json=["429:7", "503", "html", "empty"], timeout=10
        )
        assert list(put.json()) == ["binance.klines"]
        answers = [replay.get(KLINES) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [429, 503, 502, 200, 200]
        assert answers[0].headers["Retry-After"] == "7"
        assert answers[0].json()["code"] == -1003
        assert answers[2].headers["Content-Type"].startswith("text/html")
        assert answers[3].content == b""
        assert all(answer.headers["X-Market-Data"] == "simulated" for answer in answers)
        assert replay.json("/replay/faults") == {}

    def test_broken_json_and_broken_connections(self, replay: Replay) -> None:
        requests.put(replay.url + "/replay/faults/binance.klines", json="truncated,cut,nan", timeout=10)
        with pytest.raises(requests.exceptions.JSONDecodeError):
            replay.get(KLINES).json()
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            replay.get(KLINES)
        assert "NaN" in replay.get(KLINES).text
        assert len(replay.json(KLINES + "&limit=5")) == 5

    def test_a_delay_outlasts_an_impatient_client_and_no_other_endpoint_waits(self, replay: Replay) -> None:
        requests.put(replay.url + "/replay/faults/binance.klines", json=[{"delay": 30}], timeout=10)
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(replay.url + KLINES, timeout=0.2)
        assert replay.json("/binance/api/v3/ping") == {}

    def test_a_pattern_reaches_all_of_a_vendor_and_delete_heals(self, replay: Replay) -> None:
        requests.put(replay.url + "/replay/faults/coin*", json="402x*", timeout=10)
        response = replay.get("/coinpaprika/v1/tickers")
        assert response.status_code == 402
        assert "not allowed in this plan" in response.json()["error"]
        assert replay.get(HOURS, headers=KEY).json()["Err"]["message"]
        requests.delete(replay.url + "/replay/faults/*", timeout=10)
        assert replay.get("/coinpaprika/v1/tickers").status_code == 200

    @pytest.mark.parametrize("vendor_path", [path for path, _, _ in ROUTES])
    def test_every_route_fails_on_demand(self, replay: Replay, vendor_path: str) -> None:
        for endpoint in ENDPOINTS:
            replay.faults.set(endpoint, Faults.parse("binance.ping=500").pending()["binance.ping"])
        assert (
            replay.get(
                vendor_path.format(
                    coin_id="btc-bitcoin", product="BTC-USD", pair="BTCUSDT", stem="BTCUSDT-1h-2026-01-05"
                )
            ).status_code
            == 500
        )

    @pytest.mark.parametrize(
        ("endpoint", "body"), [("binance.kline", '"503"'), ("binance.klines", "{"), ("binance.klines", '"meltdown"')]
    )
    def test_a_wrong_script_is_refused_and_changes_nothing(self, replay: Replay, endpoint: str, body: str) -> None:
        response = requests.put(f"{replay.url}/replay/faults/{endpoint}", data=body, timeout=10)
        assert response.status_code == 400
        assert response.json()["error"]
        assert replay.json("/replay/faults") == {}
