"""CoinPaprika tickers as the free plan answers, computed from candles alone."""

from datetime import datetime, timedelta

import pandas as pd
import pytest

from crypto_platform.replay.history import Supply
from crypto_platform.replay.tape import Tape
from crypto_platform.replay.wire import coinpaprika
from crypto_platform.replay.wire.errors import VendorError
from crypto_platform.symbols import load_symbols

BTC = load_symbols()["BTC"]
HOUR = timedelta(hours=1)
KEYS = [
    "id",
    "name",
    "symbol",
    "rank",
    "total_supply",
    "max_supply",
    "beta_value",
    "first_data_at",
    "last_updated",
    "quotes",
]
QUOTE_KEYS = [
    "price",
    "volume_24h",
    "volume_24h_change_24h",
    "market_cap",
    "market_cap_change_24h",
    "percent_change_15m",
    "percent_change_30m",
    "percent_change_1h",
    "percent_change_6h",
    "percent_change_12h",
    "percent_change_24h",
    "percent_change_7d",
    "percent_change_30d",
    "percent_change_1y",
    "ath_price",
    "ath_date",
    "percent_from_price_ath",
]
UNKNOWN = Supply(None, None)


@pytest.fixture(scope="module")
def candles(walk) -> pd.DataFrame:
    return walk("BTC", 300, seed=3).drop(columns="symbol")


@pytest.fixture(scope="module")
def end(candles: pd.DataFrame) -> datetime:
    """Exactly when the last candle ends, so that every figure is one of whole candles."""
    return candles["timestamp"].iloc[-1].to_pydatetime() + HOUR


def ticker(candles: pd.DataFrame, now: datetime, supply: Supply = UNKNOWN) -> dict:
    return coinpaprika.ticker(BTC, Tape(candles), supply, now)


def test_it_has_the_captured_keys_and_no_circulating_supply(candles, end) -> None:
    body = ticker(candles, end, Supply(19_426_506.0, 19_426_512.0))
    assert list(body) == KEYS
    assert list(body["quotes"]) == ["USD"]
    assert list(body["quotes"]["USD"]) == QUOTE_KEYS
    assert (body["id"], body["symbol"], body["total_supply"]) == ("btc-bitcoin", "BTC", 19_426_512)


def test_price_and_changes_follow_the_closes(candles, end) -> None:
    close, quote = candles["close"].to_numpy(), ticker(candles, end)["quotes"]["USD"]
    assert quote["price"] == close[-1]
    for name, back in (("1h", 1), ("6h", 6), ("12h", 12), ("24h", 24), ("7d", 168)):
        # the price at a full hour is the open of the hour that begins
        before = candles["open"].to_numpy()[-back]
        assert quote[f"percent_change_{name}"] == round((close[-1] / before - 1) * 100, 2)


def test_what_lies_before_the_listing_is_null(candles, end) -> None:
    quote = ticker(candles, end)["quotes"]["USD"]
    assert (quote["percent_change_30d"], quote["percent_change_1y"]) == (None, None)


def test_turnover_is_the_sum_of_24_hours_of_quote_volume(candles, end) -> None:
    volume, quote = candles["volume"].to_numpy(), ticker(candles, end)["quotes"]["USD"]
    today, yesterday = volume[-24:].sum(), volume[-48:-24].sum()
    assert quote["volume_24h"] == pytest.approx(today, rel=1e-12)
    assert quote["volume_24h_change_24h"] == pytest.approx((today / yesterday - 1) * 100, abs=0.00501)


@pytest.mark.parametrize(("row", "known"), [(-25, True), (-24, False), (-1, False)])
def test_one_unknown_quote_volume_in_the_day_makes_turnover_null(candles, end, row: int, known: bool) -> None:
    candles = candles.copy()
    candles.loc[candles.index[row], "volume"] = float("nan")
    assert (ticker(candles, end)["quotes"]["USD"]["volume_24h"] is not None) is known


def test_market_cap_is_circulating_times_price_or_null(candles, end) -> None:
    known = ticker(candles, end, Supply(1000.0, None))
    assert known["quotes"]["USD"]["market_cap"] == round(1000 * candles["close"].iloc[-1])
    assert known["total_supply"] is None
    unknown = ticker(candles, end)["quotes"]["USD"]
    assert (unknown["market_cap"], unknown["market_cap_change_24h"]) == (None, None)


def test_the_peak_is_the_highest_high_so_far(candles, end) -> None:
    best = candles["high"].idxmax()
    quote = ticker(candles, end)["quotes"]["USD"]
    assert quote["ath_price"] == candles["high"].iloc[best]
    assert quote["ath_date"] == candles["timestamp"].iloc[best].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert quote["percent_from_price_ath"] <= 0


def test_it_is_as_of_the_last_five_minutes(candles, end) -> None:
    running = end - timedelta(minutes=33)
    body = ticker(candles, running + timedelta(seconds=42))
    assert body["last_updated"] == (running - timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert body == ticker(candles, running - timedelta(minutes=2))


def test_nothing_later_changes_it(candles, end) -> None:
    """A ticker of hour t reads the same with the whole future replaced."""
    now = end - timedelta(hours=40, minutes=20)
    future = candles["timestamp"] > now
    other = candles.copy()
    other.loc[future, ["open", "high", "low", "close", "volume"]] *= 7
    assert ticker(candles, now) == ticker(other, now)


def test_a_series_that_ended_stays_as_of_its_end(candles, end) -> None:
    late = ticker(candles, end + timedelta(days=30))
    assert late["last_updated"] == end.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert late == ticker(candles, end)


def test_inside_an_outage_it_is_stale(candles, end) -> None:
    halted = candles.iloc[:-1]
    assert ticker(halted, end)["last_updated"] == (end - HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_quotes_are_usd_alone() -> None:
    coinpaprika.check_quotes({})
    coinpaprika.check_quotes({"quotes": "usd"})
    for quotes, text in (("USD,BTC,ETH,EUR", "Max number of quotes is 3"), ("EUR", "Invalid parameters")):
        with pytest.raises(VendorError) as refusal:
            coinpaprika.check_quotes({"quotes": quotes})
        assert (refusal.value.status, refusal.value.payload) == (400, {"error": text})


def test_errors_are_an_error_text() -> None:
    assert coinpaprika.unknown_id().payload == {"error": "id not found"}
    assert coinpaprika.refusal(429) == {"error": "you have reached maximum request limit"}
    assert "not allowed in this plan" in coinpaprika.refusal(402)["error"]
