"""Laws of the data's way in: closed candles, restatements, provenance, and features kept up hour by hour."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select, update

from crypto_platform.core.features import DEFAULT
from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import ConfigurationError, ProvenanceError, StoreError
from crypto_platform.operations import build, collect
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import features, ohlcv_data, ohlcv_revisions, sentiment_data, watermarks
from crypto_platform.tables.features import HORIZONS, target_direction, target_return

Moment = Callable[[float], datetime]
LABELS = [name(h) for h in HORIZONS for name in (target_return, target_direction)]


def candles(store: Warehouse) -> pd.DataFrame:
    return store.read(select(ohlcv_data).order_by(ohlcv_data.c.symbol, ohlcv_data.c.timestamp))


def assert_same_features(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Every column of every row, doubles to 1e-9."""
    pd.testing.assert_frame_equal(
        ours.reset_index(drop=True), theirs.reset_index(drop=True), rtol=1e-9, atol=1e-9, check_dtype=False
    )


@pytest.mark.parametrize("minutes", [0, 1.9, 2, 30, 61.9, 62])
def test_only_closed_candles_are_asked_for_and_stored(deployment: Any, moment: Moment, minutes: float) -> None:
    now = moment(100) - timedelta(minutes=5) + timedelta(minutes=minutes)
    deployment.collect(now)
    newest = candles(deployment.store)["timestamp"].max()
    assert newest + pd.Timedelta(hours=1, minutes=2) <= now < newest + pd.Timedelta(hours=2, minutes=2)
    assert max(end for _, _, end in deployment.candles.asked) == newest + pd.Timedelta(hours=1)


def test_collecting_again_writes_nothing(deployment: Any, moment: Moment) -> None:
    assert deployment.collect(moment(100)).rows == 200
    before = candles(deployment.store)
    for later in (0, 0.5):
        again = deployment.collect(moment(100 + later))
        assert again.rows == 0
        assert not again.failed
    pd.testing.assert_frame_equal(candles(deployment.store), before)


def test_rows_say_whether_they_were_seen_or_loaded_afterwards(deployment: Any, moment: Moment) -> None:
    deployment.collect(moment(100))
    deployment.collect(moment(101))
    rows = candles(deployment.store)
    closed = rows["timestamp"] + pd.Timedelta(hours=1)
    seen = ~rows["known_at_estimated"]
    assert seen.sum() == 4  # the newest hour of both symbols, twice
    assert (rows.loc[seen, "known_at"] == closed[seen] + pd.Timedelta(minutes=5)).all()
    assert (rows.loc[~seen, "known_at"] == closed[~seen] + pd.Timedelta(minutes=2)).all()


def test_one_failing_symbol_does_not_keep_the_others(deployment: Any, moment: Moment) -> None:
    deployment.candles.broken = {"BTC"}
    done = deployment.collect(moment(100))
    assert done.failed == {"BTC": "fake is down for BTC"}
    assert set(candles(deployment.store)["symbol"]) == {"ETH"}
    deployment.candles.broken = set()
    assert deployment.collect(moment(101)).rows == 101 + 1


@pytest.mark.parametrize("error", [StoreError("the page is damaged"), OSError("the disk is gone")])
def test_whatever_ends_one_symbols_part_keeps_no_other(
    deployment: Any, moment: Moment, refusing: Callable[..., Any], error: Exception
) -> None:
    """Of collection and features alike; the next run has what was left out."""
    with refusing(error, ohlcv_data):
        done = deployment.collect(moment(100))
    assert str(error) in done.failed["BTC"]
    assert set(done.failed) == {"BTC"}
    assert set(candles(deployment.store)["symbol"]) == {"ETH"}
    deployment.collect(moment(100))
    with refusing(error, features):
        built = deployment.build(moment(100))
    assert str(error) in built.failed["BTC"]
    assert set(built.failed) == {"BTC"}
    assert set(deployment.features()["symbol"]) == {"ETH"}
    assert not deployment.build(moment(100)).failed


def test_an_unsound_stored_candle_keeps_no_other_symbols_features(deployment: Any, moment: Moment) -> None:
    deployment.collect(moment(100))
    at = moment(50).replace(minute=30)
    with deployment.store.begin() as connection:
        where = (ohlcv_data.c.symbol == "BTC", ohlcv_data.c.timestamp == moment(50).replace(minute=0))
        connection.execute(update(ohlcv_data).where(*where).values(timestamp=at, known_at=moment(52)))
    assert set(deployment.build(moment(100)).failed) == {"BTC"}
    assert set(deployment.features()["symbol"]) == {"ETH"}


def test_a_restated_candle_leaves_a_revision_and_rebuilds_what_came_of_it(
    deployment: Any, deploy: Any, moment: Moment, blank: Callable[[], Warehouse]
) -> None:
    deployment.ingest(moment(400))
    before = deployment.features()
    frame = deployment.candles.frames["BTC"]
    hour = frame["timestamp"] == moment(398) - timedelta(minutes=5)
    frame.loc[hour, ["close", "high"]] *= 1.01
    deployment.collect(moment(400.5))
    revisions = deployment.store.read(select(ohlcv_revisions))
    assert len(revisions) == 1
    revision = revisions.iloc[0]
    assert revision["new_close"] == pytest.approx(revision["old_close"] * 1.01)
    assert revision["new_open"] == revision["old_open"]
    assert revision["seen_at"] == moment(400.5)

    deployment.build(moment(400.5))
    fresh = deploy(blank())
    fresh.candles.frames = deployment.candles.frames
    fresh.ingest(moment(400.5))
    assert_same_features(deployment.features(), fresh.features())
    assert not deployment.features().equals(before)
    assert deployment.collect(moment(400.5)).rows == 0
    assert len(deployment.store.read(select(ohlcv_revisions))) == 1
    fresh.store.close()


def test_features_kept_up_hour_by_hour_equal_one_build(
    deployment: Any, deploy: Any, moment: Moment, blank: Callable[[], Warehouse]
) -> None:
    """Fifty ticks over a filled hole of 2 h and a splitting one of 5 h."""
    deployment.ingest(moment(395))
    for hour in range(396, 446):
        deployment.ingest(moment(hour))
    whole = deploy(blank())
    whole.ingest(moment(445))
    ours, theirs = deployment.features(), whole.features()
    assert ours["is_filled"].sum() == 2
    assert_same_features(ours, theirs)
    whole.store.close()


@pytest.mark.parametrize("built", [0, 382], ids=["first build", "later build"])
@pytest.mark.parametrize("hour", [378, 398], ids=["before the mark", "after the mark"])
@pytest.mark.parametrize("late", [False, True], ids=["restated", "late"])
def test_a_candle_that_changes_between_reading_and_writing_is_not_lost(
    deployment: Any,
    deploy: Any,
    moment: Moment,
    blank: Callable[[], Warehouse],
    monkeypatch: pytest.MonkeyPatch,
    built: int,
    hour: int,
    late: bool,
) -> None:
    """A collection of another process comes in between; nobody builds again afterwards."""
    before = deployment.candles.frames["BTC"]
    changed = before.copy()
    if late:
        deployment.candles.frames["BTC"] = before.drop(index=hour)
    else:
        changed.loc[hour, ["close", "high"]] *= 1.01
    if built:
        deployment.ingest(moment(built))
    deployment.collect_sentiment(moment(400))
    deployment.collect(moment(400))
    compute_rows = build.compute_rows
    reads: list[dict[str, datetime]] = []

    def interrupted(read: Any, plan: dict[str, datetime], *rest: Any) -> pd.DataFrame:
        rows = compute_rows(read, plan, *rest)
        reads.append(plan)
        if len(reads) == 1:
            deployment.candles.frames["BTC"] = changed
            assert deployment.collect(moment(400), most_chunks=None).rows == 1
        return rows

    monkeypatch.setattr(build, "compute_rows", interrupted)
    assert not deployment.build(moment(400)).failed
    assert [set(plan) for plan in reads] == [{"BTC", "ETH"}, {"BTC"}]
    fresh = deploy(blank())
    fresh.candles.frames["BTC"] = changed
    fresh.ingest(moment(400))
    assert_same_features(deployment.features(), fresh.features())
    fresh.store.close()


def test_a_symbol_whose_candles_change_without_end_waits_for_the_next_run(
    deployment: Any, moment: Moment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.collect(moment(30))
    compute_rows = build.compute_rows

    def interrupted(*given: Any) -> pd.DataFrame:
        rows = compute_rows(*given)
        deployment.candles.frames["BTC"].loc[20, ["close", "high"]] *= 1.01
        deployment.collect(moment(30))
        return rows

    with monkeypatch.context() as patched:
        patched.setattr(build, "compute_rows", interrupted)
        report = deployment.build(moment(30))
    assert set(report.failed) == {"BTC"}
    assert "changed 3 times" in report.failed["BTC"]
    assert set(deployment.features()["symbol"]) == {"ETH"}
    assert not deployment.build(moment(30)).failed
    assert set(deployment.features()["symbol"]) == {"BTC", "ETH"}


def test_building_again_writes_nothing(deployment: Any, moment: Moment) -> None:
    deployment.ingest(moment(100))
    assert deployment.build(moment(100)).rows == 0


def test_features_at_a_moment_do_not_know_what_came_later(
    deployment: Any, deploy: Any, moment: Moment, blank: Callable[[], Warehouse]
) -> None:
    """Labels aside, the newest row is the same whether or not later candles are in the store."""
    deployment.collect_sentiment(moment(400))
    deployment.collect(moment(440))
    deployment.build(moment(400))
    ours = deployment.features()
    early = deploy(blank())
    early.ingest(moment(400))
    assert_same_features(ours, early.features())
    assert ours["timestamp"].max() == moment(399) - timedelta(minutes=5)
    early.store.close()


def test_stored_labels_are_the_returns_of_stored_closes(deployment: Any, moment: Moment) -> None:
    deployment.ingest(moment(450))
    rows = deployment.features()
    close = candles(deployment.store).set_index(["symbol", "timestamp"])["close"]
    for horizon in HORIZONS:
        for row in rows[rows[target_return(horizon)].notna()].sample(40, random_state=1).itertuples():
            later = close[row.symbol, row.timestamp + pd.Timedelta(hours=horizon)]
            expected = later / close[row.symbol, row.timestamp] - 1
            assert getattr(row, target_return(horizon)) == pytest.approx(expected, rel=1e-12)
            assert getattr(row, target_direction(horizon)) == float(expected > 0)
        newest = rows["timestamp"] > rows["timestamp"].max() - pd.Timedelta(hours=horizon)
        assert rows.loc[newest, target_return(horizon)].isna().all()


@pytest.mark.parametrize("arriving", [Provenance.LIVE, Provenance.RECORDED])
def test_data_of_two_provenances_never_meet(deployment: Any, moment: Moment, arriving: Provenance) -> None:
    deployment.collect(moment(100))
    before = candles(deployment.store)
    deployment.candles.provenance = deployment.sentiment.provenance = arriving
    with pytest.raises(ProvenanceError, match=f"holds simulated data and {arriving} data arrived"):
        deployment.collect(moment(102))
    with pytest.raises(ProvenanceError, match="CRYPTO_PLATFORM_HOME"):
        deployment.collect_sentiment(moment(102))
    pd.testing.assert_frame_equal(candles(deployment.store), before)
    assert deployment.store.read(select(sentiment_data)).empty


@pytest.mark.parametrize(("age", "whole"), [(5, False), (29, False), (31, True), (100, True)])
def test_days_of_sentiment_that_are_missing_are_asked_for_again(
    deployment: Any, moment: Moment, age: int, whole: bool
) -> None:
    moods = deployment.sentiment.rows
    now = moment(24 * 60)
    lost = pd.Timestamp(now).floor("D") - pd.Timedelta(days=age)
    deployment.sentiment.rows = moods[moods["timestamp"] != lost]
    history = timedelta(days=100)
    collect.collect_sentiment(deployment.store, deployment.sentiment, as_of=now, history=history)
    deployment.sentiment.rows = moods
    again = partial(collect.collect_sentiment, deployment.store, deployment.sentiment, history=history)
    assert again(as_of=now).rows == (not whole)
    assert again(as_of=now, whole=True).rows == whole
    assert lost in set(deployment.store.read(select(sentiment_data.c.timestamp))["timestamp"])
    assert again(as_of=now, whole=True).rows == 0


def test_every_row_names_its_provenance(deployment: Any, moment: Moment) -> None:
    deployment.ingest(moment(100))
    assert set(candles(deployment.store)["source"]) == {"simulated:fake"}
    assert set(deployment.store.read(select(sentiment_data))["source"]) == {"simulated:mood"}


def test_a_symbol_stays_with_its_first_source(deployment: Any, moment: Moment) -> None:
    deployment.collect(moment(100))
    none = type(deployment.candles)({name: frame[:0] for name, frame in deployment.candles.frames.items()}, "other")
    done = deployment.collect(moment(101), [none])
    assert set(done.failed) == {"BTC", "ETH"}
    assert "pinned to source 'fake'" in done.failed["BTC"]
    other = type(deployment.candles)(deployment.candles.frames, name="other")
    assert not deployment.collect(moment(101), [other, deployment.candles]).failed
    assert other.asked == []


def test_no_usable_source_is_a_mistake_of_the_settings(deployment: Any, moment: Moment) -> None:
    with pytest.raises(ConfigurationError, match="CRYPTO_PLATFORM_OHLCV_SOURCES"):
        deployment.collect(moment(100), [])


def test_watermarks_never_pass_the_rows_they_speak_of(deployment: Any, moment: Moment) -> None:
    for hour in (100, 101, 105):
        deployment.ingest(moment(hour))
        marks = deployment.store.read(select(watermarks)).set_index(["dataset", "symbol"])["watermark"]
        for table, dataset in ((ohlcv_data, "ohlcv_data"), (features, f"features:{DEFAULT.hash}")):
            newest = deployment.store.read(select(table.c.timestamp).where(table.c.symbol == "ETH"))["timestamp"].max()
            assert marks[dataset, "ETH"] == newest + pd.Timedelta(hours=1)


def test_labels_are_never_rewritten_by_silence(deployment: Any, moment: Moment) -> None:
    """A label that was known stays as it was while later hours arrive."""
    deployment.ingest(moment(440))
    before = deployment.features().set_index(["symbol", "timestamp"])[LABELS]
    deployment.collect(moment(445))
    deployment.build(moment(445))
    now = deployment.features().set_index(["symbol", "timestamp"])[LABELS].loc[before.index]
    known = before.notna().to_numpy()
    np.testing.assert_array_equal(now.to_numpy()[known], before.to_numpy()[known])
