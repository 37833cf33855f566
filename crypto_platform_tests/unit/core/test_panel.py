"""The grid: short gaps filled, long and crowded ones split, and nothing decided by what comes later."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.core.panel import MAX_FILLED_IN_WINDOW, Panel, build_panel
from crypto_platform.errors import InvalidBarsError


def candles(hours: list[int], symbol: str = "BTC") -> pd.DataFrame:
    """Candles at these hours after an origin; the close counts up."""
    close = 100.0 + np.arange(len(hours))
    stamps = pd.Timestamp("2026-01-01", tz="UTC").as_unit("us") + pd.to_timedelta(hours, unit="h")
    return pd.DataFrame(
        {
            "symbol": symbol,
            "timestamp": stamps,
            "open": close,
            "high": close + 1,
            "low": close - 1,
            "close": close,
            "volume_base": 5.0,
        }
    )


def segments(panel: Panel) -> list[tuple[str, int, int]]:
    return list(zip(panel.symbols.tolist(), panel.starts.tolist(), panel.lengths.tolist(), strict=True))


def test_short_gap_becomes_flat_hours_without_volume() -> None:
    panel = build_panel(candles([0, 1, 4, 5]))
    assert panel.shape == (1, 6)
    np.testing.assert_array_equal(panel.is_filled[0], [False, False, True, True, False, False])
    for field in ("open", "high", "low", "close"):
        np.testing.assert_array_equal(getattr(panel, field)[0, 2:4], [101.0, 101.0])
    np.testing.assert_array_equal(panel.volume[0, 2:4], [0.0, 0.0])


def test_gap_above_two_hours_starts_a_segment() -> None:
    panel = build_panel(candles([0, 1, 5, 6]))
    np.testing.assert_array_equal(panel.lengths, [2, 2])
    assert not panel.is_filled.any()


def test_sixth_missing_hour_of_a_week_splits_and_a_later_one_is_filled_again() -> None:
    missing = [10, 11, 30, 31, 50, 60, 300]
    panel = build_panel(candles([h for h in range(400) if h not in missing]))
    assert [length for _, _, length in segments(panel)] == [60, 339]
    assert panel.is_filled[0, :60].sum() == MAX_FILLED_IN_WINDOW
    assert panel.is_filled[1, :339].sum() == 1


def test_hours_that_left_the_window_no_longer_count() -> None:
    # At 170 the window is 3 … 170: of the two hours missing at 2 and 3 one has left it.
    stays = build_panel(candles([h for h in range(200) if h not in (2, 3, 50, 51, 90, 169)]))
    splits = build_panel(candles([h for h in range(200) if h not in (3, 4, 50, 51, 90, 169)]))
    assert len(stays.lengths) == 1
    assert len(splits.lengths) == 2


def test_hours_after_the_last_candle_do_not_exist() -> None:
    both = build_panel(pd.concat([candles([0, 1, 2, 3]), candles([0, 1], "ETH")], ignore_index=True))
    np.testing.assert_array_equal(both.inside, [[True] * 4, [True, True, False, False]])
    assert np.isnan(both.close[1, 2:]).all()


def test_fallback_hour_keeps_its_price_and_takes_no_label() -> None:
    frame = candles([0, 1, 2]).assign(is_fallback=[False, True, False])
    panel = build_panel(frame)
    assert panel.close[0, 1] == 101.0
    assert not panel.is_filled[0, 1]
    np.testing.assert_array_equal(panel.unlabeled[0], [False, True, False])


@st.composite
def gappy_hours(draw: st.DrawFn) -> list[int]:
    steps = draw(st.lists(st.sampled_from([1] * 12 + [2, 3, 4, 30]), min_size=2, max_size=400))
    return np.cumsum(steps).tolist()


def _cells(panel: Panel) -> dict[int, tuple[int, bool, float]]:
    return {
        int(panel.hours[row, column]): (
            int(panel.starts[row]),
            bool(panel.is_filled[row, column]),
            float(panel.close[row, column]),
        )
        for row, column in np.argwhere(panel.inside)
    }


@settings(max_examples=60)
@given(hours=gappy_hours(), keep=st.floats(0.1, 0.9))
def test_withholding_the_future_changes_no_hour_before(hours: list[int], keep: float) -> None:
    frame = candles(hours)
    cut = frame.iloc[: max(1, int(keep * len(frame)))]
    whole = _cells(build_panel(frame))
    for hour, cell in _cells(build_panel(cut)).items():
        assert whole[hour] == cell


@settings(max_examples=60)
@given(hours=gappy_hours())
def test_segments_hold_every_candle_once_and_no_crowded_week(hours: list[int]) -> None:
    panel = build_panel(candles(hours))
    own = panel.inside & ~panel.is_filled
    assert own.sum() == len(hours)
    assert np.unique(panel.hours[own]).size == len(hours)
    for row, length in enumerate(panel.lengths):
        filled = panel.is_filled[row, :length].astype(int)
        assert np.convolve(filled, np.ones(168, dtype=int)).max() <= MAX_FILLED_IN_WINDOW
        assert not filled[[0, -1]].any()


@settings(max_examples=40)
@given(first=gappy_hours(), second=gappy_hours())
def test_symbols_do_not_touch_each_other(first: list[int], second: list[int]) -> None:
    a, b = candles(first, "A"), candles(second, "B")
    together = build_panel(pd.concat([a, b], ignore_index=True))
    assert segments(together) == segments(build_panel(a)) + segments(build_panel(b))


def test_missing_hours_of_one_symbol_are_not_counted_for_another() -> None:
    names = ("A", "B", "C")
    frames = [candles([h for h in range(100) if h not in (50, 51, 60, 61)], name) for name in names]
    assert len(build_panel(pd.concat(frames, ignore_index=True)).lengths) == len(names)


def test_blocks_are_the_panel_again_and_narrow() -> None:
    panel = build_panel(candles([h for h in range(700) if h not in range(50, 60) and h not in range(90, 99)]))
    blocks = list(panel.blocks(cells=200))
    assert [block.shape for block in blocks] == [(2, 50), (1, 601)]
    np.testing.assert_array_equal(
        np.concatenate([block.close[block.inside] for block in blocks]), panel.close[panel.inside]
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.iloc[[0, 2, 1, 3]], "out of order"),
        (lambda f: f.iloc[[0, 1, 1, 2]], "there twice"),
        (lambda f: pd.concat([f, f.assign(symbol="ETH"), f]), "BTC at .* is out of order"),
        (lambda f: f.assign(close=[1.0, np.nan, 1.0, 1.0]), "01:00.* price"),
        (lambda f: f.assign(low=[1.0, 1.0, 0.0, 1.0]), "02:00.* price"),
        (lambda f: f.assign(volume_base=[1.0, 1.0, 1.0, np.nan]), "03:00.* volume"),
        (lambda f: f.assign(timestamp=f["timestamp"] + pd.Timedelta(minutes=5)), "not on the hour"),
    ],
)
def test_unsound_candles_are_refused_by_name(spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str) -> None:
    with pytest.raises(InvalidBarsError, match=message):
        build_panel(spoil(candles([0, 1, 2, 3])))
