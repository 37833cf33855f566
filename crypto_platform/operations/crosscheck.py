"""Second opinions: each symbol's candles beside another source's, once a day, a few symbols a tick."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import pandas as pd
from sqlalchemy import select

from crypto_platform.core.agreement import agreement, share_of_slot
from crypto_platform.core.hours import SETTLE, closed_until
from crypto_platform.core.provenance import source_label
from crypto_platform.errors import PlatformError, SourceRefusedError
from crypto_platform.operations import provenance, watermarks
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.sources.base import CandleSource, Fetched
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import Symbol, ended
from crypto_platform.tables import ohlcv_crosschecks, ohlcv_data

COMPARED: Final = timedelta(days=1)  # closed hours that are asked of the other source


def crosscheck(
    store: Warehouse,
    sources: Sequence[CandleSource],
    symbols: Sequence[Symbol],
    *,
    as_of: datetime,
    settle: timedelta = SETTLE,
) -> Report:
    """Write down what another source says of the last day of the symbols whose turn it is.

    Parameters
    ----------
    store : Warehouse
    sources : sequence of CandleSource
        In order of preference. The first that is not a symbol's primary source is asked, one call a symbol; the next
        one only where that does not know the symbol, or has none of its hours.
    symbols : sequence of Symbol
        All of the run; those that are no longer quoted are left out. Those of the quarter of an hour that holds
        `as_of` are compared (`core.agreement`): each once a day, at most ⌈n / 96⌉ a tick.
    as_of : datetime
    settle : timedelta
        As for the candles themselves.

    Returns
    -------
    Report
        Of the symbols compared. What the other source could not give is a detail, never an error: the stored
        candles are none the worse for it.
    """
    listed = [symbol for symbol in symbols if not ended(symbol, as_of)]
    due = [listed[i] for i in share_of_slot(len(listed), as_of)]
    marks = watermarks.read_marks(store, ohlcv_data.name, [symbol.name for symbol in due])
    end = closed_until(as_of, settle)
    results = []
    for symbol in due:
        mark = marks.get(symbol.name)
        others = [source for source in sources if mark and source.name != mark.source]
        results.append(_ask(store, others, symbol, end, as_of))
    return Report(ohlcv_crosschecks.name, tuple(results))


def _ask(
    store: Warehouse, others: Sequence[CandleSource], symbol: Symbol, end: datetime, as_of: datetime
) -> SymbolResult:
    """Compare with the first of the other sources that knows a symbol's hours."""
    reasons = [] if others else ["there is no second source, or no candle"]
    for other in others:
        try:
            fetched = other.fetch_candles(symbol, end - COMPARED, end)
            result = _compare(store, symbol.name, fetched, end, as_of)
        except SourceRefusedError as error:
            reasons.append(str(error))
            continue
        except PlatformError as error:
            reasons.append(str(error))
            break
        if "not_compared" not in result.details:
            return result
        reasons.append(str(result.details["not_compared"]))
    return SymbolResult(symbol.name, details={"not_compared": "; ".join(reasons)})


def _compare(store: Warehouse, symbol: str, fetched: Fetched, end: datetime, as_of: datetime) -> SymbolResult:
    label = source_label(fetched.vendor, fetched.provenance)
    with store.begin() as connection:
        provenance.require_same(connection, fetched)
        own = warehouse.read(
            connection,
            select(ohlcv_data.c.timestamp, ohlcv_data.c.close.label("own_close")).where(
                ohlcv_data.c.symbol == symbol,
                ohlcv_data.c.timestamp >= end - COMPARED,
                ohlcv_data.c.timestamp < end,
                ohlcv_data.c.source != label,  # hours that this very source filled
            ),
        )
        pairs = fetched.rows[["timestamp", "close"]].merge(own, on="timestamp")
        rows = pairs.assign(symbol=symbol, source=label, checked_at=pd.Timestamp(as_of))
        written = warehouse.upsert(connection, ohlcv_crosschecks, rows)
    found = agreement(pairs["own_close"], pairs["close"])
    details: dict[str, Any] = {"other_source": label, "hours_compared": found.hours}
    if not found.hours:
        return SymbolResult(symbol, details={**details, "not_compared": f"{label} has none of the stored hours"})
    details |= {"median_apart": found.median, "share_far_apart": found.far}
    first, last = (pairs["timestamp"].iloc[i].to_pydatetime() for i in (0, -1))
    return SymbolResult(symbol, written, first=first, last=last, details=details)
