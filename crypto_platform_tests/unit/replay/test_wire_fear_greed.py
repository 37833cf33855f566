"""alternative.me: all strings, newest first, and the bugs of its time_until_update and csv."""

import json
from datetime import UTC, datetime

import pandas as pd
import pytest

from crypto_platform.replay.wire import fear_greed
from crypto_platform.replay.wire.errors import VendorError

# the moment and days of the capture that the contract quotes
NOW = datetime.fromtimestamp(1772150400 + 86400 - 60068, UTC)


@pytest.fixture
def days() -> pd.DataFrame:
    stamps = pd.to_datetime([1771891200, 1772064000, 1772150400], unit="s", utc=True)  # one day is missing
    return pd.DataFrame({"timestamp": stamps, "value": [8, 11, 13], "classification": "Extreme Fear"})


def ask(days: pd.DataFrame, **params: str) -> dict:
    return json.loads(fear_greed.fng(fear_greed.parse_fng(params), days, NOW))


def test_the_captured_answer_comes_out_whole(days: pd.DataFrame) -> None:
    assert ask(days, limit="2") == {
        "name": "Fear and Greed Index",
        "data": [
            {
                "value": "13",
                "value_classification": "Extreme Fear",
                "timestamp": "1772150400",
                "time_until_update": "60068",
            },
            {"value": "11", "value_classification": "Extreme Fear", "timestamp": "1772064000"},
        ],
        "metadata": {"error": None},
    }


def test_the_limit_defaults_to_one_zero_is_all_and_too_many_is_all(days: pd.DataFrame) -> None:
    assert [len(ask(days, **asked)["data"]) for asked in ({}, {"limit": "0"}, {"limit": "99"})] == [1, 3, 3]


def test_only_the_first_row_tells_the_time_until_update(days: pd.DataFrame) -> None:
    rows = ask(days, limit="0")["data"]
    assert ["time_until_update" in row for row in rows] == [True, False, False]
    assert all(isinstance(value, str) for row in rows for value in row.values())


@pytest.mark.parametrize(
    ("date_format", "date"), [("us", "02-27-2026"), ("cn", "2026-02-27"), ("kr", "2026-02-27"), ("world", "27-02-2026")]
)
def test_a_date_format_makes_time_until_update_a_large_negative_number(
    days: pd.DataFrame, date_format: str, date: str
) -> None:
    row = ask(days, date_format=date_format)["data"][0]
    assert row["timestamp"] == date
    assert int(row["time_until_update"]) < -1_700_000_000


def test_the_negative_number_agrees_with_the_capture(days: pd.DataFrame) -> None:
    captured = -1772090347  # taken within a minute of the other capture
    assert abs(int(ask(days, date_format="world")["data"][0]["time_until_update"]) - captured) < 60


def test_csv_is_neither_json_nor_csv(days: pd.DataFrame) -> None:
    text = fear_greed.fng(fear_greed.parse_fng({"format": "csv", "limit": "2"}), days, NOW).decode()
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    assert "27-02-2026,13,Extreme Fear\n26-02-2026,11,Extreme Fear" in text


@pytest.mark.parametrize("params", [{"limit": "-1"}, {"limit": "x"}, {"format": "xml"}, {"date_format": "mars"}])
def test_an_error_is_a_text_in_metadata_without_data(params: dict[str, str]) -> None:
    with pytest.raises(VendorError) as refusal:
        fear_greed.parse_fng(params)
    assert refusal.value.payload["metadata"]["error"]
    assert not refusal.value.payload["data"]


def test_no_day_yet_gives_an_empty_list(days: pd.DataFrame) -> None:
    assert ask(days.iloc[:0])["data"] == []
