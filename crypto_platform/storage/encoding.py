"""Values of a frame's columns as the engines take them; what no engine should get is refused by name."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Boolean, Column, Double, Integer
from sqlalchemy.types import JSON

from crypto_platform.core.bars import TIMESTAMP_DTYPE
from crypto_platform.errors import StoreError
from crypto_platform.tables.columns import UTCDateTime

NAT = np.iinfo(np.int64).min  # a missing instant
document: Final = partial(json.dumps, sort_keys=True, allow_nan=False)  # JSON of a value, equal where values are


def doubles(columns: Sequence[Column[Any]], frame: pd.DataFrame) -> NDArray[np.float64]:
    """Floats, NaN where missing, shape (n_rows, n_columns); at once where all are numbers, since rows have many.

    Raises
    ------
    StoreError
        One is infinite.
    """
    names = [column.name for column in columns]
    floats: NDArray[np.float64] = frame[names].to_numpy()
    if floats.dtype != np.float64:  # some are objects, None among them perhaps
        floats = np.empty(floats.shape)
        for i, name in enumerate(names):
            floats[:, i] = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    if (infinite := np.isinf(floats).any(axis=0)).any():
        column = columns[int(infinite.argmax())]
        raise StoreError(f"column {column.table.name}.{column.name} got an infinite value: mend what computed it")
    return floats


def instants(column: Column[Any], series: pd.Series) -> NDArray[np.int64]:
    """Microseconds since 1970, `NAT` where missing, shape (n_rows,).

    Raises
    ------
    StoreError
        One is naive.
    """
    if series.dtype != TIMESTAMP_DTYPE:
        _refuse_naive(column, series[series.notna()])
        series = pd.to_datetime(series, utc=True).astype(TIMESTAMP_DTYPE)
    return np.asarray(series.to_numpy("datetime64[us]").view(np.int64))


def documents(series: pd.Series) -> list[str | None]:
    """JSON, None where missing."""
    return [None if gone else document(value) for value, gone in zip(series, series.isna(), strict=True)]


def rows(columns: Sequence[Column[Any]], frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Rows as SQLite's driver takes them, None where missing.

    Raises
    ------
    StoreError
        A value is infinite, or naive.
    """
    floating = [column for column in columns if isinstance(column.type, Double)]
    floats = doubles(floating, frame)
    values = {
        column.name: _nulls(numbers, missing)
        for column, numbers, missing in zip(floating, floats.T.tolist(), np.isnan(floats).T, strict=True)
    }
    values |= {column.name: _plain(column, frame[column.name]) for column in columns if column.name not in values}
    return list(zip(*(values[column.name] for column in columns), strict=True))


def _plain(column: Column[Any], series: pd.Series) -> list[Any]:
    kind = column.type
    if isinstance(kind, UTCDateTime):
        numbers = instants(column, series)
        return _nulls(numbers.tolist(), numbers == NAT)
    if isinstance(kind, JSON):
        return documents(series)
    missing = series.isna().to_numpy()
    if isinstance(kind, Boolean):
        return [None if gone else bool(value) for value, gone in zip(series, missing, strict=True)]
    if isinstance(kind, Integer):
        return [None if gone else int(value) for value, gone in zip(series, missing, strict=True)]
    return _nulls(series.tolist(), missing)


def _refuse_naive(column: Column[Any], given: pd.Series) -> None:
    aware = (
        all(value.tzinfo is not None for value in given)
        if given.dtype == object
        else isinstance(given.dtype, pd.DatetimeTZDtype)
    )
    if len(given) and not aware:
        raise StoreError(f"column {column.table.name}.{column.name} got a naive instant: give it a time zone")


def _nulls(values: list[Any], missing: NDArray[np.bool_]) -> list[Any]:
    for i in np.flatnonzero(missing):
        values[i] = None
    return values
