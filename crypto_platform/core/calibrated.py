"""The calibrated retrain policy: alarms with stated error rates, and ages. Product rules are warnings only."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crypto_platform.core.accuracy import COIN, wilson_interval
from crypto_platform.core.cusum import THRESHOLD, cusum, cusum_path
from crypto_platform.core.retraining import (
    ACCURACY_HOLDS,
    FEATURES_HAVE_NOT_DRIFTED,
    MODEL_IS_FRESH,
    Decision,
    Finding,
    conclude,
    no_champion,
)

Numbers = dict[str, float | int | None]
SHOWN: Final = 5  # channels that a message names
WARNING: Final = "a warning, no alarm: chance does this often, and nothing is trained for it"


@dataclass(frozen=True, slots=True)
class CalibratedRules:
    """Thresholds of the calibrated policy.

    Parameters
    ----------
    cusum_threshold : float
        Of one series: about 160 days between false alarms at 24 outcomes a day.
    n_series : int
        Series that share this budget, and the bound's.
    bound_outcomes, bound_level, max_drop : int, float, float
        Accuracy also fails where its exact one-sided upper bound over so many outcomes is below a coin's or that far
        below what is expected. The level is that of one series.
    warn_accuracy, warn_outcomes : float, int
        Product rules, as warnings: accuracy below that, or `max_drop` below what is expected, of at least so many.
    max_drift : float
        Share of channels that moved, on two days in a row.
    new_label_hours : float
        New labels since the last training, promoted or not, without which drift waits: there is little to learn from.
    max_age_days : float
        Age of the training data's end.
    """

    cusum_threshold: float = THRESHOLD
    n_series: int = 1
    bound_outcomes: int = 168
    bound_level: float = 0.99
    max_drop: float = 0.10
    warn_accuracy: float = 0.48
    warn_outcomes: int = 72
    max_drift: float = 0.3
    new_label_hours: float = 72.0
    max_age_days: float = 7.0

    @property
    def shared_bound_level(self) -> float:
        """Level of each series' bound, so that all together err as often as one would."""
        return 1 - (1 - self.bound_level) / self.n_series


@dataclass(frozen=True, slots=True)
class DriftDay:
    """One day's drift: share of channels that moved (None while uncalibrated), and those far away."""

    score: float | None
    far: frozenset[str] = frozenset()
    n_channels: int = 0


@dataclass(frozen=True, slots=True)
class Champion:
    """What serves: the end of its training data, and whether its inputs still exist."""

    data_end: datetime
    inputs_exist: bool = True


@dataclass(frozen=True, slots=True)
class Served:
    """What a decision looks at.

    Parameters
    ----------
    champion : Champion or None
    expected : float or None
        Accuracy it is held to; see `cusum.expected_accuracy`. None where its bundle states none.
    correct : array of bool, shape (n,)
        Its outcomes since its promotion, oldest first, one per horizon hours.
    today, day_before : DriftDay or None
    labels_end : datetime or None
        When the last label was known that any training learned from, whether its bundle serves or not.
    gate : str or None
        Without a champion: what the gate said of the newest candidate.
    """

    champion: Champion | None
    expected: float | None
    correct: NDArray[np.bool_]
    today: DriftDay | None = None
    day_before: DriftDay | None = None
    labels_end: datetime | None = None
    gate: str | None = None


def decide(served: Served, as_of: datetime, rules: CalibratedRules, held_back: str | None = None) -> Decision:
    """The calibrated policy's verdict."""
    findings = (_accuracy(served, rules), _drift(served, as_of, rules), _freshness(served, as_of, rules))
    return conclude(findings, held_back, asdict(rules))


def upper_bound(n_right: int, n: int, level: float) -> float:
    """Exact one-sided upper bound of a proportion.

    References
    ----------
    Clopper & Pearson (1934), The use of confidence or fiducial limits, Biometrika 26 (4), 404-413.

    Examples
    --------
    >>> round(upper_bound(66, 168, 0.99), 3)
    0.485
    """
    from scipy.stats import beta  # noqa: PLC0415

    return float(beta.ppf(level, n_right + 1, n - n_right)) if n_right < n else 1.0


def accuracy_alarms(
    correct: NDArray[np.bool_], p0: float, rules: CalibratedRules
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether the CUSUM, and whether the bound, is an alarm after each outcome: the whole rule of accuracy.

    Parameters
    ----------
    correct : array of bool, shape (n,)
        Outcomes since the promotion, oldest first, one per horizon hours.
    p0 : float
        Expected accuracy.

    Returns
    -------
    tuple of array of bool, shape (n,)
        An alarm of the CUSUM stays; the bound is that of the newest `bound_outcomes`, none before there are so many.
    """
    from scipy.special import bdtr  # noqa: PLC0415

    threshold = cusum(correct, p0, rules.n_series, rules.cusum_threshold).threshold
    by_cusum = np.maximum.accumulate(cusum_path(correct, p0)) >= threshold
    enough, limit = rules.bound_outcomes, max(COIN, p0 - rules.max_drop)
    # As the bound is exact, it is below the limit where so few right ones are unlikely enough at the limit.
    too_few = np.count_nonzero(bdtr(np.arange(enough), enough, limit) < 1 - rules.shared_bound_level)
    sums = np.r_[0, correct.cumsum()]
    by_bound = np.zeros(len(correct), dtype=bool)
    by_bound[enough - 1 :] = sums[enough:] - sums[:-enough] < too_few
    return by_cusum, by_bound


def _accuracy(served: Served, rules: CalibratedRules) -> Finding:
    p0 = COIN if served.expected is None else served.expected
    alarm = cusum(served.correct, p0, rules.n_series, rules.cusum_threshold)
    recent = served.correct[-rules.bound_outcomes :]
    n, right = len(recent), int(recent.sum())
    numbers: Numbers = {
        "expected": p0,
        "n_outcomes": len(served.correct),
        "cusum": alarm.statistic,
        "cusum_highest": alarm.highest,
        "cusum_threshold": alarm.threshold,
        "n_recent": n,
    }
    if not n:
        return Finding(ACCURACY_HOLDS, None, "no outcome of the champion yet", numbers)
    share, (low, high) = right / n, wilson_interval(right / n, n)
    numbers |= {"accuracy": share, "lower": low, "upper": high}
    said = f"accuracy {share:.1%} [{low:.1%}, {high:.1%}] of the last {n}, expected {p0:.1%}"
    by_cusum, by_bound = accuracy_alarms(served.correct, p0, rules)
    if by_cusum[-1]:
        message = f"CUSUM {alarm.highest:.1f} reached {alarm.threshold:.1f}; {said}"
        return Finding(ACCURACY_HOLDS, holds=False, message=message, numbers=numbers)
    if n >= rules.bound_outcomes:
        numbers["upper_bound"] = upper_bound(right, n, rules.shared_bound_level)
    if by_bound[-1]:
        message = f"upper bound {numbers['upper_bound']:.1%} ({100 * rules.shared_bound_level:.6g}%) is too low; {said}"
        return Finding(ACCURACY_HOLDS, holds=False, message=message, numbers=numbers)
    message = f"CUSUM {alarm.highest:.1f} of {alarm.threshold:.1f}; {said}"
    if n >= rules.warn_outcomes and (share < rules.warn_accuracy or share < p0 - rules.max_drop):
        return Finding(ACCURACY_HOLDS, holds=False, message=message, numbers=numbers, waits=WARNING)
    return Finding(ACCURACY_HOLDS, holds=True, message=message, numbers=numbers)


def _drift(served: Served, as_of: datetime, rules: CalibratedRules) -> Finding:
    today, before = served.today, served.day_before
    if today is None or today.score is None:
        message = "uncalibrated: under 32 days of reference, or no features yet"
        return Finding(FEATURES_HAVE_NOT_DRIFTED, None, message, {"score": None})
    known = before if before is not None else DriftDay(None)
    twice = sorted(today.far & known.far)
    numbers: Numbers = {
        "score": today.score,
        "score_day_before": known.score,
        "n_channels": today.n_channels,
        "far_channels": len(today.far),
        "far_on_both_days": len(twice),
    }
    message = f"{today.score:.0%} of {today.n_channels} channels moved, limit {rules.max_drift:.0%} on two days"
    if today.far:
        names = sorted(twice or today.far)
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        message += f"; far{' on both days' if twice else ' today'}: {', '.join(names[:SHOWN])}{more}"
    moved = today.score > rules.max_drift and known.score is not None and known.score > rules.max_drift
    if not moved and not twice:
        return Finding(FEATURES_HAVE_NOT_DRIFTED, holds=True, message=message, numbers=numbers)
    waits = None
    if served.labels_end is not None:
        hours = (as_of - served.labels_end) / timedelta(hours=1)
        numbers["new_label_hours"] = hours
        if hours < rules.new_label_hours:
            waits = f"only {hours:.0f} h of labels since the last training, {rules.new_label_hours:g} h needed"
    return Finding(FEATURES_HAVE_NOT_DRIFTED, holds=False, message=message, numbers=numbers, waits=waits)


def _freshness(served: Served, as_of: datetime, rules: CalibratedRules) -> Finding:
    champion = served.champion
    if champion is None:
        message = no_champion(served.gate)
        return Finding(MODEL_IS_FRESH, holds=False, message=message, numbers={"age_days": None})
    age = (as_of - champion.data_end) / timedelta(days=1)
    numbers: Numbers = {"age_days": age}
    if not champion.inputs_exist:
        message = "its feature set is not built any more"
        return Finding(MODEL_IS_FRESH, holds=False, message=message, numbers=numbers)
    message = f"its data ended {age:.1f} days ago, limit {rules.max_age_days:g}"
    return Finding(MODEL_IS_FRESH, holds=age < rules.max_age_days, message=message, numbers=numbers)
