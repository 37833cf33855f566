"""CoinDesk hours: keys of the captured row, N rows, groups, and errors with real status codes."""

from datetime import timedelta

import pandas as pd
import pytest

from crypto_platform.replay.wire import coindesk
from crypto_platform.replay.wire.errors import VendorError
from crypto_platform.replay.wire.unconfirmed import Unconfirmed

ASSUMED = Unconfirmed()
ASKED = {"market": "cadli", "instrument": "BTC-USD"}
CAPTURED = [
    "UNIT",
    "TIMESTAMP",
    "TYPE",
    "MARKET",
    "INSTRUMENT",
    "OPEN",
    "HIGH",
    "LOW",
    "CLOSE",
    "FIRST_MESSAGE_TIMESTAMP",
    "LAST_MESSAGE_TIMESTAMP",
    "FIRST_MESSAGE_VALUE",
    "HIGH_MESSAGE_VALUE",
    "HIGH_MESSAGE_TIMESTAMP",
    "LOW_MESSAGE_VALUE",
    "LOW_MESSAGE_TIMESTAMP",
    "LAST_MESSAGE_VALUE",
    "TOTAL_INDEX_UPDATES",
    "VOLUME",
    "QUOTE_VOLUME",
    "VOLUME_TOP_TIER",
    "QUOTE_VOLUME_TOP_TIER",
    "VOLUME_DIRECT",
    "QUOTE_VOLUME_DIRECT",
    "VOLUME_TOP_TIER_DIRECT",
    "QUOTE_VOLUME_TOP_TIER_DIRECT",
]


@pytest.fixture
def hours(walk) -> pd.DataFrame:
    return walk("BTC", 3, seed=1).assign(carried=[False, True, False])


def render(hours: pd.DataFrame, **params: str) -> list[dict]:
    query = coindesk.parse_hours(ASKED | params, ASSUMED)
    now = hours["timestamp"].iloc[-1].to_pydatetime() + timedelta(minutes=20)
    body = coindesk.hours(query, hours, now, ASSUMED)
    assert list(body) == ["Data", "Err"]
    assert body["Err"] == {}
    return body["Data"]


def refused(params: dict[str, str]) -> VendorError:
    with pytest.raises(VendorError) as refusal:
        coindesk.parse_hours(params, ASSUMED)
    return refusal.value


def test_a_row_has_the_captured_keys(hours: pd.DataFrame) -> None:
    first = render(hours)[0]
    assert sorted(first) == sorted(CAPTURED)
    assert (first["UNIT"], first["MARKET"], first["INSTRUMENT"]) == ("HOUR", "cadli", "BTC-USD")
    assert isinstance(first["TYPE"], str)


def test_values_are_those_of_the_candle_in_base_and_quote_units(hours: pd.DataFrame) -> None:
    rows, candle = render(hours), hours.iloc[0]
    first = rows[0]
    assert [row["TIMESTAMP"] for row in rows] == [int(stamp.timestamp()) for stamp in hours["timestamp"]]
    assert (first["OPEN"], first["HIGH"], first["LOW"], first["CLOSE"]) == tuple(
        candle[["open", "high", "low", "close"]]
    )
    assert (first["VOLUME"], first["QUOTE_VOLUME"]) == (candle["volume_base"], candle["volume"])


def test_the_last_message_tells_the_running_hour_from_a_finished_one(hours: pd.DataFrame) -> None:
    finished, _, running = render(hours)
    assert finished["LAST_MESSAGE_TIMESTAMP"] == finished["TIMESTAMP"] + 3599
    assert running["LAST_MESSAGE_TIMESTAMP"] == running["TIMESTAMP"] + 1200


def test_an_hour_without_trades_has_no_messages(hours: pd.DataFrame) -> None:
    assert not [key for key in render(hours)[1] if "MESSAGE" in key]


def test_what_the_history_does_not_hold_is_null(hours: pd.DataFrame) -> None:
    row = render(hours.assign(volume=float("nan")))[0]
    unknown = {"QUOTE_VOLUME", "HIGH_MESSAGE_TIMESTAMP", "LOW_MESSAGE_TIMESTAMP"} | {
        k for k in row if "TIER" in k or "DIRECT" in k
    }
    assert {key for key, value in row.items() if value is None} == unknown


def test_groups_reduce_the_row(hours: pd.DataFrame) -> None:
    row = render(hours, groups="OHLC,VOLUME")[0]
    assert list(row)[:7] == ["UNIT", "TIMESTAMP", "TYPE", "OPEN", "HIGH", "LOW", "CLOSE"]
    assert not {"MARKET", "LAST_MESSAGE_TIMESTAMP", "LAST_MESSAGE_VALUE"} & set(row)


def test_defaults_and_the_unconfirmed_default_limit() -> None:
    query = coindesk.parse_hours(ASKED, ASSUMED)
    assert (query.limit, query.to, query.fill) == (168, None, True)
    assert coindesk.parse_hours(ASKED, Unconfirmed(coindesk_default_limit=30)).limit == 30
    assert not coindesk.parse_hours(ASKED | {"fill": "false"}, ASSUMED).fill


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"market": ""}, "market"),
        ({"market": "binance"}, "market"),
        ({"instrument": ""}, "instrument"),
        ({"limit": "2001"}, "limit"),
        ({"limit": "0"}, "limit"),
        ({"to_ts": "-5"}, "to_ts"),
        ({"aggregate": "2"}, "aggregate"),
        ({"response_format": "CSV"}, "response_format"),
        ({"groups": "OHLC,MAGIC"}, "groups"),
    ],
)
def test_a_bad_parameter_is_a_real_400_that_names_it(change: dict[str, str], culprit: str) -> None:
    refusal = refused(ASKED | change)
    assert refusal.status == 400
    assert list(refusal.payload) == ["Data", "Err"]
    assert list(refusal.payload["Err"]) == ["type", "message", "other_info"]
    assert refusal.payload["Err"]["other_info"]["param"] == culprit


def test_before_listing_can_be_a_404_with_the_first_hour(hours: pd.DataFrame) -> None:
    listed = hours["timestamp"].iloc[0].to_pydatetime()
    refusal = coindesk.before_listing(listed)
    assert (refusal.status, refusal.payload["Err"]["other_info"]["first"]) == (404, int(listed.timestamp()))
