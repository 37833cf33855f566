"""Values of a frame's columns as the engines take them; what no engine should get is refused by name."""

import json
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Boolean, Column, Double, Integer
from sqlalchemy.types import JSON

from crypto_platform.core.bars import TIMESTAMP_DTYPE
from crypto_platform.errors import StoreError
from crypto_platform.tables.columns import UTCDateTime

NAT = np.iinfo(np.int64).min  # a missing instant


def doubles(column: Column[Any], series: pd.Series) -> NDArray[np.float64]:
    """Floats, NaN where missing, shape (n_rows,).

    Raises
    ------
    StoreError
        One is infinite.
    """
    floats = np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
    if np.isinf(floats).any():
        raise StoreError(f"column {column.table.name}.{column.name} got an infinite value: mend what computed it")
    return floats


def instants(column: Column[Any], series: pd.Series) -> NDArray[np.int64]:
    """Microseconds since 1970, `NAT` where missing, shape (n_rows,).

    Raises
    ------
    StoreError
        One is naive.
    """
    _refuse_naive(column, series[series.notna()])
    exact = series.dtype == TIMESTAMP_DTYPE
    aware = series if exact else pd.to_datetime(series, utc=True).astype(TIMESTAMP_DTYPE)
    return np.asarray(aware.astype("int64"))


def documents(series: pd.Series) -> list[str | None]:
    """JSON, None where missing."""
    return [
        None if gone else json.dumps(value, sort_keys=True, allow_nan=False)
        for value, gone in zip(series, series.isna(), strict=True)
    ]


def plain(column: Column[Any], series: pd.Series) -> list[Any]:
    """Values as SQLite's driver takes them, None where missing.

    Raises
    ------
    StoreError
        One is infinite, or naive.
    """
    kind = column.type
    if isinstance(kind, Double):  # first: most columns are, and wide rows come few at a time
        floats = doubles(column, series)
        return _nulls(floats.tolist(), np.isnan(floats))
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
