"""Exchanges: rows of Binance and of ccxt, and the names that are no exchange."""

import math

import pytest

from crypto_platform.errors import ConfigurationError
from crypto_platform.sources.exchange import BinanceCandles, ExchangeCandles, _following, parse_klines, parse_unified


def test_klines_keep_quote_volume_and_trades(payload):
    first, _ = parse_klines(payload("binance", "klines")).parsed
    assert first == (1735689600, 93576.0, 94509.42, 93489.03, 94401.14, 755.9901, 71083451.44, 126482)


def test_an_empty_quote_volume_is_nan(payload):
    _, second = parse_klines(payload("binance", "klines")).parsed
    assert math.isnan(second[6])
    assert second[7] == 75003


@pytest.mark.parametrize("row", ["abcdefghijkl", [], None, {}, [1] * 8, ["x"] * 12, [1735689600000000] + ["1"] * 11])
def test_a_kline_of_another_form_is_malformed(row):
    page = parse_klines([row])
    assert (page.parsed, page.malformed) == ([], [row])


def test_unified_rows_have_neither_quote_volume_nor_trades():
    (row,) = parse_unified([[1735689600000, 1.0, 3.0, 0.5, 2.0, 7.0]]).parsed
    assert row[:6] == (1735689600, 1.0, 3.0, 0.5, 2.0, 7.0)
    assert all(math.isnan(value) for value in row[6:])


@pytest.mark.parametrize("row", [[1735689600000, 1.0, 2.0], {}, None, [None] * 6, "abcdef"])
def test_a_unified_row_of_another_form_is_malformed(row):
    assert parse_unified([row]).malformed == [row]


def test_a_name_that_is_no_exchange_is_named():
    with pytest.raises(ConfigurationError, match="'mtgox'"):
        ExchangeCandles("mtgox")


def test_quotes_follow_the_exchange():
    assert BinanceCandles().quote == "USDT"
    assert ExchangeCandles("coinbase").quote == ExchangeCandles("kraken").quote == "USD"


HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("opened", "following"),
    [
        ([], 100 + 5),  # nothing: an outage, or before the listing
        ([98, 99], 100 + 5),  # only what precedes the page
        ([100, 101, 104], 105),
        ([99, 100, 101], 102),
        ([101, 10_000], 102),  # one row of an absurd time skips nothing
        ([5_000, 5_001], 1_000),  # the newest ones alone: nothing as old is kept
    ],
)
def test_the_page_after_one(opened, following):
    page = parse_unified([[hour * HOUR_MS, 1, 1, 1, 1, 1] for hour in opened])
    assert _following(page, 100 * HOUR_MS, 1_000 * HOUR_MS - 1, 5) == following * HOUR_MS
