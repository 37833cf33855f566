"""Dagster as it is used: webserver and daemon on a persistent instance, the UI's mutations, the command line."""

import re
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LOCATION = "crypto_platform.definitions"
REPOSITORY = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
SYMBOLS = ["BTC", "ETH"]
RANGE_START, RANGE_END = (f"dagster/asset_partition_range_{end}" for end in ("start", "end"))

LAUNCH = """mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
INSTIGATORS = """query($s: RepositorySelector!) {
    schedulesOrError(repositorySelector: $s) { ... on Schedules { results {
        name scheduleState { status nextTick { timestamp } } } } }
    sensorsOrError(repositorySelector: $s) { ... on Sensors { results {
        name sensorState { status ticks(limit: 5) { status error { message } } } } } } }"""
DRY_RUN = """mutation($s: ScheduleSelector!, $t: Float) { scheduleDryRun(selectorData: $s, timestamp: $t) {
    __typename ... on DryRunInstigationTick { evaluationResult {
        error { message } runRequests { runKey jobName tags { key value } } } } } }"""


def materialized(run: dict[str, Any]) -> set[tuple[str, str | None]]:
    return {(m["assetKey"]["path"][0], m["partition"]) for m in run["assetMaterializations"]}


def test_the_ui_materializes_one_partition(live: Any) -> None:
    launched = live.ask(
        LAUNCH,
        params={
            "selector": {**REPOSITORY, "pipelineName": "__ASSET_JOB", "assetSelection": [{"path": ["features"]}]},
            "mode": "default",
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "BTC"}]},
        },
    )["launchPipelineExecution"]
    run = live.run_of(launched["run"]["runId"])
    assert run["status"] == "SUCCESS"
    assert materialized(run) == {("features", "BTC")}


def test_the_ui_backfills_all_symbols_in_one_run(live: Any) -> None:
    """The assets' backfill policy makes the daemon start one run over the range, not one a symbol."""
    launched = live.ask(BACKFILL, params={"assetSelection": [{"path": ["features"]}], "partitionNames": SYMBOLS})[
        "launchPartitionBackfill"
    ]
    (run_id,) = live.wait_for(lambda: live.runs_with("dagster/backfill", launched["backfillId"]), "the backfill's run")
    run = live.run_of(run_id)
    assert run["status"] == "SUCCESS"
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert (tags[RANGE_START], tags[RANGE_END]) == (SYMBOLS[0], SYMBOLS[-1])
    assert materialized(run) == {("features", symbol) for symbol in SYMBOLS}


@pytest.mark.parametrize("partition", [("--partition", "BTC"), ("--partition-range", "BTC...ETH")])
def test_the_command_line_materializes_partitions(live: Any, partition: tuple[str, str]) -> None:
    done = live.dagster("asset", "materialize", "-m", LOCATION, "--select", "features", *partition)
    assert done.returncode == 0, done.stderr
    assert "RUN_SUCCESS" in done.stderr + done.stdout
    assert "BetaWarning" not in done.stderr
    assert "PreviewWarning" not in done.stderr


def test_the_command_line_backfills_a_job_for_all_symbols(live: Any) -> None:
    """`dagster job backfill` queues one run a symbol for the daemon that `dev` runs."""
    done = live.dagster("job", "backfill", "-m", LOCATION, "--job", "hourly_job", "--all", "all", "--noprompt")
    assert done.returncode == 0, done.stderr
    found = re.search(r"Launched backfill job `(\w+)`", done.stdout)
    assert found, done.stdout
    runs = [live.run_of(run_id) for run_id in live.runs_with("dagster/backfill", found[1])]
    assert {run["status"] for run in runs} == {"SUCCESS"}
    jobs_of = [{partition for _, partition in materialized(run)} for run in runs]
    assert sorted(jobs_of, key=str) == [{symbol} for symbol in SYMBOLS]


def test_the_daemon_says_how_fresh_each_scheduled_asset_is(live: Any) -> None:
    """Of what the demo materialized; the APIs, which nothing here materializes, have no such state."""
    query = "{ assetNodes { assetKey { path } freshnessStatusInfo { freshnessStatus } } }"

    def judged() -> dict[str, str] | None:
        nodes = live.ask(query)["assetNodes"]
        infos = {node["assetKey"]["path"][0]: node["freshnessStatusInfo"] for node in nodes}
        states = {name: info["freshnessStatus"] for name, info in infos.items() if info}
        return states if "UNKNOWN" not in states.values() else None

    states = live.wait_for(judged, "a freshness state of every scheduled asset")
    assert {"ohlcv_data", "features", "models", "monitoring_report"} <= states.keys()
    assert "exchange_api" not in states
    assert set(states.values()) == {"HEALTHY"}


def sensors(found: dict[str, Any]) -> dict[str, Any]:
    return {sensor["name"]: sensor["sensorState"] for sensor in found["sensorsOrError"]["results"]}


def test_schedules_and_sensor_are_on_and_tick(live: Any) -> None:
    def ticked() -> dict[str, Any] | None:
        found = live.ask(INSTIGATORS, s=REPOSITORY)
        return found if sensors(found)["retrain_sensor"]["ticks"] else None

    found = live.wait_for(ticked, "a tick of the sensor")
    states = sensors(found)
    assert states["alerts_sensor"]["status"] == "STOPPED"  # no target is set
    assert states["retrain_sensor"]["status"] == "RUNNING"
    assert {tick["status"] for tick in states["retrain_sensor"]["ticks"]} <= {"STARTED", "SKIPPED", "SUCCESS"}
    schedules = found["schedulesOrError"]["results"]
    assert len(schedules) == 6
    for schedule in schedules:
        assert schedule["scheduleState"]["status"] == "RUNNING"
        assert schedule["scheduleState"]["nextTick"]["timestamp"]


@pytest.mark.parametrize("name", ["collect_schedule", "hourly_schedule", "retrain_decision_schedule"])
def test_a_schedule_asks_the_daemon_for_one_run_over_all_symbols(live: Any, name: str) -> None:
    tick = live.ask(DRY_RUN, s={**REPOSITORY, "scheduleName": name}, t=1_790_000_000.0)["scheduleDryRun"]
    assert tick["evaluationResult"]["error"] is None
    (request,) = tick["evaluationResult"]["runRequests"]
    tags = {tag["key"]: tag["value"] for tag in request["tags"]}
    assert (tags[RANGE_START], tags[RANGE_END]) == (SYMBOLS[0], SYMBOLS[-1])
    assert tags["crypto_platform/as_of"].startswith("2026-09-21T")
