"""Labels: what came next, and nothing where that is not known."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from crypto_platform.core.labels import directions, forward_returns
from crypto_platform.core.panel import build_panel
from crypto_platform.tables.features import HORIZONS


@pytest.mark.parametrize("horizon", HORIZONS)
def test_label_is_the_return_to_the_candle_that_many_hours_later(
    walk: Callable[..., pd.DataFrame], horizon: int
) -> None:
    frame = walk("BTC", 50, seed=4)
    close = dict(zip(frame["timestamp"], frame["close"], strict=True))
    returns = forward_returns(build_panel(frame), horizon)[0]
    for i, stamp in enumerate(frame["timestamp"]):
        later = stamp + pd.Timedelta(hours=horizon)
        if later in close:
            assert returns[i] == close[later] / close[stamp] - 1
        else:
            assert np.isnan(returns[i])


def test_filled_hours_and_other_segments_have_no_label(walk: Callable[..., pd.DataFrame]) -> None:
    frame = walk("BTC", 40, seed=4).drop(index=[10, *range(20, 25)])
    first, second = forward_returns(build_panel(frame), 3)
    assert np.flatnonzero(np.isnan(first[:20])).tolist() == [7, 10, 17, 18, 19]
    assert np.flatnonzero(np.isnan(second[:15])).tolist() == [12, 13, 14]


def test_fallback_hours_have_no_label_at_either_end(walk: Callable[..., pd.DataFrame]) -> None:
    frame = walk("BTC", 10, seed=4).assign(is_fallback=np.arange(10) == 5)
    assert np.flatnonzero(np.isnan(forward_returns(build_panel(frame), 1)[0])).tolist() == [4, 5, 9]


def test_an_unchanged_price_is_a_return_of_zero_without_direction(walk: Callable[..., pd.DataFrame]) -> None:
    frame = walk("BTC", 5, seed=4)
    frame.loc[3, ["open", "high", "low", "close"]] = frame.loc[2, "close"]
    returns = forward_returns(build_panel(frame), 1)
    assert returns[0, 2] == 0.0
    assert np.isnan(directions(returns)[0, 2])
    np.testing.assert_array_equal(directions(returns)[0, [0, 1, 3]], returns[0, [0, 1, 3]] > 0)


def test_horizon_beyond_the_panel_gives_no_label(walk: Callable[..., pd.DataFrame]) -> None:
    assert np.isnan(forward_returns(build_panel(walk("BTC", 5, seed=4)), 7)).all()
