"""Whether what the candles say can be believed: jumps, frozen prices, missing volumes, and a second opinion."""

import math
from datetime import datetime
from typing import Any, Final

import numpy as np
from sqlalchemy import and_, case, func, or_, select

from crypto_platform.core import agreement as opinions
from crypto_platform.core import outliers
from crypto_platform.core.bars import FROZEN_HOURS
from crypto_platform.operations.checks.base import DAY, Failing, Scope, check, last, some, stamp, words
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import ohlcv_crosschecks, ohlcv_data

JUDGED: Final = DAY  # hours looked at for jumps and frozen prices
VOLUMES_OVER: Final = 2 * DAY
MISSING_VOLUMES: Final = 0.05  # share of the hours of a source that gives quote volumes otherwise
COMPARED_AGE: Final = 2 * DAY  # a symbol's turn comes once a day


def candles_have_volumes(store: Warehouse, scope: Scope) -> Failing:
    """A source that gives quote volumes gives them always; one that never does is left alone."""
    nulls = func.sum(case((ohlcv_data.c.volume.is_(None), 1), else_=0))
    rows = store.read(
        select(ohlcv_data.c.symbol, ohlcv_data.c.source, func.count().label("n"), nulls.label("nulls"))
        .where(ohlcv_data.c.symbol.in_(scope.names), ohlcv_data.c.timestamp >= scope.as_of - VOLUMES_OVER)
        .group_by(ohlcv_data.c.symbol, ohlcv_data.c.source)
    )
    return {
        r.symbol: f"{r.nulls} of {r.n} hours of {r.source} have no volume in quote currency"
        for r in rows.itertuples()
        if MISSING_VOLUMES * r.n < r.nulls < r.n
    }


def prices_do_not_jump(store: Warehouse, scope: Scope) -> Failing:
    """Only symbols with an hour beyond the floors are looked at with the weeks before; most have none."""
    since = scope.as_of - JUDGED
    suspects = _beyond_the_floors(store, scope, since)
    if not suspects:
        return {}
    names = ("symbol", "timestamp", "open", "high", "low", "close")
    rows = store.read(
        select(*(ohlcv_data.c[name] for name in names))
        .where(ohlcv_data.c.symbol.in_(suspects), ohlcv_data.c.timestamp >= since - outliers.SCALE_OVER)
        .order_by(ohlcv_data.c.symbol, ohlcv_data.c.timestamp)
    )
    found = {str(name): outliers.find_outliers(part, since) for name, part in rows.groupby("symbol")}
    return {name: some([str(outlier) for outlier in each]) for name, each in found.items() if each}


def _beyond_the_floors(store: Warehouse, scope: Scope, since: datetime) -> list[str]:
    c = ohlcv_data.c
    before = func.lag(c.close).over(partition_by=c.symbol, order_by=c.timestamp)
    recent = (
        select(c.symbol, c.timestamp, c.open, c.high, c.low, c.close, before.label("before"))
        .where(c.symbol.in_(scope.names), c.timestamp >= since - DAY)
        .subquery()
        .c
    )

    def apart(a: Any, b: Any, floor: float) -> Any:
        return or_(a > b * math.exp(floor), b > a * math.exp(floor))

    unlike = or_(
        apart(recent.close, recent.before, outliers.CLOSE.floor),
        apart(recent.open, recent.before, outliers.OPEN.floor),
        apart(recent.high, recent.low, outliers.RANGE.floor),
    )
    return list(store.read(select(recent.symbol).where(recent.timestamp >= since, unlike).distinct())["symbol"])


def prices_move(store: Warehouse, scope: Scope) -> Failing:
    """Counted over hours in which nothing was traded at a price that did not move."""
    c = ohlcv_data.c
    flat = and_(c.high == c.low, c.volume_base == 0)
    rows = store.read(
        select(c.symbol, c.timestamp)
        .where(c.symbol.in_(scope.names), c.timestamp >= scope.as_of - JUDGED, flat)
        .order_by(c.symbol, c.timestamp)
    )
    runs = {str(name): outliers.longest_run(part["timestamp"]) for name, part in rows.groupby("symbol")}
    since = stamp(scope.as_of - JUDGED)
    return {
        name: f"{n} hours in a row without a trade or a move since {since} UTC"
        for name, n in runs.items()
        if n >= FROZEN_HOURS
    }


def sources_agree(store: Warehouse, scope: Scope) -> Failing:
    """The newest comparison of each symbol; the quote currencies may differ, as USDT and USD do."""
    c = ohlcv_crosschecks.c
    oldest = scope.as_of - COMPARED_AGE
    of_these = and_(c.symbol.in_(scope.names), c.timestamp >= oldest - DAY, c.checked_at >= oldest)
    newest = select(c.symbol, func.max(c.checked_at).label("at")).where(of_these).group_by(c.symbol).subquery()
    rows = store.read(
        select(c.symbol, c.source, c.close, c.own_close, c.checked_at)
        .join(newest, and_(c.symbol == newest.c.symbol, c.checked_at == newest.c.at))
        .where(of_these)
    )
    near = np.abs(np.log(rows["close"] / rows["own_close"])) <= opinions.TOLERANCE
    suspects = rows[rows["symbol"].isin(rows["symbol"][~near])]  # where all are near, nothing can fail
    failing = {}
    for (name, source, at), part in suspects.groupby(["symbol", "source", "checked_at"]):
        found = opinions.agreement(part["own_close"], part["close"])
        if not found.holds:
            failing[str(name)] = (
                f"{source} is {found.median:.1%} away in the median of {found.hours} hours before {stamp(at)} UTC, "
                f"and more than {opinions.FAR:.0%} in {found.far:.0%} of them"
            )
    return failing


def second_opinions_are_had(store: Warehouse, scope: Scope) -> Failing:
    """Of the symbols that were collected all that time: each has its turn once a day."""
    if scope.candle_sources < 2:
        return {}
    checked, candle, oldest = ohlcv_crosschecks.c, ohlcv_data.c, scope.as_of - COMPARED_AGE
    held = store.read(
        select(checked.symbol)
        .where(checked.symbol.in_(scope.listed), checked.timestamp >= oldest - DAY, checked.checked_at >= oldest)
        .distinct()
    )
    seen = store.read(
        select(candle.symbol)
        .where(
            candle.symbol.in_(scope.listed),
            candle.timestamp >= oldest - DAY,
            candle.timestamp < oldest,
            candle.known_at_estimated.is_(False),
        )
        .distinct()
    )
    alone = set(seen["symbol"]) - set(held["symbol"])
    return {
        name: f"not compared with a second source in {last(COMPARED_AGE)}" for name in scope.listed if name in alone
    }


CHECKS: Final = (
    check(
        ohlcv_data,
        candles_have_volumes,
        f"A source that gives volumes in quote currency gives them for at least {1 - MISSING_VOLUMES:.0%} of the hours "
        f"of {last(VOLUMES_OVER)}.",
        "The vendor's answers have lost a field; volume features of these hours rest on less.",
        "Look at the vendor's news; order the sources differently where it stays.",
    ),
    check(
        ohlcv_data,
        prices_do_not_jump,
        f"In {last(JUDGED)} no close moved by more than {outliers.CLOSE}, no open lay more than "
        f"{outliers.OPEN} off the close before, and no hour ranged over more than {outliers.RANGE}. "
        f"A scale is the symbol's robust hourly spread over {words(outliers.SCALE_OVER)}.",
        "A crash, a pump, or a bad print. A few times a symbol and year it is real, which is why nothing is dropped.",
        "Look at the hour in another source. Is it wrong there as well, it happened.",
    ),
    check(
        ohlcv_data,
        prices_move,
        f"No price of {last(JUDGED)} stood still for {FROZEN_HOURS} hours without a trade.",
        "The market is suspended, or the source repeats its last price.",
        "Compare with another source. A coin that is no longer traded is marked so in the symbols file.",
    ),
    check(
        ohlcv_crosschecks,
        sources_agree,
        f"At the newest comparison of {last(COMPARED_AGE)} the closes of a second source are within "
        f"{opinions.TOLERANCE:.0%} in the median, and at most {opinions.FAR_SHARE:.0%} of them more than "
        f"{opinions.FAR:.0%} away.",
        "One of both is wrong: another coin under the same ticker, another scale, a frozen price; or the quote "
        "currencies are apart, as USDT and USD were in 2018.",
        "Look at both series in the table of comparisons, and pin the right source.",
        is_error=True,
    ),
    check(
        ohlcv_crosschecks,
        second_opinions_are_had,
        f"Each symbol was compared with a second source in {last(COMPARED_AGE)}, where two can be used.",
        "No other source of the list knows the symbol, or none answers: a wrong price of its primary goes unnoticed.",
        "See `not_compared` of its partition; add a source that lists it to CRYPTO_PLATFORM_OHLCV_SOURCES.",
    ),
)
