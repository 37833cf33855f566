"""Features and labels, kept up with the candles."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pandas as pd
from sqlalchemy import Select, and_, func, or_, select

from crypto_platform.core import features as science
from crypto_platform.core.hours import HOUR, SETTLE, closed_until
from crypto_platform.operations import watermarks
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.operations.series import FEATURES_MARK, is_fallback
from crypto_platform.operations.watermarks import Mark
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import features, ohlcv_data, sentiment_data
from crypto_platform.tables.features import HORIZONS

CHUNK_ROWS: Final = 400_000  # candles in memory at a time, about 0.5 GB with their features
ATTEMPTS: Final = 3  # for a symbol whose candles change while its features are computed
SENTIMENT_LOOKBACK: Final = timedelta(days=12)  # a week of change, staleness and a hole

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
        marks = _marks(store, dataset, waiting)
        plan = {symbol: marks[symbol].watermark - max(HORIZONS) * HOUR for symbol in waiting if symbol in marks}
        waiting = []
        for chunk in chunks(plan, end):
            computed = compute_rows(store.read, chunk, end, as_of, feature_set)
            for symbol, rows in computed.groupby("symbol", sort=False) if len(computed) else ():
                if result := _write(store, dataset, symbol, rows, marks[symbol]):
                    results[symbol] = result
                else:
                    waiting.append(symbol)
    why = dict.fromkeys(waiting, f"what they are made of changed {ATTEMPTS} times meanwhile: the next run builds them")
    return Report(
        features.name,
        tuple(results.get(s) or SymbolResult(s, error=why.get(s, "no candles yet: collect first")) for s in symbols),
    )


def _marks(store: Warehouse, dataset: str, symbols: Sequence[str]) -> dict[str, Mark]:
    """Mark of each symbol that has candles; without one yet, it gets one at its first candle.

    So there is a mark before the candles are read: what changes from then on changes it.
    """
    marks = watermarks.read_marks(store, dataset, symbols)
    first = _first_candles(store, [symbol for symbol in symbols if symbol not in marks])
    if not first:
        return marks
    with store.begin() as connection:
        watermarks.begin_marks(connection, dataset, first)
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
    chunk: dict[str, datetime] = {}
    rows = 0
    for symbol, emit_from in plan.items():
        needed = (end - emit_from) // HOUR + science.LOOKBACK_ROWS
        if chunk and rows + needed > CHUNK_ROWS:
            yield chunk
            chunk, rows = {}, 0
        chunk[symbol] = emit_from
        rows += needed
    if chunk:
        yield chunk


def _write(store: Warehouse, dataset: str, symbol: str, rows: pd.DataFrame, mark: Mark) -> SymbolResult | None:
    """Store rows and move the mark they were computed from; None where that has changed, by whomever."""
    first, last = (moment.to_pydatetime() for moment in rows["timestamp"].iloc[[0, -1]])
    with store.begin() as connection:
        if watermarks.read_mark(connection, dataset, symbol) != mark:
            return None
        written = warehouse.upsert(connection, features, rows)
        watermarks.write_mark(connection, dataset, symbol, replace(mark, watermark=last + HOUR))
    details = {"valid": int(rows["is_valid"].sum()), "filled": int(rows["is_filled"].sum())}
    return SymbolResult(symbol, written, first, last, details)


def compute_rows(
    read: Read, plan: Mapping[str, datetime], end: datetime, as_of: datetime, feature_set: science.FeatureSet
) -> pd.DataFrame:
    """Feature rows of each symbol from its hour of the plan up to `end`, from what the store holds.

    Returns
    -------
    DataFrame
        As `core.features.compute` gives it, with `feature_set_hash`; empty where there is no candle.

    Raises
    ------
    InvalidBarsError
        A stored candle is not sound.
    """
    candles = read(_candles_from(plan, science.LOOKBACK_ROWS * HOUR, end))
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
    return science.compute(candles, sentiment, feature_set, plan).assign(feature_set_hash=feature_set.hash)


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
