"""Laws of sound candles."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from crypto_platform.core.bars import CANDLE_COLUMNS, empty_candles, rejection_reasons


@pytest.fixture
def sound(walk: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return walk("BTC", 20, seed=1)[list(CANDLE_COLUMNS)]


def test_sound_candles_have_no_reason(sound: pd.DataFrame) -> None:
    assert rejection_reasons(sound).eq("").all()
    assert rejection_reasons(sound.assign(volume=np.nan, trades=np.nan)).eq("").all()
    assert rejection_reasons(empty_candles()).empty


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"open": np.nan}, "non_finite_price"),
        ({"high": np.inf}, "non_finite_price"),
        ({"low": 0.0}, "non_positive_price"),
        ({"close": -1.0}, "non_positive_price"),
        ({"high": 1e-9}, "high_below_low"),
        ({"close": 1e9}, "close_outside_range"),
        ({"open": 1e9}, "open_outside_range"),
        ({"volume_base": np.nan}, "non_finite_volume"),
        ({"volume_base": -1.0}, "negative_volume"),
        ({"volume": -1.0}, "negative_quote_volume"),
    ],
)
def test_a_broken_rule_is_named_and_the_neighbors_are_left_alone(
    sound: pd.DataFrame, changes: dict[str, float], reason: str
) -> None:
    before = sound.copy()
    before.loc[7, list(changes)] = list(changes.values())
    reasons = rejection_reasons(before)
    assert reasons[7] == reason
    assert reasons.drop(7).eq("").all()


def test_hours_off_the_grid_and_repeated_ones_are_named(sound: pd.DataFrame) -> None:
    off = sound.copy()
    off.loc[3, "timestamp"] += pd.Timedelta(minutes=1)
    assert rejection_reasons(off)[3] == "off_grid"
    twice = pd.concat([sound, sound.iloc[[3]]], ignore_index=True)
    assert rejection_reasons(twice).tolist() == [*[""] * 20, "duplicate"]


def test_reasons_keep_the_index_and_leave_the_candles_alone(sound: pd.DataFrame) -> None:
    shuffled = sound.sample(frac=1, random_state=1)
    copy = shuffled.copy()
    assert rejection_reasons(shuffled).index.equals(shuffled.index)
    pd.testing.assert_frame_equal(shuffled, copy)
