"""Daemon and code server as processes that may be killed, on a store in which chosen symbols fail their check."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import yaml
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.scheduler.instigation import InstigatorTick
from dagster._grpc.client import DagsterGrpcClient
from sqlalchemy import select, update

from crypto_platform import settings as configuration
from crypto_platform.core.features import DEFAULT
from crypto_platform.core.hours import HOUR
from crypto_platform.core.timetable import RETRAIN_SENSOR
from crypto_platform.definitions import build_defs
from crypto_platform.defs.partitions import covered, range_tags
from crypto_platform.defs.resources import Platform
from crypto_platform.operations.build import build_features
from crypto_platform.settings import Settings
from crypto_platform.storage import warehouse
from crypto_platform.tables import alert_deliveries, model_aliases, model_versions, ohlcv_data, retrain_decisions
from crypto_platform_tests.conftest import random_walk
from crypto_platform_tests.integration import interrupted
from crypto_platform_tests.integration.processes import PATIENCE, command, free_port, processes_of, wait_for
from crypto_platform_tests.integration.receivers import SECRET, Web

DAEMON, SERVER = "daemon", "server"
LOCATION = "crypto_platform.definitions"
WALK_HOURS = 45 * 24
STALE = timedelta(days=9)  # age from which a champion fails its check


@dataclass
class Deployment:
    """One deployment: an instance, a store, and the processes that are alive."""

    folder: Path
    settings: Settings
    environment: dict[str, str]
    grpc_port: int
    web: Web
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """The instance, as this process sees it."""
        return dg.DagsterInstance.from_config(str(self.folder / "dagster"))

    @cached_property
    def platform(self) -> Platform:
        """The store, as this process sees it."""
        return Platform(self.settings)

    @cached_property
    def defs(self) -> dg.Definitions:
        """The graph in this process: runs of it need no other."""
        return build_defs(self.settings, {"platform": self.platform})

    @property
    def symbols(self) -> list[str]:
        """All that are followed, in order."""
        return [symbol.name for symbol in self.settings.followed]

    # Processes

    def start(self, name: str) -> None:
        """Start daemon or code server, and wait until it is there."""
        program = {
            SERVER: [
                "-m",
                "dagster",
                "api",
                "grpc",
                "-m",
                LOCATION,
                "--host",
                "127.0.0.1",
                "--port",
                str(self.grpc_port),
            ],
            DAEMON: [interrupted.__file__, "run", "-w", str(self.folder / "workspace.yaml")],
        }[name]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *program],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if name == SERVER:
            wait_for(self._serves, "the code server")
        else:
            self.ticked(1)

    def kill(self, name: str) -> None:
        """End a process as the kernel does when memory is short: at once, whatever it is doing."""
        self.processes[name].kill()
        self.died(name)

    def died(self, name: str) -> None:
        """Wait for the end of a process that was killed."""
        assert self.processes.pop(name).wait(PATIENCE) == -signal.SIGKILL, self.log(name)

    def kill_at(self, point: str, name: str) -> None:
        """Have a process killed once the daemon gets to a point; see `interrupted`."""
        order = self.folder / "order"
        order.with_suffix(".new").write_text(f"{point} {self.processes[name].pid}")
        order.with_suffix(".new").replace(order)

    def log(self, name: str) -> str:
        """End of what a process said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]

    def dagster(self, *arguments: str) -> str:
        """Output of a `dagster` command in a terminal beside."""
        done = command(["-m", "dagster", *arguments], self.folder, self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _serves(self) -> bool:
        assert self.processes[SERVER].poll() is None, self.log(SERVER)
        try:
            DagsterGrpcClient(port=self.grpc_port, host="127.0.0.1").ping("there?")
        except DagsterUserCodeUnreachableError:
            return False
        return True

    # The store

    def plant(self) -> None:
        """A fresh champion for each symbol, whose files do not matter; and candles for the first, to be trained on."""
        now = datetime.now(UTC)
        versions, aliases = [], []
        for symbol in self.symbols:
            version = f"{symbol}-planted"
            versions.append(
                {
                    "version": version,
                    "symbol": symbol,
                    "horizon": 1,
                    "trained_at": now - timedelta(days=30),
                    "train_start": now - timedelta(days=60),
                    "train_end": now,
                    "n_rows": 1,
                    "feature_set": "default",
                    "feature_set_hash": DEFAULT.hash,
                    "data_hash": "d",
                    "bundle_sha256": "b",
                    "details": {},
                }
            )
            aliases.append(
                {
                    "symbol": symbol,
                    "horizon": 1,
                    "alias": "champion",
                    "at": now - timedelta(days=30),
                    "version_from": None,
                    "version_to": version,
                    "actor": "test",
                    "reason": "planted",
                }
            )
        with self.platform.store.begin() as connection:
            warehouse.insert_missing(connection, model_versions, warehouse.records(versions))
            warehouse.insert_missing(connection, model_aliases, warehouse.records(aliases))
        first, end = self.symbols[0], (now - STALE).replace(minute=0, second=0, microsecond=0)
        walk = random_walk(first, WALK_HOURS, 1, start=f"{end - WALK_HOURS * HOUR:%Y-%m-%d %H:%M}")
        known = walk["timestamp"] + pd.Timedelta(hours=1)
        self.platform.store.upsert(
            ohlcv_data, walk.assign(source="simulated:binance", known_at=known, known_at_estimated=True)
        )
        settle = self.settings.settle
        build_features(self.platform.store, [first], as_of=now, settle=settle, feature_set=self.settings.feature_set)

    def age(self, *symbols: str, by: timedelta = STALE) -> None:
        """Make the planted champions so old: beyond a week their check fails."""
        with self.platform.store.begin() as connection:
            connection.execute(
                update(model_versions)
                .where(model_versions.c.version.in_([f"{symbol}-planted" for symbol in symbols]))
                .values(train_end=datetime.now(UTC) - by)
            )

    def fail(self, *symbols: str) -> None:
        """These symbols fail their check from now on, as a run over all symbols finds."""
        self.age(*symbols)
        self.check()

    def check(self) -> None:
        """The decision over all symbols, in this process, as a run of the instance."""
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        job = self.defs.resolve_job_def("retrain_decision_job")
        assert job.execute_in_process(instance=self.instance, tags=range_tags(self.symbols), run_config=quiet).success

    def decisions(self) -> pd.DataFrame:
        """Decisions that asked for training, oldest first."""
        d = retrain_decisions.c
        return self.platform.store.read(
            select(d.symbol, d.run_id, d.result).where(d.should_retrain).order_by(d.decision_time)
        )

    def untold(self, target: str) -> list[str]:
        """Alerts that a target has not taken yet."""
        d = alert_deliveries.c
        return self.platform.store.read(select(d.key).where(d.target == target, d.delivered_at.is_(None)))[
            "key"
        ].tolist()

    # Runs and ticks

    def trainings(self) -> list[dg.DagsterRun]:
        """Trainings that were launched and did not fail before they began, as runs do whose launching daemon dies."""
        records = self.instance.get_run_records(dg.RunsFilter(job_name="train_job"))
        return [
            record.dagster_run
            for record in records
            if record.dagster_run.status is not dg.DagsterRunStatus.NOT_STARTED
            and not (record.dagster_run.status is dg.DagsterRunStatus.FAILURE and record.start_time is None)
        ]

    def trained(self) -> Counter[str]:
        """How many launched trainings each symbol had."""
        return Counter(symbol for run in self.trainings() for symbol in covered(run.tags, self.symbols))

    def ticks(self, limit: int = 50) -> list[InstigatorTick]:
        """Ticks of the sensor, newest first."""
        states = self.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        mine = [state for state in states if state.origin.instigator_name == RETRAIN_SENSOR]
        return [
            tick
            for state in mine
            for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=limit)
        ]

    def ticked(self, n: int) -> None:
        """Wait for so many further ticks that came to their end without an error."""
        newest = max((int(tick.tick_id) for tick in self.ticks(1)), default=0)

        def came() -> bool:
            for name, process in self.processes.items():
                assert process.poll() is None, self.log(name)
            ended = [tick for tick in self.ticks() if tick.is_completed and not tick.error]
            return sum(int(tick.tick_id) > newest for tick in ended) >= n

        wait_for(came, f"{n} ticks of the sensor")

    def launched(self, *symbols: str) -> None:
        """Wait until each of these was launched, then for ticks in which one too many would come."""
        wait_for(lambda: self.trained().keys() >= set(symbols), f"the training of {', '.join(symbols)}")
        self.ticked(2)


def configured(config: dict[str, Any]) -> dict[str, Any]:
    """A deployment's `dagster.yaml`, with the queue looked at more often."""
    config["run_coordinator"]["config"] |= {"dequeue_interval_seconds": 1, "user_code_failure_retry_delay": 5}
    config["run_monitoring"] |= {"poll_interval_seconds": 2, "start_timeout_seconds": 90}
    config.pop("compute_logs", None)
    config.pop("local_artifact_storage", None)
    return config


@contextmanager
def deployment(
    folder: Path, config: dict[str, Any], web: Web, *, symbols: Sequence[str], **more: Any
) -> Iterator[Deployment]:
    """Processes on an instance with the given `dagster.yaml`; at the end none of them is left."""
    (folder / "dagster").mkdir()
    (folder / "dagster" / "dagster.yaml").write_text(yaml.safe_dump(configured(config)))
    dead, port = free_port(), free_port()
    where = {"host": "127.0.0.1", "port": port, "location_name": LOCATION}
    (folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"grpc_server": where}]}))
    values = {
        "home": str(folder / "home"),
        "symbols": ",".join(symbols),
        "train_days": "40",
        "workers": "1",
        "listing_dates": "ignored",
        "ui_url": "https://ui.example",
        "alert_webhook_url": f"{web.url}/hook",
        "alert_webhook_secret": SECRET,
        "alert_smtp_url": f"smtp://127.0.0.1:{dead}",  # nobody listens there
        "alert_email_from": "platform@example.org",
        "alert_email_to": "me@example.org",
        **more,
    }
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CRYPTO_PLATFORM_", "DAGSTER_"))}
    variables = {f"CRYPTO_PLATFORM_{name.upper()}": value for name, value in values.items()}
    environment = clean | variables | {"DAGSTER_HOME": str(folder / "dagster"), "KILL_ORDER": str(folder / "order")}
    opened = Deployment(folder, configuration.load(**values), environment, port, web)
    try:
        opened.plant()
        opened.start(SERVER)
        opened.start(DAEMON)
        yield opened
    finally:
        for pid in processes_of(folder):  # also runs that outlived their code server
            os.kill(pid, signal.SIGKILL)
        for process in opened.processes.values():
            process.wait(PATIENCE)
        opened.platform.close()
        opened.instance.dispose()
