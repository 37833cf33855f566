"""The retrain decision and its reasons: what both policies share, and the classic rule set.

Classic is plain thresholds over the last 72 hours. It fires often on noise; its verdict is recorded with every
decision, so that one can see how often. The default is `core.calibrated`.
"""

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DRIFT_FEATURES: Final = ("rsi_14", "vol_7", "volume_sma_ratio_7")


@dataclass(frozen=True, slots=True)
class ClassicRules:
    """Thresholds of the classic policy.

    Parameters
    ----------
    window_hours, reference_days : int
        The window under test and the days before it that it is compared with.
    accuracy_reference_days : tuple of int
        Days before now (from, to) whose accuracy the window's is compared with.
    min_scored : int
        Scored forecasts below which accuracy says nothing.
    min_accuracy, max_drop : float
        Accuracy below which, or drop from the reference above which, it says retrain.
    max_drift : float
        |mean of the window - mean of the reference| in reference standard deviations.
    max_age_days : float
        Age of the last training from which it says retrain.
    """

    window_hours: int = 72
    reference_days: int = 27
    accuracy_reference_days: tuple[int, int] = (3, 10)
    min_scored: int = 50
    min_accuracy: float = 0.48
    max_drop: float = 0.10
    max_drift: float = 0.3
    max_age_days: float = 7.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a decision looks at; None where there is too little to say.

    Parameters
    ----------
    accuracy, reference_accuracy : float or None
        Share of right directions in the window and in the reference days.
    n_scored, n_reference : int
        Forecasts behind them.
    drift : mapping of str to float or None
        Standardized mean shift per feature of `DRIFT_FEATURES`.
    trained_at : datetime or None
        as_of of the champion's training; None without one.
    """

    accuracy: float | None
    n_scored: int
    reference_accuracy: float | None
    n_reference: int
    drift: dict[str, float | None]
    trained_at: datetime | None
    gate: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement that should be true of a model, and whether it is.

    `holds` is None where there is too little data to say; that is no failure. `waits` says why one that does not hold
    is no reason to train, or not yet.
    """

    name: str
    holds: bool | None
    message: str
    numbers: dict[str, float | int | None] = field(default_factory=dict)
    waits: str | None = None

    @property
    def triggers(self) -> bool:
        """Whether it asks for training."""
        return self.holds is False and self.waits is None


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to retrain, and why.

    `held_back` says why nothing is trained although there are reasons; see `restraint`.
    """

    should_retrain: bool
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    details: dict[str, Any]
    held_back: str | None = None


STOPPED: Final = "stopped"
CALIBRATED: Final = "calibrated"
CLASSIC: Final = "classic"
POLICIES: Final = (CALIBRATED, CLASSIC)
ACCURACY_HOLDS: Final = "accuracy_holds"
FEATURES_HAVE_NOT_DRIFTED: Final = "features_have_not_drifted"
MODEL_IS_FRESH: Final = "model_is_fresh"
FINDINGS: Final = (ACCURACY_HOLDS, FEATURES_HAVE_NOT_DRIFTED, MODEL_IS_FRESH)


def standardized_shift(window: NDArray[np.float64], reference: NDArray[np.float64]) -> float | None:
    """|mean of window - mean of reference| / SD of the reference (ddof=1); NaNs are left out.

    None where either side has fewer than two values, or the reference does not vary.
    """
    window, reference = window[np.isfinite(window)], reference[np.isfinite(reference)]
    if len(window) < 2 or len(reference) < 2:
        return None
    spread = reference.std(ddof=1)
    return float(abs(window.mean() - reference.mean()) / spread) if spread > 0 else None


@dataclass(frozen=True, slots=True)
class Restraint:
    """When nothing is trained whatever the reasons; the same for both policies.

    Parameters
    ----------
    cooldown_hours : float
        After any training.
    max_unpromoted, within_days : int, float
        So many trainings without a promotion in so many days, and a person has to look.
    """

    cooldown_hours: float = 24.0
    max_unpromoted: int = 3
    within_days: float = 7.0


RESTRAINT: Final = Restraint()


@dataclass(frozen=True, slots=True)
class Trainings:
    """What was trained of late.

    Parameters
    ----------
    last_at : datetime or None
        The newest training, whatever became of it.
    unpromoted : int
        Trainings since the last promotion, of the last `Restraint.within_days`.
    challenger_since : datetime or None
        Since when a challenger has waited for enough hours beside the champion.
    data_end : datetime or None
        When the newest row that any training learned from was usable.
    """

    last_at: datetime | None = None
    unpromoted: int = 0
    challenger_since: datetime | None = None
    data_end: datetime | None = None


def restraint(trainings: Trainings, as_of: datetime, rules: Restraint) -> str | None:
    """Why nothing may be trained now; None where it may.

    Examples
    --------
    >>> from datetime import UTC
    >>> restraint(Trainings(unpromoted=3), datetime(2026, 1, 1, tzinfo=UTC), Restraint())
    'stopped: 3 trainings in 7 days without a promotion; look into it, then train by hand'
    """
    if trainings.unpromoted >= rules.max_unpromoted:
        return (
            f"{STOPPED}: {trainings.unpromoted} trainings in {rules.within_days:g} days without a promotion; "
            "look into it, then train by hand"
        )
    if trainings.challenger_since is not None:
        return f"a challenger is tried since {trainings.challenger_since:%Y-%m-%d %H:%M} UTC"
    if trainings.last_at is None:
        return None
    until = trainings.last_at + timedelta(hours=rules.cooldown_hours)
    return f"cooldown until {until:%Y-%m-%d %H:%M} UTC" if as_of < until else None


def no_champion(gate: str | None) -> str:
    """The message of a missing champion, with what the gate said of the newest candidate, if there was one."""
    return "there is no champion" + (f"; the newest candidate was {gate}" if gate else "")


def conclude(findings: tuple[Finding, ...], held_back: str | None, thresholds: dict[str, Any]) -> Decision:
    """The verdict of some findings; one that cannot be judged triggers nothing."""
    reasons = tuple(f"{finding.name}: {finding.message}" for finding in findings if finding.triggers)
    return Decision(
        should_retrain=bool(reasons) and held_back is None,
        reasons=reasons,
        findings=findings,
        details={
            "thresholds": thresholds,
            "findings": {
                f.name: {"holds": f.holds, "message": f.message, "waits": f.waits, **f.numbers} for f in findings
            },
        },
        held_back=held_back if reasons else None,
    )


def decide(evidence: Evidence, as_of: datetime, rules: ClassicRules, held_back: str | None = None) -> Decision:
    """The classic policy's verdict."""
    findings = (_accuracy(evidence, rules), _drift(evidence, rules), _freshness(evidence, as_of, rules))
    return conclude(findings, held_back, asdict(rules))


def _accuracy(evidence: Evidence, rules: ClassicRules) -> Finding:
    numbers: dict[str, float | int | None] = {
        "accuracy": evidence.accuracy,
        "n_scored": evidence.n_scored,
        "reference_accuracy": evidence.reference_accuracy,
        "n_reference": evidence.n_reference,
    }
    if evidence.accuracy is None or evidence.n_scored < rules.min_scored:
        message = f"only {evidence.n_scored} forecasts scored in {rules.window_hours} h, {rules.min_scored} needed"
        return Finding(ACCURACY_HOLDS, None, message, numbers)
    if evidence.accuracy < rules.min_accuracy:
        message = f"accuracy {evidence.accuracy:.1%} of {evidence.n_scored} is below {rules.min_accuracy:.0%}"
        return Finding(ACCURACY_HOLDS, holds=False, message=message, numbers=numbers)
    reference = evidence.reference_accuracy
    if reference is not None and evidence.n_reference >= rules.min_scored:
        drop = reference - evidence.accuracy
        if drop > rules.max_drop:
            message = f"accuracy fell from {reference:.1%} to {evidence.accuracy:.1%}"
            return Finding(ACCURACY_HOLDS, holds=False, message=message, numbers=numbers)
    message = f"accuracy {evidence.accuracy:.1%} of {evidence.n_scored} scored forecasts"
    return Finding(ACCURACY_HOLDS, holds=True, message=message, numbers=numbers)


def _drift(evidence: Evidence, rules: ClassicRules) -> Finding:
    numbers: dict[str, float | int | None] = dict(evidence.drift)
    known = {name: shift for name, shift in evidence.drift.items() if shift is not None}
    if not known:
        return Finding(FEATURES_HAVE_NOT_DRIFTED, None, "too little history to compare with", numbers)
    name, shift = max(known.items(), key=lambda item: item[1])
    message = f"largest mean shift {shift:.2f} SD ({name}), limit {rules.max_drift}"
    return Finding(FEATURES_HAVE_NOT_DRIFTED, holds=shift <= rules.max_drift, message=message, numbers=numbers)


def _freshness(evidence: Evidence, as_of: datetime, rules: ClassicRules) -> Finding:
    if evidence.trained_at is None:
        message = no_champion(evidence.gate)
        return Finding(MODEL_IS_FRESH, holds=False, message=message, numbers={"age_days": None})
    age = (as_of - evidence.trained_at) / timedelta(days=1)
    message = f"trained {age:.1f} days ago, limit {rules.max_age_days:g}"
    return Finding(MODEL_IS_FRESH, holds=age < rules.max_age_days, message=message, numbers={"age_days": age})
