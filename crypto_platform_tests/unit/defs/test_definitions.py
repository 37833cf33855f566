"""What Dagster is told: assets are the design's tables, jobs its rows, and a tick is one run over all symbols."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from crypto_platform import tables
from crypto_platform.core.timetable import CADENCES
from crypto_platform.definitions import build_defs
from crypto_platform.defs import jobs
from crypto_platform.defs.resources import AS_OF_TAG
from crypto_platform.settings import Settings, load

TABLES = {
    "market_data": ("raw", "market_data"),
    "ohlcv_data": ("raw", "ohlcv_data"),
    "ohlcv_crosschecks": ("raw", "ohlcv_crosschecks"),
    "sentiment_data": ("raw", "sentiment_data"),
    "features": ("features", "features"),
    "models": ("models", "model_versions"),
    "model_metrics": ("models", "model_metrics"),
    "predictions": ("predictions", "predictions"),
    "prediction_outcomes": ("predictions", "prediction_outcomes"),
    "ab_test_results": ("experiments", "ab_test_results"),
    "retrain_decisions": ("monitoring", "retrain_decisions"),
    "monitoring_metrics": ("monitoring", "monitoring_metrics"),
}
FILES = {"ab_test_report": "experiments", "monitoring_report": "monitoring"}
APIS = {"coinpaprika_api", "exchange_api", "fear_greed_api"}
UNPARTITIONED = {"sentiment_data", "monitoring_metrics", *FILES}
DECISIONS = {
    "prediction_outcomes:accuracy_holds",
    "features:features_have_not_drifted",
    "models:model_is_fresh",
}
JOBS = {
    "collect_job": {"market_data", "ohlcv_data", "ohlcv_crosschecks", "sentiment_data"},
    "hourly_job": {"ohlcv_data", "features", "predictions", "prediction_outcomes"},
    "train_job": {"models", "model_metrics"},
    "experiment_job": {"ab_test_results", "ab_test_report"},
    "report_job": {"monitoring_metrics", "monitoring_report"},
    "retrain_decision_job": {"retrain_decisions"},
}
CRON = {
    "collect_schedule": "3,18,33,48 * * * *",
    "hourly_schedule": "5 * * * *",
    "train_schedule": "20 0 * * *",
    "experiment_schedule": "10 */2 * * *",
    "report_schedule": "12,42 * * * *",
    "retrain_decision_schedule": "40 */6 * * *",
}

INTERVALS = {
    "3,18,33,48 * * * *": timedelta(minutes=15),
    "5 * * * *": timedelta(hours=1),
    "20 0 * * *": timedelta(days=1),
    "10 */2 * * *": timedelta(hours=2),
    "12,42 * * * *": timedelta(minutes=30),
    "40 */6 * * *": timedelta(hours=6),
}


@pytest.fixture(scope="module")
def defs(settings: Settings) -> dg.Definitions:
    return build_defs(settings)


@pytest.fixture(scope="module")
def specs(defs: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def check_names(job: dg.JobDefinition) -> set[str]:
    return {key.to_user_string() for key in job.asset_layer.asset_graph.asset_check_keys}


def test_definitions_hold_together(defs: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(defs)


def test_the_assets_are_the_tables_the_reports_and_the_apis(specs: dict[str, dg.AssetSpec]) -> None:
    assert set(specs) == {*TABLES, *FILES, *APIS}


@pytest.mark.parametrize("name", [*TABLES, *FILES])
def test_every_asset_says_what_it_is_and_whose(name: str, specs: dict[str, dg.AssetSpec]) -> None:
    spec = specs[name]
    assert spec.description
    assert spec.owners == ["team:crypto-platform"]
    assert spec.kinds
    assert spec.group_name == (TABLES[name][0] if name in TABLES else FILES[name])


@pytest.mark.parametrize("name", sorted(APIS))
def test_the_apis_are_external_and_lead_to_their_address(
    name: str, specs: dict[str, dg.AssetSpec], defs: dg.Definitions
) -> None:
    assert specs[name].metadata["url"].value.startswith("https://")
    assert not defs.resolve_asset_graph().get(dg.AssetKey(name)).is_executable


@pytest.mark.parametrize("name", TABLES)
def test_every_column_of_the_table_is_explained_with_its_unit(name: str, specs: dict[str, dg.AssetSpec]) -> None:
    table = tables.metadata.tables[TABLES[name][1]]
    assert specs[name].description == table.comment
    schema = specs[name].metadata["dagster/column_schema"]
    assert [column.name for column in schema.columns] == [column.name for column in table.columns]
    for shown, column in zip(schema.columns, table.columns, strict=True):
        assert column.comment
        assert column.comment in shown.description
        assert shown.constraints.nullable == column.nullable


@pytest.mark.parametrize("name", [*TABLES, *FILES])
def test_partitions_are_the_symbols_and_nothing_else(
    name: str, specs: dict[str, dg.AssetSpec], defs: dg.Definitions
) -> None:
    partitions = specs[name].partitions_def
    if name in UNPARTITIONED:
        assert partitions is None
        return
    assert partitions is not None
    assert partitions.get_partition_keys() == ["BTC", "ETH", "ADA"]
    policy = defs.resolve_asset_graph().get(dg.AssetKey(name)).backfill_policy
    assert policy == dg.BackfillPolicy.single_run()  # without it a range over the CLI is refused


def test_every_executable_asset_is_checked_and_never_blocks_its_neighbors(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    checked = {key.asset_key.to_user_string() for key in graph.asset_check_keys}
    assert checked == set(TABLES)  # the two files have no rows to check
    assert not [key for key in graph.asset_check_keys if graph.get_check_spec(key).blocking]
    for key in graph.asset_check_keys:  # shown to readers of the interface, not of the code
        description = graph.get_check_spec(key).description
        assert description
        assert not {"`", "_"} & set(description)


@pytest.mark.parametrize("name", JOBS)
def test_a_job_makes_the_assets_of_the_design(name: str, defs: dg.Definitions) -> None:
    job = defs.resolve_job_def(name)
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == JOBS[name]
    assert job.executor_def is dg.in_process_executor
    assert job.description


def test_checks_symbol_by_symbol_run_only_in_the_jobs_they_are_for(defs: dg.Definitions) -> None:
    """Each costs an event a symbol: not every quarter of an hour."""
    symbolwise = {*DECISIONS, "predictions:hour_is_served"}
    found = {name: check_names(defs.resolve_job_def(name)) & symbolwise for name in JOBS}
    assert found == {key: set() for key in JOBS} | {
        "hourly_job": {"predictions:hour_is_served"},
        "retrain_decision_job": DECISIONS,
    }


def test_the_cron_lines_are_the_design_s_in_utc_and_on(defs: dg.Definitions) -> None:
    schedules = {schedule.name: schedule for schedule in defs.schedules or ()}
    assert {name: schedule.cron_schedule for name, schedule in schedules.items()} == CRON
    for schedule in schedules.values():
        assert schedule.execution_timezone == "UTC"
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def tick(defs: dg.Definitions, name: str, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    schedule = defs.resolve_schedule_def(name)
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=datetime(2026, 3, 4, 12, 3, tzinfo=UTC), repository_def=None
    )
    return list(schedule.evaluate_tick(context).run_requests or ())


@pytest.mark.parametrize("name", CRON)
def test_a_tick_is_one_run_over_all_symbols_as_of_its_hour(
    name: str, defs: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    (request,) = tick(defs, name, instance)
    assert request.partition_key is None
    assert request.tags[AS_OF_TAG] == "2026-03-04T12:03:00+00:00"
    ranged = {key: value for key, value in request.tags.items() if "partition_range" in key}
    start, end = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    assert ranged == ({} if name == "report_schedule" else {start: "BTC", end: "ADA"})


def test_shards_split_a_tick_into_contiguous_ranges(instance: dg.DagsterInstance, settings: Settings) -> None:
    sharded = build_defs(load(home=settings.home, symbols=("BTC", "ETH", "ADA"), shards=2))
    requests = tick(sharded, "hourly_schedule", instance)
    bounds = [
        [request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")] for request in requests
    ]
    assert bounds == [["BTC", "ETH"], ["ADA", "ADA"]]
    assert len({request.run_key for request in requests}) == 2
    assert len(tick(sharded, "report_schedule", instance)) == 1  # it has no symbols to split


@pytest.mark.parametrize(("training", "only_due"), [("when_due", True), ("daily", False)])
def test_the_daily_training_trains_what_the_setting_says(
    training: str, only_due: bool, instance: dg.DagsterInstance, settings: Settings
) -> None:
    chosen = build_defs(load(home=settings.home, symbols=("BTC", "ETH"), training=training))
    (request,) = tick(chosen, "train_schedule", instance)
    assert request.run_config == {"ops": {"models": {"config": {"only_due": only_due, "reason": "schedule"}}}}


@pytest.mark.parametrize("name", [*TABLES, *FILES, *sorted(APIS)])
def test_every_scheduled_asset_must_be_as_fresh_as_its_most_frequent_job(
    name: str, specs: dict[str, dg.AssetSpec], defs: dg.Definitions
) -> None:
    """It warns once a tick was missed and fails after three, and leaves a healthy run its time."""
    policy = specs[name].freshness_policy
    crons = {schedule.job_name: schedule.cron_schedule for schedule in defs.schedules or ()}
    intervals = [INTERVALS[crons[job]] for job, assets in JOBS.items() if name in assets]
    if not intervals:
        assert policy is None
        return
    assert policy is not None
    warn, fail = policy.warn_window.to_timedelta(), policy.fail_window.to_timedelta()
    assert 2 * min(intervals) < warn < 3 * min(intervals)
    assert 4 * min(intervals) < fail < 5 * min(intervals)


def test_every_cadence_has_its_job() -> None:
    assert {cadence.job for cadence in CADENCES} == set(JOBS)
    assert {job.name for job in jobs.build()} == set(JOBS)
