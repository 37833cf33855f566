"""The bounds of the data checks do on recorded history what their declarations and ADR 9 say."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

if importlib.util.find_spec("benchmarks") is None:
    pytest.skip("the folder `benchmarks` of the repository is not importable here", allow_module_level=True)

from benchmarks import recorded
from crypto_platform.core.agreement import TOLERANCE

ROOT = Path(recorded.__file__).parents[1]


@pytest.fixture(scope="module")
def failing(recorded_data: Path) -> pd.Series:
    """Days on which Gemini beside Binance would have failed."""
    if not (recorded_data / "ohlcv_1h_dirty").is_dir():
        pytest.skip("the recorded data has no second venue")
    return recorded.days_that_fail(recorded.binance(recorded_data, "BTC")["close"], recorded.gemini(recorded_data))


def test_a_calm_year_has_no_false_alarm(failing: pd.Series) -> None:
    assert not failing["2020"].any()
    assert len(failing["2020"]) == 365


@pytest.mark.parametrize("day", ["2017-12-24", "2018-01-17", "2018-10-16", "2018-11-25", "2019-04-27"])
def test_days_on_which_dollar_and_tether_parted_are_seen(failing: pd.Series, day: str) -> None:
    assert failing[day]


def test_the_table_of_the_record_is_the_one_the_script_makes(recorded_data: Path, failing: pd.Series) -> None:
    record = ROOT / "docs" / "adr" / "0009-cross-source-tolerance.md"
    if not record.exists():
        pytest.skip("an installed package has no docs folder: run the tests from a checkout")
    assert recorded.tolerance_table(recorded_data) in record.read_text("utf-8")
    assert f"above {TOLERANCE:.0%}".replace("%", " %") in record.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("symbol", ["ETH", "DOT", "BUSD"])
def test_outliers_are_a_handful_a_year(recorded_data: Path, symbol: str) -> None:
    hours = float(recorded.outlier_row(recorded_data, symbol).split("|")[3])
    assert hours == 0 if symbol == "BUSD" else 1 < hours < 10
