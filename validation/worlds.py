"""The histories that are validated: recorded candles, and candles with a known truth in them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from crypto_platform.core import features as science
from crypto_platform.core.estimators import TrainingSet
from crypto_platform.core.hours import HOUR
from crypto_platform.operations import training_rows
from crypto_platform.tables.features import target_direction, target_return

Make = Callable[[], TrainingSet]

RECORDED_END: Final = datetime(2024, 1, 1, tzinfo=UTC)
PLANTED_DAYS: Final = 90
RETURN_SCALE: Final = 0.006  # of a Student's t with 5 degrees of freedom: about 0.8 % an hour
PUBLICATION: Final = timedelta(hours=1)


def labeled(frame: pd.DataFrame, horizon: int) -> TrainingSet:
    """Rows of a feature frame that a model may learn from, as a training takes them."""
    names = (target_return(horizon), target_direction(horizon))
    frame = frame[~frame["is_filled"] & frame[list(names)].notna().all(axis=1)]
    return training_rows.training_set(frame, training_rows.available(frame, science.DEFAULT), horizon)


@cache
def recorded_features(folder: Path, symbol: str, days: int) -> pd.DataFrame:
    """Features of a symbol's last `days` of recorded hours, and the lookback they need before."""
    start = pd.Timestamp(RECORDED_END) - pd.Timedelta(days=days)
    candles = recorded_candles(folder, symbol)
    candles = candles[candles["timestamp"] >= start - science.LOOKBACK_ROWS * HOUR].reset_index(drop=True)
    return science.compute(candles, sentiment(folder), science.DEFAULT, {symbol: start.to_pydatetime()})


def recorded_candles(folder: Path, symbol: str) -> pd.DataFrame:
    """Candles of a symbol before `RECORDED_END`."""
    frame = pd.read_parquet(folder / "ohlcv_1h" / f"{symbol}.parquet")
    frame = frame.assign(symbol=symbol, timestamp=frame["timestamp"].astype("datetime64[us, UTC]"))
    return frame[frame["timestamp"] < RECORDED_END].reset_index(drop=True)


@cache
def sentiment(folder: Path) -> pd.DataFrame:
    """The recorded fear and greed index, known an hour after its day begins."""
    frame = pd.read_parquet(folder / "fear_greed.parquet")
    days = pd.to_datetime(frame["date"], utc=True).astype("datetime64[us, UTC]")
    return pd.DataFrame({"timestamp": days, "known_at": days + PUBLICATION, "fear_greed_value": frame["value"]})


def planted_candles(keeps: float, seed: int, hours: int, symbol: str = "SIM") -> pd.DataFrame:
    """Candles whose direction repeats the one before with probability `keeps`; 0.5 is a random walk."""
    rng = np.random.default_rng(seed)
    signs = np.cumprod(np.where(rng.random(hours) < keeps, 1, -1))
    close = 100 * np.exp(np.cumsum(signs * np.abs(rng.standard_t(5, hours)) * RETURN_SCALE))
    opened = np.r_[100.0, close[:-1]]
    reach = np.abs(rng.normal(0, 0.003, (2, hours)))
    return pd.DataFrame(
        {
            "symbol": symbol,
            "timestamp": pd.date_range("2026-01-05", periods=hours, freq="h", tz="UTC", unit="us"),
            "open": opened,
            "high": np.maximum(opened, close) * (1 + reach[0]),
            "low": np.minimum(opened, close) * (1 - reach[1]),
            "close": close,
            "volume_base": np.exp(rng.normal(3, 1, hours)),
        }
    )


@cache
def planted_features(keeps: float, seed: int, days: int = PLANTED_DAYS) -> pd.DataFrame:
    """Features of `planted_candles`."""
    candles = planted_candles(keeps, seed, days * 24 + science.WARM_UP_ROWS)
    nothing = pd.DataFrame({"timestamp": [], "known_at": [], "fear_greed_value": []}).astype(
        {"timestamp": candles["timestamp"].dtype, "known_at": candles["timestamp"].dtype, "fear_greed_value": float}
    )
    return science.compute(candles, nothing)


def shuffled(rows: TrainingSet, seed: int) -> TrainingSet:
    """The same inputs, each with the label of another row."""
    order = np.random.default_rng(seed).permutation(len(rows))
    return TrainingSet(
        rows.hours, rows.inputs, rows.returns[order], rows.directions[order], rows.feature_names, rows.horizon
    )
