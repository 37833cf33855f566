"""Worlds that hypothesis draws: candles with outages of every kind, and records that come late."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from crypto_platform.core.features import FeatureSet, compute, feature_set
from crypto_platform.core.indicators import windows as w
from crypto_platform.core.joins import REFERENCE
from crypto_platform.core.laws import require_lawful
from crypto_platform.core.panel import Panel
from crypto_platform.tables.features import HORIZONS, PARTS, target_direction, target_return

HOUR = pd.Timedelta(hours=1)
SYMBOLS = (REFERENCE, "ETH")
PRICES = ["open", "high", "low", "close"]
KEYS = ["symbol", "timestamp"]
LABELS = [name(horizon) for horizon in HORIZONS for name in (target_return, target_direction)]
STATE = ["is_filled", "is_valid", "segment_hours"]
TOLERANCE = 1e-9
THOROUGH = "thorough"

_thorough = settings.get_current_profile_name() == THOROUGH
# A world costs a quarter of a second: few of them, always the same, unless more are asked for.
laws = settings(
    max_examples=400 if _thorough else 10,
    derandomize=not _thorough,
    deadline=None,
    phases=tuple(Phase) if _thorough else (Phase.explicit, Phase.generate),  # shrinking a world takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def assert_same(left: pd.DataFrame, right: pd.DataFrame, columns: list[str]) -> None:
    """Both hold the same hours, and the same numbers (missing included) in them."""
    left, right = left.set_index(KEYS).sort_index(), right.set_index(KEYS).sort_index()
    assert left.index.equals(right.index)
    a, b = left[columns].to_numpy(float), right[columns].to_numpy(float)
    wrong = (np.isnan(a) != np.isnan(b)) | (np.abs(np.nan_to_num(a) - np.nan_to_num(b)) > TOLERANCE)
    assert not wrong.any(), {columns[j]: left.index[wrong[:, j]][0] for j in np.flatnonzero(wrong.any(axis=0))}


def own_features(panel: Panel) -> Mapping[str, np.ndarray]:
    """What a user might add: a window, and a recursion."""
    return {
        "own_range_12": w.mean(w.ln(w.divide(panel.high, panel.low)), 12),
        "own_reach_9": w.ln(w.divide(panel.close, w.ema(panel.close, 9))),
    }


EVERYTHING: FeatureSet = feature_set(list(PARTS), require_lawful(own_features))


@dataclass(frozen=True)
class World:
    """What features are made of, as `core.features.compute` takes it."""

    candles: pd.DataFrame
    sentiment: pd.DataFrame
    snapshots: pd.DataFrame

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What hypothesis prints of an example that fails: frames would be pages."""
        printer.text(f"World({len(self.candles)} candles from {self.candles['timestamp'].min()})")

    def rows(self, emit_from: Mapping[str, datetime] | None = None) -> pd.DataFrame:
        """All features and labels there are, a user's own included."""
        return self.beside(self.candles, emit_from)

    def beside(self, reference: pd.DataFrame, emit_from: Mapping[str, datetime] | None = None) -> pd.DataFrame:
        """The same with the reference's candles taken from another history."""
        return compute(
            self.candles,
            self.sentiment,
            EVERYTHING,
            emit_from,
            snapshots=self.snapshots,
            reference=reference[reference["symbol"] == REFERENCE],
        )

    def having(self, **frames: pd.DataFrame) -> "World":
        """With other frames."""
        return replace(self, **frames)

    def known(self, moment: pd.Timestamp) -> "World":
        """What was known at the end of the hour `moment`."""
        until = moment + HOUR
        return World(
            self.candles[self.candles["timestamp"] <= moment],
            self.sentiment[self.sentiment["known_at"] <= until],
            self.snapshots[self.snapshots["known_at"] <= until],
        )


_spells = st.lists(st.tuples(st.integers(1, 1_000), st.integers(1, 6)), max_size=8)


@st.composite
def worlds(draw: st.DrawFn, hours: int = 1_000) -> World:
    """Two symbols and the records beside them; begins anywhere in two years, so also where clocks are changed."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    start = pd.Timestamp("2025-01-01", tz="UTC").as_unit("us") + draw(st.integers(0, 17_000), label="start") * HOUR
    candles = pd.concat([_candles(draw, rng, symbol, start, hours) for symbol in SYMBOLS], ignore_index=True)
    return World(candles, _sentiment(rng, start, hours), _snapshots(rng, candles))


def _candles(draw: st.DrawFn, rng: np.random.Generator, symbol: str, start: pd.Timestamp, hours: int) -> pd.DataFrame:
    close = 100 * np.exp(np.cumsum(rng.standard_t(5, hours) * 0.006))
    for at, length in draw(_spells, label=f"{symbol} stands still"):
        close[at : at + 5 * length] = close[at - 1]
    for at in draw(st.lists(st.integers(1, hours - 1), max_size=1), label=f"{symbol} crashes"):
        close[at:] *= 1e-4
    opened = np.r_[100, close[:-1]]
    reach = np.abs(rng.normal(0, 0.003, (2, hours))) * (close != opened)
    volume = np.exp(rng.normal(3, 1, hours))
    for at, length in draw(_spells, label=f"{symbol} is not traded"):
        volume[at : at + length] = 0.0
    frame = pd.DataFrame(
        {
            "symbol": symbol,
            "timestamp": pd.date_range(start, periods=hours, freq="h", unit="us"),
            "open": opened,
            "high": np.maximum(opened, close) * (1 + reach[0]),
            "low": np.minimum(opened, close) * (1 - reach[1]),
            "close": close,
            "volume_base": volume,
        }
    )
    gone = {hour for at, n in draw(_spells, label=f"{symbol} is missing") for hour in range(at, min(at + n, hours))}
    return frame.drop(index=sorted(gone))


def _sentiment(rng: np.random.Generator, start: pd.Timestamp, hours: int) -> pd.DataFrame:
    """A day now and then missing, and known after an hour, a day, or when it is stale."""
    days = pd.date_range(start.floor("D") - pd.Timedelta(days=15), periods=hours // 24 + 16, freq="D", unit="us")
    days = days[rng.random(len(days)) > 0.03]
    lag = pd.to_timedelta(rng.choice([1, 3, 26, 50], len(days), p=[0.7, 0.1, 0.15, 0.05]), unit="h")
    values = rng.integers(1, 99, len(days)).astype(float)
    return pd.DataFrame({"timestamp": days, "known_at": days + lag, "fear_greed_value": values})


def _snapshots(rng: np.random.Generator, candles: pd.DataFrame) -> pd.DataFrame:
    """One a candle in any order, some late, some without a capitalization."""
    n = len(candles)
    taken = candles["timestamp"] + pd.to_timedelta(rng.integers(0, 60, n), unit="min")
    late = pd.to_timedelta(rng.choice([2, 20, 150], n, p=[0.7, 0.2, 0.1]), unit="min")
    frame: dict[str, Any] = {
        "symbol": candles["symbol"],
        "timestamp": taken,
        "known_at": taken + late,
        "total_volume": np.exp(rng.normal(18, 1, n)),
        "market_cap": np.where(rng.random(n) < 0.03, np.nan, 1e10),
    }
    return pd.DataFrame(frame).sample(frac=1, random_state=int(rng.integers(1_000_000)))
