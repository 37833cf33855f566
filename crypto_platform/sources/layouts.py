"""The usual layouts of candle files, told apart by their columns."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crypto_platform.errors import UnreadableFileError
from crypto_platform.sources.cells import RawTable
from crypto_platform.sources.exchange import BINANCE

CRYPTODATADOWNLOAD: Final = "cryptodatadownload"
OWN: Final = "own"
KNOWN: Final = (
    "this platform's parquet (timestamp, open, high, low, close, volume_base, volume_quote), "
    "Binance klines (12 columns), CryptoDataDownload (unix or date, symbol, open, high, low, close, Volume …), "
    "freqtrade (time, open, high, low, close, volume), "
    "any other with timestamp, date, time, datetime or open_time, open, high, low, close and volume"
)
PRICES: Final = ("open", "high", "low", "close")
EPOCHS: Final = ("unix", "unix_timestamp", "timestamp", "open_time", "opentime", "time_open")
DATES: Final = ("datetime", "date", "time")

KLINES: Final = ("open_time", *PRICES, "volume", "close_time", "quote_volume", "count", "taker_base", "taker_quote")
_KLINE_QUOTES: Final = ("quote_volume", "quote_asset_volume", "quote_av")
_KLINE_COUNTS: Final = ("count", "number_of_trades", "trades", "num_trades")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file keeps what.

    Parameters
    ----------
    name : str
        For messages.
    times : tuple of tuple of int
        Columns that may tell the hour, in order of trust; two are a date and its time of day.
    fields : mapping of str to int
        Column of `open`, `high`, `low`, `close`, `volume_base`, and of `volume` and `trades` where the layout has them.
    ticker : int or None
        Column that names the market.
    source : str or None
        Who wrote the candles, where the layout says so.
    complete : bool
        Whether only closed candles are ever written so; else the newest may have been in progress.
    derived : bool
        Whether its writers are known to derive candles of their own: vintages are told apart and looked at.
    closes : int or None
        Column that tells when a candle closed.
    """

    name: str
    times: tuple[tuple[int, ...], ...]
    fields: Mapping[str, int]
    ticker: int | None = None
    source: str | None = None
    complete: bool = False
    derived: bool = False
    closes: int | None = None


def recognize(table: RawTable, file: str) -> Layout:
    """Layout of a table.

    Raises
    ------
    UnreadableFileError
        None that is known; the columns found and the layouts known are named.
    """
    columns = {_plain(name): index for index, name in reversed(list(enumerate(table.columns)))}
    layout = _by_columns(columns) if columns else _by_width(table)
    if layout is None:
        found = ", ".join(table.columns) or f"{_width(table.rows)} columns without names"
        raise UnreadableFileError(f"{file} has {found}; known layouts are {KNOWN}")
    return layout


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def _width(rows: Sequence[Sequence[object]]) -> int:
    return Counter(len(row) for row in rows).most_common(1)[0][0]


def _by_width(table: RawTable) -> Layout | None:
    width = _width(table.rows)
    if width in {len(KLINES), len(KLINES) + 1}:
        return _klines({name: index for index, name in enumerate(KLINES)})
    values = dict(zip((*PRICES, "volume_base"), range(1, 6), strict=True))
    return Layout("freqtrade", ((0,),), values) if width == 6 else None


def _by_columns(columns: Mapping[str, int]) -> Layout | None:
    volumes = [name for name in columns if name.startswith("volume")]
    if not all(name in columns for name in PRICES) or not volumes:
        return None
    prices = {name: columns[name] for name in PRICES}
    if {"timestamp", "volume_base", "volume_quote"} <= set(columns):
        values = {**prices, "volume_base": columns["volume_base"], "volume": columns["volume_quote"]}
        return Layout(OWN, ((columns["timestamp"],),), values, complete=True)
    if {"open_time", "close_time", "volume"} <= set(columns) and _first(columns, _KLINE_QUOTES) is not None:
        return _klines(columns)
    times = _times(columns)
    if not times:
        return None
    if "symbol" in columns:
        return _cryptodatadownload(columns, prices, volumes, times)
    base = columns.get("volume", columns.get("volume_base", columns[volumes[0]]))
    ticker = _first(columns, ("ticker", "pair"))
    return Layout("freqtrade or alike", times, {**prices, "volume_base": base}, ticker)


def _klines(columns: Mapping[str, int]) -> Layout:
    values = {name: columns[name] for name in PRICES} | {"volume_base": columns["volume"]}
    for name, spellings in (("volume", _KLINE_QUOTES), ("trades", _KLINE_COUNTS)):
        index = _first(columns, spellings)
        if index is not None:
            values[name] = index
    times, closes = ((columns["open_time"],),), columns["close_time"]
    return Layout("Binance klines", times, values, source=BINANCE, complete=True, closes=closes)


def _cryptodatadownload(
    columns: Mapping[str, int], prices: Mapping[str, int], volumes: Sequence[str], times: tuple[tuple[int, ...], ...]
) -> Layout:
    """Its volume columns are named after the currencies: the base comes first, or stands alone."""
    ordered = sorted(volumes, key=columns.__getitem__)
    values = {**prices, "volume_base": columns[ordered[0]]}
    if len(ordered) > 1:
        values["volume"] = columns[ordered[1]]
    trades = _first(columns, ("tradecount", "trade_count"))
    if trades is not None:
        values["trades"] = trades
    return Layout("CryptoDataDownload", times, values, columns["symbol"], source=CRYPTODATADOWNLOAD, derived=True)


def _times(columns: Mapping[str, int]) -> tuple[tuple[int, ...], ...]:
    single = [(columns[name],) for name in (*EPOCHS, *DATES) if name in columns]
    both = [(columns["date"], columns["time"])] if "date" in columns and "time" in columns else []
    return (*single, *both)


def _first(columns: Mapping[str, int], names: Sequence[str]) -> int | None:
    return next((columns[name] for name in names if name in columns), None)
