"""Recorded history through the replay server into the store: every candle, and no other."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import select

from crypto_platform.operations.candles import collect_candles
from crypto_platform.replay.clock import ReplayClock
from crypto_platform.replay.recorded import RecordedHistory
from crypto_platform.replay.server import build_app, running_server, vendor_urls
from crypto_platform.sources.catalog import SourceConfig, candle_sources
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import load_symbols
from crypto_platform.symbols import select as pick
from crypto_platform.tables import ohlcv_data

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
DAYS = 450  # back to before the suspension of FTT, whose hole is ten months long


@pytest.mark.slow
def test_a_year_of_recorded_hours_arrives_whole_and_outages_stay_gaps(recorded_data: Path, tmp_path: Path) -> None:
    history = RecordedHistory(recorded_data, NOW)
    book = load_symbols()
    names = ("BTC", "BUSD", "FTT")
    store = Warehouse.open(f"sqlite:///{tmp_path / 'store.db'}")
    with running_server(build_app(history, ReplayClock(NOW, 0), book=book)) as url:
        sources = candle_sources(SourceConfig(order=("binance",), binance_url=vendor_urls(url)["binance"]))
        report = collect_candles(store, sources, pick(book, names), as_of=NOW, history=timedelta(days=DAYS))
    assert not report.failed

    closed = NOW.replace(minute=0)
    start = closed - timedelta(days=DAYS)
    for name in names:
        held = store.read(select(ohlcv_data).where(ohlcv_data.c.symbol == name).order_by(ohlcv_data.c.timestamp))
        file = pd.read_parquet(recorded_data / "ohlcv_1h" / f"{name}.parquet")
        hours = file["timestamp"] + history.shift
        there = file[(hours >= start) & (hours < closed)]
        expected = (there["timestamp"] + history.shift).astype("datetime64[us, UTC]")
        assert held["timestamp"].tolist() == expected.tolist()
        for column in ("open", "high", "low", "close", "volume_base"):
            assert held[column].tolist() == there[column].tolist()
        assert held["volume"].isna().all()  # the recording has none for these months
        assert set(held["source"]) == {"recorded:binance"}
    store.close()

    outage = pd.Timestamp("2023-03-24 13:00", tz="UTC") + history.shift
    btc = store.read(select(ohlcv_data.c.timestamp).where(ohlcv_data.c.symbol == "BTC"))["timestamp"]
    assert outage not in set(btc)
    ftt = store.read(select(ohlcv_data.c.timestamp).where(ohlcv_data.c.symbol == "FTT"))["timestamp"].sort_values()
    assert ftt.diff().max() == pd.Timedelta(hours=7468)
