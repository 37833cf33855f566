"""Frames in Postgres' binary COPY format, encoded column by column.

A driver that writes row by row needs more time for a wide row than the server does; whole columns need almost none.
"""

from collections.abc import Sequence
from itertools import chain, groupby, pairwise
from struct import pack
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Boolean, Column, Double, Integer
from sqlalchemy.types import JSON

from crypto_platform.errors import StoreError
from crypto_platform.storage import encoding
from crypto_platform.tables.columns import UTCDateTime

BLOCK_ROWS: Final = 8192  # encoded at a time, with some tens of MB for the widest table

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + pack("!ii", 0, 0)  # no flags, no extension
_TRAILER: Final = pack("!h", -1)
_NULL: Final = pack("!i", -1)
_JSONB_VERSION: Final = b"\1"
_EPOCH_2000: Final = 946_684_800_000_000  # microseconds after 1970, where Postgres begins to count
_INTEGER: Final = np.iinfo(np.int32)

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def in_order(columns: Sequence[Column[Any]]) -> list[Column[Any]]:
    """The columns in the order in which `encode` writes them: those of one width stand together."""
    return sorted(columns, key=_kind)


def encode(columns: Sequence[Column[Any]], frame: pd.DataFrame) -> list[bytes]:
    """Content of ``COPY table (columns) FROM STDIN (FORMAT BINARY)``, in blocks.

    Parameters
    ----------
    columns : sequence of Column
        In the order of `in_order`. Doubles become float8, instants timestamptz, integers int4, booleans bool,
        documents jsonb, all else text.
    frame : DataFrame
        Has all the columns. NaN, NaT and None are NULL.

    Raises
    ------
    StoreError
        A value is infinite, an instant naive, or a number beyond 32 bits where an integer belongs.

    References
    ----------
    https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
    """
    starts = range(0, len(frame), BLOCK_ROWS)
    return [_HEADER, *(_block(columns, frame.iloc[start : start + BLOCK_ROWS]) for start in starts), _TRAILER]


def _kind(column: Column[Any]) -> int:
    """Index into `_FIXED`, or its length for columns of varying width."""
    return next((i for i, (kind, _) in enumerate(_FIXED) if isinstance(column.type, kind)), len(_FIXED))


def _block(columns: Sequence[Column[Any]], frame: pd.DataFrame) -> bytes:
    counts = np.full((len(frame), 1), len(columns), ">i2").view(np.uint8)
    parts, kept = [counts], [np.ones(counts.shape, bool)]
    varying: list[list[bytes]] = []
    for kind, own in groupby(columns, _kind):
        if kind == len(_FIXED):
            varying = [_varying(column, frame[column.name]) for column in own]
        else:
            cells, keep = _cells(*_FIXED[kind][1](list(own), frame))
            parts.append(cells)
            kept.append(keep)
    keep = np.concatenate(kept, axis=1)
    fixed = np.concatenate(parts, axis=1)[keep].tobytes()
    ends = np.cumsum(keep.sum(axis=1)).tolist()
    rows = (fixed[start:end] for start, end in pairwise([0, *ends]))
    return b"".join(chain.from_iterable(zip(rows, *varying, strict=True)))


def _cells(numbers: NDArray[Any], missing: Mask) -> tuple[Bytes, Mask]:
    """Fields of one width and which of their bytes count, both of shape (n_rows, n_columns × (4 + width))."""
    n_rows, n_columns = numbers.shape
    width = numbers.dtype.itemsize
    cells = np.empty((n_rows, n_columns, 4 + width), np.uint8)
    cells[..., :4] = np.where(missing, -1, width).astype(">i4").view(np.uint8).reshape(n_rows, n_columns, 4)
    cells[..., 4:] = numbers.view(np.uint8).reshape(n_rows, n_columns, width)
    keep = np.ones(cells.shape, bool)
    keep[..., 4:] = ~missing[..., None]
    return cells.reshape(n_rows, -1), keep.reshape(n_rows, -1)


def _doubles(columns: Sequence[Column[Any]], frame: pd.DataFrame) -> tuple[NDArray[Any], Mask]:
    numbers = encoding.doubles(columns, frame).astype(">f8", order="C")
    return numbers, np.isnan(numbers)


def _instants(columns: Sequence[Column[Any]], frame: pd.DataFrame) -> tuple[NDArray[Any], Mask]:
    numbers = np.column_stack([encoding.instants(column, frame[column.name]) for column in columns])
    missing = numbers == encoding.NAT
    return np.where(missing, 0, numbers - _EPOCH_2000).astype(">i8"), missing


def _booleans(columns: Sequence[Column[Any]], frame: pd.DataFrame) -> tuple[NDArray[Any], Mask]:
    missing = np.column_stack([frame[column.name].isna() for column in columns])
    flags = np.column_stack([frame[column.name].astype(object) for column in columns])
    return np.where(missing, False, flags).astype(bool).astype(np.uint8), missing  # noqa: FBT003 - numpy's own


def _integers(columns: Sequence[Column[Any]], frame: pd.DataFrame) -> tuple[NDArray[Any], Mask]:
    # A double holds every integer of 32 bits exactly.
    numbers = np.column_stack([frame[column.name].to_numpy(np.float64, na_value=np.nan) for column in columns])
    missing = np.isnan(numbers)
    whole = np.trunc(np.where(missing, 0, numbers))
    beyond = ((whole < _INTEGER.min) | (whole > _INTEGER.max)).any(axis=0)
    if beyond.any():
        column = columns[int(beyond.argmax())]
        raise StoreError(f"column {column.table.name}.{column.name} got a number that no integer of 32 bits holds")
    return whole.astype(">i4"), missing


_FIXED: Final = ((Double, _doubles), (UTCDateTime, _instants), (Boolean, _booleans), (Integer, _integers))


def _varying(column: Column[Any], series: pd.Series) -> list[bytes]:
    """Fields of a column of texts or documents; equal ones, which are most, are encoded once."""
    is_document = isinstance(column.type, JSON)
    texts = pd.Series(encoding.documents(series), dtype=object) if is_document else series.astype(object)
    codes, uniques = pd.factorize(texts)
    prefix = _JSONB_VERSION if is_document else b""
    contents = [prefix + text.encode() for text in uniques]
    fields = [*(pack("!i", len(content)) + content for content in contents), _NULL]  # a missing one has the code −1
    return [fields[code] for code in codes.tolist()]
