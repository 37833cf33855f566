"""Candles into a symbol's series, in one transaction: merged, attributed, revisions and gaps written down."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from crypto_platform.core.bars import CANDLE_COLUMNS, carried, frozen
from crypto_platform.core.coverage import Interval
from crypto_platform.core.hours import HOUR
from crypto_platform.core.provenance import source_label, vendor_of
from crypto_platform.operations import gaps, provenance, quarantine, watermarks
from crypto_platform.sources.base import Fetched, Rejected
from crypto_platform.sources.rows import payload_text
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import ohlcv_data, ohlcv_revisions

FEATURES_MARK: Final = "features:"  # begins the watermark names of feature sets, which new candles take back
SEEN_LIVE: Final = timedelta(minutes=30)  # a row read this soon after it could exist was seen, not loaded afterwards

_VALUES: Final = [name for name in CANDLE_COLUMNS if name != "timestamp"]


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of fetched candles.

    Parameters
    ----------
    written, restated, rejected : int
        Rows inserted or changed; closed candles whose values changed; rows refused.
    lacks : bool
        Whether the primary lacks hours in or around the interval, as far as these candles could change that.
    first, last : datetime or None
        Open times of the oldest and the newest of the fetched candles that are in the series.
    """

    written: int = 0
    restated: int = 0
    rejected: int = 0
    lacks: bool = False
    first: datetime | None = None
    last: datetime | None = None


def store_candles(
    connection: Connection,
    symbol: str,
    fetched: Fetched,
    interval: Interval,
    *,
    primary: str | None,
    as_of: datetime,
    settle: timedelta,
) -> Stored:
    """Merge a vendor's candles of an interval into a series.

    The primary vendor's candles are the series: a new one is inserted, one that differs restates what is there, with
    both values kept. Any other vendor's candle only fills an hour that has none, and only if something was traded in
    it: an index carries its price through an outage, which says nothing. What a source does not give (quote volume,
    trades) never erases what is known.

    Parameters
    ----------
    connection : Connection
        In a transaction of the caller's.
    symbol : str
    fetched : Fetched
        Candles of `interval`, and of the `FROZEN_HOURS` before it where the vendor has them.
    interval : Interval
        Hours to store.
    primary : str or None
        Vendor the series is pinned to; None takes `fetched` for it.
    as_of : datetime
    settle : timedelta
        Wait after an hour's end before its candle counts as closed.

    Raises
    ------
    ProvenanceError
        The data is of another provenance than the store's.
    """
    provenance.require_same(connection, fetched)
    label = source_label(fetched.vendor, fetched.provenance)
    fetched = _without_frozen(symbol, fetched, interval, label)
    quarantine.keep(connection, fetched, as_of)
    rejected = len(fetched.rejected)
    rows = fetched.rows
    is_fallback = primary is not None and fetched.vendor != primary
    if is_fallback:
        rows = rows[~carried(rows)].reset_index(drop=True)
    if rows.empty:
        return Stored(rejected=rejected)

    held = warehouse.read(
        connection,
        select(*(ohlcv_data.c[name] for name in CANDLE_COLUMNS), ohlcv_data.c.source)
        .where(
            ohlcv_data.c.symbol == symbol,
            ohlcv_data.c.timestamp >= interval.start,
            ohlcv_data.c.timestamp < interval.end,
        )
        .order_by(ohlcv_data.c.timestamp),
    )
    change = _compare(rows, held, label, is_fallback=is_fallback)
    if change.restated.any():
        revisions = _revisions(symbol, change, held, as_of, label)
        warehouse.insert_missing(connection, ohlcv_revisions, _after_those_held(connection, symbol, revisions))
    which = change.is_new | change.differs
    changed = change.rows[which]
    known = _known(changed, change.restated[which], as_of, settle).assign(symbol=symbol, source=label)
    written = warehouse.upsert(connection, ohlcv_data, known)
    lacks = False
    if len(changed):
        watermarks.lower_marks(connection, FEATURES_MARK, symbol, changed["timestamp"].iloc[0].to_pydatetime())
        if is_fallback or not _continues(held, change, label):
            own = source_label(primary or fetched.vendor, fetched.provenance)
            lacks = gaps.record(connection, symbol, interval, own, as_of)
    first, last = (rows["timestamp"].iloc[i].to_pydatetime() for i in (0, -1))
    return Stored(written, int(change.restated.sum()), rejected, lacks, first, last)


@dataclass(frozen=True, slots=True)
class _Change:
    """Fetched candles beside the stored ones; all arrays of shape (n_rows,).

    `beside` is where in the stored candles each row's hour is; anywhere for one that `is_new`.
    """

    rows: pd.DataFrame
    beside: NDArray[np.intp]
    is_new: NDArray[np.bool_]
    differs: NDArray[np.bool_]
    restated: NDArray[np.bool_]


def _compare(rows: pd.DataFrame, held: pd.DataFrame, source: str, *, is_fallback: bool) -> _Change:
    stamps, stored = (side["timestamp"].to_numpy("datetime64[us]") for side in (rows, held))
    beside = np.minimum(np.searchsorted(stored, stamps), max(len(stored) - 1, 0))
    is_new = stored[beside] != stamps if len(stored) else np.ones(len(stamps), dtype=bool)
    none = np.zeros(len(rows), dtype=bool)
    if is_fallback or is_new.all():
        return _Change(rows, beside, is_new, none, none)
    is_own = (held["source"].to_numpy() == source)[beside] & ~is_new
    new, old = rows[_VALUES].to_numpy(float), held[_VALUES].to_numpy(float)[beside]
    untold = np.isnan(new) & is_own[:, None]
    if untold.any():
        new = np.where(untold, old, new)
        rows = rows.assign(**dict(zip(_VALUES, new.T, strict=True)))
    restated = ~is_new & ((new != old) & ~(np.isnan(new) & np.isnan(old))).any(axis=1)
    return _Change(rows, beside, is_new, restated | ~(is_new | is_own), restated)


def _continues(held: pd.DataFrame, change: _Change, own: str) -> bool:
    """Whether own candles follow own ones hour by hour, and none took another's place: then no gap came or went."""
    if (change.differs & ~change.restated).any() or (held["source"].iloc[change.beside[change.restated]] != own).any():
        return False
    new = change.rows["timestamp"][change.is_new]
    if held.empty or new.empty:
        return bool(new.empty)
    follows = held["source"].iloc[-1] == own and new.iloc[0] == held["timestamp"].iloc[-1] + HOUR
    return bool(follows and new.iloc[-1] - new.iloc[0] == (len(new) - 1) * HOUR)


def _known(candles: pd.DataFrame, restated: NDArray[np.bool_], as_of: datetime, settle: timedelta) -> pd.DataFrame:
    """Candles with the moment they could first be read: now, for values that another word stood for until now."""
    closed_at = candles["timestamp"] + HOUR
    seen = ((pd.Timestamp(as_of) - closed_at) <= SEEN_LIVE) | restated
    known_at = (closed_at + settle).where(~seen, pd.Timestamp(as_of))
    return candles.assign(known_at=known_at, known_at_estimated=~seen)


def _revisions(symbol: str, change: _Change, held: pd.DataFrame, seen_at: datetime, source: str) -> pd.DataFrame:
    which = change.restated
    new, old = change.rows[which].reset_index(drop=True), held.iloc[change.beside[which]].reset_index(drop=True)
    values = {f"new_{name}": new[name] for name in _VALUES} | {f"old_{name}": old[name] for name in _VALUES}
    before = old["source"].where(old["source"] != source, None)
    return pd.DataFrame(
        {
            "timestamp": new["timestamp"],
            **values,
            "symbol": symbol,
            "seen_at": seen_at,
            "source": source,
            "old_source": before,
        }
    )


def _after_those_held(connection: Connection, symbol: str, revisions: pd.DataFrame) -> pd.DataFrame:
    """Revisions with moments after those kept of their hours: a run may be done again, and a clock set back."""
    c, stamps = ohlcv_revisions.c, revisions["timestamp"]
    held = warehouse.read(
        connection,
        select(c.timestamp, func.max(c.seen_at).label("newest"))
        .where(
            c.symbol == symbol,
            c.timestamp >= stamps.iloc[0].to_pydatetime(),
            c.timestamp <= stamps.iloc[-1].to_pydatetime(),
        )
        .group_by(c.timestamp),
    )
    if held.empty:
        return revisions
    newest = stamps.map(held.set_index("timestamp")["newest"])
    seen_at = revisions["seen_at"].where(~(newest >= revisions["seen_at"]), newest + pd.Timedelta(microseconds=1))
    return revisions.assign(seen_at=seen_at)


def restated_since(
    store: Warehouse, symbols: Sequence[str], *, oldest: datetime, seen_after: datetime
) -> dict[str, datetime]:
    """First hour from `oldest` on of each symbol that its source restated after a moment.

    A source that changes its word may change it back, which must not escape because the hour left the overlap.
    """
    c = ohlcv_revisions.c
    rows = store.read(
        select(c.symbol, func.min(c.timestamp).label("first"))
        .where(c.symbol.in_(symbols), c.timestamp >= oldest, c.seen_at > seen_after)
        .group_by(c.symbol)
    )
    return {row.symbol: row.first.to_pydatetime() for row in rows.itertuples()}


def _without_frozen(symbol: str, fetched: Fetched, interval: Interval, label: str) -> Fetched:
    """Candles of the interval, the frozen ones among the rejected; those before it only tell where a run began."""
    rows = fetched.rows
    still = frozen(rows) if carried(rows).any() else np.zeros(len(rows), dtype=bool)
    inside = (rows["timestamp"] >= interval.start).to_numpy()
    if inside.all() and not still.any():
        return fetched
    refused = tuple(
        Rejected(label, ohlcv_data.name, symbol, "frozen_price", payload_text(row))
        for row in rows[still & inside].to_dict("records")
    )
    kept = rows[inside & ~still].reset_index(drop=True)
    return replace(fetched, rows=kept, rejected=(*fetched.rejected, *refused))


def is_fallback(sources: pd.Series, pins: pd.Series) -> NDArray[np.bool_]:
    """Whether each candle's source is another vendor than the one its series is pinned to, where it is to one."""
    vendors = sources.map({source: vendor_of(source) for source in sources.unique()})
    return np.asarray((vendors != pins) & pins.notna(), dtype=bool)
