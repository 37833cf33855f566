"""Second opinions: a few symbols a tick, beside the primary source, and never in the way of the tick."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select, update

from crypto_platform.core.agreement import SLOT, SLOTS
from crypto_platform.core.hours import HOUR
from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import SourceRefusedError, SourceUnavailableError
from crypto_platform.operations.checks.base import Scope
from crypto_platform.operations.checks.prices import second_opinions_are_had, sources_agree
from crypto_platform.operations.crosscheck import crosscheck
from crypto_platform.operations.results import Report
from crypto_platform.symbols import Symbol
from crypto_platform.tables import ohlcv_crosschecks, ohlcv_data

Moment = Callable[[float], datetime]
SYMBOLS = tuple(Symbol(name, name, None, name, default=True) for name in ("BTC", "ETH"))


@pytest.fixture
def collected(deployment: Any, moment: Moment) -> Any:
    deployment.collect(moment(100))
    return deployment


@pytest.fixture
def other(collected: Any) -> Any:
    """A second source, a tenth of a percent above the first."""
    frames = {name: frame.assign(close=frame["close"] * 1.001) for name, frame in collected.candles.frames.items()}
    return type(collected.candles)(frames, name="second")


def a_day(collected: Any, sources: list[Any], moment: datetime, symbols: tuple[Symbol, ...] = SYMBOLS) -> list[Report]:
    """All ticks of 24 hours around a moment, with the candles as they are."""
    start = moment - SLOT * (int(moment.timestamp() // SLOT.total_seconds()) % SLOTS)
    return [crosscheck(collected.store, sources, symbols, as_of=start + i * SLOT) for i in range(SLOTS)]


def rows(collected: Any) -> pd.DataFrame:
    order = (ohlcv_crosschecks.c.symbol, ohlcv_crosschecks.c.timestamp)
    return collected.store.read(select(ohlcv_crosschecks).order_by(*order))


def turn(collected: Any, sources: list[Any], moment: datetime, name: str = "ETH") -> Report:
    """The tick of one symbol alone: its turn is the day's first slot."""
    alone = tuple(symbol for symbol in SYMBOLS if symbol.name == name)
    return crosscheck(collected.store, sources, alone, as_of=moment.replace(hour=0, minute=5))


def test_each_symbol_is_asked_of_the_second_source_once_a_day(collected: Any, other: Any, moment: Moment) -> None:
    asked = len(collected.candles.asked)
    a_day(collected, [collected.candles, other], moment(100))
    assert Counter(name for name, _, _ in other.asked) == {"BTC": 1, "ETH": 1}
    assert all(end - start == timedelta(days=1) for _, start, end in other.asked)
    assert len(collected.candles.asked) == asked  # the primary source is not asked again


def test_the_first_source_that_is_not_the_pinned_one_is_asked(collected: Any, other: Any, moment: Moment) -> None:
    """Also where the order has changed since, and another is preferred now."""
    third = type(other)(other.frames, name="third")
    turn(collected, [other, collected.candles, third], moment(100))
    assert (len(other.asked), len(third.asked)) == (1, 0)


def test_both_closes_of_the_common_hours_are_kept(collected: Any, other: Any, moment: Moment) -> None:
    (result,) = turn(collected, [collected.candles, other], moment(100)).results
    held = rows(collected)
    assert result.rows == len(held) == 24
    assert set(held["source"]) == {"simulated:second"}
    own = collected.candles.frames["ETH"].set_index("timestamp")["close"]
    assert (held["own_close"].to_numpy() == own[held["timestamp"]].to_numpy()).all()
    assert held["close"].to_numpy() == pytest.approx(held["own_close"].to_numpy() * 1.001)
    assert result.details["median_apart"] == pytest.approx(0.001, rel=1e-2)
    assert turn(collected, [collected.candles, other], moment(100)).rows == 0  # again: nothing new


def test_hours_not_closed_at_as_of_are_not_compared(collected: Any, other: Any, moment: Moment) -> None:
    turn(collected, [collected.candles, other], moment(100))
    (_, _, end), tick = other.asked[0], moment(100).replace(hour=0, minute=5)
    assert end + timedelta(minutes=2) <= tick < end + HOUR + timedelta(minutes=2)


def test_an_hour_that_the_second_source_filled_is_not_compared_with_itself(
    collected: Any, other: Any, moment: Moment
) -> None:
    filled = collected.candles.frames["ETH"]["timestamp"].iloc[90].to_pydatetime()
    with collected.store.begin() as connection:
        connection.execute(
            update(ohlcv_data)
            .where(ohlcv_data.c.symbol == "ETH", ohlcv_data.c.timestamp == filled)
            .values(source="simulated:second")
        )
    turn(collected, [collected.candles, other], moment(100))
    held = rows(collected)
    assert len(held) == 23
    assert filled not in set(held["timestamp"])


@pytest.mark.parametrize("how", ["refused", "empty", "down"])
def test_the_next_source_is_asked_where_one_does_not_know_the_symbol(
    collected: Any, other: Any, moment: Moment, how: str
) -> None:
    """Not where it is only down: it is asked again tomorrow."""
    third = type(other)({name: frame.copy() for name, frame in other.frames.items()}, name="third")
    if how == "empty":
        other.frames["ETH"] = other.frames["ETH"].iloc[:0]
    else:
        other.broken, other.error = {"ETH"}, SourceRefusedError if how == "refused" else SourceUnavailableError
    report = turn(collected, [collected.candles, other, third], moment(100))
    assert set(rows(collected)["source"]) == ({"simulated:third"} if how != "down" else set())
    assert ("not_compared" in report.results[0].details) == (how == "down")


def test_a_symbol_that_no_second_source_knows_is_named(collected: Any, other: Any, moment: Moment) -> None:
    other.broken, other.error = {"ETH"}, SourceRefusedError
    for hour in range(101, 160):
        collected.collect(moment(hour))
    assert second_opinions_are_had(collected.store, Scope(SYMBOLS, moment(101))) == {}  # it has just begun
    a_day(collected, [collected.candles, other], moment(159))
    assert list(second_opinions_are_had(collected.store, Scope(SYMBOLS, moment(160)))) == ["ETH"]
    assert second_opinions_are_had(collected.store, Scope(SYMBOLS, moment(160), candle_sources=1)) == {}


@pytest.mark.parametrize("how", ["down", "live", "alone", "empty"])
def test_a_second_source_that_cannot_tell_is_a_detail_and_no_failure(
    collected: Any, other: Any, moment: Moment, how: str
) -> None:
    """Down, of another provenance, not there at all, or without a common hour."""
    sources = [collected.candles] if how == "alone" else [collected.candles, other]
    if how == "down":
        other.broken.add("ETH")
    if how == "live":
        other.provenance = Provenance.LIVE
    if how == "empty":
        other.frames["ETH"] = other.frames["ETH"].iloc[:0]
    report = turn(collected, sources, moment(100))
    assert not report.failed
    assert not report.all_failed
    assert report.results[0].details["not_compared"]
    assert rows(collected).empty
    others = turn(collected, sources, moment(100), "BTC")
    assert bool(others.rows) == (how in {"down", "empty"})


def test_a_symbol_without_candles_is_left_alone(collected: Any, other: Any, moment: Moment) -> None:
    new = (Symbol("ADA", "ADA", None, "ADA", default=True),)
    report = crosscheck(collected.store, [other], new, as_of=moment(100).replace(hour=0))
    assert [result.symbol for result in report.results] == ["ADA"]
    assert other.asked == []


def test_the_check_sees_what_the_operation_wrote(collected: Any, other: Any, moment: Moment) -> None:
    other.frames["ETH"] = other.frames["ETH"].assign(close=other.frames["ETH"]["close"] * 10)
    a_day(collected, [collected.candles, other], moment(100))
    scope = Scope(SYMBOLS, moment(120))
    assert list(sources_agree(collected.store, scope)) == ["ETH"]
