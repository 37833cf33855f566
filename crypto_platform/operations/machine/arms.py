"""What other schedules of refitting would have forecast on the hours that were served: one recipe, without validation.

A fit is kept in a folder once it is made, so that a killed comparison goes on.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import and_, select

from crypto_platform.core import estimators, signals, splits
from crypto_platform.core.calibration import log_losses
from crypto_platform.core.estimators import ModelParameters, TrainingSet
from crypto_platform.core.features import FeatureSet
from crypto_platform.core.signals import CLASSIFIERS, REGRESSOR
from crypto_platform.errors import NotTrainableError
from crypto_platform.operations import feature_rows, training_rows
from crypto_platform.operations.aliases import CHAMPION
from crypto_platform.operations.machine.schedules import Key, Refit, Schedule
from crypto_platform.operations.machine.ticks import Deployment
from crypto_platform.storage.artifacts import write_atomically
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import features, prediction_outcomes, predictions

REACH: Final = timedelta(days=7)  # how long a replaced model is followed
BATCH: Final = 16  # fits whose rows are in memory at a time
Hours = NDArray[np.int64]
Job = tuple[TrainingSet, NDArray[np.float64], ModelParameters, int]
Progress = Callable[[int, int], None]


def served(store: Warehouse, symbols: Sequence[str], start: datetime, until: datetime) -> pd.DataFrame:
    """Served forecasts with a known direction.

    Returns
    -------
    DataFrame
        `symbol`, `horizon`, `hour` (prediction timestamp), `candle`, `prob_up`, `up` (0 or 1), `right` (1, 0, and one
        half without a side) and `loss` (nats), by hour.
    """
    p, o = predictions.c, prediction_outcomes.c
    key = ("symbol", "horizon", "prediction_timestamp", "version")
    rows = store.read(
        select(
            p.symbol,
            p.horizon,
            p.prediction_timestamp.label("hour"),
            p.candle_timestamp.label("candle"),
            p.prob_up,
            o.realized_direction.label("up"),
        )
        .join(prediction_outcomes, and_(*(p[name] == o[name] for name in key)))
        .where(
            p.symbol.in_(symbols),
            p.role == CHAMPION,
            p.origin == "live",
            p.prediction_timestamp >= start,
            o.resolved_at <= until,
            o.realized_direction.is_not(None),
        )
        .order_by(p.prediction_timestamp, p.symbol, p.horizon)
    )
    return scored(rows)


def scored(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with `right` and `loss` of their `prob_up` beside their `up`."""
    up, prob = rows["up"].to_numpy(float), rows["prob_up"].to_numpy(float)
    right = np.where(prob == 0.5, 0.5, ((prob > 0.5) == (up == 1)).astype(float))
    return rows.assign(right=right, loss=log_losses(up.astype(np.int64), prob))


class Forecasts:
    """Forecasts of every fit that some schedules need, by key and moment of training.

    Parameters
    ----------
    deployment : Deployment
    rows : DataFrame
        Of `served`.
    folder : Path
        Where fits' forecasts are kept.
    """

    def __init__(self, deployment: Deployment, rows: pd.DataFrame, folder: Path) -> None:
        self._deployment = deployment
        self._folder = folder
        self._none = rows.iloc[:0]  # with the types of all columns
        self._rows = {key: part.reset_index(drop=True) for key, part in rows.groupby(["symbol", "horizon"])}
        self._made: dict[tuple[Key, datetime], pd.Series] = {}

    def make(self, schedules: Sequence[Schedule], progress: Progress = lambda *_: None) -> None:
        """Fit what the schedules need and is not there."""
        needed: dict[tuple[Key, datetime], set[int]] = {}
        for schedule in schedules:
            for key, refits in schedule.items():
                for refit, wanted in self._wanted(key, refits):
                    needed.setdefault((key, refit.trained_at), set()).update(wanted.tolist())
        missing = []
        for fit, positions in needed.items():
            if positions:
                rows = self._rows[fit[0]].iloc[sorted(positions)]
                missing += [] if self._read(fit, rows) else [(fit, rows)]
        for first in range(0, len(missing), BATCH):
            progress(first, len(missing))
            batch = missing[first : first + BATCH]
            jobs = [self._job(fit, rows) for fit, rows in batch]
            made = self._deployment.workers.each(fit_and_forecast, *zip(*jobs, strict=True))
            for (fit, rows), prob in zip(batch, made, strict=True):
                self._keep(fit, rows, prob)
        progress(len(missing), len(missing))

    def of(self, schedule: Schedule) -> pd.DataFrame:
        """What a schedule would have forecast, as `served` gives it."""
        parts = []
        for key, refits in schedule.items():
            moments = self._moments(key)
            for number, refit in enumerate(refits):
                inside = _between(moments, refit.at, refits[number + 1].at if number + 1 < len(refits) else None)
                parts.append(self.by(key, refit, inside))
        parts = [part for part in parts if len(part)]
        return pd.concat(parts, ignore_index=True) if parts else self._none

    def by(self, key: Key, refit: Refit, positions: Hours) -> pd.DataFrame:
        """What one fit would have forecast at some of the key's served rows."""
        made = self._made.get((key, refit.trained_at))
        if made is None or not len(positions):
            return self._none
        rows = self._rows[key].iloc[positions]
        rows = rows.assign(prob_up=made.reindex(rows["candle"]).to_numpy(float))
        return scored(rows[rows["prob_up"].notna()])

    def between(self, key: Key, start: datetime, end: datetime | None) -> Hours:
        """Positions of the key's served rows that were forecast from `start` on and before `end`."""
        return _between(self._moments(key), start, end)

    def rows(self, key: Key, positions: Hours) -> pd.DataFrame:
        """What was served."""
        return self._rows[key].iloc[positions]

    def __contains__(self, key: Key) -> bool:
        return key in self._rows

    def _moments(self, key: Key) -> pd.DatetimeIndex:
        """When each served row was made: as soon as its candle had closed."""
        held = self._rows[key]["hour"] if key in self._rows else pd.Series([], dtype="datetime64[us, UTC]")
        return pd.DatetimeIndex(held) + self._deployment.settings.settle

    def _wanted(self, key: Key, refits: Sequence[Refit]) -> list[tuple[Refit, Hours]]:
        """Each fit with the rows it serves, and those after it on which it is followed."""
        moments = self._moments(key)
        found = []
        for number, refit in enumerate(refits):
            following = refits[number + 1 : number + 3]
            end = following[0].at if following else None
            rows = [_between(moments, refit.at, end)]
            if following:
                reach = following[0].at + REACH
                rows.append(_between(moments, following[0].at, min(reach, following[1].at) if following[1:] else reach))
            found.append((refit, np.concatenate(rows)))
        return found

    def _job(self, fit: tuple[Key, datetime], rows: pd.DataFrame) -> Job:
        (symbol, horizon), trained_at = fit
        d, s = self._deployment, self._deployment.settings
        learned = training_rows.labeled(d.store, symbol, horizon, trained_at, s.train_days, s.feature_set)
        inputs = _inputs(d.store, symbol, rows["candle"], s.feature_set).reindex(rows["candle"])
        return learned, inputs[list(learned.feature_names)].to_numpy(float), d.parameters, s.train_days

    def _file(self, fit: tuple[Key, datetime]) -> Path:
        (symbol, horizon), trained_at = fit
        return self._folder / f"{symbol}-{horizon}h-{trained_at:%Y%m%dT%H%M}.npz"

    def _read(self, fit: tuple[Key, datetime], rows: pd.DataFrame) -> bool:
        """Take kept forecasts, where they are of all the rows."""
        path = self._file(fit)
        if not path.exists():
            return False
        with np.load(path, allow_pickle=False) as held:
            made = pd.Series(held["prob_up"], index=pd.to_datetime(held["candle"], unit="us", utc=True).as_unit("us"))
        if not rows["candle"].isin(made.index).all():
            return False
        self._made[fit] = made
        return True

    def _keep(self, fit: tuple[Key, datetime], rows: pd.DataFrame, prob: NDArray[np.float64]) -> None:
        self._made[fit] = pd.Series(prob, index=pd.DatetimeIndex(rows["candle"]))
        packed = BytesIO()
        np.savez_compressed(packed, candle=rows["candle"].astype("int64").to_numpy(), prob_up=prob)
        write_atomically(self._file(fit), packed.getvalue())


def _between(moments: pd.DatetimeIndex, start: datetime, end: datetime | None) -> Hours:
    first = moments.searchsorted(pd.Timestamp(start))
    last = len(moments) if end is None else moments.searchsorted(pd.Timestamp(end))
    return np.arange(first, last)


def _inputs(store: Warehouse, symbol: str, candles: pd.Series, feature_set: FeatureSet) -> pd.DataFrame:
    c = features.c
    rows = store.read(
        select(c.timestamp, *feature_rows.columns(feature_set)).where(
            c.symbol == symbol,
            c.feature_set_hash == feature_set.hash,
            c.timestamp.between(candles.min().to_pydatetime(), candles.max().to_pydatetime()),
        )
    )
    return feature_rows.unpack(rows, feature_set).set_index("timestamp")


def fit_and_forecast(
    rows: TrainingSet, inputs: NDArray[np.float64], parameters: ModelParameters, train_days: int
) -> NDArray[np.float64]:
    """Up-probability of a refit on the newest window, not calibrated: that takes a validation.

    Returns
    -------
    array, shape (n,)
        NaN where an input is missing, and everywhere without enough to learn from.
    """
    prob = np.full(len(inputs), np.nan)
    finite = np.isfinite(inputs).all(axis=1)
    try:
        estimators.require_trainable(rows)
        plan = splits.plan_for(min(rows.span, 24 * train_days))
        newest = rows.take(splits.newest_window(rows.hours, int(rows.hours[-1]), plan))
        estimators.require_trainable(newest)
        fitted = estimators.fit(newest, parameters)
    except NotTrainableError:
        return prob
    if finite.any():
        made = estimators.predict(fitted.models, inputs[finite], fitted.feature_names, fitted.horizon)
        classified = np.column_stack([made[name] for name in CLASSIFIERS])
        prob[finite] = signals.combine(classified, made[REGRESSOR]).prob_up
    return prob
