"""Whom to ask for a symbol's candles, and what they answer in today's coins."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd

from crypto_platform.core.bars import FROZEN_HOURS, empty_candles, in_units
from crypto_platform.core.coverage import Interval
from crypto_platform.core.hours import HOUR
from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import ConfigurationError, KeyRefusedError, SourceRefusedError
from crypto_platform.sources.base import CandleSource, Fetched
from crypto_platform.symbols import Symbol, pieces


def pinned(sources: Sequence[CandleSource], symbol: Symbol, vendor: str) -> CandleSource:
    """The source that a symbol's series is pinned to.

    Raises
    ------
    ConfigurationError
        It is not among the usable ones.
    """
    for source in sources:
        if source.name == vendor:
            return source
    raise ConfigurationError(
        f"{symbol.name} is pinned to source {vendor!r}, which is not usable now: give its key, list it in "
        f"CRYPTO_PLATFORM_OHLCV_SOURCES, or choose another with `crypto-platform symbols pin {symbol.name}`"
    )


def first_answer(
    sources: Sequence[CandleSource], ask: Callable[[CandleSource], Fetched]
) -> tuple[Fetched, Sequence[str]]:
    """Candles of the first source that has any: the series' primary from then on; and what the ones before it said.

    A source that does not know the symbol is passed over; one that cannot be reached is not, since a passing fault
    would decide for ever, and one whose key is refused is not, since somebody meant it to be used.

    Raises
    ------
    SourceError
        Of a source that is not passed over, or of all.
    """
    refused: list[str] = []
    empty: Fetched | None = None
    for source in sources:
        try:
            fetched = ask(source)
        except KeyRefusedError:
            raise
        except SourceRefusedError as error:
            refused.append(str(error))
            continue
        if len(fetched.rows) or fetched.rejected:
            return fetched, refused
        empty = empty or fetched
    if empty is None:
        raise SourceRefusedError("; ".join(refused))
    return empty, ()


def fetch(source: CandleSource, symbol: Symbol, chunk: Interval) -> Fetched:
    """Candles of a chunk and of the hours before it that tell where a halt began, in today's coins.

    Raises
    ------
    SourceError
        The source did not answer, or refused.
    """
    fetched = Fetched(empty_candles(), source.name, Provenance.LIVE)  # of hours outside all listings
    for n, piece in enumerate(pieces(symbol, chunk.start - FROZEN_HOURS * HOUR, chunk.end)):
        part = source.fetch_candles(piece.symbol, piece.start, piece.end)
        part = replace(part, rows=in_units(part.rows, piece.units))
        if n:
            rows = pd.concat([fetched.rows, part.rows], ignore_index=True)
            part = replace(part, rows=rows, rejected=(*fetched.rejected, *part.rejected))
        fetched = part
    return fetched
