"""What the registry and a bundle's own files say of a model, put together into its card."""

import json
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd
from sqlalchemy import select

from crypto_platform.core.cards import Card, Score
from crypto_platform.core.promotion import GATE, REVIEW
from crypto_platform.errors import ArtifactError
from crypto_platform.operations import registry
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import model_metrics, model_versions

IMPORTANCE: Final = "feature_importance.json"
TRIALS: Final = {GATE: "hours before its training", REVIEW: "hours in the shadow"}
POOLED: Final = -1  # fold of `model_metrics` that holds all together


def card_of(store: Warehouse, artifacts: ArtifactStore, version: str) -> Card:
    """The card of a registered bundle; where its files are refused, it says so and does without them.

    Raises
    ------
    ConfigurationError
        There is no such version.
    """
    sha256 = registry.registered(store, version).bundle_sha256
    row = store.read(select(model_versions).where(model_versions.c.version == version)).iloc[0]
    features: list[str] = []
    importance: Mapping[str, Mapping[str, float]] = {}
    refused = None
    try:
        bundle = artifacts.open(version, sha256)
        features = bundle.manifest.get("features", [])
        if IMPORTANCE in bundle.manifest["files"]:
            importance = json.loads(bundle.read(IMPORTANCE)).get("models", {})
    except ArtifactError as error:
        refused = str(error)
    details: Mapping[str, Any] = row["details"] or {}
    return Card(
        symbol=row["symbol"],
        horizon=int(row["horizon"]),
        version=version,
        sha256=sha256,
        trained_at=row["trained_at"],
        train_start=row["train_start"],
        train_end=row["train_end"],
        n_rows=int(row["n_rows"]),
        feature_set=row["feature_set"],
        feature_set_hash=row["feature_set_hash"],
        data_hash=row["data_hash"],
        features=features,
        parameters=details.get("parameters", {}),
        libraries=details.get("libraries", {}),
        scores=_scores(store, version),
        importance=importance,
        refused=refused,
        gates=[(trial, details[name]) for name, trial in TRIALS.items() if name in details],
    )


def _scores(store: Warehouse, version: str) -> list[Score]:
    rows = store.read(
        select(model_metrics)
        .where(model_metrics.c.version == version, model_metrics.c.fold == POOLED)
        .order_by(model_metrics.c.model_name, model_metrics.c.metric_name)
    )
    return [
        Score(
            row.model_name,
            row.metric_name,
            row.metric_value,
            None if pd.isna(row.lower) or pd.isna(row.upper) else (row.lower, row.upper),
            int(row.n),
        )
        for row in rows.itertuples()
    ]
