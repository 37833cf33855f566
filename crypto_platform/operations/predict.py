"""Forecasts of the champions, hour by hour, each with its signal or the reason for none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import ColumnElement, func, select

from crypto_platform.core import features as science
from crypto_platform.core import serving, signals
from crypto_platform.core.bars import TIMESTAMP_DTYPE
from crypto_platform.core.hours import HOUR, SETTLE, newest_closed
from crypto_platform.core.hours import as_of as usable_from
from crypto_platform.core.novelty import NOVEL
from crypto_platform.core.serving import ServingForm
from crypto_platform.core.signals import CLASSIFIERS, REGRESSOR, Reason, Signal, SignalRules
from crypto_platform.operations import feature_rows, registry
from crypto_platform.operations.aliases import CHAMPION
from crypto_platform.operations.registry import FallBack, Served
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.storage import warehouse
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import features, predictions
from crypto_platform.tables.features import target_return
from crypto_platform.tables.predictions import NO_VERSION

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
    """Forecast the newest closed hour of each symbol with the champion that served then.

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
        is a HOLD and the refusal is the symbol's error, as it is of a symbol without candles.

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
    served = _by_key(registry.history(store, symbols))

    results = []
    for symbol in symbols:
        mine = inputs.get(symbol)
        if mine is None or mine["is_filled"].all():
            results.append(SymbolResult(symbol, error=_nothing_to_forecast(store, symbol, newest)))
            continue
        made = [
            _forecast(
                store,
                artifacts,
                mine,
                past[symbol],
                served.get((symbol, horizon), []),
                symbol,
                horizon,
                rules,
                expiry,
                settle,
                feature_set,
            )
            for horizon in horizons
        ]
        results.append(_store(store, symbol, made, newest, as_of, created_at, settle))
    return Report(predictions.name, tuple(results))


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


def _by_key(history: Sequence[Served]) -> dict[tuple[str, int], list[Served]]:
    keyed: dict[tuple[str, int], list[Served]] = {}
    for served in history:
        keyed.setdefault((served.symbol, served.horizon), []).append(served)
    return keyed


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


@dataclass(frozen=True, slots=True)
class _Made:
    """Forecasts of one symbol and horizon, the changes of champion that go with them, and what was refused.

    `refused` has the reasons; `failed` says that nobody served an hour because of them.
    """

    rows: pd.DataFrame
    moves: tuple[FallBack, ...] = ()
    refused: tuple[str, ...] = ()
    failed: bool = False


def _forecast(
    store: Warehouse,
    artifacts: ArtifactStore,
    rows: pd.DataFrame,
    past: pd.DataFrame,
    served: Sequence[Served],
    symbol: str,
    horizon: int,
    rules: SignalRules,
    expiry: timedelta,
    settle: timedelta,
    feature_set: science.FeatureSet,
) -> _Made:
    """Forecast rows of one symbol and horizon, every hour by the champion of its moment."""
    wanted = rows[~rows["is_filled"]]
    scale = _mean_abs_return(past, wanted["timestamp"], horizon)
    # The champion of an hour is the one that served when its candle had closed.
    moments = wanted["timestamp"] + HOUR + settle
    changes = pd.DatetimeIndex([s.since for s in served], dtype=TIMESTAMP_DTYPE)
    position = changes.searchsorted(moments, side="right")
    parts, moves, failed = [], [], False
    refused: dict[str, str] = {}
    for number in np.unique(position):
        part = wanted[position == number]
        if number == 0:
            parts.append(_abstain(part, NO_VERSION, Reason.NO_MODEL, None))
            continue
        held, choice = served[number - 1], registry.choose(artifacts, served[:number], feature_set)
        refused |= choice.refused
        if choice.refused:
            part = _after_its_last(store, part, held)
            failed |= choice.form is None
        if part.empty:
            continue
        if choice.served is None or choice.form is None:
            parts.append(_abstain(part, held.version, Reason.MODEL_REFUSED, None))
            continue
        if choice.refused:
            at = moments[part.index[0]].to_pydatetime()
            moves.append(FallBack(held, choice.served, choice.refused[held.version], at))
        parts.append(_forecast_by(choice.form, part, scale[part.index], choice.served, rules, expiry))
    frame = pd.concat(parts, ignore_index=True) if parts else wanted.iloc[:0]
    return _Made(frame.assign(symbol=symbol, horizon=horizon), tuple(moves), tuple(refused.values()), failed)


def _after_its_last(store: Warehouse, rows: pd.DataFrame, held: Served) -> pd.DataFrame:
    """Hours after the last that a bundle forecast while it was sound: those before stay its own."""
    p = predictions.c
    last = store.read(
        select(func.max(p.candle_timestamp).label("last")).where(
            p.symbol == held.symbol, p.horizon == held.horizon, p.version == held.version
        )
    )["last"].iloc[0]
    return rows if pd.isna(last) else rows[rows["timestamp"] > last]


def _mean_abs_return(past: pd.DataFrame, at: pd.Series, horizon: int) -> pd.Series:
    """Mean |return| of the last `EDGE_WINDOW` labels resolved at each candle; NaN while there are fewer."""
    resolved = past.set_index("timestamp")[target_return(horizon)].abs().dropna()
    mean = resolved.rolling(signals.EDGE_WINDOW).mean()
    mean.index = mean.index + horizon * HOUR  # the label of t is known at as_of(t + horizon)
    return pd.Series(mean.reindex(at, method="ffill").to_numpy(), index=at.index)


def _forecast_by(
    form: ServingForm,
    rows: pd.DataFrame,
    scale: pd.Series,
    champion: Served,
    rules: SignalRules,
    expiry: timedelta,
) -> pd.DataFrame:
    names = list(form.feature_names)
    values = rows[names].to_numpy(float)
    finite = np.isfinite(values).all(axis=1)
    parts = []
    if not finite.all():
        cold = (rows["segment_hours"] < science.WARM_UP_ROWS).to_numpy()
        for reason, chosen in (
            (Reason.WARMING_UP, ~finite & cold),
            (Reason.FEATURES_MISSING, ~finite & ~cold),
        ):
            if chosen.any():
                parts.append(_abstain(rows[chosen], champion.version, reason, names))
    if finite.any():
        usable = rows[finite]
        forecasts = serving.predict(form, values[finite])
        expired = (usable["timestamp"] + HOUR - pd.Timestamp(usable_from(champion.train_end))) > expiry
        unlike = serving.novelty(form, values[finite])
        parts.append(_signals(usable, forecasts, scale[finite], expired, unlike, champion.version, rules))
    return pd.concat(parts, ignore_index=True)


def _abstain(rows: pd.DataFrame, version: str, reason: Reason, names: Sequence[str] | None) -> pd.DataFrame:
    missing = [
        [name for name, value in zip(names, values, strict=True) if not np.isfinite(value)]
        if names and reason is Reason.FEATURES_MISSING
        else None
        for values in (rows[list(names)].to_numpy(float) if names else [[]] * len(rows))
    ]
    return pd.DataFrame(
        {
            "candle_timestamp": rows["timestamp"].to_numpy(),
            "version": version,
            "current_price": rows["close"].to_numpy(),
            "signal": Signal.HOLD.value,
            "signal_before_costs": Signal.HOLD.value,
            "reason": reason.value,
            "missing_features": pd.Series(missing, dtype=object),
        }
    )


def _signals(
    rows: pd.DataFrame,
    forecasts: Mapping[str, np.ndarray],
    scale: pd.Series,
    expired: pd.Series,
    unlike: np.ndarray,
    version: str,
    rules: SignalRules,
) -> pd.DataFrame:
    ensemble = signals.combine(np.column_stack([forecasts[name] for name in CLASSIFIERS]), forecasts[REGRESSOR])
    verdicts = [
        signals.judge(p, agreement, m, rules, expired=bool(old), novel=bool(far > NOVEL))
        for p, agreement, m, old, far in zip(ensemble.prob_up, ensemble.agreement, scale, expired, unlike, strict=True)
    ]
    p, price = ensemble.prob_up, rows["close"].to_numpy()
    return pd.DataFrame(
        {
            "candle_timestamp": rows["timestamp"].to_numpy(),
            "version": version,
            "current_price": price,
            "predicted_direction": np.where(p == 0.5, np.nan, (p > 0.5).astype(float)),
            "confidence": np.maximum(p, 1 - p),
            "prob_up": p,
            "prob_down": 1 - p,
            "predicted_return": forecasts[REGRESSOR],
            "predicted_price": price * (1 + forecasts[REGRESSOR]),
            "signal": [v.signal.value for v in verdicts],
            "signal_before_costs": [v.before_costs.value for v in verdicts],
            "reason": [v.reason.value if v.reason else None for v in verdicts],
            "ensemble_agreement": ensemble.agreement,
            "ensemble_votes": ensemble.votes,
            "novelty": unlike,
            "expected_edge": [v.expected_edge for v in verdicts],
            "break_even_probability": [v.break_even for v in verdicts],
            **{f"prob_up_{name}": forecasts[name] for name in CLASSIFIERS},
            f"return_{REGRESSOR}": forecasts[REGRESSOR],
        }
    )


def _store(
    store: Warehouse,
    symbol: str,
    made: Sequence[_Made],
    newest: datetime,
    as_of: datetime,
    created_at: datetime | None,
    settle: timedelta,
) -> SymbolResult:
    refused = [why for part in made for why in part.refused]
    error = "; ".join(refused) if any(part.failed for part in made) else None
    details: dict[str, Any] = {"refused": "; ".join(refused)} if refused and not error else {}
    parts = [part.rows for part in made if len(part.rows)]
    if not parts:
        return SymbolResult(symbol, details=details, error=error)
    rows = pd.concat(parts, ignore_index=True)
    rows["candle_timestamp"] = pd.to_datetime(rows["candle_timestamp"], utc=True)
    rows["prediction_timestamp"] = rows["candle_timestamp"] + HOUR
    rows["created_at"] = pd.Timestamp(created_at) if created_at else rows["prediction_timestamp"] + settle
    moment = pd.Timestamp(as_of) if created_at else rows["created_at"]
    is_there = bool((rows["candle_timestamp"] == pd.Timestamp(newest)).any())
    stale = moment - rows["candle_timestamp"] > FRESH
    rows = rows[~stale & (rows["created_at"] < rows["prediction_timestamp"] + rows["horizon"] * HOUR)]
    late = rows["created_at"] - rows["prediction_timestamp"] > LATE
    rows = rows.assign(role=CHAMPION, origin=np.where(late, "late", "live"))
    with store.begin() as connection:
        written = warehouse.insert_missing(connection, predictions, rows)
        for move in (move for part in made for move in part.moves):
            # From the first hour that is really forecast: some may have been too late for it.
            moments = rows.loc[rows["version"] == move.chosen.version, "prediction_timestamp"] + settle
            if len(moments := moments[moments >= move.at]):
                registry.fall_back(connection, replace(move, at=moments.min().to_pydatetime()))
    if rows.empty and is_there and error is None:  # a run after the tick's half hour, on request: nothing is wrong
        late_by = f"too late to forecast from the candle of {newest:%H:%M} UTC"
        return SymbolResult(symbol, details={**details, "status": late_by})
    if rows.empty:
        return SymbolResult(symbol, error=error or _nothing_to_forecast(store, symbol, newest))
    last = rows.iloc[-1]
    details |= {"signal": last["signal"], "reason": last["reason"] or ""}
    if "prob_up" in rows and np.isfinite(last["prob_up"] if last["prob_up"] is not None else np.nan):
        details["prob_up"] = round(float(last["prob_up"]), 4)
    return SymbolResult(
        symbol,
        written,
        rows["prediction_timestamp"].iloc[0].to_pydatetime(),
        last["prediction_timestamp"].to_pydatetime(),
        details,
        error,
    )
