"""Laws of collection: coverage, fallbacks, gaps, revisions; on each engine unless a law needs many stores."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from crypto_platform.core.coverage import backward
from crypto_platform.core.hours import HOUR
from crypto_platform.errors import KeyRefusedError, MalformedResponseError, SourceRefusedError, SourceUnavailableError
from crypto_platform.operations.candles import collect_candles
from crypto_platform.sources.base import Fetched
from crypto_platform.symbols import Listing, Symbol
from crypto_platform.tables import ohlcv_data, ohlcv_gaps, ohlcv_revisions, quarantine, watermarks

Moment = Callable[[float], datetime]
VALUES = ["open", "high", "low", "close", "volume_base", "volume", "trades"]


def stored(store: Any, symbol: str = "ETH") -> pd.DataFrame:
    return store.read(select(ohlcv_data).where(ohlcv_data.c.symbol == symbol).order_by(ohlcv_data.c.timestamp))


def gaps(store: Any, symbol: str = "ETH") -> pd.DataFrame:
    return store.read(select(ohlcv_gaps).where(ohlcv_gaps.c.symbol == symbol).order_by(ohlcv_gaps.c.gap_start))


def mark(store: Any, symbol: str = "ETH") -> Any:
    rows = store.read(select(watermarks).where(watermarks.c.dataset == ohlcv_data.name, watermarks.c.symbol == symbol))
    return next(rows.itertuples(), None)


@pytest.fixture
def venue(deployment: Any) -> Callable[..., Any]:
    """A further vendor with the same market, some of its hours left out."""

    def make(name: str, factor: float = 1.0, without: Any = ()) -> Any:
        frames = {}
        for symbol, frame in deployment.candles.frames.items():
            scaled = frame.drop(index=list(without), errors="ignore").copy()
            scaled[["open", "high", "low", "close"]] *= factor
            frames[symbol] = scaled
        return type(deployment.candles)(frames, name=name)

    return make


def without(deployment: Any, hours: Any) -> None:
    """Leave hours out of what the primary has."""
    for symbol, frame in deployment.candles.frames.items():
        deployment.candles.frames[symbol] = frame.drop(index=list(hours), errors="ignore")


def test_a_fallback_fills_the_newest_hours_while_the_primary_is_down_and_says_so(
    deployment: Any, moment: Moment, venue: Callable[..., Any]
) -> None:
    deployment.collect(moment(500))
    deployment.candles.broken = {"ETH"}
    other = venue("other", 1.001)
    report = deployment.collect(moment(503), [deployment.candles, other])
    assert not report.failed
    (eth,) = [r for r in report.results if r.symbol == "ETH"]
    assert "fake is down" in eth.details["primary failed"]
    assert eth.details["filled from other"] == 3
    rows = stored(deployment.store)
    assert rows["source"].tolist()[-4:] == ["simulated:fake", *["simulated:other"] * 3]
    assert mark(deployment.store).source == "fake"
    assert stored(deployment.store, "BTC")["source"].unique().tolist() == ["simulated:fake"]


def test_an_hour_that_the_fallback_lacks_too_is_a_gap_until_the_primary_has_it(
    deployment: Any, moment: Moment, venue: Callable[..., Any]
) -> None:
    deployment.collect(moment(500))
    deployment.candles.broken = {"ETH"}
    deployment.collect(moment(503), [deployment.candles, venue("other", without=[500, 501])])
    assert len(stored(deployment.store)) == 501
    assert gaps(deployment.store)[["gap_start", "gap_end", "filled_from"]].to_numpy().tolist() == [
        [pd.Timestamp(moment(500)).floor("h"), pd.Timestamp(moment(502)).floor("h"), None]
    ]
    deployment.candles.broken = set()
    deployment.collect(moment(503))
    assert gaps(deployment.store).empty


def test_hours_of_a_fallback_count_as_filled_and_the_primary_takes_them_back(
    deployment: Any, moment: Moment, venue: Callable[..., Any]
) -> None:
    deployment.ingest(moment(800))
    deployment.candles.broken = {"ETH"}
    deployment.collect(moment(802), [deployment.candles, venue("other", 1.001)])
    deployment.build(moment(802))
    kept = deployment.features().query("symbol == 'ETH'").set_index("timestamp")
    first = pd.Timestamp(moment(800)).floor("h")
    assert not kept.loc[first:, "is_valid"].any()
    assert kept.loc[first - 2 * HOUR, "is_valid"]
    assert np.isnan(kept.loc[first - HOUR, "target_return_1"])  # its end is a fallback's hour

    deployment.candles.broken = set()
    report = deployment.collect(moment(802))
    assert next(r.rows for r in report.results if r.symbol == "ETH") == 2
    revised = deployment.store.read(select(ohlcv_revisions))
    assert revised[["source", "old_source"]].to_numpy().tolist() == [["simulated:fake", "simulated:other"]] * 2
    deployment.build(moment(802))
    kept = deployment.features().query("symbol == 'ETH'").set_index("timestamp")
    assert kept.loc[first:, "is_valid"].all()
    assert np.isfinite(kept.loc[first - HOUR, "target_return_1"])


def test_no_fallback_overwrites_and_none_sells_a_carried_price(
    deployment: Any, moment: Moment, venue: Callable[..., Any]
) -> None:
    without(deployment, range(95, 100))
    index = venue("index", 2.0)
    frame = index.frames["ETH"]
    for symbol in index.frames:
        index.frames[symbol] = frame = deployment.candles.frames[symbol]
        flat = frame.iloc[[94] * 5].assign(
            timestamp=pd.date_range(frame["timestamp"].iloc[94] + HOUR, periods=5, freq="h", unit="us")
        )
        flat = flat.assign(**dict.fromkeys(["open", "high", "low"], flat["close"]), volume_base=0.0)
        index.frames[symbol] = pd.concat([frame.iloc[:95].assign(close=frame["high"]), flat])
    deployment.collect(moment(100), [deployment.candles, index])
    rows = stored(deployment.store)
    assert rows["source"].unique().tolist() == ["simulated:fake"]
    assert len(rows) == 95


def test_a_gap_is_recorded_filled_by_whoever_has_it_and_gone_with_the_primarys_candles(
    deployment: Any, moment: Moment, venue: Callable[..., Any]
) -> None:
    whole = {name: frame.copy() for name, frame in deployment.candles.frames.items()}
    without(deployment, [*range(40, 45), 60])
    deployment.collect(moment(100))
    found = gaps(deployment.store)
    assert (found["gap_end"] - found["gap_start"]).tolist() == [5 * HOUR, HOUR]
    assert found["attempts"].tolist() == [1, 1]
    assert found["asked"].tolist() == [["fake"], ["fake"]]
    assert (found["next_attempt_at"] == moment(101)).all()

    deployment.collect(moment(100.5), [deployment.candles, venue("other")])  # not yet
    assert len(gaps(deployment.store)) == 2
    source = venue("other")
    source.frames = {
        symbol: pd.concat([frame, rows]).sort_values("timestamp")
        for symbol, frame in source.frames.items()
        for rows in [_hours(frame, [40, 42, 43, 44, 60])]
    }
    report = deployment.collect(moment(101), [deployment.candles, source])
    assert next(r.details["filled from other"] for r in report.results if r.symbol == "ETH") == 5
    found = gaps(deployment.store)
    begin = pd.Timestamp(moment(0)).floor("h")
    hours = [((r.gap_start - begin) / HOUR, (r.gap_end - begin) / HOUR, r.filled_from) for r in found.itertuples()]
    stand_in = "simulated:other"
    assert hours == [(40, 41, stand_in), (41, 42, None), (42, 45, stand_in), (60, 61, stand_in)]
    assert found["attempts"].tolist() == [2] * 4
    assert found["asked"].iloc[1] == ["fake", "other"]
    assert (found["next_attempt_at"] == moment(105)).all()

    deployment.candles.frames = whole  # the primary has them after all
    deployment.collect(moment(105), [deployment.candles, source])
    assert gaps(deployment.store).empty
    assert stored(deployment.store)["source"].unique().tolist() == ["simulated:fake"]


def _hours(frame: pd.DataFrame, hours: list[int]) -> pd.DataFrame:
    """Candles at hours that a frame lacks, made of its first one."""
    begin = frame["timestamp"].iloc[0]
    return frame.iloc[[0] * len(hours)].assign(timestamp=[begin + h * HOUR for h in hours])


def test_the_primary_is_asked_again_for_a_gap_and_its_candles_are_the_series_own(
    deployment: Any, moment: Moment
) -> None:
    whole = {name: frame.copy() for name, frame in deployment.candles.frames.items()}
    without(deployment, range(200, 210))
    deployment.ingest(moment(900))
    deployment.candles.frames = whole
    deployment.ingest(moment(901))
    assert gaps(deployment.store).empty
    assert len(stored(deployment.store)) == 901
    assert stored(deployment.store)["source"].unique().tolist() == ["simulated:fake"]
    # feature rows after the gap are computed anew as whole rows: as in a store that never had it
    rows = deployment.features().query("symbol == 'ETH'")
    assert rows["is_valid"].sum() == 901 - 336


def test_unchanged_history_writes_no_row_again(deployment: Any, moment: Moment) -> None:
    first = deployment.collect(moment(700))
    assert first.rows > 0
    assert deployment.collect(moment(700)).rows == 0
    assert deployment.collect(moment(700), history=timedelta(days=2000), most_chunks=None).rows == 0


def test_a_backfill_brings_back_hours_that_somebody_took_out(deployment: Any, moment: Moment) -> None:
    """What `verify` and `gaps_are_recorded` send people to; what no source has becomes a gap."""
    deployment.ingest(moment(500))
    before, built = stored(deployment.store), deployment.features()
    hours = [moment(h).replace(minute=0) for h in (100, 101, 200)]
    with deployment.store.begin() as connection:
        connection.execute(delete(ohlcv_data).where(ohlcv_data.c.timestamp.in_(hours)))
    without(deployment, [200])
    deployment.collect(moment(500), most_chunks=None)
    deployment.build(moment(500))
    kept = before[before["timestamp"] != hours[2]]
    pd.testing.assert_frame_equal(stored(deployment.store)[VALUES], kept[VALUES].reset_index(drop=True))
    assert gaps(deployment.store)["gap_start"].tolist() == [hours[2]]
    same = built["timestamp"] < pd.Timestamp(hours[2]) - 8 * HOUR
    pd.testing.assert_frame_equal(deployment.features()[same], built[same])


@pytest.mark.parametrize("remembered", [True, False])
@pytest.mark.parametrize("which", [(0, 60), (460, 500), (0, 500)], ids=["oldest", "newest", "all"])
def test_a_backfill_brings_back_the_edges_of_a_series(
    deployment: Any, moment: Moment, which: tuple[int, int], remembered: bool
) -> None:
    deployment.collect(moment(500))
    before, begin, end = stored(deployment.store), *(moment(h).replace(minute=0) for h in which)
    with deployment.store.begin() as connection:
        connection.execute(delete(ohlcv_data).where(ohlcv_data.c.timestamp >= begin, ohlcv_data.c.timestamp < end))
        if not remembered:
            connection.execute(update(watermarks).values(details=None))
    deployment.collect(moment(500), most_chunks=None)
    if remembered or which != (460, 500):  # nothing tells such a mark that its newest hours were there
        pd.testing.assert_frame_equal(stored(deployment.store)[VALUES], before[VALUES])


def test_edges_that_the_primary_has_no_more_are_let_go(deployment: Any, moment: Moment) -> None:
    deployment.collect(moment(500))
    first = moment(60).replace(minute=0)
    with deployment.store.begin() as connection:
        connection.execute(delete(ohlcv_data).where(ohlcv_data.c.timestamp < first))
    without(deployment, range(60))
    deployment.collect(moment(500), most_chunks=None)
    assert mark(deployment.store).details["first_own"] == first.isoformat()


def test_a_longer_history_is_fetched_before_what_is_there(deployment: Any, moment: Moment) -> None:
    deployment.collect(moment(1400), history=timedelta(days=3))
    assert len(stored(deployment.store)) == 72
    begin = mark(deployment.store).since
    report = deployment.collect(moment(1400), history=timedelta(days=30))
    assert {r.symbol: r.rows for r in report.results}["ETH"] == 27 * 24
    assert mark(deployment.store).since == begin - timedelta(days=27)
    asked = [interval for name, *interval in deployment.candles.asked if name == "ETH"][1:]
    assert max(end for start, end in asked if start < begin.to_pydatetime() - 24 * HOUR) == begin


def silent(deployment: Any, until: float = 1e9, since: float = 0) -> Any:
    """A vendor with the same market that has no row of the hours [since, until) at first."""
    frames = {name: frame.drop(index=frame.index[(frame.index >= since) & (frame.index < until)])
              for name, frame in deployment.candles.frames.items()}  # fmt: skip
    return type(deployment.candles)(frames, name=deployment.candles.name)


@pytest.mark.parametrize("most", [6, None])
def test_a_first_collection_that_everybody_answered_without_a_row_decides_nothing(
    deployment: Any, moment: Moment, venue: Callable[..., Any], most: int | None
) -> None:
    empty = [silent(deployment), venue("other", without=range(2000))]
    for hour in (1300, 1301, 1302):
        report = deployment.collect(moment(hour), empty, most_chunks=most)
        assert not report.failed
    assert len(empty[0].asked) == (2 * (5 + 1 + 1) if most else 2 * 3 * 5)  # later ones cost a question each
    deployment.collect(moment(1400), most_chunks=most)
    deployment.collect(moment(1401), most_chunks=most)
    assert len(stored(deployment.store)) == 1401
    assert mark(deployment.store).source == "fake"


@pytest.mark.parametrize("lost", [400, 700], ids=["all of the oldest chunk", "more than a chunk"])
@pytest.mark.parametrize("most", [6, None])
def test_an_oldest_chunk_that_came_empty_or_short_once_comes_later(
    deployment: Any, moment: Moment, monkeypatch: pytest.MonkeyPatch, most: int | None, lost: int
) -> None:
    monkeypatch.setattr("crypto_platform.operations.candles.backward", lambda a, b: backward(a, b, 300))
    history = timedelta(hours=1399)
    deployment.collect(moment(1400), [silent(deployment, lost)], history=history, most_chunks=None)
    assert len(stored(deployment.store)) == 1400 - lost
    hours = range(1401, 1450, 16)
    for hour in hours:
        deployment.collect(moment(hour), history=history, most_chunks=most)
    assert len(stored(deployment.store)) == hours[-1] - 2
    assert gaps(deployment.store).empty


def test_hours_before_a_listing_cost_a_question_a_day_and_one_a_backfill(deployment: Any, moment: Moment) -> None:
    for hour in (100, 101):
        deployment.collect(moment(hour))
    asked = [sum(1 for name, *_ in deployment.candles.asked if name == "ETH")]
    for hour in (102, 110, 120, 124, 126, 130):
        deployment.collect(moment(hour), most_chunks=None if hour == 130 else 6)
        asked.append(sum(1 for name, *_ in deployment.candles.asked if name == "ETH"))
    assert np.diff(asked).tolist() == [1, 1, 1, 1, 2, 2]


def test_a_tick_takes_no_more_than_its_portion_and_the_newest_first(deployment: Any, moment: Moment) -> None:
    deployment.collect(moment(1400), history=timedelta(days=900), most_chunks=1)
    assert len(deployment.candles.asked) == 2  # one a symbol
    assert len(stored(deployment.store)) == 1400
    since = mark(deployment.store).since
    deployment.collect(moment(1400), history=timedelta(days=900), most_chunks=2)
    assert mark(deployment.store).since < since


def test_a_restated_candle_keeps_both_values_and_an_unknown_one_erases_nothing(deployment: Any, moment: Moment) -> None:
    deployment.collect(moment(100))
    before = stored(deployment.store)
    frame = deployment.candles.frames["ETH"]
    frame.loc[99, "close"] = frame.loc[99, "high"]
    frame.loc[98, ["volume", "trades"]] = np.nan
    deployment.collect(moment(101))
    (revision,) = deployment.store.read(select(ohlcv_revisions)).itertuples()
    assert (revision.old_close, revision.new_close) == (before["close"].iloc[99], frame.loc[99, "high"])
    assert revision.old_source is None
    after = stored(deployment.store)
    assert (after["known_at"].iloc[99], after["known_at_estimated"].iloc[99]) == (moment(101), False)
    assert after["known_at"].iloc[97] == before["known_at"].iloc[97]
    assert after["close"].iloc[99] == frame.loc[99, "high"]
    assert after["volume"].iloc[98] == before["volume"].iloc[98] > 0


def test_two_words_of_a_source_in_one_moment_are_two_revisions(deployment: Any, moment: Moment) -> None:
    """A run that is done again stands for the same moment: the newest revision is still what is stored."""
    deployment.collect(moment(100))
    frame = deployment.candles.frames["ETH"]
    at, first = frame["timestamp"].iloc[90], frame["volume"].iloc[90]
    for volume in (1.0, 2.0, first):
        frame.loc[frame["timestamp"] == at, "volume"] = volume
        deployment.collect(moment(101))
    kept = deployment.store.read(select(ohlcv_revisions).order_by(ohlcv_revisions.c.seen_at))
    assert kept[["old_volume", "new_volume"]].to_numpy().tolist() == [[first, 1.0], [1.0, 2.0], [2.0, first]]
    assert kept["seen_at"].iloc[0] == moment(101)
    assert kept["seen_at"].iloc[-1] - moment(101) < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("error", "pinned"),
    [(SourceRefusedError, "other"), (SourceUnavailableError, None), (MalformedResponseError, None),
     (KeyRefusedError, None)],
)  # fmt: skip
def test_a_new_series_is_pinned_to_the_first_source_that_knows_it_never_by_a_passing_fault(
    deployment: Any, moment: Moment, venue: Callable[..., Any], error: type[Exception], pinned: str | None
) -> None:
    deployment.candles.broken, deployment.candles.error = {"ETH"}, error
    report = deployment.collect(moment(100), [deployment.candles, venue("other")])
    assert ("ETH" in report.failed) == (pinned is None)
    assert (mark(deployment.store).source if mark(deployment.store) else None) == pinned
    assert mark(deployment.store, "BTC").source == "fake"
    if pinned:
        assert "fake is down" in next(r.details["notes"] for r in report.results if r.symbol == "ETH")


def test_a_series_that_stopped_is_not_gone_on_with_by_another_venue(
    deployment: Any, moment: Moment, venue: Callable[..., Any]
) -> None:
    whole = venue("other")
    without(deployment, range(100, 2000))
    deployment.collect(moment(100))
    report = deployment.collect(moment(400), [deployment.candles, whole])
    assert not report.failed
    assert len(stored(deployment.store)) == 100
    assert "no candle since" in next(r.details["notes"] for r in report.results if r.symbol == "ETH")
    asked = len(deployment.candles.asked)
    deployment.collect(moment(1000), [deployment.candles, whole])
    hours = [(end - start) / HOUR for _, start, end in deployment.candles.asked[asked:] if end > moment(0)]
    assert max(hours) < 700  # what was answered is not asked for again for ever


def test_after_a_long_pause_a_dead_primary_is_stood_in_for(
    deployment: Any, moment: Moment, venue: Callable[..., Any]
) -> None:
    """Nobody said that the series stopped: first the newest week, then the hours before it, which are a gap."""
    deployment.collect(moment(100))
    deployment.candles.broken = {"ETH"}
    sources = [deployment.candles, venue("other")]
    report = deployment.collect(moment(400), sources)
    (eth,) = [r for r in report.results if r.symbol == "ETH"]
    assert eth.details["filled from other"] >= 7 * 24
    assert "no candle since" not in (eth.details["notes"] or "")
    deployment.collect(moment(401), sources)
    assert len(stored(deployment.store)) == 401


cuts = st.lists(
    st.tuples(st.integers(1, 300), st.integers(1, 20), st.sampled_from([1, 2, None])), min_size=1, max_size=6
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=cuts, holes=st.sets(st.integers(0, 299), max_size=40), halt=st.tuples(st.integers(10, 200), st.integers(0, 40))
)
def test_however_a_history_is_collected_the_same_candles_gaps_and_refusals_are_there(
    blank: Any, deploy: Any, moment: Moment, cuts: Any, holes: set[int], halt: tuple[int, int]
) -> None:
    """In any portions, back and forth: as at once; a long halt without a trade among it."""

    def run(steps: Any) -> tuple[Any, ...]:
        store = blank()
        deployment = deploy(store)
        deployment.names = ("ETH",)
        for name, frame in deployment.candles.frames.items():
            halted = frame.index[(frame.index >= halt[0]) & (frame.index < halt[0] + halt[1])]
            price = float(frame.loc[frame.index[halt[0]], "close"])
            frame.loc[halted, ["open", "high", "low", "close"]] = price
            frame.loc[halted, ["volume_base", "volume", "trades"]] = 0.0
            deployment.candles.frames[name] = frame.drop(index=[h for h in holes if h in frame.index])
        for hour, days, most in [*steps, (300, 400, None)]:
            deployment.collect(moment(hour), history=timedelta(days=days), most_chunks=most)
        kept = tuple(stored(store, name)[["timestamp", *VALUES, "source"]].to_csv() for name in deployment.names)
        holes_now = tuple(gaps(store, name)[["gap_start", "gap_end"]].to_csv() for name in deployment.names)
        refused = set(store.read(select(quarantine.c.id))["id"])
        store.close()
        return kept, holes_now, refused

    assert run(sorted(cuts, key=lambda cut: cut[0])) == run([])


def test_listings_join_an_assets_names_in_todays_coins_and_leave_other_assets_out(
    store: Any, deployment: Any, moment: Moment
) -> None:
    """A coin redenominated 1:1000 after hour 50, and a stranger under its new name's ticker before."""
    at = moment(0).replace(minute=0)
    listings = (Listing("ETH", until=at + 50 * HOUR, units=1000.0), Listing("BTC", since=at + 60 * HOUR))
    coin = Symbol("NEW", "New", None, "BTC", default=True, listings=listings)

    @dataclass
    class Market:
        name: str = "fake"

        def fetch_candles(self, symbol: Symbol, start: datetime, end: datetime) -> Fetched:
            asset = replace(symbol, name=symbol.market)
            return deployment.candles.fetch_candles(asset, start, end)

    collect_candles(store, [Market()], [coin], as_of=moment(100), history=timedelta(days=30))
    rows = stored(store, "NEW")
    old, new = (deployment.candles.frames[name] for name in ("ETH", "BTC"))
    np.testing.assert_allclose(rows["close"], [*old["close"][:50] / 1000, *new["close"][60:100]])
    np.testing.assert_allclose(rows["volume_base"], [*old["volume_base"][:50] * 1000, *new["volume_base"][60:100]])
    np.testing.assert_allclose(rows["volume"], [*old["volume"][:50], *new["volume"][60:100]])
    (gap,) = gaps(store, "NEW").itertuples()
    assert (gap.gap_start, gap.gap_end) == (at + 50 * HOUR, at + 60 * HOUR)


def test_an_ended_series_is_complete_and_soon_left_alone(store: Any, deployment: Any, moment: Moment) -> None:
    at = moment(0).replace(minute=0)
    coin = Symbol("ETH", "Ether", None, "ETH", default=True, listings=(Listing("ETH", until=at + 80 * HOUR),))
    for hour in (100, 200):
        report = collect_candles(store, [deployment.candles], [coin], as_of=moment(hour), history=timedelta(days=5))
        assert not report.failed
    assert len(stored(store)) == 80
    asked = len(deployment.candles.asked)
    collect_candles(store, [deployment.candles], [coin], as_of=moment(201), history=timedelta(days=5))
    assert len(deployment.candles.asked) == asked
