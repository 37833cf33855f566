"""Each fault of the catalogue does what it says over a real connection; one without a case here fails."""

import hashlib
import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pandas as pd
import pytest
import requests

from crypto_platform.replay.catalogue import EFFECTS, catalogue
from crypto_platform.replay.rows import ROWS

KLINES = "binance.klines"
HISTOHOUR = "cryptocompare.histohour"
TICKER = "/coinpaprika/v1/tickers/btc-bitcoin"
FNG = "/fear-greed/fng/?limit=5"
DAY = "/binance-archive/data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-02-04.zip"
ENDPOINTS = (
    KLINES,
    HISTOHOUR,
    "coindesk.hours",
    "coinbase.candles",
    "kraken.ohlc",
    "binance_archive.daily",
    "binance_archive.monthly",
)
PRICES = ["open", "high", "low", "close"]
OVER_THE_CAP = 32 * 1024 * 1024

Rows = pd.DataFrame


def near(actual: Rows, expected: Rows) -> bool:
    return actual.to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-9, abs=1e-7, nan_ok=True)


def only(hit: int, sane: Rows, hurt: Rows) -> None:
    """All other rows are as they were."""
    assert near(hurt.drop(index=hit), sane.drop(index=hit))


def _withhold(hit: int, sane: Rows, hurt: Rows) -> None:
    assert near(hurt, sane.drop(index=hit))


def _restated(hit: int, sane: Rows, hurt: Rows) -> None:
    only(hit, sane, hurt)
    assert hurt.loc[hit, PRICES].tolist() == pytest.approx((sane.loc[hit, PRICES] * 1.01).tolist())
    assert hurt.loc[hit, "volume"] == pytest.approx(sane.loc[hit, "volume"] * 2)


def _values(**changes: Callable[[pd.Series], float]) -> Callable[[int, Rows, Rows], None]:
    """Of the row hit these columns become what is said, and nothing else changes."""

    def check(hit: int, sane: Rows, hurt: Rows) -> None:
        only(hit, sane, hurt)
        expected = sane.loc[hit].copy()
        for name, change in changes.items():
            expected[name] = change(sane.loc[hit])
        assert hurt.loc[hit].tolist() == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-7, nan_ok=True)

    return check


def _duplicate(hit: int, sane: Rows, hurt: Rows) -> None:
    assert near(hurt.drop(index=hit + 1), sane)
    first, second = hurt.loc[hit], hurt.loc[hit + 1]
    assert first["time"] == second["time"]
    assert first["close"] != second["close"]


def _frozen(hit: int, sane: Rows, hurt: Rows) -> None:
    assert near(hurt[:hit], sane[:hit])
    assert (hurt.loc[hit:, PRICES] == sane.loc[hit - 1, "close"]).all(axis=None)
    assert (hurt.loc[hit:, "volume"] == 0).all()


def _jump(hit: int, sane: Rows, hurt: Rows) -> None:
    assert near(hurt[:hit], sane[:hit])
    assert near(hurt.loc[hit:, PRICES], sane.loc[hit:, PRICES] * 100)


def _scaled(hit: int, sane: Rows, hurt: Rows) -> None:
    assert near(hurt[PRICES], sane[PRICES] * 1000)
    assert near(hurt[["time", "volume"]], sane[["time", "volume"]])


def _future(hit: int, sane: Rows, hurt: Rows) -> None:
    assert near(hurt[:-1], sane)
    assert hurt["time"].iloc[-1] == pd.Timestamp("2025-02-05T13:00Z").timestamp()
    assert near(hurt.iloc[[-1], 1:], sane.iloc[[-1], 1:])


def _unsorted(hit: int, sane: Rows, hurt: Rows) -> None:
    assert not hurt["time"].is_monotonic_increasing
    assert near(hurt.sort_values("time"), sane)


def _no_rows(hit: int, sane: Rows, hurt: Rows) -> None:
    assert hurt.empty


ROW_CASES: dict[str, Callable[[int, Rows, Rows], None]] = {
    "withhold": _withhold,
    "restated": _restated,
    "negative": _values(**{name: (lambda row, name=name: -row[name]) for name in PRICES}),
    "zero": _values(**dict.fromkeys([*PRICES, "volume"], lambda row: 0.0)),
    "null": _values(close=lambda row: math.nan),
    "high_below_low": _values(high=lambda row: row["low"] * 0.99),
    "close_outside": _values(close=lambda row: row["high"] * 1.1),
    "negative_volume": _values(volume=lambda row: -row["volume"] - 1),
    "duplicate": _duplicate,
    "off_grid": _values(time=lambda row: row["time"] + 17 * 60),
    "frozen": _frozen,
    "jump": _jump,
    "scaled": _scaled,
    "future": _future,
    "unsorted": _unsorted,
    "no_rows": _no_rows,
}


def middle(replay: Any, page: Rows) -> int:
    """The middle one of a page's closed candles."""
    closed = page[page["time"] + 3600 <= replay.now.timestamp()]
    return int(closed.index[(len(closed) - 1) // 2])


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", ROWS)
def test_a_fault_of_rows_comes_in_each_vendors_own_form_and_the_next_answer_is_sane(
    replay: Any, name: str, endpoint: str
) -> None:
    sane = replay.candles(endpoint)
    replay.set(f"{endpoint}={name}")
    ROW_CASES[name](middle(replay, sane), sane, replay.candles(endpoint))
    assert near(replay.candles(endpoint), sane)


class TestHours:
    """The argument that says which rows are hit."""

    @pytest.mark.parametrize("endpoint", ENDPOINTS[:5])
    def test_a_count_hits_the_newest_closed_ones(self, replay: Any, endpoint: str) -> None:
        sane = replay.candles(endpoint)
        replay.set(f"{endpoint}=withhold:3")
        assert near(replay.candles(endpoint), sane.drop(index=[5, 6, 7]))  # 8 is the running one

    @pytest.mark.parametrize(("text", "gone"), [("05", [3]), ("05/2025-02-05T09", [3, 4, 5, 6]), ("12", [])])
    def test_an_hour_or_a_range_hits_those(self, replay: Any, text: str, gone: list[int]) -> None:
        sane = replay.candles(KLINES)
        replay.set(f"{KLINES}=withhold:2025-02-05T{text}x*")
        for _ in range(3):
            assert near(replay.candles(KLINES), sane.drop(index=gone))

    def test_hours_before_the_listing_are_never_hit(self, replay: Any, pages: Any) -> None:
        replay.set(f"{HISTOHOUR}=negative")
        rows = replay.get(pages[HISTOHOUR].path + "&toTs=86400").json()["Data"]["Data"]
        assert not any(row["close"] for row in rows)


Case = Callable[[Any], None]
KLINES_PATH = "/binance/api/v3/klines?symbol=BTCUSDT&interval=1h&limit=5"
HISTOHOUR_PATH = "/cryptocompare/data/v2/histohour?fsym=BTC&tsym=USD&limit=5&api_key=replay"
HOURS_PATH = "/coindesk/index/cc/v1/historical/hours?market=cadli&instrument=BTC-USD&limit=5&api_key=replay"
OHLC_PATH = "/kraken/0/public/OHLC?pair=XBTUSD&interval=60"
PRODUCT = "/coinbase/products/BTC-USD"


def hurt(replay: Any, endpoint: str, path: str, fault: str) -> requests.Response:
    """The answer that suffers a fault."""
    replay.set(f"{endpoint}={fault}")
    return replay.get(path)


def status(number: int, *answers: tuple[str, str, str], **headers: str) -> Case:
    """An HTTP status with a vendor's own words, for each (endpoint, path, words); Retry-After where it is given."""

    def check(replay: Any) -> None:
        for endpoint, path, words in answers:
            response = hurt(replay, endpoint, path, str(number))
            assert (response.status_code, words in response.text) == (number, True)
            assert response.headers.get("Retry-After") == headers.get("retry_after")
            assert hurt(replay, endpoint, path, f"{number}:77").headers["Retry-After"] == "77"
            assert replay.get(path).status_code == 200

    return check


def everywhere(*checks: Case) -> Case:
    def check(replay: Any) -> None:
        for each in checks:
            each(replay)

    return check


def legacy(fault: str, **expected: object) -> Case:
    """An envelope of CryptoCompare, always with HTTP 200."""

    def check(replay: Any) -> None:
        response = hurt(replay, HISTOHOUR, HISTOHOUR_PATH, fault)
        assert response.status_code == 200
        body = response.json()
        assert {name: body.get(name) for name in expected} == expected

    return check


def says(endpoint: str, path: str, fault: str, code: int, body: object) -> Case:
    def check(replay: Any) -> None:
        response = hurt(replay, endpoint, path, fault)
        assert (response.status_code, response.json()) == (code, body)

    return check


def coin(fault: str, change: Callable[[dict[str, Any]], None]) -> Case:
    """A ticker with these changes alone, the same in the list of all."""

    def check(replay: Any) -> None:
        expected = replay.get(TICKER).json()
        change(expected)
        assert hurt(replay, "coinpaprika.tickers", TICKER, fault).json() == expected
        assert hurt(replay, "coinpaprika.tickers", "/coinpaprika/v1/tickers", fault).json()[0] == expected
        missing = hurt(replay, "coinpaprika.tickers", "/coinpaprika/v1/tickers/no-coin", fault)
        assert (missing.status_code, missing.json()) == (404, {"error": "id not found"})

    return check


def _all_but_price(value: object) -> Callable[[dict[str, Any]], None]:
    def change(ticker: dict[str, Any]) -> None:
        for name in ("rank", "total_supply", "max_supply", "beta_value"):
            ticker[name] = value
        quote = ticker["quotes"]["USD"]
        quote |= {name: value for name in quote if name != "price"}

    return change


def _price(value: object) -> Callable[[dict[str, Any]], None]:
    return lambda ticker: ticker["quotes"]["USD"].update(price=value, market_cap=0)


def _stale(ticker: dict[str, Any]) -> None:
    assert ticker["last_updated"] == "2025-02-05T10:20:00Z"
    ticker["last_updated"] = "2025-02-05T09:20:00Z"


def days(fault: str, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> Case:
    def check(replay: Any) -> None:
        rows = replay.get(FNG).json()["data"]
        body = hurt(replay, "fear_greed.fng", FNG, fault).json()
        assert (body["data"], body["metadata"]) == (change(rows), {"error": None})

    return check


def _two_values(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [rows[0] | {"value": str((int(rows[0]["value"]) + 1) % 100)}, *rows]


def _metadata_error(replay: Any) -> None:
    body = hurt(replay, "fear_greed.fng", FNG, "metadata_error").json()
    assert (body["data"], bool(body["metadata"]["error"])) == (None, True)


def _as_csv(replay: Any) -> None:
    first = replay.get(FNG).json()["data"][0]
    text = hurt(replay, "fear_greed.fng", FNG, "as_csv").text
    assert f"{first['timestamp']},{first['value']},{first['value_classification']}" in text
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def _err(replay: Any) -> None:
    response = hurt(replay, "coindesk.hours", HOURS_PATH, "err")
    assert (response.status_code, response.json()["Data"]) == (200, {})
    assert set(response.json()["Err"]) == {"type", "message", "other_info"}


def _type101(replay: Any) -> None:
    sane = replay.get(HISTOHOUR_PATH).json()
    body = hurt(replay, HISTOHOUR, HISTOHOUR_PATH, "type101").json()
    assert (body["Response"], body["HasWarning"], body["Type"]) == ("Success", True, 101)
    assert body["Data"] == sane["Data"]


def _type99(replay: Any) -> None:
    body = hurt(replay, HISTOHOUR, HISTOHOUR_PATH, "type99").json()
    assert (body["Response"], body["Type"], "Cooldown" in body) == ("Error", 99, False)
    assert body["RateLimit"]["calls_made"]["hour"] == 63_283


def _unzipped(replay: Any, fault: str) -> list[list[str]]:
    with zipfile.ZipFile(io.BytesIO(hurt(replay, "binance_archive.daily", DAY, fault).content)) as archive:
        return [line.split(",") for line in archive.read(archive.namelist()[0]).decode().splitlines()]


def _header(replay: Any) -> None:
    sane, with_header = _unzipped(replay, "ok"), _unzipped(replay, "header")
    assert (with_header[0][0], len(with_header[0]), with_header[1:]) == ("open_time", 12, sane)


def _in_seconds(replay: Any) -> None:
    sane, changed = _unzipped(replay, "ok"), _unzipped(replay, "seconds")
    assert [[int(row[0]), int(row[6])] for row in changed] == [[int(row[i]) // 10**6 for i in (0, 6)] for row in sane]
    assert [row[1:6] for row in changed] == [row[1:6] for row in sane]
    assert _unzipped(replay, "seconds+header") == [_unzipped(replay, "header")[0], *changed]


def _corrupt_zip(replay: Any) -> None:
    content = hurt(replay, "binance_archive.daily", DAY, "corrupt_zip").content
    with pytest.raises((zipfile.BadZipFile, zlib.error)), zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.read(archive.namelist()[0])


def _wrong_checksum(replay: Any) -> None:
    right = hashlib.sha256(replay.get(DAY).content).hexdigest()
    told = hurt(replay, "binance_archive.checksum", DAY + ".CHECKSUM", "wrong_checksum").text
    assert re.fullmatch(r"[0-9a-f]{64}  BTCUSDT-1h-2025-02-04\.zip\n", told)
    assert not told.startswith(right)


def _no_page(replay: Any) -> None:
    response = hurt(replay, "coinpaprika.tickers", TICKER, "no_page")
    assert (response.status_code, response.text) == (404, "404 page not found")
    assert response.headers["Content-Type"].startswith("text/plain")


def _breaks(fault: str, *errors: type[Exception]) -> Case:
    """The connection ends before the answer does."""

    def check(replay: Any) -> None:
        replay.set(f"{KLINES}={fault}")
        with pytest.raises(errors):
            replay.get(KLINES_PATH)

    return check


def _reset(replay: Any) -> None:
    replay.set(f"{KLINES}=reset")
    with pytest.raises(requests.ConnectionError) as broken:
        replay.get(KLINES_PATH)
    assert "ConnectionResetError" in str(broken.value)


def _reset_body(replay: Any) -> None:
    replay.set(f"{KLINES}=reset_body")
    with replay.get(KLINES_PATH, stream=True) as response:  # a status and headers came
        assert response.status_code == 200
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="ConnectionResetError"):
            _ = response.content


def _ok(replay: Any) -> None:
    replay.set(f"{KLINES}=ok,500")
    assert [replay.get(KLINES_PATH).status_code for _ in range(3)] == [200, 500, 200]


def _delay(replay: Any) -> None:
    replay.set(f"{KLINES}=delay:30")
    with pytest.raises(requests.ReadTimeout):
        replay.get(KLINES_PATH, timeout=0.2)


def _drip(replay: Any) -> None:
    sane = replay.get(KLINES_PATH).content
    assert hurt(replay, KLINES, KLINES_PATH, "drip:0.01").content == sane
    replay.set(f"{KLINES}=drip:30")
    with replay.get(KLINES_PATH, stream=True, timeout=0.3) as response:
        assert response.raw.read1(len(sane)) == sane[: -(-len(sane) // 10)]  # then silence
        with pytest.raises(requests.ConnectionError, match="Read timed out"):
            _ = response.content


def _redirect(replay: Any) -> None:
    response = hurt(replay, KLINES, KLINES_PATH, "redirect")
    assert (response.status_code, response.headers["Location"]) == (302, "http://replay.invalid/")


def _bomb(replay: Any) -> None:
    sane = replay.get(KLINES_PATH).json()
    response = hurt(replay, KLINES, KLINES_PATH, "bomb")
    assert int(response.headers["Content-Length"]) < 1_000_000
    assert len(response.content) > OVER_THE_CAP
    assert response.json() == sane


def _oversized(replay: Any) -> None:
    assert int(hurt(replay, KLINES, KLINES_PATH, "oversized").headers["Content-Length"]) > OVER_THE_CAP


def _clock(replay: Any) -> None:
    for seconds in (7200, -90):
        dates = hurt(replay, KLINES, KLINES_PATH, f"clock:{seconds}").raw.headers.getlist("Date")
        assert [(parsedate_to_datetime(date) - replay.now).total_seconds() for date in dates] == [seconds]


def _html(replay: Any) -> None:
    response = hurt(replay, KLINES, KLINES_PATH, "html")
    assert (response.status_code, response.headers["Content-Type"][:9]) == (502, "text/html")


def _truncated(replay: Any) -> None:
    sane = replay.get(KLINES_PATH).content
    assert hurt(replay, KLINES, KLINES_PATH, "truncated").content == sane[: len(sane) // 2]


def _nan(replay: Any) -> None:
    assert hurt(replay, KLINES, KLINES_PATH, "nan").text.count("NaN") == 1


def _empty(replay: Any) -> None:
    response = hurt(replay, KLINES, KLINES_PATH, "empty")
    assert (response.status_code, response.content) == (200, b"")


KEY_REQUIRED = "API key required, please refer to the documentation"
OVER_LIMIT = "You are over your rate limit please upgrade your account!"
CASES: dict[str, Case] = {
    "ok": _ok,
    "delay": _delay,
    "STATUS": everywhere(
        says(
            KLINES,
            KLINES_PATH,
            "400",
            400,
            {"code": -1000, "msg": "An unknown error occurred while processing the request."},
        ),
        says("kraken.ohlc", OHLC_PATH, "403", 403, {"error": ["EGeneral:Permission denied"]}),
        lambda replay: _is(hurt(replay, KLINES, KLINES_PATH, "206").status_code, 206),
    ),
    "401": status(401, (HISTOHOUR, HISTOHOUR_PATH, KEY_REQUIRED), ("coindesk.hours", HOURS_PATH, KEY_REQUIRED)),
    "402": status(402, ("coinpaprika.tickers", TICKER, "is not allowed in this plan. Check plans on coinp")),
    "403": status(403, ("coinpaprika.tickers", TICKER, "wrong API key")),
    "404": status(
        404,
        ("coinpaprika.tickers", TICKER, '{"error":"id not found"}'),
        ("coinbase.products", PRODUCT, '{"message":"NotFound"}'),
        ("binance_archive.daily", DAY, "<Code>NoSuchKey</Code>"),
    ),
    "418": status(418, (KLINES, KLINES_PATH, "-1003"), retry_after="120"),
    "429": everywhere(
        status(429, (KLINES, KLINES_PATH, "-1003"), retry_after="30"),
        status(
            429,
            ("coinpaprika.tickers", TICKER, "you have reached maximum request limit"),
            (HISTOHOUR, HISTOHOUR_PATH, OVER_LIMIT),
            ("coindesk.hours", HOURS_PATH, OVER_LIMIT),
            ("coinbase.products", PRODUCT, "rate limit exceeded"),
            ("kraken.ohlc", OHLC_PATH, "EGeneral:Too many requests"),
            ("fear_greed.fng", FNG, "<h1>429</h1>"),
        ),
    ),
    "451": status(451, (KLINES, KLINES_PATH, "restricted location")),
    "503": status(
        503,
        (KLINES, KLINES_PATH, "<h1>503</h1>"),
        ("coinpaprika.tickers", TICKER, '"error"'),
        ("binance_archive.daily", DAY, "<Error>"),
    ),
    "header": _header,
    "seconds": _in_seconds,
    "type1": legacy(
        "type1",
        Response="Error",
        Type=1,
        Message="CCCAGG market does not exist for this coin pair (BTC-USD)",
        Cooldown=0,
        Data={},
    ),
    "type2": legacy(
        "type2",
        Response="Error",
        Type=2,
        Message="There is no data for the symbol BTC .",
        ParamWithError="fsym",
        Data={},
    ),
    "type99": _type99,
    "cooldown": legacy("cooldown:2", Response="Error", Type=99, Message=OVER_LIMIT, Cooldown=2, RateLimit={}, Data={}),
    "type101": _type101,
    "err": _err,
    "invalid_symbol": says(KLINES, KLINES_PATH, "invalid_symbol", 400, {"code": -1121, "msg": "Invalid symbol."}),
    "too_many": says("kraken.ohlc", OHLC_PATH, "too_many", 200, {"error": ["EGeneral:Too many requests"]}),
    "unavailable": says("kraken.ohlc", OHLC_PATH, "unavailable", 200, {"error": ["EService:Unavailable"]}),
    "unknown_pair": says("kraken.ohlc", OHLC_PATH, "unknown_pair", 200, {"error": ["EQuery:Unknown asset pair"]}),
    "no_page": _no_page,
    "null_numbers": coin("null_numbers", _all_but_price(None)),
    "empty_numbers": coin("empty_numbers", _all_but_price("")),
    "null_price": coin("null_price", _price(None)),
    "zero_price": coin("zero_price", _price(0)),
    "no_cap": coin("no_cap", lambda ticker: ticker.update(max_supply=0)),
    "stale": coin("stale:3600", _stale),
    "metadata_error": _metadata_error,
    "no_data": days("no_data", lambda rows: []),
    "as_csv": _as_csv,
    "late_day": days("late_day", lambda rows: rows[1:]),
    "two_values": days("two_values", _two_values),
    "bad_value": days("bad_value", lambda rows: [rows[0] | {"value": "999"}, *rows[1:]]),
    "corrupt_zip": _corrupt_zip,
    "wrong_checksum": _wrong_checksum,
    "truncated": _truncated,
    "cut": _breaks("cut", requests.exceptions.ChunkedEncodingError),
    "reset": _reset,
    "reset_body": _reset_body,
    "drip": _drip,
    "html": _html,
    "empty": _empty,
    "nan": _nan,
    "redirect": _redirect,
    "bomb": _bomb,
    "oversized": _oversized,
    "clock": _clock,
}


def _is(actual: object, expected: object) -> None:
    assert actual == expected


@pytest.mark.parametrize("name", [entry.name for entry in catalogue() if entry.name not in ROWS])
def test_a_fault_does_what_the_catalogue_says_once(replay: Any, name: str) -> None:
    CASES[name](replay)
    assert replay.get("/replay/faults").json() == {}


def test_every_fault_has_its_case_and_says_what_it_does_in_one_line() -> None:
    entries = catalogue()
    assert {entry.name for entry in entries} == set(CASES) | set(ROW_CASES)
    assert len({entry.name for entry in entries}) == len(entries)
    assert set(ROW_CASES) | set(CASES) >= set(EFFECTS)
    assert all(entry.what and "\n" not in entry.what for entry in entries)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_fault_of_one_endpoint_leaves_the_others_alone(replay: Any, endpoint: str) -> None:
    sane = {name: replay.candles(name) for name in ENDPOINTS}
    replay.set(f"{endpoint}=scaledx*")
    assert {name for name in ENDPOINTS if not near(replay.candles(name), sane[name])} == {endpoint}


def test_a_script_is_used_up_in_its_order_whatever_form_it_came_in(replay: Any) -> None:
    script = [{"named": ["withhold:2"]}, "scaled:2+html", {"status": 418, "times": 2}, "ok"]
    put = requests.put(f"{replay.url}/replay/faults/{KLINES}", json=script, timeout=10)
    assert [step["named"] for step in put.json()[KLINES]] == [["withhold:2"], ["scaled:2", "html"], [], []]
    answers = [replay.get(KLINES_PATH) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200, 502, 418, 418, 200, 200]
    assert [len(answers[i].json()) for i in (0, 4, 5)] == [3, 5, 5]


def test_what_the_server_does_not_know_is_refused_over_http_naming_the_nearest(replay: Any) -> None:
    for endpoint, fault, words in (
        (KLINES, "withold", "did you mean withhold"),
        ("binance.kline", "withhold", "did you mean binance.klines"),
        (KLINES, "type99", "type99"),
    ):
        response = requests.put(f"{replay.url}/replay/faults/{endpoint}", json=fault, timeout=10)
        assert (response.status_code, words in response.json()["error"]) == (400, True)
    assert replay.get("/replay/faults").json() == {}
