"""Every schedule and the sensor. All cron lines are UTC; a tick is one run over the range of all symbols."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from crypto_platform.defs import jobs
from crypto_platform.defs.assets.science import MODELS
from crypto_platform.defs.checks import decision_keys
from crypto_platform.defs.partitions import range_tags, shards
from crypto_platform.defs.resources import AS_OF_TAG
from crypto_platform.settings import Settings

HISTORY_PAGE: Final = 1000
RETRAIN_SENSOR: Final = "retrain_sensor"


@dataclass(frozen=True, slots=True)
class Cadence:
    """When a job runs, and why at that minute."""

    job: str
    cron: str
    why: str
    partitioned: bool = True


CADENCES: Final = (
    Cadence(jobs.COLLECT, "3,18,33,48 * * * *", "off the quarter hours, at which everybody else calls"),
    Cadence(jobs.HOURLY, "5 * * * *", "the hour's candle is final 2 minutes after its end"),
    Cadence(jobs.TRAIN, "20 0 * * *", "after the day's first forecast"),
    Cadence(jobs.EXPERIMENT, "10 */2 * * *", "after the hour's outcomes"),
    Cadence(jobs.REPORT, "12,42 * * * *", "after the hour's forecasts and the experiment", partitioned=False),
    Cadence(jobs.RETRAIN_DECISION, "40 */6 * * *", "between the ticks that write what it reads"),
)


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
    """Train the symbols of which a decision check failed, once a day at most.

    The history of evaluations is read, not the latest: a newly planned evaluation would hide a failure. The cursor is
    the newest evaluation seen; the day in the run key is the cooldown, and makes a repeated tick harmless.
    """

    @dg.sensor(
        job_name=jobs.TRAIN,
        name=RETRAIN_SENSOR,
        minimum_interval_seconds=60,
        description="Trains the symbols whose accuracy, drift or freshness check failed; at most once a day each.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        seen = int(context.cursor or 0)
        failures = failed_since(context.instance, seen)
        if not failures:
            return dg.SkipReason("no decision check failed since the last tick")
        requests = []
        for symbol in [key for key in keys if key in failures.by_symbol]:
            names, day = failures.by_symbol[symbol]
            reason = f"checks failed: {', '.join(sorted(names))}"
            requests.append(
                dg.RunRequest(
                    run_key=f"{symbol}/{day}",
                    partition_key=symbol,
                    run_config={"ops": {MODELS: {"config": {"reason": reason}}}},
                )
            )
        return dg.SensorResult(run_requests=requests, cursor=str(failures.newest))

    return evaluate


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed decision checks: names and day of each symbol, and the newest evaluation's number."""

    by_symbol: dict[str, tuple[set[str], str]]
    newest: int

    def __bool__(self) -> bool:
        return bool(self.by_symbol)


def failed_since(instance: dg.DagsterInstance, after: int) -> Failures:
    """Failed evaluations of the decision checks with a number above `after`.

    The one place that reads the check history, which is no public API of Dagster.
    """
    by_symbol: dict[str, tuple[set[str], str]] = {}
    newest = after
    for name, key in decision_keys().items():
        cursor: int | None = None
        while True:
            page = instance.event_log_storage.get_asset_check_execution_history(
                key, limit=HISTORY_PAGE, cursor=cursor, status={AssetCheckExecutionRecordStatus.FAILED}
            )
            fresh = [record for record in page if record.id > after]
            for record in fresh:
                newest = max(newest, record.id)
                if symbol := _partition(record):
                    names, day = by_symbol.get(symbol, (set(), ""))
                    at = datetime.fromtimestamp(record.create_timestamp, UTC).date().isoformat()
                    by_symbol[symbol] = ({*names, name}, max(day, at))
            if len(fresh) < HISTORY_PAGE:
                break
            cursor = fresh[-1].id
    return Failures(by_symbol, newest)


def _partition(record: Any) -> str | None:
    """Partition of an evaluation; None for one without."""
    if record.partition:
        return str(record.partition)
    evaluation = record.event and record.event.dagster_event.event_specific_data
    return getattr(evaluation, "partition", None)
