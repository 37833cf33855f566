"""Recorded history: a folder of parquet files, moved in time so that its end lies just ahead of the clock.

Candles stay what they are: nothing is filled, repaired or invented, and a NaN stays a NaN.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crypto_platform.core.bars import CANDLE_COLUMNS, TIMESTAMP_DTYPE
from crypto_platform.core.hours import HOUR
from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import ConfigurationError
from crypto_platform.replay.history import Supply

WEEK: Final = timedelta(weeks=1)
CANDLES: Final = "ohlcv_1h"  # sub-folder, one file a symbol
SENTIMENT: Final = "fear_greed.parquet"

_COLUMNS: Final = ("timestamp", "open", "high", "low", "close", "volume_base", "volume_quote")
_SENTIMENT_COLUMNS: Final = ("date", "value", "classification")


class RecordedHistory:
    """A folder of recorded candles and sentiment, shifted by whole weeks.

    Whole weeks keep the meaning of hours and weekdays. The shift puts the end of the newest candle of any symbol
    after `now` by at most seven days, so that a clock started at `now` keeps ticking on recorded hours.

    Parameters
    ----------
    folder : Path
        Holds ``ohlcv_1h/{SYMBOL}.parquet`` (`timestamp`, tz-aware, start of the hour; `open`, `high`, `low`, `close`,
        `volume_base`, `volume_quote`, NaN where unknown) and ``fear_greed.parquet`` (`date`, `value`,
        `classification`). Prices are read when a symbol is first asked for.
    now : datetime, optional
        Clock of the replay at its start. Without it nothing is moved: the history keeps its own time.

    Attributes
    ----------
    shift : timedelta
        Added to every recorded time; a whole number of weeks, negative where the data end long after `now`.
    end : datetime
        Exclusive end of the newest candle, shifted: 0 < end − now ≤ 7 days where there is a `now`.

    Raises
    ------
    ConfigurationError
        The folder or its candles are missing, or a file is not of the form above.
    """

    provenance = Provenance.RECORDED

    def __init__(self, folder: Path, now: datetime | None = None) -> None:
        self.symbols = recorded_symbols(folder)
        self._folder = folder
        self._loaded: dict[str, pd.DataFrame] = {}
        sentiment = _read_sentiment(folder / SENTIMENT)
        recorded_end = max(_last_hour(_candle_file(folder, symbol)) for symbol in self.symbols) + HOUR
        weeks = 0 if now is None else (now - recorded_end) // WEEK + 1
        self.shift = weeks * WEEK
        self.end = recorded_end + self.shift
        self._sentiment = _shifted(sentiment, self.shift)
        moved = f", shifted by {weeks} weeks" if weeks else ""
        self.title = f"RECORDED history of {folder}{moved} (recorded until {recorded_end:%Y-%m-%d %H:%M} UTC)"

    def candles(self, symbol: str, start: datetime, end: datetime) -> pd.DataFrame:
        """Candle frame of start ≤ open time < end, shifted; `trades` is NaN, the folder does not hold it.

        Raises
        ------
        KeyError
            The folder holds no file of the symbol.
        ConfigurationError
            Its file is not of the form that the class describes.
        """
        if symbol not in self.symbols:
            raise KeyError(symbol)
        if symbol not in self._loaded:
            self._loaded[symbol] = _shifted(read_candles(self._folder, symbol), self.shift)
        return _between(self._loaded[symbol], start, end)

    def supply(self, symbol: str) -> Supply:
        """Nothing: the folder holds no supplies, and none are invented."""
        if symbol not in self.symbols:
            raise KeyError(symbol)
        return Supply(circulating=None, total=None)

    def sentiment(self, start: datetime, end: datetime) -> pd.DataFrame:
        """Daily rows of start ≤ day < end, shifted as the candles are."""
        return _between(self._sentiment, start, end)


def recorded_symbols(folder: Path) -> tuple[str, ...]:
    """Symbols that a folder of recorded history holds, in alphabetical order.

    Raises
    ------
    ConfigurationError
        There is no such folder, or it holds no candles.
    """
    candles = folder / CANDLES
    if not candles.is_dir():
        raise ConfigurationError(
            f"no recorded history in {folder}: name a folder that holds {CANDLES}/SYMBOL.parquet and {SENTIMENT}"
        )
    symbols = tuple(sorted(path.stem for path in candles.glob("*.parquet")))
    if not symbols:
        raise ConfigurationError(f"{candles} holds no candles: name a folder with one SYMBOL.parquet a symbol in it")
    return symbols


def digest(folder: Path, symbols: Sequence[str]) -> str:
    """SHA-256, in hex, of the files that hold the sentiment and these symbols' candles; those it lacks are left out.

    Raises
    ------
    ConfigurationError
        There is no such folder, or it holds no candles.
    """
    held = recorded_symbols(folder)
    found = hashlib.sha256()
    paths = [_candle_file(folder, symbol) for symbol in sorted(set(symbols) & set(held))]
    for path in [folder / SENTIMENT, *paths]:
        if path.is_file():
            found.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def read_candles(folder: Path, symbol: str) -> pd.DataFrame:
    """Candle frame of one symbol as recorded, not shifted.

    Raises
    ------
    ConfigurationError
        The file cannot be read, lacks a column, or its timestamps are not ascending hours of a time zone.
    """
    path = _candle_file(folder, symbol)
    frame = _read(path, _COLUMNS)
    stamps = frame["timestamp"]
    if not isinstance(stamps.dtype, pd.DatetimeTZDtype) or stamps.isna().any():
        raise ConfigurationError(f"{path}: `timestamp` is {stamps.dtype}; write it as a complete time in UTC")
    hours = stamps.dt.tz_convert("UTC").astype(TIMESTAMP_DTYPE)
    if not (hours.is_monotonic_increasing and hours.is_unique and (hours == hours.dt.floor("h")).all()):
        raise ConfigurationError(f"{path}: `timestamp` must hold full hours, ascending, each once; sort and clean it")
    values = frame.rename(columns={"volume_quote": "volume"}).assign(timestamp=hours, trades=np.nan)
    try:
        return values[list(CANDLE_COLUMNS)].astype(dict.fromkeys(CANDLE_COLUMNS[1:], "float64"))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{path}: prices and volumes must be numbers ({error})") from error


def _candle_file(folder: Path, symbol: str) -> Path:
    return folder / CANDLES / f"{symbol}.parquet"


def _last_hour(path: Path) -> datetime:
    """Newest recorded open time; the file's one column is read, not its prices."""
    stamps = pd.to_datetime(_read(path, _COLUMNS, only=("timestamp",))["timestamp"], utc=True)
    if stamps.empty:
        raise ConfigurationError(f"{path} has no rows: remove it or record some")
    newest: datetime = stamps.max().to_pydatetime()
    return newest.astimezone(UTC)


def _read_sentiment(path: Path) -> pd.DataFrame:
    frame = _read(path, _SENTIMENT_COLUMNS).sort_values("date", ignore_index=True)
    try:
        return pd.DataFrame(
            {
                "timestamp": pd.to_datetime(frame["date"], utc=True).astype(TIMESTAMP_DTYPE),
                "value": frame["value"].astype("int64"),
                "classification": frame["classification"].astype(str),
            }
        )
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{path}: `date` must hold days and `value` whole numbers ({error})") from error


def _read(path: Path, columns: tuple[str, ...], only: tuple[str, ...] | None = None) -> pd.DataFrame:
    """Columns `only` (all by default) of a parquet file that must hold `columns`."""
    if not path.exists():
        raise ConfigurationError(f"{path} is missing: a recorded history has candles and sentiment")
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise ConfigurationError(
                    f"{path} lacks the column {missing[0]!r}; a recorded file holds {', '.join(columns)}"
                )
            frame: pd.DataFrame = file.read(columns=list(only or columns)).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise ConfigurationError(f"{path} is not readable as parquet ({error}): record it again") from error
    return frame.reset_index(drop=True)


def _shifted(frame: pd.DataFrame, shift: timedelta) -> pd.DataFrame:
    return frame.assign(timestamp=(frame["timestamp"] + shift).astype(TIMESTAMP_DTYPE))


def _between(frame: pd.DataFrame, start: datetime, end: datetime) -> pd.DataFrame:
    first, last = frame["timestamp"].searchsorted([pd.Timestamp(start), pd.Timestamp(end)])
    return frame.iloc[first:last].reset_index(drop=True)
