"""A market of a few hundred hours with everything that can go missing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd
import pytest

from crypto_platform.core.provenance import Provenance
from crypto_platform.replay.history import Supply

START = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass
class FrameHistory:
    """History over plain frames."""

    frames: Mapping[str, pd.DataFrame]
    provenance: Provenance = Provenance.SIMULATED
    title: str = "a walk"

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.frames)

    def candles(self, symbol: str, start: datetime, end: datetime) -> pd.DataFrame:
        frame = self.frames[symbol]
        return frame[(frame["timestamp"] >= start) & (frame["timestamp"] < end)].reset_index(drop=True)

    def supply(self, symbol: str) -> Supply:
        return Supply(19_426_506.0, 21_000_000.0) if symbol == "BTC" else Supply(None, None)

    def sentiment(self, start: datetime, end: datetime) -> pd.DataFrame:
        days = pd.date_range("2026-01-01", periods=20, freq="D", tz="UTC", unit="us").delete(10)
        frame = pd.DataFrame({"timestamp": days, "value": range(10, 29), "classification": "Extreme Fear"})
        return frame[(days >= start) & (days < end)]


@pytest.fixture(scope="session")
def history(walk: Callable[..., pd.DataFrame]) -> FrameHistory:
    """400 hours: BTC with an outage of hours 200 to 202, ETH listed at 100, ADA ended at 250, SOL without turnover."""
    frames = {
        name: walk(name, 400, seed).drop(columns="symbol") for seed, name in enumerate(("BTC", "ETH", "ADA", "SOL"))
    }
    frames["BTC"] = frames["BTC"].drop(index=[200, 201, 202])
    frames["ETH"] = frames["ETH"].iloc[100:]
    frames["ADA"] = frames["ADA"].iloc[:250]
    frames["SOL"] = frames["SOL"].assign(volume=float("nan"), trades=float("nan"))
    return FrameHistory(frames)


@pytest.fixture(scope="session")
def start() -> datetime:
    """First hour of the market."""
    return START
