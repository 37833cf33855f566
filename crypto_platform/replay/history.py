"""What the replay server serves: a market's past (and hidden future), recorded or simulated."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pandas as pd

from crypto_platform.core.provenance import Provenance


@dataclass(frozen=True, slots=True)
class Supply:
    """Coins in existence. A field is None where the history does not hold it; nothing is invented.

    Parameters
    ----------
    circulating, total : float or None
        Units of the coin.
    """

    circulating: float | None
    total: float | None


class History(Protocol):
    """A market with hourly candles, supplies and daily sentiment, past and future alike.

    The server, not the history, hides what lies after its clock.
    """

    provenance: Provenance
    title: str  # one line for people: what this is, its seed or folder
    symbols: tuple[str, ...]

    def candles(self, symbol: str, start: datetime, end: datetime) -> pd.DataFrame:
        """Candle frame (`core.bars`) of start ≤ open time < end; hours of outages have no row.

        Raises
        ------
        KeyError
            The history does not hold the symbol.
        """
        ...

    def supply(self, symbol: str) -> Supply:
        """Supplies of a symbol."""
        ...

    def sentiment(self, start: datetime, end: datetime) -> pd.DataFrame:
        """Daily rows of start ≤ day < end: `timestamp` (00:00 UTC), `value` (int), `classification`."""
        ...
