"""CryptoCompare and CoinDesk: envelopes, rows, and paging that leaves neither overlap nor hole."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import KeyRefusedError, MalformedResponseError, SourceRefusedError
from crypto_platform.sources import indices
from crypto_platform.sources.calls import RetryableError
from crypto_platform.sources.indices import (
    PAGE,
    STEP,
    check_histohour,
    check_hours,
    parse_histohour,
    parse_hours,
)
from crypto_platform.sources.rows import Page
from crypto_platform.sources.transport import Told
from crypto_platform.symbols import Symbol

BTC = Symbol("BTC", "Bitcoin", None, "BTC", default=True)


def test_histohour_volumes_are_base_then_quote(payload):
    page = parse_histohour(payload("cryptocompare", "histohour"))
    assert page.parsed[0][:-1] == (1779926400, 74348.55, 74478.39, 72476.19, 73531.95, 27233.93, 1995371003.86)
    assert math.isnan(page.parsed[0][-1])


def test_hours_are_read_by_name(payload):
    (row,) = parse_hours(payload("coindesk", "hours")).parsed
    expected = (1743033600, 80918.143479491, 81687.3200099306, 79504.1925683526, 80760.858361834)
    assert row[:5] == expected
    assert row[5:7] == (176014.818439654, 14215479274.9852)


@pytest.mark.parametrize(
    "damage", [{"close": "x"}, {"close": True}, {"time": None}, {"time": 1.78e12}, {"high": 1e999}]
)
def test_a_damaged_row_is_malformed_and_the_others_stay(payload, damage):
    answer = payload("cryptocompare", "histohour")
    answer["Data"]["Data"][1] |= damage
    page = parse_histohour(answer)
    assert (len(page.parsed), len(page.malformed)) == (1, 1)


def test_a_row_without_a_key_is_malformed(payload):
    answer = payload("coindesk", "hours")
    del answer["Data"][0]["QUOTE_VOLUME"]
    assert len(parse_hours(answer).malformed) == 1


def test_success_passes(payload):
    check_histohour(payload("cryptocompare", "histohour"))
    check_hours(payload("coindesk", "hours"))


def test_a_warning_keeps_the_data(payload):
    answer = payload("cryptocompare", "histohour") | {
        "HasWarning": True,
        "Type": 101,
        "Message": "over your rate limit",
    }
    check_histohour(answer)


def test_a_rate_limit_in_http_200_may_pass_after_its_cooldown(payload):
    with pytest.raises(RetryableError) as caught:
        check_histohour(payload("cryptocompare", "rate_limit"))
    assert caught.value.retry_after == 406


@pytest.mark.parametrize(
    ("cooldown", "seconds"),
    [(7, 7), (7.5, 7.5), ("7", 7), ("7.5", 7.5), (0, None), (-1, None), (None, None), ("soon", None), (True, None)],
)
def test_a_cooldown_comes_in_any_form(payload, cooldown, seconds):
    with pytest.raises(RetryableError) as caught:
        check_histohour(payload("cryptocompare", "rate_limit") | {"Cooldown": cooldown})
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    "error",
    [{"type": 99, "message": "over your rate limit"}, {"type": 2, "http_status_code": 429}, {"http_status_code": 503}],
)
def test_an_error_object_of_http_200_may_pass(error):
    with pytest.raises(RetryableError):
        check_hours({"Data": {}, "Err": error})


@pytest.mark.parametrize("status", [401, 402, 403])
def test_an_error_object_may_refuse_the_key(status):
    with pytest.raises(KeyRefusedError, match="CRYPTO_PLATFORM_COINDESK_API_KEY"):
        check_hours({"Data": {}, "Err": {"type": 2, "message": "API key required", "http_status_code": status}})


def test_an_unknown_market_is_refused_in_the_vendors_words(payload):
    with pytest.raises(SourceRefusedError, match="does not exist for this coin pair"):
        check_histohour(payload("cryptocompare", "unknown_market"))


def test_an_error_object_is_a_refusal(payload):
    with pytest.raises(SourceRefusedError, match="Instrument not found"):
        check_hours(payload("coindesk", "unknown_instrument_404"))


@pytest.mark.parametrize(
    "answer",
    [None, [], "x", {}, {"Response": "Success"}, {"Response": "Success", "Data": []}, {"Data": {}, "Err": {"type": 2}}],
)
def test_another_envelope_is_malformed(answer):
    with pytest.raises(MalformedResponseError):
        check_histohour(answer)


@pytest.mark.parametrize("answer", [None, [], {}, {"Data": {}, "Err": {}}])
def test_hours_in_another_envelope_are_malformed(answer):
    with pytest.raises(MalformedResponseError):
        check_hours(answer)


class Scripted(indices._IndexCandles):
    """An index with a listing and unreadable hours; counts what is asked."""

    name = "scripted"

    def __init__(self, listing: int, unreadable: frozenset[int] = frozenset(), *, zeros: bool = True) -> None:
        self.listing, self.unreadable, self.zeros = listing, unreadable, zeros
        self.n_pages = 0
        self.given: list[int] = []

    def _ask(self, symbol, upper, n_rows):
        assert 1 <= n_rows <= PAGE
        hours = range(upper // STEP - n_rows + 1, upper // STEP + 1)
        self.n_pages += 1
        page = Page()
        for hour in hours:
            if hour in self.unreadable:
                page.malformed.append({"time": hour})
            elif hour >= self.listing or self.zeros:
                values = (10.0, 12.0, 8.0, 11.0, 1.0) if hour >= self.listing else (0.0,) * 5
                page.parsed.append((hour * STEP, *values, 11.0, math.nan))
                page.raw.append({"time": hour})
                self.given.append(hour)
        return page, Told(Provenance.SIMULATED, None)


def at(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * STEP, UTC)


@settings(max_examples=30)
@given(
    st.integers(0, 9_000), st.integers(0, 9_000), st.integers(-10, 9_000), st.sets(st.integers(0, 9_000)), st.booleans()
)
def test_pages_have_no_overlap_and_no_hole_and_stop_at_the_listing(first, length, listing, unreadable, zeros):
    base = 480_000
    source = Scripted(base + listing, frozenset(base + hour for hour in unreadable), zeros=zeros)
    result = source.fetch_candles(BTC, at(base + first), at(base + first + length))
    got = [int(stamp.timestamp()) // STEP for stamp in result.rows["timestamp"]]
    wanted = range(max(base + first, base + listing), base + first + length)
    assert got == [hour for hour in wanted if hour not in source.unreadable]
    assert len(source.given) == len(set(source.given))
    assert source.n_pages <= 2 * (length // PAGE + 1)


def test_a_page_of_zeros_ends_the_backfill():
    source = Scripted(listing=480_000)
    source.fetch_candles(BTC, at(400_000), at(480_000 + PAGE))
    assert source.n_pages == 2


def test_a_zero_within_history_does_not_end_the_backfill():
    source = Scripted(listing=480_000)
    whole = source._ask

    def with_a_glitch(symbol, upper, n_rows):
        page, provenance = whole(symbol, upper, n_rows)
        page.parsed[0] = (page.parsed[0][0], *(0.0,) * 6, math.nan)
        return page, provenance

    source._ask = with_a_glitch
    result = source.fetch_candles(BTC, at(480_000), at(480_000 + 2 * PAGE))
    assert len(result.rows) == 2 * PAGE - 2


@pytest.mark.parametrize("hour", [0, 1, 470_000])
def test_a_row_of_an_absurd_time_does_not_end_the_backfill(hour):
    source = Scripted(listing=0)
    whole = source._ask

    def with_a_glitch(symbol, upper, n_rows):
        page, told = whole(symbol, upper, n_rows)
        page.parsed[3] = (hour * STEP, *page.parsed[3][1:])
        return page, told

    source._ask = with_a_glitch
    result = source.fetch_candles(BTC, at(480_000), at(480_000 + 3 * PAGE))
    assert len(result.rows) == 3 * PAGE - 3


def test_an_answer_that_ignores_the_upper_bound_is_malformed():
    source = Scripted(listing=0)
    newest = source._ask
    source._ask = lambda symbol, upper, n_rows: newest(symbol, 490_000 * STEP, n_rows)
    with pytest.raises(MalformedResponseError, match="BTC"):
        source.fetch_candles(BTC, at(480_000), at(480_010))


def test_flat_hours_without_volume_are_kept():
    page = Page([(480_000 * STEP, 10.0, 10.0, 10.0, 10.0, 0.0, 0.0, math.nan)], [{}], [])
    source = Scripted(0)
    source._ask = lambda *_: (page, Told(Provenance.LIVE, None))
    assert len(source.fetch_candles(BTC, at(480_000), at(480_001)).rows) == 1
