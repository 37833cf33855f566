"""Scores of forecasts beside baselines on the same rows, with intervals for dependent hours.

Each function of scores takes the weights of a resample, so that a value and its replications are computed alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crypto_platform.core import bootstrap
from crypto_platform.core.bootstrap import Resample, block_length, hac_lag, positive_mean_p_value
from crypto_platform.core.calibration import log_losses, logistic_line
from crypto_platform.core.estimators import TrainingSet
from crypto_platform.core.signals import ENSEMBLE, REGRESSOR
from crypto_platform.core.validation import OutOfSample

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Draws = Mapping[str, Floats]  # metric: value of the sample, then of its replications

POOLED: Final = -1  # fold number of the metrics over all folds
HOLDOUT: Final = -2  # fold number of the metrics on the holdout
BINS: Final = 10
ROUNDING: Final = 1e-12  # variance below which a share is 0 or 1

BASELINE_RATE: Final = "baseline_base_rate"  # the train base rate; its calls are the train majority class
BASELINE_COIN: Final = "baseline_coin"
BASELINE_PERSISTENCE: Final = "baseline_persistence"
BASELINE_UP: Final = "baseline_always_up"
BASELINE_ZERO: Final = "baseline_zero_return"
BASELINE_MEAN: Final = "baseline_mean_return"

SKILL: Final = "skill_p_value"


@dataclass(frozen=True, slots=True)
class Metric:
    """One out-of-sample score; the 95 % interval is None where none is defined."""

    model_name: str
    metric_name: str
    fold: int
    value: float
    n: int
    lower: float | None = None
    upper: float | None = None


def evaluate(result: OutOfSample, rows: TrainingSet, seed: int, pooled_as: int = POOLED) -> list[Metric]:
    """Every model's and baseline's scores, fold by fold and pooled.

    Parameters
    ----------
    result : OutOfSample
    rows : TrainingSet
        The whole one, which `result.rows` points into.
    seed : int
        Of the bootstrap.
    pooled_as : int
        Fold number of what is pooled: `POOLED`, or `HOLDOUT`, which has no folds.

    Returns
    -------
    list of Metric
        Intervals are of pooled scores only: a fold is too short for one.
    """
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    case = case_of(result, rows)
    with threadpool_limits(
        1
    ):  # sums of products differ in their last bit by the number of threads, and a bundle's hash
        resample = Resample.stationary(len(result), block_length(rows.horizon), seed)
        metrics = scored(case, np.arange(len(result)), resample, pooled_as)
        metrics += gains(case, resample, hac_lag(rows.horizon), pooled_as)
        if pooled_as == POOLED:
            for fold in np.unique(result.fold).tolist():
                chosen = np.flatnonzero(result.fold == fold)
                metrics += scored(case, chosen, Resample.none(len(chosen)), fold)
    n_folds = len(np.unique(result.fold))
    metrics.append(Metric(ENSEMBLE, "coverage", pooled_as, len(result) / (n_folds * result.span), len(result)))
    return metrics


@dataclass(frozen=True, slots=True)
class Case:
    """Truth and forecasts on one set of rows, models and baselines alike, shape (n,) each."""

    truth: Ints
    realized: Floats
    probabilities: Mapping[str, Floats]
    calls: Mapping[str, Ints]  # of baselines that state no probability
    returns: Mapping[str, Floats]


def case_of(result: OutOfSample, rows: TrainingSet) -> Case:
    """Truth, models and baselines of a walk-forward or a holdout; see `evaluate`."""
    truth = rows.directions[result.rows]
    # Persistence at t may use the newest direction known at as_of(t): that of the label that has just resolved.
    known = np.searchsorted(rows.hours, rows.hours[result.rows] - rows.horizon, side="right") - 1
    if (known < 0).any():
        raise ValueError("out-of-sample rows have no resolved label before them")
    return Case(
        truth=truth,
        realized=rows.returns[result.rows],
        probabilities={
            **result.prob_up,
            BASELINE_RATE: result.base_rate,
            BASELINE_COIN: np.full(len(truth), 0.5),
        },
        calls={BASELINE_PERSISTENCE: rows.directions[known], BASELINE_UP: np.ones_like(truth)},
        returns={
            REGRESSOR: result.ridge_return,
            BASELINE_ZERO: np.zeros(len(truth)),
            BASELINE_MEAN: result.mean_return,
        },
    )


def scored(case: Case, chosen: Ints, resample: Resample, fold: int) -> list[Metric]:
    """Every model's and baseline's scores on the chosen rows, of which `resample` is."""
    truth = case.truth[chosen]
    found: list[tuple[str, Draws]] = []
    for name, given in case.probabilities.items():
        prob_up = given[chosen]
        calls = (prob_up >= 0.5).astype(np.int64)
        draws = probability_scores(truth, prob_up, resample)
        # A coin has no side: its calls would be those of always up.
        found.append((name, draws if name == BASELINE_COIN else call_scores(truth, calls, resample) | draws))
    found += [(name, call_scores(truth, given[chosen], resample)) for name, given in case.calls.items()]
    found += [
        (name, return_scores(case.realized[chosen], given[chosen], resample)) for name, given in case.returns.items()
    ]
    metrics = [_metric(name, metric, fold, len(chosen), draws) for name, of in found for metric, draws in of.items()]
    metrics.append(Metric(ENSEMBLE, "base_rate", fold, float(truth.mean()), len(chosen)))
    return [metric for metric in metrics if np.isfinite(metric.value)]


def _metric(name: str, metric: str, fold: int, n: int, draws: Floats) -> Metric:
    lower, upper = bootstrap.interval(draws) or (None, None)
    return Metric(name, metric, fold, float(draws[0]), n, lower, upper)


def call_scores(truth: Ints, calls: Ints, resample: Resample) -> dict[str, Floats]:
    """Accuracy, balanced accuracy and Matthews' correlation of calls up (1) or down (0); NaN where undefined.

    References
    ----------
    Matthews (1975), Comparison of the predicted and observed secondary structure of T4 phage lysozyme,
    Biochim. Biophys. Acta 405, 442-451.
    """
    up = resample.means(np.column_stack([truth * calls, truth, calls]).astype(float))
    hit, actual, called = up.T
    correct_down = 1 - actual - called + hit
    with np.errstate(invalid="ignore", divide="ignore"):
        both = np.where(actual * (1 - actual) > ROUNDING, 1.0, np.nan)
        balanced = both * (hit / actual + correct_down / (1 - actual)) / 2
        varies = np.minimum(actual * (1 - actual), called * (1 - called)) > ROUNDING
        spread = np.sqrt(np.where(varies, actual * (1 - actual) * called * (1 - called), np.nan))
        correlation = (hit - actual * called) / spread
    return {
        "accuracy": resample.means((truth == calls).astype(float)),
        "balanced_accuracy": balanced,
        "mcc": correlation,
    }


def probability_scores(truth: Ints, prob_up: Floats, resample: Resample) -> dict[str, Floats]:
    """Log loss, Brier score, AUC, and how well calibrated; the latter as one value without replications.

    Reliability and resolution are of `BINS` bins of equal count, as is the expected calibration error; a perfect
    forecaster has calibration slope 1 and intercept 0.

    References
    ----------
    Murphy (1973), A new vector partition of the probability score, J. Appl. Meteor. 12, 595-600.
    Naeini, Cooper & Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning, AAAI 29.
    """
    losses = np.column_stack([log_losses(truth, prob_up), (prob_up - truth) ** 2])
    log_loss, brier = resample.means(losses).T
    reliability, resolution, error = calibration_parts(truth, prob_up)
    line = logistic_line(truth, prob_up)
    slope, intercept = (np.nan, np.nan) if line is None else line
    return {
        "log_loss": log_loss,
        "brier": brier,
        "auc": area_under_curve(truth, prob_up, resample),
        "brier_reliability": np.array([reliability]),
        "brier_resolution": np.array([resolution]),
        "ece": np.array([error]),
        "calibration_slope": np.array([slope]),
        "calibration_intercept": np.array([intercept]),
    }


def calibration_parts(truth: Ints, prob_up: Floats) -> tuple[float, float, float]:
    """Reliability and resolution of the Brier score, and the expected calibration error."""
    bins = np.array_split(np.argsort(prob_up, kind="stable"), min(BINS, len(truth)))
    share = np.array([len(rows) for rows in bins]) / len(truth)
    stated = np.array([prob_up[rows].mean() for rows in bins])
    seen = np.array([truth[rows].mean() for rows in bins])
    return (
        float(share @ (stated - seen) ** 2),
        float(share @ (seen - truth.mean()) ** 2),
        float(share @ np.abs(stated - seen)),
    )


def area_under_curve(truth: Ints, prob_up: Floats, resample: Resample) -> Floats:
    """Probability that an up hour was given more than a down hour, ties one half; NaN with one direction only."""
    order = np.argsort(prob_up, kind="stable")
    ups, first = truth[order] == 1, np.flatnonzero(np.r_[True, np.diff(prob_up[order]) > 0])
    areas = []
    for weights in resample.shares():
        up = np.add.reduceat(weights[:, order] * ups, first, axis=1)
        down = np.add.reduceat(weights[:, order] * ~ups, first, axis=1)
        below = np.cumsum(down, axis=1) - down / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            areas.append((up * below).sum(axis=1) / (up.sum(axis=1) * down.sum(axis=1)))
    return np.concatenate(areas)


def return_scores(realized: Floats, forecast: Floats, resample: Resample) -> dict[str, Floats]:
    """Errors of forecast returns, R² against a forecast of zero, directional accuracy and rank correlation (IC)."""
    errors = forecast - realized
    sides = np.sign(forecast) == np.sign(realized)
    columns = np.column_stack([np.abs(errors), errors**2, realized**2])
    absolute, squared, scale = resample.means(columns).T
    with np.errstate(invalid="ignore", divide="ignore"):
        explained = 1 - squared / scale
    scores = {"mae": absolute, "rmse": np.sqrt(squared), "r2_against_zero": explained}
    if np.ptp(forecast) == 0:
        return scores  # a constant ranks nothing, and its side is that of always up, always down or none
    return scores | {
        "directional_accuracy": resample.means(sides.astype(float)),
        "ic": rank_correlation(realized, forecast, resample),
    }


def rank_correlation(realized: Floats, forecast: Floats, resample: Resample) -> Floats:
    """Spearman's correlation; replications keep the ranks of the sample."""
    from scipy.stats import rankdata  # noqa: PLC0415

    a, b = rankdata(realized), rankdata(forecast)
    a, b = a - a.mean(), b - b.mean()
    ma, mb, ab, aa, bb = resample.means(np.column_stack([a, b, a * b, a * a, b * b])).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((ab - ma * mb) / np.sqrt((aa - ma**2) * (bb - mb**2)))


def gains(case: Case, resample: Resample, lag: int, fold: int) -> list[Metric]:
    """Paired gains over the best baseline, and the p-value of there being none.

    A model has to gain in both its loss and its accuracy, over every baseline: the largest p-value counts.
    """
    losses = {name: log_losses(case.truth, given) for name, given in case.probabilities.items()}
    hits = {name: (given >= 0.5) == (case.truth == 1) for name, given in case.probabilities.items()}
    hits |= {name: given == case.truth for name, given in case.calls.items()}
    scale = float((case.realized**2).mean()) or 1.0  # of squared errors, so that gains are in units of R²
    errors = {name: (given - case.realized) ** 2 / scale for name, given in case.returns.items()}
    hits[REGRESSOR] = np.sign(case.returns[REGRESSOR]) == np.sign(case.realized)

    called = {name: hits[name] * -1.0 for name in (BASELINE_RATE, BASELINE_PERSISTENCE, BASELINE_UP)}
    stated = {name: losses[name] for name in (BASELINE_RATE, BASELINE_COIN)}
    valued = {name: errors[name] for name in (BASELINE_ZERO, BASELINE_MEAN)}
    models = [name for name in case.probabilities if name not in (BASELINE_RATE, BASELINE_COIN)]
    metrics: list[Metric] = []
    for name in (*models, REGRESSOR):
        mine, their, gain = (errors, valued, "r2_gain") if name == REGRESSOR else (losses, stated, "log_loss_gain")
        p_value = 0.0
        for label, own, beside in ((gain, mine[name], their), ("accuracy_gain", hits[name] * -1.0, called)):
            best = min(beside.values(), key=lambda values: float(values.mean()))
            metrics.append(_metric(name, label, fold, len(own), resample.means(best - own)))
            p_value = max(
                p_value, *(positive_mean_p_value(resample.series(values - own), lag) for values in beside.values())
            )
        metrics.append(Metric(name, SKILL, fold, p_value, len(case.truth)))
    return metrics


def pooled(metrics: Sequence[Metric], model: str, metric: str, fold: int = POOLED) -> Metric | None:
    """The pooled score of one model, None where it is not defined."""
    return next((m for m in metrics if (m.model_name, m.metric_name, m.fold) == (model, metric, fold)), None)


def summary(metrics: Sequence[Metric], fold: int = POOLED) -> dict[str, dict[str, float]]:
    """Pooled values by model and metric."""
    table: dict[str, dict[str, float]] = {}
    for metric in metrics:
        if metric.fold == fold:
            table.setdefault(metric.model_name, {})[metric.metric_name] = metric.value
    return table


def accuracy_floor(result: OutOfSample, rows: TrainingSet) -> float:
    """What accuracy a served bundle must not fall below: one standard error under its walk-forward one, 0.5 at least.

    Parameters
    ----------
    result : OutOfSample
        Of the walk-forward folds.
    rows : TrainingSet
        The whole one.
    """
    correct = ((result.prob_up[ENSEMBLE] >= 0.5) == (rows.directions[result.rows] == 1)).astype(float)
    return max(0.5, float(correct.mean()) - bootstrap.hac_error(correct, hac_lag(rows.horizon)))
