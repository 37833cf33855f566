"""Seventeen recorded symbols, from their listing on, through the replay server into the store: all of it, no more."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import select

from crypto_platform.core.hours import HOUR
from crypto_platform.operations.candles import collect_candles
from crypto_platform.operations.verify import verify
from crypto_platform.replay.clock import ReplayClock
from crypto_platform.replay.recorded import RecordedHistory
from crypto_platform.replay.server import build_app, running_server, vendor_urls
from crypto_platform.sources.catalog import SourceConfig, candle_sources
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import load_symbols
from crypto_platform.symbols import select as pick
from crypto_platform.tables import ohlcv_data, ohlcv_gaps, quarantine

END = datetime(2024, 1, 1, tzinfo=UTC)  # of the recording
NOW = END + HOUR / 2
HISTORY = NOW - datetime(2017, 8, 1, tzinfo=UTC)  # from before the first candle

# Rows, missing hours, runs of them and the longest, as the recording's own README counts them.
COUNTED = {
    "BTC": (55_740, 128, 28, 33),
    "ETH": (55_740, 128, 28, 33),
    "ADA": (49_948, 88, 25, 10),
    "SOL": (29_686, 20, 10, 4),
    "DOT": (29_501, 20, 10, 4),
    "XRP": (49_536, 88, 25, 10),
    "BNB": (53_803, 122, 27, 33),
    "DOGE": (39_328, 44, 18, 8),
    "LTC": (52_915, 122, 27, 33),
    "LINK": (43_394, 60, 20, 10),
    "TRX": (48_621, 88, 25, 10),
    "AVAX": (28_678, 20, 10, 4),
    "BCH": (35_838, 32, 15, 5),
    "ATOM": (40_934, 54, 19, 10),
    "MATIC": (40_967, 54, 19, 10),
    "FTT": (27_823, 7_498, 15, 7_467),
    "BUSD": (23_611, 12, 5, 4),
}


@pytest.mark.slow
def test_seventeen_symbols_arrive_whole_and_their_outages_stay_gaps(
    recorded_data: Path, tmp_path: Path, store: Warehouse
) -> None:
    history = RecordedHistory(recorded_data, END - HOUR)
    assert history.shift == timedelta(), "listings end when they ended"
    symbols = pick(load_symbols(), tuple(COUNTED))
    with running_server(build_app(history, ReplayClock(NOW, 0))) as url:
        sources = candle_sources(SourceConfig(order=("binance",), binance_url=vendor_urls(url)["binance"]))
        report = collect_candles(store, sources, symbols, as_of=NOW, history=HISTORY, most_chunks=None)
        again = collect_candles(store, sources, symbols, as_of=NOW, history=HISTORY, most_chunks=None)
    assert not report.failed
    assert sum(result.rows for result in again.results) == 0

    gaps = store.read(select(ohlcv_gaps))
    hours = (gaps["gap_end"] - gaps["gap_start"]) // HOUR
    for name, (rows, *missing) in COUNTED.items():
        file = pd.read_parquet(recorded_data / "ohlcv_1h" / f"{name}.parquet")
        held = store.read(select(ohlcv_data).where(ohlcv_data.c.symbol == name).order_by(ohlcv_data.c.timestamp))
        assert len(held) == len(file) == rows
        assert held["timestamp"].tolist() == file["timestamp"].tolist()
        for column in ("open", "high", "low", "close", "volume_base"):
            assert held[column].tolist() == file[column].tolist()
        assert set(held["source"]) == {"recorded:binance"}
        own = hours[gaps["symbol"] == name]
        assert [own.sum(), len(own), own.max()] == missing, name
    hole = gaps.loc[hours.idxmax()]
    assert (hole["symbol"], hole["gap_start"], hole["gap_end"]) == (
        "FTT",
        pd.Timestamp("2022-11-15 05:00", tz="UTC"),
        pd.Timestamp("2023-09-22 08:00", tz="UTC"),
    )
    assert store.read(select(quarantine)).empty
    assert verify(store, ArtifactStore(tmp_path / "artifacts"), as_of=NOW).findings == ()
