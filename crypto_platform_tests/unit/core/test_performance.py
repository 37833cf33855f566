"""Numbers of a backtest, by hand and by the papers' own examples."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.core import performance
from crypto_platform.core.backtest import simulate
from crypto_platform.core.performance import assess


def random_test(days: int, drift: float = 0.0, seed: int = 1, cost: float = 0.0015) -> performance.Performance:
    rng = np.random.default_rng(seed)
    n = days * 24
    opens = 100 * np.exp(np.r_[0, np.cumsum(rng.normal(drift, 0.005, n))])
    exposure = np.ones(n + 1)
    exposure[::50] = 0
    return assess(simulate(np.arange(n + 1), opens, exposure, cost), 1, seed)


def test_the_deflated_ratio_is_that_of_the_paper() -> None:
    """Bailey & Lopez de Prado (2014): five years of days, Sharpe 2.5, skewness -3, kurtosis 10, 100 trials."""
    luck = performance.best_of_luck(100, 0.5 / 250)
    assert luck == pytest.approx(0.1132, abs=5e-5)
    assert performance.sharpe_probability(2.5 / np.sqrt(250), 1250, -3, 10, luck) == pytest.approx(0.9004, abs=5e-5)
    assert performance.best_of_luck(1, 0.5) == 0.0


def test_the_best_of_useless_strategies_is_as_good_as_luck_says() -> None:
    best = np.random.default_rng(2).normal(0, 0.1, (4000, 50)).max(axis=1)
    assert performance.best_of_luck(50, 0.01) == pytest.approx(best.mean(), rel=0.02)


def test_by_hand() -> None:
    """Long for two intervals, short for one, flat for one: +10 %, -10 %, then +9.09 %."""
    opens = np.array([100.0, 110.0, 99.0, 90.0, 90.0])
    tested = simulate(np.array([0, 1, 2, 3, 6]), opens, np.array([1.0, 1.0, -1.0, 0.0, 0.0]), 0.001)
    found = assess(tested, 1, seed=1)
    assert (found.trades, found.hit_rate) == (2, 0.5)
    long, short = 0.99 * 0.999**2 - 1, (1 + 9 / 99) * 0.999**2 - 1
    assert found.profit_factor == pytest.approx(short / -long)
    assert found.costs == pytest.approx(0.001 * 4)
    assert found.turnover == pytest.approx(4 / 4 * 24)
    assert found.exposure == 0.75
    assert found.max_drawdown == pytest.approx(0.1 + 0.9 * 0.002 - 0, abs=2e-3)
    assert found.drawdown_hours == 3
    assert found.gap_hours == 0  # nothing was held in the gap
    assert found.verdict == performance.TOO_SHORT


def test_break_even_costs_leave_nothing() -> None:
    rng = np.random.default_rng(3)
    opens = 100 * np.exp(np.cumsum(rng.normal(0.001, 0.005, 300)))
    exposure = np.sign(rng.normal(size=300))
    exposure[exposure < 0] = 0
    free = simulate(np.arange(300), opens, exposure, 0.0)
    even = performance.break_even(free)
    assert even is not None
    assert even > 0
    assert simulate(np.arange(300), opens, exposure, even * 1e-4).equity[-1] == pytest.approx(1.0)
    assert performance.break_even(simulate(np.arange(300), 1 / opens, exposure, 0.0)) == 0.0
    assert performance.break_even(simulate(np.arange(300), opens, 0 * exposure, 0.0)) is None


@given(st.lists(st.floats(0.5, 2.0), min_size=2, max_size=40))
def test_the_drawdown_is_that_of_a_plain_search(steps: list[float]) -> None:
    equity = np.cumprod(steps)
    expected = max(1 - equity[j] / equity[i] for i in range(len(equity)) for j in range(i, len(equity)))
    assert performance.drawdown(equity)[0] == pytest.approx(expected, abs=1e-12)


def test_flat_has_no_ratio_and_no_trades() -> None:
    found = assess(simulate(np.arange(101), np.ones(101), np.zeros(101), 0.001), 1, seed=1)
    assert (found.sharpe, found.probabilistic_sharpe, found.hit_rate, found.break_even_bps) == (None,) * 4
    assert (found.total_return, found.max_drawdown, found.trades, found.verdict) == (0, 0, 0, performance.TOO_SHORT)


def test_the_interval_of_the_ratio_is_as_wide_as_theory_says() -> None:
    """Standard error of an annualized Sharpe ratio near 0: 3.5 for 30 days, 1.0 for a year."""
    month, year = random_test(30), random_test(365)
    assert month.sharpe_error == pytest.approx(3.5, abs=0.05)
    assert year.sharpe_error == pytest.approx(1.0, abs=0.01)
    for found in (month, year):
        assert found.sharpe_lower is not None
        assert found.sharpe_upper is not None
        width = (found.sharpe_upper - found.sharpe_lower) / (2 * 1.96)
        assert width == pytest.approx(found.sharpe_error, rel=0.35)


def test_verdicts_need_length_an_interval_and_what_was_tried() -> None:
    assert random_test(30, drift=0.002).verdict == performance.TOO_SHORT  # whatever it earned
    good = random_test(365, drift=0.0008, cost=0.0)
    assert good.verdict == performance.SHOWN
    assert replace(good, deflated_sharpe=0.9).verdict == performance.NOTHING_SHOWN
    assert random_test(365, cost=0.0).verdict == performance.NOTHING_SHOWN
    assert random_test(365, drift=-0.0008).verdict == performance.LOST


def test_more_attempts_make_the_same_result_less_sure() -> None:
    rng = np.random.default_rng(4)
    opens = 100 * np.exp(np.cumsum(rng.normal(0.0002, 0.005, 3000)))
    tested = simulate(np.arange(3000), opens, np.ones(3000), 0.0)
    one, many = (assess(tested, 1, 1, n_tried=n).deflated_sharpe for n in (1, 100))
    assert one is not None
    assert many is not None
    assert many < one == assess(tested, 1, 1).probabilistic_sharpe
