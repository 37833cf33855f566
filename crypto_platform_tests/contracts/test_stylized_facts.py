"""The simulated market shares the stylized facts of a real one; their ranges are measured, not guessed."""

from datetime import UTC, datetime

import pandas as pd
import pytest

from crypto_platform.replay.recorded import read_candles, recorded_symbols
from crypto_platform.replay.scenario import Scenario
from crypto_platform.replay.simulated import SimulatedMarket
from crypto_platform.replay.stylized import committed_ranges, ranges, yearly_facts

SYMBOLS = ("BTC", "ETH", "ADA", "SOL", "DOT")
EPOCH, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
SEEDS = range(5)
# sizes of autocorrelations that the simulation keeps at zero: it must not exceed the real ones, that is all
SMALL = ("return_autocorrelation_1_size", "return_autocorrelation_24_size")


@pytest.fixture(scope="module")
def simulated() -> pd.DataFrame:
    markets = (SimulatedMarket(Scenario(seed, EPOCH, SYMBOLS)) for seed in SEEDS)
    return pd.concat([yearly_facts({name: market.candles(name, EPOCH, END) for name in SYMBOLS}) for market in markets])


def test_the_ranges_are_those_of_the_recorded_history(recorded_data):
    recorded = {name: read_candles(recorded_data, name) for name in recorded_symbols(recorded_data)}
    measured, committed = ranges(yearly_facts(recorded)), committed_ranges()
    assert measured.keys() == committed.keys()
    for fact, found in measured.items():
        expected = committed[fact]
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-3), fact
        assert found.n == expected.n, fact


@pytest.mark.parametrize("fact", sorted(committed_ranges()))
def test_a_usual_simulated_year_lies_in_the_range_of_real_years(simulated, fact):
    """The median over symbols and seeds, and most of the single years."""
    found, real = simulated.loc[simulated["fact"] == fact, "value"], committed_ranges()[fact]
    low = 0.0 if fact in SMALL else real.low
    assert len(found) >= len(SEEDS) * len(SYMBOLS)
    assert low <= found.median() <= real.high
    assert found.between(low, real.high).mean() >= 0.75
