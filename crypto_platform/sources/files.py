"""Files of hourly candles: any usual layout in, sound candles and refused rows out.

A file is data of unknown care: what it says of its hours and of its own past is weighed before a row is believed.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from crypto_platform.core.bars import in_units
from crypto_platform.core.hours import HOUR
from crypto_platform.core.provenance import Provenance, source_label
from crypto_platform.core.vintages import HOUR_SECONDS, usual_step
from crypto_platform.errors import ConfigurationError, UnreadableFileError
from crypto_platform.sources.base import Fetched
from crypto_platform.sources.cells import RawTable, read_table
from crypto_platform.sources.clocks import Clock, choose_clock
from crypto_platform.sources.exchange import DEFAULT_QUOTE, QUOTES
from crypto_platform.sources.indices import QUOTE as INDEX_QUOTE
from crypto_platform.sources.layouts import CRYPTODATADOWNLOAD, OWN, Layout, recognize
from crypto_platform.sources.sorting import Sorting, is_missing
from crypto_platform.sources.unpack import UNPACKED_CAP
from crypto_platform.symbols import Symbol, pieces

FILE_QUOTES: Final = tuple(sorted({INDEX_QUOTE, DEFAULT_QUOTE, *QUOTES.values()}))
FILE_CAP: Final = 256 * 1024 * 1024
BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """What a file gave.

    Parameters
    ----------
    name : str
        Without its folder.
    sha256 : str
        Of its bytes.
    source : str
        Whose candles it is said to hold.
    fetched : tuple of Fetched
        Candles by vendor; `source`'s own first, then those somebody derived from them.
    notes : tuple of str
        What a reader should know of how it was read.
    """

    name: str
    sha256: str
    source: str
    fetched: tuple[Fetched, ...]
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Its source as the tables name it."""
        return source_label(self.source, self.fetched[0].provenance)

    @property
    def candles(self) -> int:
        """Sound candles."""
        return sum(len(part.rows) for part in self.fetched)

    @property
    def rejected(self) -> int:
        """Rows that were refused."""
        return sum(len(part.rejected) for part in self.fetched)

    @property
    def span(self) -> tuple[datetime | None, datetime | None]:
        """First and last hour of its sound candles."""
        stamps = [part.rows["timestamp"] for part in self.fetched if len(part.rows)]
        if not stamps:
            return None, None
        return min(s.iloc[0] for s in stamps).to_pydatetime(), max(s.iloc[-1] for s in stamps).to_pydatetime()


def read_bytes(path: Path) -> bytes:
    """Bytes of a file.

    Raises
    ------
    ConfigurationError
        It cannot be read, or is larger than `FILE_CAP`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_CAP + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}); name a file of candles") from error
    if len(content) > FILE_CAP:
        raise ConfigurationError(f"{path} is larger than {FILE_CAP} bytes; split it by years")
    return content


def parse_file(
    content: bytes,
    name: str,
    symbol: Symbol,
    *,
    end: datetime,
    source: str | None = None,
    start: datetime = BEGINNING,
    until: datetime | None = None,
    complete: bool = False,
    provenance: Provenance = Provenance.LIVE,
    cap: int = UNPACKED_CAP,
) -> ParsedFile:
    """Candles of a file in any layout of `sources.layouts`.

    Parameters
    ----------
    content : bytes
        CSV (also gzipped or zipped), JSON, parquet or feather.
    name : str
        For messages and the record of what was imported; nothing is read from it.
    symbol : Symbol
        Whose candles they are, in the hours of its listings; a file that names another market is refused.
    end : datetime
        Exclusive; `core.hours.closed_until`.
    source : str, optional
        Whose candles they are, where the layout does not say.
    start, until : datetime, optional
        Rows outside [start, until) are left out silently; what is not before `end` is refused all the same.
    complete : bool
        That the newest candle had closed when the file was written.
    provenance : Provenance
    cap : int
        Bytes it may unpack to.

    Returns
    -------
    ParsedFile

    Raises
    ------
    UnreadableFileError
        Damaged, of no known layout, of another market, or of candles that do not last an hour.
    ConfigurationError
        Nothing says whose candles they are.

    Notes
    -----
    The rules by which a file is repaired, in order:

    1. Layouts of compilers (CryptoDataDownload) are split into vintages: rows with an exact epoch and rows without,
       rows with a count of trades and rows without.
    2. Each vintage is read by the column that is the best hourly clock in it (`sources.clocks.choose_clock`), and an
       hour must be its most common step: candles of a day open on the hour, too. Where a row says when it closed, that
       must be within its hour.
    3. Several different rows of one hour in one vintage are all refused: nothing chooses between them.
    4. The newest row of a vintage may have been written while its hour was running (so it was in both vintages of the
       public file that its rules were tried on), and is refused unless the layout or `complete` says otherwise.
    5. A vintage of a compiler whose opens are copies of the closes before is no exchange's own: its vendor is the
       compiler, so that it only ever stands in for the exchange, and what contradicts itself in it is refused
       (`core.vintages`). In any other file an absurd but consistent price stays: real crashes look no different.
    6. Where vintages overlap, the exchange's own come before derived ones, and those with counts of trades before
       those without; the others' rows of that hour are left out.
    """
    table = read_table(content, name, cap)
    layout = recognize(table, name)
    vendor = source or layout.source
    if vendor is None:
        raise ConfigurationError(f"{name} does not say whose candles it holds; add --source, such as --source binance")
    symbol = _under_its_name(table, layout, symbol, name)
    sorting = Sorting(table, symbol, provenance, start, min(until or end, end), end)
    notes = [f"{layout.name} layout"]
    vintages = []
    for rows in _groups(table, layout):
        clock = _clock(table, layout, rows, name)
        notes += [f"{clock.name} is the time of {len(rows)} rows"]
        notes += ["times without a zone were taken as UTC"] if clock.naive or table.naive else []
        vintages.append(sorting.vintage(layout, rows, clock, complete=complete or layout.complete))
    vintages.sort(key=lambda v: (v.carried, v.candles["trades"].isna().all()))
    owners = [CRYPTODATADOWNLOAD if v.carried else vendor for v in vintages]
    if derived := sum(len(v.candles) for v in vintages if v.carried):
        notes.append(f"{derived} rows open at the last close, so {CRYPTODATADOWNLOAD} derived them")
    fetched, superseded = sorting.by_vendor(vintages, owners)
    if superseded:
        notes.append(f"{superseded} rows gave way to another vintage of their hour")
    listed = tuple(_listed(part, symbol, layout) for part in fetched)
    if others := sum(len(part.rows) for part in fetched) - sum(len(part.rows) for part in listed):
        notes.append(f"{others} rows lie outside the listings of {symbol.name} and were left out")
    return ParsedFile(name, hashlib.sha256(content).hexdigest(), vendor, listed, tuple(dict.fromkeys(notes)))


def _under_its_name(table: RawTable, layout: Layout, symbol: Symbol, name: str) -> Symbol:
    """The symbol with the listings whose market the file may hold; all of them where it does not say."""
    if layout.ticker is None:
        return symbol
    tickers = {str(cell).upper() for cell in table.column(layout.ticker)}
    markets = {symbol.name, symbol.market, *(listing.market for listing in symbol.listings)}
    bases = {said: next((market for market in markets if _is_of(said, market)), None) for said in tickers}
    for said, base in bases.items():
        if base is None:
            raise UnreadableFileError(
                f"{name} holds candles of {said!r}, not of {symbol.name} in {' or '.join(FILE_QUOTES)}; give its own "
                "--symbol, or get the file of such a market"
            )
    named = tuple(x for x in symbol.listings if x.market in bases.values())
    return replace(symbol, listings=named or symbol.listings)


def _is_of(ticker: str, market: str) -> bool:
    """Whether a ticker is a market's, alone or with a quote that candles are taken in: ETHBTC is not ETH."""
    quote = ticker.removeprefix(market).lstrip("/-_")
    return ticker.startswith(market) and quote in {"", *FILE_QUOTES}


def _listed(part: Fetched, symbol: Symbol, layout: Layout) -> Fetched:
    """Candles of the hours in which the symbol is listed, in today's coins, which those of our own layout are in."""
    if not symbol.listings or part.rows.empty:
        return part
    stamps = part.rows["timestamp"]
    rows = [
        in_units(part.rows[(stamps >= p.start) & (stamps < p.end)], 1.0 if layout.name == OWN else p.units)
        for p in pieces(symbol, stamps.iloc[0].to_pydatetime(), stamps.iloc[-1].to_pydatetime() + HOUR)
    ]
    return replace(part, rows=pd.concat([part.rows[:0], *rows], ignore_index=True))


def _groups(table: RawTable, layout: Layout) -> Iterator[np.ndarray]:
    """Row numbers of each vintage."""
    everything = np.arange(len(table.rows))
    if not layout.derived:
        yield everything
        return
    exact = [re.fullmatch(r"\d+(\.0*)?", str(cell)) is not None for cell in table.column(layout.times[0][0])]
    trades = table.column(layout.fields["trades"]) if "trades" in layout.fields else [None] * len(table.rows)
    counted = [not is_missing(cell) for cell in trades]
    kinds = np.array(exact, dtype=int) * 2 + np.array(counted, dtype=int)
    for kind in np.unique(kinds):
        yield everything[kinds == kind]


def _clock(table: RawTable, layout: Layout, rows: np.ndarray, name: str) -> Clock:
    columns = []
    for indices in layout.times:
        cells = [table.column(index) for index in indices]
        label = "+".join(table.columns[i] if table.columns else f"column {i + 1}" for i in indices)
        joined = cells[0] if len(cells) == 1 else [f"{a} {b}" for a, b in zip(*cells, strict=True)]
        columns.append((label, [joined[row] for row in rows]))
    clock, rivals = choose_clock(columns)
    if clock is None:
        raise UnreadableFileError(
            f"{name} has no hourly clock in {', '.join(label for label, _ in columns)}: "
            "only candles of one hour are read"
        )
    step = usual_step(clock.seconds)
    if step not in {None, HOUR_SECONDS}:
        raise UnreadableFileError(
            f"{name} has candles of {timedelta(seconds=step or 0)} (h:mm:ss) by {clock.name}: "
            "only candles of one hour are read; get the file of hourly ones"
        )
    if rivals:
        raise UnreadableFileError(
            f"{name} can be read by {clock.name} or {rivals[0]} alike; write its times as 2026-01-31T12:00:00Z"
        )
    return clock
