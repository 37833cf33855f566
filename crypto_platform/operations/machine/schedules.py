"""When each schedule of the comparison refits: never, daily, as operated, and as the other policy says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import pandas as pd
from sqlalchemy import select

from crypto_platform.core.calibrated import CalibratedRules
from crypto_platform.core.retraining import (
    ACCURACY_HOLDS,
    CLASSIC,
    FEATURES_HAVE_NOT_DRIFTED,
    MODEL_IS_FRESH,
    POLICIES,
    ClassicRules,
)
from crypto_platform.core.timetable import CADENCES, SENSOR_INTERVAL, TRAIN
from crypto_platform.operations import registry
from crypto_platform.operations.decide import Rules
from crypto_platform.operations.machine.ticks import triggers
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import model_versions, retrain_decisions

Key = tuple[str, int]
OPERATED, NEVER, DAILY = "refit as operated", "never refit", "refit daily"
ALARMING: Final = frozenset({ACCURACY_HOLDS, FEATURES_HAVE_NOT_DRIFTED})
FIRST: Final = "first model"
SCHEDULED: Final = "schedule"


@dataclass(frozen=True, slots=True)
class Refit:
    """From `at` on a model serves that was fitted on what was known at `trained_at`, and why."""

    at: datetime
    trained_at: datetime
    causes: tuple[str, ...] = ()


Schedule = Mapping[Key, Sequence[Refit]]


def schedules(
    store: Warehouse, symbols: Sequence[str], horizons: Sequence[int], rules: Rules, start: datetime, until: datetime
) -> dict[str, Schedule]:
    """Every schedule by its name, what was operated first."""
    keys = [(symbol, horizon) for symbol in symbols for horizon in horizons]
    decided = decisions(store, symbols, start, until)
    other = next(policy for policy in POLICIES if policy != rules.policy)
    first = Refit(start, start, (FIRST,))
    ticks = [at for cadence in CADENCES if cadence.job == TRAIN for at in cadence.ticks(start, until)]
    daily = (first, *(Refit(at, at, (SCHEDULED,)) for at in ticks))
    by_key = dict(iter(decided.groupby(["symbol", "horizon"])))
    none = decided.iloc[:0]
    return {
        OPERATED: _operated(store, symbols, keys, by_key, rules.policy, start, until),
        NEVER: dict.fromkeys(keys, (first,)),
        DAILY: dict.fromkeys(keys, daily),
        as_policy(other): {key: [first, *_by_verdict(by_key.get(key, none), other, rules, start)] for key in keys},
    }


def as_policy(policy: str) -> str:
    """Name of the schedule that does what a policy's verdicts ask for."""
    return f"refit when {policy} says so"


def decisions(store: Warehouse, symbols: Sequence[str], start: datetime, until: datetime) -> pd.DataFrame:
    """Decisions of a journey in time order: the rows of `retrain_decisions`."""
    c = retrain_decisions.c
    return store.read(
        select(retrain_decisions)
        .where(c.symbol.in_(symbols), c.decision_time >= start, c.decision_time <= until)
        .order_by(c.decision_time, c.symbol, c.horizon)
    )


def _operated(
    store: Warehouse,
    symbols: Sequence[str],
    keys: Sequence[Key],
    decided: Mapping[Any, pd.DataFrame],
    policy: str,
    start: datetime,
    until: datetime,
) -> dict[Key, list[Refit]]:
    """What served: every change of the champion, with the moment of the training it came from."""
    changes: dict[Key, list[Refit]] = {key: [] for key in keys}
    for served in registry.history(store, symbols):
        key = (served.symbol, served.horizon)
        if key in changes and served.since <= until:
            rows = decided.get(key)
            causes = (FIRST,) if served.trained_at <= start else _causes(rows, served.trained_at, policy)
            changes[key].append(Refit(served.since, served.trained_at, causes))
    return changes


def _causes(rows: pd.DataFrame | None, trained_at: datetime, policy: str) -> tuple[str, ...]:
    """Findings of the decision that a training answered; the schedule, where it answered none."""
    if rows is None:
        return (SCHEDULED,)
    asked = rows[(rows["decision_time"] == pd.Timestamp(trained_at - SENSOR_INTERVAL)) & rows["should_retrain"]]
    return tuple(sorted(triggers(asked["details"].iloc[0], policy))) if len(asked) else (SCHEDULED,)


def _by_verdict(rows: pd.DataFrame, policy: str, rules: Rules, start: datetime) -> list[Refit]:
    """Refits that a policy's recorded verdicts ask for, with a cooldown and an age of the schedule's own models."""
    oldest = timedelta(days=_longest(policy, rules.classic, rules.calibrated))
    cooldown = timedelta(hours=rules.restraint.cooldown_hours)
    refits: list[Refit] = []
    last = start
    for row in rows.itertuples():
        at = row.decision_time.to_pydatetime()
        causes = [name for name in triggers(row.details, policy) if name != MODEL_IS_FRESH]
        causes += [MODEL_IS_FRESH] if at - last >= oldest else []
        if causes and at - last >= cooldown:
            last = at + SENSOR_INTERVAL
            refits.append(Refit(last, last, tuple(sorted(causes))))
    return refits


def _longest(policy: str, classic: ClassicRules, calibrated: CalibratedRules) -> float:
    return classic.max_age_days if policy == CLASSIC else calibrated.max_age_days


def trainings(store: Warehouse, symbols: Sequence[str], start: datetime, until: datetime) -> pd.DataFrame:
    """Symbol, horizon and moment of every training of a journey, whatever became of it."""
    m = model_versions.c
    return store.read(
        select(m.symbol, m.horizon, m.trained_at, m.version)
        .where(m.symbol.in_(symbols), m.trained_at >= start, m.trained_at <= until)
        .order_by(m.trained_at, m.symbol, m.horizon)
    )


def as_trained(
    store: Warehouse, symbols: Sequence[str], policy: str, start: datetime, until: datetime
) -> dict[Key, list[Refit]]:
    """Every training as if its bundle had served at once: what its alarm asked for, whatever the gate said of it."""
    decided = dict(iter(decisions(store, symbols, start, until).groupby(["symbol", "horizon"])))
    found: dict[Key, list[Refit]] = {}
    for row in trainings(store, symbols, start, until).itertuples():
        key, at = (row.symbol, int(row.horizon)), row.trained_at.to_pydatetime()
        causes = (FIRST,) if at <= start else _causes(decided.get(key), at, policy)
        found.setdefault(key, []).append(Refit(at, at, causes))
    return found
