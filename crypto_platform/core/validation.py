"""Validation of the whole recipe in time: fit, calibrate on earlier folds, combine, forecast what comes after.

Every number that is reported of a model comes from here, never from the refit that serves.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crypto_platform.core import calibration, estimators
from crypto_platform.core import novelty as distances
from crypto_platform.core.calibration import MIN_SIGMOID, Span, log_losses
from crypto_platform.core.estimators import ModelParameters, TrainingSet
from crypto_platform.core.serving import SCALER
from crypto_platform.core.signals import CLASSIFIERS, ENSEMBLE, REGRESSOR, combine
from crypto_platform.core.splits import Fold
from crypto_platform.errors import NotTrainableError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Each = Callable[..., Iterable[Any]]  # `map`, or that of a pool of processes, which begins at once

IMPORTANCE_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class OutOfSample:
    """Forecasts of rows that no part of the recipe had seen, in time order.

    Attributes
    ----------
    rows : array of int, shape (m,)
        Row of the training set each forecast is for.
    fold : array of int, shape (m,)
    prob_up : mapping of str to array, shape (m,)
        Calibrated, of each classifier, and of the ensemble.
    ridge_return : array, shape (m,)
    base_rate, mean_return : array, shape (m,)
        Share of ups and mean return in the training part of the row's fold: the honest constant forecasts.
    span : int
        Hours of one test window, valid rows or not.
    novelty : array, shape (m,), or None
        How unlike its fold's training part each row is (`core.novelty`); None where it was not asked for.
    """

    rows: Ints
    fold: Ints
    prob_up: Mapping[str, Floats]
    ridge_return: Floats
    base_rate: Floats
    mean_return: Floats
    span: int
    novelty: Floats | None = None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class WalkForward:
    """A walk-forward validation.

    Attributes
    ----------
    forecasts : OutOfSample
        Of all folds.
    calibrators : mapping of str to array
        Of the classifiers that gain by one, from the scores of all folds.
    importance : mapping of str to array, shape (n_features,)
        Rise of the log loss, in nats, of each classifier, the ensemble and the ridge regression, when a feature's
        values are exchanged among the rows of a fold; empty where none was asked for. Of uncalibrated scores. The
        ridge's is that of a normal distribution about its forecast, as wide as the fold's returns: half the fall of
        its R² against zero.
    importance_rows : int
        Out-of-sample rows behind it.
    scores : mapping of str to array, shape (m,)
        Uncalibrated forecasts of each model.
    spans : sequence of Span
        Folds in the scores.
    """

    forecasts: OutOfSample
    calibrators: Mapping[str, Floats]
    importance: Mapping[str, Floats] = field(default_factory=dict)
    importance_rows: int = 0
    scores: Mapping[str, Floats] = field(default_factory=dict)
    spans: Sequence[Span] = ()

    def calibrators_at(self, rows: TrainingSet, hour: int) -> dict[str, Floats]:
        """The calibrators one would have chosen when the first forecast was of the candle of `hour`.

        A short history leaves fewer scores before that hour than a calibrator needs that is to be stored. Half of them
        do here, as they do where `calibration.choose` judges one: a recipe that calibrates is tried with calibration.
        """
        hours, truth = rows.hours[self.forecasts.rows], rows.directions[self.forecasts.rows]
        known = int(np.searchsorted(hours, hour - rows.horizon, side="right"))
        spans = [span for span in self.spans if span.end <= known]
        fewest = MIN_SIGMOID if known >= MIN_SIGMOID else MIN_SIGMOID // 2
        chosen = {
            name: calibration.choose(truth[:known], self.scores[name][:known], spans, fewest) for name in CLASSIFIERS
        }
        return {name: found for name, found in chosen.items() if found is not None}


def walk_forward(
    rows: TrainingSet,
    folds: Sequence[Fold],
    parameters: ModelParameters,
    span: int,
    importance_rows: int = 0,
    each: Each = map,
    *,
    novelty: bool = False,
) -> WalkForward:
    """Fit on each fold's training part, forecast its test part.

    Parameters
    ----------
    rows : TrainingSet
    folds : sequence of Fold
        One whose training part has one direction only is left out: there is nothing to learn there.
    parameters : ModelParameters
    span : int
        Hours of a test window.
    importance_rows : int
        Test rows to measure the importance of features on, over all folds; 0 does not.
    each : callable
        Works off the folds, in order.
    novelty : bool
        Whether to measure how unlike the training part each test row is: what signals need, and scores do not.

    Raises
    ------
    NotTrainableError
        No fold could be fitted.
    """
    usable = [fold for fold in folds if len(np.unique(rows.directions[fold.train])) == 2]
    if not usable:
        raise NotTrainableError("no walk-forward fold could be fitted: the history is too short")
    chosen = _spread([len(fold.test) for fold in usable], importance_rows)
    worked_off = each(_score_fold, repeat(rows), usable, chosen, repeat(parameters), repeat(novelty))
    scores, rises, unlike = zip(*worked_off, strict=True)
    importance = [rise for rise in rises if rise]
    together = {name: np.concatenate([score[name] for score in scores]) for name in scores[0]}
    spans = _spans(rows, usable)
    forecasts, calibrators = _calibrated(rows, usable, spans, together, span)
    count = sum(map(len, chosen))
    means = (
        {name: np.sum([part[name] for part in importance], axis=0) / count for name in importance[0]} if count else {}
    )
    forecasts = replace(forecasts, novelty=np.concatenate(unlike) if novelty else None)
    return WalkForward(forecasts, calibrators, means, count, together, spans)


def _score_fold(
    rows: TrainingSet, fold: Fold, picked: Ints, parameters: ModelParameters, novelty: bool
) -> tuple[dict[str, Floats], dict[str, Floats], Floats | None]:
    """Uncalibrated forecasts of a fold's test part, what exchanged features cost on some of its rows, and novelty."""
    train, test = rows.take(fold.train), rows.take(fold.test)
    fitted = estimators.fit(train, parameters)
    scores = estimators.predict(fitted.models, test.inputs, rows.feature_names, rows.horizon)
    rises = _exchange(fitted, test, picked, scores, parameters.seed) if len(picked) else {}
    return scores, rises, _unlike(fitted, train, test) if novelty else None


def _unlike(fitted: estimators.Fitted, train: TrainingSet, test: TrainingSet) -> Floats:
    """Novelty of each test row, on the scale that serves."""
    mean, scale = (np.asarray(fitted.scaling[SCALER][part]) for part in ("mean", "scale"))
    return distances.novelty(distances.reference((train.inputs - mean) / scale), (test.inputs - mean) / scale)


def score(rows: TrainingSet, fold: Fold, parameters: ModelParameters) -> dict[str, Floats]:
    """Uncalibrated forecasts of a fold's test part by the recipe fitted before it.

    Raises
    ------
    NotTrainableError
        The training part has one direction only.
    """
    return _score_fold(rows, fold, np.empty(0, dtype=np.int64), parameters, novelty=False)[0]


def of_newest(
    rows: TrainingSet, fold: Fold, scores: Mapping[str, Floats], calibrators: Mapping[str, Floats], span: int
) -> OutOfSample:
    """Forecasts of the newest hours: their scores of `score`, calibrated; of a holdout to be called once."""
    return _out_of_sample(rows, [fold], calibration.apply_all(calibrators, scores), span)


def _spans(rows: TrainingSet, folds: Sequence[Fold]) -> list[Span]:
    hours = rows.hours[np.concatenate([fold.test for fold in folds])]
    ends = np.cumsum([len(fold.test) for fold in folds])
    return [
        # The label of hour t is known at the end of hour t + horizon.
        Span(int(np.searchsorted(hours, hours[first] - rows.horizon, side="right")), first, end)
        for first, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)
    ]


def _calibrated(
    rows: TrainingSet, folds: Sequence[Fold], spans: Sequence[Span], scores: Mapping[str, Floats], span: int
) -> tuple[OutOfSample, dict[str, Floats]]:
    truth = rows.directions[np.concatenate([fold.test for fold in folds])]
    forward = {name: calibration.forward(truth, scores[name], spans) for name in CLASSIFIERS}
    final = {name: calibration.choose(truth, scores[name], spans) for name in CLASSIFIERS}
    forecasts = _out_of_sample(rows, folds, {**forward, REGRESSOR: scores[REGRESSOR]}, span)
    return forecasts, {name: found for name, found in final.items() if found is not None}


def _out_of_sample(rows: TrainingSet, folds: Sequence[Fold], forecasts: Mapping[str, Floats], span: int) -> OutOfSample:
    def of_training(values: NDArray[np.generic]) -> Floats:
        return np.concatenate([np.full(len(fold.test), values[fold.train].mean()) for fold in folds])

    classifiers = {name: forecasts[name] for name in CLASSIFIERS}
    ensemble = combine(np.column_stack(list(classifiers.values())), forecasts[REGRESSOR])
    return OutOfSample(
        rows=np.concatenate([fold.test for fold in folds]),
        fold=np.concatenate([np.full(len(fold.test), number) for number, fold in enumerate(folds)]),
        prob_up={**classifiers, ENSEMBLE: ensemble.prob_up},
        ridge_return=forecasts[REGRESSOR],
        base_rate=of_training(rows.directions),
        mean_return=of_training(rows.returns),
        span=span,
    )


def _spread(sizes: Sequence[int], total: int) -> list[Ints]:
    """Evenly spaced positions in each fold, `total` over all folds at most."""
    share = min(1.0, total / sum(sizes))
    return [np.linspace(0, size - 1, int(size * share)).astype(np.int64) for size in sizes]


def _exchange(
    fitted: estimators.Fitted, test: TrainingSet, picked: Ints, scores: Mapping[str, Floats], seed: int
) -> dict[str, Floats]:
    """Summed rise of the log loss over the picked rows, for each feature: its value comes from another row.

    References
    ----------
    Breiman (2001), Random forests, Machine Learning 45, 5-32, section 10.
    """
    n_features = len(test.feature_names)
    drawn = np.random.default_rng(seed).permuted(np.tile(np.arange(len(test)), (n_features, 1)), axis=1)[:, picked]
    inputs = np.repeat(test.inputs[None, picked], n_features, axis=0)
    each = np.arange(n_features)
    inputs[each, :, each] = test.inputs[drawn, each[:, None]]
    forecasts = estimators.predict(fitted.models, inputs.reshape(-1, n_features), test.feature_names, test.horizon)
    truth = test.directions[picked]
    exchanged = {name: forecasts[name].reshape(n_features, -1) for name in CLASSIFIERS}
    before = {name: scores[name][picked] for name in CLASSIFIERS}
    for given in (exchanged, before):
        given[ENSEMBLE] = np.mean([given[name] for name in CLASSIFIERS], axis=0)
    rises = {
        name: (log_losses(truth, exchanged[name]) - log_losses(truth, before[name])).sum(axis=1) for name in exchanged
    }
    realized, variance = test.returns[picked], float((test.returns**2).mean())
    errors = (forecasts[REGRESSOR].reshape(n_features, -1) - realized) ** 2
    rises[REGRESSOR] = (errors - (scores[REGRESSOR][picked] - realized) ** 2).sum(axis=1) / (2 * variance)
    return rises
