"""Both sides of each benchmark do the work they are timed for; times are not judged here."""

import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Table, func, select

from crypto_platform.core.estimators import ModelParameters
from crypto_platform.core.hours import HOUR
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import ab_test_results, features, ohlcv_data, prediction_outcomes, predictions

if importlib.util.find_spec("benchmarks") is None:
    pytest.skip("the folder `benchmarks` of the repository is not importable here", allow_module_level=True)

from benchmarks import __main__ as command
from benchmarks import baseline, history, hourly, politeness, serving, stores, tick, training, world, writes
from benchmarks import features as indicators

SMALL = ModelParameters(forest_trees=5, boosting_iterations=5)


@pytest.fixture(scope="module")
def two() -> world.World:
    return world.draw(2, world.WHOLE.days)


def as_of(number: int):
    return world.NOW + number * HOUR + tick.LAG


def test_a_tick_of_the_platform_writes_one_hour_of_each_symbol(two: world.World, tmp_path: Path) -> None:
    platform = tick.Platform(tmp_path, two, SMALL)
    try:
        tables = (ohlcv_data, features, predictions, prediction_outcomes)
        before = [platform.count(table) for table in tables]
        arms = platform.count(ab_test_results)
        seconds = platform.tick(as_of(1))
        assert [platform.count(table) - n for table, n in zip(tables, before, strict=True)] == [2, 2, 2, 2]
        assert platform.count(ab_test_results) == arms + 4
        newest = platform.store.read(
            select(predictions.c.version, predictions.c.prob_up).where(
                predictions.c.candle_timestamp == select(func.max(ohlcv_data.c.timestamp)).scalar_subquery()
            )
        )
        assert newest["prob_up"].notna().all(), "a forecast, not a reason for none"
        assert newest["version"].nunique() == 2, "every symbol is served by a bundle of its own"
        assert tuple(seconds) == tick.STEPS
        assert min(seconds.values()) > 0
    finally:
        platform.close()


def test_a_tick_of_the_baseline_writes_one_hour_of_each_symbol_and_upserts_1440_rows(
    tmp_path: Path,
) -> None:
    rows = baseline.Baseline(tmp_path, world.draw(2, hourly.BASELINE_DAYS), SMALL)
    try:
        before = [rows.count(table) for table in ("candles", "features", "forecasts")]
        assert before[1] == 2 * baseline.FEATURE_ROWS
        assert tuple(rows.tick(as_of(1))) == baseline.STEPS
        after = [rows.count(table) for table in ("candles", "features", "forecasts")]
        assert [b - a for a, b in zip(before, after, strict=True)] == [2, 2, 2]
        assert rows.count("accuracy") == 2
    finally:
        rows.close()


def test_the_report_states_ratios_before_seconds_and_what_is_estimated() -> None:
    ours, theirs = dict.fromkeys(tick.STEPS, 1.0), dict.fromkeys(baseline.STEPS, 7.0)
    lines = hourly.report({5: (ours, theirs), 500: (ours, theirs)}).splitlines()
    assert lines[2].endswith("| 4.0 × | 4.0 × |"), "28 s beside 7 s"
    assert lines[3].endswith("| 4.7 × | 4.7 × |"), "28 s beside 6 s"
    assert next(line for line in lines if line.startswith("| baseline, s")).endswith("| 28.00 | 28.00 (estimated) |")


def test_processes_that_ask_politely_do_not_go_below_the_floor_of_the_rate_limit(tmp_path: Path) -> None:
    pace = politeness.measure(tmp_path, processes=2, requests=3, spacing=0.05)
    assert pace.floor == pytest.approx(5 * 0.05)
    assert pace.ours > 0


@pytest.mark.parametrize("table", [ohlcv_data, features], ids=lambda table: table.name)
def test_who_writes_row_by_row_leaves_the_same_rows(two: world.World, store_url: str, table: Table) -> None:
    rows = (writes.candle_rows if table is ohlcv_data else writes.feature_rows)(two)
    part = writes.batches(rows, 300, 1)[0]
    column = writes.CHANGED[table]
    changed = part.assign(**{column: part[column] + 1})
    by_row = stores.RowByRow(store_url)
    for version in (part, changed):
        by_row.upsert(table, version)
    by_row.close()
    store = Warehouse.open(store_url)
    held = store.read(select(table).order_by(table.c.symbol, table.c.timestamp))
    pd.testing.assert_frame_equal(
        held[list(part.columns)], changed.reset_index(drop=True), check_dtype=False, check_exact=True
    )
    assert store.upsert(table, changed) == 0
    store.close()


def test_the_writes_are_new_then_the_same_then_others(two: world.World) -> None:
    parts = writes.batches(writes.feature_rows(two), 50, 3)
    phases = writes.measure(stores.fresh_file, features, parts)
    assert {name: phase.written for name, phase in phases.items()} == {"new": 150, "unchanged": 0, "changed": 150}
    assert {(len(phase.ours.seconds), len(phase.theirs.seconds)) for phase in phases.values()} == {(3, 3)}


def test_the_report_of_writes_states_ratios_before_rates() -> None:
    ours, theirs = writes.Side([0.1, 0.1], cpu=0.05), writes.Side([0.4, 0.4], cpu=0.7)
    phases = {name: writes.Phase(1000, ours, theirs, written=2000) for name in writes.PHASES}
    lines = writes.report({(stores.POSTGRES, ohlcv_data): phases}).splitlines()
    assert lines[2] == "| platform / baseline, new rows | 4.0 × |"
    assert "| platform, new rows/s | 10,000 |" in lines
    assert "| platform, new rows per s of CPU | 40,000 |" in lines
    assert "| aim, rows/s | 40,000 |" in lines
    assert lines[-1] == "| platform, rows written of changed ones | 2,000 of 2,000 |"


@pytest.fixture(scope="module")
def replayed():
    with history.served(days=20) as urls:
        yield urls


def test_both_sides_of_the_history_load_every_candle_of_the_server_once(replayed: dict[str, str]) -> None:
    with stores.fresh_file() as ours, stores.fresh_file() as theirs:
        store, by_row = Warehouse.open(ours), stores.RowByRow(theirs)
        first, again = (history.backfill(store, replayed, days=20) for _ in range(2))
        history.load_row_by_row(by_row, replayed[history.BINANCE], days=20)
        assert first.rows["candles"] == by_row.count(ohlcv_data)
        assert first.rows["candles"] > 0.95 * len(history.NAMES) * 20 * 24
        assert min(first.rows.values()) > 0
        assert set(again.rows.values()) == {0}
        assert tuple(first.seconds) == history.STEPS
        by_row.close()
        store.close()


@pytest.mark.parametrize("vendor", history.VENDORS)
def test_a_backfill_does_not_go_below_the_floor_of_a_vendors_pace(replayed: dict[str, str], vendor: str) -> None:
    pace = history.paced(stores.fresh_file, replayed, vendor, days=20)
    assert pace.floor > 0
    assert pace.ratio >= 1


@pytest.mark.slow
def test_the_whole_backfill_command_fills_the_store(replayed: dict[str, str]) -> None:
    with stores.fresh_file() as url:
        seconds, cpu = history.command(url, replayed, days=20)
        assert min(seconds, cpu) > 0
        store = Warehouse.open(url)
        held = store.read(select(ohlcv_data.c.symbol).distinct())["symbol"]
        store.close()
    assert sorted(held) == sorted(history.NAMES)


def test_the_report_of_the_history_states_ratios_first() -> None:
    first = history.Backfill(*(dict.fromkeys(history.STEPS, value) for value in (2.0, 0.5, 100)))
    again = history.Backfill(*(dict.fromkeys(history.STEPS, value) for value in (0.1, 0.1, 0)))
    measured = history.Measured([first], [again], [6.0], 9.0, 7.5)
    pace = politeness.Pace(requests=9, floor=4.0, ours=5.0)
    lines = history.report({"SQLite": measured}, {("SQLite", history.BINANCE): pace}).splitlines()
    assert lines[2] == "| baseline / platform, candles | 3.0 × |"
    assert lines[3] == "| platform / floor, candles at binance's pace | 1.25 (5.00 s, floor 4.00 s) |"
    assert "| `crypto-platform backfill` from start to end, s (aim: ≤ 15) | 9.0 (7.5 s of CPU) |" in lines
    assert "| platform: candles, s | 2.00 (100 rows, 50 rows/s) |" in lines
    assert "| platform: candles, s of its process' CPU | 0.50 (200 rows/s) |" in lines
    assert "| rows it wrote then (candles, sentiment, features) | 0, 0, 0 |" in lines


def test_the_command_measures_the_parts_it_is_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "PARTS", {name: (lambda quick, n=name: f"{n} {quick}", "") for name in command.PARTS})

    def said(*words: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
        command.main()
        return capsys.readouterr().out.split()

    assert said("writes", "tick", "--quick") == ["writes", "True", "tick", "True"]
    assert said()[::2] == list(command.PARTS)
    with pytest.raises(SystemExit):
        said("write")
    assert "choose of tick, writes" in capsys.readouterr().err


def test_a_training_is_measured_whole_and_beside_plain_fits() -> None:
    known = training.rows(training.MONTH)
    assert known.inputs.shape == (training.MONTH, training.N_FEATURES)
    for work in (training.recipe, training.plain):
        work(known, SMALL)
    lines = training.report([(5.0, 4.0), (1.0, 1.0), (3.0, 3.5)]).splitlines()
    assert lines[-1] == "| plain / ours, CPU | | 3.5 × |"
    crowded = training.crowd_report(*training.crowd(known, SMALL, 1))
    assert crowded.splitlines()[2].startswith("| 8 symbols: plain in turn / ours on 2 processes | ")


def test_features_are_measured_on_equal_rows() -> None:
    measured = indicators.measure(2, rounds=1)
    assert float(measured["newest hour beside the recompute, largest difference"]) < 1e-9
    assert set(measured) >= {"values/s, ours / plain pandas", "newest hour: plain recompute of all / ours"}


def test_serving_is_measured_on_equal_forecasts_and_every_symbol(tmp_path: Path) -> None:
    platform = tick.Platform(tmp_path, world.draw(1, world.WHOLE.days), SMALL)
    try:
        text = serving.fresh_processes(platform, tmp_path, rounds=1)
        apart = [float(line.split("|")[-2]) for line in text.splitlines() if line.startswith(("| serving", "| skops"))]
        assert len(apart) == 2
        assert max(apart) <= 1e-12
        assert "5 symbols" in serving.batch(platform, 5, rounds=2)
        made = platform.store.read(select(predictions).where(predictions.c.prediction_timestamp == world.NOW))
        assert len(made) == made["symbol"].nunique() == 5
        assert made["prob_up"].notna().all()
    finally:
        platform.close()
