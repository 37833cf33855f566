"""Raw data in: candles, market snapshots and sentiment, each row known to be closed, sound and attributed."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import Connection, func, select

from crypto_platform.core.bars import CANDLE_COLUMNS
from crypto_platform.core.hours import HOUR, SETTLE, closed_until
from crypto_platform.core.provenance import source_label
from crypto_platform.core.quarantine import rejection_id
from crypto_platform.errors import ConfigurationError, PlatformError, SourceError
from crypto_platform.operations import provenance, watermarks
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.operations.watermarks import Mark
from crypto_platform.sources.base import CandleSource, Fetched, SentimentSource, SnapshotSource
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import ALL, Symbol
from crypto_platform.tables import market_data, ohlcv_data, ohlcv_revisions, quarantine, sentiment_data

FEATURES_MARK: Final = "features:"  # begins the watermark names of feature sets, which new candles take back
OVERLAP: Final = 3 * HOUR  # read again each time: a restated candle is seen, at no cost in requests
SEEN_LIVE: Final = timedelta(minutes=30)  # a row read this soon after it could exist was seen, not loaded afterwards
SENTIMENT_LAG: Final = HOUR  # publication lag assumed for days loaded afterwards
FIRST_SENTIMENT_DAYS: Final = 30  # before the first candle: features look back a week and tolerate holes
THREADS: Final = 8

_VALUES = [name for name in CANDLE_COLUMNS if name != "timestamp"]


def collect_candles(
    store: Warehouse,
    sources: Sequence[CandleSource],
    symbols: Sequence[Symbol],
    *,
    as_of: datetime,
    history: timedelta,
    settle: timedelta = SETTLE,
) -> Report:
    """Bring each symbol's candles up to the newest closed hour.

    Parameters
    ----------
    store : Warehouse
    sources : sequence of CandleSource
        In order of preference. A symbol stays with the source of its first candle.
    symbols : sequence of Symbol
    as_of : datetime
        The moment of the collection; candles closed by then are stored, no later ones.
    history : timedelta
        How far before `as_of` a symbol without candles begins.
    settle : timedelta
        Wait after an hour's end before its candle counts as closed.

    Returns
    -------
    Report
        One symbol's failure is that symbol's error; the others are stored.

    Raises
    ------
    ConfigurationError
        No source is usable.
    ProvenanceError
        The data is of another provenance than the store's.
    """
    if not sources:
        raise ConfigurationError("no candle source is usable: list a keyless one in CRYPTO_PLATFORM_OHLCV_SOURCES")
    end = closed_until(as_of, settle)
    marks = watermarks.read_marks(store, ohlcv_data.name, [s.name for s in symbols])
    by_name = {source.name: source for source in sources}

    def fetch(symbol: Symbol) -> tuple[Fetched, datetime]:
        mark = marks.get(symbol.name)
        start = mark.watermark - OVERLAP if mark else closed_until(as_of - history)
        if mark is None or mark.source is None:
            return sources[0].fetch_candles(symbol, start, end), start
        if mark.source not in by_name:
            raise ConfigurationError(
                f"{symbol.name} is pinned to source {mark.source!r}, which is not usable now: give its key or list it "
                "in CRYPTO_PLATFORM_OHLCV_SOURCES"
            )
        return by_name[mark.source].fetch_candles(symbol, start, end), start

    results: dict[str, SymbolResult] = {}
    for symbol, outcome in _fetch_all(fetch, symbols):
        if isinstance(outcome, PlatformError):
            results[symbol.name] = SymbolResult(symbol.name, error=str(outcome))
            continue
        fetched, start = outcome
        with store.begin() as connection:
            results[symbol.name] = _store_candles(connection, symbol.name, fetched, start, as_of, settle)
    return Report(ohlcv_data.name, tuple(results[s.name] for s in symbols))


def _fetch_all(
    fetch: Callable[[Symbol], tuple[Fetched, datetime]], symbols: Sequence[Symbol]
) -> Iterator[tuple[Symbol, tuple[Fetched, datetime] | PlatformError]]:
    """Answers as they arrive, `THREADS` requests at a time; a refusal is an answer."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="fetch") as pool:
        asked = {pool.submit(fetch, symbol): symbol for symbol in symbols}
        for future in as_completed(asked):
            try:
                yield asked[future], future.result()
            except (SourceError, ConfigurationError) as error:
                yield asked[future], error


def _store_candles(
    connection: Connection, symbol: str, fetched: Fetched, start: datetime, as_of: datetime, settle: timedelta
) -> SymbolResult:
    provenance.require_same(connection, fetched)
    _quarantine(connection, fetched, as_of)
    label = source_label(fetched.vendor, fetched.provenance)
    details: dict[str, Any] = {"source": label, "quarantined": len(fetched.rejected)}
    rows = fetched.rows
    if rows.empty:
        return SymbolResult(symbol, details=details)

    held = warehouse.read(
        connection,
        select(ohlcv_data).where(
            ohlcv_data.c.symbol == symbol,
            ohlcv_data.c.timestamp >= start,
            ohlcv_data.c.timestamp <= rows["timestamp"].iloc[-1].to_pydatetime(),
        ),
    )
    merged = rows.merge(held[[*CANDLE_COLUMNS, "source"]], on="timestamp", how="left", suffixes=("", "_held"))
    is_new = merged["source"].isna().to_numpy()
    new, old = merged[_VALUES].to_numpy(float), merged[[f"{name}_held" for name in _VALUES]].to_numpy(float)
    differs = ((new != old) & ~(np.isnan(new) & np.isnan(old))).any(axis=1)
    restated = merged[~is_new & differs]
    if len(restated):
        warehouse.insert_missing(connection, ohlcv_revisions, _revision_rows(symbol, restated, as_of, label))

    changed = rows[is_new | differs].assign(symbol=symbol, source=label)
    closed_at = changed["timestamp"] + HOUR
    seen = (pd.Timestamp(as_of) - closed_at) <= SEEN_LIVE
    changed = changed.assign(known_at=(closed_at + settle).where(~seen, pd.Timestamp(as_of)), known_at_estimated=~seen)
    written = warehouse.upsert(connection, ohlcv_data, changed)
    last = rows["timestamp"].iloc[-1].to_pydatetime()
    watermarks.write_mark(connection, ohlcv_data.name, symbol, Mark(last + HOUR, fetched.vendor))
    if len(changed):
        watermarks.lower_marks(connection, FEATURES_MARK, symbol, changed["timestamp"].iloc[0].to_pydatetime())
    return SymbolResult(symbol, written, last=last, details={**details, "restated": len(restated)})


def _revision_rows(symbol: str, restated: pd.DataFrame, seen_at: datetime, source: str) -> pd.DataFrame:
    values = {f"new_{name}": restated[name] for name in _VALUES} | {
        f"old_{name}": restated[f"{name}_held"] for name in _VALUES
    }
    return pd.DataFrame(
        {"timestamp": restated["timestamp"], **values, "symbol": symbol, "seen_at": seen_at, "source": source}
    )


def collect_market_data(
    store: Warehouse, source: SnapshotSource, symbols: Sequence[Symbol], *, as_of: datetime, settle: timedelta = SETTLE
) -> Report:
    """Store the vendor's newest snapshot of each symbol.

    The 24 h extremes come from our own closed candles, NULL while there are none: no vendor's number stands in.
    A symbol the vendor did not answer for is that symbol's error.

    Raises
    ------
    SourceError
        The vendor could not be asked at all.
    """
    fetched = source.fetch_snapshots(symbols)
    end = closed_until(as_of, settle)
    extremes = store.read(
        select(
            ohlcv_data.c.symbol,
            func.max(ohlcv_data.c.high).label("high_24h"),
            func.min(ohlcv_data.c.low).label("low_24h"),
        )
        .where(
            ohlcv_data.c.symbol.in_([s.name for s in symbols]),
            ohlcv_data.c.timestamp >= end - 24 * HOUR,
            ohlcv_data.c.timestamp < end,
        )
        .group_by(ohlcv_data.c.symbol)
    )
    label = source_label(fetched.vendor, fetched.provenance)
    rows = fetched.rows.merge(extremes, on="symbol", how="left").assign(known_at=as_of, source=label)
    by_symbol = dict(iter(rows.groupby("symbol")))
    results = []
    for symbol in symbols:
        part = by_symbol.get(symbol.name)
        with store.begin() as connection:
            provenance.require_same(connection, fetched)
            # A snapshot is identified by the vendor's own time: the first reading of it stays.
            written = 0 if part is None else warehouse.insert_missing(connection, market_data, part)
        if part is None:
            reason = next((r.reason for r in fetched.rejected if r.symbol == symbol.name), "not in its answer")
            results.append(SymbolResult(symbol.name, error=f"{fetched.vendor} gave no snapshot: {reason}"))
        else:
            at = part["timestamp"].iloc[0].to_pydatetime()
            details = {"source": label, "price_usd": _plain(part["price_usd"].iloc[0])}
            results.append(SymbolResult(symbol.name, written, last=at, details=details))
    with store.begin() as connection:
        _quarantine(connection, fetched, as_of)
    return Report(market_data.name, tuple(results))


def collect_sentiment(store: Warehouse, source: SentimentSource, *, as_of: datetime, history: timedelta) -> Report:
    """Bring the fear and greed index up to today.

    Raises
    ------
    SourceError
        The vendor could not be asked.
    """
    mark = watermarks.read_marks(store, sentiment_data.name, [ALL]).get(ALL)
    start = mark.watermark - timedelta(days=2) if mark else as_of - history - timedelta(days=FIRST_SENTIMENT_DAYS)
    fetched = source.fetch_sentiment(start, as_of)
    label = source_label(fetched.vendor, fetched.provenance)
    rows = fetched.rows
    with store.begin() as connection:
        provenance.require_same(connection, fetched)
        _quarantine(connection, fetched, as_of)
        if rows.empty:
            return Report(sentiment_data.name, (SymbolResult(ALL, details={"source": label}),))
        published = rows["timestamp"] + SENTIMENT_LAG
        # Only a deployment that was there when a day came out can say when it did.
        seen = (published > (pd.Timestamp(mark.watermark) if mark else pd.Timestamp(as_of))) & (
            pd.Timestamp(as_of) - published <= SEEN_LIVE
        )
        rows = rows.assign(known_at=published.where(~seen, pd.Timestamp(as_of)), known_at_estimated=~seen, source=label)
        written = warehouse.insert_missing(connection, sentiment_data, rows)
        last = rows["timestamp"].iloc[-1].to_pydatetime()
        watermarks.write_mark(connection, sentiment_data.name, ALL, Mark(last, fetched.vendor))
    details = {"source": label, "fear_greed_value": int(rows["fear_greed_value"].iloc[-1])}
    return Report(sentiment_data.name, (SymbolResult(ALL, written, last=last, details=details),))


def _quarantine(connection: Connection, fetched: Fetched, seen_at: datetime) -> None:
    if not fetched.rejected:
        return
    rows = [
        {
            "id": rejection_id(r.source, r.dataset, r.symbol, r.reason, r.payload),
            "source": r.source,
            "dataset": r.dataset,
            "symbol": r.symbol,
            "reason": r.reason,
            "payload": r.payload,
            "seen_at": seen_at,
        }
        for r in fetched.rejected
    ]
    warehouse.insert_missing(connection, quarantine, warehouse.records(rows).drop_duplicates("id"))


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
