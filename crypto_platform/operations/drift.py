"""Drift of each symbol, measured once a UTC day and kept in `monitoring_metrics`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd
from sqlalchemy import select

from crypto_platform.core import drift
from crypto_platform.core.calibrated import DriftDay
from crypto_platform.core.drift import REFERENCE_HOURS, WINDOW_HOURS, Drift
from crypto_platform.core.features import DEFAULT, FeatureSet
from crypto_platform.core.hours import HOUR, newest_closed
from crypto_platform.core.validation import Each
from crypto_platform.operations import feature_rows
from crypto_platform.operations.aliases import CHAMPION
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import features, monitoring_metrics, ohlcv_data, predictions

DAY: Final = timedelta(days=1)
METRIC_TYPE, METRIC_NAME = "drift", "drift_score"
CALENDAR: Final = frozenset({"hour_sin", "hour_cos", "dow_sin", "dow_cos", "is_weekend"})
LN_VOLUME, COMPLETE, MISSING, PROBABILITY, NOVEL = "ln_volume", "complete", "missing_features", "prob_up", "novel"
RATES: Final = frozenset({COMPLETE, MISSING, PROBABILITY, NOVEL})

BATCH: Final = 16  # symbols whose rows are in memory at a time

Days = tuple[DriftDay | None, DriftDay | None]
Sides = tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]  # reference and current, of `core.drift.compare`


def channels_of(feature_set: FeatureSet) -> tuple[str, ...]:
    """Features of a set that can drift: all, a user's own ones too, but for the calendar's."""
    return tuple(name for name in feature_set.features if name not in CALENDAR)


def of_days(
    store: Warehouse,
    symbols: Sequence[str],
    *,
    as_of: datetime,
    feature_set: FeatureSet = DEFAULT,
    each: Each = map,
) -> dict[str, Days]:
    """Drift of today and of the day before, measured now by `each` where today has none yet.

    Returns
    -------
    dict of str to tuple
        Today's first; None where there are no rows to measure, or none were measured.
    """
    today = as_of.replace(hour=0, minute=0, second=0, microsecond=0)
    held = _stored(store, symbols, today - DAY, as_of)
    lacking = [symbol for symbol in symbols if (symbol, today) not in held]
    for first in range(0, len(lacking), BATCH):
        batch = lacking[first : first + BATCH]
        sides = (_sides(store, symbol, as_of, feature_set) for symbol in batch)
        for symbol, measured in zip(batch, each(_compare, sides), strict=True):
            if measured:
                with store.begin() as connection:
                    warehouse.insert_missing(connection, monitoring_metrics, _row(symbol, as_of, measured))
    held = _stored(store, symbols, today - DAY, as_of)
    return {symbol: (held.get((symbol, today)), held.get((symbol, today - DAY))) for symbol in symbols}


def _stored(
    store: Warehouse, symbols: Sequence[str], since: datetime, as_of: datetime
) -> dict[tuple[str, datetime], DriftDay]:
    """The first measurement of each day: later ones of a race do not count."""
    m = monitoring_metrics.c
    rows = store.read(
        select(m.symbol, m.timestamp, m.metric_value, m.metadata)
        .where(m.symbol.in_(symbols), m.metric_name == METRIC_NAME, m.timestamp >= since, m.timestamp <= as_of)
        .order_by(m.timestamp.desc())
    )
    return {
        (row.symbol, row.timestamp.floor("D").to_pydatetime()): DriftDay(
            None if pd.isna(row.metric_value) else float(row.metric_value),
            frozenset(row.metadata["far"]),
            int(row.metadata["n_channels"]),
        )
        for row in rows.itertuples()
    }


def _row(symbol: str, as_of: datetime, measured: Drift) -> pd.DataFrame:
    judged = sum(channel.calibrated for channel in measured.channels.values())
    metadata = {
        "n_channels": judged,
        "far": sorted(measured.far),
        "status": "calibrated" if judged else "uncalibrated",
        "window_hours": WINDOW_HOURS,
        "domain_auc": measured.domain_auc,
        "channels": {name: asdict(channel) for name, channel in measured.channels.items()},
    }
    return warehouse.records(
        [
            {
                "timestamp": as_of,
                "metric_type": METRIC_TYPE,
                "metric_name": METRIC_NAME,
                "symbol": symbol,
                "metric_value": measured.score,
                "metadata": metadata,
            }
        ]
    )


def _compare(sides: Sides | None) -> Drift | None:
    return drift.compare(*sides, RATES) if sides else None


def _sides(store: Warehouse, symbol: str, as_of: datetime, feature_set: FeatureSet) -> Sides | None:
    """The newest week of a symbol and the 90 days before it, hour by hour; None without features."""
    newest = newest_closed(as_of)
    first = newest - (REFERENCE_HOURS + WINDOW_HOURS - 1) * HOUR
    inputs = store.read(
        select(features.c.timestamp, features.c.is_filled, features.c.is_valid, *feature_rows.columns(feature_set))
        .where(
            features.c.symbol == symbol,
            features.c.feature_set_hash == feature_set.hash,
            features.c.timestamp.between(first, newest),
        )
        .order_by(features.c.timestamp)
    )
    if not inputs["is_valid"].any():
        return None
    begin = inputs.loc[inputs["is_valid"], "timestamp"].iloc[0]
    hours = pd.date_range(begin, newest, freq="h", unit="us")
    if len(hours) <= WINDOW_HOURS:
        return None
    rows = feature_rows.unpack(inputs, feature_set).set_index("timestamp").reindex(hours)
    values = _channels(rows, channels_of(feature_set)) | _levels(store, symbol, hours)
    return (
        {name: series[:-WINDOW_HOURS] for name, series in values.items()},
        {name: series[-WINDOW_HOURS:] for name, series in values.items()},
    )


def _channels(inputs: pd.DataFrame, names: Sequence[str]) -> dict[str, np.ndarray]:
    own = np.array([filled is False for filled in inputs["is_filled"]])  # NaN where there is no row at all
    values = inputs[list(names)].to_numpy(float)
    missing = np.where(inputs["is_filled"].notna(), np.isnan(values).mean(axis=1), np.nan)
    values = np.where(own[:, None], values, np.nan)
    channels = {name: values[:, number] for number, name in enumerate(names)}
    return channels | {COMPLETE: own.astype(float), MISSING: missing}


def _levels(store: Warehouse, symbol: str, hours: pd.DatetimeIndex) -> dict[str, np.ndarray]:
    """What scale-free features cannot see, and what the champions made of them."""
    span = (hours[0].to_pydatetime(), hours[-1].to_pydatetime())
    volumes = store.read(
        select(ohlcv_data.c.timestamp, ohlcv_data.c.volume_base).where(
            ohlcv_data.c.symbol == symbol, ohlcv_data.c.timestamp.between(*span), ohlcv_data.c.volume_base > 0
        )
    )
    made = store.read(
        select(
            predictions.c.candle_timestamp, predictions.c.horizon, predictions.c.prob_up, predictions.c.reason
        ).where(
            predictions.c.symbol == symbol,
            predictions.c.role == CHAMPION,
            predictions.c.candle_timestamp.between(*span),
        )
    )
    made = made[made["horizon"] == made["horizon"].min()].drop_duplicates("candle_timestamp")
    made = made.set_index("candle_timestamp").reindex(hours)
    novel = (made["reason"] == "novel").astype(float).where(made["prob_up"].notna())
    return {
        LN_VOLUME: np.log(volumes.set_index("timestamp")["volume_base"].reindex(hours).to_numpy(float)),
        PROBABILITY: made["prob_up"].to_numpy(float),
        NOVEL: novel.to_numpy(float),
    }
