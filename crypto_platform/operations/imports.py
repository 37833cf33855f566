"""Bulk history in: files of candles, each read once, checked as collected candles are, and stored as a whole or not.

The rules of precedence: a vendor's own archive is that vendor speaking, so it extends and restates the series that is
pinned to it. A file that somebody kept is older than what the vendor said since: it fills hours, and takes the place
of stand-ins from other vendors, but restates nothing. Candles of a vendor that the series is not pinned to only
fill hours that have none.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from sqlalchemy import Connection, select

from crypto_platform.core.bars import CANDLE_COLUMNS
from crypto_platform.core.coverage import Interval
from crypto_platform.core.hours import HOUR, SETTLE, closed_until
from crypto_platform.core.provenance import source_label
from crypto_platform.errors import ConfigurationError, SourceError, UnreadableFileError
from crypto_platform.operations import edges, watermarks
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.operations.series import Stored, store_candles
from crypto_platform.operations.watermarks import Mark
from crypto_platform.sources import archive as binance
from crypto_platform.sources.archive import Archive, ArchiveFile
from crypto_platform.sources.base import Fetched
from crypto_platform.sources.files import ParsedFile, parse_file, read_bytes
from crypto_platform.sources.layouts import CRYPTODATADOWNLOAD
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import Symbol
from crypto_platform.tables import imported_files, ohlcv_data

SUBJECT: Final = "imported_files"
STAND_INS: Final = frozenset({CRYPTODATADOWNLOAD})  # nobody can be asked for more of these: no series is pinned to them

_VALUES: Final = [name for name in CANDLE_COLUMNS if name != "timestamp"]

Told = Callable[[SymbolResult], None]


def import_archive(
    store: Warehouse,
    archive: Archive,
    symbols: Sequence[Symbol],
    start: datetime,
    end: datetime,
    *,
    as_of: datetime,
    require_checksum: bool = True,
    settle: timedelta = SETTLE,
    again: bool = False,
    tell: Told | None = None,
) -> Report:
    """Store the archive's candles of some months.

    Parameters
    ----------
    store : Warehouse
    archive : Archive
        The host, or a folder.
    symbols : sequence of Symbol
    start, end : datetime
        Firsts of months, half-open.
    as_of : datetime
        Now: decides which month is running, and which hours are closed.
    require_checksum : bool
        Whether a file without one beside it is refused. The checksum is what tells a whole file from a cut one and a
        re-issued one from the one that was read, so its absence is a fault of the mirror, not a detail; who keeps
        zips alone may say so, and then only each zip's own CRC speaks for it. A checksum that is there always counts.
    settle : timedelta
        Wait after an hour's end before its candle counts as closed.
    again : bool
        Read files that were read before, too.
    tell : callable, optional
        Hears of each file as it is done.

    Returns
    -------
    Report
        A result a file, in order: `details` name the file and say what became of it. A file that cannot be had or
        believed is its own error; the others are stored. A month that the archive does not have is no error; its
        days are asked for where it is the last complete one, whose monthly file comes days after its end.
    """
    results: list[SymbolResult] = []

    def done(result: SymbolResult) -> SymbolResult:
        results.append(result)
        if tell:
            tell(result)
        return result

    def one(symbol: Symbol, file: ArchiveFile) -> SymbolResult:
        return _import_one(store, archive, symbol, file, as_of, settle, require_checksum=require_checksum, again=again)

    a_month_ago = as_of - timedelta(days=as_of.day)  # within the last complete month
    for symbol in symbols:
        for file in binance.plan(symbol, start, end, as_of):
            result = done(one(symbol, file))
            if result.details.get("missing") and file.monthly and file.end > a_month_ago:
                for day in [day for day in file.days() if binance.holds(day, symbol)]:
                    done(one(symbol, day))
    return Report(SUBJECT, tuple(results))


def _import_one(
    store: Warehouse,
    archive: Archive,
    symbol: Symbol,
    file: ArchiveFile,
    as_of: datetime,
    settle: timedelta,
    *,
    require_checksum: bool,
    again: bool,
) -> SymbolResult:
    """One file of the archive; its checksum, which is small, decides whether it is read at all."""
    named = {"file": file.name}
    try:
        expected = binance.published_hash(archive, file)
        record = _record_of(store, file.name, symbol.name)
        if expected is not None and record is not None and record[0] == expected and not again:
            return SymbolResult(symbol.name, details={**named, "unchanged": True})
        found = archive.read(file.path)
        if found is None:
            return SymbolResult(symbol.name, details={**named, "missing": True})
        if expected is None and require_checksum:
            raise UnreadableFileError(
                f"{file.name} has no {file.name}{binance.CHECKSUM} beside it; get that too, or give --no-checksum"
            )
        content, provenance = found
        parsed = binance.parse_archive(
            content, file, symbol, expected=expected, end=closed_until(as_of, settle), provenance=provenance
        )
        return store_file(store, parsed, symbol.name, as_of=as_of, settle=settle, restates=True, again=again)
    except (SourceError, ConfigurationError) as error:
        return SymbolResult(symbol.name, details=named, error=str(error))


def import_files(
    store: Warehouse,
    paths: Sequence[Path],
    symbol: Symbol,
    *,
    as_of: datetime,
    source: str | None = None,
    complete: bool = False,
    settle: timedelta = SETTLE,
    again: bool = False,
    tell: Told | None = None,
) -> Report:
    """Store the candles of files in any usual layout.

    Parameters
    ----------
    store : Warehouse
    paths : sequence of Path
    symbol : Symbol
    as_of : datetime
    source : str, optional
        Whose candles they are, where the layout does not say.
    complete : bool
        That each file's newest candle had closed when it was written; see `sources.files.parse_file`.
    settle : timedelta
    again : bool
        Store what was read before, too.
    tell : callable, optional
        Hears of each file as it is done.

    Returns
    -------
    Report
        A result a file, in order; a file that cannot be read is its own error.
    """
    results = []
    for path in paths:
        try:
            parsed = parse_file(
                read_bytes(path), path.name, symbol, end=closed_until(as_of, settle), source=source, complete=complete
            )
            result = store_file(store, parsed, symbol.name, as_of=as_of, settle=settle, restates=False, again=again)
        except (SourceError, ConfigurationError) as error:
            result = SymbolResult(symbol.name, details={"file": path.name}, error=str(error))
        results.append(result)
        if tell:
            tell(result)
    return Report(SUBJECT, tuple(results))


def store_file(
    store: Warehouse,
    parsed: ParsedFile,
    symbol: str,
    *,
    as_of: datetime,
    settle: timedelta,
    restates: bool,
    again: bool = False,
) -> SymbolResult:
    """Store what a file gave, with the record of it, in one transaction.

    Parameters
    ----------
    store : Warehouse
    parsed : ParsedFile
    symbol : str
    as_of : datetime
    settle : timedelta
    restates : bool
        Whether its source itself speaks, so that its candles replace others of its own that differ.
    again : bool
        Whether to store it though the same bytes gave the same candles before.

    Returns
    -------
    SymbolResult
        `rows` new or changed; `first` and `last` hour of the file's sound candles; `details`: file, candles, rejected,
        source, restated, kept (hours where the file differs from what is stored, and that stays) and notes.

    Raises
    ------
    ProvenanceError
        The store's data is of another provenance.
    """
    first, last = parsed.span
    details = {"file": parsed.name, "candles": parsed.candles, "rejected": parsed.rejected, "source": parsed.label}
    # The same bytes give more candles where hours have closed since, or are now said to have.
    if not again and _record_of(store, parsed.name, symbol) == (parsed.sha256, parsed.label, parsed.candles):
        return SymbolResult(symbol, 0, first, last, {**details, "unchanged": True})
    mark = watermarks.read_marks(store, ohlcv_data.name, [symbol]).get(symbol)
    pinned = mark.source if mark else None
    written = restated = kept = 0
    with store.begin() as connection:
        for part in parsed.fetched:
            own = part.vendor not in STAND_INS and pinned in {None, part.vendor}
            fresh, differing = _to_store(connection, symbol, part, own=own, restates=restates)
            stored = _store(connection, symbol, fresh, as_of, settle, own=own)
            if own and len(fresh.rows):
                pinned = part.vendor
            written, kept, restated = written + stored.written, kept + differing, restated + stored.restated
        warehouse.upsert(connection, imported_files, _record(parsed, symbol, as_of))
    details |= {"restated": restated, "kept": kept, "notes": "; ".join(parsed.notes)}
    return SymbolResult(symbol, written, first, last, details)


def _store(
    connection: Connection, symbol: str, fetched: Fetched, as_of: datetime, settle: timedelta, *, own: bool
) -> Stored:
    """Store candles, and with the series' own ones its coverage: hours between it and them are gaps, and asked for."""
    stamps = fetched.rows["timestamp"]
    first, end = (
        (stamps.iloc[0].to_pydatetime(), stamps.iloc[-1].to_pydatetime() + HOUR) if len(stamps) else (as_of,) * 2
    )
    held = watermarks.read_mark(connection, ohlcv_data.name, symbol)
    pin = held.source if held else None
    stored = store_candles(
        connection,
        symbol,
        fetched,
        Interval(first, end),
        primary=pin or (fetched.vendor if own else None),
        as_of=as_of,
        settle=settle,
    )
    if not len(stamps):
        return stored
    if held is None:  # stand-ins pin nothing: the first collection begins where they do
        held = Mark(first, None, first)
    if own:
        since = min(first, held.since or first) if pin else first  # what stands in was never asked of its vendor
        label = source_label(fetched.vendor, fetched.provenance)
        details = {**held.details, **edges.grown(connection, symbol, held, label, Interval(first, end))}
        watermark = max(end, held.watermark)
        held = replace(held, watermark=watermark, source=pin or fetched.vendor, since=since, details=details)
    watermarks.write_mark(connection, ohlcv_data.name, symbol, held)
    return stored


def _to_store(
    connection: Connection, symbol: str, fetched: Fetched, *, own: bool, restates: bool
) -> tuple[Fetched, int]:
    """The candles that may be stored, and how many others differ from what stays."""
    rows = fetched.rows
    if rows.empty or (own and restates):
        return fetched, 0
    held = warehouse.read(
        connection,
        select(ohlcv_data).where(
            ohlcv_data.c.symbol == symbol,
            ohlcv_data.c.timestamp >= rows["timestamp"].iloc[0].to_pydatetime(),
            ohlcv_data.c.timestamp <= rows["timestamp"].iloc[-1].to_pydatetime(),
        ),
    )
    merged = rows.merge(held[[*CANDLE_COLUMNS, "source"]], on="timestamp", how="left", suffixes=("", "_held"))
    label = source_label(fetched.vendor, fetched.provenance)
    stays = (merged["source"] == label if own else merged["source"].notna()).to_numpy()
    new, old = merged[_VALUES].to_numpy(float), merged[[f"{name}_held" for name in _VALUES]].to_numpy(float)
    differs = ((new != old) & ~np.isnan(new)).any(axis=1)
    return replace(fetched, rows=rows[~stays].reset_index(drop=True)), int((stays & differs).sum())


def _record_of(store: Warehouse, file: str, symbol: str) -> tuple[str, str, int] | None:
    """Hash, source and candles of a file that was imported before."""
    rows = store.read(
        select(imported_files.c.sha256, imported_files.c.source, imported_files.c.candles).where(
            imported_files.c.file == file, imported_files.c.symbol == symbol
        )
    )
    return next(((row.sha256, row.source, int(row.candles)) for row in rows.itertuples()), None)


def _record(parsed: ParsedFile, symbol: str, as_of: datetime) -> pd.DataFrame:
    return warehouse.records(
        [
            {
                "file": parsed.name,
                "symbol": symbol,
                "sha256": parsed.sha256,
                "source": parsed.label,
                "candles": parsed.candles,
                "rejected": parsed.rejected,
                "imported_at": as_of,
            }
        ]
    )
