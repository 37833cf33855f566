"""A demo's home with `crypto-platform dev` on it: webserver, daemon, replay server and reports as real processes."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from crypto_platform_tests.integration.processes import PATIENCE, command, free_port, processes_of, wait_for

SYMBOLS = ("BTC", "ETH")


@dataclass
class Live:
    """The running platform as a user meets it: an address, and an environment for commands."""

    folder: Path
    port: int
    environment: dict[str, str]
    children: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "dev.log").read_text(errors="replace")

    @property
    def report_url(self) -> str:
        """Address of the report, as `dev` printed it."""
        found = re.search(r"Reports: (\S+)", self.log)
        assert found, self.log
        return found[1]

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Answer of the webserver's GraphQL."""
        answer = requests.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=PATIENCE
        ).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def run_of(self, run_id: str) -> dict[str, Any]:
        """A run, waited for until it has ended."""
        query = """query($id: ID!) { runOrError(runId: $id) { ... on Run {
            runId jobName status tags { key value } assetMaterializations { assetKey { path } partition } } } }"""

        def ended() -> dict[str, Any] | None:
            run = self.ask(query, id=run_id)["runOrError"]
            return run if run["status"] in {"SUCCESS", "FAILURE", "CANCELED"} else None

        return wait_for(ended, f"the end of run {run_id}")

    def runs_with(self, tag: str, value: str) -> list[str]:
        """Numbers of the runs with a tag."""
        query = "query($f: RunsFilter) { runsOrError(filter: $f) { ... on Runs { results { runId } } } }"
        results = self.ask(query, f={"tags": [{"key": tag, "value": value}]})["runsOrError"]["results"]
        return [run["runId"] for run in results]

    @staticmethod
    def wait_for(probe: Callable[[], Any], what: str) -> Any:
        """See `wait_for`."""
        return wait_for(probe, what)

    def dagster(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A `dagster` command in this deployment's environment."""
        return command(["-m", "dagster", *arguments], self.folder, self.environment | self.children)


def _is_up(live: Live, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, live.log
    try:
        requests.get(f"{live.url}/server_info", timeout=5).raise_for_status()
        entries = live.ask(
            "{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename } } } } }"
        )["workspaceOrError"]["locationEntries"]
    except requests.RequestException:
        return False
    loaded = [entry["locationOrLoadError"] for entry in entries]
    assert all(entry is None or entry["__typename"] == "RepositoryLocation" for entry in loaded), live.log
    return bool(loaded) and None not in loaded


def _settings_of(process: subprocess.Popen[bytes], folder: Path) -> dict[str, str]:
    """Settings that `dev` hands to Dagster: what a terminal beside it would have to set."""
    for pid, line in processes_of(folder).items():
        if pid != process.pid and "dagster dev" in line:
            pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
            return dict(pair.split("=", 1) for pair in pairs if pair.startswith(("CRYPTO_PLATFORM_", "DAGSTER_HOME")))
    pytest.fail("dev started no `dagster dev`")


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """`crypto-platform dev` after a small demo; at the end every process of it must be gone."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("no /proc on this system: nobody could tell whether processes are left behind")
    folder = tmp_path_factory.mktemp("live")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CRYPTO_PLATFORM_", "DAGSTER_"))}
    environment = clean | {
        "CRYPTO_PLATFORM_HOME": str(folder / "home"),
        "CRYPTO_PLATFORM_SYMBOLS": ",".join(SYMBOLS),
        "CRYPTO_PLATFORM_WORKERS": "2",  # a run must end those that it started
    }
    demo = command(["-m", "crypto_platform", "demo", "--days", "60"], folder, environment)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    platform = Live(folder, free_port(), environment)
    with (folder / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "crypto_platform", "dev", "--port", str(platform.port)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(lambda: _is_up(platform, process), "the webserver")
        platform.children = _settings_of(process, folder)
        yield platform
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            status = None
        left = processes_of(folder)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert status == 0, f"dev ended with {status}: {platform.log[-2000:]}"
    assert not left, f"dev left processes behind: {json.dumps(left, indent=1)}"
