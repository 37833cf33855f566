"""Candles as plain frames: their columns, invariants and provenance.

A candle frame holds the columns of `CANDLE_COLUMNS`: `timestamp` (datetime64[us, UTC], start of the hour,
ascending, unique), the rest float64; `volume` (quote currency) and `trades` are NaN where a source gives none.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crypto_platform.core.panel import hours_since_1970
from crypto_platform.tables import ohlcv_data
from crypto_platform.tables.render.frames import broken_rules

TIMESTAMP_DTYPE: Final = "datetime64[us, UTC]"
FROZEN_HOURS: Final = 6  # twice the longest halt seen
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


def in_units(candles: pd.DataFrame, units: float) -> pd.DataFrame:
    """Candles of an old coin as those of today's, of which it became `units`; traded value and trades are the same."""
    if units == 1:
        return candles
    prices = {name: candles[name] / units for name in ("open", "high", "low", "close")}
    return candles.assign(**prices, volume_base=candles["volume_base"] * units)


def carried(candles: pd.DataFrame) -> NDArray[np.bool_]:
    """Hours in which nothing was traded: one price and no volume, shape (n_rows,).

    An exchange writes such a candle at the edge of an outage; a price index carries its last price through one.
    """
    close = candles["close"].to_numpy(float)
    flat = [candles[name].to_numpy(float) == close for name in ("open", "high", "low")]
    return np.asarray(np.logical_and.reduce(flat) & (candles["volume_base"].to_numpy(float) == 0))


def frozen(candles: pd.DataFrame) -> NDArray[np.bool_]:
    """Candles after the first `FROZEN_HOURS` of a run without a trade at one price.

    Parameters
    ----------
    candles : DataFrame
        Candle frame that begins `FROZEN_HOURS` before the candles that are judged: then the answer does not depend
        on where the reading begins. A missing hour ends a run.

    Returns
    -------
    array of bool, shape (n_rows,)

    Notes
    -----
    In 650,000 hours of 17 symbols of Binance, FTT's collapse among them, the longest such run is 3 hours. An index
    carries its price through an outage of any length, which would make a flat market of a missing one.
    """
    still = carried(candles)
    close = candles["close"].to_numpy(float)
    goes_on = np.zeros(len(candles), dtype=bool)
    next_hour = np.diff(hours_since_1970(candles["timestamp"])) == 1
    goes_on[1:] = next_hour & still[1:] & still[:-1] & (close[1:] == close[:-1])
    rows = np.arange(len(candles))
    run = rows - np.maximum.accumulate(np.where(goes_on, 0, rows)) + 1
    return np.asarray(still & (run > FROZEN_HOURS))
