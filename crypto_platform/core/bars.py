"""Candles as plain frames: their columns, invariants and provenance.

A candle frame holds the columns of `CANDLE_COLUMNS`: `timestamp` (datetime64[us, UTC], start of the hour,
ascending, unique), the rest float64; `volume` (quote currency) and `trades` are NaN where a source gives none.
"""

from typing import Final

import numpy as np
import pandas as pd

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
        Empty where the row is sound. The first broken rule names the row.
    """
    prices = candles[["open", "high", "low", "close"]].to_numpy(float)
    opened, high, low, close = prices.T
    stamps = candles["timestamp"]
    reasons = np.full(len(candles), "", dtype=object)
    with np.errstate(invalid="ignore"):
        rules = (
            (stamps != stamps.dt.floor("h"), "off_grid"),
            (~np.isfinite(prices).all(axis=1), "non_finite_price"),
            ((prices <= 0).any(axis=1), "non_positive_price"),
            (high < low, "high_below_low"),
            ((close > high) | (close < low), "close_outside_range"),
            ((opened > high) | (opened < low), "open_outside_range"),
            (~np.isfinite(candles["volume_base"].to_numpy(float)), "non_finite_volume"),
            (candles["volume_base"].to_numpy(float) < 0, "negative_volume"),
            (candles["volume"].to_numpy(float) < 0, "negative_quote_volume"),
            (stamps.duplicated(keep="first"), "duplicate"),
        )
        for broken, reason in reversed(rules):
            reasons[np.asarray(broken, dtype=bool)] = reason
    return pd.Series(reasons, index=candles.index, dtype=object)
