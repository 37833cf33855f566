"""Any ticker can be simulated."""

from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.replay.coins import coin


@given(st.text(min_size=1, max_size=8))
def test_any_ticker_has_plausible_constants(name):
    made = coin(name)
    assert 1e-2 <= made.price <= 1e5
    assert made.turnover > 0
    assert made.supply.circulating is not None
    assert made.supply.total is not None
    assert 0 < made.supply.circulating <= made.supply.total
