"""Binance's bulk archive: which files hold which hours, where they lie, and whether they are what they should be.

Documented in `binance/binance-public-data README.md`: one zip a month or day, with its SHA-256 beside it.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from crypto_platform.core.politeness import Limits
from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import ConfigurationError, UnreadableFileError
from crypto_platform.sources.calls import Patience
from crypto_platform.sources.exchange import BINANCE, QUOTES
from crypto_platform.sources.files import ParsedFile, parse_file, read_bytes
from crypto_platform.sources.gate import Gate
from crypto_platform.sources.http import HttpClient, NotFoundError
from crypto_platform.sources.unpack import only_member
from crypto_platform.symbols import Symbol, pieces

ARCHIVE: Final = "Binance's archive"
ARCHIVE_URL: Final = "https://data.binance.vision"
URL_SETTING: Final = "CRYPTO_PLATFORM_BINANCE_ARCHIVE_URL"
CHECKSUM: Final = ".CHECKSUM"
UNPACKED_CAP: Final = 16 * 1024 * 1024  # a month of hours is 0.1 MB, and the longest line of digits makes it no ten
DAY: Final = timedelta(days=1)

_SUM: Final = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(\S+)\s*")


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One zip of the archive.

    Parameters
    ----------
    market : str
        Such as BTCUSDT.
    start, end : datetime
        Hours it covers, half-open: a month or a day.
    """

    market: str
    start: datetime
    end: datetime

    @property
    def monthly(self) -> bool:
        """Whether it covers a month."""
        return self.end - self.start > DAY

    @property
    def stem(self) -> str:
        """Name of the file without its ending, and of the CSV within.

        Examples
        --------
        >>> ArchiveFile("BTCUSDT", datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 2, 1, tzinfo=UTC)).stem
        'BTCUSDT-1h-2020-01'
        """
        return f"{self.market}-1h-{self.start:{'%Y-%m' if self.monthly else '%Y-%m-%d'}}"

    @property
    def name(self) -> str:
        """Name of the zip."""
        return f"{self.stem}.zip"

    @property
    def path(self) -> str:
        """Where it lies on the archive host, and in a mirror of it."""
        return f"data/spot/{'monthly' if self.monthly else 'daily'}/klines/{self.market}/1h/{self.name}"

    def days(self) -> Iterator["ArchiveFile"]:
        """The daily files of its hours."""
        day = self.start
        while day < self.end:
            yield ArchiveFile(self.market, day, day + DAY)
            day += DAY


class Archive(Protocol):
    """Somewhere the archive's files lie."""

    def read(self, path: str) -> tuple[bytes, Provenance] | None:
        """Bytes of a file by its path on the host; None where there is none."""
        ...


class ArchiveHost:
    """The archive over HTTP.

    Parameters
    ----------
    base_url : str
    patience : Patience, optional
    limits : Limits, optional
    gate : Gate, optional
    """

    def __init__(
        self,
        base_url: str = ARCHIVE_URL,
        patience: Patience | None = None,
        *,
        limits: Limits | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._client = HttpClient(
            provider=ARCHIVE, base_url=base_url, url_setting=URL_SETTING, patience=patience, limits=limits, gate=gate
        )

    def read(self, path: str) -> tuple[bytes, Provenance] | None:
        """See `Archive`. Raises a `SourceError` where the host cannot say."""
        try:
            return self._client.get_bytes(f"/{path}")
        except NotFoundError:
            return None


class ArchiveFolder:
    """The archive in a local folder: laid out as on the host, or all files beside one another.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    ConfigurationError
        There is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigurationError(f"{folder} is no folder; name one that holds files such as BTCUSDT-1h-2020-01.zip")
        self._folder = folder

    def read(self, path: str) -> tuple[bytes, Provenance] | None:
        """See `Archive`."""
        for candidate in (self._folder / path, self._folder / Path(path).name):
            if candidate.is_file():
                return read_bytes(candidate), Provenance.LIVE
        return None


def plan(symbol: Symbol, start: datetime, end: datetime, now: datetime) -> tuple[ArchiveFile, ...]:
    """Files that cover [start, end): a file a month, and a file a day of the month that is running at `now`.

    A day's file appears the day after, so the running day has none. Each is of the market that the symbol was listed
    as in its hours; a month in which that changed has a file of either.

    Parameters
    ----------
    symbol : Symbol
    start, end : datetime
        Firsts of months, 00:00 UTC.
    now : datetime
    """
    markets = dict.fromkeys(piece.symbol.pair(QUOTES[BINANCE]) for piece in pieces(symbol, start, end))
    return tuple(file for market in markets for file in _calendar(market, start, end, now) if holds(file, symbol))


def _calendar(market: str, start: datetime, end: datetime, now: datetime) -> Iterator[ArchiveFile]:
    running = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    month = start
    while month < min(end, running):
        following = next_month(month)
        yield ArchiveFile(market, month, following)
        month = following
    if start <= running < end:
        yield from (day for day in ArchiveFile(market, running, next_month(running)).days() if day.end <= now)


def holds(file: ArchiveFile, symbol: Symbol) -> bool:
    """Whether a symbol was listed as a file's market in one of its hours."""
    return any(piece.symbol.pair(QUOTES[BINANCE]) == file.market for piece in pieces(symbol, file.start, file.end))


def next_month(month: datetime) -> datetime:
    """First of the month after."""
    return (month + 31 * DAY).replace(day=1)


def published_hash(archive: Archive, file: ArchiveFile) -> str | None:
    """SHA-256 that stands beside a file; None where nothing does.

    Raises
    ------
    UnreadableFileError
        What stands there is no checksum of this file.
    """
    found = archive.read(file.path + CHECKSUM)
    if found is None:
        return None
    text = found[0].decode("ascii", "replace")
    match = _SUM.fullmatch(text)
    if match is None or match[2] != file.name:
        raise UnreadableFileError(f"{file.name}{CHECKSUM} says {text[:80]!r}, not a SHA-256 and {file.name}")
    return match[1].lower()


def parse_archive(
    content: bytes,
    file: ArchiveFile,
    symbol: Symbol,
    *,
    expected: str | None,
    end: datetime,
    provenance: Provenance = Provenance.LIVE,
    cap: int = UNPACKED_CAP,
) -> ParsedFile:
    """Candles of one zip, after its hash has been compared: those of hours in which the symbol was that market.

    Parameters
    ----------
    content : bytes
        The zip.
    file : ArchiveFile
    symbol : Symbol
    expected : str or None
        SHA-256 published beside it; None = not checked.
    end : datetime
        Exclusive; `core.hours.closed_until`.
    provenance : Provenance
    cap : int
        Bytes it may unpack to.

    Raises
    ------
    UnreadableFileError
        Another hash, no zip, damaged, not the one CSV of its name, too large, or without a candle of its hours.
    """
    found = hashlib.sha256(content).hexdigest()
    if expected is not None and found != expected:
        raise UnreadableFileError(f"{file.name} has SHA-256 {found}, its checksum file says {expected}; get it again")
    member, body = only_member(content, file.name, cap)
    if member != f"{file.stem}.csv":
        raise UnreadableFileError(f"{file.name} holds {member!r}, not {file.stem}.csv; get it again")
    listings = tuple(x for x in symbol.listings if x.market + QUOTES[BINANCE] == file.market)
    parsed = parse_file(
        body,
        file.name,
        replace(symbol, listings=listings),
        start=file.start,
        until=file.end,
        end=end,
        source=BINANCE,
        provenance=provenance,
        cap=cap,
    )
    if not parsed.candles and not parsed.rejected:
        raise UnreadableFileError(f"{file.name} holds no candle of {file.start:%Y-%m-%d} to {file.end:%Y-%m-%d}")
    return ParsedFile(file.name, found, parsed.source, parsed.fetched)
