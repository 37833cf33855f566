"""The vendors' clients against a server that answers as they do: a year's backfill is whole, and errors are told."""

import contextlib
import json
import logging
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ccxt
import pytest

from crypto_platform.core.politeness import Limits
from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import (
    MalformedResponseError,
    PlatformError,
    SourceRefusedError,
    SourceUnavailableError,
)
from crypto_platform.sources.base import Fetched
from crypto_platform.sources.coinpaprika import CoinPaprika
from crypto_platform.sources.exchange import BinanceCandles, ExchangeCandles
from crypto_platform.sources.fear_greed import FearGreed
from crypto_platform.sources.gate import Gate
from crypto_platform.sources.indices import CoinDesk, CryptoCompare

HOUR = 3600
END = datetime(2026, 3, 1, tzinfo=UTC)
START = END - timedelta(days=365)
FIRST, LAST = int(START.timestamp()), int(END.timestamp())
OUTAGE = range(LAST - 3000 * HOUR, LAST - 2600 * HOUR, HOUR)  # longer than a page of Coinbase
SIMULATED = {"X-Market-Data": "simulated"}
DATA = Path(__file__).parents[2] / "data"


class Market:
    """Candles of every hour from the listing to an hour after END, less an outage; the newest is still running."""

    def __init__(self, listing: int, outage: Iterable[int] = ()) -> None:
        self.hours = sorted(set(range(listing, LAST + HOUR, HOUR)) - set(outage))
        self.known = set(self.hours)

    @staticmethod
    def values(hour: int) -> tuple[float, ...]:
        """Open, high, low, close, base volume."""
        price = 100.0 + hour // HOUR % 977
        return price, price + 2, price - 2, price + 1, hour // HOUR % 13

    def wanted(self) -> list[int]:
        return [hour for hour in self.hours if FIRST <= hour < LAST]

    def histohour(self, query: dict[str, str]) -> Any:
        newest, limit = int(query["toTs"]) // HOUR * HOUR, int(query["limit"])
        assert 1 <= limit <= 2000
        rows = []
        for hour in range(newest - limit * HOUR, newest + HOUR, HOUR):  # N + 1 rows
            o, h, low, c, base = self.values(hour) if hour in self.known else (0,) * 5
            rows.append(
                {"time": hour, "open": o, "high": h, "low": low, "close": c, "volumefrom": base, "volumeto": base}
            )
        return {"Response": "Success", "Message": "", "HasWarning": False, "Type": 100, "Data": {"Data": rows}}

    def hours_page(self, query: dict[str, str]) -> Any:
        newest, limit = int(query["to_ts"]) // HOUR * HOUR, int(query["limit"])
        rows = []
        for hour in range(newest - (limit - 1) * HOUR, newest + HOUR, HOUR):
            if hour in self.known:
                o, h, low, c, base = self.values(hour)
                row = {"TIMESTAMP": hour, "OPEN": o, "HIGH": h, "LOW": low, "CLOSE": c}
                rows.append(row | {"VOLUME": base, "QUOTE_VOLUME": base})
        return {"Data": rows, "Err": {}}

    def klines(self, query: dict[str, str]) -> Any:
        start, end = int(query["startTime"]) // 1000, int(query["endTime"]) // 1000
        rows = []
        for hour in [hour for hour in self.hours if start <= hour <= end][: int(query["limit"])]:
            o, h, low, c, base = map(str, self.values(hour))
            rows.append([hour * 1000, o, h, low, c, base, hour * 1000 + 3_599_999, "", 5, "0", "0", "0"])
        return rows

    def coinbase(self, query: dict[str, str]) -> Any:
        start, end = (int(datetime.fromisoformat(query[name]).timestamp()) for name in ("start", "end"))
        assert (end - start) // HOUR < 300
        newest_first = [hour for hour in reversed(self.hours) if start - HOUR <= hour <= end]  # one before, as it may
        return [[hour, v[2], v[1], v[0], v[3], v[4]] for hour in newest_first for v in [self.values(hour)]]

    def kraken(self) -> Any:
        rows = []
        for hour in self.hours[-720:]:
            o, h, low, c, base = map(str, self.values(hour))
            rows.append([hour, o, h, low, c, c, base, 3])
        return {"error": [], "result": {"XXBTZUSD": rows, "last": LAST}}


def hours_of(fetched: Fetched) -> list[int]:
    return [int(stamp.timestamp()) for stamp in fetched.rows["timestamp"]]


def assert_is(fetched: Fetched, market: Market, wanted: list[int]) -> None:
    assert hours_of(fetched) == wanted
    expected = [market.values(hour) for hour in wanted]
    got = fetched.rows[["open", "high", "low", "close", "volume_base"]].to_records(index=False).tolist()
    assert got == expected
    assert fetched.rejected == ()


def serve(server: Any, answer: Any, pages: Callable[[dict[str, str]], Any]) -> None:
    server.answer = lambda asked: answer(pages(asked.query), headers=SIMULATED)


LISTINGS = {
    "before the range": FIRST - 50 * HOUR,
    "in the middle": FIRST + 4321 * HOUR,
    "on a page's edge": LAST - 4000 * HOUR,
    "after the range": LAST,
}


@pytest.fixture(params=list(LISTINGS.values()), ids=list(LISTINGS))
def listing(request: pytest.FixtureRequest) -> int:
    return request.param


# --- a year of candles


def test_cryptocompare_has_no_overlap_no_hole_and_stops_at_the_listing(server, answer, patience, btc, listing):
    market = Market(listing)
    serve(server, answer, market.histohour)
    fetched = CryptoCompare("key", server.url, patience).fetch_candles(btc, START, END)
    assert_is(fetched, market, market.wanted())
    assert len(server.asked) <= 5  # 8,760 hours in pages of 2,000
    assert fetched.provenance is Provenance.SIMULATED
    assert {(a.query["fsym"], a.query["tsym"]) for a in server.asked} == {("BTC", "USD")}


def test_cryptocompare_ends_at_a_page_of_zeros(server, answer, patience, btc):
    market = Market(LAST - 10 * HOUR)
    serve(server, answer, market.histohour)
    CryptoCompare("key", server.url, patience).fetch_candles(btc, START, END)
    assert len(server.asked) == 2


def test_coindesk_has_no_overlap_no_hole_and_stops_at_the_listing(server, answer, patience, btc, listing):
    market = Market(listing)
    serve(server, answer, market.hours_page)
    fetched = CoinDesk("key", server.url, patience).fetch_candles(btc, START, END)
    assert_is(fetched, market, market.wanted())
    assert len(server.asked) <= 6
    assert {a.query["instrument"] for a in server.asked} == {"BTC-USD"}


def test_coindesk_may_say_with_404_that_the_listing_is_reached(server, answer, patience, btc):
    market = Market(LAST - 2500 * HOUR)
    before = json.loads((DATA / "coindesk" / "before_listing_404.json").read_text())
    before["Err"]["other_info"]["first"] = market.hours[0]

    def pages(asked):
        page = market.hours_page(asked.query)
        return answer(page) if page["Data"] else answer(before, 404)

    server.answer = pages
    fetched = CoinDesk("key", server.url, patience).fetch_candles(btc, START, END)
    assert_is(fetched, market, market.wanted())


def test_binance_has_no_overlap_no_hole_and_starts_at_the_listing(server, answer, patience, btc, listing):
    market = Market(listing, OUTAGE)
    serve(server, answer, market.klines)
    fetched = BinanceCandles(server.url + "/binance", patience).fetch_candles(btc, START, END)
    assert_is(fetched, market, market.wanted())
    assert fetched.rows["volume"].isna().all()  # an empty text
    assert (fetched.rows["trades"] == 5).all()
    assert len(server.asked) <= 9
    assert fetched.provenance is Provenance.SIMULATED
    assert {(a.path, a.query["symbol"]) for a in server.asked} == {("/binance/api/v3/klines", "BTCUSDT")}


def coinbase_answers(market: Market, answer: Any) -> Callable[[Any], Any]:
    product = {
        "id": "BTC-USD", "base_currency": "BTC", "quote_currency": "USD", "status": "online",
        "base_increment": "0.00000001", "quote_increment": "0.01", "trading_disabled": False,
    }  # fmt: skip

    def answers(asked):
        if asked.path.endswith("/candles"):
            return answer(market.coinbase(asked.query), headers=SIMULATED)
        return answer([product] if asked.path.endswith("/products") else [])

    return answers


def test_coinbase_goes_on_over_empty_pages(server, answer, patience, btc, listing):
    market = Market(listing, OUTAGE)
    server.answer = coinbase_answers(market, answer)
    fetched = ExchangeCandles("coinbase", server.url, patience=patience).fetch_candles(btc, START, END)
    assert_is(fetched, market, market.wanted())
    assert fetched.rows[["volume", "trades"]].isna().all(axis=None)
    assert fetched.provenance is Provenance.SIMULATED


def kraken_answers(market: Market, answer: Any, ohlc: Any = None) -> Callable[[Any], Any]:
    pair = {
        "altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD", "pair_decimals": 1,
        "lot_decimals": 8, "leverage_buy": [], "leverage_sell": [], "fees": [], "fees_maker": [], "status": "online",
    }  # fmt: skip
    assets = {code: {"altname": alt, "decimals": 8} for code, alt in (("XXBT", "XBT"), ("ZUSD", "USD"))}

    def answers(asked):
        if asked.path.endswith("/OHLC"):
            return answer(ohlc or market.kraken(), headers=SIMULATED)
        return answer({"error": [], "result": {"XXBTZUSD": pair} if asked.path.endswith("/AssetPairs") else assets})

    return answers


def n_asked(server: Any, path: str) -> int:
    return sum(asked.path.endswith(path) for asked in server.asked)


def test_kraken_gives_the_month_it_has(server, answer, patience, btc):
    market = Market(FIRST)
    server.answer = kraken_answers(market, answer)
    fetched = ExchangeCandles("kraken", server.url, patience=patience).fetch_candles(btc, START, END)
    assert_is(fetched, market, [hour for hour in market.hours[-720:] if hour < LAST])
    assert n_asked(server, "/OHLC") == 1


@pytest.mark.parametrize("days", [1, 90, 300])
def test_kraken_is_asked_once_for_what_it_no_longer_keeps(server, answer, patience, btc, days):
    market = Market(FIRST)
    server.answer = kraken_answers(market, answer)
    source = ExchangeCandles("kraken", server.url, patience=patience)
    fetched = source.fetch_candles(btc, START, START + timedelta(days=days))
    assert_is(fetched, market, [])
    assert n_asked(server, "/OHLC") == 1


@pytest.mark.parametrize(
    ("said", "error", "times"),
    [
        ("EGeneral:Too many requests", SourceUnavailableError, 3),
        ("EAPI:Rate limit exceeded", SourceUnavailableError, 3),
        ("EService:Unavailable", SourceUnavailableError, 3),
        ("EQuery:Unknown asset pair", SourceRefusedError, 1),
        ("EGeneral:Permission denied", SourceRefusedError, 1),
    ],
)
def test_krakens_errors_of_http_200_are_errors(server, answer, patience, btc, said, error, times):
    server.answer = kraken_answers(Market(FIRST), answer, {"error": [said]})
    with pytest.raises(error, match="kraken"):
        ExchangeCandles("kraken", server.url, patience=patience).fetch_candles(btc, START, END)
    assert n_asked(server, "/OHLC") == times


def test_coinbase_is_always_told_where_to_begin_and_where_to_end(server, answer, patience, btc):
    """Of one without the other Coinbase takes no notice; ccxt gives both only for some beginnings."""
    market = Market(FIRST)
    server.answer = coinbase_answers(market, answer)
    source = ExchangeCandles("coinbase", server.url, patience=patience)
    start = END - timedelta(hours=700, minutes=20)
    assert_is(
        source.fetch_candles(btc, start, END), market, [hour for hour in market.wanted() if hour >= start.timestamp()]
    )
    pages = [asked.query for asked in server.asked if asked.path.endswith("/candles")]
    assert all({"start", "end", "granularity"} <= set(page) for page in pages)
    assert len(pages) == 3


# --- threads


def test_threads_share_one_list_of_markets(server, answer, patience, btc):
    market = Market(LAST - 100 * HOUR)
    server.answer = coinbase_answers(market, answer)
    source = ExchangeCandles("coinbase", server.url, patience=patience)
    start = END - timedelta(hours=3)
    with ThreadPoolExecutor(4) as pool:
        fetched = list(pool.map(lambda _: source.fetch_candles(btc, start, END), range(12)))
    assert all(hours_of(f) == market.wanted()[-3:] for f in fetched)
    assert sum(a.path.endswith("/products") for a in server.asked) == 1


def test_threads_do_not_mix_their_answers(server, answer, patience, btc, eth):
    def klines(asked):
        flat = "7.0" if asked.query["symbol"] == "BTCUSDT" else "9.0"
        row = [int(asked.query["startTime"]), flat, flat, flat, flat, "1", 0, "1", 1, "0", "0", "0"]
        return answer([row])

    server.answer = klines
    source = BinanceCandles(server.url, patience)
    start = END - timedelta(hours=1)
    with ThreadPoolExecutor(8) as pool:
        fetched = list(pool.map(lambda i: source.fetch_candles((btc, eth)[i % 2], start, END), range(40)))
    assert [f.rows["close"].tolist() for f in fetched] == [[7.0], [9.0]] * 20


# --- the vendor's clock


def test_every_client_tells_the_vendors_clock(server, answer, patience, btc):
    market = Market(LAST - 100 * HOUR)
    clock = datetime(2026, 3, 1, 0, 31, 7, tzinfo=UTC)
    headers = {"Date": "Sun, 01 Mar 2026 00:31:07 GMT"}
    start = END - timedelta(hours=3)
    for source, page in (
        (CryptoCompare("key", server.url, patience), market.histohour),
        (CoinDesk("key", server.url, patience), market.hours_page),
        (BinanceCandles(server.url, patience), market.klines),
    ):
        server.answer = lambda asked, page=page: answer(page(asked.query), headers=headers)
        assert source.fetch_candles(btc, start, END).clock == clock
    server.script(answer(tickers("ticker_paid")[0], headers=headers))
    assert CoinPaprika(server.url, None, patience).fetch_snapshots([btc]).clock == clock
    server.script(answer(index_of(3)({"limit": "9"}), headers=headers))
    assert FearGreed(server.url, patience).fetch_sentiment(END - timedelta(days=1), END).clock == clock


def test_a_candle_of_the_vendors_future_is_quarantined(server, answer, patience, btc):
    hours = [LAST - HOUR, LAST, LAST + HOUR]  # closed, running, not begun
    rows = [[hour * 1000, "1", "1", "1", "1", "1", 0, "1", 1, "0", "0", "0"] for hour in hours]
    server.script(answer(rows, headers={"Date": "Sun, 01 Mar 2026 00:31:07 GMT"}))
    fetched = BinanceCandles(server.url, patience).fetch_candles(btc, END - timedelta(hours=1), END)
    assert hours_of(fetched) == hours[:1]
    assert [r.reason for r in fetched.rejected] == ["future"]


# --- what goes wrong


@pytest.mark.parametrize("reply", [{}, {"status": 401}, {"status": 429}, {"status": 503}, {"drop": True}])
@pytest.mark.parametrize("client", [CryptoCompare, CoinDesk, CoinPaprika])
def test_a_key_is_in_no_log_and_no_address(server, answer, patience, btc, caplog, client, reply):
    """Whatever any library logs, urllib3's addresses among it."""
    key = "k3y-n0b0dy-may-see"
    body = [] if client is CoinPaprika else {"Response": "Success", "Data": {"Data": []}, "Err": {}}
    server.script(answer(**({"body": body} | reply)))
    source = CoinPaprika(server.url, key, patience) if client is CoinPaprika else client(key, server.url, patience)
    with caplog.at_level(logging.DEBUG), contextlib.suppress(PlatformError):
        source.fetch_snapshots([btc]) if client is CoinPaprika else source.fetch_candles(btc, START, END)
    assert any(record.name.startswith("urllib3") for record in caplog.records)
    assert key not in caplog.text
    assert all(key in asked.headers["Authorization"] and key not in asked.raw for asked in server.asked)


@pytest.mark.parametrize("status", [401, 403, 451])
def test_an_exchange_that_refuses_us_is_asked_once_for_all_symbols(server, answer, patience, btc, eth, status):
    server.script(answer({"code": 0, "msg": "Service unavailable from a restricted location"}, status))
    source = BinanceCandles(server.url, patience)
    for symbol in (btc, eth):
        with pytest.raises(SourceRefusedError, match="restricted location"):
            source.fetch_candles(symbol, START, END)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [418, 429])
def test_an_exchange_that_bans_is_left_alone_as_long_as_it_says(server, answer, patience, btc, eth, waits, status):
    server.script(answer(b"", status, {"Retry-After": "900"}))
    source = BinanceCandles(server.url, patience)
    for symbol, match in ((btc, "in 1 attempts"), (eth, "left alone until")):
        with pytest.raises(SourceUnavailableError, match=match):
            source.fetch_candles(symbol, START, END)
    assert (len(server.asked), waits) == (1, [])


def test_one_symbols_failure_is_not_the_vendors(server, answer, patience, btc, eth):
    """Malformed answers and unknown markets are answers: the other symbols go on."""
    market = Market(LAST - 5 * HOUR)
    usual = market.klines
    bad = [answer(b"<html>"), answer({"code": -1121, "msg": "Invalid symbol."}, 400)]
    server.answer = lambda a: answer(usual(a.query)) if a.query["symbol"] == "BTCUSDT" else bad[len(server.asked) % 2]
    source = BinanceCandles(server.url, patience)
    for _ in range(12):
        with pytest.raises((MalformedResponseError, SourceRefusedError)):
            source.fetch_candles(eth, START, END)
    assert hours_of(source.fetch_candles(btc, START, END)) == market.wanted()


def test_exchanges_wait_their_turn_by_the_weight_of_the_request(server, answer, patience, btc):
    market = Market(FIRST)
    serve(server, answer, market.klines)
    slept: list[float] = []
    gate = Gate(clock=lambda: 1_800_000_000.0, sleep=slept.append)
    limits = Limits(spacing=10.0, loopback=True)
    BinanceCandles(server.url, patience, limits=limits, gate=gate).fetch_candles(btc, START, END)
    weight = ccxt.binance().api["public"]["get"]["klines"]["cost"]
    assert slept == pytest.approx([10.0 * weight * i for i in range(1, 9)])


@pytest.mark.parametrize("client", [CryptoCompare, CoinDesk])
def test_a_wrong_key_names_its_setting(server, answer, patience, btc, client):
    server.script(answer(json.loads((DATA / "cryptocompare" / "keyless_401.json").read_text()), 401))
    with pytest.raises(SourceRefusedError, match=f"CRYPTO_PLATFORM_{client.name.upper()}_API_KEY") as caught:
        client("k3y-n0b0dy-may-see", server.url, patience).fetch_candles(btc, START, END)
    assert "k3y" not in str(caught.value)
    assert len(server.asked) == 1
    assert server.asked[0].headers["Authorization"] == "Apikey k3y-n0b0dy-may-see"


def test_a_long_cooldown_in_http_200_is_kept(server, answer, patience, waits, btc):
    server.script(answer(json.loads((DATA / "cryptocompare" / "rate_limit.json").read_text())))
    source = CryptoCompare("key", server.url, patience)
    for match in ("rate limit", "left alone until"):  # it asks for 406 s
        with pytest.raises(SourceUnavailableError, match=match):
            source.fetch_candles(btc, START, END)
    assert (len(server.asked), waits) == (1, [])


def test_an_unknown_instrument_is_refused(server, answer, patience, btc):
    server.script(answer(json.loads((DATA / "coindesk" / "unknown_instrument_404.json").read_text()), 404))
    with pytest.raises(SourceRefusedError, match="Instrument not found"):
        CoinDesk("key", server.url, patience).fetch_candles(btc, START, END)


def test_an_unknown_market_names_symbol_and_exchange(server, answer, patience, btc):
    server.script(answer(json.loads((DATA / "binance" / "invalid_symbol.json").read_text()), 400))
    with pytest.raises(SourceRefusedError, match=r"binance has no market BTC/USDT"):
        BinanceCandles(server.url, patience).fetch_candles(btc, START, END)
    assert len(server.asked) == 1


def test_a_market_that_is_not_listed_names_symbol_and_exchange(server, answer, patience, eth):
    server.answer = coinbase_answers(Market(FIRST), answer)
    with pytest.raises(SourceRefusedError, match=r"coinbase has no market ETH/USD"):
        ExchangeCandles("coinbase", server.url, patience=patience).fetch_candles(eth, START, END)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 451])
def test_an_exchange_that_refuses_is_not_asked_again(server, answer, patience, btc, status):
    server.script(answer({"code": 0, "msg": "Service unavailable from a restricted location"}, status))
    with pytest.raises(SourceRefusedError, match=r"binance.*CRYPTO_PLATFORM_BINANCE_URL"):
        BinanceCandles(server.url, patience).fetch_candles(btc, START, END)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [418, 429, 500, 502, 503])
def test_an_exchange_that_fails_is_asked_again_as_it_says(server, answer, patience, waits, btc, status):
    market = Market(LAST - 5 * HOUR)
    server.script(answer(b"<html>", status, {"Retry-After": "9"}), answer(market.klines({
        "startTime": str(FIRST * 1000), "endTime": str((LAST - HOUR) * 1000), "limit": "1000"
    })))  # fmt: skip
    fetched = BinanceCandles(server.url, patience).fetch_candles(btc, START, END)
    assert hours_of(fetched) == market.wanted()
    assert waits == [9.0]


def test_an_exchange_asks_for_a_wait_once(server, answer, patience, waits, btc):
    server.script(answer(b"", 429, {"Retry-After": "9"}), answer(drop=True), answer([]))
    BinanceCandles(server.url, patience).fetch_candles(btc, START, END)
    assert waits[0] == 9.0
    assert waits[1] < 9.0


def test_an_exchange_that_keeps_failing_is_unavailable(server, answer, patience, btc):
    server.script(answer(b"", 503))
    with pytest.raises(SourceUnavailableError, match=r"binance at http://127.*CRYPTO_PLATFORM_BINANCE_URL"):
        BinanceCandles(server.url, patience).fetch_candles(btc, START, END)
    assert len(server.asked) == patience.attempts


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[[1", b"null", b"7"])
def test_an_exchange_that_answers_something_else_is_malformed(server, answer, patience, btc, body):
    server.script(answer(body))
    with pytest.raises(MalformedResponseError, match="binance"):
        BinanceCandles(server.url, patience).fetch_candles(btc, START, END)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"null", b'[["x"]]', b"7"])
def test_a_unified_answer_of_another_form_is_malformed_or_quarantined(server, answer, patience, btc, body):
    usual = coinbase_answers(Market(FIRST), answer)
    server.answer = lambda asked: answer(body) if asked.path.endswith("/candles") else usual(asked)
    source = ExchangeCandles("coinbase", server.url, patience=patience)
    try:
        fetched = source.fetch_candles(btc, END - timedelta(hours=2), END)
    except (MalformedResponseError, SourceRefusedError):
        return
    assert fetched.rows.empty


def test_an_exchange_does_not_redirect_us(server, answer, patience, btc):
    server.script(answer(b"", 302, {"Location": server.url + "/elsewhere"}))
    with pytest.raises(MalformedResponseError):
        BinanceCandles(server.url, patience).fetch_candles(btc, START, END)
    assert {asked.path for asked in server.asked} == {"/api/v3/klines"}


def test_a_price_that_is_no_number_is_quarantined(server, answer, patience, btc):
    server.script(answer([[(LAST - HOUR) * 1000, "NaN", "1", "1", "1", "1", 0, "1", 1, "0", "0", "0"]]))
    fetched = BinanceCandles(server.url, patience).fetch_candles(btc, END - timedelta(hours=1), END)
    assert fetched.rows.empty
    assert [r.reason for r in fetched.rejected] == ["malformed"]


# --- snapshots and sentiment


def tickers(*names: str) -> list[Any]:
    return [json.loads((DATA / "coinpaprika" / f"{name}.json").read_text()) for name in names]


def test_few_coins_are_asked_one_by_one(server, answer, patience, btc):
    (ticker,) = tickers("ticker_paid")
    server.script(answer(ticker, headers=SIMULATED))
    fetched = CoinPaprika(server.url, None, patience).fetch_snapshots([btc])
    assert [a.path for a in server.asked] == ["/tickers/btc-bitcoin"]
    assert "Authorization" not in server.asked[0].headers
    assert fetched.rows["price_usd"].tolist() == [30538.078793975994]
    assert fetched.provenance is Provenance.SIMULATED


def test_many_coins_cost_one_call(server, answer, patience, btc, eth):
    server.script(answer(tickers("ticker_paid", "ticker_free_plan")))
    omg = type(btc)("OMG", "OMG", "omg-omg-network", "OMG", default=False)
    fetched = CoinPaprika(server.url, "bare-key", patience).fetch_snapshots([btc, eth, omg])
    assert [a.path for a in server.asked] == ["/tickers"]
    assert server.asked[0].headers["Authorization"] == "bare-key"
    assert fetched.rows["symbol"].tolist() == ["BTC", "OMG"]


def test_a_wrong_coin_id_does_not_cost_the_others(server, answer, patience, btc, eth):
    (ticker,) = tickers("ticker_paid")
    unknown = json.loads((DATA / "coinpaprika" / "id_not_found.json").read_text())
    server.answer = lambda a: (
        answer(ticker, headers=SIMULATED) if "btc" in a.path else answer(unknown, 404, headers=SIMULATED)
    )
    fetched = CoinPaprika(server.url, None, patience).fetch_snapshots([btc, eth])
    assert fetched.rows["symbol"].tolist() == ["BTC"]
    assert [(r.symbol, r.reason) for r in fetched.rejected] == [("ETH", "unknown_coin")]
    assert fetched.provenance is Provenance.SIMULATED


def test_a_wrong_address_is_not_a_wrong_coin(server, answer, patience, btc):
    server.script(answer(b"404 page not found", 404))
    with pytest.raises(SourceRefusedError, match="CRYPTO_PLATFORM_COINPAPRIKA_URL"):
        CoinPaprika(server.url, None, patience).fetch_snapshots([btc])


def test_a_quota_is_told_and_not_taken_for_no_data(server, answer, patience, btc):
    server.script(answer({"error": "not allowed in this plan"}, 402))
    with pytest.raises(SourceRefusedError, match=r"plan or its quota.*CRYPTO_PLATFORM_COINPAPRIKA_API_KEY"):
        CoinPaprika(server.url, None, patience).fetch_snapshots([btc])


def index_of(n_days: int, holes: tuple[int, ...] = ()) -> Callable[[Any], Any]:
    """Answers of an index whose newest day is END's, `n_days` long; `limit` counts rows."""
    days = [LAST - 86_400 * i for i in range(n_days) if i not in holes]

    def payload(query: dict[str, str]) -> Any:
        limit = int(query["limit"]) or len(days)
        rows = [{"value": str(d // 86_400 % 101), "value_classification": "Fear", "timestamp": str(d)} for d in days]
        return {"name": "Fear and Greed Index", "data": rows[:limit], "metadata": {"error": None}}

    return payload


@pytest.mark.parametrize(("back", "length"), [(3, 4), (40, 5), (300, 301), (900, 100), (900, 901)])
def test_the_index_covers_the_range_whatever_its_distance_from_today(server, answer, patience, back, length):
    serve(server, answer, index_of(1000, holes=(2, 45)))
    start = END - timedelta(days=back)
    fetched = FearGreed(server.url, patience).fetch_sentiment(start, start + timedelta(days=length))
    days = [LAST - 86_400 * i for i in range(back, back - length, -1) if i >= 0 and i not in {2, 45}]
    assert hours_of(fetched) == days
    assert not fetched.rejected
    assert len(server.asked) <= 2
    assert server.asked[0].path == "/fng/"


def test_an_index_without_data_is_an_error(server, answer, patience):
    server.script(answer(json.loads((DATA / "fear_greed" / "error.json").read_text())))
    with pytest.raises(MalformedResponseError, match="Something went wrong"):
        FearGreed(server.url, patience).fetch_sentiment(START, END)


def test_prices_are_never_invented(server, answer, patience, btc):
    """What the market does not hold is not in the answer: no filling of the outage."""
    market = Market(FIRST, OUTAGE)
    serve(server, answer, market.klines)
    fetched = BinanceCandles(server.url, patience).fetch_candles(btc, START, END)
    assert not set(hours_of(fetched)) & set(OUTAGE)
    assert math.isclose(fetched.rows["close"].sum(), sum(market.values(hour)[3] for hour in market.wanted()))
