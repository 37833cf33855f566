"""Scores of forecasts with their uncertainty: hours are dependent, so intervals come from a block bootstrap."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crypto_platform.core.estimators import WalkForward
from crypto_platform.core.signals import REGRESSOR

Floats = NDArray[np.float64]

POOLED: Final = -1  # fold number of the metrics over all folds
REPLICATIONS: Final = 1_000
PROBABILITY_FLOOR: Final = 1e-12  # keeps the log loss of a certain, wrong forecast finite
BASELINE_RATE: Final = "baseline_base_rate"
BASELINE_PERSISTENCE: Final = "baseline_persistence"


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


def log_losses(directions: NDArray[np.int64], prob_up: Floats) -> Floats:
    """-ln of the probability given to what happened, in nats, shape (n,)."""
    given = np.where(directions == 1, prob_up, 1 - prob_up)
    return np.asarray(-np.log(np.clip(given, PROBABILITY_FLOOR, 1.0)))


def block_length(horizon: int) -> int:
    """Mean block of the bootstrap, in hours: a day at least, and twice the overlap of labels."""
    return max(24, 2 * horizon)


def mean_interval(
    values: Floats, block: int, seed: int, replications: int = REPLICATIONS, level: float = 0.95
) -> tuple[float, float] | None:
    """Percentile interval of the mean of a dependent series by the stationary bootstrap.

    Parameters
    ----------
    values : array, shape (n,)
        In time order, finite.
    block : int
        Mean block length, in rows.
    seed : int
        Of the resampling.

    Returns
    -------
    tuple of float, or None
        None with fewer than two blocks of values: nothing honest can be said.

    References
    ----------
    Politis & Romano (1994), The stationary bootstrap, JASA 89 (428), 1303-1313.
    """
    n = len(values)
    if n < 2 * block:
        return None
    rng = np.random.default_rng(seed)
    jumps = rng.random((replications, n)) < 1 / block
    jumps[:, 0] = True
    starts = rng.integers(0, n, size=(replications, n))
    # A resampled row walks on from its block's start until the next jump, around the end of the series.
    last_jump = np.maximum.accumulate(np.where(jumps, np.arange(n), 0), axis=1)
    rows = (np.take_along_axis(starts, last_jump, axis=1) + np.arange(n) - last_jump) % n
    means = values[rows].mean(axis=1)
    tail = (1 - level) / 2
    lower, upper = np.quantile(means, [tail, 1 - tail])
    return float(lower), float(upper)


def walk_forward_metrics(
    result: WalkForward, directions: NDArray[np.int64], returns: Floats, horizon: int, seed: int
) -> list[Metric]:
    """Every model's and baseline's scores, fold by fold and pooled.

    Parameters
    ----------
    result : WalkForward
    directions, returns : array, shape (n,)
        Labels of the whole training set, which `result.rows` points into.
    horizon : int
        Hours ahead.
    seed : int
        Of the bootstrap.
    """
    truth, realized = directions[result.rows], returns[result.rows]
    forecasts = {**result.prob_up, BASELINE_RATE: result.base_rate}
    # Persistence at t may use the newest direction known at as_of(t): that of the label horizon rows before.
    known = result.rows - horizon
    persistence = np.where(known >= 0, directions[np.maximum(known, 0)], np.nan)
    block = block_length(horizon)

    metrics: list[Metric] = []
    for fold in (POOLED, *np.unique(result.fold).tolist()):
        chosen = np.full(len(truth), fill_value=True) if fold == POOLED else result.fold == fold
        for name, prob_up in forecasts.items():
            metrics += _classification(name, fold, truth[chosen], prob_up[chosen], block, seed)
        seen = chosen & np.isfinite(persistence)
        hits = (persistence[seen] == truth[seen]).astype(float)
        if len(hits):
            metrics.append(_mean(BASELINE_PERSISTENCE, "accuracy", fold, hits, block, seed))
        metrics += _regression(fold, realized[chosen], result.ridge_return[chosen], block, seed)
    return metrics


def _mean(model: str, metric: str, fold: int, values: Floats, block: int, seed: int) -> Metric:
    interval = mean_interval(values, block, seed) if fold == POOLED else None
    lower, upper = interval or (None, None)
    return Metric(model, metric, fold, float(values.mean()), len(values), lower, upper)


def _classification(
    name: str, fold: int, truth: NDArray[np.int64], prob_up: Floats, block: int, seed: int
) -> list[Metric]:
    from sklearn.metrics import balanced_accuracy_score, matthews_corrcoef, roc_auc_score  # noqa: PLC0415

    calls = (prob_up >= 0.5).astype(int)
    losses = log_losses(truth, prob_up)
    metrics = [
        _mean(name, "accuracy", fold, (calls == truth).astype(float), block, seed),
        _mean(name, "log_loss", fold, losses, block, seed),
        _mean(name, "brier", fold, (prob_up - truth) ** 2, block, seed),
        Metric(name, "base_rate", fold, float(truth.mean()), len(truth)),
    ]
    if len(np.unique(truth)) == 2:
        for metric, value in (
            ("auc", roc_auc_score(truth, prob_up)),
            ("balanced_accuracy", balanced_accuracy_score(truth, calls)),
            ("mcc", matthews_corrcoef(truth, calls)),
        ):
            metrics.append(Metric(name, metric, fold, float(value), len(truth)))
    return metrics


def _regression(fold: int, realized: Floats, forecast: Floats, block: int, seed: int) -> list[Metric]:
    from scipy.stats import spearmanr  # noqa: PLC0415

    errors = forecast - realized
    scale = float((realized**2).sum())
    metrics = [
        _mean(REGRESSOR, "mae", fold, np.abs(errors), block, seed),
        Metric(REGRESSOR, "rmse", fold, float(np.sqrt((errors**2).mean())), len(errors)),
        _mean(REGRESSOR, "directional_accuracy", fold, (np.sign(forecast) == np.sign(realized)) * 1.0, block, seed),
    ]
    if scale > 0:
        metrics.append(Metric(REGRESSOR, "r2_against_zero", fold, 1 - float((errors**2).sum()) / scale, len(errors)))
    if len(errors) > 2 and np.ptp(forecast) > 0 and np.ptp(realized) > 0:
        metrics.append(Metric(REGRESSOR, "ic", fold, float(spearmanr(forecast, realized).statistic), len(errors)))
    return metrics


def pooled(metrics: list[Metric], model: str, metric: str) -> Metric | None:
    """The pooled score of one model, None where it is not defined."""
    return next((m for m in metrics if (m.model_name, m.metric_name, m.fold) == (model, metric, POOLED)), None)


def summary(metrics: list[Metric]) -> Mapping[str, Mapping[str, float]]:
    """Pooled values by model and metric."""
    table: dict[str, dict[str, float]] = {}
    for metric in metrics:
        if metric.fold == POOLED:
            table.setdefault(metric.model_name, {})[metric.metric_name] = metric.value
    return table
