"""Train the four models of each symbol, register the bundle, and let it serve."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from multiprocessing import get_context
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import select

from crypto_platform.core import estimators, metrics, serving, splits, validation
from crypto_platform.core import features as science
from crypto_platform.core.estimators import ModelParameters, TrainingSet
from crypto_platform.core.hours import HOUR
from crypto_platform.core.hours import as_of as usable_from
from crypto_platform.core.metrics import Metric
from crypto_platform.core.panel import from_hours, hours_since_1970
from crypto_platform.core.signals import ENSEMBLE
from crypto_platform.errors import ArtifactError, NotTrainableError
from crypto_platform.operations import registry
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.storage import bundles, warehouse
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import features, model_metrics, model_versions
from crypto_platform.tables.features import target_direction, target_return

DUE_AFTER: Final = timedelta(days=7)
IMPORTANCE: Final = "feature_importance.json"
BASELINES_SHOWN: Final = (metrics.BASELINE_RATE, metrics.BASELINE_PERSISTENCE)


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training process gives back: plain bytes and numbers."""

    symbol: str
    horizon: int
    feature_set: science.FeatureSet
    files: dict[str, bytes]
    scores: list[Metric]
    train_hours: tuple[int, int]
    n_rows: int
    data_hash: str
    said: Mapping[str, Any] = field(default_factory=dict)  # further entries of the manifest
    refusal: str | None = None
    error: str | None = None


def due(store: Warehouse, symbols: Sequence[str], horizons: Sequence[int], as_of: datetime) -> tuple[str, ...]:
    """Symbols that lack a champion for a horizon, or whose champion's data ended `DUE_AFTER` ago or earlier."""
    held = registry.champions(store, symbols, as_of)

    def is_due(symbol: str) -> bool:
        served = [held.get((symbol, horizon)) for horizon in horizons]
        return any(s is None or as_of - usable_from(s.train_end) >= DUE_AFTER for s in served)

    return tuple(symbol for symbol in symbols if is_due(symbol))


def train(
    store: Warehouse,
    artifacts: ArtifactStore,
    symbols: Sequence[str],
    *,
    as_of: datetime,
    horizons: Sequence[int],
    train_days: int,
    parameters: ModelParameters,
    workers: int = 1,
    importance_rows: int = validation.IMPORTANCE_ROWS,
    reason: str = "requested",
) -> Report:
    """Train on the newest rows whose labels had resolved by `as_of`, and make the bundle the champion.

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
    workers : int
        Processes, one thread each.
    importance_rows : int
        Out-of-sample rows that the importance of features is measured on; 0 does not.
    reason : str
        Kept with the change of the alias.

    Returns
    -------
    Report
        A symbol without enough to learn from has `status: not_trainable` and keeps what serves; that is no failure.
    """
    jobs = [
        (symbol, horizon, rows, parameters, train_days, importance_rows)
        for symbol in symbols
        for horizon in horizons
        for rows in [_rows(store, symbol, horizon, as_of, train_days)]
    ]
    results: dict[str, list[SymbolResult]] = {symbol: [] for symbol in symbols}
    for trained in _run(jobs, workers):
        results[trained.symbol].append(_register(store, artifacts, trained, as_of, parameters, reason))
    return Report(model_versions.name, tuple(_merge(symbol, results[symbol]) for symbol in symbols))


def _rows(store: Warehouse, symbol: str, horizon: int, as_of: datetime, train_days: int) -> pd.DataFrame:
    # as_of(t) + horizon <= as_of, so the label had resolved.
    newest = as_of - HOUR - horizon * HOUR
    names = [target_return(horizon), target_direction(horizon)]
    return store.read(
        select(features.c.timestamp, *(features.c[n] for n in (*names, *science.DEFAULT.features)))
        .where(
            features.c.symbol == symbol,
            features.c.feature_set_hash == science.DEFAULT.hash,
            features.c.timestamp <= newest,
            features.c.timestamp > newest - timedelta(days=train_days),
            features.c.is_filled.is_(False),
            features.c[names[0]].is_not(None),
            features.c[names[1]].is_not(None),
        )
        .order_by(features.c.timestamp)
    )


def _run(jobs: Sequence[tuple[Any, ...]], workers: int) -> Iterable[Trained]:
    if workers == 1 or len(jobs) <= 1:
        return [_train_one(*job) for job in jobs]
    # Fork would copy this process' threads and connections; a fork server starts clean and imports once.
    context = get_context("forkserver")
    context.set_forkserver_preload(["crypto_platform.operations.train", "sklearn.ensemble"])
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        return list(pool.map(_train_one, *zip(*jobs, strict=True)))


def _train_one(
    symbol: str,
    horizon: int,
    frame: pd.DataFrame,
    parameters: ModelParameters,
    train_days: int,
    importance_rows: int,
) -> Trained:
    """The CPU part, in a process of its own: validate the recipe, then refit it on the newest window."""
    feature_set = _available(frame)
    rows = training_set(frame, feature_set, horizon)
    plan = splits.plan_for(min(len(rows), 24 * train_days))
    nothing = Trained(symbol, horizon, feature_set, {}, [], (0, 0), len(rows), "")
    try:
        estimators.require_trainable(rows)
        folds = splits.walk_forward_folds(rows.hours, horizon, plan)
        validated = validation.walk_forward(rows, folds, parameters, plan.test, importance_rows)
        scores = metrics.evaluate(validated.forecasts, rows, parameters.seed)
        if held_out := splits.holdout_fold(rows.hours, horizon, plan):
            forecasts = validation.score_holdout(rows, held_out, parameters, validated.calibrators, plan.holdout)
            scores += metrics.evaluate(forecasts, rows, parameters.seed, metrics.HOLDOUT)
        newest = rows.take(splits.newest_window(rows.hours, int(rows.hours[-1]), plan))
        fitted = replace(estimators.fit(newest, parameters), calibrators=validated.calibrators)
        files = bundles.to_files(fitted, newest.inputs)
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
        _data_hash(rows),
        said={
            "plan": asdict(plan),
            "validation_rows": len(rows),
            "p0": metrics.accuracy_floor(validated.forecasts, rows),
            "calibrators": {name: found.tolist() for name, found in validated.calibrators.items()},
            "threads": 1,
        },
    )


def _importance(validated: validation.WalkForward, names: Sequence[str]) -> bytes:
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


def _available(frame: pd.DataFrame) -> science.FeatureSet:
    """The default set, or the one without sentiment where any row lacks it: nothing is imputed."""
    warm = frame[list(science.WITHOUT_SENTIMENT.features)].notna().all(axis=1)
    sentiment = frame.loc[warm, list(science.SENTIMENT_FEATURES)]
    return science.DEFAULT if len(sentiment) and sentiment.notna().all(axis=None) else science.WITHOUT_SENTIMENT


def training_set(frame: pd.DataFrame, feature_set: science.FeatureSet, horizon: int) -> TrainingSet:
    """Rows whose features are all there."""
    names = list(feature_set.features)
    frame = frame[frame[names].notna().all(axis=1)]
    return TrainingSet(
        hours=hours_since_1970(frame["timestamp"]) if len(frame) else np.empty(0, dtype=np.int64),
        inputs=frame[names].to_numpy(float),
        returns=frame[target_return(horizon)].to_numpy(float),
        directions=frame[target_direction(horizon)].to_numpy(float).astype(np.int64),
        feature_names=feature_set.features,
        horizon=horizon,
    )


def _data_hash(rows: TrainingSet) -> str:
    digest = hashlib.sha256()
    for part in (rows.hours, rows.inputs, rows.returns, rows.directions):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _register(
    store: Warehouse,
    artifacts: ArtifactStore,
    trained: Trained,
    as_of: datetime,
    parameters: ModelParameters,
    reason: str,
) -> SymbolResult:
    """Publish the bundle, then write its row, its metrics and its alias in one transaction."""
    if trained.refusal:
        return SymbolResult(trained.symbol, details={"status": "not_trainable", "why": trained.refusal})
    if trained.error:
        return SymbolResult(trained.symbol, error=trained.error)
    first, last = (from_hours(np.array([hour]))[0].to_pydatetime() for hour in trained.train_hours)
    described = {
        "symbol": trained.symbol,
        "horizon": trained.horizon,
        "feature_set": trained.feature_set.name,
        "feature_set_hash": trained.feature_set.hash,
        "features": list(trained.feature_set.features),
        "train_start": first.isoformat(),
        "train_end": last.isoformat(),
        "n_rows": trained.n_rows,
        "data_hash": trained.data_hash,
        "parameters": asdict(parameters),
        "metrics": metrics.summary(trained.scores),
        "holdout": metrics.summary(trained.scores, metrics.HOLDOUT),
        "libraries": bundles.versions(),
        bundles.SERVING_FORMAT: serving.FORMAT,
        **trained.said,
    }
    try:
        bundle = artifacts.publish(trained.files, described)
    except ArtifactError as error:
        return SymbolResult(trained.symbol, error=str(error))
    row = {
        "version": bundle.version,
        "symbol": trained.symbol,
        "horizon": trained.horizon,
        "trained_at": as_of,
        "train_start": first,
        "train_end": last,
        "n_rows": trained.n_rows,
        "feature_set": trained.feature_set.name,
        "feature_set_hash": trained.feature_set.hash,
        "data_hash": trained.data_hash,
        "bundle_sha256": bundle.sha256,
        "details": {key: described[key] for key in ("parameters", "metrics", "holdout", "libraries", *trained.said)},
    }
    scores = [
        {
            "symbol": trained.symbol,
            "version": bundle.version,
            "model_name": m.model_name,
            "metric_name": m.metric_name,
            "fold": m.fold,
            "metric_value": m.value,
            "lower": m.lower,
            "upper": m.upper,
            "n": m.n,
            "training_timestamp": as_of,
        }
        for m in trained.scores
    ]
    with store.begin() as connection:
        warehouse.insert_missing(connection, model_versions, warehouse.records([row]))
        warehouse.insert_missing(connection, model_metrics, warehouse.records(scores))
        registry.point(
            connection, trained.symbol, trained.horizon, bundle.version, at=as_of, actor="train", reason=reason
        )
    return SymbolResult(trained.symbol, 1, first, last, _details(trained, bundle.version))


def _details(trained: Trained, version: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"status": "trained", "version": version, "rows": trained.n_rows}
    accuracy = metrics.pooled(trained.scores, ENSEMBLE, "accuracy")
    if accuracy:
        interval = f" [{accuracy.lower:.1%}, {accuracy.upper:.1%}]" if accuracy.lower is not None else ""
        shown["walk_forward_accuracy"] = f"{accuracy.value:.1%}{interval} of {accuracy.n}"
    for baseline in BASELINES_SHOWN:
        if held := metrics.pooled(trained.scores, baseline, "accuracy"):
            shown[baseline] = f"{held.value:.1%}"
    return shown


def _merge(symbol: str, parts: Sequence[SymbolResult]) -> SymbolResult:
    """One result of a symbol's horizons; details carry the horizon only where there are several."""
    if len(parts) == 1:
        return parts[0]
    details = {f"{i}.{key}": value for i, part in enumerate(parts) for key, value in part.details.items()}
    errors = "; ".join(part.error for part in parts if part.error)
    return SymbolResult(symbol, sum(part.rows for part in parts), details=details, error=errors or None)
