"""The sensor that tells: it reads finished runs, and what their checks found, and hands both to the operations.

Runs are read, not the history of each check: one query a tick finds what is new of all checks, passes among it, which
say that a failure is over.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.tags import PARTITION_NAME_TAG

from crypto_platform.core.alerts import Alert, Evaluation, Kind, one_line
from crypto_platform.defs.history import REREAD_SECONDS, Seen
from crypto_platform.defs.partitions import covered
from crypto_platform.defs.resources import Platform
from crypto_platform.operations import alerts, events

SENSOR: Final = "alerts_sensor"
BATCH: Final = 100  # runs a tick
FINISHED: Final = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
READ: Final = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
}


def alerts_sensor(keys: Sequence[str], *, running: bool) -> dg.SensorDefinition:
    """Tell the targets what happened since the last tick.

    Parameters
    ----------
    keys : sequence of str
        All partitions.
    running : bool
        Whether it runs without being started by hand: where a target is set.
    """

    @dg.sensor(
        name=SENSOR,
        minimum_interval_seconds=60,
        description="Tells the targets of the settings about failed runs and checks, decisions, rollbacks, dead "
        "providers and, if enabled, changes of signal; each once, in one message.",
        default_status=dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED,
    )
    def evaluate(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]) -> dg.SensorResult:
        now, settings, store = platform.clock.now(), platform.settings, platform.store
        runs, seen = finished_since(context.instance, Seen.from_json(context.cursor), now - events.LOOKBACK)
        happened = events.events(store, keys, as_of=now, horizons=settings.horizons, signals=settings.alert_signals)
        evaluations = [events.dead_vendors(store, now), *events.decided(store, keys, now, settings.horizons)]
        for run in runs:
            log = [record.event_log_entry for record in _records(context.instance, run.run_id)]
            happened += failure_of(run, log, now)
            evaluations += evaluations_of(run, log, keys)
        raised = alerts.record(store, happened, evaluations, as_of=now, targets=settings.targets.names)
        told = alerts.deliver(store, platform.targets, as_of=now, ui_url=settings.ui_url)
        for delivery in told:
            if delivery.error:
                context.log.warning("%d alerts for %s wait: %s", delivery.count, delivery.target, delivery.error)
            elif delivery.warning:
                context.log.warning("%d alerts for %s: %s", delivery.count, delivery.target, delivery.warning)
        sent = ", ".join(f"{d.count} to {d.target}" for d in told if d.error is None) or "none sent"
        return dg.SensorResult(skip_reason=f"{raised} new alerts; {sent}", cursor=seen.to_json())

    return evaluate


def finished_since(instance: dg.DagsterInstance, seen: Seen, oldest: datetime) -> tuple[list[dg.DagsterRun], Seen]:
    """Finished runs that were not seen, oldest first, at most `BATCH`; and how far they are read now.

    Runs are stamped by their own processes: the last minute is read again, as `Seen` has it.
    """
    until = max(seen.until, oldest.timestamp())
    records = instance.get_run_records(
        dg.RunsFilter(statuses=FINISHED, updated_after=datetime.fromtimestamp(until - REREAD_SECONDS, UTC)),
        limit=BATCH + len(seen.numbers),
        order_by="update_timestamp",
        ascending=True,
    )
    new = [record for record in records if record.storage_id not in seen.numbers][:BATCH]
    stamps = dict.fromkeys(seen.numbers, seen.until) | {r.storage_id: r.update_timestamp.timestamp() for r in new}
    newest = max(stamps.values(), default=seen.until)
    recent = frozenset(number for number, stamp in stamps.items() if stamp > newest - REREAD_SECONDS)
    return [record.dagster_run for record in new], Seen(newest, recent)


def failure_of(run: dg.DagsterRun, log: Sequence[EventLogEntry], now: datetime) -> list[Alert]:
    """The alert of a run that failed, with the first step's error; none of one that did not."""
    if run.status is not dg.DagsterRunStatus.FAILURE:
        return []
    ended = max((entry.timestamp for entry in log if entry.dagster_event), default=now.timestamp())
    return [
        Alert(
            f"{Kind.RUN}/{run.run_id}",
            Kind.RUN,
            run.job_name,
            run.tags.get(PARTITION_NAME_TAG),
            one_line(_why(log)),
            f"/runs/{run.run_id}",
            datetime.fromtimestamp(ended, UTC),
        )
    ]


def evaluations_of(run: dg.DagsterRun, log: Sequence[EventLogEntry], keys: Sequence[str]) -> Iterator[Evaluation]:
    """What a run's checks found, one a check: of its symbols, or of those evaluated one by one."""
    by_check: dict[dg.AssetCheckKey, list[tuple[float, dg.AssetCheckEvaluation]]] = {}
    for entry in log:
        event = entry.dagster_event
        if event and event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            found = event.asset_check_evaluation_data
            by_check.setdefault(found.asset_check_key, []).append((entry.timestamp, found))
    scope = covered(run.tags, keys)
    for key, evaluated in by_check.items():
        asset = key.asset_key.to_user_string()
        single = [str(found.partition) for _, found in evaluated if found.partition]
        names = single or scope
        yield Evaluation(
            Kind.CHECK,
            f"{asset}:{key.name}",
            datetime.fromtimestamp(max(at for at, _ in evaluated), UTC),
            {name: why for _, found in evaluated for name, why in _failing(found).items()},
            f"/assets/{'/'.join(key.asset_key.path)}?view=checks&checkDetail={key.name}",
            None if set(names) >= set(keys) else frozenset(names),
        )


def _failing(found: dg.AssetCheckEvaluation) -> Mapping[str, str]:
    """Why, by name. A check over several symbols names them in its metadata."""
    if found.passed:
        return {}
    if found.partition:
        return {str(found.partition): found.description or "it failed"}
    named = found.metadata.get("failing")
    if isinstance(named, dg.JsonMetadataValue) and isinstance(named.data, Mapping):
        return {str(name): str(why) for name, why in named.data.items()}
    return {"ALL": found.description or "it failed"}


def _records(instance: dg.DagsterInstance, run_id: str) -> Sequence[Any]:
    return instance.get_records_for_run(run_id, of_type=READ).records


def _why(log: Sequence[EventLogEntry]) -> str:
    """Cause of the first failed step, or what the run says of itself."""
    said = "it failed without a word"
    for entry in log:
        event = entry.dagster_event
        if event and event.is_step_failure:
            error = event.step_failure_data.error
            while error and error.cause:
                error = error.cause
            return error.message if error else said
        if event and event.is_run_failure:
            said = event.message or said
    return said
