"""Laws of the retrain decision."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.core.retraining import FINDINGS, ClassicRules, Evidence, decide, standardized_shift

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RULES = ClassicRules()
WELL = Evidence(0.53, 72, 0.52, 168, {"rsi_14": 0.1, "vol_7": None}, NOW - timedelta(days=2))


def test_a_healthy_model_is_kept_with_all_findings_on_record() -> None:
    decision = decide(WELL, NOW, RULES)
    assert not decision.should_retrain
    assert decision.reasons == ()
    assert tuple(f.name for f in decision.findings) == FINDINGS
    assert set(decision.details["findings"]) == set(FINDINGS)
    assert decision.details["thresholds"]["min_accuracy"] == RULES.min_accuracy


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"accuracy": 0.47}, "accuracy_holds"),
        ({"accuracy": 0.49, "reference_accuracy": 0.60}, "accuracy_holds"),
        ({"drift": {"vol_7": 0.31}}, "features_have_not_drifted"),
        ({"trained_at": NOW - timedelta(days=7)}, "model_is_fresh"),
        ({"trained_at": None}, "model_is_fresh"),
    ],
)
def test_each_trigger_alone_is_enough_and_named(changes: dict[str, Any], finding: str) -> None:
    decision = decide(replace(WELL, **changes), NOW, RULES)
    assert decision.should_retrain
    assert len(decision.reasons) == 1
    assert decision.reasons[0].startswith(f"{finding}: ")


@pytest.mark.parametrize(
    "changes",
    [
        {"accuracy": None, "n_scored": 0},
        {"accuracy": 0.1, "n_scored": 49},
        {"accuracy": 0.48},
        {"accuracy": 0.49, "reference_accuracy": 0.9, "n_reference": 49},
        {"drift": {}},
        {"drift": {"vol_7": None}},
        {"drift": {"vol_7": 0.3}},
    ],
)
def test_what_cannot_be_judged_or_just_holds_triggers_nothing(changes: dict[str, Any]) -> None:
    assert not decide(replace(WELL, **changes), NOW, RULES).should_retrain


shares = st.none() | st.floats(0, 1)


@given(shares, st.integers(0, 200), shares, st.integers(0, 200), st.none() | st.floats(0, 3), st.floats(0, 30))
def test_a_verdict_is_yes_exactly_where_a_finding_fails(
    accuracy: float | None, n: int, reference: float | None, m: int, shift: float | None, age: float
) -> None:
    evidence = Evidence(accuracy, n, reference, m, {"vol_7": shift}, NOW - timedelta(days=age))
    decision = decide(evidence, NOW, RULES)
    failed = [finding for finding in decision.findings if finding.holds is False]
    assert decision.should_retrain == bool(failed) == bool(decision.reasons)
    assert len(decision.reasons) == len(failed)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=30), st.floats(0.1, 10), st.floats(-10, 10))
def test_a_shift_does_not_depend_on_the_unit(values: list[float], factor: float, offset: float) -> None:
    reference = np.array(values)
    if reference.std() < 1e-3:
        return
    window = reference[:2] + 1
    ours = standardized_shift(window, reference)
    assert standardized_shift(window * factor + offset, reference * factor + offset) == pytest.approx(ours, rel=1e-6)


def test_a_shift_that_cannot_be_known_is_none() -> None:
    some = np.array([1.0, 2.0, np.nan])
    assert standardized_shift(np.array([1.0]), some) is None
    assert standardized_shift(some, np.array([np.nan, 1.0])) is None
    assert standardized_shift(some, np.ones(5)) is None
    assert standardized_shift(some, np.array([0.0, 1.0, 2.0, np.nan])) == pytest.approx(0.5)
