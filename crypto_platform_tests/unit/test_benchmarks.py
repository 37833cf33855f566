"""Both sides of the tick benchmark do the work they are timed for; times are not judged here."""

import importlib.util
from pathlib import Path

import pytest
from sqlalchemy import func, select

from crypto_platform.core.estimators import ModelParameters
from crypto_platform.core.hours import HOUR
from crypto_platform.tables import ab_test_results, features, ohlcv_data, prediction_outcomes, predictions

if importlib.util.find_spec("benchmarks") is None:
    pytest.skip("the folder `benchmarks` of the repository is not importable here", allow_module_level=True)

from benchmarks import __main__ as command
from benchmarks import baseline, politeness, tick, world

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
    rows = baseline.Baseline(tmp_path, world.draw(2, command.BASELINE_DAYS), SMALL)
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
    lines = command.report({5: (ours, theirs), 500: (ours, theirs)}).splitlines()
    assert lines[2].endswith("| 4.0 × | 4.0 × |"), "28 s beside 7 s"
    assert lines[3].endswith("| 4.7 × | 4.7 × |"), "28 s beside 6 s"
    assert next(line for line in lines if line.startswith("| baseline, s")).endswith("| 28.00 | 28.00 (estimated) |")


def test_processes_that_ask_politely_do_not_go_below_the_floor_of_the_rate_limit(tmp_path: Path) -> None:
    pace = politeness.measure(tmp_path, processes=2, requests=3, spacing=0.05)
    assert pace.floor == pytest.approx(5 * 0.05)
    assert pace.ours > 0
