"""Laws of the calibrated policy: what triggers, what only warns, what waits, and what holds everything back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from crypto_platform.core.calibrated import (
    WARNING,
    CalibratedRules,
    Champion,
    DriftDay,
    Served,
    accuracy_alarms,
    decide,
    upper_bound,
)
from crypto_platform.core.retraining import FINDINGS, Restraint, Trainings, restraint

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RULES = CalibratedRules()
CALM = DriftDay(0.05, n_channels=60)
MOVED = DriftDay(0.31, n_channels=60)


def alternating(n: int, share: float) -> np.ndarray:
    """Outcomes with that share right, spread evenly."""
    return np.diff(np.floor(np.arange(n + 1) * share)) > 0


WELL = Served(Champion(NOW - 4 * DAY), 0.52, alternating(200, 0.53), CALM, CALM, NOW - 4 * DAY)


def test_a_healthy_model_is_kept_with_all_findings_on_record() -> None:
    decision = decide(WELL, NOW, RULES)
    assert not decision.should_retrain
    assert tuple(f.name for f in decision.findings) == FINDINGS
    assert decision.details["thresholds"]["cusum_threshold"] == 4.0


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"correct": np.zeros(40, dtype=bool)}, "accuracy_holds: CUSUM"),
        ({"expected": 0.7, "correct": alternating(168, 0.47)}, "accuracy_holds"),
        ({"today": MOVED, "day_before": MOVED}, "features_have_not_drifted"),
        ({"today": replace(CALM, far=frozenset("ab")), "day_before": replace(CALM, far=frozenset("bc"))}, "features"),
        ({"champion": None, "correct": np.empty(0, dtype=bool)}, "model_is_fresh: there is no champion"),
        ({"champion": Champion(NOW - 7 * DAY)}, "model_is_fresh"),
        ({"champion": Champion(NOW - DAY, inputs_exist=False)}, "model_is_fresh"),
    ],
)
def test_each_trigger_alone_is_enough_and_named(changes: dict[str, Any], finding: str) -> None:
    decision = decide(replace(WELL, **changes), NOW, RULES)
    assert decision.should_retrain
    assert len(decision.reasons) == 1
    assert decision.reasons[0].startswith(finding)


@pytest.mark.parametrize(
    "changes",
    [
        {"correct": np.empty(0, dtype=bool)},
        {"today": MOVED, "day_before": CALM},
        {"today": MOVED, "day_before": None},
        {"today": None},
        {"today": DriftDay(None), "day_before": MOVED},
        {"today": replace(CALM, far=frozenset("a")), "day_before": replace(CALM, far=frozenset("b"))},
    ],
)
def test_one_day_or_what_cannot_be_judged_triggers_nothing(changes: dict[str, Any]) -> None:
    assert not decide(replace(WELL, **changes), NOW, RULES).reasons


def test_the_product_rules_fail_the_check_as_a_warning_and_do_not_train() -> None:
    """Under 48 % in 100 hours is what a coin does all the time."""
    decision = decide(replace(WELL, correct=alternating(100, 0.47), expected=0.5), NOW, RULES)
    accuracy = decision.findings[0]
    assert accuracy.holds is False
    assert accuracy.waits == WARNING
    assert "accuracy 47.0%" in accuracy.message
    assert not decision.should_retrain
    assert not decision.reasons


def test_drift_waits_for_new_labels_since_the_last_training_whatever_serves() -> None:
    """A training whose bundle was refused leaves the champion as old as it was, and as little to learn from."""
    decision = decide(replace(WELL, labels_end=NOW - DAY, today=MOVED, day_before=MOVED), NOW, RULES)
    drift = decision.findings[1]
    assert drift.holds is False
    assert drift.waits == "only 24 h of labels since the last training, 72 h needed"
    assert not decision.should_retrain


def test_what_is_held_back_keeps_its_reasons() -> None:
    why = restraint(Trainings(NOW - timedelta(hours=23)), NOW, Restraint())
    assert why == "cooldown until 2026-03-01 01:00 UTC"
    decision = decide(replace(WELL, champion=None), NOW, RULES, why)
    assert not decision.should_retrain
    assert decision.reasons
    assert decision.held_back == why
    assert decide(WELL, NOW, RULES, why).held_back is None  # nothing was asked for


@pytest.mark.parametrize(
    ("trainings", "held"),
    [
        (Trainings(), False),
        (Trainings(NOW - timedelta(hours=24)), False),
        (Trainings(NOW - timedelta(hours=23.9)), True),
        (Trainings(NOW - 3 * DAY, unpromoted=2), False),
        (Trainings(NOW - 3 * DAY, unpromoted=3), True),
    ],
)
def test_a_training_and_three_in_vain_hold_back(trainings: Trainings, held: bool) -> None:
    assert (restraint(trainings, NOW, Restraint()) is not None) is held


@given(st.integers(1, 300), st.data())
def test_the_upper_bound_is_exact(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    bound = upper_bound(right, n, 0.99)
    assert right / n <= bound <= 1
    if right < n:
        assert binom.cdf(right, n, bound) == pytest.approx(0.01, abs=1e-9)


def test_the_bound_shares_the_budget_of_false_alarms() -> None:
    """Of five series each may err a fifth as often: what alarms alone is not enough among them."""
    just = next(n for n in range(168) if upper_bound(n, 168, 0.99) >= 0.5) - 1
    served = replace(WELL, expected=0.5, correct=alternating(168, (just + 0.5) / 168))
    assert served.correct.sum() == just
    alone, among_five = (decide(served, NOW, replace(RULES, cusum_threshold=99, n_series=n)) for n in (1, 5))
    assert "(99%) is too low" in alone.reasons[0]
    assert not among_five.reasons


@given(st.integers(0, 10**6), st.sampled_from([0.4, 0.5, 0.6]), st.sampled_from([0.5, 0.62, 0.7]), st.integers(1, 40))
def test_alarms_after_each_outcome_are_those_of_a_decision_there(seed: int, p: float, p0: float, n_series: int) -> None:
    correct = np.random.default_rng(seed).random(260) < p
    rules = replace(RULES, n_series=n_series)
    alarms = np.logical_or(*accuracy_alarms(correct, p0, rules))
    for n in (1, 60, 167, 168, 200, 260):
        decision = decide(replace(WELL, expected=p0, correct=correct[:n]), NOW, rules)
        assert alarms[n - 1] == decision.findings[0].triggers
        if n >= 168:
            right = int(correct[n - 168 : n].sum())
            too_low = upper_bound(right, 168, 1 - 0.01 / n_series) < max(0.5, p0 - 0.1)
            assert accuracy_alarms(correct, p0, rules)[1][n - 1] == too_low
