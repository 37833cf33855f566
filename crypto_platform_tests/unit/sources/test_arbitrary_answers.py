"""Whatever JSON a vendor sends: an error of ours or sound rows, never anything else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.core.bars import rejection_reasons
from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import PlatformError
from crypto_platform.sources import exchange
from crypto_platform.sources.base import PAYLOAD_LIMIT, Fetched
from crypto_platform.sources.calls import RetryableError
from crypto_platform.sources.coinpaprika import parse_tickers
from crypto_platform.sources.fear_greed import parse_fng
from crypto_platform.sources.indices import check_histohour, check_hours, parse_histohour, parse_hours
from crypto_platform.sources.rows import Page, candles_from, payload_text
from crypto_platform.tables import market_data
from crypto_platform.tables.render.frames import broken_rules

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=6)
CLOCK = END + timedelta(minutes=5)
HOURS = [int(START.timestamp()) + 3600 * i for i in range(-1, 9)]
DAYS = [int(START.timestamp()) + 86_400 * i for i in range(-2, 4)]
WANTED = {"btc-bitcoin": "BTC", "eth-ethereum": "ETH"}

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**310)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["", "NaN", "-Infinity", "1e999", "1_0", "１２", "\ud800", "\x00", "0x1p3", "x" * 3000])
)
values = st.recursive(
    scalars, lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=3), of, max_size=3), max_leaves=6
)
numbers = st.sampled_from([0, 1, 10.5, "10.5", "11", 12, -1]) | values
times = st.sampled_from([*HOURS, *(1000 * hour for hour in HOURS), *map(str, HOURS)]) | values


def objects(**fields: Any) -> Any:
    """Objects with some of these fields, or something else altogether."""
    return st.fixed_dictionaries({}, optional=fields) | values


def rows_of(row: Any) -> Any:
    return st.lists(row, max_size=8) | values


prices = ("open", "high", "low", "close", "volumefrom", "volumeto")
histohours = objects(
    Response=st.sampled_from(["Success", "Success", "Error"]) | values,
    Type=st.sampled_from([1, 99, 100]) | values,
    Cooldown=values,
    Message=values,
    HasWarning=values,
    Data=objects(Data=rows_of(objects(time=times, **dict.fromkeys(prices, numbers)))),
)
fields = ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "QUOTE_VOLUME")
hours = objects(
    Err=st.just({}) | objects(type=values, message=values, http_status_code=st.sampled_from([401, 429, 500]) | values),
    Data=rows_of(objects(TIMESTAMP=times, **dict.fromkeys(fields, numbers))),
)
klines = st.lists(st.lists(times | numbers, min_size=6, max_size=12) | values, max_size=8)
stamps = st.sampled_from(["2026-01-01T06:00:00Z", "2026-01-01T06:00:00", "2262-01-01T00:00:00Z"]) | values
tickers = st.lists(
    objects(
        id=st.sampled_from([*WANTED, "other"]) | values,
        last_updated=stamps | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
        circulating_supply=numbers,
        total_supply=numbers,
        quotes=objects(USD=objects(price=numbers, market_cap=numbers, volume_24h=numbers, percent_change_24h=numbers)),
    ),
    max_size=6,
)
indices = objects(
    metadata=st.just({"error": None}) | values,
    data=rows_of(
        objects(
            value=st.sampled_from(["0", "13", "100", "101"]) | values,
            value_classification=st.sampled_from(["Fear", "Greed"]) | values,
            timestamp=st.sampled_from([*DAYS, *map(str, DAYS)]) | values,
        )
    ),
)


def assert_candles_are_sound(page: Page) -> None:
    fetched = candles_from(
        page, symbol="BTC", vendor="v", provenance=Provenance.LIVE, start=START, end=END, clock=CLOCK
    )
    stamps = fetched.rows["timestamp"]
    assert ((stamps >= START) & (stamps < END)).all()
    assert stamps.is_unique
    assert stamps.is_monotonic_increasing
    assert (rejection_reasons(fetched.rows) == "").all()
    assert_are_storable(fetched)


def assert_are_storable(fetched: Fetched) -> None:
    for refused in fetched.rejected:
        assert refused.reason
        assert len(refused.payload) <= PAYLOAD_LIMIT
        refused.payload.encode()
        assert "\x00" not in refused.payload


@pytest.mark.parametrize("check_and_parse", [(check_histohour, parse_histohour), (check_hours, parse_hours)])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_an_index(check_and_parse, data):
    check, parse = check_and_parse
    payload = data.draw(histohours if check is check_histohour else hours)
    try:
        check(payload)
    except (PlatformError, RetryableError):
        return
    assert_candles_are_sound(parse(payload))


@pytest.mark.parametrize("parse", [exchange.parse_klines, exchange.parse_unified])
@settings(max_examples=150, deadline=None)
@given(rows=klines)
def test_an_exchange(parse, rows):
    assert_candles_are_sound(parse(rows))


@settings(max_examples=150, deadline=None)
@given(klines, st.integers(1, 1000))
def test_an_exchange_moves_on(rows, length):
    """The next page begins after this one's beginning, whatever the page holds."""
    since, until = 1000 * HOURS[1], 1000 * HOURS[7] - 1
    assert exchange._following(exchange.parse_unified(rows), since, until, length) > since


@settings(max_examples=200, deadline=None)
@given(tickers)
def test_snapshots(sent):
    fetched = parse_tickers(sent, WANTED, Provenance.LIVE, CLOCK)
    assert (broken_rules(market_data, fetched.rows) == "").all()
    assert fetched.rows["price_usd"].notna().all()
    assert fetched.rows["symbol"].is_unique
    assert (fetched.rows["timestamp"] <= CLOCK + timedelta(minutes=5)).all()
    assert_are_storable(fetched)


@settings(max_examples=200, deadline=None)
@given(indices)
def test_the_sentiment_index(sent):
    end = START + timedelta(days=9)
    try:
        fetched = parse_fng(sent, START, end, Provenance.LIVE, CLOCK)
    except PlatformError:
        return
    days = fetched.rows["timestamp"]
    assert ((days >= START) & (days < end) & (days <= CLOCK + timedelta(minutes=5))).all()
    assert days.is_unique
    assert (days == days.dt.floor("D")).all()
    assert fetched.rows["fear_greed_value"].between(0, 100).all()
    assert fetched.rows["fear_greed_classification"].map(lambda words: words.isprintable() and len(words) <= 40).all()
    assert_are_storable(fetched)


def test_what_is_nested_without_end_can_be_kept():
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    assert len(payload_text(nested)) <= PAYLOAD_LIMIT
    while nested:  # unwound by hand: the interpreter would recurse
        (nested,) = nested


def test_a_year_that_no_frame_holds_is_refused():
    ticker = {"id": "btc-bitcoin", "last_updated": "0001-01-01T00:00:00Z", "quotes": {"USD": {"price": 1}}}
    assert [r.reason for r in parse_tickers([ticker], WANTED, Provenance.LIVE).rejected] == ["malformed"]
    assert isinstance(parse_tickers([], WANTED, Provenance.LIVE).rows, pd.DataFrame)
