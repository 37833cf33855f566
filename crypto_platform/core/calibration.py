"""Calibration: from a classifier's scores to probabilities that mean what they say.

A calibrator is a plain array, so that it needs no library to be stored or applied: shape (2,) is a sigmoid (slope,
intercept) on the log odds, shape (2, k) an isotonic step-free curve through k points (scores, probabilities). None
leaves scores as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Calibrator = Floats | None

MIN_SIGMOID: Final = 300  # scores; a sigmoid has two parameters, an isotonic curve many
MIN_ISOTONIC: Final = 2_000
FLATTEST: Final = 0.1  # slope of a sigmoid; odds of 3 to 1 become 1.1 to 1
SCORE_FLOOR: Final = 1e-6  # keeps log odds finite
PROBABILITY_FLOOR: Final = 1e-12  # keeps the log loss of a certain, wrong forecast finite

_Fit = Callable[[Ints, Floats], Calibrator]


@dataclass(frozen=True, slots=True)
class Span:
    """Out-of-fold scores of one fold: positions [first, end), and how many of the first had resolved before it."""

    known: int
    first: int
    end: int


def log_losses(directions: Ints, prob_up: Floats) -> Floats:
    """-ln of the probability given to what happened, in nats, shape (n,)."""
    given = np.where(directions == 1, prob_up, 1 - prob_up)
    return np.asarray(-np.log(np.clip(given, PROBABILITY_FLOOR, 1.0)))


def log_odds(prob_up: Floats) -> Floats:
    """ln(p / (1 - p)), finite for every p in [0, 1]."""
    clipped = np.clip(prob_up, SCORE_FLOOR, 1 - SCORE_FLOOR)
    return np.asarray(np.log(clipped / (1 - clipped)))


def apply(calibrator: Calibrator, scores: Floats) -> Floats:
    """Calibrated up-probabilities of scores, shape (n,)."""
    if calibrator is None:
        return scores
    if calibrator.ndim == 1:
        slope, intercept = calibrator
        return np.asarray(1 / (1 + np.exp(-(slope * log_odds(scores) + intercept))))
    return np.asarray(np.interp(scores, calibrator[0], calibrator[1]))


def apply_all(calibrators: Mapping[str, Floats], forecasts: Mapping[str, Floats]) -> dict[str, Floats]:
    """Forecasts of several models, each calibrated where there is a calibrator of its name."""
    return {name: apply(calibrators.get(name), scores) for name, scores in forecasts.items()}


def is_sound(calibrator: Floats) -> bool:
    """Whether an array is a calibrator: a rising sigmoid, or points of a curve that never falls within [0, 1]."""
    if not np.isfinite(calibrator).all():
        return False
    if calibrator.ndim == 1:
        return len(calibrator) == 2 and bool(calibrator[0] > 0)
    if calibrator.ndim != 2 or calibrator.shape[0] != 2 or calibrator.shape[1] == 0:
        return False
    scores, probabilities = calibrator
    rises = (np.diff(scores) > 0).all() and (np.diff(probabilities) >= 0).all()
    return bool(rises and probabilities[0] >= 0 and probabilities[-1] <= 1)


def stored(manifest: Mapping[str, Any]) -> dict[str, Floats]:
    """Calibrators that a bundle's manifest has, by model."""
    return {name: np.array(values, dtype=float) for name, values in manifest.get("calibrators", {}).items()}


def logistic_line(directions: Ints, scores: Floats) -> Floats | None:
    """Slope and intercept of the logistic regression of directions on the log odds of scores.

    Returns
    -------
    array, shape (2,), or None
        None where there is no finite maximum: scores or directions do not vary, or scores separate directions.

    References
    ----------
    Cox (1958), Two further applications of a model for binary regression, Biometrika 45, 562-565.
    """
    x = log_odds(scores)
    if np.ptp(x) < 1e-9 or len(np.unique(directions)) < 2:
        return None
    design = np.column_stack([x, np.ones(len(x))])
    line = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ line, -500, 500)))
        curvature = (design * (p * (1 - p))[:, None]).T @ design
        if np.linalg.cond(curvature) > 1e12:
            return None
        step = np.linalg.solve(curvature, design.T @ (directions - p))
        line += np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-10:
            return line
    return None


def slope_and_error(directions: Ints, scores: Floats) -> tuple[float, float] | None:
    """Slope of `logistic_line` and its standard error for independent rows; None where there is no line."""
    line = logistic_line(directions, scores)
    if line is None:
        return None
    design = np.column_stack([log_odds(scores), np.ones(len(scores))])
    p = 1 / (1 + np.exp(-np.clip(design @ line, -500, 500)))
    information = (design * (p * (1 - p))[:, None]).T @ design
    return float(line[0]), float(np.sqrt(np.linalg.inv(information)[0, 0]))


def fit_sigmoid(directions: Ints, scores: Floats) -> Calibrator:
    """Platt's sigmoid, its slope `FLATTEST` at least: a model is never turned around.

    The likeliest slope of scores that know nothing is as often below zero as above. They need calibration most: with
    the flattest sigmoid they say hardly more than the base rate.

    References
    ----------
    Platt (1999), Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers, 61-74.
    """
    line = logistic_line(directions, scores)
    return line if line is None or line[0] >= FLATTEST else np.array([FLATTEST, _intercept(directions, scores)])


def _intercept(directions: Ints, scores: Floats) -> float:
    """Of the flattest sigmoid: its mean is the share of ups, which Newton's method finds in a few steps."""
    x, intercept = FLATTEST * log_odds(scores), 0.0
    for _ in range(50):
        p = 1 / (1 + np.exp(-(x + intercept)))
        step = float((directions - p).sum() / (p * (1 - p)).sum())
        intercept += float(np.clip(step, -5, 5))
        if abs(step) < 1e-10:
            break
    return intercept


def fit_isotonic(directions: Ints, scores: Floats) -> Calibrator:
    """Least-squares nondecreasing curve; None where it is flat."""
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415

    curve = IsotonicRegression(out_of_bounds="clip").fit(scores, directions)
    points = np.vstack([curve.X_thresholds_, curve.y_thresholds_]).astype(float)
    # A curve that ends at 0 or 1 would call the next surprise impossible.
    points[1] = np.clip(points[1], 1 / len(scores), 1 - 1 / len(scores))
    return points if np.ptp(points[1]) > 0 else None


def choose(directions: Ints, scores: Floats, folds: Sequence[Span], fewest: int = MIN_SIGMOID) -> Calibrator:
    """The calibrator of out-of-fold scores, or None unless one lowers the log loss of scores it did not see.

    Each kind with enough scores is fitted again and again on what was known before a fold, and judged on that fold:
    a curve that was judged on its own scores would always look better.

    Parameters
    ----------
    directions, scores : array, shape (n,)
        Of all folds, in time order.
    folds : sequence of Span
    fewest : int
        Scores that a sigmoid needs; each kind is judged with half of what it needs.
    """
    best, lowest = None, 0.0
    for at_least, fit in ((fewest, fit_sigmoid), (MIN_ISOTONIC + 1, fit_isotonic)):
        if len(scores) < at_least:
            continue
        change = _change(fit, at_least // 2, directions, scores, folds)
        if change < lowest:
            best, lowest = fit, change
    return None if best is None else best(directions, scores)


def _change(fit: _Fit, at_least: int, directions: Ints, scores: Floats, folds: Sequence[Span]) -> float:
    """Summed change of the log loss over the folds that had `at_least` scores before them; below 0 is better."""
    change = 0.0
    for fold in folds:
        if fold.known >= at_least and fold.end <= len(scores):
            truth, given = directions[fold.first : fold.end], scores[fold.first : fold.end]
            calibrated = apply(fit(directions[: fold.known], scores[: fold.known]), given)
            change += float((log_losses(truth, calibrated) - log_losses(truth, given)).sum())
    return change


def forward(directions: Ints, scores: Floats, folds: Sequence[Span]) -> Floats:
    """Scores calibrated fold by fold, each with the calibrator one would have chosen before it, shape (n,)."""
    calibrated = scores.copy()
    for number, fold in enumerate(folds):
        calibrator = choose(directions[: fold.known], scores[: fold.known], folds[:number])
        calibrated[fold.first : fold.end] = apply(calibrator, scores[fold.first : fold.end])
    return calibrated
