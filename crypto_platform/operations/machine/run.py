"""The simulated clock: which ticks come, in which order, and how far a store has been operated."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from crypto_platform.core.hours import HOUR, closed_until, newest_closed
from crypto_platform.core.timetable import (
    CADENCES,
    COLLECT,
    HOURLY,
    REPORT,
    RETRAIN_DECISION,
    RETRAIN_SENSOR,
    SENSOR_INTERVAL,
    TRAIN,
)
from crypto_platform.errors import ConfigurationError
from crypto_platform.operations import watermarks
from crypto_platform.operations.machine.ticks import Deployment, begin, do
from crypto_platform.operations.provenance import provenance_of_store
from crypto_platform.operations.watermarks import Mark
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import ALL

DATASET: Final = "simulation"  # of the watermark that says how far
NEXT: Final = "next_hour"  # first candle that the next hourly tick forecasts
DECIDING: Final = frozenset({TRAIN, RETRAIN_DECISION, RETRAIN_SENSOR})

Progress = Callable[[int, int, datetime, str], None]


@dataclass(frozen=True, slots=True)
class Tick:
    """A job at a moment."""

    at: datetime
    job: str


@dataclass(frozen=True, slots=True)
class Journey:
    """What is simulated.

    Parameters
    ----------
    start : datetime
        Full hour; what lies before is loaded as history.
    until : datetime
        The last tick is not after it.
    every_tick : bool
        Do every tick of the timetable. Without it the hours between two decisions are worked off together, each
        as its own tick would have, and what enters neither features nor decisions is not collected.
    identity : mapping
        What the result depends on; plain JSON values.
    """

    start: datetime
    until: datetime
    every_tick: bool
    identity: Mapping[str, Any]


def timetable(after: datetime, until: datetime) -> list[Tick]:
    """Every tick with after < tick ≤ until in time order; no reports, which nothing reads."""
    ticks = [
        Tick(at, cadence.job) for cadence in CADENCES if cadence.job != REPORT for at in cadence.ticks(after, until)
    ]
    looks = (
        Tick(at + SENSOR_INTERVAL, RETRAIN_SENSOR)
        for cadence in CADENCES
        if cadence.job == RETRAIN_DECISION
        for at in cadence.ticks(after - SENSOR_INTERVAL, until - SENSOR_INTERVAL)
    )
    return sorted([*ticks, *looks], key=lambda tick: (tick.at, tick.job))


def in_strides(ticks: list[Tick]) -> Iterator[Tick]:
    """The ticks that decide, and before each the last of those since the one before that prepare it.

    Between two decisions nothing that is decided depends on when within them a row was written: features know their
    hour's availability times, champions stay, outcomes wait for their labels.
    """
    waiting: dict[str, Tick] = {}
    for tick in ticks:
        if tick.job in DECIDING:
            yield from _in_order(waiting)
            yield tick
            waiting = {}
        elif tick.job != COLLECT or tick.at.minute < _hourly_minute():  # features read what a collection brings
            waiting[tick.job] = tick
    yield from _in_order(waiting)


def _hourly_minute() -> int:
    return next(cadence.minutes[0] for cadence in CADENCES if cadence.job == HOURLY)


def _in_order(waiting: Mapping[str, Tick]) -> list[Tick]:
    return sorted(waiting.values(), key=lambda tick: tick.at)


def operate(deployment: Deployment, journey: Journey, progress: Progress = lambda *_: None) -> None:
    """Operate the deployment up to the journey's end, from where its store has been operated to.

    Every tick is done before it is noted, and doing one again changes nothing: a killed run goes on and ends as one
    that was not.

    Raises
    ------
    ConfigurationError
        The store is not the journey's own.
    PlatformError
        A tick failed; the next run begins with it.
    """
    mark = claim(deployment.store, journey)
    total = max(1, (journey.until - journey.start) // HOUR)
    if not mark.details["begun"]:
        progress(0, total, journey.start, "load the history and train")
        begin(deployment, journey.start)
        mark = _note(deployment.store, replace(mark, details={**mark.details, "begun": True}))
    ticks = timetable(mark.watermark, journey.until)
    for tick in ticks if journey.every_tick else in_strides(ticks):
        progress((tick.at - journey.start) // HOUR, total, tick.at, tick.job)
        since = datetime.fromisoformat(mark.details[NEXT]) if tick.job == HOURLY else None
        do(deployment, tick.job, tick.at, since, everything=journey.every_tick)
        details = mark.details
        if tick.job == HOURLY:  # a tick looks at the hour before its newest, too: its candle may have come late
            details = {**details, NEXT: newest_closed(tick.at, deployment.settings.settle).isoformat()}
        mark = _note(deployment.store, replace(mark, watermark=tick.at, details=details))
    if mark.watermark < journey.until:
        _note(deployment.store, replace(mark, watermark=journey.until))
    progress(total, total, journey.until, "done")


def claim(store: Warehouse, journey: Journey) -> Mark:
    """How far the journey is; an empty store becomes its own.

    Raises
    ------
    ConfigurationError
        The store holds anything else.
    """
    held = watermarks.read_marks(store, DATASET, [ALL]).get(ALL)
    if held is None:
        if provenance_of_store(store) is not None:
            raise ConfigurationError(
                "this store was not begun by `crypto-platform simulate`, which operates one of its own: give another "
                "--home, or none"
            )
        details = {"identity": dict(journey.identity), "begun": False, NEXT: closed_until(journey.start).isoformat()}
        return _note(store, Mark(journey.start, since=journey.start, details=details))
    before = held.details.get("identity", {})
    if differing := sorted(key for key in {*before, *journey.identity} if before.get(key) != journey.identity.get(key)):
        key = differing[0]
        raise ConfigurationError(
            f"this store was operated with {key} = {before.get(key)!r}, not {journey.identity.get(key)!r}: a "
            "simulation keeps its settings; give another --home, or none"
        )
    return held


def _note(store: Warehouse, mark: Mark) -> Mark:
    with store.begin() as connection:
        watermarks.write_mark(connection, DATASET, ALL, mark)
    return mark


def operated(store: Warehouse) -> tuple[datetime, datetime] | None:
    """First and last moment a store was operated at; None where it is no simulation's."""
    held = watermarks.read_marks(store, DATASET, [ALL]).get(ALL)
    return (held.since, held.watermark) if held and held.since else None
