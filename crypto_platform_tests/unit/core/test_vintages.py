"""Which clock a file keeps, and what candles with copied opens say of themselves; crashes stay."""

import numpy as np
import pandas as pd
import pytest

from crypto_platform.core.vintages import (
    CARRIED_HOURS,
    CONTRADICTED_CLOSE,
    CONTRADICTED_OPEN,
    UNCONFIRMED,
    best_clock,
    clock_quality,
    contradictions,
    filled_hours,
    opens_are_carried,
)

HOURS = 1_600_000_000 // 3600 * 3600 + 3600 * np.arange(100.0)


def carried(hours: int = 200, seed: int = 1) -> pd.DataFrame:
    """Candles whose opens are the closes before, traded steadily."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, hours)))
    opened = np.r_[100.0, close[:-1]]
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2020-01-01", periods=hours, freq="h", tz="UTC", unit="us"),
            "open": opened,
            "high": np.maximum(opened, close) * 1.001,
            "low": np.minimum(opened, close) / 1.001,
            "close": close,
            "volume_base": rng.uniform(50, 100, hours),
        }
    )


def test_a_true_clock_beats_a_rounded_one() -> None:
    rounded = np.round(HOURS, -6)  # a spreadsheet's 1.6E+09
    assert best_clock([rounded, HOURS]) == 1


def test_a_true_clock_beats_one_without_morning_and_afternoon() -> None:
    twelve = HOURS - 43_200 * ((HOURS // 3600) % 24 >= 12)
    assert best_clock([twelve, HOURS]) == 1


def test_a_true_clock_beats_one_with_day_and_month_exchanged() -> None:
    """Each hour of a day stays whole: the days are what no longer follow one another."""
    scattered = HOURS + (HOURS // 86_400 % 2) * 86_400 * 365
    assert best_clock([scattered, HOURS]) == 1


def test_of_equal_clocks_the_first_is_taken_and_gaps_cost_nothing_but_themselves() -> None:
    assert best_clock([HOURS, HOURS + 3600]) == 0
    assert clock_quality(np.delete(HOURS, 50)) == (97, 99)


def test_what_cannot_be_read_or_lies_off_the_hour_counts_for_nothing() -> None:
    assert clock_quality(np.array([np.nan, -3600.0, 3601.0, 2.0**40 * 3600])) == (0, 0)


def test_copied_opens_are_seen_through_some_breaks() -> None:
    frame = carried()
    frame.loc[[20, 60], "open"] *= 1.0001
    assert opens_are_carried(frame)


def test_real_opens_are_not_taken_for_copied_ones() -> None:
    """The stablecoin nearest to it opens at the last close in 0.76 of 500 hours."""
    frame = carried(1000)
    real = np.random.default_rng(2).random(1000) > 0.76
    frame.loc[real, "open"] = frame["close"][real]
    assert not opens_are_carried(frame)


def test_hours_without_a_range_say_nothing_of_opens() -> None:
    frame = carried()
    for name in ("open", "high", "low", "close"):
        frame[name] = 1.0
    assert not opens_are_carried(frame)


def test_few_hours_say_nothing_of_opens() -> None:
    assert not opens_are_carried(carried(CARRIED_HOURS))
    assert opens_are_carried(carried(CARRIED_HOURS + 1))


def test_both_sides_of_a_contradiction_are_named() -> None:
    frame = carried()
    frame.loc[80, "open"] *= 1.0001
    reasons = contradictions(frame)
    assert {int(i): reasons[i] for i in np.flatnonzero(reasons != "")} == {
        79: CONTRADICTED_CLOSE,
        80: CONTRADICTED_OPEN,
    }


def test_a_first_open_that_nothing_confirms_and_that_makes_the_range_is_named() -> None:
    frame = carried()
    frame.loc[0, ["open", "high"]] = 380.0
    assert contradictions(frame)[0] == UNCONFIRMED
    assert not contradictions(frame)[1:].any()


def test_a_first_open_within_its_range_stays() -> None:
    assert not contradictions(carried()).any()


def test_after_a_gap_the_last_close_confirms_an_open_and_any_other_at_the_edge_is_doubted() -> None:
    frame = carried()
    kept = frame.drop(index=range(100, 110)).reset_index(drop=True)
    kept.loc[100, ["open", "high"]] = kept["high"][100] * 2
    assert contradictions(kept)[100] == UNCONFIRMED
    kept.loc[100, ["open", "low"]] = kept["close"][99]
    kept.loc[100, ["low"]] = min(kept["open"][100], kept["close"][100])
    assert contradictions(kept)[100] == ""


@pytest.mark.parametrize("fall", [0.5, 0.01, np.exp(-10.3)])
def test_a_crash_is_no_contradiction(fall: float) -> None:
    """Hours of LINK and AVAX on Binance have high/low of e^10.3 and e^1.95."""
    frame = carried()
    frame.loc[90, "low"] *= fall
    frame.loc[120, ["low", "close"]] = frame["close"][120] * fall
    frame.loc[121, ["open", "low"]] = frame["close"][120]
    assert opens_are_carried(frame)
    assert not contradictions(frame).any()


def halted(frame: pd.DataFrame, rows: range) -> pd.DataFrame:
    at = frame["close"][rows.start - 1]
    frame.loc[list(rows), ["open", "high", "low", "close"]] = at
    frame.loc[list(rows), "volume_base"] = 0.0
    frame.loc[rows.stop, "open"] = at
    return frame


def test_hours_filled_into_a_steady_market_are_found() -> None:
    found = filled_hours(halted(carried(), range(100, 107)))
    assert np.flatnonzero(found).tolist() == list(range(100, 107))


def test_an_hour_without_a_trade_in_a_thin_market_stays() -> None:
    frame = carried()
    frame["volume_base"] = np.exp(np.random.default_rng(3).normal(0, 2, len(frame)))
    assert not filled_hours(halted(frame, range(100, 102))).any()


def test_an_hour_without_a_trade_stays_where_too_few_hours_stand_around_it() -> None:
    assert not filled_hours(halted(carried(12), range(5, 6))).any()


def test_frames_are_left_alone() -> None:
    frame = halted(carried(), range(50, 52))
    before = frame.copy()
    opens_are_carried(frame), contradictions(frame), filled_hours(frame)
    pd.testing.assert_frame_equal(frame, before)
