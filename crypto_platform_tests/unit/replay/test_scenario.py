"""A scenario says all that makes a simulated market, and refuses what cannot be one."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.errors import ConfigurationError
from crypto_platform.replay.scenario import RegimeChange, Scenario

EPOCH = datetime(2026, 1, 5, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 20, tzinfo=UTC)
SYMBOLS = ("BTC", "ETH", "SOL")


@given(
    st.datetimes(pd.Timestamp("2020-01-01"), pd.Timestamp("2040-01-01"), timezones=st.just(UTC)),
    st.integers(1, 1500),
)
def test_a_scenario_around_now_has_room_a_listing_and_a_change(now, days_before):
    scenario = Scenario.around(now, days_before, SYMBOLS, seed=4)
    assert scenario.epoch.weekday() == 0
    assert timedelta(0) <= now - scenario.epoch - timedelta(days=days_before + 7) < timedelta(days=8)
    assert set(scenario.listings) == ({"SOL"} if days_before >= 90 else set())
    assert scenario.regime_change is not None
    assert timedelta(0) <= now - timedelta(days=4) - scenario.regime_change.hour < timedelta(hours=1)
    assert Scenario.from_json(scenario.to_json()) == scenario


def test_one_symbol_is_not_listed_late():
    assert not Scenario.around(NOW, 365, ("BTC",), seed=4).listings


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"seed": -1}, "seed"),
        ({"epoch": EPOCH + timedelta(hours=1)}, "epoch"),
        ({"epoch": EPOCH.replace(tzinfo=None)}, "epoch"),
        ({"symbols": ()}, "symbols"),
        ({"symbols": ("BTC", "BTC")}, "symbols"),
        ({"listings": {"XYZ": EPOCH}}, "listings"),
        ({"listings": {"BTC": EPOCH + timedelta(minutes=1)}}, "whole hours"),
        ({"regime_change": RegimeChange(EPOCH, 0.0, 1.0)}, "factors"),
        ({"edge": 0.6}, "edge"),
        ({"edge": float("nan")}, "edge"),
    ],
)
def test_an_impossible_scenario_is_refused_by_name(change, word):
    with pytest.raises(ConfigurationError, match=word):
        Scenario(**{"seed": 0, "epoch": EPOCH, "symbols": ("BTC",)} | change)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"seed": "x"}'])
def test_what_is_not_a_scenario_is_refused(text):
    with pytest.raises(ConfigurationError, match="to_json"):
        Scenario.from_json(text)
