"""Dagster's daemon, which looks every second and can be told where to die. Run as a program, like `dagster-daemon`.

What it differs in, for tests' sake: sensors tick a second after each other; schedules do not tick at all; and at a
point between a sensor's evaluation and its cursor that a file names, it kills a process that the file names, once.
"""

import os
import signal
from pathlib import Path
from typing import Any

from dagster import DagsterInstance
from dagster._daemon import sensor
from dagster._daemon.cli import create_dagster_daemon_cli

ORDER = "KILL_ORDER"  # environment: file with "<point> <pid>"


def reached(_: object, point: str) -> None:
    """Dagster's own places for crashes in tests."""
    order = Path(os.environ[ORDER])
    try:
        told, pid = order.read_text().split()
    except FileNotFoundError:
        return
    if told == point:
        order.unlink()
        os.kill(int(pid), signal.SIGKILL)


def too_early(state: Any, *_: object) -> bool:
    """Whether a sensor's last tick began less than a second ago."""
    elapsed = sensor.get_elapsed(state)
    return elapsed is not None and elapsed < 1


if __name__ == "__main__":
    sensor.MIN_INTERVAL_LOOP_TIME = 1
    sensor.is_under_min_interval = too_early
    sensor.check_for_debug_crash = reached
    DagsterInstance.get_required_daemon_types = lambda _: ["SENSOR", "QUEUED_RUN_COORDINATOR", "MONITORING"]
    create_dagster_daemon_cli()()
