"""Dagster from the command line: an instance under the home, and jobs run in this process."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from crypto_platform.definitions import build_defs
from crypto_platform.defs import catalog
from crypto_platform.defs.partitions import range_tags
from crypto_platform.defs.resources import AS_OF_TAG, Platform
from crypto_platform.errors import PlatformError
from crypto_platform.storage.artifacts import write_atomically

INSTANCE = "dagster"
# Runs of one host on SQLite: two at a time; none fails since the code server is just being restarted, and none is left
# behind as running for ever.
INSTANCE_YAML = """\
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 2
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config:
    max_user_code_failure_retries: 10
    user_code_failure_retry_delay: 30
run_monitoring:
  enabled: true
  max_runtime_seconds: 3600
retention:
  schedule: {purge_after_days: 7}
  sensor: {purge_after_days: 7}
"""


def instance_home(home: Path) -> Path:
    """Folder of the Dagster instance under a home, configured."""
    folder = (home / INSTANCE).absolute()
    target = folder / "dagster.yaml"
    if not target.exists():
        write_atomically(target, INSTANCE_YAML.encode())
    return folder


class Stage:
    """Runs jobs on the home's own instance, so that `dev` shows them afterwards.

    Parameters
    ----------
    platform : Platform
        Settings and clock of all runs.
    """

    def __init__(self, platform: Platform) -> None:
        os.environ["DAGSTER_HOME"] = str(instance_home(platform.settings.home))
        self._platform = platform
        self._instance = dg.DagsterInstance.get()
        self._defs = build_defs(platform.settings, {"platform": platform})

    def close(self) -> None:
        """Give back the instance's connections."""
        self._instance.dispose()

    def run(self, job: str, symbols: Sequence[str], as_of: str, config: dict[str, Any] | None = None) -> None:
        """One run of a job over a contiguous range of symbols.

        Raises
        ------
        PlatformError
            The run failed, with the reason.
        """
        tags = {AS_OF_TAG: as_of} | (range_tags(symbols) if symbols else {})
        self._finish(job, self._defs.resolve_job_def(job), tags, config)

    def materialize(self, asset: str, symbols: Sequence[str], as_of: str) -> None:
        """One run of an asset and its own check over a contiguous range of symbols; of the others, one decides."""
        job = self._defs.resolve_implicit_global_asset_job_def()
        own = catalog.success_spec(asset).key
        alone = job.get_subset(asset_selection={dg.AssetKey(asset)}, asset_check_selection={own})
        self._finish(asset, alone, {AS_OF_TAG: as_of} | range_tags(symbols), None)

    def _finish(self, name: str, job: dg.JobDefinition, tags: dict[str, str], config: dict[str, Any] | None) -> None:
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        result = job.execute_in_process(
            run_config={**quiet, **(config or {})},
            instance=self._instance,
            tags=tags,
            raise_on_error=False,
        )
        if not result.success:
            failures = [event for event in result.all_events if event.is_failure]
            why = next((reason for event in failures if (reason := _reason(event))), "see the run in the UI")
            raise PlatformError(f"{name} failed: {why}")


def _reason(event: dg.DagsterEvent) -> str | None:
    data = event.event_specific_data
    error = getattr(data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip().splitlines()[0] if error else None
