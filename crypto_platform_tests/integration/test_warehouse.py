"""Laws of reading and writing frames, on both engines."""

import math
import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, Double, Integer, String, Table, Text, func, null, select
from sqlalchemy.exc import StatementError
from sqlalchemy.types import JSON

from crypto_platform.core.hours import HOUR
from crypto_platform.errors import StoreError
from crypto_platform.operations.watermarks import Mark, read_marks, write_mark, write_marks
from crypto_platform.storage import binary_copy, warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import market_data, metadata, monitoring_metrics, ohlcv_data, predictions, watermarks
from crypto_platform.tables.columns import UTCDateTime

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)

by_hypothesis = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def snapshot(**values: Any) -> pd.DataFrame:
    row = {"symbol": "BTC", "timestamp": NOON, "price_usd": 1.5, "total_volume": 7.0, "known_at": NOON, "source": "x"}
    return pd.DataFrame([row | values])


def write(store: Warehouse, frame: pd.DataFrame, table: Table = market_data) -> int:
    with store.begin() as connection:
        return warehouse.upsert(connection, table, frame)


def add(store: Warehouse, frame: pd.DataFrame, table: Table = market_data) -> int:
    with store.begin() as connection:
        return warehouse.insert_missing(connection, table, frame)


def test_a_second_upsert_of_equal_rows_counts_nothing(store: Warehouse, walk: Any) -> None:
    candles = walk("BTC", 50, seed=1).assign(source="x", known_at=NOON, known_at_estimated=False)
    assert write(store, candles, ohlcv_data) == 50
    assert write(store, candles, ohlcv_data) == 0
    assert write(store, candles.assign(trades=np.nan), ohlcv_data) == 50
    assert write(store, candles.assign(trades=np.nan), ohlcv_data) == 0  # NULL equals NULL here


def test_an_upsert_counts_only_the_rows_that_differ(store: Warehouse, walk: Any) -> None:
    candles = walk("BTC", 50, seed=1).assign(source="x", known_at=NOON, known_at_estimated=False)
    write(store, candles.iloc[:30], ohlcv_data)
    candles.loc[3, "volume"] = 0.5
    assert write(store, candles, ohlcv_data) == 1 + 20


def test_an_upsert_refreshes_every_other_column_also_to_null(store: Warehouse) -> None:
    write(store, snapshot())
    assert write(store, snapshot(price_usd=2.5, total_volume=None, source="y")) == 1
    row = store.read(select(market_data)).iloc[0]
    assert (row["price_usd"], row["source"]) == (2.5, "y")
    assert math.isnan(row["total_volume"])


def test_an_upsert_refreshes_also_the_columns_it_is_not_given(store: Warehouse, walk: Any) -> None:
    write(store, snapshot())
    assert write(store, snapshot(price_usd=2.5).drop(columns="total_volume")) == 1
    assert _count(store, market_data, market_data.c.total_volume.is_(None)) == 1
    candles = walk("BTC", 1, seed=1).assign(source="x", known_at=NOON, known_at_estimated=True)
    write(store, candles, ohlcv_data)
    write(store, candles.drop(columns="known_at_estimated"), ohlcv_data)
    assert store.read(select(ohlcv_data))["known_at_estimated"].tolist() == [False]  # its default


def test_insert_missing_never_touches_what_is_there(store: Warehouse) -> None:
    assert add(store, snapshot()) == 1
    both = pd.concat([snapshot(price_usd=9.0), snapshot(symbol="ETH")])
    assert add(store, both) == 1
    rows = store.read(select(market_data).order_by(market_data.c.symbol))
    assert rows["price_usd"].tolist() == [1.5, 1.5]


def test_rows_of_many_symbols_are_counted_by_symbol(store: Warehouse, walk: Any) -> None:
    names = ("ETH", "BTC", "ADA")
    candles = pd.concat([walk(name, 20, seed=1) for name in names]).sample(frac=1, random_state=1)
    candles = candles.assign(source="x", known_at=NOON, known_at_estimated=False).reset_index(drop=True)
    write(store, candles[(candles["symbol"] == "BTC") | (candles.index % 2 == 0)], ohlcv_data)
    lacking = (candles["symbol"] != "BTC") & (candles.index % 2 == 1)
    differing = candles["symbol"] == "ADA"
    candles.loc[differing, "volume"] = 0.5
    with store.begin() as connection:
        added = warehouse.insert_missing_by_symbol(connection, ohlcv_data, candles)
        assert +added == candles.loc[lacking, "symbol"].value_counts().to_dict()
        changed = warehouse.upsert_by_symbol(connection, ohlcv_data, candles)
        assert +changed == {"ADA": (differing & ~lacking).sum()}
        assert warehouse.upsert_by_symbol(connection, ohlcv_data, candles).total() == 0
        assert warehouse.upsert_by_symbol(connection, ohlcv_data, candles.iloc[:0]).total() == 0
    assert _count(store, ohlcv_data) == 60


def test_marks_of_many_symbols_are_written_as_each_alone(store: Warehouse) -> None:
    marks = {
        name: Mark(NOON, source, details={"n": n}) for n, (name, source) in enumerate({"B": "x", "A": None}.items())
    }
    with store.begin() as connection:
        write_marks(connection, "together", marks)
        for name, mark in marks.items():
            write_mark(connection, "alone", name, mark)
        write_marks(connection, "none", {})
    assert read_marks(store, "together", ["A", "B"]) == read_marks(store, "alone", ["A", "B"]) == marks
    assert read_marks(store, "none", ["A", "B"]) == {}


def test_a_row_alone_is_written_as_a_frame_of_one(store: Warehouse) -> None:
    row = {"dataset": "d", "symbol": "BTC", "watermark": NOON, "source": "x", "details": {"b": 1, "a": [2.5, None]}}
    with store.begin() as connection:
        warehouse.upsert_row(connection, watermarks, row)
    assert write(store, pd.DataFrame([row]), watermarks) == 0  # equal to the last byte of its document
    with store.begin() as connection:
        warehouse.upsert_row(connection, watermarks, row | {"source": None, "details": None, "watermark": NOON + HOUR})
    held = store.read(select(watermarks)).iloc[0]
    assert (held["watermark"], held["source"], held["details"], held["revision"]) == (NOON + HOUR, None, None, 0)
    assert _count(store, watermarks, watermarks.c.details.is_(null())) == 1
    with pytest.raises(StoreError, match="rows for watermarks were refused"), store.begin() as connection:
        warehouse.upsert_row(connection, watermarks, row | {"watermark": None})


@pytest.mark.parametrize("writing", [write, add])
def test_an_empty_frame_writes_nothing(store: Warehouse, writing: Any) -> None:
    assert writing(store, pd.DataFrame()) == 0
    assert writing(store, snapshot().iloc[:0]) == 0


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
@pytest.mark.parametrize("writing", [write, add])
def test_whatever_is_missing_becomes_null(store: Warehouse, writing: Any, missing: Any) -> None:
    frame = snapshot(total_volume=missing)
    frame["total_volume"] = pd.Series([missing], dtype=object)
    writing(store, frame)
    assert _count(store, market_data, market_data.c.total_volume.is_(None)) == 1


def test_a_missing_instant_or_text_becomes_null(store: Warehouse) -> None:
    frame = pd.DataFrame({"dataset": ["d"], "symbol": ["BTC"], "watermark": [NOON], "source": [np.nan]})
    write(store, frame, watermarks)
    assert _count(store, watermarks, watermarks.c.source.is_(None)) == 1
    with pytest.raises(
        StoreError, match="rows for watermarks were refused"
    ):  # and where NULL is not allowed, it is refused
        write(store, frame.assign(watermark=pd.NaT), watermarks)


@pytest.mark.parametrize("writing", [write, add])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_value_is_refused_by_name(store: Warehouse, writing: Any, value: float) -> None:
    with pytest.raises(StoreError, match=r"market_data\.price_change_24h got an infinite value"):
        writing(store, snapshot(price_change_24h=value))
    assert _count(store, market_data) == 0


@pytest.mark.parametrize("writing", [write, add])
def test_a_column_the_table_does_not_have_is_refused_by_name(store: Warehouse, writing: Any) -> None:
    with pytest.raises(StoreError, match=r"market_data has no column \['mood'\]"):
        writing(store, snapshot(mood=1.0))


@pytest.mark.parametrize("writing", [write, add])
def test_naive_instants_are_refused(store: Warehouse, writing: Any) -> None:
    with pytest.raises(StoreError, match=r"market_data\.known_at .*naive"):
        writing(store, snapshot(known_at=datetime(2026, 5, 4)))  # noqa: DTZ001
    with pytest.raises(StatementError, match="naive"), store.reading() as connection:
        connection.execute(select(market_data).where(market_data.c.timestamp > datetime(2026, 5, 4)))  # noqa: DTZ001


def test_instants_of_other_zones_are_the_same_instants(store: Warehouse) -> None:
    there = NOON.astimezone(timezone(timedelta(hours=-7)))
    write(store, snapshot())
    assert write(store, snapshot(timestamp=there, known_at=there)) == 0
    assert store.read(select(market_data))["timestamp"].tolist() == [pd.Timestamp(NOON)]


def test_a_broken_constraint_keeps_the_whole_frame_out(store: Warehouse) -> None:
    frame = pd.concat([snapshot(), snapshot(symbol="ETH", price_usd=-1.0)])
    with pytest.raises(StoreError, match=r"rows for market_data were refused .*price_usd"):
        write(store, frame)
    assert _count(store, market_data) == 0


def test_a_failed_transaction_leaves_nothing_behind(store: Warehouse) -> None:
    write(store, snapshot())

    def half_done() -> None:
        with store.begin() as connection:
            warehouse.upsert(connection, market_data, snapshot(price_usd=3.0))
            warehouse.upsert(connection, market_data, snapshot(symbol="ETH"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_done()
    assert store.read(select(market_data))["price_usd"].tolist() == [1.5]


def test_a_reader_sees_the_state_before_an_open_transaction_and_does_not_wait(store: Warehouse) -> None:
    write(store, snapshot())
    with store.begin() as connection:
        warehouse.upsert(connection, market_data, snapshot(price_usd=3.0))
        assert store.read(select(market_data))["price_usd"].tolist() == [1.5]
    assert store.read(select(market_data))["price_usd"].tolist() == [3.0]


def test_one_transaction_may_write_a_table_more_than_once(store: Warehouse) -> None:
    with store.begin() as connection:
        assert warehouse.upsert(connection, market_data, snapshot()) == 1
        assert warehouse.upsert(connection, market_data, snapshot(price_usd=2.0)) == 1
        assert warehouse.insert_missing(connection, market_data, snapshot(price_usd=3.0)) == 0


def test_concurrent_writers_lose_nothing(store: Warehouse) -> None:
    """Each adds 1 to the same number, many times: read, modify, write."""
    write(store, snapshot(price_usd=1.0))
    writers, times = 4, 15
    errors: list[Exception] = []

    def add_ones() -> None:
        try:
            for _ in range(times):
                with store.begin() as connection:
                    held = warehouse.read(connection, select(market_data).with_for_update())
                    warehouse.upsert(connection, market_data, held.assign(price_usd=held["price_usd"] + 1))
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=add_ones) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.read(select(market_data))["price_usd"].tolist() == [1.0 + writers * times]


def test_processes_that_find_an_empty_store_create_it_once(store_url: str) -> None:
    stores = [Warehouse.open(store_url) for _ in range(4)]
    errors: list[Exception] = []

    def use(mine: Warehouse) -> None:
        try:
            write(mine, snapshot())
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=use, args=(mine,)) for mine in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = [_count(mine, market_data) for mine in stores]
    for mine in stores:
        mine.close()
    assert (errors, counts) == ([], [1] * 4)


def test_reading_no_rows_keeps_the_types(store: Warehouse) -> None:
    frame = store.read(select(ohlcv_data))
    assert frame.dtypes["timestamp"] == "datetime64[us, UTC]"
    assert frame.dtypes["close"] == np.float64


@pytest.mark.parametrize("text", ["", "ß∂ 價格", 'quote " and \\ and \t', "a\nb", "\\N", "'; DROP TABLE x; --"])
def test_any_text_comes_back_as_it_was(store: Warehouse, text: str) -> None:
    write(store, snapshot(source=text))
    assert store.read(select(market_data))["source"].tolist() == [text]


@pytest.mark.parametrize("number", [5e-324, 1.7976931348623157e308, 0.1 + 0.2, -0.0, 1e-7, 123456789.123456789])
def test_doubles_come_back_to_the_last_bit(store: Warehouse, number: float) -> None:
    write(store, snapshot(price_change_24h=number))
    assert store.read(select(market_data))["price_change_24h"].tolist() == [number]


@pytest.mark.parametrize("document", [{"a": [1, 2.5, None, "x"], "b": {"c": True}}, [], {}, ["ü"], {"n": 1e-9}])
def test_documents_come_back_as_they_were(store: Warehouse, document: Any) -> None:
    frame = pd.DataFrame(
        {"timestamp": [NOON], "metric_type": ["t"], "metric_name": ["n"], "symbol": ["BTC"], "metric_value": [1.0]}
    ).assign(metadata=pd.Series([document], dtype=object))
    assert write(store, frame, monitoring_metrics) == 1
    assert store.read(select(monitoring_metrics))["metadata"].tolist() == [document]
    assert write(store, frame, monitoring_metrics) == 0


# Every table's own types, whatever rows: constraints are given up, since they are about meaning.


def _bare(table: Table) -> Table:
    """The table's columns and key under another name, without its constraints."""
    name = f"bare_{table.name}"
    if name in _SCRATCH.tables:
        return _SCRATCH.tables[name]
    columns = [
        Column(c.name, c.type, primary_key=c.primary_key, autoincrement=False, nullable=not c.primary_key)
        for c in table.columns
    ]
    return Table(name, _SCRATCH, *columns)


_SCRATCH = type(metadata)()
_INSTANTS = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(-1e9, 1e9).filter(lambda x: x != 0) | _TEXTS,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(_TEXTS, children, max_size=3),
    max_leaves=5,
).filter(lambda value: value is not None)


def _values(column: Column[Any]) -> st.SearchStrategy[Any]:
    kinds: list[tuple[type, st.SearchStrategy[Any]]] = [
        (UTCDateTime, _INSTANTS),
        (Double, st.floats(allow_nan=False, allow_infinity=False)),
        (Boolean, st.booleans()),
        (Integer, st.integers(-(2**31), 2**31 - 1)),
        (JSON, _JSON),
        (Text, _TEXTS),
        (String, _TEXTS),
    ]
    values = next(strategy for kind, strategy in kinds if isinstance(column.type, kind))
    if isinstance(column.type, String) and column.type.length:
        values = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=min(column.type.length, 4))
    return values if column.primary_key else st.none() | values


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
@by_hypothesis
@given(data=st.data())
def test_rows_of_every_table_come_back_as_they_went_in(store: Warehouse, table: Table, data: st.DataObject) -> None:
    bare = _bare(table)
    keys = [c.name for c in bare.primary_key]
    rows = data.draw(
        st.lists(
            st.fixed_dictionaries({c.name: _values(c) for c in bare.columns}),
            min_size=1,
            max_size=4,
            unique_by=lambda row: tuple(row[key] for key in keys),
        )
    )
    bare.drop(store.engine, checkfirst=True)
    bare.create(store.engine)
    frame = pd.DataFrame({c.name: pd.Series([row[c.name] for row in rows], dtype=object) for c in bare.columns})
    assert write(store, frame, bare) == len(rows)
    assert write(store, frame, bare) == 0
    back = store.read(select(bare))
    assert _plain(back, keys) == _plain(frame, keys)
    assert add(store, frame, bare) == 0


def _plain(frame: pd.DataFrame, keys: list[str]) -> list[dict[str, Any]]:
    def one(value: Any) -> Any:
        if isinstance(value, list | dict | str):
            return value
        return None if pd.isna(value) else value

    rows = [{str(name): one(value) for name, value in row.items()} for row in frame.to_dict("records")]
    return sorted(
        rows,
        key=lambda row: repr(
            [row[key] if not isinstance(row[key], datetime) else row[key].timestamp() for key in keys]
        ),
    )


def test_more_rows_than_a_block_come_back_as_they_went_in(
    store: Warehouse, walk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binary_copy, "BLOCK_ROWS", 7)
    candles = walk("BTC", 50, seed=1).assign(source="x", known_at=NOON, known_at_estimated=False)
    candles.loc[::3, "volume"] = np.nan
    candles.loc[::5, "trades"] = np.nan
    candles["known_at_estimated"] = candles["volume"].isna()
    assert write(store, candles, ohlcv_data) == 50
    back = store.read(select(ohlcv_data).order_by(ohlcv_data.c.timestamp))
    pd.testing.assert_frame_equal(back, candles[back.columns], check_dtype=False, check_exact=True)


def test_a_frame_that_is_refused_leaves_its_transaction_alone(store: Warehouse) -> None:
    with store.begin() as connection:
        warehouse.upsert(connection, market_data, snapshot())
        with pytest.raises(StoreError, match="infinite"):
            warehouse.upsert(connection, market_data, snapshot(price_usd=np.inf))
        warehouse.upsert(connection, market_data, snapshot(symbol="ETH"))
    assert _count(store, market_data) == 2


def test_predictions_without_a_model_fit_the_table(store: Warehouse) -> None:
    row = {
        "symbol": "BTC",
        "horizon": 1,
        "prediction_timestamp": NOON,
        "version": "none",
        "candle_timestamp": NOON - timedelta(hours=1),
        "created_at": NOON,
        "role": "champion",
        "origin": "live",
        "current_price": 1.0,
        "signal": "HOLD",
        "signal_before_costs": "HOLD",
        "reason": "no_model",
    }
    assert add(store, pd.DataFrame([row]), predictions) == 1
    back = store.read(select(predictions)).iloc[0]
    assert math.isnan(back["prob_up"])
    assert back["missing_features"] is None


def _count(store: Warehouse, table: Table, *where: Any) -> int:
    return int(store.read(select(func.count().label("n")).select_from(table).where(*where))["n"].iloc[0])
