"""Laws of the gate: who is no worse serves, who is worse never does where who is better does not."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.core import promotion
from crypto_platform.core.calibration import log_odds
from crypto_platform.core.promotion import UNCALIBRATED, Gate, GateRules, Outcome, Trial, judge

LOSS = {"beside_the_base_rate", "beside_the_champion", "bound"}


def expit(x: Any) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def world(seed: int, n: int = 168, skill: float = 0.3) -> tuple[Trial, np.ndarray]:
    """Directions drawn from true odds, a candidate that knows them, and noise to make others of."""
    rng = np.random.default_rng(seed)
    odds = skill * rng.normal(size=n)
    directions = (rng.random(n) < expit(odds)).astype(np.int64)
    return Trial(np.arange(n), directions, expit(odds), np.full(n, 0.5), 1), rng.normal(size=n)


def failed(gate: Gate) -> set[str]:
    return {condition.name for condition in gate.conditions if condition.holds is False}


SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.floats(0, 1), st.floats(0, 2))
def test_what_is_worse_in_every_hour_fails_wherever_the_better_does(seed: int, toward: float, scale: float) -> None:
    trial, noise = world(seed)
    champion = expit(0.2 * noise[::-1])
    worse = expit(log_odds(trial.candidate) + scale * noise)
    truth = trial.directions.astype(float)
    better = worse + toward * (truth - worse) * 0.99
    of_worse, of_better = (judge(replace(trial, candidate=given), champion) for given in (worse, better))
    assert failed(of_better) & LOSS <= failed(of_worse) & LOSS


@given(SEEDS)
def test_the_champions_own_forecasts_are_no_worse_than_it(seed: int) -> None:
    trial, _ = world(seed)
    gate = judge(trial, trial.candidate)
    assert not failed(gate) & {"beside_the_champion", "bound"}
    numbers = next(c.numbers for c in gate.conditions if c.name == "beside_the_champion")
    assert numbers["mean_difference"] == 0
    if gate.outcome is Outcome.REFUSED:  # what it is refused for, it is without any champion too
        assert failed(gate) == failed(judge(trial, None))


@given(SEEDS)
def test_far_too_sure_of_what_it_does_not_know_is_refused(seed: int) -> None:
    trial, noise = world(seed, skill=0.0)
    gate = judge(replace(trial, candidate=expit(2 * noise)), None)
    assert gate.outcome is Outcome.REFUSED
    assert "beside_the_base_rate" in failed(gate)
    assert "limit +0.020" in gate.words


@pytest.mark.parametrize("off", [-0.0005, 0.0005])
def test_the_mean_difference_decides_at_its_limit(off: float) -> None:
    """A forecast that is off by the same log loss in every hour: the bound is the mean."""
    trial, _ = world(3)
    mine = np.where(trial.directions == 1, 0.6, 0.4)
    loss = -np.log(0.6) - 0.002 - off
    champion = np.where(trial.directions == 1, np.exp(-loss), 1 - np.exp(-loss))
    gate = judge(replace(trial, candidate=mine), champion)
    assert ("beside_the_champion" in failed(gate)) is (off > 0)
    assert "bound" not in failed(gate)


def test_the_bound_is_waived_for_an_expired_champion_and_the_mean_is_not() -> None:
    trial, noise = world(5)
    champion = np.clip(trial.candidate + 0.45 * np.where(noise > 0, 1, -1), 0.02, 0.98)
    level = judge(trial, champion)
    numbers = {c.name: dict(c.numbers) for c in level.conditions}
    rules = GateRules(max_mean=numbers["beside_the_champion"]["mean_difference"] + 1e-9, max_upper=-10.0)
    assert "bound" in failed(judge(trial, champion, rules=rules))
    assert "bound" not in failed(judge(trial, champion, expired=True, rules=rules))
    assert "beside_the_champion" in failed(judge(trial, champion, expired=True, rules=replace(rules, max_mean=-10.0)))


@pytest.mark.parametrize(("pairs", "outcome"), [(71, Outcome.CHALLENGER), (72, Outcome.PROMOTED)])
def test_too_few_pairs_make_a_challenger(pairs: int, outcome: Outcome) -> None:
    trial, _ = world(1)
    champion = np.where(np.arange(168) < 168 - pairs, np.nan, trial.candidate)
    gate = judge(trial, champion)
    assert gate.outcome is outcome
    assert bool(gate.reasons) is (outcome is Outcome.CHALLENGER)
    assert judge(trial, champion, faults=["a hash is wrong"]).reasons == ("a hash is wrong",)


def test_who_could_not_be_tried_waits_with_a_champion_and_without() -> None:
    for champion in (None, np.empty(0)):
        gate = judge(Trial.empty(1), champion)
        assert gate.outcome is Outcome.CHALLENGER
        assert "0 of 72 hours" in gate.words
    assert judge(Trial.empty(1), None, faults=["it is cut"]).outcome is Outcome.REFUSED


def test_who_always_says_the_same_says_nothing() -> None:
    trial, noise = world(2)
    gate = judge(replace(trial, candidate=0.5 + 0.001 * np.sign(noise)), None)
    assert failed(gate) == {"probabilities_vary"}
    assert judge(replace(trial, candidate=0.5 + 0.003 * np.sign(noise)), None).outcome is Outcome.PROMOTED


def test_a_slope_outside_is_a_flag_where_the_hours_cannot_tell_and_a_refusal_where_they_can() -> None:
    trial, _ = world(4, n=4000, skill=1.0)
    assert judge(trial, None).flags == ()
    flat = replace(trial, candidate=expit(log_odds(trial.candidate) / 5))  # slope 5
    assert "calibration_slope" in failed(judge(flat, None))
    few = flat.take(slice(0, 80))
    limits = GateRules(max_slope=3.0)
    gate = judge(few, None, rules=limits)
    slope = next(c for c in gate.conditions if c.name == "calibration_slope")
    assert slope.holds
    assert slope.numbers["slope_lower"] <= 3 < slope.numbers["slope"]
    assert gate.flags == (UNCALIBRATED,)
    assert "(uncalibrated)" in gate.words


def test_a_record_is_plain_and_says_what_the_gate_said() -> None:
    import json

    trial, noise = world(6)
    gate = judge(replace(trial, candidate=expit(2 * noise)), trial.candidate)
    recorded = json.loads(json.dumps(gate.record(), allow_nan=False))
    assert promotion.words_of(recorded) == gate.words
    assert recorded["limits"]["max_over_base"] == 0.02
    assert set(recorded["conditions"]) == {c.name for c in gate.conditions}


@given(SEEDS, st.sampled_from([1, 3, 7]))
def test_bets_find_a_champion_that_turned_around_and_forget_an_equal_one(seed: int, horizon: int) -> None:
    trial, _ = world(seed, n=72, skill=1.5)
    turned = 1 - trial.candidate
    good = promotion.regret(trial.hours, trial.directions, turned, trial.candidate, horizon)
    bad = promotion.regret(trial.hours, trial.directions, trial.candidate, turned, horizon)
    same = promotion.regret(trial.hours, trial.directions, turned, turned, horizon)
    assert good.e_value >= bad.e_value
    assert same.e_value == 1
    assert not same.is_proven()
    assert promotion.regret(*(np.empty(0, dtype=np.int64),) * 2, np.empty(0), np.empty(0), horizon).e_value == 1
    if horizon == 1:
        assert not bad.is_proven()


def test_a_good_promotion_is_taken_back_in_at_most_one_of_twenty() -> None:
    """Champion and the one before are as good as each other: 400 promotions, looked at after every hour."""
    rng = np.random.default_rng(1)
    taken = 0
    for _ in range(400):
        odds = rng.normal(size=(2, 72)) * 0.8
        directions = (rng.random(72) < 0.5).astype(np.int64)
        taken += promotion.regret(np.arange(72), directions, expit(odds[0]), expit(odds[1]), 1).is_proven()
    assert taken / 400 <= 0.05
