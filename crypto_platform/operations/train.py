"""Train the four models of each symbol, register the bundle, and let it serve."""

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from multiprocessing import get_context
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import select

from crypto_platform.core import estimators, metrics, splits
from crypto_platform.core import features as science
from crypto_platform.core.estimators import ModelParameters, TrainingSet
from crypto_platform.core.hours import HOUR
from crypto_platform.core.hours import as_of as usable_from
from crypto_platform.core.metrics import Metric
from crypto_platform.core.panel import from_hours, hours_since_1970
from crypto_platform.core.signals import ENSEMBLE
from crypto_platform.errors import NotTrainableError
from crypto_platform.operations import feature_rows, registry
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.storage import bundles, warehouse
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import features, model_metrics, model_versions
from crypto_platform.tables.features import PARTS, target_direction, target_return

DUE_AFTER: Final = timedelta(days=7)
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
    refusal: str | None = None


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
    reason: str = "requested",
    feature_set: science.FeatureSet = science.DEFAULT,
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
    reason : str
        Kept with the change of the alias.
    feature_set : FeatureSet
        What the stored features are; a bundle leaves out the parts that some of its rows lack.

    Returns
    -------
    Report
        A symbol without enough to learn from has `status: not_trainable` and keeps what serves; that is no failure.
    """
    jobs = [
        (symbol, horizon, rows, feature_set, parameters, train_days)
        for symbol in symbols
        for horizon in horizons
        for rows in [_rows(store, symbol, horizon, as_of, train_days, feature_set)]
    ]
    results: dict[str, list[SymbolResult]] = {symbol: [] for symbol in symbols}
    for trained in _run(jobs, workers):
        results[trained.symbol].append(_register(store, artifacts, trained, as_of, parameters, reason))
    return Report(model_versions.name, tuple(_merge(symbol, results[symbol]) for symbol in symbols))


def _rows(
    store: Warehouse,
    symbol: str,
    horizon: int,
    as_of: datetime,
    train_days: int,
    feature_set: science.FeatureSet = science.DEFAULT,
) -> pd.DataFrame:
    # as_of(t) + horizon <= as_of, so the label had resolved.
    newest = as_of - HOUR - horizon * HOUR
    names = [target_return(horizon), target_direction(horizon)]
    rows = store.read(
        select(features.c.timestamp, *(features.c[n] for n in names), *feature_rows.columns(feature_set))
        .where(
            features.c.symbol == symbol,
            features.c.feature_set_hash == feature_set.hash,
            features.c.timestamp <= newest,
            features.c.timestamp > newest - timedelta(days=train_days),
            features.c.is_filled.is_(False),
            features.c[names[0]].is_not(None),
            features.c[names[1]].is_not(None),
        )
        .order_by(features.c.timestamp)
    )
    return feature_rows.unpack(rows, feature_set)


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
    stored: science.FeatureSet,
    parameters: ModelParameters,
    train_days: int,
) -> Trained:
    """The CPU part, in a process of its own: validate walk-forward, refit on all rows."""
    feature_set = _available(frame, stored)
    rows = training_set(frame, feature_set, horizon)
    nothing = Trained(symbol, horizon, feature_set, {}, [], (0, 0), len(rows), "")
    try:
        estimators.require_trainable(rows)
        folds = splits.walk_forward_folds(rows.hours, horizon, splits.plan_for(min(len(rows), 24 * train_days)))
        validation = estimators.walk_forward(rows, folds, parameters)
        fitted = estimators.fit(rows, parameters)
    except NotTrainableError as error:
        return replace(nothing, refusal=str(error))
    scores = metrics.walk_forward_metrics(validation, rows.directions, rows.returns, horizon, parameters.seed)
    return Trained(
        symbol,
        horizon,
        feature_set,
        bundles.to_files(fitted),
        scores,
        (int(rows.hours[0]), int(rows.hours[-1])),
        len(rows),
        _data_hash(rows),
    )


def _available(frame: pd.DataFrame, stored: science.FeatureSet) -> science.FeatureSet:
    """The stored set without the parts that any row lacks: nothing is imputed."""
    parts = [part for part in PARTS if stored.has(part)]
    optional = {name for part in parts if part != science.CANDLES for name in PARTS[part]}
    warm = frame[[name for name in stored.features if name not in optional]].notna().all(axis=1)

    def is_lacking(part: str) -> bool:
        held = frame.loc[warm, list(PARTS[part])]
        return not len(held) or bool(held.isna().any(axis=None))

    return stored.without([part for part in parts if part != science.CANDLES and is_lacking(part)])


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
        "libraries": bundles.versions(),
    }
    bundle = artifacts.publish(trained.files, described)
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
        "details": {key: described[key] for key in ("parameters", "metrics", "libraries")},
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
    return SymbolResult(symbol, sum(part.rows for part in parts), details=details)
