"""The market both sides of a benchmark see: drawn before anything is measured, then read from memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd

from crypto_platform.core.bars import TIMESTAMP_DTYPE
from crypto_platform.core.hours import HOUR
from crypto_platform.core.provenance import Provenance
from crypto_platform.replay.scenario import Scenario
from crypto_platform.replay.simulated import SimulatedMarket
from crypto_platform.sources.base import SENTIMENT_COLUMNS, SNAPSHOT_COLUMNS, Fetched
from crypto_platform.symbols import Symbol

NOW: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)  # newest hour held before the first measured tick
TICKS: Final = 4  # hours after NOW that a benchmark may play
SEED: Final = 26  # no outage in the newest `WHOLE` before those hours or in them
WHOLE: Final = timedelta(days=40)
EPOCH: Final = datetime(2025, 12, 1, tzinfo=UTC)  # one for all worlds: a longer one begins earlier, no more
VENDOR: Final = "memory"


@dataclass(frozen=True)
class World:
    """Simulated candles and sentiment of `symbols`, from `days` before `NOW` until `TICKS` hours after it."""

    symbols: tuple[Symbol, ...]
    days: int
    candles: dict[str, pd.DataFrame]
    sentiment: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """Tickers."""
        return [symbol.name for symbol in self.symbols]

    def between(self, name: str, start: datetime, end: datetime) -> pd.DataFrame:
        """Candle frame of start ≤ open time < end."""
        frame = self.candles[name]
        first, last = frame["timestamp"].searchsorted([pd.Timestamp(start), pd.Timestamp(end)])
        return frame.iloc[first:last].reset_index(drop=True)

    def take(self, n: int) -> "World":
        """The same world with its first `n` symbols only."""
        return World(self.symbols[:n], self.days, self.candles, self.sentiment)


def draw(n_symbols: int, days: int) -> World:
    """A world; the same one each time.

    Raises
    ------
    RuntimeError
        A recent hour has no candle: a tick would have less to do than it claims.
    """
    names = tuple(f"SIM{i:03d}" for i in range(n_symbols))
    first, end = NOW - timedelta(days=days), NOW + (TICKS + 1) * HOUR
    market = SimulatedMarket(Scenario(seed=SEED, epoch=EPOCH, symbols=names))
    candles = {name: market.candles(name, first, end) for name in names}
    for name, frame in candles.items():
        if (frame["timestamp"] >= NOW - WHOLE).sum() != WHOLE // HOUR + TICKS + 1:
            raise RuntimeError(f"{name} lacks a candle of a recent hour: choose another SEED")
    sentiment = market.sentiment(EPOCH, end).rename(
        columns={"value": "fear_greed_value", "classification": "fear_greed_classification"}
    )
    return World(tuple(Symbol(n, n, n.lower(), n, default=False) for n in names), days, candles, sentiment)


@dataclass
class MemorySource:
    """All three kinds of source, answering from a world at once: what is measured is never the network."""

    world: World
    now: datetime
    name: str = VENDOR

    def fetch_candles(self, symbol: Symbol, start: datetime, end: datetime) -> Fetched:
        """Candles of the interval, as far as they are closed at `now`."""
        rows = self.world.between(symbol.name, start, min(end, self.now.replace(minute=0)))
        return Fetched(rows, VENDOR, Provenance.SIMULATED)

    def fetch_snapshots(self, symbols: Sequence[Symbol]) -> Fetched:
        """A snapshot of each symbol at `now`: the newest close, the rest unknown."""
        hour = self.now.replace(minute=0)
        rows = pd.DataFrame(dict.fromkeys(SNAPSHOT_COLUMNS, np.full(len(symbols), np.nan)))
        rows["symbol"] = [symbol.name for symbol in symbols]
        rows["timestamp"] = pd.Series([pd.Timestamp(self.now)] * len(symbols)).astype(TIMESTAMP_DTYPE)
        rows["price_usd"] = [self.world.between(s.name, hour - HOUR, hour)["close"].iloc[0] for s in symbols]
        return Fetched(rows, VENDOR, Provenance.SIMULATED)

    def fetch_sentiment(self, start: datetime, end: datetime) -> Fetched:
        """Days of the interval."""
        days = self.world.sentiment
        rows = days[(days["timestamp"] >= start) & (days["timestamp"] < end)].reset_index(drop=True)
        return Fetched(rows[list(SENTIMENT_COLUMNS)], VENDOR, Provenance.SIMULATED)
