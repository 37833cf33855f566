"""Which rows a fault hits, and that no fault spoils the frame it is given."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from crypto_platform.core.bars import CANDLE_COLUMNS, empty_candles
from crypto_platform.replay.effects import read_hours
from crypto_platform.replay.rows import ROWS, hit_rows

START = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def candles(walk) -> pd.DataFrame:
    return walk("BTC", 6, seed=1)[list(CANDLE_COLUMNS)]


def hit(candles: pd.DataFrame, argument: str | None, hours: float) -> list[int]:
    """Rows hit when the server's now is so many hours after the first row."""
    which = None if argument is None else read_hours(argument)
    mask = hit_rows(candles, which, START + timedelta(hours=hours))
    return [int(i) for i in mask.nonzero()[0]]


@pytest.mark.parametrize(
    ("argument", "hours", "rows"),
    [
        (None, 6, [2]),  # six closed: the earlier of the middle two
        (None, 5.5, [2]),  # five closed, one running
        (None, 1.5, [0]),
        (None, 0.5, [2]),  # none closed: the middle of all
        ("1", 5.5, [4]),
        ("2", 6, [4, 5]),
        ("100", 5.5, [0, 1, 2, 3, 4]),
        ("2026-01-05T03", 6, [3]),
        ("2026-01-05T05", 5.5, [5]),  # an hour that is named is hit while it runs, too
        ("2026-01-05T01/2026-01-05T03", 6, [1, 2]),
        ("2026-01-06T01", 6, []),
    ],
)
def test_the_rows_hit(candles: pd.DataFrame, argument: str | None, hours: float, rows: list[int]) -> None:
    assert hit(candles, argument, hours) == rows


def test_zeros_before_a_listing_are_not_hit(candles: pd.DataFrame) -> None:
    candles.loc[:3, ["open", "high", "low", "close"]] = 0.0
    assert hit(candles, None, 6) == [4]
    candles["close"] = 0.0
    assert hit(candles, None, 6) == []


@pytest.mark.parametrize("name", ROWS)
def test_a_fault_takes_any_page_and_leaves_it_as_it_was(candles: pd.DataFrame, name: str) -> None:
    effect = ROWS[name]
    argument = effect.read(name, None)
    for page in (candles, candles.head(1), empty_candles()):
        before = page.copy()
        changed = effect.apply(page, argument, START + timedelta(hours=5.5))
        pd.testing.assert_frame_equal(page, before)
        assert changed.dtypes.to_dict() == page.dtypes.to_dict()
        assert page.empty <= changed.empty
