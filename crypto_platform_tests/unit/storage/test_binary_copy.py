"""The binary COPY format, byte by byte; what Postgres makes of it is seen in the tests of the warehouse."""

from datetime import UTC, datetime

import pandas as pd
import pytest
from sqlalchemy import Boolean, Column, Double, Integer, MetaData, String, Table

from crypto_platform.errors import StoreError
from crypto_platform.storage import binary_copy
from crypto_platform.tables.columns import Json, UTCDateTime

TABLE = Table(
    "things",
    MetaData(),
    Column("name", String(9)),
    Column("is_new", Boolean),
    Column("seen_at", UTCDateTime),
    Column("size", Double),
    Column("n", Integer),
    Column("more", Json),
)
COLUMNS = binary_copy.in_order(list(TABLE.columns))
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
NULL = b"\xff\xff\xff\xff"


def frame(**values: list) -> pd.DataFrame:
    n = len(next(iter(values.values())))
    return pd.DataFrame({c.name: pd.Series(values.get(c.name, [None] * n), dtype=object) for c in TABLE.columns})


def test_a_row_has_its_number_of_fields_and_each_field_its_length() -> None:
    rows = frame(
        name=["ü"],
        is_new=[True],
        seen_at=[datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC)],
        size=[1.0],
        n=[-2],
        more=[{"a": 1}],
    )
    fields = [
        b"\0\0\0\x08" + b"\x3f\xf0\0\0\0\0\0\0",
        b"\0\0\0\x08" + b"\0\0\0\0\0\x0f\x42\x40",  # a million microseconds after 2000
        b"\0\0\0\x01" + b"\x01",
        b"\0\0\0\x04" + b"\xff\xff\xff\xfe",
        b"\0\0\0\x02" + "ü".encode(),
        b"\0\0\0\x09" + b'\x01{"a": 1}',
    ]
    assert b"".join(binary_copy.encode(COLUMNS, rows)) == HEADER + b"\0\x06" + b"".join(fields) + b"\xff\xff"


def test_what_is_missing_has_a_length_and_nothing_else() -> None:
    row = b"\0\x06" + 6 * NULL
    assert b"".join(binary_copy.encode(COLUMNS, frame(n=[None, None]))) == HEADER + 2 * row + b"\xff\xff"


def test_the_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = frame(name=["a", None, "b", "a", "c"], size=[1.0, 2.0, None, 4.0, None], n=[None, 1, 2, 3, 4])
    whole = b"".join(binary_copy.encode(COLUMNS, rows))
    monkeypatch.setattr(binary_copy, "BLOCK_ROWS", 2)
    blocks = binary_copy.encode(COLUMNS, rows)
    assert len(blocks) == 2 + 3
    assert b"".join(blocks) == whole


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, float("inf")])
def test_a_number_that_is_no_integer_of_32_bits_is_refused_by_name(number: float) -> None:
    with pytest.raises(StoreError, match=r"things\.n got"):
        binary_copy.encode(COLUMNS, frame(n=[1, number]))
