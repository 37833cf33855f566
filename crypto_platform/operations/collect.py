"""Market snapshots and sentiment, each row attributed and stored once; candles are `operations.candles`'."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd
from sqlalchemy import Connection, func, select

from crypto_platform.core.hours import HOUR, SETTLE, closed_until, floor_hour
from crypto_platform.core.provenance import source_label
from crypto_platform.operations import provenance, quarantine, watermarks
from crypto_platform.operations.results import Report, SymbolResult, attempted
from crypto_platform.operations.series import FEATURES_MARK, SEEN_LIVE
from crypto_platform.operations.watermarks import Mark
from crypto_platform.sources.base import Fetched, Rejected, SentimentSource, SnapshotSource
from crypto_platform.sources.rows import UNKNOWN_COIN, payload_text
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import ALL, Symbol
from crypto_platform.tables import market_data, ohlcv_data, sentiment_data

SENTIMENT_LAG: Final = HOUR  # publication lag assumed for days loaded afterwards
FIRST_SENTIMENT_DAYS: Final = 30  # before the first candle: features look back a week and tolerate holes
HOLE_DAYS: Final = 30  # a day that the vendor left out is asked for again so long


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
    known = [symbol for symbol in symbols if symbol.coinpaprika]
    fetched = source.fetch_snapshots(known)
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
    with store.begin() as connection:
        provenance.require_same(connection, fetched)
    results = []
    for symbol in symbols:
        part = by_symbol.get(symbol.name)
        if symbol not in known:
            results.append(SymbolResult(symbol.name, details={"status": "it has no CoinPaprika id"}))
        elif part is None:
            results.append(SymbolResult(symbol.name, error=_why_none(fetched, symbol)))
        else:
            results.append(attempted(symbol.name, _store_snapshot, store, symbol.name, part, as_of))
    with store.begin() as connection:
        quarantine.keep(connection, fetched, as_of)
    return Report(market_data.name, tuple(results))


def _store_snapshot(store: Warehouse, symbol: str, part: pd.DataFrame, as_of: datetime) -> SymbolResult:
    """A snapshot is identified by the vendor's own time: the first reading of it stays."""
    with store.begin() as connection:
        written = warehouse.insert_missing(connection, market_data, part)
        if written:
            watermarks.lower_marks(connection, FEATURES_MARK, symbol, _first_hour_to_know(as_of))
    at = part["timestamp"].iloc[0].to_pydatetime()
    details = {"source": part["source"].iloc[0], "price_usd": _plain(part["price_usd"].iloc[0])}
    return SymbolResult(symbol, written, last=at, details=details)


def _why_none(fetched: Fetched, symbol: Symbol) -> str:
    reason = next((r.reason for r in fetched.rejected if r.symbol == symbol.name), None)
    if reason in {None, UNKNOWN_COIN}:
        return f"{fetched.vendor} has no {symbol.coinpaprika}; check `coinpaprika` of {symbol.name} in the symbols file"
    return f"{fetched.vendor} gave no snapshot that can be used ({reason}); see the table quarantine, or try later"


def collect_sentiment(
    store: Warehouse, source: SentimentSource, *, as_of: datetime, history: timedelta, whole: bool = False
) -> Report:
    """Bring the fear and greed index up to today, and back to the beginning of the wanted history.

    A day is never published twice with two values: where it is, the first stays and the other is refused. Days that
    are missing among the last `HOLE_DAYS` are asked for each time; older ones where the `whole` history is, which is
    one call of the vendor, too.

    Raises
    ------
    SourceError
        The vendor could not be asked.
    """
    mark = watermarks.read_marks(store, sentiment_data.name, [ALL]).get(ALL)
    wanted = as_of - history - timedelta(days=FIRST_SENTIMENT_DAYS)
    is_held = mark is not None and mark.since is not None and mark.since <= wanted
    start = _first_wanted(store, mark, as_of) if mark and is_held and not whole else wanted
    fetched = source.fetch_sentiment(start, as_of)
    label = source_label(fetched.vendor, fetched.provenance)
    with store.begin() as connection:
        provenance.require_same(connection, fetched)
        rows, restated = _split_restated(connection, fetched, label)
        quarantine.keep(connection, replace(fetched, rejected=(*fetched.rejected, *restated)), as_of)
        if fetched.rows.empty:
            return Report(sentiment_data.name, (SymbolResult(ALL, details={"source": label}),))
        published = rows["timestamp"] + SENTIMENT_LAG
        # Only a deployment that was there when a day came out can say when it did.
        seen = (published > (pd.Timestamp(mark.watermark) if mark else pd.Timestamp(as_of))) & (
            pd.Timestamp(as_of) - published <= SEEN_LIVE
        )
        known_at = published.where(~seen, pd.Timestamp(as_of))
        rows = rows.assign(known_at=known_at, known_at_estimated=~seen, source=label)
        written = warehouse.insert_missing(connection, sentiment_data, rows)
        if written:
            first = rows["known_at"].min().to_pydatetime()
            watermarks.lower_marks(connection, FEATURES_MARK, ALL, _first_hour_to_know(first))
        last = fetched.rows["timestamp"].iloc[-1].to_pydatetime()
        since = min(start, mark.since or start) if mark else start
        watermarks.write_mark(connection, sentiment_data.name, ALL, Mark(last, fetched.vendor, since))
    details = {
        "source": label,
        "fear_greed_value": int(fetched.rows["fear_greed_value"].iloc[-1]),
        "quarantined": len(fetched.rejected) + len(restated),
    }
    return Report(sentiment_data.name, (SymbolResult(ALL, written, last=last, details=details),))


def _first_wanted(store: Warehouse, mark: Mark, as_of: datetime) -> datetime:
    """The oldest missing day of the last `HOLE_DAYS`, or the day before the newest one."""
    oldest = max(as_of - timedelta(days=HOLE_DAYS), mark.since or mark.watermark)
    held = store.read(select(sentiment_data.c.timestamp).where(sentiment_data.c.timestamp >= oldest))["timestamp"]
    days = pd.date_range(pd.Timestamp(oldest).ceil("D"), mark.watermark, freq="D")
    missing = days.difference(pd.DatetimeIndex(held))
    overlap = mark.watermark - timedelta(days=2)
    return overlap if missing.empty else min(overlap, missing[0].to_pydatetime())


def _split_restated(connection: Connection, fetched: Fetched, label: str) -> tuple[pd.DataFrame, tuple[Rejected, ...]]:
    """Days to store, and those that are there with another value."""
    rows = fetched.rows
    if rows.empty:
        return rows, ()
    held = warehouse.read(
        connection,
        select(sentiment_data.c.timestamp, sentiment_data.c.fear_greed_value).where(
            sentiment_data.c.timestamp >= rows["timestamp"].iloc[0].to_pydatetime()
        ),
    )
    values = rows["timestamp"].map(held.set_index("timestamp")["fear_greed_value"])
    differs = values.notna() & (values != rows["fear_greed_value"])
    refused = tuple(
        Rejected(label, sentiment_data.name, None, "restated", payload_text(row))
        for row in rows[differs].to_dict("records")
    )
    return rows[~differs], refused


def _first_hour_to_know(known_at: datetime) -> datetime:
    """First candle t whose as_of(t) is not before `known_at`: features from there on may see it."""
    return floor_hour(known_at - timedelta(microseconds=1))


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
