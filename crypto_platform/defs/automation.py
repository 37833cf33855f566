"""Every schedule, and how fresh assets must be.

All cron lines are UTC; a tick is one run over the range of all symbols.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta
from typing import Final

import dagster as dg

from crypto_platform.core.timetable import CADENCES, Cadence
from crypto_platform.defs import jobs
from crypto_platform.defs.assets.science import MODELS
from crypto_platform.defs.partitions import range_tags, shards
from crypto_platform.defs.resources import AS_OF_TAG
from crypto_platform.settings import Settings

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
