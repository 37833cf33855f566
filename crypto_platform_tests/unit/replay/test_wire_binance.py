"""Binance klines: twelve items, ms, strings, and an empty string for what is unknown."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.replay.wire import binance
from crypto_platform.replay.wire.errors import VendorError
from crypto_platform.symbols import load_symbols

ASKED = {"symbol": "BTCUSDT", "interval": "1h"}


@pytest.fixture
def candles(walk) -> pd.DataFrame:
    return walk("BTC", 5, seed=1)


def test_a_row_has_twelve_items_of_the_documented_types(candles: pd.DataFrame) -> None:
    for row in binance.klines(candles):
        assert [type(item) for item in row] == [int, str, str, str, str, str, int, str, int, str, str, str]
        assert row[11] == "0"


def test_times_are_milliseconds_and_a_candle_closes_one_before_the_next_opens(candles: pd.DataFrame) -> None:
    rows = binance.klines(candles)
    assert rows[0][0] == int(candles["timestamp"].iloc[0].timestamp() * 1000)
    assert all(row[6] == row[0] + 3_599_999 for row in rows)
    assert [row[6] + 1 for row in rows[:-1]] == [row[0] for row in rows[1:]]


@pytest.mark.parametrize(
    ("item", "column"),
    [(1, "open"), (2, "high"), (3, "low"), (4, "close"), (5, "volume_base"), (7, "volume"), (8, "trades")],
)
def test_each_item_is_its_column(candles: pd.DataFrame, item: int, column: str) -> None:
    assert [float(row[item]) for row in binance.klines(candles)] == pytest.approx(candles[column].tolist(), abs=1e-8)


def test_what_is_unknown_is_an_empty_string(candles: pd.DataFrame) -> None:
    unknown = candles.assign(volume=float("nan"), trades=float("nan"))
    assert {tuple(row[7:11]) for row in ((*r,) for r in binance.klines(unknown))} == {("", "", "", "")}


@given(st.decimals(min_value="0.00000001", max_value="1e9", places=8).map(float))
def test_a_price_of_eight_decimals_survives_the_text_exactly(price: float) -> None:
    frame = pd.DataFrame(
        {
            "timestamp": [pd.Timestamp("2026-01-01", tz="UTC")],
            **dict.fromkeys(("open", "high", "low", "close", "volume_base", "volume", "trades"), price),
        }
    )
    assert float(binance.klines(frame)[0][1]) == price


def test_the_limit_defaults_to_500_and_is_cut_at_1000() -> None:
    assert binance.parse_klines(ASKED).limit == 500
    assert binance.parse_klines(ASKED | {"limit": "5000"}).limit == 1000


def test_times_are_read_as_they_come() -> None:
    query = binance.parse_klines(ASKED | {"startTime": "0", "endTime": "3600000"})
    assert (query.start, query.end) == (0, 3_600_000)
    assert binance.parse_klines(ASKED).start is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"symbol": ""}, -1102),
        ({"interval": ""}, -1102),
        ({"interval": "7h"}, -1120),
        ({"limit": "0"}, -1130),
        ({"startTime": "soon"}, -1100),
        ({"endTime": "-1"}, -1100),
    ],
)
def test_a_bad_parameter_is_400_with_a_code(change: dict[str, str], code: int) -> None:
    with pytest.raises(VendorError) as refusal:
        binance.parse_klines(ASKED | change)
    assert (refusal.value.status, list(refusal.value.payload), refusal.value.payload["code"]) == (
        400,
        ["code", "msg"],
        code,
    )


def test_an_unknown_pair_is_minus_1121() -> None:
    assert binance.invalid_symbol().payload == {"code": -1121, "msg": "Invalid symbol."}


def test_exchange_info_lists_pairs_with_their_state() -> None:
    book = load_symbols()
    body = binance.exchange_info(1_767_571_200_000, [(book["BTC"], True), (book["FTT"], False)])
    assert body["serverTime"] == 1_767_571_200_000
    pairs = {
        market["symbol"]: (market["baseAsset"], market["quoteAsset"], market["status"]) for market in body["symbols"]
    }
    assert pairs == {"BTCUSDT": ("BTC", "USDT", "TRADING"), "FTTUSDT": ("FTT", "USDT", "BREAK")}
    assert all(not math.isnan(market["baseAssetPrecision"]) for market in body["symbols"])
