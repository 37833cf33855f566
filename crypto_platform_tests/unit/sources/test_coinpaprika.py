"""CoinPaprika: a snapshot is what the vendor says, and NaN where it says nothing."""

import math
from datetime import datetime, timedelta

import pandas as pd
import pytest

from crypto_platform.core.provenance import Provenance
from crypto_platform.sources.base import SNAPSHOT_COLUMNS
from crypto_platform.sources.coinpaprika import Coin, parse_coins, parse_tickers

WANTED = {"btc-bitcoin": "BTC", "omg-omg-network": "OMG"}


def parse(*tickers):
    return parse_tickers(tickers, WANTED, Provenance.LIVE)


def test_each_number_lands_in_its_column(payload):
    row = parse(payload("coinpaprika", "ticker_free_plan")).rows.iloc[0]
    assert row["symbol"] == "OMG"
    assert row["timestamp"] == pd.Timestamp("2024-12-08T22:02:35Z")
    assert row[list(SNAPSHOT_COLUMNS[2:8])].tolist() == [
        0.5840811745500313,
        81914697,
        11109469.181310238,
        2.91,
        19.24,
        127.26,
    ]
    assert row["total_supply"] == 140245398


def test_the_free_plan_has_no_circulating_supply(payload):
    assert math.isnan(parse(payload("coinpaprika", "ticker_free_plan")).rows["circulating_supply"].iloc[0])


def test_null_and_empty_texts_are_nan(payload):
    row = parse(payload("coinpaprika", "ticker_paid")).rows.iloc[0]
    assert row["circulating_supply"] == 19426506
    assert math.isnan(row["price_change_7d"])
    assert math.isnan(row["price_change_30d"])


def test_the_all_time_high_is_nowhere(payload):
    row = parse(payload("coinpaprika", "ticker_paid")).rows.iloc[0]
    assert 68692.13703693185 not in row.tolist()


def test_coins_that_nobody_asked_for_are_left_out(payload):
    other = payload("coinpaprika", "ticker_paid") | {"id": "eth-ethereum"}
    result = parse(other, "x", None, {"id": ["btc-bitcoin"]})
    assert result.rows.empty
    assert not result.rejected


def test_a_frame_without_rows_has_its_types():
    frame = parse().rows
    assert tuple(frame.columns) == SNAPSHOT_COLUMNS
    assert frame["price_usd"].dtype == float
    assert str(frame["timestamp"].dtype) == "datetime64[us, UTC]"


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        (0, "non_positive_price_usd"),
        (-1, "non_positive_price_usd"),
        (None, "malformed"),
        ("x", "malformed"),
        (1e999, "malformed"),
    ],
)
def test_a_snapshot_without_a_price_is_rejected(payload, price, reason):
    ticker = payload("coinpaprika", "ticker_paid")
    ticker["quotes"]["USD"]["price"] = price
    result = parse(ticker)
    assert result.rows.empty
    assert [(r.symbol, r.dataset, r.reason) for r in result.rejected] == [("BTC", "market_data", reason)]


@pytest.mark.parametrize("stamp", [None, "", "soon", 1_700_000_000, "2024-12-08T22:02:35"])
def test_a_snapshot_without_a_time_is_rejected(payload, stamp):
    result = parse(payload("coinpaprika", "ticker_paid") | {"last_updated": stamp})
    assert result.rows.empty
    assert [r.reason for r in result.rejected] == ["malformed"]


def test_a_negative_quantity_is_rejected(payload):
    assert [r.reason for r in parse(payload("coinpaprika", "ticker_paid") | {"total_supply": -1}).rejected] == [
        "negative_total_supply"
    ]


def test_the_same_coin_twice_keeps_the_first(payload):
    ticker = payload("coinpaprika", "ticker_paid")
    result = parse(ticker, ticker | {"total_supply": 1})
    assert result.rows["total_supply"].tolist() == [19426512]
    assert [r.reason for r in result.rejected] == ["duplicate"]


def test_one_bad_ticker_does_not_cost_the_others(payload):
    result = parse(payload("coinpaprika", "ticker_paid") | {"quotes": {}}, payload("coinpaprika", "ticker_free_plan"))
    assert result.rows["symbol"].tolist() == ["OMG"]
    assert len(result.rejected) == 1


def test_coins_are_read_by_rank_and_what_is_no_coin_is_left_out():
    def ticker(coin, rank):
        return {"id": coin, "name": coin.title(), "symbol": "X", "rank": rank}

    listed = [ticker("x-none", None), ticker("x-late", 900), ticker("x-dead", 0), ticker("x-first", 3), 7, {"id": "x"}]
    assert [coin.id for coin in parse_coins(listed)] == ["x-first", "x-late", "x-none", "x-dead"]
    assert parse_coins(listed)[0] == Coin("x-first", "X-First", "X", 3)
    assert parse_coins([{**ticker("x", 1), "symbol": ""}, {**ticker("x", 1), "name": None}]) == ()


def test_a_snapshot_ahead_of_the_vendors_clock_is_of_the_future(payload):
    ticker = payload("coinpaprika", "ticker_paid")
    taken = datetime.fromisoformat(ticker["last_updated"])
    for ahead, reasons in ((timedelta(minutes=4), []), (timedelta(minutes=6), ["future"])):
        result = parse_tickers([ticker], WANTED, Provenance.LIVE, taken - ahead)
        assert [r.reason for r in result.rejected] == reasons
        assert len(result.rows) == 1 - len(reasons)
        assert result.clock == taken - ahead


def test_an_unsound_snapshot_does_not_push_out_a_sound_one(payload):
    ticker = payload("coinpaprika", "ticker_paid")
    result = parse(ticker | {"total_supply": -1}, ticker)
    assert result.rows["total_supply"].tolist() == [19426512]
    assert [r.reason for r in result.rejected] == ["negative_total_supply"]
