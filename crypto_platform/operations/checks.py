"""Statements that should be true of the tables: each gives the symbols of which it is not, and why.

All are bounded: they look at the last days only, with one query for all symbols.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import pandas as pd
from sqlalchemy import Select, and_, func, or_, select

from crypto_platform.core import features as science
from crypto_platform.core.hours import HOUR
from crypto_platform.operations.registry import champions
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import ALL
from crypto_platform.tables import (
    ab_test_results,
    features,
    market_data,
    model_metrics,
    monitoring_metrics,
    ohlcv_data,
    prediction_outcomes,
    predictions,
    quarantine,
    retrain_decisions,
    sentiment_data,
)

RECENT: Final = timedelta(days=7)
CANDLE_AGE: Final = timedelta(hours=3)  # of the newest open time; a healthy one is 1 to 2 hours old
SNAPSHOT_AGE: Final = timedelta(hours=1)
SENTIMENT_AGE: Final = timedelta(hours=26)
UNSETTLED_AGE: Final = timedelta(hours=6)

Failing = Mapping[str, str]
Statement = Callable[[Warehouse, Sequence[str], datetime], Failing]


@dataclass(frozen=True, slots=True)
class Check:
    """A statement about one table.

    Parameters
    ----------
    asset, name, description : str
    statement : callable
        (store, symbols, as_of) to the failing symbols with what is wrong.
    is_error : bool
        Whether a failure means wrong data or service (ERROR) or something to look at (WARN).
    """

    asset: str
    name: str
    description: str
    statement: Statement
    is_error: bool


def _newest(column: Any, symbol: Any, symbols: Sequence[str], *where: Any) -> Select[Any]:
    return select(symbol, func.max(column).label("newest")).where(symbol.in_(symbols), *where).group_by(symbol)


def _older_than(rows: pd.DataFrame, symbols: Sequence[str], as_of: datetime, limit: timedelta) -> dict[str, str]:
    newest = dict(zip(rows["symbol"], rows["newest"], strict=True))
    failing = {}
    for symbol in symbols:
        if symbol not in newest or pd.isna(newest[symbol]):
            failing[symbol] = "there is none"
        elif as_of - newest[symbol] > limit:
            failing[symbol] = f"the newest is of {newest[symbol]:%Y-%m-%d %H:%M} UTC"
    return failing


def candles_are_fresh(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> Failing:
    """The newest candle opened at most 3 hours ago."""
    rows = store.read(_newest(ohlcv_data.c.timestamp, ohlcv_data.c.symbol, symbols))
    return _older_than(rows, symbols, as_of, CANDLE_AGE)


def candles_have_no_gaps(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> Failing:
    """No hour of the last week is missing between two candles."""
    rows = store.read(
        select(
            ohlcv_data.c.symbol,
            func.count().label("n"),
            func.min(ohlcv_data.c.timestamp).label("first"),
            func.max(ohlcv_data.c.timestamp).label("last"),
        )
        .where(ohlcv_data.c.symbol.in_(symbols), ohlcv_data.c.timestamp >= as_of - RECENT)
        .group_by(ohlcv_data.c.symbol)
    )
    missing = {r.symbol: (r.last - r.first) // HOUR + 1 - r.n for r in rows.itertuples()}
    return {symbol: f"{n} of the last week's hours are missing" for symbol, n in missing.items() if n}


def nothing_was_quarantined(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> Failing:
    """No upstream row was refused in the last day."""
    rows = store.read(
        select(quarantine.c.symbol, func.count().label("n"))
        .where(
            quarantine.c.seen_at > as_of - timedelta(days=1),
            or_(quarantine.c.symbol.is_(None), quarantine.c.symbol.in_(symbols)),
        )
        .group_by(quarantine.c.symbol)
    )
    return {row.symbol or ALL: f"{row.n} rows refused, see table quarantine" for row in rows.itertuples()}


def snapshots_are_fresh(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> Failing:
    """The vendor's own time of the newest snapshot is at most an hour ago."""
    rows = store.read(_newest(market_data.c.timestamp, market_data.c.symbol, symbols))
    return _older_than(rows, symbols, as_of, SNAPSHOT_AGE)


def sentiment_is_recent(store: Warehouse, _: Sequence[str], as_of: datetime) -> Failing:
    """The newest day began at most 26 hours ago."""
    rows = store.read(select(func.max(sentiment_data.c.timestamp).label("newest"))).assign(symbol=ALL)
    return _older_than(rows, [ALL], as_of, SENTIMENT_AGE)


def features_follow_candles(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> Failing:
    """Every symbol's newest closed candle has its feature row."""
    candles = store.read(
        _newest(ohlcv_data.c.timestamp, ohlcv_data.c.symbol, symbols, ohlcv_data.c.timestamp <= as_of - HOUR)
    ).set_index("symbol")["newest"]
    built = store.read(
        _newest(features.c.timestamp, features.c.symbol, symbols, features.c.feature_set_hash == science.DEFAULT.hash)
    ).set_index("symbol")["newest"]
    return {
        symbol: "it has no feature row for its newest candle"
        for symbol in candles.index
        if symbol not in built.index or built[symbol] < candles[symbol]
    }


def labels_are_known_facts(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> Failing:
    """No label of a future that had not happened yet."""
    rows = store.read(
        select(features.c.symbol, func.count().label("n"))
        .where(
            features.c.symbol.in_(symbols),
            features.c.timestamp > as_of - 2 * HOUR,
            features.c.target_return_1.is_not(None),
        )
        .group_by(features.c.symbol)
    )
    return {row.symbol: f"{row.n} labels reach beyond the present" for row in rows.itertuples()}


def every_symbol_has_a_champion(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> Failing:
    """A model serves each symbol."""
    served = {symbol for symbol, _ in champions(store, symbols, as_of)}
    return {symbol: "no model serves it yet" for symbol in symbols if symbol not in served}


def metrics_are_out_of_sample(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> Failing:
    """Every champion has pooled walk-forward metrics."""
    held = champions(store, symbols, as_of)
    rows = store.read(
        select(model_metrics.c.version)
        .where(model_metrics.c.version.in_([s.version for s in held.values()]), model_metrics.c.fold == -1)
        .distinct()
    )
    known = set(rows["version"])
    return {s.symbol: f"bundle {s.version} has no metrics" for s in held.values() if s.version not in known}


def forecasts_are_fresh(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> Failing:
    """The newest forecast stands for a moment at most 3 hours ago."""
    made = predictions.c.prob_up.is_not(None)  # a row with a reason only is none
    rows = store.read(_newest(predictions.c.prediction_timestamp, predictions.c.symbol, symbols, made))
    return _older_than(rows, symbols, as_of, CANDLE_AGE)


def outcomes_are_settled(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> Failing:
    """No forecast of the last week whose label is known waits longer than 6 hours for its outcome."""
    key = ("symbol", "horizon", "prediction_timestamp", "version")
    rows = store.read(
        select(predictions.c.symbol, func.count().label("n"))
        .join(
            features,
            and_(
                features.c.symbol == predictions.c.symbol,
                features.c.timestamp == predictions.c.candle_timestamp,
                features.c.feature_set_hash == science.DEFAULT.hash,
            ),
        )
        .outerjoin(prediction_outcomes, and_(*(prediction_outcomes.c[n] == predictions.c[n] for n in key)))
        .where(
            predictions.c.symbol.in_(symbols),
            predictions.c.prob_up.is_not(None),
            predictions.c.prediction_timestamp > as_of - RECENT,
            predictions.c.prediction_timestamp < as_of - UNSETTLED_AGE - HOUR,
            predictions.c.horizon == 1,
            features.c.target_return_1.is_not(None),
            prediction_outcomes.c.symbol.is_(None),
        )
        .group_by(predictions.c.symbol)
    )
    return {row.symbol: f"{row.n} forecasts wait for their outcome" for row in rows.itertuples()}


def arms_are_paired(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> Failing:
    """Every hour of the last week has both arms."""
    pairs = (
        select(ab_test_results.c.symbol)
        .where(ab_test_results.c.symbol.in_(symbols), ab_test_results.c.prediction_timestamp > as_of - RECENT)
        .group_by(ab_test_results.c.test_name, ab_test_results.c.symbol, ab_test_results.c.prediction_timestamp)
        .having(func.count() != 2)
    ).subquery()
    rows = store.read(select(pairs.c.symbol, func.count().label("n")).group_by(pairs.c.symbol))
    return {row.symbol: f"{row.n} hours lack an arm" for row in rows.itertuples()}


def decisions_are_recent(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> Failing:
    """Every symbol was judged in the last day."""
    rows = store.read(_newest(retrain_decisions.c.decision_time, retrain_decisions.c.symbol, symbols))
    return _older_than(rows, symbols, as_of, timedelta(days=1))


def metrics_are_recent(store: Warehouse, _: Sequence[str], as_of: datetime) -> Failing:
    """The platform was measured in the last two hours."""
    rows = store.read(_newest(monitoring_metrics.c.timestamp, monitoring_metrics.c.symbol, [ALL]))
    return _older_than(rows, [ALL], as_of, timedelta(hours=2))


def _check(asset: str, statement: Statement, *, is_error: bool = False) -> Check:
    return Check(asset, statement.__name__, (statement.__doc__ or "").strip(), statement, is_error)


CHECKS: Final = (
    _check(market_data.name, snapshots_are_fresh),
    _check(ohlcv_data.name, candles_are_fresh),
    _check(ohlcv_data.name, candles_have_no_gaps),
    _check(ohlcv_data.name, nothing_was_quarantined),
    _check(sentiment_data.name, sentiment_is_recent),
    _check(features.name, features_follow_candles, is_error=True),
    _check(features.name, labels_are_known_facts, is_error=True),
    _check("models", every_symbol_has_a_champion),
    _check(model_metrics.name, metrics_are_out_of_sample, is_error=True),
    _check(predictions.name, forecasts_are_fresh),
    _check(prediction_outcomes.name, outcomes_are_settled),
    _check(ab_test_results.name, arms_are_paired, is_error=True),
    _check(retrain_decisions.name, decisions_are_recent),
    _check(monitoring_metrics.name, metrics_are_recent),
)
