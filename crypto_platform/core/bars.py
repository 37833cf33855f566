"""Candles as plain frames: their columns, invariants and provenance.

A candle frame holds the columns of `CANDLE_COLUMNS`: `timestamp` (datetime64[us, UTC], start of the hour,
ascending, unique), the rest float64; `volume` (quote currency) and `trades` are NaN where a source gives none.
"""

from typing import Final

import numpy as np
import pandas as pd

from crypto_platform.tables import ohlcv_data
from crypto_platform.tables.render.frames import broken_rules

TIMESTAMP_DTYPE: Final = "datetime64[us, UTC]"
CANDLE_COLUMNS: Final = ("timestamp", "open", "high", "low", "close", "volume_base", "volume", "trades")


def empty_candles() -> pd.DataFrame:
    """A candle frame without rows, dtypes included."""
    frame = pd.DataFrame({name: np.empty(0) for name in CANDLE_COLUMNS})
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True).astype(TIMESTAMP_DTYPE)
    return frame


def rejection_reasons(candles: pd.DataFrame) -> pd.Series:
    """Why each row of a raw candle frame must not be stored.

    Parameters
    ----------
    candles : DataFrame
        Columns of `CANDLE_COLUMNS`; values may be anything a float can hold.

    Returns
    -------
    Series of str, same index
        Empty where the row is sound: ``off_grid``, a rule of `ohlcv_data` (`render.frames.broken_rules`), or
        ``duplicate`` for all but the first of an hour.
    """
    stamps = candles["timestamp"]
    reasons = broken_rules(ohlcv_data, candles)
    reasons[stamps.duplicated(keep="first").to_numpy() & (reasons == "")] = "duplicate"
    reasons[(stamps != stamps.dt.floor("h")).to_numpy()] = "off_grid"
    return pd.Series(reasons, index=candles.index, dtype=object)
