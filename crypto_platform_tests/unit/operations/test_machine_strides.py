"""Which ticks a stride keeps."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from crypto_platform.core.timetable import COLLECT, EXPERIMENT, HOURLY, REPORT, RETRAIN_DECISION, RETRAIN_SENSOR, TRAIN
from crypto_platform.operations.machine.run import DECIDING, in_strides, timetable

START = datetime(2026, 3, 1, tzinfo=UTC)
ALL = timetable(START, START + timedelta(days=2))
KEPT = list(in_strides(ALL))


def test_the_timetable_is_in_order_and_complete() -> None:
    assert [tick.at for tick in ALL] == sorted(tick.at for tick in ALL)
    counts = {job: sum(tick.job == job for tick in ALL) for job in (COLLECT, HOURLY, TRAIN, EXPERIMENT, REPORT)}
    assert counts == {COLLECT: 192, HOURLY: 48, TRAIN: 2, EXPERIMENT: 24, REPORT: 0}


def test_a_look_of_the_sensor_follows_each_decision() -> None:
    decisions = [tick.at for tick in ALL if tick.job == RETRAIN_DECISION]
    assert len(decisions) == 8
    assert [tick.at for tick in ALL if tick.job == RETRAIN_SENSOR] == [at + timedelta(minutes=1) for at in decisions]


def test_every_deciding_tick_is_kept_and_finds_the_newest_hour_and_experiment() -> None:
    assert [tick for tick in KEPT if tick.job in DECIDING] == [tick for tick in ALL if tick.job in DECIDING]
    for job in (HOURLY, EXPERIMENT):
        for number, tick in enumerate(KEPT):
            if tick.job in DECIDING:
                newest = max(held.at for held in ALL if held.job == job and held.at < tick.at)
                assert max(held.at for held in KEPT[:number] if held.job == job) == newest


def test_a_collection_comes_right_before_each_hour() -> None:
    for before, tick in pairwise(KEPT):
        if tick.job == HOURLY:
            assert (before.job, tick.at - before.at) == (COLLECT, timedelta(minutes=2))


def test_strides_are_few_and_in_order() -> None:
    assert [tick.at for tick in KEPT] == sorted(tick.at for tick in KEPT)
    assert sum(tick.job == HOURLY for tick in KEPT) == 9  # before each of eight decisions, and at the end
