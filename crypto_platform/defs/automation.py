"""Every schedule, the sensor, and how fresh assets must be.

All cron lines are UTC; a tick is one run over the range of all symbols.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from crypto_platform.core.timetable import CADENCES, SENSOR_INTERVAL, Cadence
from crypto_platform.defs import jobs
from crypto_platform.defs.assets.science import MODELS
from crypto_platform.defs.checks import RETRAIN, decision_keys
from crypto_platform.defs.partitions import keys_of, range_tags, shards
from crypto_platform.defs.resources import AS_OF_TAG
from crypto_platform.settings import Settings

HISTORY_PAGE: Final = 1000
REREAD_SECONDS: Final = 60.0
LONGEST_RUN_SECONDS: Final = 86_400.0  # between the planning of an evaluation and its result
RETRAIN_SENSOR: Final = "retrain_sensor"
LATE: Final = timedelta(minutes=10)  # that a healthy tick may wait in the queue and run
WARN_TICKS, FAIL_TICKS = 2, 4  # one tick missed, three ticks missed


def freshness_policies() -> dict[str, dg.FreshnessPolicy]:
    """How old the newest materialization of each scheduled asset may be: so many ticks of its most frequent job.

    A policy is about an asset, whichever partition was materialized; a single stale symbol is a check's business.
    """
    every: dict[str, timedelta] = {}
    for cadence in CADENCES:
        for asset in jobs.ASSETS[cadence.job]:
            every[asset] = min(cadence.interval, every.get(asset, timedelta.max))
    return {
        asset: dg.FreshnessPolicy.time_window(
            fail_window=FAIL_TICKS * interval + LATE, warn_window=WARN_TICKS * interval + LATE
        )
        for asset, interval in every.items()
    }


def schedules(settings: Settings, keys: Sequence[str]) -> list[dg.ScheduleDefinition]:
    """One schedule a job, running by default."""
    return [_schedule(cadence, settings, keys) for cadence in CADENCES]


def _schedule(cadence: Cadence, settings: Settings, keys: Sequence[str]) -> dg.ScheduleDefinition:
    name = cadence.job.removesuffix("_job") + "_schedule"

    @dg.schedule(
        job_name=cadence.job,
        cron_schedule=cadence.cron,
        execution_timezone="UTC",
        name=name,
        description=f"{cadence.cron} UTC: {cadence.why}.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def tick(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        moment = context.scheduled_execution_time.astimezone(UTC).isoformat()
        config = {}
        if cadence.job == jobs.TRAIN:
            config = {"ops": {MODELS: {"config": {"only_due": settings.training == "when_due", "reason": "schedule"}}}}
        parts = shards(keys, settings.shards) if cadence.partitioned else [[]]
        for number, part in enumerate(parts):
            tags = {AS_OF_TAG: moment} | (range_tags(part) if part else {})
            yield dg.RunRequest(run_key=f"{moment}/{number}", tags=tags, run_config=config)

    return tick


def retrain_sensor(keys: Sequence[str]) -> dg.SensorDefinition:
    """Train the symbols of which a decision check failed and asked for it, once a day at most.

    The history of evaluations is read, not the latest: a newly planned evaluation would hide a failure, and a pass
    that follows before the tick would too. The evaluation knows the policy's cooldown; the day in the run key, which
    Dagster starts once, keeps to one run where the cursor is lost, and a training under way answers its symbols.
    """

    @dg.sensor(
        job_name=jobs.TRAIN,
        name=RETRAIN_SENSOR,
        minimum_interval_seconds=int(SENSOR_INTERVAL.total_seconds()),
        description="Trains the symbols whose accuracy, drift or freshness check asks for it; at most once a day each.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        failures = failed_since(context.instance, Seen.from_json(context.cursor))
        under_way = _in_training(context.instance, keys) if failures.by_symbol else set()
        asked = [key for key in keys if key in failures.by_symbol and key not in under_way]
        if not asked:
            why = "no decision check asked for training since the last tick"
            return dg.SensorResult(skip_reason=why, cursor=failures.seen.to_json())
        requests = []
        for symbol in asked:
            names, day = failures.by_symbol[symbol]
            reason = f"checks failed: {', '.join(sorted(names))}"
            requests.append(
                dg.RunRequest(
                    run_key=f"{symbol}/{day}",
                    partition_key=symbol,
                    run_config={"ops": {MODELS: {"config": {"reason": reason}}}},
                )
            )
        return dg.SensorResult(run_requests=requests, cursor=failures.seen.to_json())

    return evaluate


def _in_training(instance: dg.DagsterInstance, keys: Sequence[str]) -> set[str]:
    """Symbols of the trainings that are queued or running."""
    unfinished = instance.get_runs(dg.RunsFilter(job_name=jobs.TRAIN, statuses=NOT_FINISHED_STATUSES))
    return {symbol for run in unfinished for symbol in keys_of(run.tags, keys)}


@dataclass(frozen=True, slots=True)
class Seen:
    """How far the check history was read: by time of evaluation, since its numbers are given when a run is *planned*.

    Runs side by side may store evaluations in another order than they were stamped; so the last minute is read again,
    and the numbers already seen of it are kept.
    """

    until: float = 0.0  # POSIX seconds of the newest failed evaluation
    numbers: frozenset[int] = frozenset()

    @classmethod
    def from_json(cls, text: str | None) -> "Seen":
        """The sensor's cursor; nothing seen without one."""
        held = json.loads(text) if text else {}
        return cls(held.get("until", 0.0), frozenset(held.get("numbers", ())))

    def to_json(self) -> str:
        """The sensor's cursor."""
        return json.dumps({"until": self.until, "numbers": sorted(self.numbers)})


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed decision checks: names and newest day of each symbol; and how far the history is read now."""

    by_symbol: dict[str, tuple[set[str], str]]
    seen: Seen


def failed_since(instance: dg.DagsterInstance, seen: Seen) -> Failures:
    """Failed evaluations of the decision checks that were not seen."""
    by_symbol: dict[str, tuple[set[str], str]] = {}
    stamps = dict.fromkeys(seen.numbers, seen.until)
    for name, key in decision_keys().items():
        for number, stamp, symbol in _failed_evaluations(instance, key, seen.until - REREAD_SECONDS):
            if number in seen.numbers:
                continue
            stamps[number] = stamp
            names, day = by_symbol.get(symbol, (set(), ""))
            at = datetime.fromtimestamp(stamp, UTC).date().isoformat()
            by_symbol[symbol] = ({*names, name}, max(day, at))
    until = max(stamps.values(), default=seen.until)
    recent = frozenset(number for number, stamp in stamps.items() if stamp > until - REREAD_SECONDS)
    return Failures(by_symbol, Seen(until, recent))


def _failed_evaluations(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, after: float
) -> Iterator[tuple[int, float, str]]:
    """Number, POSIX time and symbol of the failed evaluations of a check made later than `after` that ask for training.

    The one place that reads the check history, which is no public API of Dagster. It comes newest planned first.
    """
    cursor: int | None = None
    while True:
        page = instance.event_log_storage.get_asset_check_execution_history(
            key, limit=HISTORY_PAGE, cursor=cursor, status={AssetCheckExecutionRecordStatus.FAILED}
        )
        for record in page:
            if record.partition and record.event and record.event.timestamp > after and _asks(record.event):
                yield record.id, record.event.timestamp, str(record.partition)
        if len(page) < HISTORY_PAGE or page[-1].create_timestamp < after - LONGEST_RUN_SECONDS:
            return
        cursor = page[-1].id


def _asks(event: dg.EventLogEntry) -> bool:
    """Whether a failed evaluation asks for training; one that does not say so does."""
    assert event.dagster_event is not None
    said = event.dagster_event.asset_check_evaluation_data.metadata.get(RETRAIN)
    return said is None or bool(said.value)
