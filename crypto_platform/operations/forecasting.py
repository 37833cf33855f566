"""Forecasts of one symbol and horizon: by the champion of each hour, and in the shadow by who else is tried."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import zip_longest

import numpy as np
import pandas as pd
from sqlalchemy import func, select

from crypto_platform.core import features as science
from crypto_platform.core import promotion, serving, signals
from crypto_platform.core.bars import TIMESTAMP_DTYPE
from crypto_platform.core.hours import HOUR
from crypto_platform.core.hours import as_of as usable_from
from crypto_platform.core.novelty import NOVEL
from crypto_platform.core.serving import ServingForm
from crypto_platform.core.signals import CLASSIFIERS, REGRESSOR, Reason, Signal, SignalRules
from crypto_platform.errors import ArtifactError
from crypto_platform.operations import registry
from crypto_platform.operations.aliases import CHALLENGER, CHAMPION, PREVIOUS
from crypto_platform.operations.registry import FallBack, Served, Tenure
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import predictions
from crypto_platform.tables.features import target_return
from crypto_platform.tables.predictions import NO_VERSION


@dataclass(frozen=True, slots=True)
class Made:
    """Forecasts of one symbol and horizon, the changes of champion that go with them, and what was refused.

    `refused` has the reasons; `failed` says that nobody served an hour because of them. `in_vain` has the reasons why
    hours were not forecast in the shadow: nobody is served by these.
    """

    rows: pd.DataFrame
    moves: tuple[FallBack, ...] = ()
    refused: tuple[str, ...] = ()
    failed: bool = False
    in_vain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forecaster:
    """What forecasting needs besides rows: where bundles are, and the rules of signals."""

    store: Warehouse
    artifacts: ArtifactStore
    rules: SignalRules
    expiry: timedelta
    settle: timedelta
    feature_set: science.FeatureSet


Held = Mapping[tuple[str, int, str], Sequence[Tenure]]


def forecast(with_: Forecaster, rows: pd.DataFrame, past: pd.DataFrame, held: Held, symbol: str, horizon: int) -> Made:
    """Forecast rows of one symbol and horizon.

    Parameters
    ----------
    with_ : Forecaster
    rows : DataFrame
        Stored features, one row an hour.
    past : DataFrame
        Realized returns up to each hour, to scale the expected edge.
    held : mapping
        Of `registry.tenures`.
    symbol : str
    horizon : int

    Returns
    -------
    Made
        Rows have a `role`. The champion's come first, and no two of an hour are by one version.
    """
    wanted = rows[~rows["is_filled"]]
    scale = _mean_abs_return(past, wanted["timestamp"], horizon)
    # Who serves an hour is who served when its candle had closed.
    moments = wanted["timestamp"] + HOUR + with_.settle
    champions = [t.served for t in held.get((symbol, horizon, CHAMPION), ()) if t.served]
    served = _by_champions(with_, wanted, scale, moments, champions)
    parts, in_vain = [served.rows.assign(role=CHAMPION)] if len(served.rows) else [], []
    for role in (CHALLENGER, PREVIOUS):
        shadow, refused = _in_shadow(with_, wanted, scale, moments, held.get((symbol, horizon, role), ()), role)
        parts += [shadow] if len(shadow) else []
        in_vain += refused
    if not parts:
        return replace(served, in_vain=tuple(in_vain))
    made = pd.concat(parts, ignore_index=True).drop_duplicates(["candle_timestamp", "version"], ignore_index=True)
    return replace(served, rows=made.assign(symbol=symbol, horizon=horizon), in_vain=tuple(in_vain))


def _by_champions(
    with_: Forecaster, wanted: pd.DataFrame, scale: pd.Series, moments: pd.Series, served: Sequence[Served]
) -> Made:
    """Every hour by the champion of its moment."""
    changes = pd.DatetimeIndex([s.since for s in served], dtype=TIMESTAMP_DTYPE)
    position = changes.searchsorted(moments, side="right")
    parts, moves, failed = [], [], False
    refused: dict[str, str] = {}
    for number in np.unique(position):
        part = wanted[position == number]
        if number == 0:
            parts.append(_abstain(part, NO_VERSION, Reason.NO_MODEL, None))
            continue
        held, choice = served[number - 1], registry.choose(with_.artifacts, served[:number], with_.feature_set)
        refused |= choice.refused
        if choice.refused:
            part = _after_its_last(with_.store, part, held)
            failed |= choice.form is None
        if part.empty:
            continue
        if choice.served is None or choice.form is None:
            parts.append(_abstain(part, held.version, Reason.MODEL_REFUSED, None))
            continue
        if choice.refused:
            at = moments[part.index[0]].to_pydatetime()
            moves.append(FallBack(held, choice.served, choice.refused[held.version], at))
        parts.append(_forecast_by(with_, choice.form, part, scale[part.index], choice.served))
    frame = pd.concat(parts, ignore_index=True) if parts else wanted.iloc[:0]
    return Made(frame, tuple(moves), tuple(refused.values()), failed)


def _in_shadow(
    with_: Forecaster,
    wanted: pd.DataFrame,
    scale: pd.Series,
    moments: pd.Series,
    tenures: Sequence[Tenure],
    role: str,
) -> tuple[pd.DataFrame, list[str]]:
    """Hours in which another alias is tried beside the champion; a bundle that is refused is tried in none."""
    parts, refused = [], []
    for tenure, after in zip_longest(tenures, tenures[1:]):
        mine = moments >= pd.Timestamp(tenure.since)
        for limit in (after and after.since, _shadow_end(tenure, role)):
            mine &= limit is None or moments < pd.Timestamp(limit)
        if tenure.served is None or not mine.any():
            continue
        try:
            form = registry.load(with_.artifacts, tenure.served, with_.feature_set)
        except ArtifactError as error:
            refused.append(str(error))
            continue
        made = _forecast_by(with_, form, wanted[mine], scale[mine], tenure.served)
        parts.append(made[made["prob_up"].notna()] if "prob_up" in made else made.iloc[:0])
    frame = pd.concat(parts, ignore_index=True) if parts else wanted.iloc[:0]
    return frame.assign(role=role), refused


def _shadow_end(tenure: Tenure, role: str) -> datetime | None:
    return tenure.since + promotion.RULES.shadow_hours * HOUR if role == PREVIOUS else None


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
    with_: Forecaster, form: ServingForm, rows: pd.DataFrame, scale: pd.Series, served: Served
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
                parts.append(_abstain(rows[chosen], served.version, reason, names))
    if finite.any():
        usable = rows[finite]
        forecasts = serving.predict(form, values[finite])
        expired = (usable["timestamp"] + HOUR - pd.Timestamp(usable_from(served.train_end))) > with_.expiry
        unlike = serving.novelty(form, values[finite])
        parts.append(_signals(usable, forecasts, scale[finite], expired, unlike, served.version, with_.rules))
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
            "resumes_at": _resumes_at(rows) if reason is Reason.WARMING_UP else pd.NaT,
        }
    )


def _resumes_at(rows: pd.DataFrame) -> pd.Series:
    """When the first hour is forecast that has a whole warm-up behind it."""
    left = science.WARM_UP_ROWS - rows["segment_hours"]
    return (rows["timestamp"] + pd.to_timedelta(left + 1, unit="h")).reset_index(drop=True)


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
