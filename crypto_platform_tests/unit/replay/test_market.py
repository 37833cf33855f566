"""The visible market: nothing later than now, the running hour unfinished, outages as each vendor shows them."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.replay.market import Market
from crypto_platform.replay.tape import Tape
from crypto_platform.symbols import load_symbols

HOUR = timedelta(hours=1)
PRICES = ["open", "high", "low", "close"]


@pytest.fixture(scope="module")
def market(history) -> Market:
    return Market(history, load_symbols())


@pytest.fixture(scope="module")
def names(market: Market) -> dict:
    return {symbol.name: symbol for symbol in market.symbols}


@given(minutes=st.integers(0, 400 * 60 - 1))
@settings(max_examples=40, deadline=None)
def test_nothing_after_now_is_visible(history, start, minutes: int) -> None:
    """Whatever is asked, the answer is the same as of a history whose future is replaced."""
    now = start + timedelta(minutes=minutes)
    frames = {name: frame.copy() for name, frame in history.frames.items()}
    for frame in frames.values():
        later = frame["timestamp"] > now
        frame.loc[later, [*PRICES, "volume", "volume_base"]] = 1e9
    seen, other = (
        Market(held, load_symbols()).candles(load_symbols()["BTC"], start, start + 500 * HOUR, now)
        for held in (history, type(history)(frames))
    )
    pd.testing.assert_frame_equal(seen, other)
    assert (seen["timestamp"] <= now).all()


def test_only_the_running_hour_is_unfinished(market, names, history, start) -> None:
    now = start + 50 * HOUR + timedelta(minutes=15)
    seen = market.candles(names["BTC"], start, start + 100 * HOUR, now)
    true = history.candles("BTC", start, start + 51 * HOUR)
    pd.testing.assert_frame_equal(seen.iloc[:-1], true.iloc[:-1])
    running, finished = seen.iloc[-1], true.iloc[-1]
    assert (running["timestamp"], running["open"]) == (finished["timestamp"], finished["open"])
    assert finished["low"] <= running["low"] <= running["high"] <= finished["high"]
    assert running["volume_base"] < finished["volume_base"]


def test_a_page_of_hours_has_no_hole_and_carries_the_price_through_an_outage(market, names, history, start) -> None:
    hours = market.hours(names["BTC"], start + 205 * HOUR, 10, start + 300 * HOUR)
    assert list(hours["timestamp"]) == list(pd.date_range(start + 196 * HOUR, periods=10, freq="h"))
    halted = hours[hours["carried"]]
    assert list(halted["timestamp"]) == list(pd.date_range(start + 200 * HOUR, periods=3, freq="h"))
    last = history.candles("BTC", start, start + 200 * HOUR)["close"].iloc[-1]
    assert (halted[PRICES] == last).all(axis=None)
    assert (halted[["volume_base", "volume"]] == 0).all(axis=None)


def test_a_page_that_begins_inside_an_outage_knows_the_price_before_it(market, names, history, start) -> None:
    page = market.hours(names["BTC"], start + 203 * HOUR, 2, start + 300 * HOUR)
    assert page["carried"].tolist() == [True, False]
    assert page["close"].iloc[0] == history.candles("BTC", start, start + 200 * HOUR)["close"].iloc[-1]


def test_before_the_listing_all_is_zero(market, names, start) -> None:
    hours = market.hours(names["ETH"], start + 101 * HOUR, 5, start + 300 * HOUR)
    assert hours["close"].tolist()[:3] == [0, 0, 0]
    assert (hours["close"].iloc[3:] > 0).all()
    assert (market.hours(names["ETH"], start - 9999 * HOUR, 3, start + 300 * HOUR)[PRICES] == 0).all(axis=None)


def test_after_its_end_a_series_carries_its_last_price(market, names, history, start) -> None:
    hours = market.hours(names["ADA"], start + 299 * HOUR, 100, start + 300 * HOUR)
    assert (hours["close"].iloc[-50:] == history.frames["ADA"]["close"].iloc[-1]).all()
    assert hours["carried"].sum() == 50


def test_a_coin_is_unknown_until_it_is_listed(market, names, start) -> None:
    assert market.find("market", "ETH", start + 100 * HOUR - timedelta(seconds=1)) is None
    assert market.find("market", "ETH", start + 100 * HOUR) == names["ETH"]
    assert market.find("market", "NOPE", start + 300 * HOUR) is None


@given(limit=st.integers(1, 60), end=st.integers(0, 420))
@settings(max_examples=60, deadline=None)
def test_newest_and_oldest_count_rows_and_not_hours(history, start, limit: int, end: int) -> None:
    market, now = Market(history, load_symbols()), start + 390 * HOUR
    symbol, until = market.symbols[0], start + end * HOUR
    everything = market.candles(symbol, start, until, now)
    newest = market.newest(symbol, until, limit, now)
    assert list(newest["timestamp"]) == list(everything["timestamp"].tail(limit))
    oldest = market.oldest(symbol, start - 1000 * HOUR, until, limit, now)
    assert list(oldest["timestamp"]) == list(everything["timestamp"].head(limit))


def test_a_symbol_outside_the_book_is_served_under_its_own_name(history) -> None:
    plain = Market(history, {})
    first = plain.symbols[0]
    assert (first.market, first.coinpaprika) == ("BTC", None)


def test_a_day_of_sentiment_appears_with_its_delay(market, start) -> None:
    day = datetime(2026, 1, 7, tzinfo=start.tzinfo)
    assert market.sentiment(day, timedelta(0))["timestamp"].iloc[-1] == day
    assert market.sentiment(day, timedelta(minutes=5))["timestamp"].iloc[-1] == day - timedelta(days=1)


@given(cut=st.integers(1, 400 * 60 - 1))
@settings(max_examples=40, deadline=None)
def test_turnover_of_adjoining_spans_adds_up(history, start, cut: int) -> None:
    tape = Tape(history.frames["BTC"])
    middle, end = start + timedelta(minutes=cut), start + 400 * HOUR
    parts = tape.turnover(start, middle) + tape.turnover(middle, end)
    assert np.isclose(parts, history.frames["BTC"]["volume"].sum(), rtol=1e-9)


def test_a_tape_has_no_price_before_its_first_candle(history, start) -> None:
    tape = Tape(history.frames["ETH"])
    assert tape.price(start) is None
    assert tape.turnover(start, start + HOUR) == 0
    assert tape.price(start + 100 * HOUR) == history.frames["ETH"]["open"].iloc[0]
