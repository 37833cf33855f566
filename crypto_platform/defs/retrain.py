"""The sensor that trains the symbols of which a decision check failed: once for a failure, and once in a cooldown.

What was launched is read from the runs themselves, so that a lost cursor, or a kill at any moment, starts nothing
twice; the cursor only says where to read on.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES, RunRecord
from dagster._core.storage.tags import SENSOR_NAME_TAG

from crypto_platform.core.timetable import RETRAIN_SENSOR, SENSOR_INTERVAL
from crypto_platform.defs import jobs
from crypto_platform.defs.assets.science import MODELS
from crypto_platform.defs.history import Failure, Seen, advanced, failed_since
from crypto_platform.defs.partitions import contiguous, covered, range_tags
from crypto_platform.defs.resources import Platform
from crypto_platform.operations import decide, watch
from crypto_platform.operations.decide import ANSWERED_WITHIN

RUNS_A_TICK: Final = 10  # a run costs seconds to start, whatever it trains: the rest waits for the next tick
FAILED_AT_TAG: Final = "crypto_platform/failed_at"  # of a run: the newest failure it answers, POSIX seconds
UNDER_WAY: Final = [status for status in NOT_FINISHED_STATUSES if status is not dg.DagsterRunStatus.NOT_STARTED]
TO_BEGIN: Final = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING)
ATTEMPTS: Final = 3  # runs that fail before they begin, until that is taken for an answer
CLOCKS_APART: Final = timedelta(hours=1)  # of the machines that stamp evaluations and runs, generously
DEAD: Final = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def retrain_sensor(keys: Sequence[str]) -> dg.SensorDefinition:
    """Train the symbols of which a decision check failed and asked for it.

    A training that somebody else launched keeps its symbols waiting: only its end tells whether they were trained.
    """

    @dg.sensor(
        job_name=jobs.TRAIN,
        name=RETRAIN_SENSOR,
        minimum_interval_seconds=int(SENSOR_INTERVAL.total_seconds()),
        description="Trains the symbols whose accuracy, drift or freshness check asks for it; once in a cooldown each.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def evaluate(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]) -> dg.SensorResult:
        now = platform.clock.now()
        oldest, seen = now - ANSWERED_WITHIN, Seen.from_json(context.cursor)
        _note_dead(context.instance, platform, keys, oldest)
        found = failed_since(context.instance, seen, oldest)
        launched = _launched(context.instance, keys, found, timedelta(hours=platform.settings.cooldown_hours))
        asking = _asking(platform, launched, [failure for failure in found if failure.symbol in keys])
        busy = _in_training(context.instance, keys) if asking else set()
        parts = list(contiguous([symbol for symbol in asking if symbol not in busy], keys))
        # What was asked for is read again until its run has begun: until then, that may come to nothing.
        open_ = asking.keys() | launched.to_begin
        waiting = [failure for failure in found if failure.symbol in open_]
        cursor = advanced(seen, found, waiting, oldest).to_json()
        if not parts:
            held = f"{len({f.symbol for f in waiting})} symbols wait for a training under way" if waiting else ""
            why = held or "no decision check asked for training since the last tick"
            return dg.SensorResult(skip_reason=why, cursor=cursor)
        requests = [_request(part, asking, launched.stillborn) for part in parts[:RUNS_A_TICK]]
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    return evaluate


@dataclass(frozen=True, slots=True)
class Launched:
    """Runs of this sensor, as far as they may answer the failures that were found.

    Parameters
    ----------
    until : dict of str to float
        Up to when failures of a symbol are answered, POSIX seconds.
    to_begin : set of str
        Symbols of runs that were launched and have not begun.
    stillborn : Counter of str
        Runs that failed before they began, by symbol.
    """

    until: dict[str, float] = field(default_factory=dict)
    to_begin: set[str] = field(default_factory=set)
    stillborn: Counter[str] = field(default_factory=Counter)


def _request(
    part: Sequence[str], asking: Mapping[str, Sequence[Failure]], stillborn: Mapping[str, int]
) -> dg.RunRequest:
    """One run over neighbors. Asked again, as after a kill before its launch, it has the same key."""
    failures = [failure for symbol in part for failure in asking[symbol]]
    newest = max(failure.at for failure in failures)
    whom = part[0] if len(part) == 1 else f"{part[0]}...{part[-1]}"
    again = max(stillborn.get(symbol, 0) for symbol in part)
    reason = f"checks failed in {whom}: {', '.join(sorted({failure.check for failure in failures}))}"
    return dg.RunRequest(
        run_key=f"{whom}/{datetime.fromtimestamp(newest, UTC).isoformat()}" + (f"/{again + 1}" if again else ""),
        tags={**range_tags(part), FAILED_AT_TAG: repr(newest)},
        run_config={"ops": {MODELS: {"config": {"reason": reason}}}},
    )


def _asking(platform: Platform, launched: Launched, failures: Iterable[Failure]) -> dict[str, list[Failure]]:
    """Failures without an answer, by symbol: no training was launched or done since, nor in the cooldown before."""
    by_symbol: dict[str, list[Failure]] = {}
    for failure in failures:
        by_symbol.setdefault(failure.symbol, []).append(failure)
    if not by_symbol:
        return {}
    settings = platform.settings
    trained = watch.last_trained(platform.store, sorted(by_symbol), settings.horizons, platform.clock.now())
    cooldown = timedelta(hours=settings.cooldown_hours)
    done = {symbol: (at + cooldown).timestamp() for symbol, at in trained.items()}
    return {
        symbol: mine
        for symbol, mine in by_symbol.items()
        if max(failure.at for failure in mine) > max(launched.until.get(symbol, 0.0), done.get(symbol, 0.0))
    }


def _launched(
    instance: dg.DagsterInstance, keys: Sequence[str], failures: Sequence[Failure], cooldown: timedelta
) -> Launched:
    """What was launched since the oldest of the failures, or in the cooldown before it."""
    launched = Launched()
    if not failures:
        return launched
    since = datetime.fromtimestamp(min(failure.at for failure in failures), UTC) - cooldown - CLOCKS_APART
    for record in _runs(instance, created_after=since):
        run, symbols = record.dagster_run, covered(record.dagster_run.tags, keys)
        if run.status is dg.DagsterRunStatus.NOT_STARTED:
            continue
        if _is_stillborn(record):
            launched.stillborn.update(symbols)
            symbols = [symbol for symbol in symbols if launched.stillborn[symbol] >= ATTEMPTS]
        elif run.status in TO_BEGIN:
            launched.to_begin.update(symbols)
        answered = max((record.create_timestamp + cooldown).timestamp(), float(run.tags.get(FAILED_AT_TAG, 0.0)))
        for symbol in symbols:
            launched.until[symbol] = max(launched.until.get(symbol, 0.0), answered)
    return launched


def _runs(instance: dg.DagsterInstance, **filters: Any) -> Sequence[RunRecord]:
    """Runs that this sensor asked for."""
    mine = dg.RunsFilter(job_name=jobs.TRAIN, tags={SENSOR_NAME_TAG: RETRAIN_SENSOR}, **filters)
    return instance.get_run_records(mine)


def _is_stillborn(record: RunRecord) -> bool:
    """Whether a run failed before it began, as when the daemon dies in the middle of its launch: it trained nobody."""
    return record.dagster_run.status is dg.DagsterRunStatus.FAILURE and record.start_time is None


def _in_training(instance: dg.DagsterInstance, keys: Sequence[str]) -> set[str]:
    """Symbols of the trainings that are queued or running."""
    unfinished = instance.get_runs(dg.RunsFilter(job_name=jobs.TRAIN, statuses=UNDER_WAY))
    return {symbol for run in unfinished for symbol in covered(run.tags, keys)}


def _note_dead(instance: dg.DagsterInstance, platform: Platform, keys: Sequence[str], oldest: datetime) -> None:
    """Write on the decisions what became of a run that could not write it itself, unless another takes its place."""
    stillborn: Counter[str] = Counter()
    for record in _runs(instance, statuses=DEAD, created_after=oldest):
        run, symbols = record.dagster_run, covered(record.dagster_run.tags, keys)
        if _is_stillborn(record):
            stillborn.update(symbols)
            symbols = [symbol for symbol in symbols if stillborn[symbol] >= ATTEMPTS]
        decide.note_run(platform.store, symbols, run.run_id, as_of=record.create_timestamp)
        decide.note_end(platform.store, run.run_id, f"the run ended as {run.status.value}")
