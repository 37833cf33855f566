"""Legacy histohour: shapes, units and HTTP-200 errors of the min-api."""

import pandas as pd
import pytest

from crypto_platform.replay.wire import cryptocompare
from crypto_platform.replay.wire.errors import VendorError
from crypto_platform.replay.wire.unconfirmed import Unconfirmed

ASSUMED = Unconfirmed()
ROW_KEYS = ["time", "high", "low", "open", "volumefrom", "volumeto", "close", "conversionType", "conversionSymbol"]


@pytest.fixture
def hours(walk) -> pd.DataFrame:
    return walk("BTC", 4, seed=1)


def refused(params: dict[str, str], unconfirmed: Unconfirmed = ASSUMED) -> dict:
    with pytest.raises(VendorError) as refusal:
        cryptocompare.parse_histohour(params, unconfirmed)
    assert refusal.value.status == 200
    return refusal.value.payload


def test_the_envelope_and_the_rows_have_the_captured_keys_in_order(hours: pd.DataFrame) -> None:
    body = cryptocompare.histohour(hours)
    assert list(body) == ["Response", "Message", "HasWarning", "Type", "RateLimit", "Data"]
    assert (body["Response"], body["Message"], body["HasWarning"], body["Type"], body["RateLimit"]) == (
        "Success",
        "",
        False,
        100,
        {},
    )
    assert list(body["Data"]) == ["Aggregated", "TimeFrom", "TimeTo", "Data"]
    assert all(list(row) == ROW_KEYS for row in body["Data"]["Data"])


def test_time_is_the_start_in_seconds_ascending_and_volumes_are_base_and_quote(hours: pd.DataFrame) -> None:
    data = cryptocompare.histohour(hours)["Data"]
    first, second = data["Data"][:2]
    assert first["time"] == int(hours["timestamp"].iloc[0].timestamp()) == data["TimeFrom"]
    assert second["time"] - first["time"] == 3600
    assert data["TimeTo"] - data["TimeFrom"] == 3 * 3600
    assert (first["volumefrom"], first["volumeto"]) == (hours["volume_base"].iloc[0], hours["volume"].iloc[0])
    assert [row["close"] for row in data["Data"]] == hours["close"].tolist()


def test_whole_numbers_come_as_integers_and_unknown_turnover_as_null(hours: pd.DataFrame) -> None:
    hours = hours.assign(close=42_000.0, volume=float("nan"))
    row = cryptocompare.histohour(hours)["Data"]["Data"][0]
    assert (repr(row["close"]), row["volumeto"]) == ("42000", None)


def test_the_v1_path_puts_rows_directly_in_data(hours: pd.DataFrame) -> None:
    body = cryptocompare.histohour_v1(hours)
    assert [list(row) for row in body["Data"]] == [ROW_KEYS[:7]] * 4
    assert body["TimeTo"] == body["Data"][-1]["time"]


def test_the_limit_defaults_to_168_and_goes_from_1_to_2000() -> None:
    pair = {"fsym": "btc", "tsym": "USD"}
    query = cryptocompare.parse_histohour(pair, ASSUMED)
    assert (query.market, query.limit, query.to) == ("BTC", 168, None)
    assert cryptocompare.parse_histohour(pair | {"limit": "2000", "toTs": "0"}, ASSUMED).to == 0
    body = refused(pair | {"limit": "2001"})
    assert (body["Response"], body["Message"], body["Type"]) == ("Error", "limit is larger than max value.", 2)
    assert refused(pair | {"limit": "0"})["Response"] == "Error"
    assert refused(pair | {"limit": "2001"}, Unconfirmed(cryptocompare_limit_error_type=1))["Type"] == 1


@pytest.mark.parametrize(
    ("params", "culprit"),
    [
        ({"tsym": "USD"}, "fsym"),
        ({"fsym": "BTC"}, "tsym"),
        ({"fsym": "BTC", "tsym": "USD", "toTs": "yesterday"}, "toTs"),
        ({"fsym": "BTC", "tsym": "USD", "toTs": "-1"}, "toTs"),
        ({"fsym": "BTC", "tsym": "USD", "limit": "many"}, "limit"),
        ({"fsym": "BTC", "tsym": "USD", "aggregate": "4"}, "aggregate"),
    ],
)
def test_a_bad_parameter_is_type_2_and_named(params: dict[str, str], culprit: str) -> None:
    body = refused(params)
    assert (body["Type"], body["ParamWithError"]) == (2, culprit)
    assert list(body)[:6] == ["Response", "Message", "HasWarning", "Type", "RateLimit", "Data"]


@pytest.mark.parametrize("extra", [{"tsym": "EUR"}, {"tsym": "USD", "e": "Kraken"}])
def test_a_market_that_is_not_replayed_is_type_1(extra: dict[str, str]) -> None:
    body = refused({"fsym": "BTC"} | extra)
    assert (body["Type"], body["Cooldown"], body["Data"]) == (1, 0, {})


def test_the_captured_error_texts() -> None:
    assert (
        cryptocompare.no_market("???").payload["Message"] == "CCCAGG market does not exist for this coin pair (???-USD)"
    )
    unknown = cryptocompare.unknown_symbol("BTC999").payload
    assert (unknown["Message"], unknown["ParamWithError"]) == ("There is no data for the symbol BTC999 .", "fsym")


def test_without_a_key_the_envelope_has_no_response() -> None:
    refusal = cryptocompare.key_required()
    assert (refusal.status, list(refusal.payload)) == (401, ["Data", "Err"])
    assert list(refusal.payload["Err"]) == ["type", "message", "http_status_code", "frontend"]
    assert refusal.payload["Err"]["message"].startswith("API key required, please refer to the documentation")
