"""CSV, JSON, parquet and feather as one plain table of cells, told apart by their first bytes."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any, Final

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from crypto_platform.errors import UnreadableFileError
from crypto_platform.sources.unpack import UNPACKED_CAP, unwrapped

PARQUET: Final = b"PAR1"
FEATHER: Final = b"ARROW1"
DELIMITERS: Final = ",;\t|"
MICROSECONDS: Final = "us"
BATCH: Final = 4096  # rows of parquet unpacked at a time


@dataclass(frozen=True, slots=True)
class RawTable:
    """Cells as a file holds them.

    Parameters
    ----------
    columns : tuple of str
        Names as they stand there; empty where the file has no header.
    rows : sequence of sequence
        Texts, or what JSON and Arrow give; instants as microseconds since 1970, read as UTC where they are naive.
    naive : bool
        Whether instants without a time zone are among them (in texts nobody has looked yet).
    """

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    naive: bool = False

    def column(self, index: int) -> list[Any]:
        """Cells of one column; None where a row is too short."""
        return [row[index] if index < len(row) else None for row in self.rows]


def read_table(content: bytes, name: str, cap: int = UNPACKED_CAP) -> RawTable:
    """Cells of a file, unwrapped where it is zipped or gzipped.

    Raises
    ------
    UnreadableFileError
        Damaged, too large, without rows, or none of the forms above.
    """
    body = unwrapped(content, name, cap)
    if body.startswith((PARQUET, FEATHER)):
        table = _arrow(body, name, cap)
    elif body.lstrip()[:1] in {b"[", b"{"}:
        table = _json(body, name)
    else:
        table = _csv(body, name)
    if not table.rows:
        raise UnreadableFileError(f"{name} holds no rows")
    return table


def _arrow(body: bytes, name: str, cap: int) -> RawTable:
    try:
        frame = _parquet(body, name, cap) if body.startswith(PARQUET) else _feather(body, name, cap)
        naive = any(pa.types.is_timestamp(field.type) and field.type.tz is None for field in frame.schema)
        cells = [_plain(column).to_pylist() for column in frame.columns]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableFileError(f"{name} is damaged ({str(error).splitlines()[0]}); get it again") from error
    return RawTable(tuple(frame.column_names), list(zip(*cells, strict=True)), naive)


def _parquet(body: bytes, name: str, cap: int) -> Any:
    with pq.ParquetFile(BytesIO(body)) as file:
        return pa.Table.from_batches(_bounded(file.iter_batches(BATCH), name, cap), file.schema_arrow)


def _feather(body: bytes, name: str, cap: int) -> Any:
    with pyarrow.ipc.open_file(BytesIO(body)) as file:
        batches = (file.get_batch(i) for i in range(file.num_record_batches))
        return pa.Table.from_batches(_bounded(batches, name, cap), file.schema)


def _bounded(batches: Iterable[Any], name: str, cap: int) -> Iterator[Any]:
    """Batches as they are unpacked: what a file says of its own size is no bound, repeated values cost it nothing."""
    size = 0
    for batch in batches:
        size += batch.nbytes
        if size > cap:
            raise UnreadableFileError(f"{name} would unpack to more than {cap} bytes; no file of candles does")
        yield batch


def _plain(column: Any) -> Any:
    """A column without Arrow's own instants, which `to_pylist` gives as objects of several kinds."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp(MICROSECONDS, column.type.tz), safe=False).cast(pa.int64())
    return column


def _json(body: bytes, name: str) -> RawTable:
    try:
        rows = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableFileError(f"{name} begins as JSON and is none ({error}); get it again") from error
    if isinstance(rows, list) and all(isinstance(row, list) for row in rows):
        return RawTable((), rows)
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        columns = tuple(dict.fromkeys(key for row in rows for key in row))
        return RawTable(columns, [[row.get(key) for key in columns] for row in rows])
    raise UnreadableFileError(
        f"{name} is JSON, but no list of rows; known is [[time, open, high, low, close, volume], …]"
    )


def _csv(body: bytes, name: str) -> RawTable:
    try:
        text = body.decode("utf-8-sig")
        lines = text.splitlines()
        width = _widest(lines[:20])
        kept = [line for line in lines if line.strip() and not _is_comment(line, width)]
        delimiter = _delimiter(kept[:20])
        rows = list(csv.reader(StringIO("\n".join(kept)), delimiter=delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFileError(f"{name} is no text of comma-separated values ({error})") from error
    rows = [[cell.strip() for cell in row] for row in rows]
    if rows and not _is_number(rows[0][-1]) and not any(_is_number(cell) for cell in rows[0]):
        return RawTable(tuple(rows[0]), rows[1:])
    return RawTable((), rows)


def _widest(lines: Sequence[str]) -> int:
    return max((sum(line.count(sign) for sign in DELIMITERS) for line in lines), default=0)


def _is_comment(line: str, width: int) -> bool:
    """A line such as the address that some vendors put first."""
    return line.startswith("#") or (width > 0 and not any(sign in line for sign in DELIMITERS))


def _delimiter(lines: Sequence[str]) -> str:
    return max(DELIMITERS, key=lambda sign: sum(line.count(sign) for line in lines))


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", cell) is not None
