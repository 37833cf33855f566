"""Which symbols a deployment follows, what is stored of them, and which source each is pinned to."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import pandas as pd
from sqlalchemy import func, select

from crypto_platform.core.hours import HOUR, SETTLE, closed_until
from crypto_platform.errors import ConfigurationError, SourceError
from crypto_platform.operations.series import FEATURES_MARK
from crypto_platform.operations.watermarks import Mark, lower_marks, read_mark, write_mark
from crypto_platform.settings import Settings
from crypto_platform.sources.base import CandleSource
from crypto_platform.sources.coinpaprika import Coin
from crypto_platform.storage.artifacts import write_atomically
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import Symbol, choice_text, load_symbols, merge
from crypto_platform.tables import ohlcv_data, watermarks

PROBE: Final = 24 * HOUR  # asked of a source to see whether it knows a market: one page, and a trade in any
HEAD: Final = "# What `crypto-platform symbols` added and chose. Later entries change earlier ones; edit as you like.\n"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Candles of a symbol: the vendor they are pinned to, and `[since, until)` of what is collected."""

    source: str | None
    since: datetime | None
    until: datetime


@dataclass(frozen=True, slots=True)
class Heard:
    """What a source said of a market: candles of the last `PROBE`, and the words for it."""

    source: str
    candles: int
    words: str


def coverage(store: Warehouse, symbols: Sequence[str]) -> dict[str, Coverage]:
    """Coverage of each symbol that has candles."""
    rows = store.read(
        select(watermarks.c.symbol, watermarks.c.source, watermarks.c.since, watermarks.c.watermark).where(
            watermarks.c.dataset == ohlcv_data.name, watermarks.c.symbol.in_(symbols)
        )
    )
    return {
        row.symbol: Coverage(row.source, None if pd.isna(row.since) else row.since, row.watermark)
        for row in rows.itertuples()
    }


def candles_stored(store: Warehouse, symbol: str) -> int:
    """How many candles of a symbol are stored."""
    counted = store.read(select(func.count().label("n")).select_from(ohlcv_data).where(ohlcv_data.c.symbol == symbol))
    return int(counted["n"].iloc[0])


def named(coins: Sequence[Coin], ticker: str) -> tuple[Coin, ...]:
    """Coins that trade under a ticker, in the order given."""
    return tuple(coin for coin in coins if coin.symbol.upper() == ticker)


def ask_sources(
    sources: Sequence[CandleSource], symbol: Symbol, *, as_of: datetime, settle: timedelta = SETTLE
) -> tuple[Heard, ...]:
    """Ask each source for a symbol's last closed hours; a refusal is an answer."""
    end = closed_until(as_of, settle)

    def ask(source: CandleSource) -> Heard:
        try:
            found = len(source.fetch_candles(symbol, end - PROBE, end).rows)
        except SourceError as error:
            return Heard(source.name, 0, str(error))
        return Heard(source.name, found, f"{found} of the last {PROBE // HOUR} hours")

    with ThreadPoolExecutor(len(sources), thread_name_prefix="ask") as pool:
        return tuple(pool.map(ask, sources))


def choose(settings: Settings, fields: Mapping[str, str | bool]) -> Symbol:
    """Write an entry at the end of the deployment's own symbols file.

    Parameters
    ----------
    settings : Settings
    fields : mapping
        Of `symbols.merge`: `name`, and what is to change.

    Returns
    -------
    Symbol
        As it is from now on; processes that run keep what they have read.

    Raises
    ------
    ConfigurationError
        The entry does not go with the others, or the file cannot be written; it is then as it was.
    """
    path = settings.choices_file
    try:
        before = path.read_text("utf-8") if path.exists() else HEAD
        text = f"{before.rstrip()}\n\n{choice_text(fields)}".lstrip()
        book = merge(load_symbols(settings.symbols_file), text, str(path))
        write_atomically(path, text.encode())
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written ({error.strerror}); set CRYPTO_PLATFORM_HOME to a folder that can"
        ) from error
    return book[str(fields["name"])]


def pin(store: Warehouse, symbol: str, source: str) -> Coverage:
    """Make a vendor the primary source of a symbol's candles.

    The mark of its candles goes back to where they begin: the next collection reads them from the new source. What
    only the old one had then counts as filled. Features are built again from there.

    Returns
    -------
    Coverage
        As it was before.

    Raises
    ------
    ConfigurationError
        The symbol has no candles, so there is nothing to pin.
    """
    with store.begin() as connection:
        mark = read_mark(connection, ohlcv_data.name, symbol)
        if mark is None:
            raise ConfigurationError(
                f"{symbol} has no candles yet: its first collection pins it to the first usable source of "
                "CRYPTO_PLATFORM_OHLCV_SOURCES"
            )
        since = mark.since or mark.watermark
        if mark.source != source:
            write_mark(connection, ohlcv_data.name, symbol, Mark(since, source, since))
            lower_marks(connection, FEATURES_MARK, symbol, since)
    return Coverage(mark.source, since, mark.watermark)
