"""Whether each symbol should be retrained: the evidence, the verdict, and the record of both."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Select, and_, select

from crypto_platform.core.features import DEFAULT, FeatureSet
from crypto_platform.core.hours import HOUR
from crypto_platform.core.retraining import DRIFT_FEATURES, ClassicRules, Decision, Evidence, decide, standardized_shift
from crypto_platform.operations import registry
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import features, prediction_outcomes, predictions, retrain_decisions

POLICY = "classic"


def judge(
    store: Warehouse,
    symbols: Sequence[str],
    *,
    as_of: datetime,
    horizons: Sequence[int],
    rules: ClassicRules,
    feature_set: FeatureSet = DEFAULT,
) -> dict[tuple[str, int], Decision]:
    """The verdict on each (symbol, horizon) from what was known at `as_of`; nothing is written."""
    champions = registry.champions(store, symbols, as_of)
    outcomes = _outcomes(store, symbols, as_of, rules)
    inputs = _inputs(store, symbols, as_of, rules, feature_set)
    decisions = {}
    for symbol in symbols:
        drift = _drift(inputs[inputs["symbol"] == symbol], as_of, rules)
        for horizon in horizons:
            mine = outcomes[(outcomes["symbol"] == symbol) & (outcomes["horizon"] == horizon)]
            champion = champions.get((symbol, horizon))
            evidence = _evidence(mine, drift, champion.trained_at if champion else None, as_of, rules)
            decisions[symbol, horizon] = decide(evidence, as_of, rules)
    return decisions


def record(
    store: Warehouse,
    symbols: Sequence[str],
    *,
    as_of: datetime,
    horizons: Sequence[int],
    rules: ClassicRules,
    feature_set: FeatureSet = DEFAULT,
) -> Report:
    """Judge every symbol and write the decision, also where it is `no`."""
    decisions = judge(store, symbols, as_of=as_of, horizons=horizons, rules=rules, feature_set=feature_set)
    results = []
    for symbol in symbols:
        rows = [
            {
                "symbol": symbol,
                "horizon": horizon,
                "decision_time": as_of,
                "should_retrain": decisions[symbol, horizon].should_retrain,
                "policy": POLICY,
                "reasons": list(decisions[symbol, horizon].reasons),
                "details": decisions[symbol, horizon].details,
            }
            for horizon in horizons
        ]
        with store.begin() as connection:
            written = warehouse.insert_missing(connection, retrain_decisions, warehouse.records(rows))
        mine = [decisions[symbol, horizon] for horizon in horizons]
        details: dict[str, Any] = {
            "should_retrain": any(decision.should_retrain for decision in mine),
            "reasons": "; ".join(reason for decision in mine for reason in decision.reasons),
        }
        results.append(SymbolResult(symbol, written, last=as_of, details=details))
    return Report(retrain_decisions.name, tuple(results))


def recorded(symbols: Sequence[str], as_of: datetime) -> Select[Any]:
    """Decisions of one moment."""
    return (
        select(retrain_decisions)
        .where(retrain_decisions.c.symbol.in_(symbols), retrain_decisions.c.decision_time == as_of)
        .order_by(retrain_decisions.c.symbol, retrain_decisions.c.horizon)
    )


def _outcomes(store: Warehouse, symbols: Sequence[str], as_of: datetime, rules: ClassicRules) -> pd.DataFrame:
    key = ("symbol", "horizon", "prediction_timestamp", "version")
    oldest = as_of - timedelta(days=rules.accuracy_reference_days[1])
    rows = store.read(
        select(
            prediction_outcomes.c.symbol,
            prediction_outcomes.c.horizon,
            prediction_outcomes.c.prediction_timestamp,
            prediction_outcomes.c.correct,
        )
        .join(predictions, and_(*(predictions.c[name] == prediction_outcomes.c[name] for name in key)))
        .where(
            prediction_outcomes.c.symbol.in_(symbols),
            prediction_outcomes.c.prediction_timestamp >= oldest,
            prediction_outcomes.c.resolved_at <= as_of,
            predictions.c.role == registry.CHAMPION,
            predictions.c.origin == "live",
        )
    )
    return rows[rows["correct"].notna()]


def _inputs(
    store: Warehouse, symbols: Sequence[str], as_of: datetime, rules: ClassicRules, feature_set: FeatureSet
) -> pd.DataFrame:
    oldest = as_of - timedelta(hours=rules.window_hours, days=rules.reference_days)
    return store.read(
        select(features.c.symbol, features.c.timestamp, *(features.c[name] for name in DRIFT_FEATURES)).where(
            features.c.symbol.in_(symbols),
            features.c.feature_set_hash == feature_set.hash,
            features.c.timestamp >= oldest,
            features.c.timestamp <= as_of - HOUR,
            features.c.is_filled.is_(False),
        )
    )


def _drift(rows: pd.DataFrame, as_of: datetime, rules: ClassicRules) -> dict[str, float | None]:
    recent = rows["timestamp"] >= pd.Timestamp(as_of) - pd.Timedelta(hours=rules.window_hours + 1)
    return {
        name: standardized_shift(rows.loc[recent, name].to_numpy(float), rows.loc[~recent, name].to_numpy(float))
        for name in DRIFT_FEATURES
    }


def _evidence(
    outcomes: pd.DataFrame,
    drift: dict[str, float | None],
    trained_at: datetime | None,
    as_of: datetime,
    rules: ClassicRules,
) -> Evidence:
    age = pd.Timestamp(as_of) - outcomes["prediction_timestamp"]
    newest, oldest = (pd.Timedelta(days=days) for days in rules.accuracy_reference_days)
    window = outcomes.loc[age <= pd.Timedelta(hours=rules.window_hours), "correct"].to_numpy(float)
    reference = outcomes.loc[(age > newest) & (age <= oldest), "correct"].to_numpy(float)
    return Evidence(
        accuracy=float(np.mean(window)) if len(window) else None,
        n_scored=len(window),
        reference_accuracy=float(np.mean(reference)) if len(reference) else None,
        n_reference=len(reference),
        drift=drift,
        trained_at=trained_at,
    )
