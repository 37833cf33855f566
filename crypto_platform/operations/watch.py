"""What a retrain decision looks at: outcomes of the champions, what they are held to, and the trainings of late."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain, combinations
from typing import Final

import numpy as np
import pandas as pd
from sqlalchemy import and_, func, select

from crypto_platform.core.bootstrap import Z_95
from crypto_platform.core.calibrated import Champion, DriftDay
from crypto_platform.core.calibrated import Served as Evidence
from crypto_platform.core.cusum import COIN, Alarm, e_detector, expected_accuracy, one_per_horizon
from crypto_platform.core.features import DEFAULT, FeatureSet
from crypto_platform.core.hours import HOUR
from crypto_platform.core.hours import as_of as usable_from
from crypto_platform.core.metrics import POOLED
from crypto_platform.core.panel import hours_since_1970
from crypto_platform.core.promotion import GATE, words_of
from crypto_platform.core.retraining import Restraint, Trainings
from crypto_platform.core.signals import ENSEMBLE
from crypto_platform.core.timetable import SENSOR_INTERVAL
from crypto_platform.operations import registry
from crypto_platform.operations.aliases import CHALLENGER, CHAMPION
from crypto_platform.operations.registry import Served, Tenure
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import model_metrics, model_versions, prediction_outcomes, predictions, retrain_decisions
from crypto_platform.tables.features import PARTS

Key = tuple[str, int]
LONGEST: Final = timedelta(days=90)  # of outcomes that are read
_KEY: Final = ("symbol", "horizon", "prediction_timestamp", "version")


def outcomes(store: Warehouse, symbols: Sequence[str], since: datetime, as_of: datetime) -> pd.DataFrame:
    """Right and wrong of the forecasts that were served, with their version, in time order."""
    rows = store.read(
        select(*(prediction_outcomes.c[name] for name in _KEY), prediction_outcomes.c.correct)
        .join(predictions, and_(*(predictions.c[name] == prediction_outcomes.c[name] for name in _KEY)))
        .where(
            prediction_outcomes.c.symbol.in_(symbols),
            prediction_outcomes.c.prediction_timestamp >= since,
            prediction_outcomes.c.resolved_at <= as_of,
            predictions.c.role == CHAMPION,
            predictions.c.origin == "live",
        )
        .order_by(prediction_outcomes.c.prediction_timestamp)
    )
    return rows[rows["correct"].notna()]


def expected(store: Warehouse, versions: Sequence[str]) -> dict[str, float]:
    """Accuracy that each bundle is held to, from its own walk-forward; absent where it has none with an interval."""
    rows = store.read(
        select(
            model_metrics.c.version, model_metrics.c.metric_value, model_metrics.c.lower, model_metrics.c.upper
        ).where(
            model_metrics.c.version.in_(versions),
            model_metrics.c.model_name == ENSEMBLE,
            model_metrics.c.metric_name == "accuracy",
            model_metrics.c.fold == POOLED,
        )
    ).dropna()
    return {
        row.version: expected_accuracy(row.metric_value, (row.upper - row.lower) / (2 * Z_95))
        for row in rows.itertuples()
    }


def trainings(store: Warehouse, keys: Sequence[Key], as_of: datetime, rules: Restraint) -> dict[Key, Trainings]:
    """Newest training of each key, how many of the last days led to no promotion, and whether a challenger waits.

    A run that answered a decision before `as_of` was a training, also where it made no bundle.
    """
    m = model_versions.c
    symbols = sorted({symbol for symbol, _ in keys})
    last, data_end = _newest_trainings(store, symbols, as_of)
    for key, at in _newest_answers(store, symbols, as_of, rules).items():
        last[key] = max(at, last.get(key, at))
    recent = store.read(
        select(m.symbol, m.horizon, m.trained_at).where(
            m.symbol.in_(symbols), m.trained_at <= as_of, m.trained_at > as_of - timedelta(days=rules.within_days)
        )
    )
    held = registry.tenures(store, symbols)
    unpromoted = dict.fromkeys(keys, 0)
    # A return to an earlier champion is no promotion.
    promoted = {key: _last_promotion(held.get((*key, CHAMPION), ()), as_of) for key in keys}
    for row in recent.itertuples():
        key = (row.symbol, int(row.horizon))
        if key in unpromoted and ((since := promoted[key]) is None or row.trained_at > since):
            unpromoted[key] += 1
    waits = {key: _since(held.get((*key, CHALLENGER), ()), as_of) for key in keys}
    return {key: Trainings(last.get(key), unpromoted[key], waits[key], data_end.get(key)) for key in keys}


def _last_promotion(known: Sequence[Tenure], as_of: datetime) -> datetime | None:
    return max((t.since for t in registry.promotions(known) if t.since <= as_of), default=None)


def _since(known: Sequence[Tenure], as_of: datetime) -> datetime | None:
    held = registry.at_moment(known, as_of)
    return held.since if held and held.served else None


def refusals(store: Warehouse, keys: Sequence[Key], as_of: datetime) -> dict[Key, str]:
    """What the gate said of the newest bundle of each key; absent where there is no bundle."""
    m = model_versions.c
    symbols = sorted({symbol for symbol, _ in keys})
    rows = store.read(
        select(m.symbol, m.horizon, m.details)
        .where(m.symbol.in_(symbols), m.trained_at <= as_of)
        .order_by(m.trained_at, m.version)
    )
    newest = {(row.symbol, int(row.horizon)): (row.details or {}).get(GATE) for row in rows.itertuples()}
    return {key: words_of(newest[key]) for key in keys if key in newest}


def last_trained(
    store: Warehouse, symbols: Sequence[str], horizons: Sequence[int], as_of: datetime
) -> dict[str, datetime]:
    """When each symbol was last trained for all horizons; absent where it was not."""
    newest, _ = _newest_trainings(store, symbols, as_of)
    of_symbol = {symbol: [newest.get((symbol, horizon)) for horizon in horizons] for symbol in symbols}
    known = {symbol: [at for at in moments if at] for symbol, moments in of_symbol.items()}
    return {symbol: min(moments) for symbol, moments in known.items() if len(moments) == len(horizons)}


def _newest_trainings(
    store: Warehouse, symbols: Sequence[str], as_of: datetime
) -> tuple[dict[Key, datetime], dict[Key, datetime]]:
    """When each key was last trained, and when the newest row that a training learned from was usable."""
    m = model_versions.c
    rows = store.read(
        select(m.symbol, m.horizon, func.max(m.trained_at).label("last"), func.max(m.train_end).label("end"))
        .where(m.symbol.in_(symbols), m.trained_at <= as_of)
        .group_by(m.symbol, m.horizon)
    )
    last = {(row.symbol, int(row.horizon)): row.last.to_pydatetime() for row in rows.itertuples()}
    return last, {(row.symbol, int(row.horizon)): usable_from(row.end.to_pydatetime()) for row in rows.itertuples()}


def _newest_answers(store: Warehouse, symbols: Sequence[str], as_of: datetime, rules: Restraint) -> dict[Key, datetime]:
    """When the newest decision that a run answered was looked at first, as far back as it may hold a training back."""
    d = retrain_decisions.c
    oldest = as_of - max(timedelta(hours=rules.cooldown_hours), timedelta(days=rules.within_days))
    rows = store.read(
        select(d.symbol, d.horizon, func.max(d.decision_time).label("last"))
        .where(d.symbol.in_(symbols), d.decision_time < as_of, d.decision_time >= oldest, d.run_id.is_not(None))
        .group_by(d.symbol, d.horizon)
    )
    return {(row.symbol, int(row.horizon)): row.last.to_pydatetime() + SENSOR_INTERVAL for row in rows.itertuples()}


def evidence(
    key: Key,
    champion: Served | None,
    held_to: Mapping[str, float],
    rows: pd.DataFrame,
    drift: tuple[DriftDay | None, DriftDay | None],
    feature_sets: Mapping[str, str],
    feature_set: FeatureSet = DEFAULT,
    gate: str | None = None,
    trained_until: datetime | None = None,
) -> Evidence:
    """What the calibrated policy looks at, of one key.

    `rows` are its `outcomes`, `gate` is of `refusals`, `trained_until` the `data_end` of its `trainings`.
    """
    labels_end = trained_until and trained_until + key[1] * HOUR
    if champion is None:
        return Evidence(None, None, np.empty(0, dtype=bool), *drift, labels_end, gate)
    mine = rows[(rows["version"] == champion.version) & (rows["prediction_timestamp"] >= champion.since)]
    held = feature_sets.get(champion.version)
    return Evidence(
        Champion(usable_from(champion.train_end), inputs_exist=held is None or held in _known(feature_set)),
        held_to.get(champion.version),
        _thinned(mine, key[1])["correct"].to_numpy(bool),
        *drift,
        labels_end,
    )


def _known(whole: FeatureSet) -> frozenset[str]:
    """Hashes of a set and of those that leave some of its parts out, as a bundle may."""
    held = [part for part in PARTS if whole.has(part)]
    left_out = chain.from_iterable(combinations(held, n) for n in range(len(held)))
    return frozenset(whole.without(parts).hash for parts in left_out)


def feature_sets(store: Warehouse, versions: Sequence[str]) -> dict[str, str]:
    """Hash of the feature set of each bundle."""
    m = model_versions.c
    rows = store.read(select(m.version, m.feature_set_hash).where(m.version.in_(versions)))
    return dict(zip(rows["version"], rows["feature_set_hash"], strict=True))


def _thinned(rows: pd.DataFrame, horizon: int) -> pd.DataFrame:
    if rows.empty:
        return rows
    return rows[one_per_horizon(hours_since_1970(rows["prediction_timestamp"]), horizon)]


def pooled(store: Warehouse, symbols: Sequence[str], *, as_of: datetime, horizon: int) -> Alarm:
    """Whether the symbols together forecast worse than they should, over the last `LONGEST`."""
    rows = outcomes(store, symbols, as_of - LONGEST, as_of)
    rows = _thinned(rows[rows["horizon"] == horizon], horizon)
    held_to = expected(store, sorted(set(rows["version"])))
    rows = rows.assign(right=rows["correct"].astype(float), expected=rows["version"].map(held_to).fillna(COIN))
    hourly = rows.groupby("prediction_timestamp")[["right", "expected"]].mean()
    return e_detector(hourly["right"].to_numpy(float), hourly["expected"].to_numpy(float))
