"""Whether the candles are all there, once each, and in time. What they say is the business of `prices`."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, or_, select

from crypto_platform.core.hours import HOUR, SETTLE
from crypto_platform.operations.checks.base import (
    DAY,
    RECENT,
    Failing,
    Scope,
    check,
    last,
    newest,
    older_than,
    some,
    stamp,
    words,
)
from crypto_platform.operations.series import is_fallback
from crypto_platform.operations.watermarks import pins
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import ALL
from crypto_platform.tables import ohlcv_data, ohlcv_gaps, ohlcv_revisions, quarantine, watermarks

CANDLE_AGE: Final = 3 * HOUR  # of the newest open time; a healthy one is 1 to 2 hours old
CLOCK_FAST: Final = SETTLE  # from here on an hour may count as closed that still runs
CLOCK_SLOW: Final = timedelta(minutes=5)
ASKED_AGE: Final = 2 * HOUR
RESTATED: Final = 6  # hours a day: late trades move one or two


def candles_are_fresh(store: Warehouse, scope: Scope) -> Failing:
    """By our clock."""
    return older_than(store.read(newest(ohlcv_data.c.timestamp, scope)), scope.listed, scope.as_of, CANDLE_AGE)


def _asked(store: Warehouse, scope: Scope) -> dict[str, tuple[datetime | None, datetime | None]]:
    """When each symbol that has a watermark was asked for by our clock, and what the vendor's said then."""
    rows = store.read(
        select(watermarks.c.symbol, watermarks.c.details).where(
            watermarks.c.dataset == ohlcv_data.name, watermarks.c.symbol.in_(scope.names)
        )
    )
    keys = ("asked_at", "vendor_clock")
    said = {row.symbol: row.details or {} for row in rows.itertuples()}
    moments = {
        name: [datetime.fromisoformat(d[key]) if d.get(key) else None for key in keys] for name, d in said.items()
    }
    return {name: (ours, theirs) for name, (ours, theirs) in moments.items()}


def symbols_are_asked_for(store: Warehouse, scope: Scope) -> Failing:
    """By the collection's own notes beside the watermark."""
    asked = _asked(store, scope)
    failing = {}
    for name in scope.listed:
        at = asked.get(name, (None, None))[0]
        if at is None:
            failing[name] = "no source was asked for it yet"
        elif scope.as_of - at > ASKED_AGE:
            failing[name] = f"last asked for at {stamp(at)} UTC"
    return failing


def clocks_agree(store: Warehouse, scope: Scope) -> Failing:
    """The vendor's against ours, at the newest answer."""
    failing = {}
    for name, (ours, theirs) in _asked(store, scope).items():
        if ours and theirs and not -CLOCK_FAST <= theirs - ours <= CLOCK_SLOW:
            minutes = (theirs - ours) / timedelta(minutes=1)
            failing[name] = f"its vendor's clock was {minutes:+.0f} minutes from ours at {stamp(ours)} UTC"
    return failing


def candles_have_no_gaps(store: Warehouse, scope: Scope) -> Failing:
    """As the gaps' own table tells; where another source stands in, no hour is missing."""
    c, since = ohlcv_gaps.c, scope.as_of - RECENT
    recent = store.read(
        select(c.symbol, c.gap_start, c.gap_end)
        .where(c.symbol.in_(scope.names), c.gap_end > since, c.filled_from.is_(None))
        .order_by(c.symbol, c.gap_start.desc())
    )
    if recent.empty:
        return {}
    older = store.read(
        select(c.symbol, func.count().label("n"))
        .where(c.symbol.in_(list(recent["symbol"].unique())), c.gap_end <= since, c.filled_from.is_(None))
        .group_by(c.symbol)
    )
    n_older = dict(zip(older["symbol"], older["n"], strict=True))
    said: dict[str, list[str]] = {}
    for gap in recent.itertuples():  # an outage opens one for every symbol
        said.setdefault(gap.symbol, []).append(f"{stamp(gap.gap_start)} to {stamp(gap.gap_end)} UTC")
    return {name: some(gaps) + (f"; {n_older[name]} older" if name in n_older else "") for name, gaps in said.items()}


def gaps_are_recorded(store: Warehouse, scope: Scope) -> Failing:
    """Counted: candles and recorded hours together are all hours between the first candle and the last."""
    start = scope.as_of - RECENT
    held = store.read(
        select(
            ohlcv_data.c.symbol,
            func.count().label("n"),
            func.min(ohlcv_data.c.timestamp).label("first"),
            func.max(ohlcv_data.c.timestamp).label("last"),
        )
        .where(ohlcv_data.c.symbol.in_(scope.names), ohlcv_data.c.timestamp >= start)
        .group_by(ohlcv_data.c.symbol)
    )
    gaps = store.read(
        select(ohlcv_gaps.c.symbol, ohlcv_gaps.c.gap_start, ohlcv_gaps.c.gap_end).where(
            ohlcv_gaps.c.symbol.in_(scope.names), ohlcv_gaps.c.gap_end > start, ohlcv_gaps.c.filled_from.is_(None)
        )
    ).merge(held, on="symbol")
    hours = (gaps[["gap_end", "last"]].min(axis=1) - gaps[["gap_start", "first"]].max(axis=1)) // HOUR
    recorded = hours.clip(lower=0).groupby(gaps["symbol"]).sum()
    failing = {}
    for row in held.itertuples():
        missing = (row.last - row.first) // HOUR + 1 - row.n - recorded.get(row.symbol, 0)
        if missing:
            failing[row.symbol] = (
                f"{missing} hours of the last week have neither candle nor gap"
                if missing > 0
                else f"{-missing} hours of recorded gaps have a candle"
            )
    return failing


def primaries_deliver(store: Warehouse, scope: Scope) -> Failing:
    """By the vendors of the stored candles, beside those that their series are pinned to."""
    rows = store.read(
        select(ohlcv_data.c.symbol, ohlcv_data.c.source, func.count().label("n"))
        .where(ohlcv_data.c.symbol.in_(scope.names), ohlcv_data.c.timestamp >= scope.as_of - DAY)
        .group_by(ohlcv_data.c.symbol, ohlcv_data.c.source)
    )
    primaries = pins(store.read, ohlcv_data.name, scope.names)
    others = rows[is_fallback(rows["source"], rows["symbol"].map(primaries))]
    return {
        str(name): ", ".join(f"{r.n} hours came from {r.source}" for r in part.itertuples())
        + f", not from {primaries[str(name)]}"
        for name, part in others.groupby("symbol")
    }


def nothing_was_quarantined(store: Warehouse, scope: Scope) -> Failing:
    """Of any dataset."""
    rows = store.read(
        select(quarantine.c.symbol, quarantine.c.reason, func.count().label("n"))
        .where(
            quarantine.c.seen_at > scope.as_of - DAY,
            or_(quarantine.c.symbol.is_(None), quarantine.c.symbol.in_(scope.names)),
        )
        .group_by(quarantine.c.symbol, quarantine.c.reason)
    )
    rows["symbol"] = [name or ALL for name in rows["symbol"]]
    return {
        str(name): f"{part['n'].sum()} rows refused, see table quarantine: "
        + ", ".join(f"{n} {reason}" for reason, n in zip(part["reason"], part["n"], strict=True))
        for name, part in rows.groupby("symbol")
    }


def an_hour_has_one_candle(store: Warehouse, scope: Scope) -> Failing:
    """Contradicting rows of one hour end in quarantine."""
    rows = store.read(
        select(quarantine.c.symbol, func.count().label("n"))
        .where(
            quarantine.c.seen_at > scope.as_of - DAY,
            quarantine.c.dataset == ohlcv_data.name,
            quarantine.c.reason == "duplicate",
            quarantine.c.symbol.in_(scope.names),
        )
        .group_by(quarantine.c.symbol)
    )
    return {row.symbol: f"{row.n} rows contradict another of their hour" for row in rows.itertuples()}


def candles_are_not_restated(store: Warehouse, scope: Scope) -> Failing:
    """By their own source: the primary source's candle for an hour that a fallback filled is no restatement."""
    seen = ohlcv_revisions.c
    hours = func.count(seen.timestamp.distinct())
    rows = store.read(
        select(seen.symbol, hours.label("n"), func.min(seen.timestamp).label("first"))
        .where(seen.seen_at > scope.as_of - DAY, seen.old_source.is_(None), seen.symbol.in_(scope.names))
        .group_by(seen.symbol)
        .having(hours > RESTATED)
    )
    return {
        r.symbol: f"{r.n} hours from {stamp(r.first)} UTC on restated in a day, see table ohlcv_revisions"
        for r in rows.itertuples()
    }


CHECKS: Final = (
    check(
        ohlcv_data,
        candles_are_fresh,
        f"The newest candle opened at most {words(CANDLE_AGE)} ago.",
        "Forecasts of this symbol stop, since stale data is not forecast from.",
        "See the error of its partition; after an outage the next tick catches up by itself. A coin that is no longer "
        "traded is marked so in the symbols file.",
    ),
    check(
        ohlcv_data,
        symbols_are_asked_for,
        f"A source was asked for each symbol within {last(ASKED_AGE)}.",
        "The collection does not run, or leaves this symbol out.",
        "Look at the runs of the collection and whether its schedule is on.",
    ),
    check(
        ohlcv_data,
        clocks_agree,
        f"Our clock is at most {words(CLOCK_FAST)} before the vendor's and {words(CLOCK_SLOW)} behind it.",
        "Before it: the newest hour is left out until it is over by the vendor's clock, too. Behind it: hours count as "
        "closed too late, or the run began that long after its schedule.",
        "Let NTP set this machine's clock; where runs wait in the queue, look at what holds it up.",
    ),
    check(
        ohlcv_data,
        candles_have_no_gaps,
        f"No gap of {last(RECENT)} is open.",
        "No source has these hours, or none was reached; nothing is forecast beside a long gap.",
        "Nothing at first: they are asked for again with growing waits. A gap that stays is the exchange's own outage.",
    ),
    check(
        ohlcv_data,
        gaps_are_recorded,
        f"Every hour of {last(RECENT)} has a candle or belongs to a recorded gap, and not both.",
        "Rows were changed past the collection: features may rest on hours nobody knows to be missing.",
        "Run crypto-platform verify, then the backfill of this symbol.",
        is_error=True,
    ),
    check(
        ohlcv_data,
        primaries_deliver,
        f"The candles of {last(DAY)} came from the source that their symbol is pinned to.",
        "Another source stands in for it. Its hours are no features and no labels, and give way once the primary has "
        "them.",
        "Look at the check vendors_answer. A source that is gone for good is changed by crypto-platform symbols pin.",
    ),
    check(
        ohlcv_data,
        nothing_was_quarantined,
        f"No upstream row was refused in {last(DAY)}.",
        "A vendor sent rows that cannot be true. They are kept apart, and nothing downstream sees them.",
        "Read reason and payload in the table quarantine; where it goes on, order the sources differently.",
    ),
    check(
        ohlcv_data,
        an_hour_has_one_candle,
        f"No two rows that came in {last(DAY)} give one hour different values.",
        "One of them is stored, the other refused: the stored one may be the wrong one.",
        "Compare both in the table quarantine with another source.",
        is_error=True,
    ),
    check(
        ohlcv_data,
        candles_are_not_restated,
        f"A source restated at most {RESTATED} closed candles of a symbol in {last(DAY)}.",
        "The vendor corrects its history, or now serves another market under the same name.",
        "Compare old and new values in the table of revisions; features of these hours were built again.",
    ),
)
