"""Price and turnover at any instant of an hourly history, the running hour included."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd

from crypto_platform.core.hours import HOUR
from crypto_platform.replay.running import running_candle

_MICROSECOND: Final = timedelta(microseconds=1)
_HOUR_US: Final = HOUR // _MICROSECOND
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Peak:
    """Highest price so far.

    Parameters
    ----------
    price : float
        Quote currency.
    hour : datetime
        Open time of the candle that reached it.
    """

    price: float
    hour: datetime


class Tape:
    """A candle frame read as a continuous record; inside an hour `running_candle` says what was seen.

    Parameters
    ----------
    candles : DataFrame
        Candle frame with at least one row, all of them complete; what lies after an instant does not change what
        is read at it.
    """

    def __init__(self, candles: pd.DataFrame) -> None:
        self._starts = candles["timestamp"].dt.as_unit("us").astype("int64").to_numpy()
        self._columns = {name: candles[name].to_numpy(float) for name in candles.columns if name != "timestamp"}

    @property
    def first(self) -> datetime:
        """Open time of the first candle."""
        return _moment(self._starts[0])

    @property
    def end(self) -> datetime:
        """End of the last candle."""
        return _moment(self._starts[-1]) + HOUR

    def price(self, moment: datetime) -> float | None:
        """Last price at `moment`, carried through missing hours; None before the first candle."""
        row, fraction = self._locate(moment)
        return None if row < 0 else self._seen(row, fraction)["close"]

    def turnover(self, start: datetime, end: datetime) -> float:
        """Quote volume traded in (start, end]; missing hours count 0, NaN where any candle's is unknown."""
        (first, skipped), (last, reached) = self._locate(start), self._locate(end)
        before = 0.0 if first < 0 else self._seen(first, skipped)["volume"]
        inside = float(self._columns["volume"][max(first, 0) : max(last, 0)].sum())
        after = 0.0 if last < 0 else self._seen(last, reached)["volume"]
        return inside + after - before

    def peak(self, moment: datetime) -> Peak:
        """Highest price up to `moment`, which must not lie before the first candle."""
        row, fraction = self._locate(moment)
        highs = np.append(self._columns["high"][:row], self._seen(row, fraction)["high"])
        best = int(highs.argmax())
        return Peak(float(highs[best]), _moment(self._starts[best]))

    def _locate(self, moment: datetime) -> tuple[int, float]:
        """Newest candle that has begun (−1: none), and how much of it has passed."""
        at = (moment - _EPOCH) // _MICROSECOND
        row = int(np.searchsorted(self._starts, at, side="right")) - 1
        return row, 0.0 if row < 0 else min((at - int(self._starts[row])) / _HOUR_US, 1.0)

    def _seen(self, row: int, fraction: float) -> dict[str, float]:
        candle = {name: float(values[row]) for name, values in self._columns.items()}
        return candle if fraction >= 1.0 else running_candle(candle, fraction)


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=int(microseconds))
