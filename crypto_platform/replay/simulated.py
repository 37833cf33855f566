"""A simulated market as a history: endless, deterministic, and with a truth that is known."""

from datetime import datetime
from threading import Lock
from typing import Final

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from crypto_platform.core.bars import CANDLE_COLUMNS, TIMESTAMP_DTYPE, empty_candles
from crypto_platform.core.hours import HOUR
from crypto_platform.core.provenance import Provenance
from crypto_platform.replay.coins import coin
from crypto_platform.replay.history import Supply
from crypto_platform.replay.process import BLOCK_HOURS, Array, Block, MarketProcess
from crypto_platform.replay.scenario import Scenario

_BLOCK: Final = BLOCK_HOURS * HOUR
_MOOD_MEMORY: Final = 0.5 ** (1 / (8 * 24))  # hourly weight of past returns in the mood: half-life of 8 days
_MOOD_SCALE: Final = 280.0  # points of sentiment for a remembered log return of 1
# upper bounds of the bands, as alternative.me draws them
_BANDS: Final = ((25, "Extreme Fear"), (46, "Fear"), (54, "Neutral"), (75, "Greed"), (100, "Extreme Greed"))


class SimulatedMarket:
    """A market (`replay.history.History`) drawn from a scenario.

    It has volatility clustering, fat tails and jumps, a common factor, a rhythm of volume over day and week, outages
    of the exchange (absent hours after a flat candle without volume), and what the scenario plants: a listing, a
    change of regime, an edge. Without an edge the direction of the next hour cannot be known from the past.

    Any hour's values depend on the scenario and that hour alone. Blocks of 28 days are drawn when they are first
    asked for, from the epoch up to the end of the request: a far `end` costs accordingly.

    Parameters
    ----------
    scenario : Scenario
        What the market is made from.
    """

    provenance = Provenance.SIMULATED

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.title = f"SIMULATED market, seed {scenario.seed}"
        self.symbols = scenario.symbols
        self._process = MarketProcess(scenario)
        self._drawing = Lock()  # a server and its starter may read from two threads; blocks come in one order
        self._mood = 0.0  # remembered return at the end of the last block
        self._candles = {symbol: [empty_candles()] for symbol in scenario.symbols}  # drawn frames, joined when read
        self._days = [_days(scenario.epoch, np.empty(0), np.empty(0, dtype=bool))]

    def candles(self, symbol: str, start: datetime, end: datetime) -> pd.DataFrame:
        """Candle frame (`core.bars`) of start ≤ open time < end; outages and hours before a listing have no row.

        Raises
        ------
        KeyError
            The scenario does not have the symbol.
        """
        frames = self._candles[symbol]
        with self._drawing:
            self._reach(end)
            return _between(frames, start, end)

    def supply(self, symbol: str) -> Supply:
        """Supplies of a symbol: constants, simulated as the rest.

        Raises
        ------
        KeyError
            The scenario does not have the symbol.
        """
        if symbol not in self._candles:
            raise KeyError(symbol)
        return coin(symbol).supply

    def sentiment(self, start: datetime, end: datetime) -> pd.DataFrame:
        """Daily rows of start ≤ day < end: `timestamp` (00:00 UTC), `value` (int), `classification`.

        The value follows the market's returns up to the beginning of its day; a day is missing now and then.
        """
        with self._drawing:
            self._reach(end)
            return _between(self._days, start, end)

    def _reach(self, end: datetime) -> None:
        while (start := self.scenario.epoch + self._process.n_blocks * _BLOCK) < end:
            block = self._process.next_block()
            hours = pd.date_range(start, periods=BLOCK_HOURS, freq="h").astype(TIMESTAMP_DTYPE)
            for column, symbol in enumerate(self.symbols):
                listed = hours >= self.scenario.listings.get(symbol, start)
                frame = pd.DataFrame({name: values[:, column] for name, values in block.columns.items()})
                frame.insert(0, "timestamp", hours)
                rows = frame.loc[block.traded & listed, list(CANDLE_COLUMNS)]
                self._candles[symbol].append(rows)
            self._days.append(_days(start, self._moods(block), block.mood_seen))

    def _moods(self, block: Block) -> Array:
        """Sentiment at the beginning of each day of a block, in points."""
        remembered, _ = lfilter([1], [1, -_MOOD_MEMORY], block.market_return, zi=[_MOOD_MEMORY * self._mood])
        before = np.append(self._mood, remembered[:-1])[::24]
        self._mood = float(remembered[-1])
        return np.asarray(np.clip(50 + _MOOD_SCALE * before + block.mood_noise, 5, 95).round())


def classify(value: int) -> str:
    """Name of the band of a Fear & Greed value, 0 to 100.

    Examples
    --------
    >>> [classify(value) for value in (25, 26, 47, 55, 76)]
    ['Extreme Fear', 'Fear', 'Neutral', 'Greed', 'Extreme Greed']
    """
    return next(name for bound, name in _BANDS if value <= bound)


def _days(start: datetime, moods: Array, seen: np.ndarray) -> pd.DataFrame:
    days = pd.date_range(start, periods=len(moods), freq="D", tz="UTC").astype(TIMESTAMP_DTYPE)
    values = moods.astype("int64")
    frame = pd.DataFrame({"timestamp": days, "value": values})
    frame["classification"] = pd.Series([classify(value) for value in values], dtype="str")
    return frame[seen]


def _between(frames: list[pd.DataFrame], start: datetime, end: datetime) -> pd.DataFrame:
    """Rows of start ≤ timestamp < end; the list is left with its frames joined."""
    if len(frames) > 1:
        frames[:] = [pd.concat(frames, ignore_index=True)]
    stamps = frames[0]["timestamp"]
    first, last = stamps.searchsorted([pd.Timestamp(start), pd.Timestamp(end)])
    return frames[0].iloc[first : max(first, last)].reset_index(drop=True)
