"""Laws of the bets: fair games make nobody rich, an edge does, and the interval says what the test says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crypto_platform.core.eprocess import STAKES, anytime, interleaved, log_wealth

differences = arrays(np.float64, st.integers(1, 60), elements=st.floats(-1, 1))
means = st.floats(-0.95, 0.95)


@given(differences, means)
def test_wealth_is_the_mean_over_stakes_of_the_products_of_bets(d: np.ndarray, mean: float) -> None:
    expected = [np.prod(1 + s / (1 + np.sign(s) * mean) * (d - mean)) for s in STAKES]
    assert np.exp(log_wealth(d, mean)[-1]) == pytest.approx(np.mean(expected), rel=1e-9)


@given(means)
def test_one_fair_bet_gains_nothing_on_average(mean: float) -> None:
    """A two-point difference with that mean: the expected wealth after it is the stake."""
    up = (1 + mean) / 2
    wealth = np.exp([log_wealth(np.array([d]), mean)[0] for d in (1.0, -1.0)])
    assert up * wealth[0] + (1 - up) * wealth[1] == pytest.approx(1, rel=1e-12)


@given(differences, means, means)
def test_wealth_is_convex_in_the_mean_so_that_the_set_is_an_interval(d: np.ndarray, a: float, b: float) -> None:
    middle, ends = log_wealth(d, (a + b) / 2), np.logaddexp(log_wealth(d, a), log_wealth(d, b)) - np.log(2)
    assert (middle <= ends + 1e-9).all()


@settings(max_examples=25)
@given(differences, st.integers(1, 7))
def test_swapping_the_arms_mirrors_everything(d: np.ndarray, horizon: int) -> None:
    hours = np.arange(len(d))
    one, other = anytime(d, hours, horizon, 0.05), anytime(-d, hours, horizon, 0.05)
    assert one.e_value == pytest.approx(other.e_value)
    assert (one.lower, one.upper) == pytest.approx((-other.upper, -other.lower), abs=1e-4)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.floats(-0.4, 0.4), st.sampled_from([1, 3, 7]))
def test_the_interval_excludes_zero_exactly_where_the_bets_reached_their_goal(
    seed: int, edge: float, horizon: int
) -> None:
    d = np.sign(np.random.default_rng(seed).uniform(-1 + edge, 1 + edge, 150))
    held = anytime(d, np.arange(150), horizon, 0.05)
    reached = held.max_e_value >= 1 / 0.05
    assert (held.lower > 0 or held.upper < 0) == reached
    assert held.p_value == pytest.approx(1 / held.max_e_value)
    assert -1 <= held.lower <= held.upper <= 1
    assert held.strict <= reached or horizon > 1


def test_each_residue_of_the_hour_is_a_process_of_its_own() -> None:
    rng = np.random.default_rng(1)
    d, hours = rng.uniform(-1, 1, 40), np.sort(rng.choice(80, 40, replace=False))
    paths = interleaved(d, hours, 3)
    for residue in range(3):
        mine = d[hours % 3 == residue]
        assert paths[residue, -1] == pytest.approx(log_wealth(mine)[-1])
    for row in range(40):  # what comes later changes nothing of what was said
        assert paths[:, row] == pytest.approx(interleaved(d[: row + 1], hours[: row + 1], 3)[:, -1])


def test_nothing_is_known_without_data() -> None:
    held = anytime(np.empty(0), np.empty(0, dtype=np.int64), 1, 0.05)
    assert (held.e_value, held.p_value, held.lower, held.upper) == (1.0, 1.0, -1.0, 1.0)


@pytest.mark.parametrize("horizon", [1, 7])
def test_looking_every_hour_at_equal_arms_seldom_finds_a_winner(horizon: int) -> None:
    """400 experiments of 500 hours, overlapping labels at horizon 7: at most alpha, by more than chance."""
    rng = np.random.default_rng(2)
    n, runs, alpha = 500, 400, 0.05
    found = 0
    for _ in range(runs):
        steps = rng.choice([-1.0, 0.0, 1.0], n + horizon, p=[0.25, 0.5, 0.25])
        # The mean of the next hours' differences overlaps with that of the hour after, as labels do.
        d = np.convolve(steps, np.ones(horizon) / horizon, mode="valid")[:n]
        paths = interleaved(d, np.arange(n), horizon)
        found += bool((np.logaddexp.reduce(paths, axis=0) - np.log(horizon)).max() >= np.log(1 / alpha))
    assert found / runs <= alpha + 2 * np.sqrt(alpha * (1 - alpha) / runs)


def test_an_edge_of_five_points_is_found_in_the_end_and_covered() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.random(8000) < 0.55, rng.random(8000) < 0.50
    held = anytime(a.astype(float) - b, np.arange(8000), 1, 0.05)
    assert held.lower > 0
    assert held.lower < 0.05 < held.upper
