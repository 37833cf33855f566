"""The stored rows that a training learns from: whose labels had resolved, and whose features are all there."""

import hashlib
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from sqlalchemy import select

from crypto_platform.core import features as science
from crypto_platform.core.estimators import TrainingSet
from crypto_platform.core.hours import HOUR
from crypto_platform.core.panel import hours_since_1970
from crypto_platform.operations import feature_rows
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import features
from crypto_platform.tables.features import PARTS, target_direction, target_return


def resolved(
    store: Warehouse,
    symbol: str,
    horizon: int,
    as_of: datetime,
    train_days: int,
    feature_set: science.FeatureSet = science.DEFAULT,
) -> pd.DataFrame:
    """Rows of at most the newest `train_days` whose label had resolved by `as_of`, with every stored feature."""
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


def available(frame: pd.DataFrame, stored: science.FeatureSet) -> science.FeatureSet:
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


def labeled(
    store: Warehouse,
    symbol: str,
    horizon: int,
    as_of: datetime,
    train_days: int,
    feature_set: science.FeatureSet = science.DEFAULT,
) -> TrainingSet:
    """The rows a training at `as_of` would learn from."""
    frame = resolved(store, symbol, horizon, as_of, train_days, feature_set)
    return training_set(frame, available(frame, feature_set), horizon)


def data_hash(rows: TrainingSet) -> str:
    """SHA-256 of the rows."""
    digest = hashlib.sha256()
    for part in (rows.hours, rows.inputs, rows.returns, rows.directions):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
