"""Stylized facts are measured on whole years of coins that move, with the known values of known series."""

import numpy as np
import pandas as pd
import pytest

from crypto_platform.replay.stylized import ranges, yearly_facts

YEAR = 8760


@pytest.fixture(scope="module")
def facts(walk):
    """Two independent walks with t(5) returns over 2026; a year too thin; a stablecoin."""
    whole = {name: walk(name, YEAR, seed, start="2026-01-01") for seed, name in enumerate(("A", "B"))}
    thin = walk("THIN", YEAR, 3, start="2026-01-01").drop(index=range(1000, 1500))
    prices = ["open", "high", "low", "close"]
    still = whole["A"].copy()
    still[prices] = 1 + (still[prices] / still[prices].mean().mean() - 1) * 1e-3
    return yearly_facts({**whole, "THIN": thin, "STILL": still})


def value(facts, fact):
    return facts.loc[facts["fact"] == fact, "value"]


def test_years_with_many_absent_hours_and_stablecoins_are_left_out(facts):
    assert set(facts["of"]) == {"A", "B", "A-B"}
    assert set(facts["year"]) == {2026}


def test_independent_returns_show_neither_memory_nor_company(facts):
    for fact in ("return_autocorrelation_1_size", "abs_return_autocorrelation_24", "return_cross_correlation"):
        assert (value(facts, fact).abs() < 4 / np.sqrt(YEAR)).all(), fact


def test_the_deviation_is_that_of_the_walk(facts):
    """0.006 × SD of t(5)."""
    assert value(facts, "return_deviation").to_numpy() == pytest.approx(0.006 * np.sqrt(5 / 3), rel=0.05)


def test_a_return_over_absent_hours_counts_for_nothing(walk):
    frame = walk("A", YEAR, 1, start="2026-01-01")
    prices = ["open", "high", "low", "close"]
    frame.loc[5000:, prices] *= 10
    holed = frame.drop(index=range(5000, 5010))
    assert value(yearly_facts({"A": holed}), "return_deviation").item() < 0.01
    assert value(yearly_facts({"A": frame}), "return_deviation").item() > 0.02


def test_ranges_are_quantiles_over_the_measured_years():
    facts = pd.DataFrame({"year": 2026, "of": "A", "fact": "x", "value": np.arange(101.0)})
    found = ranges(facts)["x"]
    assert (found.low, found.high, found.n) == (5.0, 95.0, 101)
