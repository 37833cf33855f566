"""Features and labels, kept up with the candles."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import pandas as pd
from sqlalchemy import Select, and_, func, or_, select

from crypto_platform.core import features as science
from crypto_platform.core.hours import HOUR, SETTLE, closed_until
from crypto_platform.core.joins import REFERENCE, SNAPSHOT_STALE
from crypto_platform.errors import InvalidBarsError
from crypto_platform.operations import feature_rows, watermarks
from crypto_platform.operations.results import Report, SymbolResult, together
from crypto_platform.operations.series import FEATURES_MARK, is_fallback
from crypto_platform.operations.watermarks import Mark
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import features, market_data, ohlcv_data, sentiment_data
from crypto_platform.tables.features import HORIZONS

CHUNK_ROWS: Final = 400_000  # candles in memory at a time, about 0.5 GB with their features
WRITTEN_ROWS: Final = 10_000  # of several symbols in one transaction: a tick's are one, a backfill's one a symbol
ATTEMPTS: Final = 3  # for a symbol whose candles change while its features are computed
SENTIMENT_LOOKBACK: Final = timedelta(days=12)  # a week of change, staleness and a hole

_CHANGED: Final = "what it is made of changed meanwhile"

Read = Callable[[Select[Any]], pd.DataFrame]

_CANDLES = ("symbol", "timestamp", "open", "high", "low", "close", "volume_base", "source")


def build_features(
    store: Warehouse,
    symbols: Sequence[str],
    *,
    as_of: datetime,
    feature_set: science.FeatureSet = science.DEFAULT,
    settle: timedelta = SETTLE,
) -> Report:
    """Bring each symbol's feature rows up to its newest candle closed at `as_of`.

    Only hours after the symbol's watermark are computed, with `LOOKBACK_ROWS` hours before them, and the few rows
    whose labels the new candles resolve. A candle that arrives late or is restated takes the watermark back, and all
    rows from there on are computed anew; where it arrives between the reading and the writing of a symbol, nothing is
    written, and the symbol is computed again, `ATTEMPTS` times at most.
    """
    end = closed_until(as_of, settle)
    dataset = FEATURES_MARK + feature_set.hash
    results: dict[str, SymbolResult] = {}
    waiting = list(symbols)
    for _ in range(ATTEMPTS):
        marks = _marks(store, dataset, waiting, feature_set)
        plan = {symbol: marks[symbol].watermark - max(HORIZONS) * HOUR for symbol in waiting if symbol in marks}
        waiting = []
        portions = list(chunks(plan, end))
        while portions:
            chunk = portions.pop(0)
            try:
                computed = compute_rows(store.read, chunk, end, as_of, feature_set)
            except InvalidBarsError as error:
                if len(chunk) > 1:  # one symbol's candle: the others of the portion are none the worse for it
                    portions = [*({symbol: chunk[symbol]} for symbol in chunk), *portions]
                else:
                    results |= {symbol: SymbolResult(symbol, error=str(error)) for symbol in chunk}
                continue
            for batch in _batches(computed["symbol"].value_counts(sort=False), WRITTEN_ROWS) if len(computed) else ():
                packed = feature_rows.pack(computed[computed["symbol"].isin(batch)], feature_set)
                for result in together(batch, partial(_write, store, dataset, packed, marks)):
                    if result.error == _CHANGED:
                        waiting.append(result.symbol)
                    else:
                        results[result.symbol] = result
    why = dict.fromkeys(waiting, f"what they are made of changed {ATTEMPTS} times meanwhile: the next run builds them")
    return Report(
        features.name,
        tuple(results.get(s) or SymbolResult(s, error=why.get(s, "no candles yet: collect first")) for s in symbols),
    )


def _marks(store: Warehouse, dataset: str, symbols: Sequence[str], feature_set: science.FeatureSet) -> dict[str, Mark]:
    """Mark of each symbol that has candles; without one yet, it gets one at its first candle.

    So there is a mark before the candles are read: what changes from then on changes it.
    """
    marks = watermarks.read_marks(store, dataset, symbols)
    first = _first_candles(store, [symbol for symbol in symbols if symbol not in marks])
    if not first:
        return marks
    follows = REFERENCE if feature_set.has("btc") else None
    with store.begin() as connection:
        watermarks.begin_marks(connection, dataset, first, follows)
    return watermarks.read_marks(store, dataset, symbols)


def _first_candles(store: Warehouse, symbols: Sequence[str]) -> dict[str, datetime]:
    rows = store.read(
        select(ohlcv_data.c.symbol, func.min(ohlcv_data.c.timestamp).label("first"))
        .where(ohlcv_data.c.symbol.in_(symbols))
        .group_by(ohlcv_data.c.symbol)
    )
    return {row.symbol: row.first.to_pydatetime() for row in rows.itertuples()}


def chunks(plan: Mapping[str, datetime], end: datetime) -> Iterator[dict[str, datetime]]:
    """Symbols in portions of at most `CHUNK_ROWS` candles."""
    needed = {symbol: (end - emit_from) // HOUR + science.LOOKBACK_ROWS for symbol, emit_from in plan.items()}
    for names in _batches(needed, CHUNK_ROWS):
        yield {name: plan[name] for name in names}


def _batches(rows: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """Symbols in portions of at most so many rows, or of one symbol."""
    batch: list[str] = []
    held = 0
    for symbol, needed in rows.items():
        if batch and held + needed > most:
            yield batch
            batch, held = [], 0
        batch.append(symbol)
        held += needed
    if batch:
        yield batch


def _write(
    store: Warehouse, dataset: str, rows: pd.DataFrame, marks: Mapping[str, Mark], symbols: Sequence[str]
) -> list[SymbolResult]:
    """Store rows and move the marks they were computed from; `_CHANGED` where one has changed, by whomever."""
    with store.begin() as connection:
        held = watermarks.hold_marks(connection, dataset, symbols)
        same = [symbol for symbol in symbols if held.get(symbol) == marks[symbol]]
        rows = rows[rows["symbol"].isin(same)]
        of_symbol = rows.groupby("symbol").agg(
            first=("timestamp", "min"),
            last=("timestamp", "max"),
            valid=("is_valid", "sum"),
            filled=("is_filled", "sum"),
        )
        written = warehouse.upsert_by_symbol(connection, features, rows)
        moved = {s: replace(marks[s], watermark=of_symbol["last"][s].to_pydatetime() + HOUR) for s in same}
        watermarks.write_marks(connection, dataset, moved)
    done = {
        row.Index: SymbolResult(
            row.Index,
            written[row.Index],
            row.first.to_pydatetime(),
            row.last.to_pydatetime(),
            {"valid": int(row.valid), "filled": int(row.filled)},
        )
        for row in of_symbol.itertuples()
    }
    return [done.get(symbol) or SymbolResult(symbol, error=_CHANGED) for symbol in symbols]


def compute_rows(
    read: Read, plan: Mapping[str, datetime], end: datetime, as_of: datetime, feature_set: science.FeatureSet
) -> pd.DataFrame:
    """Feature rows of each symbol from its hour of the plan up to `end`, from what the store holds.

    Returns
    -------
    DataFrame
        As `core.features.compute` gives it; empty where there is no candle.

    Raises
    ------
    InvalidBarsError
        A stored candle is not sound.
    """
    lookback = science.LOOKBACK_ROWS * HOUR
    candles = read(_candles_from(plan, lookback, end))
    if candles.empty:
        return pd.DataFrame()
    pins = watermarks.pins(read, ohlcv_data.name, list(plan))
    candles["is_fallback"] = is_fallback(candles.pop("source"), candles["symbol"].map(pins))
    first = candles["timestamp"].min().to_pydatetime()
    sentiment = read(
        select(sentiment_data.c.timestamp, sentiment_data.c.known_at, sentiment_data.c.fear_greed_value).where(
            sentiment_data.c.known_at <= as_of, sentiment_data.c.timestamp >= first - SENTIMENT_LOOKBACK
        )
    )
    snapshots = reference = None
    if feature_set.has("snapshots"):
        snapshots = read(_snapshots(list(plan), min(plan.values()), as_of))
    if feature_set.has("btc"):
        reference = read(_candles_from({REFERENCE: min(plan.values())}, lookback, end))
    return science.compute(candles, sentiment, feature_set, plan, snapshots=snapshots, reference=reference)


def _snapshots(symbols: Sequence[str], first: datetime, as_of: datetime) -> Select[Any]:
    c = market_data.c
    return select(c.symbol, c.timestamp, c.known_at, c.total_volume, c.market_cap).where(
        c.symbol.in_(symbols), c.timestamp >= first - SNAPSHOT_STALE, c.known_at <= as_of
    )


def _candles_from(plan: Mapping[str, datetime], lookback: timedelta, end: datetime) -> Select[Any]:
    by_start: dict[datetime, list[str]] = {}
    for symbol, emit_from in plan.items():
        by_start.setdefault(emit_from - lookback, []).append(symbol)
    wanted = or_(
        *(and_(ohlcv_data.c.symbol.in_(names), ohlcv_data.c.timestamp >= start) for start, names in by_start.items())
    )
    return (
        select(*(ohlcv_data.c[name] for name in _CANDLES))
        .where(wanted, ohlcv_data.c.timestamp < end)
        .order_by(ohlcv_data.c.symbol, ohlcv_data.c.timestamp)
    )
