"""The sensor that trains the symbols of which a decision check failed: once for a failure, and once in a cooldown.

What was launched is read from the runs themselves, so that a lost cursor, or a kill at any moment, starts nothing
twice; the cursor only says where to read on.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import SENSOR_NAME_TAG

from crypto_platform.defs import jobs
from crypto_platform.defs.assets.science import MODELS
from crypto_platform.defs.history import Failure, Seen, advanced, failed_since
from crypto_platform.defs.partitions import contiguous, covered, range_tags
from crypto_platform.defs.resources import Platform
from crypto_platform.operations import decide, watch
from crypto_platform.operations.decide import ANSWERED_WITHIN

RETRAIN_SENSOR: Final = "retrain_sensor"
RUNS_A_TICK: Final = 10  # a run costs seconds to start, whatever it trains: the rest waits for the next tick
FAILED_AT_TAG: Final = "crypto_platform/failed_at"  # of a run: the newest failure it answers, POSIX seconds
UNDER_WAY: Final = [status for status in NOT_FINISHED_STATUSES if status is not dg.DagsterRunStatus.NOT_STARTED]
DEAD: Final = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def retrain_sensor(keys: Sequence[str]) -> dg.SensorDefinition:
    """Train the symbols of which a decision check failed and asked for it.

    A training that somebody else launched keeps its symbols waiting: only its end tells whether they were trained.
    """

    @dg.sensor(
        job_name=jobs.TRAIN,
        name=RETRAIN_SENSOR,
        minimum_interval_seconds=60,
        description="Trains the symbols whose accuracy, drift or freshness check asks for it; once in a cooldown each.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def evaluate(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]) -> dg.SensorResult:
        now = platform.clock.now()
        oldest, seen = now - ANSWERED_WITHIN, Seen.from_json(context.cursor)
        _note_dead(context.instance, platform, keys, oldest)
        found = failed_since(context.instance, seen, oldest)
        asking = _asking(context.instance, platform, keys, [failure for failure in found if failure.symbol in keys])
        busy = _in_training(context.instance, keys) if asking else set()
        parts = list(contiguous([symbol for symbol in asking if symbol not in busy], keys))
        chosen = {symbol for part in parts[:RUNS_A_TICK] for symbol in part}
        waiting = [failure for failure in found if failure.symbol in asking and failure.symbol not in chosen]
        cursor = advanced(seen, found, waiting, oldest).to_json()
        if not parts:
            held = f"{len(asking)} symbols wait for a training under way" if asking else ""
            why = held or "no decision check asked for training since the last tick"
            return dg.SensorResult(skip_reason=why, cursor=cursor)
        return dg.SensorResult(run_requests=[_request(part, asking) for part in parts[:RUNS_A_TICK]], cursor=cursor)

    return evaluate


def _request(part: Sequence[str], asking: Mapping[str, Sequence[Failure]]) -> dg.RunRequest:
    """One run over neighbors. Asked again, as after a kill before its launch, it has the same key."""
    failures = [failure for symbol in part for failure in asking[symbol]]
    newest = max(failure.at for failure in failures)
    whom = part[0] if len(part) == 1 else f"{part[0]}...{part[-1]}"
    reason = f"checks failed in {whom}: {', '.join(sorted({failure.check for failure in failures}))}"
    return dg.RunRequest(
        run_key=f"{whom}/{datetime.fromtimestamp(newest, UTC).isoformat()}",
        tags={**range_tags(part), FAILED_AT_TAG: repr(newest)},
        run_config={"ops": {MODELS: {"config": {"reason": reason}}}},
    )


def _asking(
    instance: dg.DagsterInstance, platform: Platform, keys: Sequence[str], failures: Iterable[Failure]
) -> dict[str, list[Failure]]:
    """Failures without an answer, by symbol: no training was launched or done since, nor in the cooldown before."""
    by_symbol: dict[str, list[Failure]] = {}
    for failure in failures:
        by_symbol.setdefault(failure.symbol, []).append(failure)
    if not by_symbol:
        return {}
    newest = {symbol: max(failure.at for failure in mine) for symbol, mine in by_symbol.items()}
    cooldown = timedelta(hours=platform.settings.cooldown_hours)
    launched = _launched(instance, keys, datetime.fromtimestamp(min(newest.values()), UTC), cooldown)
    trained = watch.last_trained(platform.store, sorted(newest), platform.settings.horizons, platform.clock.now())
    done = {symbol: (at + cooldown).timestamp() for symbol, at in trained.items()}
    return {
        symbol: mine
        for symbol, mine in by_symbol.items()
        if newest[symbol] > max(launched.get(symbol, 0.0), done.get(symbol, 0.0))
    }


def _launched(
    instance: dg.DagsterInstance, keys: Sequence[str], oldest: datetime, cooldown: timedelta
) -> dict[str, float]:
    """Up to when failures are answered by runs of this sensor, POSIX seconds; what was never launched answers none."""
    until: dict[str, float] = {}
    filters = dg.RunsFilter(
        job_name=jobs.TRAIN,
        tags={SENSOR_NAME_TAG: RETRAIN_SENSOR},
        created_after=oldest - cooldown - timedelta(hours=1),
    )
    for record in instance.get_run_records(filters):
        run = record.dagster_run
        if run.status is dg.DagsterRunStatus.NOT_STARTED:
            continue
        answered = max((record.create_timestamp + cooldown).timestamp(), float(run.tags.get(FAILED_AT_TAG, 0.0)))
        for symbol in covered(run.tags, keys):
            until[symbol] = max(until.get(symbol, 0.0), answered)
    return until


def _in_training(instance: dg.DagsterInstance, keys: Sequence[str]) -> set[str]:
    """Symbols of the trainings that are queued or running."""
    unfinished = instance.get_runs(dg.RunsFilter(job_name=jobs.TRAIN, statuses=UNDER_WAY))
    return {symbol for run in unfinished for symbol in covered(run.tags, keys)}


def _note_dead(instance: dg.DagsterInstance, platform: Platform, keys: Sequence[str], oldest: datetime) -> None:
    """Write on the decisions what became of a run that could not write it itself."""
    filters = dg.RunsFilter(
        job_name=jobs.TRAIN, tags={SENSOR_NAME_TAG: RETRAIN_SENSOR}, statuses=DEAD, created_after=oldest
    )
    for record in instance.get_run_records(filters):
        run, symbols = record.dagster_run, covered(record.dagster_run.tags, keys)
        decide.note_run(platform.store, symbols, run.run_id, as_of=record.create_timestamp)
        decide.note_end(platform.store, run.run_id, f"the run ended as {run.status.value}")
