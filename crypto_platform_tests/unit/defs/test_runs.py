"""A run over a range: one materialization a symbol and asset, and one symbol's failure is nobody else's."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import select

from crypto_platform.core.promotion import Outcome
from crypto_platform.defs.checks import decision_keys
from crypto_platform.defs.partitions import range_tags
from crypto_platform.defs.resources import SystemClock
from crypto_platform.operations import registry
from crypto_platform.tables import model_versions, retrain_decisions

NOW = datetime(2026, 3, 4, 12, 5, tzinfo=UTC)
SYMBOLS = ("BTC", "ETH", "ADA")
CHECK = "every_symbol_succeeded"


def materialized(result: dg.ExecuteInProcessResult) -> Counter[tuple[str, str | None]]:
    """How often each (asset, partition) was materialized."""
    return Counter(
        (event.asset_key.to_user_string(), event.partition)
        for event in result.all_events
        if event.is_step_materialization and event.asset_key
    )


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str | None, dict[str, Any]]:
    """Metadata of an asset's materializations, by partition."""
    return {
        event.partition: {
            name: entry.value for name, entry in event.step_materialization_data.materialization.metadata.items()
        }
        for event in result.all_events
        if event.is_step_materialization and event.asset_key == dg.AssetKey(asset)
    }


def evaluations(result: dg.ExecuteInProcessResult, check: str) -> dict[str | None, dg.AssetCheckEvaluation]:
    """Evaluations of a check, by partition."""
    found = result.get_asset_check_evaluations()
    return {evaluation.partition: evaluation for evaluation in found if evaluation.check_name == check}


@pytest.fixture(scope="module")
def collected(world: Any) -> dg.ExecuteInProcessResult:
    return world.materialize("ohlcv_data", "features")


@pytest.fixture
def eth_down(world: Any) -> Iterator[None]:
    world.candles.down.add("ETH")
    yield
    world.candles.down.clear()


def test_a_range_run_materializes_each_symbol_once(collected: dg.ExecuteInProcessResult) -> None:
    assert collected.success
    expected = {(asset, symbol): 1 for asset in ("ohlcv_data", "features") for symbol in SYMBOLS}
    assert materialized(collected) == expected


def test_each_partition_shows_its_own_rows_and_hours_and_what_data_it_is(
    collected: dg.ExecuteInProcessResult,
) -> None:
    shown = metadata_of(collected, "ohlcv_data")
    assert set(shown) == set(SYMBOLS)
    for metadata in shown.values():
        assert metadata["rows_written"] == 55 * 24
        assert metadata["data"] == "SIMULATED"
        assert metadata["last"] == (NOW - timedelta(hours=1, minutes=5)).timestamp()


def test_a_failing_symbol_fails_the_check_and_no_neighbor(
    world: Any, collected: dg.ExecuteInProcessResult, eth_down: None
) -> None:
    result = world.materialize("ohlcv_data", "features")
    assert result.success
    assert materialized(result).keys() == {(asset, s) for asset in ("ohlcv_data", "features") for s in SYMBOLS}
    (evaluation,) = [
        e
        for e in result.get_asset_check_evaluations()
        if e.asset_key == dg.AssetKey("ohlcv_data") and e.check_name == CHECK
    ]
    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.ERROR
    assert evaluation.metadata["failing"].value == {"ETH": "binance does not answer for ETH"}
    shown = metadata_of(result, "ohlcv_data")
    assert shown["ETH"]["error"] == "binance does not answer for ETH"
    assert "error" not in shown["BTC"]


@pytest.mark.parametrize("symbols", [("ETH",), ("ETH", "ADA")])
def test_a_run_fails_only_where_no_symbol_succeeded(
    world: Any, collected: dg.ExecuteInProcessResult, eth_down: None, symbols: tuple[str, ...]
) -> None:
    result = world.materialize("ohlcv_data", symbols=symbols)
    assert result.success == (symbols != ("ETH",))
    if not result.success:
        assert materialized(result) == {}
        failure = next(event for event in result.all_events if event.is_step_failure)
        assert "ETH: binance does not answer for ETH" in failure.step_failure_data.error.to_string()


def test_a_single_partition_run_is_about_that_symbol_alone(world: Any, collected: dg.ExecuteInProcessResult) -> None:
    result = world.materialize("features", symbols=("BTC",))
    assert result.success
    assert materialized(result) == {("features", "BTC"): 1}


def test_running_a_range_again_writes_nothing(world: Any, collected: dg.ExecuteInProcessResult) -> None:
    result = world.materialize("ohlcv_data", "features")
    assert {m["rows_written"] for a in ("ohlcv_data", "features") for m in metadata_of(result, a).values()} == {0}


def test_second_opinions_pass_also_where_nobody_has_one(world: Any, collected: dg.ExecuteInProcessResult) -> None:
    result = world.materialize("ohlcv_crosschecks")
    assert result.success
    assert materialized(result) == {("ohlcv_crosschecks", symbol): 1 for symbol in SYMBOLS}
    assert {e.check_name: e.passed for e in result.get_asset_check_evaluations()} == {
        CHECK: True,
        "second_opinions_are_had": True,
        "sources_agree": True,
    }


def test_a_failing_check_says_what_it_means_and_names_the_symbols(
    world: Any, collected: dg.ExecuteInProcessResult
) -> None:
    """Once for all symbols of the run, not once for each."""
    later = world.run("hourly_job", as_of=NOW + timedelta(hours=900))
    (evaluation,) = [e for e in later.get_asset_check_evaluations() if e.check_name == "candles_are_fresh"]
    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.WARN
    assert evaluation.description
    assert set(evaluation.metadata["failing"].value) == set(SYMBOLS)


@pytest.fixture(scope="module")
def hour(world: Any, collected: dg.ExecuteInProcessResult) -> dg.ExecuteInProcessResult:
    """An hourly tick before any model was trained."""
    return world.run("hourly_job")


def test_the_hour_is_judged_symbol_by_symbol(hour: dg.ExecuteInProcessResult) -> None:
    """Without a model there is no forecast, and the check of each symbol says so."""
    assert hour.success
    found = evaluations(hour, "hour_is_served")
    assert set(found) == set(SYMBOLS)
    for evaluation in found.values():
        assert not evaluation.passed
        assert evaluation.description == "forecast: there is none"


def test_the_evaluations_of_a_range_are_all_settled(world: Any, hour: dg.ExecuteInProcessResult) -> None:
    """None stays planned: the interface would show it as running for ever."""
    key = dg.AssetCheckKey(dg.AssetKey("predictions"), "hour_is_served")
    records = world.instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    mine = {record.partition: record.status.value for record in records if record.run_id == hour.run_id}
    assert mine == dict.fromkeys(SYMBOLS, "FAILED")


def test_a_partition_s_evaluation_counts_for_its_newest_materialization(
    world: Any, hour: dg.ExecuteInProcessResult
) -> None:
    """Otherwise the interface shows the partition as never evaluated."""
    key = dg.AssetCheckKey(dg.AssetKey("predictions"), "hour_is_served")
    infos = world.instance.event_log_storage.get_asset_check_partition_info([key])
    assert {info.partition_key: info.is_current for info in infos} == dict.fromkeys(SYMBOLS, True)


@pytest.mark.parametrize("symbols", [SYMBOLS, ("ETH",)])
def test_the_retrain_decision_is_checked_symbol_by_symbol(
    world: Any, hour: dg.ExecuteInProcessResult, symbols: tuple[str, ...]
) -> None:
    """Findings without enough data hold; a missing champion fails."""
    result = world.run("retrain_decision_job", symbols)
    assert result.success
    fresh = evaluations(result, "model_is_fresh")
    assert {symbol: e.passed for symbol, e in fresh.items()} == dict.fromkeys(symbols, False)
    assert all(e.severity is dg.AssetCheckSeverity.WARN and e.description for e in fresh.values())
    assert {symbol: e.passed for symbol, e in evaluations(result, "accuracy_holds").items()} == dict.fromkeys(
        symbols, True
    )
    assert set(evaluations(result, "features_have_not_drifted")) == set(symbols)
    assert materialized(result) == {("retrain_decisions", symbol): 1 for symbol in symbols}


def test_a_decision_is_written_before_an_evaluation_asks_for_its_training(
    world: Any, hour: dg.ExecuteInProcessResult
) -> None:
    """A run that the sensor launches at once finds the row it is to be written on."""
    events = world.run("retrain_decision_job").all_events
    written = [i for i, event in enumerate(events) if event.is_step_materialization]
    asked = [
        i
        for i, event in enumerate(events)
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
        and event.asset_check_evaluation_data.check_name in decision_keys()
    ]
    assert max(written) < min(asked)


def decided(world: Any) -> list[tuple[str, datetime]]:
    d = retrain_decisions.c
    rows = world.platform.store.read(select(d.symbol, d.decision_time).where(d.decision_time > NOW))
    return sorted(zip(rows["symbol"], rows["decision_time"].dt.to_pydatetime(), strict=True))


@pytest.fixture
def ticking(world: Any) -> Iterator[None]:
    """The clock of this machine: no two looks at it are alike."""
    before, world.platform.clock = world.platform.clock, SystemClock()
    yield
    world.platform.clock = before
    with world.platform.store.begin() as connection:
        connection.execute(retrain_decisions.delete().where(retrain_decisions.c.decision_time > NOW))


def test_a_check_alone_records_the_decision_that_it_is_of(world: Any, hour: Any, ticking: None) -> None:
    """A run that it launches is written there, and the cooldown counts from it."""
    checks = dg.AssetSelection.checks(*decision_keys().values())
    alone = dg.Definitions(jobs=[dg.define_asset_job("alone", selection=checks)])
    job = dg.Definitions.merge(world.defs, alone).resolve_job_def("alone")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    result = job.execute_in_process(instance=world.instance, tags=range_tags(SYMBOLS[:2]), run_config=quiet)
    assert materialized(result) == {}
    assert evaluations(result, "model_is_fresh")["BTC"].metadata["retrain"].value is True
    assert [symbol for symbol, _ in decided(world)] == sorted(SYMBOLS[:2])


def test_a_run_by_hand_decides_once_and_checks_what_it_decided(world: Any, hour: Any, ticking: None) -> None:
    job = world.defs.resolve_job_def("retrain_decision_job")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    for times in (1, 2):
        assert job.execute_in_process(instance=world.instance, tags=range_tags(SYMBOLS), run_config=quiet).success
        assert [symbol for symbol, _ in decided(world)] == sorted(SYMBOLS * times)


@pytest.fixture(scope="module")
def trained(world: Any, hour: dg.ExecuteInProcessResult) -> dg.ExecuteInProcessResult:
    """What the sensor would ask for one symbol; the bundle serves, whatever the gate says of a random walk."""
    done = world.run("train_job", ("BTC",), run_config={"ops": {"models": {"config": {"reason": "test"}}}})
    p = world.platform
    for version in p.store.read(select(model_versions.c.version))["version"]:
        registry.promote(p.store, p.artifacts, version, at=NOW, actor="test", reason="by hand")
    return done


def test_training_a_symbol_serves_its_next_hour(world: Any, trained: dg.ExecuteInProcessResult) -> None:
    assert trained.success
    assert materialized(trained) == {("models", "BTC"): 1, ("model_metrics", "BTC"): 1}
    shown = metadata_of(trained, "models")["BTC"]
    assert shown["gate"].split()[0].strip(":") in set(Outcome)
    assert "## Gate" in shown["model_card"]
    expected = {"BTC": True, "ETH": False, "ADA": False}
    later = NOW + timedelta(hours=1)
    fresh = evaluations(world.run("retrain_decision_job", as_of=later), "model_is_fresh")
    assert {symbol: e.passed for symbol, e in fresh.items()} == expected
    served = evaluations(world.run("hourly_job", as_of=later), "hour_is_served")
    assert {symbol: e.passed for symbol, e in served.items()} == expected


def test_training_what_is_due_says_what_was_not(world: Any, trained: dg.ExecuteInProcessResult) -> None:
    config = {"ops": {"models": {"config": {"only_due": True}}}}
    again = world.run("train_job", ("BTC",), run_config=config)
    assert again.success
    assert metadata_of(again, "models")["BTC"]["status"] == "not due"
