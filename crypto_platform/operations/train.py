"""Train the four models of each symbol, try them on hours they have not seen, and hand the bundle to the gate."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, starmap
from operator import call
from typing import Any, Final

import numpy as np
import pandas as pd

from crypto_platform.core import estimators, metrics, promotion, retraining, splits, validation
from crypto_platform.core import features as science
from crypto_platform.core.estimators import ModelParameters, TrainingSet
from crypto_platform.core.hours import as_of as usable_from
from crypto_platform.core.promotion import Trial
from crypto_platform.core.signals import ENSEMBLE
from crypto_platform.core.splits import Fold, Plan
from crypto_platform.core.training_report import SHOWN_FEATURES
from crypto_platform.core.validation import Each, Floats, OutOfSample, WalkForward
from crypto_platform.errors import ArtifactError, NotTrainableError
from crypto_platform.operations import registry, training_rows, watch
from crypto_platform.operations.decide import Rules
from crypto_platform.operations.registration import Trained, register
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.operations.workers import ALONE, Workers
from crypto_platform.storage import bundles
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import model_versions

IMPORTANCE: Final = "feature_importance.json"


def due(
    store: Warehouse, symbols: Sequence[str], horizons: Sequence[int], as_of: datetime, rules: Rules
) -> tuple[str, ...]:
    """Symbols that lack a champion for a horizon, or whose champion's data ended as long ago as the rules allow.

    None that is held back, as a decision to retrain would be: see `core.retraining.restraint`.
    """
    restraint, longest = rules.restraint, timedelta(days=rules.calibrated.max_age_days)
    held = registry.champions(store, symbols, as_of)
    trained = watch.trainings(store, [(symbol, h) for symbol in symbols for h in horizons], as_of, restraint)

    def is_due(key: tuple[str, int]) -> bool:
        served = held.get(key)
        is_old = served is None or as_of - usable_from(served.train_end) >= longest
        return is_old and retraining.restraint(trained[key], as_of, restraint) is None

    return tuple(symbol for symbol in symbols if any(is_due((symbol, horizon)) for horizon in horizons))


def train(
    store: Warehouse,
    artifacts: ArtifactStore,
    symbols: Sequence[str],
    *,
    as_of: datetime,
    horizons: Sequence[int],
    train_days: int,
    parameters: ModelParameters,
    expiry: timedelta,
    workers: Workers = ALONE,
    importance_rows: int = validation.IMPORTANCE_ROWS,
    reason: str = "requested",
    clock: Callable[[], datetime] | None = None,
    feature_set: science.FeatureSet = science.DEFAULT,
) -> Report:
    """Train on the newest rows whose labels had resolved by `as_of`; a bundle that passes the gate serves from then on.

    Parameters
    ----------
    store : Warehouse
    artifacts : ArtifactStore
    symbols : sequence of str
    as_of : datetime
        Nothing known later enters: neither rows, nor labels that resolve after it.
    horizons : sequence of int
        Hours ahead; one bundle each.
    train_days : int
        Days of rows at most.
    parameters : ModelParameters
    expiry : timedelta
        Age of a champion's training data beyond which the gate asks less beside it.
    workers : Workers
        Share the fits of all series.
    importance_rows : int
        Out-of-sample rows that the importance of features is measured on; 0 does not.
    reason : str
        Kept with the change of the alias.
    clock : callable, optional
        Tells the moment at which a bundle is there, from which it serves; without it that is `as_of`.
    feature_set : FeatureSet
        What the stored features are; a bundle leaves out the parts that some of its rows lack.

    Returns
    -------
    Report
        A symbol without enough to learn from has `status: not_trainable` and keeps what serves; that is no failure, and
        neither is a bundle that is refused: `gate` says why.
    """
    jobs = [
        (symbol, horizon, rows, feature_set, parameters, train_days, importance_rows)
        for symbol in symbols
        for horizon in horizons
        for rows in [training_rows.resolved(store, symbol, horizon, as_of, train_days, feature_set)]
    ]
    results: dict[str, list[SymbolResult]] = {symbol: [] for symbol in symbols}
    for trained, job in zip(_run(jobs, workers), jobs, strict=True):
        done = register(
            store,
            artifacts,
            trained,
            job[2],
            as_of=as_of,
            at=max(as_of, clock()) if clock else as_of,
            parameters=parameters,
            reason=reason,
            expiry=expiry,
            feature_set=feature_set,
        )
        results[trained.symbol].append(done)
    return Report(model_versions.name, tuple(_merge(symbol, results[symbol]) for symbol in symbols))


def _run(jobs: Sequence[tuple[Any, ...]], workers: Workers) -> Iterator[Trained]:
    """Each as soon as it is there, in order: what is registered is not lost with what comes after.

    The workers share the fits of all jobs, so that one job keeps all of them busy, and so does the last of many.
    """
    if workers.n == 1 or not jobs:
        yield from starmap(_train_one, jobs)
        return
    with ThreadPoolExecutor(workers.n + 1, thread_name_prefix="train") as threads:
        yield from threads.map(partial(_train_one, each=workers.each), *zip(*jobs, strict=True))


def _train_one(
    symbol: str,
    horizon: int,
    frame: pd.DataFrame,
    stored: science.FeatureSet,
    parameters: ModelParameters,
    train_days: int,
    importance_rows: int,
    each: Each = map,
) -> Trained:
    """The CPU part, of processes of its own: validate the recipe, try it, then refit it on the newest window."""
    feature_set = training_rows.available(frame, stored)
    rows = training_rows.training_set(frame, feature_set, horizon)
    plan = splits.plan_for(min(rows.span, 24 * train_days))
    nothing = Trained(symbol, horizon, feature_set, {}, [], (0, 0), len(rows), "", Trial.empty(horizon))
    try:
        estimators.require_trainable(rows)
        newest = rows.take(splits.newest_window(rows.hours, int(rows.hours[-1]), plan))
        estimators.require_trainable(newest)
        folds = splits.walk_forward_folds(rows.hours, horizon, plan, estimators.MIN_ROWS)
        trial, holdout = _trial_fold(rows, plan), splits.holdout_fold(rows.hours, horizon, plan, estimators.MIN_ROWS)
        ahead = each(  # no fit depends on another; the longest comes first
            call,
            (
                partial(_refit, newest, parameters),
                partial(_score, rows, trial, parameters),
                partial(_score, rows, holdout, parameters),
            ),
        )
        validated = validation.walk_forward(rows, folds, parameters, plan.test, importance_rows, each)
        files, tried, held_out = ahead
        shown = [(validated.forecasts, metrics.POOLED)]
        if holdout:
            shown.append((_of_newest(rows, holdout, held_out, validated, plan.holdout), metrics.HOLDOUT))
        scores = each(call, [partial(metrics.evaluate, made, rows, parameters.seed, name) for made, name in shown])
        scores = list(chain.from_iterable(scores))
    except NotTrainableError as error:
        return replace(nothing, refusal=str(error))
    except ArtifactError as error:
        return replace(nothing, error=str(error))
    if validated.importance:
        files[IMPORTANCE] = _importance(validated, rows.feature_names)
    return Trained(
        symbol,
        horizon,
        feature_set,
        files,
        scores,
        (int(newest.hours[0]), int(newest.hours[-1])),
        len(newest),
        training_rows.data_hash(rows),
        _trial(rows, trial, tried, validated),
        plan.embargo,
        said={
            "plan": asdict(plan),
            "validation_rows": len(rows),
            "base_rate": float(newest.directions.mean()),
            "p0": metrics.accuracy_floor(validated.forecasts, rows),
            "calibrators": {name: found.tolist() for name, found in validated.calibrators.items()},
            "important_features": _most_important(validated, rows.feature_names),
            "threads": 1,
        },
    )


def _refit(newest: TrainingSet, parameters: ModelParameters) -> dict[str, bytes]:
    """Files of what is to serve."""
    return bundles.to_files(estimators.fit(newest, parameters), newest.inputs)


def _score(rows: TrainingSet, fold: Fold | None, parameters: ModelParameters) -> Mapping[str, Floats]:
    """Scores of a fold apart from the folds; none where the history is too short for it."""
    return validation.score(rows, fold, parameters) if fold else {}


def _of_newest(
    rows: TrainingSet, fold: Fold, scores: Mapping[str, Floats], validated: WalkForward, span: int
) -> OutOfSample:
    """Calibrated as they would have been then."""
    calibrators = validated.calibrators_at(rows, int(rows.hours[fold.test[0]]))
    return validation.of_newest(rows, fold, scores, calibrators, span)


def _trial_fold(rows: TrainingSet, plan: Plan) -> Fold | None:
    spans = (promotion.RULES.min_pairs, promotion.RULES.window_hours)
    return splits.trial_fold(rows.hours, rows.horizon, plan, spans, estimators.MIN_ROWS)


def _trial(rows: TrainingSet, fold: Fold | None, scores: Mapping[str, Floats], validated: WalkForward) -> Trial:
    """The recipe, fitted before the newest hours, on these hours."""
    if fold is None:
        return Trial.empty(rows.horizon)
    made = _of_newest(rows, fold, scores, validated, len(fold.test))
    return Trial(
        rows.hours[fold.test], rows.directions[fold.test], made.prob_up[ENSEMBLE], made.base_rate, rows.horizon
    )


def _most_important(validated: WalkForward, names: Sequence[str]) -> list[tuple[str, float]]:
    """The first features of the ensemble, and the rise of its log loss without each; a list keeps their order."""
    if not validated.importance:
        return []
    values = validated.importance[ENSEMBLE].round(6)
    return [(names[i], float(values[i])) for i in np.argsort(-values, kind="stable")[:SHOWN_FEATURES]]


def _importance(validated: WalkForward, names: Sequence[str]) -> bytes:
    """The readable file: features of each model, the most important first."""
    ranked = {
        model: dict(sorted(zip(names, values.round(6).tolist(), strict=True), key=lambda item: -item[1]))
        for model, values in validated.importance.items()
    }
    said = {
        "meaning": "rise of the log loss (nats) when the feature's values are exchanged among out-of-sample rows",
        "rows": validated.importance_rows,
        "models": ranked,
    }
    return json.dumps(said, indent=1).encode()


def _merge(symbol: str, parts: Sequence[SymbolResult]) -> SymbolResult:
    """One result of a symbol's horizons; details carry the horizon only where there are several."""
    if len(parts) == 1:
        return parts[0]
    details = {f"{i}.{key}": value for i, part in enumerate(parts) for key, value in part.details.items()}
    errors = "; ".join(part.error for part in parts if part.error)
    return SymbolResult(symbol, sum(part.rows for part in parts), details=details, error=errors or None)
