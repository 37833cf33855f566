"""Every feature equals an oracle that shares no code with it, whole segments after warm-up and seeds included.

The oracles are those of `validation/oracles.py`; `make oracles` compares recorded history with them, too.
"""

import importlib.util
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from crypto_platform.core.formulas import REGISTRY, Inputs
from crypto_platform.core.panel import build_panel
from crypto_platform.tables.features import PARTS

if importlib.util.find_spec("validation") is None:
    pytest.skip("the folder `validation` of the repository is not importable here", allow_module_level=True)

from validation import feature_oracles
from validation.feature_oracles import Measured, World
from validation.oracles import SEEDED, TALIB, oracles
from validation.segments import segments


@pytest.fixture(scope="module")
def traded(walk: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """Three segments of two symbols, every hour traded."""
    btc = walk("BTC", 900, seed=11, price=40_000)
    eth = walk("ETH", 1000, seed=12).drop(index=range(480, 490))
    return pd.concat([btc, eth], ignore_index=True)


@pytest.fixture(scope="module")
def inputs(traded: pd.DataFrame) -> Inputs:
    panel = build_panel(traded)
    assert panel.shape[0] == 3
    return Inputs(panel)


@pytest.fixture(scope="module")
def world() -> World:
    """Gaps, hours without trade, sentiment with a hole, late snapshots."""
    return feature_oracles.made_up()


@pytest.fixture(scope="module")
def measured(world: World) -> dict[tuple[str, str], Measured]:
    return {(m.feature, m.by): m for m in feature_oracles.measure(world)}


@pytest.fixture(scope="module")
def seeds(world: World) -> dict[str, Measured]:
    return {m.feature: m for m in feature_oracles.measure_seeds(world)}


def test_every_feature_has_an_oracle() -> None:
    assert {name for name, _ in oracles()} == set(REGISTRY)


@pytest.mark.parametrize(("name", "by"), [(name, oracle.by) for name, oracle in oracles()])
def test_feature_equals_its_oracle_over_whole_segments(
    measured: dict[tuple[str, str], Measured], name: str, by: str
) -> None:
    found = measured[name, by]
    assert found.holds, f"{found.error:.1e} apart over {found.hours} hours"


@pytest.mark.parametrize("name", SEEDED)
def test_means_begin_as_their_oracles_do(seeds: dict[str, Measured], name: str) -> None:
    """Rows 30 to 100 of a segment, before warm-up is over: another seed would still show."""
    assert seeds[name].holds, f"{seeds[name].error:.1e} apart over {seeds[name].hours} hours"


@pytest.mark.parametrize("name", PARTS["candles"])
def test_feature_begins_at_its_documented_row_and_then_has_no_hole(inputs: Inputs, name: str) -> None:
    values = REGISTRY[name].formula(inputs)
    first = REGISTRY[name].first_row
    for row, length in enumerate(inputs.panel.lengths):
        assert not np.isfinite(values[row, :first]).any()
        assert np.isfinite(values[row, first:length]).all()


@pytest.mark.parametrize("name", TALIB)
def test_talib_agrees_from_the_first_row_it_speaks_of(inputs: Inputs, traded: pd.DataFrame, name: str) -> None:
    """Before warm-up, too: how every recursion begins."""
    ours = REGISTRY[name].formula(inputs)
    for row, segment in enumerate(segments(traded)):
        expected = TALIB[name].function(segment)
        said = np.isfinite(expected)
        assert said.sum() > feature_oracles.LEAST_HOURS
        np.testing.assert_allclose(ours[row, : len(segment)][said], expected[said], rtol=0, atol=1e-9)
