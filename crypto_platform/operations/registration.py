"""A trained bundle is published, goes through the gate, and is written down with what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import Connection, select

from crypto_platform.core import features as science
from crypto_platform.core import metrics, promotion, serving
from crypto_platform.core.estimators import ModelParameters
from crypto_platform.core.metrics import Metric
from crypto_platform.core.panel import from_hours
from crypto_platform.core.promotion import GATE, Gate, Outcome, Trial
from crypto_platform.core.signals import ENSEMBLE
from crypto_platform.errors import ArtifactError
from crypto_platform.operations import aliases, registry, trials
from crypto_platform.operations.registry import Served
from crypto_platform.operations.results import SymbolResult
from crypto_platform.storage import bundles, warehouse
from crypto_platform.storage.artifacts import ArtifactStore, Bundle
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import model_metrics, model_versions

REGISTERED_BEFORE: Final = "registered before"
TRAIN: Final = "train"  # actor
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
    trial: Trial
    embargo: int = 0
    said: Mapping[str, Any] = field(default_factory=dict)  # further entries of the manifest
    refusal: str | None = None
    error: str | None = None


def register(
    store: Warehouse,
    artifacts: ArtifactStore,
    trained: Trained,
    frame: pd.DataFrame,
    *,
    as_of: datetime,
    at: datetime,
    parameters: ModelParameters,
    reason: str,
    expiry: timedelta,
    feature_set: science.FeatureSet,
) -> SymbolResult:
    """Publish the bundle, judge it, then write its row, its metrics and the aliases in one transaction.

    A bundle that is registered already was judged already: the same rows are no new evidence.

    Parameters
    ----------
    frame : DataFrame
        Stored features of the hours it was tried on.
    as_of : datetime
        The training's own moment.
    at : datetime
        When the bundle is there to serve: not before, and the same as `as_of` under a simulated clock.
    reason : str
        Kept with a promotion.
    expiry : timedelta
        Age of a champion's training data beyond which it is not acted on.
    """
    if trained.refusal:
        return SymbolResult(trained.symbol, details={"status": "not_trainable", "why": trained.refusal})
    if trained.error:
        return SymbolResult(trained.symbol, error=trained.error)
    described = _described(trained, parameters)
    try:
        bundle = artifacts.publish(trained.files, described)
    except ArtifactError as error:
        return SymbolResult(trained.symbol, error=str(error))
    if known := _recorded(store, bundle.version):
        return SymbolResult(trained.symbol, details={**_details(trained, bundle.version), **known})
    past = _past(store, trained, as_of)
    gate = _judge(store, artifacts, trained, frame, bundle, past, as_of, expiry, feature_set)
    row = _row(trained, bundle, described, gate, as_of)
    with store.begin() as connection:
        held = aliases.holder(connection, trained.symbol, trained.horizon, aliases.CHAMPION)
        if held != (past[-1].version if past else None):
            why = f"the champion of {trained.horizon} h changed while bundle {bundle.version} was tried; train again"
            return SymbolResult(trained.symbol, error=why)
        warehouse.insert_missing(connection, model_versions, warehouse.records([row]))
        warehouse.insert_missing(connection, model_metrics, warehouse.records(_scores(trained, bundle, as_of)))
        _move(connection, trained, bundle.version, gate, at, reason)
    first, last = _span(trained)
    return SymbolResult(trained.symbol, 1, first, last, {**_details(trained, bundle.version), GATE: gate.words})


def _move(connection: Connection, trained: Trained, version: str, gate: Gate, at: datetime, reason: str) -> None:
    """The aliases follow the gate; a newer bundle that serves or waits takes the place of a challenger."""
    key = (trained.symbol, trained.horizon)
    if gate.outcome is Outcome.PROMOTED:
        aliases.point(connection, *key, version, at=at, actor=TRAIN, reason=reason)
        aliases.challenge(connection, *key, None, at=at, actor=TRAIN, reason=f"{version} was promoted")
    elif gate.outcome is Outcome.CHALLENGER:
        aliases.challenge(connection, *key, version, at=at, actor=TRAIN, reason=gate.words)


def _past(store: Warehouse, trained: Trained, as_of: datetime) -> list[Served]:
    history = registry.history(store, [trained.symbol])
    return [served for served in history if served.horizon == trained.horizon and served.since <= as_of]


def _judge(
    store: Warehouse,
    artifacts: ArtifactStore,
    trained: Trained,
    frame: pd.DataFrame,
    bundle: Bundle,
    past: Sequence[Served],
    as_of: datetime,
    expiry: timedelta,
    feature_set: science.FeatureSet,
) -> Gate:
    faults = []
    try:
        bundles.load_serving(artifacts.open(bundle.version, bundle.sha256))
    except ArtifactError as error:
        faults.append(str(error))
    beside = trials.of_champion(
        store, artifacts, past, frame, trained.trial, embargo=trained.embargo, feature_set=feature_set
    )
    if beside is None:
        return promotion.judge(trained.trial, None, faults=faults)
    champion, prob_up = beside
    return promotion.judge(trained.trial, prob_up, expired=trials.has_expired(champion, as_of, expiry), faults=faults)


def _recorded(store: Warehouse, version: str) -> dict[str, Any]:
    """What was said of a version when it was registered; empty where it was not."""
    rows = store.read(select(model_versions.c.details).where(model_versions.c.version == version))
    if rows.empty:
        return {}
    return {"status": REGISTERED_BEFORE, GATE: promotion.words_of((rows["details"].iloc[0] or {}).get(GATE))}


def _span(trained: Trained) -> tuple[datetime, datetime]:
    first, last = (from_hours(np.array([hour]))[0].to_pydatetime() for hour in trained.train_hours)
    return first, last


def _described(trained: Trained, parameters: ModelParameters) -> dict[str, Any]:
    """The manifest, but for the files: nothing in it depends on what serves."""
    first, last = _span(trained)
    return {
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


def _row(trained: Trained, bundle: Bundle, described: Mapping[str, Any], gate: Gate, as_of: datetime) -> dict[str, Any]:
    first, last = _span(trained)
    kept = ("parameters", "metrics", "holdout", "libraries", *trained.said)
    return {
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
        "details": {**{key: described[key] for key in kept}, GATE: gate.record()},
    }


def _scores(trained: Trained, bundle: Bundle, as_of: datetime) -> list[dict[str, Any]]:
    return [
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
