"""What should be true of snapshots, sentiment, vendors and the store itself."""

from typing import Final

import pandas as pd
from sqlalchemy import Table, func, inspect, select

from crypto_platform.core.hours import HOUR
from crypto_platform.core.politeness import WARN_FROM
from crypto_platform.operations.checks.base import (
    DAY,
    Failing,
    Scope,
    Statement,
    check,
    last,
    newest,
    older_than,
    some,
    stamp,
    words,
)
from crypto_platform.sources.catalog import LIMITS
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import ALL, ended
from crypto_platform.tables import market_data, metadata, ohlcv_data, sentiment_data, vendor_states
from crypto_platform.tables.render.frames import broken_rules

SNAPSHOT_AGE: Final = HOUR
SENTIMENT_AGE: Final = 26 * HOUR
SENTIMENT_OVER: Final = 30 * DAY
NEEDED: Final = ("price_usd", "market_cap", "total_volume")
SAMPLED: Final = 2 * HOUR  # newest rows whose values are looked at again


def snapshots_are_fresh(store: Warehouse, scope: Scope) -> Failing:
    """By the vendor's own time; symbols it cannot have are another check's."""
    names = [s.name for s in scope.symbols if s.coinpaprika and not ended(s, scope.as_of)]
    return older_than(store.read(newest(market_data.c.timestamp, scope)), names, scope.as_of, SNAPSHOT_AGE)


def symbols_are_covered(store: Warehouse, scope: Scope) -> Failing:
    """Every symbol has what its row of the symbols file promises."""
    rows = store.read(newest(ohlcv_data.c.timestamp, scope))
    with_candles = set(rows["symbol"][rows["newest"].notna()])
    failing = {}
    for symbol in scope.symbols:
        missing = [] if symbol.name in with_candles else ["no source has given a candle of it"]
        if symbol.coinpaprika is None and not ended(symbol, scope.as_of):
            missing.append("the symbols file gives no CoinPaprika id, so it has no snapshots")
        if missing:
            failing[symbol.name] = "; ".join(missing)
    return failing


def snapshots_are_complete(store: Warehouse, scope: Scope) -> Failing:
    """Columns that a vendor usually gives, in the newest snapshots."""
    columns = [market_data.c[name] for name in NEEDED]
    rows = store.read(
        select(market_data.c.symbol, *(func.count(c).label(c.name) for c in columns), func.count().label("n"))
        .where(market_data.c.symbol.in_(scope.names), market_data.c.timestamp > scope.as_of - SNAPSHOT_AGE)
        .group_by(market_data.c.symbol)
    )
    failing = {}
    for row in rows.to_dict("records"):
        missing = [f"{name} in {row['n'] - row[name]} of {row['n']}" for name in NEEDED if row[name] < row["n"]]
        if missing:
            failing[str(row["symbol"])] = "missing: " + ", ".join(missing)
    return failing


def sentiment_is_recent(store: Warehouse, scope: Scope) -> Failing:
    """One for all symbols."""
    rows = store.read(select(func.max(sentiment_data.c.timestamp).label("newest"))).assign(symbol=ALL)
    return older_than(rows, [ALL], scope.as_of, SENTIMENT_AGE)


def sentiment_has_no_holes(store: Warehouse, scope: Scope) -> Failing:
    """Between the oldest and the newest day of the last weeks."""
    days = store.read(
        select(sentiment_data.c.timestamp)
        .where(sentiment_data.c.timestamp >= scope.as_of - SENTIMENT_OVER)
        .order_by(sentiment_data.c.timestamp)
    )["timestamp"]
    if days.empty:
        return {}
    missing = pd.date_range(days.iloc[0], days.iloc[-1], freq="D").difference(pd.DatetimeIndex(days))
    return {ALL: "no value of " + some([f"{day:%Y-%m-%d}" for day in missing])} if len(missing) else {}


def vendors_answer(store: Warehouse, scope: Scope) -> Failing:
    """Named by vendor: their state is one for all symbols."""
    failing = {}
    for row in store.read(select(vendor_states)).itertuples():
        said = []
        if pd.notna(row.open_until) and row.open_until > scope.as_of:
            said.append(
                f"not asked before {stamp(row.open_until)} UTC, after {row.failures} failures: {row.last_failure}"
            )
        quota = LIMITS[row.vendor].monthly if row.vendor in LIMITS else None
        if quota and row.month == f"{scope.as_of:%Y-%m}" and row.calls > WARN_FROM * quota:
            said.append(f"{row.calls} of {quota} calls of the month are used")
        if said:
            failing[row.vendor] = "; ".join(said)
    return failing


def _obey(table: Table, name: str) -> Statement:
    """Statement that the newest rows of a table keep its rules, read as a database may not: NaN, infinity."""

    def statement(store: Warehouse, scope: Scope) -> Failing:
        rows = store.read(
            select(table).where(table.c.symbol.in_(scope.names), table.c.timestamp > scope.as_of - SAMPLED)
        )
        rows["broken"] = broken_rules(table, rows)
        bad = rows[rows["broken"] != ""]
        return {
            str(symbol): some([f"{r.broken} at {stamp(r.timestamp)} UTC" for r in part.itertuples()])
            for symbol, part in bad.groupby("symbol")
        }

    statement.__name__ = name
    return statement


candles_keep_their_rules = _obey(ohlcv_data, "candles_keep_their_rules")
snapshots_keep_their_rules = _obey(market_data, "snapshots_keep_their_rules")


def the_store_has_every_column(store: Warehouse, _: Scope) -> Failing:
    """Of every declared table; more columns than declared do no harm."""
    with store.reading() as connection:
        held = inspect(connection).get_multi_columns()
    there = {table: {column["name"] for column in columns} for (_, table), columns in held.items()}
    missing = [
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name not in there.get(table.name, set())
    ]
    return {ALL: "missing: " + some(missing)} if missing else {}


CHECKS: Final = (
    check(
        market_data,
        snapshots_are_fresh,
        f"The vendor's own time of the newest snapshot is at most {words(SNAPSHOT_AGE)} ago.",
        "Prices, capitalization and supply shown are old. Forecasts do not use them.",
        "See the error of the symbol's partition and the state of the vendor.",
    ),
    check(
        market_data,
        snapshots_are_complete,
        f"Snapshots of {last(SNAPSHOT_AGE)} have a price, a capitalization and a traded volume.",
        "The vendor does not know the number; it is empty here, never estimated.",
        "Look the coin up at the vendor: a wrong id in the symbols file shows like this.",
    ),
    check(
        market_data,
        snapshots_keep_their_rules,
        f"Snapshots of {last(SAMPLED)} keep the rules of their table, finite numbers among them.",
        "Rows came in past the platform, or the database has lost its constraints.",
        "Run crypto-platform verify; remove the rows that it names.",
        is_error=True,
    ),
    check(
        ohlcv_data,
        symbols_are_covered,
        "Every followed symbol has candles, and a CoinPaprika id for its snapshots.",
        "A ticker that no source knows, or one without an id.",
        "Mend its entry in the symbols file, or follow it no longer.",
    ),
    check(
        ohlcv_data,
        vendors_answer,
        f"No vendor is left alone after failures, and none has used more than {WARN_FROM:.0%} of its monthly calls.",
        "This vendor is not asked for a while, or soon will refuse: its symbols stand still or come from a fallback.",
        "Wait where the vendor is down. Against a quota: follow fewer symbols, or give a key.",
    ),
    check(
        ohlcv_data,
        candles_keep_their_rules,
        f"Candles of {last(SAMPLED)} keep the rules of their table, finite numbers among them.",
        "Rows came in past the platform, or the database has lost its constraints.",
        "Run crypto-platform verify; remove the rows that it names and backfill.",
        is_error=True,
    ),
    check(
        ohlcv_data,
        the_store_has_every_column,
        "The database has every declared table and column.",
        "The schema was changed by hand: reads and writes fail or miss values.",
        "Restore what is missing from a backup, or start with an empty database and backfill.",
        is_error=True,
    ),
    check(
        sentiment_data,
        sentiment_is_recent,
        f"The newest day began at most {words(SENTIMENT_AGE)} ago.",
        "Features carry the last known value on until it is too old, then they are missing.",
        "See whether alternative.me answers; it publishes once a day and has skipped days.",
    ),
    check(
        sentiment_data,
        sentiment_has_no_holes,
        f"No day of {last(SENTIMENT_OVER)} is missing between two that are there.",
        "alternative.me skipped a day, or was not reached for longer than a collection looks back.",
        "Compare with its site; days it never published stay missing.",
    ),
)
