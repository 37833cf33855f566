"""Laws of the backtest: nothing is traded on what was not known, and no money comes from nowhere."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.core import backtest
from crypto_platform.core.backtest import exposures, simulate
from crypto_platform.core.estimators import TrainingSet
from crypto_platform.core.signals import CLASSIFIERS, ENSEMBLE, SignalRules
from crypto_platform.core.validation import OutOfSample

calls = st.lists(st.sampled_from([-1, 0, 0, 1]), min_size=2, max_size=60).map(np.array)


@st.composite
def markets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hours with gaps, opens, and calls."""
    n = draw(st.integers(2, 60))
    hours = np.cumsum(draw(st.lists(st.sampled_from([1, 1, 1, 2, 9]), min_size=n, max_size=n)))
    opens = 100 * np.exp(np.cumsum(draw(st.lists(st.floats(-0.1, 0.1), min_size=n, max_size=n))))
    return hours, opens, np.array(draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=n, max_size=n)))


def test_by_hand() -> None:
    """BUY of candle 0 for two hours: in at open 1, out at open 3. SELL of candle 3: flat in spot, else -1."""
    hours, opens = np.arange(6), np.array([100.0, 100.0, 110.0, 99.0, 99.0, 90.0])
    called = np.array([1, 0, 0, -1, 0, 0])
    assert exposures(hours, called, 2).tolist() == [0, 1, 1, 0, 0, 0]
    short = exposures(hours, called, 2, shorting=True)
    assert short.tolist() == [0, 1, 1, 0, -1, -1]
    spot = simulate(hours, opens, exposures(hours, called, 2), cost=0.01)
    np.testing.assert_allclose(spot.gross, [0, 0.1, -0.1, 0, 0])
    np.testing.assert_allclose(spot.equity, [1, 0.99 * 1.1, 0.99 * 1.1 * 0.9, 0.99**2 * 0.99, 0.99**2 * 0.99])
    both = simulate(hours, opens, short, cost=0.01)
    assert both.change.tolist() == [0, 1, 0, 1, 1, 1]
    assert both.equity[-1] == pytest.approx(0.99**4 * 0.99 * (1 + 9 / 99))


def test_a_gap_is_held_through_and_booked_at_the_first_candle_after_it() -> None:
    hours, opens = np.array([0, 1, 2, 7, 8]), np.array([100.0, 100.0, 100.0, 120.0, 60.0])
    held = exposures(hours, np.array([1, 0, 0, 0, 0]), 3)
    assert held.tolist() == [0, 1, 1, 0, 0]  # due to end at hour 4, ends at the first open after
    tested = simulate(hours, opens, held, 0.0)
    assert tested.spans_gap.tolist() == [False, False, True, False]
    np.testing.assert_allclose(tested.gross, [0, 0, 0.2, 0])


def test_a_call_that_ran_out_in_a_gap_is_never_executed() -> None:
    assert exposures(np.array([0, 5, 6]), np.array([1, 0, 0]), 3).tolist() == [0, 0, 0]
    assert exposures(np.array([0, 3, 4]), np.array([1, 0, 0]), 3).tolist() == [0, 1, 0]


@given(markets(), st.integers(1, 7), st.integers(1, 59))
def test_exposures_know_nothing_of_their_own_candle_or_later(
    market: tuple[np.ndarray, np.ndarray, np.ndarray], horizon: int, cut: int
) -> None:
    hours, _, called = market
    cut = min(cut, len(hours) - 1)
    changed = called.copy()
    changed[cut:] = -changed[cut:]
    for shorting in (False, True):
        first = exposures(hours, called, horizon, shorting=shorting)
        second = exposures(hours, changed, horizon, shorting=shorting)
        np.testing.assert_array_equal(first[: cut + 1], second[: cut + 1])


@given(markets(), st.integers(1, 7))
def test_exposures_are_those_of_a_plain_loop(market: tuple[np.ndarray, np.ndarray, np.ndarray], horizon: int) -> None:
    hours, _, called = market
    side, until, expected = 0, -1, []
    for i, hour in enumerate(hours):
        if i and called[i - 1]:
            side, until = called[i - 1], hours[i - 1] + 1 + horizon
        expected.append(side if hour < until else 0)
    np.testing.assert_array_equal(exposures(hours, called, horizon, shorting=True), expected)


@given(markets())
def test_always_long_at_no_cost_is_buy_and_hold(market: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    hours, opens, _ = market
    tested = simulate(hours, opens, np.ones(len(hours)), 0.0)
    np.testing.assert_allclose(tested.equity, opens[1:] / opens[0])


@given(markets(), st.floats(0, 0.01), st.integers(1, 7))
def test_the_equity_is_what_cash_and_coins_are_worth(
    market: tuple[np.ndarray, np.ndarray, np.ndarray], cost: float, horizon: int
) -> None:
    """An account kept in cash and coins, each trade paid for: the same equity at each open."""
    hours, opens, called = market
    wanted = exposures(hours, called, horizon)
    cash, coins = 1.0, 0.0
    worth = []
    for i in range(len(hours) - 1):
        before = cash + coins * opens[i]
        if i:
            worth.append(before)
        have = 1.0 if coins else 0.0
        if wanted[i] != have:
            fee = cost * before
            cash, coins = (0.0, (before - fee) / opens[i]) if wanted[i] else (before - fee, 0.0)
    final = cash + coins * opens[-1]
    worth.append(final * (1 - cost) if coins else final)
    np.testing.assert_allclose(simulate(hours, opens, wanted, cost).equity, worth, rtol=1e-9)


@given(markets(), st.floats(0.0001, 0.01))
def test_costs_only_ever_cost(market: tuple[np.ndarray, np.ndarray, np.ndarray], cost: float) -> None:
    hours, opens, called = market
    wanted = exposures(hours, called, 2, shorting=True)
    free, paid = (simulate(hours, opens, wanted, c).equity[-1] for c in (0.0, cost))
    assert paid <= free
    assert (paid == free) == (not wanted[:-1].any())


def test_flat_earns_nothing_and_pays_nothing() -> None:
    tested = simulate(np.arange(5), np.array([1.0, 2.0, 1.0, 5.0, 4.0]), np.zeros(5), 0.01)
    assert tested.equity.tolist() == [1, 1, 1, 1]


def test_what_cannot_be_simulated_is_refused() -> None:
    with pytest.raises(ValueError, match="no interval"):
        simulate(np.arange(1), np.ones(1), np.ones(1), 0.0)
    with pytest.raises(ValueError, match="loses more"):
        simulate(np.arange(2), np.array([1.0, 2.5]), -np.ones(2), 0.0)


def test_several_strategies_share_the_capital() -> None:
    a = simulate(np.arange(3), np.array([1.0, 1.1, 1.1]), np.ones(3), 0.0)
    b = simulate(np.array([1, 2, 3]), np.array([1.0, 1.2, 1.2]), np.ones(3), 0.0)
    np.testing.assert_allclose(backtest.together([a, b]), [0.05, 0.1, 0.0])


def test_calls_follow_the_rules_that_serve() -> None:
    n = 400
    rng = np.random.default_rng(1)
    returns = rng.normal(0, 0.01, n)
    truth = TrainingSet(np.arange(n), np.empty((n, 0)), returns, (returns > 0).astype(np.int64), (), 1)
    rows = np.array([100, 300, 301, 302, 303])
    up = np.array([0.9, 0.9, 0.1, 0.5, 0.56])
    nothing = np.zeros(5)
    prob_up = dict.fromkeys((*CLASSIFIERS, ENSEMBLE), up)
    result = OutOfSample(rows, nothing.astype(np.int64), prob_up, up - 0.5, nothing, nothing, 5, nothing)
    assert backtest.calls_of(result, truth, SignalRules()).tolist() == [
        0,
        1,
        -1,
        0,
        0,
    ]
    assert backtest.calls_of(result, truth, SignalRules(), before_costs=True).tolist() == [1, 1, -1, 0, 1]
    unlike = replace(result, novelty=np.array([0.0, 1.6, 1.4, 0.0, 1.6]))  # 1.5 and more is not acted on
    assert backtest.calls_of(unlike, truth, SignalRules()).tolist() == [0, 0, -1, 0, 0]
    assert backtest.calls_of(unlike, truth, SignalRules(), before_costs=True).tolist() == [1, 0, -1, 0, 0]
    with pytest.raises(ValueError, match="novelty"):
        backtest.calls_of(replace(result, novelty=None), truth, SignalRules())
    assert backtest.one_side(SignalRules()) == pytest.approx(0.0015)
