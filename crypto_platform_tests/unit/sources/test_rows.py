"""Whatever arrives, sound candles come out sorted, unique and inside the interval; the rest is named and kept."""

import math
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.core.bars import CANDLE_COLUMNS, rejection_reasons
from crypto_platform.core.provenance import Provenance
from crypto_platform.sources.base import PAYLOAD_LIMIT, Fetched
from crypto_platform.sources.rows import Page, candles_from, epoch_seconds, number, payload_text, read_rows

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=6)
EPOCH = START.timestamp()


def row(hour: float, close: float = 10.0, low: float = 5.0) -> tuple[float, ...]:
    return (EPOCH + 3600 * hour, 10.0, 20.0, low, close, 1.0, 10.0, math.nan)


def fetched(*rows: tuple[float, ...], malformed: tuple = (), clock: datetime | None = None) -> Fetched:
    page = Page(list(rows), list(rows), list(malformed))
    return candles_from(
        page, symbol="BTC", vendor="v", provenance=Provenance.RECORDED, start=START, end=END, clock=clock
    )


def hours(result: Fetched) -> list[float]:
    return [(stamp.timestamp() - EPOCH) / 3600 for stamp in result.rows["timestamp"]]


@pytest.mark.parametrize(("value", "read"), [(1, 1.0), (1.5, 1.5), ("1.5", 1.5), ("0", 0.0)])
def test_numbers_come_as_numbers_or_texts(value, read):
    assert number(value) == read


@pytest.mark.parametrize("value", [None, ""])
def test_missing_numbers_are_nan(value):
    assert math.isnan(number(value))


@pytest.mark.parametrize("value", ["NaN", "inf", 1e999, "x", True, [], {}, 10**400])
def test_anything_else_is_no_number(value):
    with pytest.raises((ValueError, TypeError, OverflowError)):
        number(value)


@pytest.mark.parametrize("value", [None, "", -1, 1_700_000_000_000, "soon"])
def test_a_time_of_another_unit_is_no_time(value):
    with pytest.raises((ValueError, TypeError)):
        epoch_seconds(value)


def test_milliseconds_are_scaled():
    assert epoch_seconds("1700000000000", 1000) == 1_700_000_000


def test_an_unreadable_row_is_kept_apart():
    page = read_rows([(1.0,), (), "x", None], lambda r: (float(r[0]),))
    assert (page.parsed, page.raw, page.malformed) == ([(1.0,)], [(1.0,)], [(), "x", None])


def test_rows_outside_the_half_open_interval_are_left_out_silently():
    result = fetched(row(-1), row(0), row(5), row(6))
    assert hours(result) == [0, 5]
    assert not result.rejected


@pytest.mark.parametrize("clock", [None, END + timedelta(minutes=30)])
def test_the_running_hour_is_left_out_and_one_that_has_not_begun_is_quarantined(clock):
    result = fetched(row(5), row(6), row(7), row(8), clock=clock)
    assert hours(result) == [5]
    assert [r.reason for r in result.rejected] == ["future"] * 2
    assert result.clock == clock


def test_history_is_no_future_of_a_vendor_whose_clock_is_known():
    assert fetched(row(9), clock=END + timedelta(hours=3)).rejected == ()


@pytest.mark.parametrize(("behind", "newest"), [(1, 4), (300, 4), (3600, 4), (3601, 5), (0, 5), (-300, 5)], ids=str)
def test_an_hour_that_runs_by_the_vendors_clock_is_left_out_though_ours_says_that_it_is_over(behind, newest):
    result = fetched(row(3), row(4), row(5), clock=END - timedelta(seconds=behind))
    assert hours(result)[-1] == newest
    assert result.rejected == ()


def test_an_hour_within_the_interval_is_of_the_future_where_the_vendors_clock_says_so():
    result = fetched(row(3), row(4), row(5), clock=START + timedelta(hours=4) - timedelta(seconds=30))
    assert hours(result) == [3, 4]
    assert [r.reason for r in result.rejected] == ["future"]


def test_equal_rows_of_an_hour_collapse_silently():
    result = fetched(row(1), row(0), row(1))
    assert hours(result) == [0, 1]
    assert not result.rejected


def test_of_contradicting_rows_the_first_stays_and_the_other_is_rejected():
    result = fetched(row(1, close=11), row(1, close=12))
    assert result.rows["close"].tolist() == [11]
    assert [r.reason for r in result.rejected] == ["duplicate"]
    assert "12" in result.rejected[0].payload


def test_an_unsound_row_does_not_push_out_a_sound_one_of_its_hour():
    result = fetched(row(1, close=-1), row(1, close=12))
    assert result.rows["close"].tolist() == [12]
    assert [r.reason for r in result.rejected] == ["non_positive_price"]


def test_rejected_rows_name_source_symbol_dataset_and_reason():
    result = fetched(row(0.5), malformed=({"odd": 1},))
    assert {(r.source, r.dataset, r.symbol) for r in result.rejected} == {("recorded:v", "ohlcv_data", "BTC")}
    assert sorted(r.reason for r in result.rejected) == ["malformed", "off_grid"]


def test_no_rows_give_an_empty_candle_frame():
    assert tuple(fetched().rows.columns) == CANDLE_COLUMNS
    assert tuple(fetched(row(-5)).rows.columns) == CANDLE_COLUMNS


def test_a_rejected_row_is_bounded():
    assert len(payload_text({"long": "x" * 10_000})) == PAYLOAD_LIMIT


rows = st.tuples(
    st.sampled_from([-1.0, 0.0, 0.25, 1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    st.sampled_from([-1.0, 0.0, 4.0, 10.0, 12.0, 25.0, math.nan]),
)


@settings(max_examples=50)
@given(st.lists(rows))
def test_what_comes_out_is_sound_sorted_unique_and_inside(drawn):
    result = fetched(*(row(hour, close) for hour, close in drawn))
    stamps = result.rows["timestamp"]
    assert stamps.is_monotonic_increasing
    assert stamps.is_unique
    assert ((stamps >= START) & (stamps < END)).all()
    assert (rejection_reasons(result.rows) == "").all()


@settings(max_examples=50)
@given(st.lists(rows))
def test_no_hour_with_a_sound_row_is_lost(drawn):
    result = fetched(*(row(hour, close) for hour, close in drawn))
    sound = {hour for hour, close in drawn if 0 <= hour < 6 and hour % 1 == 0 and 5 <= close <= 20}
    assert set(hours(result)) == sound


def test_the_page_is_not_changed():
    page = Page([row(1), row(0)], [row(1), row(0)], [])
    before = list(page.parsed)
    candles_from(page, symbol="BTC", vendor="v", provenance=Provenance.LIVE, start=START, end=END)
    pd.testing.assert_frame_equal(pd.DataFrame(before), pd.DataFrame(page.parsed))
