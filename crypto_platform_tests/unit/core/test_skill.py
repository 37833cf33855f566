"""The skill statement counts every attempt."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from crypto_platform.core import skill


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values_are_those_of_statsmodels(p_values: list[float]) -> None:
    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(skill.holm(np.array(p_values)), expected, atol=1e-12)


def test_what_is_demonstrated_alone_may_not_be_among_many() -> None:
    alone = {("BTC", "ensemble", 1): 0.01}
    many = alone | {("ETH", "ensemble", h): 0.5 for h in range(1, 10)}
    assert skill.statement(skill.adjusted(alone)["BTC", "ensemble", 1]) == skill.DEMONSTRATED
    assert skill.statement(skill.adjusted(many)["BTC", "ensemble", 1]) == skill.NOT_DEMONSTRATED
