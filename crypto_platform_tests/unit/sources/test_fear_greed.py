"""The index: texts are numbers, newest comes first, days may be missing."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import MalformedResponseError
from crypto_platform.sources.fear_greed import parse_fng

START, END = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)


def parse(answer, start=START, end=END):
    return parse_fng(answer, start, end, Provenance.SIMULATED)


def test_rows_come_out_ascending_with_integers(payload):
    frame = parse(payload("fear_greed", "fng")).rows
    assert frame["timestamp"].tolist() == [datetime(2026, 2, 26, tzinfo=UTC), datetime(2026, 2, 27, tzinfo=UTC)]
    assert frame["fear_greed_value"].tolist() == [11, 13]
    assert frame["fear_greed_value"].dtype == "int64"
    assert frame["fear_greed_classification"].tolist() == ["Extreme Fear"] * 2


def test_the_interval_is_half_open(payload):
    cut = datetime(2026, 2, 27, tzinfo=UTC)
    assert parse(payload("fear_greed", "fng"), end=cut).rows["fear_greed_value"].tolist() == [11]
    assert parse(payload("fear_greed", "fng"), start=cut).rows["fear_greed_value"].tolist() == [13]


@pytest.mark.parametrize(
    "answer", [None, [], "csv", {}, {"data": None}, {"data": []}, {"data": [{}], "metadata": {"error": "no"}}]
)
def test_an_answer_without_data_is_an_error(answer):
    with pytest.raises(MalformedResponseError):
        parse(answer)


def test_an_error_is_told_in_the_vendors_words(payload):
    with pytest.raises(MalformedResponseError, match="Something went wrong"):
        parse(payload("fear_greed", "error"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"value": "101"}, "outside_0_to_100"),
        ({"value": "-1"}, "outside_0_to_100"),
        ({"value": "13.5"}, "malformed"),
        ({"value": None}, "malformed"),
        ({"value": True}, "malformed"),
        ({"value_classification": None}, "malformed"),
        ({"value_classification": "x" * 41}, "malformed"),
        ({"value_classification": "Fear\x00"}, "malformed"),
        ({"timestamp": "1e9"}, "malformed"),
        ({"timestamp": "27-02-2026"}, "malformed"),
        ({"timestamp": "99999999999999999999"}, "malformed"),
        ({"timestamp": "1772150401"}, "off_grid"),
    ],
)
def test_a_damaged_day_is_rejected_and_the_others_stay(payload, damage, reason):
    answer = payload("fear_greed", "fng")
    answer["data"][0] |= damage
    result = parse(answer)
    assert result.rows["fear_greed_value"].tolist() == [11]
    assert [(r.source, r.symbol, r.reason) for r in result.rejected] == [("simulated:alternative.me", None, reason)]


def test_a_row_that_is_no_object_is_rejected(payload):
    answer = payload("fear_greed", "fng")
    answer["data"].append("x")
    assert [r.reason for r in parse(answer).rejected] == ["malformed"]


def test_a_day_twice_collapses_when_equal_and_is_believed_in_neither_form_when_not(payload):
    answer = payload("fear_greed", "fng")
    answer["data"] += [dict(answer["data"][1]), answer["data"][1] | {"value": "12"}]
    result = parse(answer)
    assert result.rows["fear_greed_value"].tolist() == [13]
    assert [r.reason for r in result.rejected] == ["contradictory"] * 2
    assert {json.loads(r.payload)["value"] for r in result.rejected} == {"11", "12"}


def test_a_day_ahead_of_the_vendors_clock_is_of_the_future(payload):
    newest = datetime(2026, 2, 27, tzinfo=UTC)
    for ahead, values in ((timedelta(minutes=4), [11, 13]), (timedelta(minutes=6), [11])):
        result = parse_fng(payload("fear_greed", "fng"), START, END, Provenance.LIVE, newest - ahead)
        assert result.rows["fear_greed_value"].tolist() == values
        assert [r.reason for r in result.rejected] == ["future"] * (2 - len(values))
