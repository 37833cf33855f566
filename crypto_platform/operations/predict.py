"""Forecasts of every hour, each with its signal or the reason for none, written as the hour's tick would have."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import ColumnElement, select

from crypto_platform.core import features as science
from crypto_platform.core.hours import HOUR, SETTLE, newest_closed
from crypto_platform.core.signals import Reason, SignalRules
from crypto_platform.operations import feature_rows, registry
from crypto_platform.operations.aliases import CHAMPION
from crypto_platform.operations.forecasting import Forecaster, Made, forecast
from crypto_platform.operations.results import Report, SymbolResult, attempted, together
from crypto_platform.storage import warehouse
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import features, predictions
from crypto_platform.tables.features import target_return

FRESH: Final = timedelta(minutes=90)  # age of the newest candle's open beyond which nothing is forecast
LATE: Final = timedelta(minutes=30)  # after as_of of the candle, from which a forecast counts as late
EDGE_LOOKBACK_DAYS: Final = 14  # hours to find `signals.EDGE_WINDOW` resolved ones among, gaps included


def predict(
    store: Warehouse,
    artifacts: ArtifactStore,
    symbols: Sequence[str],
    *,
    as_of: datetime,
    created_at: datetime | None,
    horizons: Sequence[int],
    rules: SignalRules,
    expiry: timedelta,
    since: datetime | None = None,
    settle: timedelta = SETTLE,
    feature_set: science.FeatureSet = science.DEFAULT,
) -> Report:
    """Forecast the newest closed hour of each symbol with the champion that served then, and whoever is in its shadow.

    Parameters
    ----------
    store : Warehouse
    artifacts : ArtifactStore
    symbols : sequence of str
    as_of : datetime
        The moment of the forecast.
    created_at : datetime or None
        When it is written. None under a simulated clock: each forecast is then made as soon as its candle closed.
    horizons : sequence of int
        Hours ahead.
    rules : SignalRules
    expiry : timedelta
        Age of a champion from which its signal is HOLD.
    since : datetime, optional
        Under a simulated clock only: forecast every hour from here on, each as its own tick would have.
    settle : timedelta
    feature_set : FeatureSet
        What the stored features are.

    Returns
    -------
    Report
        A forecast that is there is never written again. Where the champion's bundle is refused, the newest sound
        champion before it serves from that hour on, and the symbol's details say why; where there is none, the hour
        is a HOLD and the refusal is the symbol's error, as it is of a symbol without candles. Rows of a challenger, and
        for three days of the previous champion, are scored as all are, and never served.

    Raises
    ------
    ValueError
        `since` with a real clock: nobody forecasts the past.
    """
    if since is not None and created_at is not None:
        raise ValueError("hours before the newest are forecast under a simulated clock only")
    newest = newest_closed(as_of, settle)
    first = min(since, newest) if since else newest - FRESH
    inputs = _inputs(store, symbols, first, newest, feature_set)
    past = _past_returns(store, symbols, horizons, first, newest, feature_set)
    held = registry.tenures(store, symbols)
    with_ = Forecaster(store, artifacts, rules, expiry, settle, feature_set)

    made: dict[str, list[Made]] = {}
    results: dict[str, SymbolResult] = {}

    def serve(symbol: str, mine: pd.DataFrame) -> SymbolResult:
        made[symbol] = [forecast(with_, mine, past[symbol], held, symbol, horizon) for horizon in horizons]
        return SymbolResult(symbol)

    for symbol in symbols:
        mine = inputs.get(symbol)
        if mine is None or mine["is_filled"].all():
            results[symbol] = SymbolResult(symbol, error=_nothing_to_forecast(store, symbol, newest))
        else:
            results[symbol] = attempted(symbol, serve, symbol, mine)

    def write(chosen: Sequence[str]) -> list[SymbolResult]:
        return _store(store, {symbol: made[symbol] for symbol in chosen}, newest, as_of, created_at, settle)

    results |= {result.symbol: result for result in together(list(made), write)}
    return Report(predictions.name, tuple(results[symbol] for symbol in symbols))


def _inputs(
    store: Warehouse, symbols: Sequence[str], first: datetime, newest: datetime, feature_set: science.FeatureSet
) -> dict[str, pd.DataFrame]:
    """Feature rows of each symbol from `first` on."""
    frame = store.read(
        select(features)
        .where(*_within(symbols, newest, feature_set), features.c.timestamp >= first)
        .order_by(features.c.symbol, features.c.timestamp)
    )
    frame = feature_rows.unpack(frame, feature_set)
    return {symbol: rows.reset_index(drop=True) for symbol, rows in frame.groupby("symbol")}


def _past_returns(
    store: Warehouse,
    symbols: Sequence[str],
    horizons: Sequence[int],
    first: datetime,
    newest: datetime,
    feature_set: science.FeatureSet,
) -> dict[str, pd.DataFrame]:
    """Realized returns of each symbol, from long enough before `first` to scale the expected edge there."""
    frame = store.read(
        select(features.c.symbol, features.c.timestamp, *(features.c[target_return(h)] for h in horizons))
        .where(
            *_within(symbols, newest, feature_set), features.c.timestamp > first - timedelta(days=EDGE_LOOKBACK_DAYS)
        )
        .order_by(features.c.symbol, features.c.timestamp)
    )
    return dict(iter(frame.groupby("symbol")))


def _within(
    symbols: Sequence[str], newest: datetime, feature_set: science.FeatureSet
) -> tuple[ColumnElement[bool], ...]:
    return (
        features.c.symbol.in_(symbols),
        features.c.feature_set_hash == feature_set.hash,
        features.c.timestamp <= newest,
    )


def _nothing_to_forecast(store: Warehouse, symbol: str, newest: datetime) -> str:
    """Why the newest closed hour has no forecast."""
    last = store.read(
        select(features.c.timestamp, features.c.is_filled)
        .where(features.c.symbol == symbol, features.c.timestamp <= newest)
        .order_by(features.c.timestamp.desc())
        .limit(1)
    )
    if last.empty:
        return "no features yet: collect and build first"
    at = f"{last['timestamp'].iloc[0]:%Y-%m-%d %H:%M} UTC"
    if last["is_filled"].iloc[0]:
        return f"its candle of {at} stands in from a fallback source, and no such hour is forecast"
    return f"{Reason.STALE_DATA}: its newest candle is of {at}"


def _store(
    store: Warehouse,
    made: Mapping[str, Sequence[Made]],
    newest: datetime,
    as_of: datetime,
    created_at: datetime | None,
    settle: timedelta,
) -> list[SymbolResult]:
    parts = [part.rows for of_symbol in made.values() for part in of_symbol if len(part.rows)]
    if not parts:
        return [_result(store, symbol, of_symbol, None, 0, newest) for symbol, of_symbol in made.items()]
    rows = pd.concat(parts, ignore_index=True)
    rows["candle_timestamp"] = pd.to_datetime(rows["candle_timestamp"], utc=True)
    rows["prediction_timestamp"] = rows["candle_timestamp"] + HOUR
    rows["created_at"] = pd.Timestamp(created_at) if created_at else rows["prediction_timestamp"] + settle
    moment = pd.Timestamp(as_of) if created_at else rows["created_at"]
    stale = moment - rows["candle_timestamp"] > FRESH
    in_time = ~stale & (rows["created_at"] < rows["prediction_timestamp"] + rows["horizon"] * HOUR)
    late = rows["created_at"] - rows["prediction_timestamp"] > LATE
    rows = rows.assign(origin=np.where(late, "late", "live"), in_time=in_time)
    with store.begin() as connection:
        written = warehouse.insert_missing_by_symbol(connection, predictions, rows[in_time].drop(columns="in_time"))
        for move in (move for of_symbol in made.values() for part in of_symbol for move in part.moves):
            # From the first hour that is really forecast: some may have been too late for it.
            served = rows[in_time & (rows["role"] == CHAMPION) & (rows["version"] == move.chosen.version)]
            moments = served["prediction_timestamp"] + settle
            if len(moments := moments[moments >= move.at]):
                registry.fall_back(connection, replace(move, at=moments.min().to_pydatetime()))
    by_symbol = dict(iter(rows.groupby("symbol")))
    return [
        _result(store, symbol, of_symbol, by_symbol.get(symbol), written[symbol], newest)
        for symbol, of_symbol in made.items()
    ]


def _result(
    store: Warehouse, symbol: str, made: Sequence[Made], rows: pd.DataFrame | None, written: int, newest: datetime
) -> SymbolResult:
    """What is told of a symbol; `rows` say whether they are `in_time`."""
    refused = [why for part in made for why in part.refused]
    error = "; ".join(refused) if any(part.failed for part in made) else None
    details: dict[str, Any] = {"refused": "; ".join(refused)} if refused and not error else {}
    if in_vain := [why for part in made for why in part.in_vain]:
        details["shadow_refused"] = "; ".join(in_vain)
    if rows is None:
        return SymbolResult(symbol, details=details, error=error)
    served = rows[rows["in_time"] & (rows["role"] == CHAMPION)]
    is_there = bool((rows["candle_timestamp"] == pd.Timestamp(newest)).any())
    if served.empty and is_there and error is None:  # a run after the tick's half hour, on request: nothing is wrong
        late_by = f"too late to forecast from the candle of {newest:%H:%M} UTC"
        return SymbolResult(symbol, details={**details, "status": late_by})
    if served.empty:
        return SymbolResult(symbol, error=error or _nothing_to_forecast(store, symbol, newest))
    last = served.iloc[-1]
    details |= {"signal": last["signal"], "reason": last["reason"] or ""}
    if "prob_up" in served and np.isfinite(last["prob_up"] if last["prob_up"] is not None else np.nan):
        details["prob_up"] = round(float(last["prob_up"]), 4)
    return SymbolResult(
        symbol,
        written,
        served["prediction_timestamp"].iloc[0].to_pydatetime(),
        last["prediction_timestamp"].to_pydatetime(),
        details,
        error,
    )
