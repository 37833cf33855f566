"""Champion and candidate on the same hours: what both say of hours that neither has seen."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from sqlalchemy import select

from crypto_platform.core import serving, signals
from crypto_platform.core.features import FeatureSet
from crypto_platform.core.hours import HOUR
from crypto_platform.core.hours import as_of as usable_from
from crypto_platform.core.panel import from_hours, hours_since_1970
from crypto_platform.core.promotion import Floats, Trial
from crypto_platform.core.serving import ServingForm
from crypto_platform.core.signals import CLASSIFIERS, REGRESSOR
from crypto_platform.operations import registry
from crypto_platform.operations.registry import Served
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import predictions


def has_expired(champion: Served, as_of: datetime, expiry: timedelta) -> bool:
    """Whether its training data are too old for its signals to be acted on."""
    return as_of - usable_from(champion.train_end) > expiry


def of_champion(
    store: Warehouse,
    artifacts: ArtifactStore,
    past: Sequence[Served],
    frame: pd.DataFrame,
    trial: Trial,
    *,
    embargo: int,
    feature_set: FeatureSet,
) -> tuple[Served, Floats] | None:
    """Who serves, and its up-probabilities of the hours of a trial; None where nobody does.

    Parameters
    ----------
    store : Warehouse
    artifacts : ArtifactStore
    past : sequence of Served
        Champions of the symbol and horizon, oldest first. One whose bundle is refused is passed over, as it is for
        forecasts.
    frame : DataFrame
        Stored features of these hours and others.
    trial : Trial
    embargo : int
        Hours between the last row it was fitted on, with that row's label, and the first it is scored on.
    feature_set : FeatureSet

    Returns
    -------
    tuple of Served and array of shape (n,), or None
        NaN in hours that it may have seen and did not forecast when they were new, and where it lacks a feature.
    """
    choice = registry.choose(artifacts, past, feature_set)
    if choice.served is None or choice.form is None:
        return None
    unseen = trial.hours >= _hour(choice.served.train_end) + trial.horizon + embargo
    prob_up = np.where(unseen, _scored(choice.form, frame, trial), np.nan)
    if len(trial) and not np.isfinite(prob_up).all():
        prob_up = np.where(np.isfinite(prob_up), prob_up, _logged(store, choice.served, trial))
    return choice.served, prob_up


def _hour(at: datetime) -> int:
    return int(at.timestamp()) // 3600


def _scored(form: ServingForm, frame: pd.DataFrame, trial: Trial) -> Floats:
    names = list(form.feature_names)
    rows = frame.set_index(hours_since_1970(frame["timestamp"]))[names].reindex(trial.hours)
    values = rows.to_numpy(float)
    finite = np.isfinite(values).all(axis=1)
    prob_up = np.full(len(trial), np.nan)
    if finite.any():
        made = serving.predict(form, values[finite])
        stacked = np.column_stack([made[name] for name in CLASSIFIERS])
        prob_up[finite] = signals.combine(stacked, made[REGRESSOR]).prob_up
    return prob_up


def _logged(store: Warehouse, served: Served, trial: Trial) -> Floats:
    """What it said of these hours when they were new."""
    p = predictions.c
    first, last = (moment.to_pydatetime() for moment in from_hours(trial.hours[[0, -1]]))
    rows = store.read(
        select(p.candle_timestamp, p.prob_up).where(
            p.symbol == served.symbol,
            p.horizon == served.horizon,
            p.version == served.version,
            p.prediction_timestamp.between(first + HOUR, last + HOUR),
            p.origin == "live",
            p.prob_up.is_not(None),
        )
    )
    known = pd.Series(rows["prob_up"].to_numpy(float), index=hours_since_1970(rows["candle_timestamp"]))
    return np.asarray(known.reindex(trial.hours), dtype=float)
