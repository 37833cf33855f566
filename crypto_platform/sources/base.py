"""What every source gives, whatever its vendor calls it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import pandas as pd

from crypto_platform.core.provenance import Provenance
from crypto_platform.symbols import Symbol

PAYLOAD_LIMIT = 2_000  # characters of a rejected row that are kept


@dataclass(frozen=True, slots=True)
class Rejected:
    """An upstream row that must not be stored, for `quarantine`.

    Parameters
    ----------
    source, dataset : str
        Row label of the source (with its provenance) and the table it was meant for.
    symbol : str or None
        None where the dataset has no symbols.
    reason : str
        Snake-case rule it broke, as `core.bars.rejection_reasons` names them.
    payload : str
        The row as it came, cut at `PAYLOAD_LIMIT` characters.
    """

    source: str
    dataset: str
    symbol: str | None
    reason: str
    payload: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """Rows of one answer (or of all its pages).

    Parameters
    ----------
    rows : DataFrame
        Sound rows only, ascending and unique in time.
    rejected : tuple of Rejected
        What was left out and why.
    vendor : str
        Name of the source, such as ``binance``.
    provenance : Provenance
        What the server said of its data (`X-Market-Data` header); LIVE where it said nothing.
    clock : datetime or None
        The vendor's own time at its newest answer (`Date` header); None where it does not say.
    """

    rows: pd.DataFrame
    vendor: str
    provenance: Provenance
    rejected: tuple[Rejected, ...] = field(default=())
    clock: datetime | None = None


class CandleSource(Protocol):
    """A vendor of hourly candles."""

    name: str

    def fetch_candles(self, symbol: Symbol, start: datetime, end: datetime) -> Fetched:
        """Candles with start ≤ open time < end (candle frame, see `core.bars`).

        The caller passes an `end` at which every candle is closed (`core.hours.closed_until`); a source never
        returns a candle outside the interval, whatever its API sends.
        """
        ...


class SnapshotSource(Protocol):
    """A vendor of market snapshots."""

    name: str

    def fetch_snapshots(self, symbols: Sequence[Symbol]) -> Fetched:
        """One row per symbol it knows: columns `SNAPSHOT_COLUMNS`, `symbol` naming the row."""
        ...


class SentimentSource(Protocol):
    """A vendor of the daily fear and greed index."""

    name: str

    def fetch_sentiment(self, start: datetime, end: datetime) -> Fetched:
        """Rows with start ≤ day < end: columns `SENTIMENT_COLUMNS`."""
        ...


SNAPSHOT_COLUMNS = (
    "symbol",
    "timestamp",
    "price_usd",
    "market_cap",
    "total_volume",
    "price_change_24h",
    "price_change_7d",
    "price_change_30d",
    "circulating_supply",
    "total_supply",
)
SENTIMENT_COLUMNS = ("timestamp", "fear_greed_value", "fear_greed_classification")
