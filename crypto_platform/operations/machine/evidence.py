"""From a simulation's store to the numbers of its report."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd

from crypto_platform.core import hindsight
from crypto_platform.core.bootstrap import LEVEL
from crypto_platform.core.hindsight import Alarms, Arm, Retrain
from crypto_platform.core.provenance import Provenance
from crypto_platform.core.retraining import POLICIES
from crypto_platform.operations import registry
from crypto_platform.operations.aliases import CHAMPION
from crypto_platform.operations.machine import schedules as plans
from crypto_platform.operations.machine.arms import REACH, Forecasts, Progress, served
from crypto_platform.operations.machine.run import operated
from crypto_platform.operations.machine.schedules import ALARMING, OPERATED, Key, Refit, Schedule
from crypto_platform.operations.machine.ticks import Deployment, triggers
from crypto_platform.operations.provenance import provenance_of_store

SERVED: Final = "what was operated"
FOLDER: Final = "arms"  # of the fits' forecasts, under the simulation's home


@dataclass(frozen=True, slots=True)
class SymbolDecisions:
    """What was decided of one series.

    Attributes
    ----------
    n, asked, held_back : int
        Decisions; those that asked for training; those that a cooldown or trainings in vain held back.
    causes : mapping of str to int
        How often each finding asked, held back or not.
    other_asked : int
        Decisions at which the other policy's verdict was to train.
    trained, promoted, returned : int
        Trainings; changes of the champion to a new bundle, the first not counted; and back to an earlier one.
    """

    symbol: str
    horizon: int
    n: int
    asked: int
    held_back: int
    causes: Mapping[str, int]
    other_asked: int
    trained: int
    promoted: int
    returned: int


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a champion."""

    symbol: str
    horizon: int
    at: datetime
    version: str
    before: str | None
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hindsight:
    """All that the report says."""

    start: datetime
    until: datetime
    provenance: Provenance | None
    symbols: tuple[str, ...]
    horizons: tuple[int, ...]
    policy: str
    other: str
    train_days: int
    seed: int
    level: float
    decisions: tuple[SymbolDecisions, ...]
    changes: tuple[Change, ...]
    arms: tuple[Arm, ...]
    retrains: tuple[Retrain, ...]
    alarms: tuple[Alarms, ...]


def gather(deployment: Deployment, home: Path, progress: Progress = lambda *_: None) -> Hindsight:
    """Look back on a simulation; the schedules' fits are made here.

    Raises
    ------
    ValueError
        The store is no simulation's.
    """
    d, s = deployment, deployment.settings
    span = operated(d.store)
    if span is None:
        raise ValueError("the store is no simulation's")
    start, until = span
    rows = served(d.store, d.names, start, until)
    chosen = plans.schedules(d.store, d.names, s.horizons, d.rules, start, until)
    forecasts = Forecasts(d, rows, home / FOLDER)
    trained = plans.as_trained(d.store, d.names, d.rules.policy, start, until)
    forecasts.make([*chosen.values(), trained], progress)
    other = next(policy for policy in POLICIES if policy != d.rules.policy)
    level = 1 - (1 - LEVEL) / (len(chosen) * len(s.horizons))
    own = _retrains(forecasts, chosen[OPERATED], s.seed, is_served=True)
    asked = _alarms(forecasts, chosen[OPERATED], trained, s.seed)
    others = _retrains(forecasts, chosen[plans.as_policy(other)], s.seed, is_served=False)
    return Hindsight(
        start=start,
        until=until,
        provenance=provenance_of_store(d.store),
        symbols=tuple(d.names),
        horizons=tuple(s.horizons),
        policy=d.rules.policy,
        other=other,
        train_days=s.train_days,
        seed=s.seed,
        level=level,
        decisions=tuple(_decided(d, start, until, other)),
        changes=tuple(_changes(d, start, until)),
        arms=tuple(_arms(forecasts, rows, chosen, s.horizons, s.seed, level)),
        retrains=tuple(own),
        alarms=(hindsight.alarms(d.rules.policy, asked), hindsight.alarms(other, others)),
    )


def _arms(
    forecasts: Forecasts,
    rows: pd.DataFrame,
    chosen: Mapping[str, Schedule],
    horizons: Sequence[int],
    seed: int,
    level: float,
) -> list[Arm]:
    made = {SERVED: rows} | {name: forecasts.of(schedule) for name, schedule in chosen.items()}
    plan = {SERVED: chosen[OPERATED], **chosen}
    scored = []
    for horizon in horizons:
        of_horizon = {name: part[part["horizon"] == horizon] for name, part in made.items()}
        for name, mine in of_horizon.items():
            reference = None if name == OPERATED else of_horizon[OPERATED]
            refits = sum(len(refits) for (_, h), refits in plan[name].items() if h == horizon)
            scored.append(hindsight.arm(name, mine, reference, horizon, refits, seed, level))
    return scored


def _retrains(forecasts: Forecasts, schedule: Schedule, seed: int, *, is_served: bool) -> list[Retrain]:
    """Every refit beside the model it replaced; `is_served` takes before and after from what was served."""
    found = []
    for key, refits in schedule.items():
        if key not in forecasts:
            continue
        for number in range(1, len(refits)):
            before, refit = refits[number - 1], refits[number]
            end = refits[number + 1].at if number + 1 < len(refits) else None
            found.append(_retrain(forecasts, key, before, refit, end, seed, is_served=is_served))
    return sorted(found, key=lambda one: (one.since, one.symbol, one.horizon))


def _alarms(forecasts: Forecasts, operated: Schedule, trained: Schedule, seed: int) -> list[Retrain]:
    """Every training beside the model that served when it was made, whether its bundle came to serve or not."""
    found = []
    for key, refits in trained.items():
        for number, refit in enumerate(refits):
            served = [one for one in operated.get(key, ()) if one.at < refit.at]
            if key in forecasts and served:
                end = refits[number + 1].at if number + 1 < len(refits) else None
                found.append(_retrain(forecasts, key, served[-1], refit, end, seed, is_served=False))
    return found


def _retrain(
    forecasts: Forecasts, key: Key, before: Refit, refit: Refit, end: datetime | None, seed: int, *, is_served: bool
) -> Retrain:
    earlier = forecasts.between(key, max(before.at, refit.at - REACH), refit.at)
    later = forecasts.between(key, refit.at, min(end, refit.at + REACH) if end else refit.at + REACH)
    kept, refitted = forecasts.by(key, before, later), forecasts.by(key, refit, later)
    horizon = key[1]
    old = forecasts.rows(key, earlier) if is_served else forecasts.by(key, before, earlier)
    new = forecasts.rows(key, later) if is_served else refitted
    return Retrain(
        symbol=key[0],
        horizon=horizon,
        since=refit.at.isoformat(),
        causes=refit.causes,
        is_alarm=bool(ALARMING & set(refit.causes)),
        before=hindsight.accuracy(old, horizon),
        after=hindsight.accuracy(new, horizon),
        kept=hindsight.accuracy(kept, horizon),
        gain=hindsight.gain(kept, refitted, horizon, seed),
    )


def _decided(d: Deployment, start: datetime, until: datetime, other: str) -> list[SymbolDecisions]:
    rows = plans.decisions(d.store, d.names, start, until)
    trained = plans.trainings(d.store, d.names, start, until)
    changes = [c for c in _changes(d, start, until) if c.before is not None]
    said = []
    for symbol in d.names:
        for horizon in d.settings.horizons:
            mine = rows[(rows["symbol"] == symbol) & (rows["horizon"] == horizon)]
            details: list[Mapping[str, Any]] = mine["details"].tolist()
            causes = Counter(name for each in details for name in triggers(each, d.rules.policy))
            moved = [change for change in changes if (change.symbol, change.horizon) == (symbol, horizon)]
            back = sum(_is_return(change, moved) for change in moved)
            said.append(
                SymbolDecisions(
                    symbol,
                    horizon,
                    n=len(mine),
                    asked=int(mine["should_retrain"].sum()),
                    held_back=sum(each["held_back"] is not None for each in details),
                    causes=dict(sorted(causes.items())),
                    other_asked=sum(bool(each["verdicts"][other]["reasons"]) for each in details),
                    trained=int(((trained["symbol"] == symbol) & (trained["horizon"] == horizon)).sum()),
                    promoted=len(moved) - back,
                    returned=back,
                )
            )
    return said


def _is_return(change: Change, changes: Sequence[Change]) -> bool:
    """Whether a change goes back to a bundle that had served before."""
    return any(change.version == earlier.before for earlier in changes if earlier.at < change.at)


def _changes(d: Deployment, start: datetime, until: datetime) -> list[Change]:
    rows = registry.aliases(d.store, d.names)
    rows = rows[(rows["alias"] == CHAMPION) & (rows["at"] >= start) & (rows["at"] <= until)]
    return [
        Change(
            row.symbol,
            int(row.horizon),
            row.at.to_pydatetime(),
            row.version_to,
            row.version_from,
            row.actor,
            row.reason,
        )
        for row in rows.itertuples()
    ]
