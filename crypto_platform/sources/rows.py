"""From parsed vendor rows to sound candles and rejected ones."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from crypto_platform.core.bars import CANDLE_COLUMNS, TIMESTAMP_DTYPE, empty_candles, rejection_reasons
from crypto_platform.core.provenance import Provenance, source_label
from crypto_platform.sources.base import PAYLOAD_LIMIT, Fetched, Rejected
from crypto_platform.tables import ohlcv_data

MALFORMED = "malformed"


def number(value: Any) -> float:
    """A number that may come as a number, a numeric text, null or an empty text (both NaN).

    Raises
    ------
    ValueError, TypeError
        Anything else.
    """
    if value is None or value == "":
        return float("nan")
    if isinstance(value, bool):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def payload_text(row: Any) -> str:
    """A row as it is kept in quarantine."""
    return json.dumps(row, default=str)[:PAYLOAD_LIMIT]


def candles_from(
    parsed: Sequence[tuple[float, ...]],
    raw: Sequence[Any],
    malformed: Sequence[Any],
    *,
    symbol: str,
    vendor: str,
    provenance: Provenance,
    start: datetime,
    end: datetime,
) -> Fetched:
    """Sort, bound, de-duplicate and validate the rows of all pages.

    Parameters
    ----------
    parsed : sequence of tuple
        (epoch seconds, open, high, low, close, volume_base, volume, trades) of each row that could be read.
    raw : sequence
        The same rows as they came.
    malformed : sequence
        Rows that could not be read at all.
    symbol, vendor, provenance
        For the attribution of rejected rows.
    start, end : datetime
        Rows outside [start, end) are left out silently: pages overlap the interval by contract.
    """
    label = source_label(vendor, provenance)

    def reject(reason: str, row: Any) -> Rejected:
        return Rejected(label, ohlcv_data.name, symbol, reason, payload_text(row))

    rejected = [reject(MALFORMED, row) for row in malformed]
    if not parsed:
        return Fetched(empty_candles(), vendor, provenance, tuple(rejected))
    frame = pd.DataFrame(list(parsed), columns=list(CANDLE_COLUMNS), dtype=float)
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], unit="s", utc=True).astype(TIMESTAMP_DTYPE)
    frame = frame[(frame["timestamp"] >= start) & (frame["timestamp"] < end)]
    # The same hour twice with the same values is a page overlap; with other values it is a contradiction.
    frame = frame.drop_duplicates().sort_values("timestamp", kind="stable")
    reasons = rejection_reasons(frame)
    bad = reasons != ""
    rejected += [reject(reasons[i], raw[i]) for i in frame.index[bad]]
    return Fetched(frame[~bad].reset_index(drop=True), vendor, provenance, tuple(rejected))
