"""The whole recorded history of every symbol there is, from a replay server on this machine into empty stores."""

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

import pandas as pd
from sqlalchemy import func, select

from benchmarks.stores import engines
from crypto_platform.core.hours import HOUR
from crypto_platform.operations.candles import collect_candles
from crypto_platform.replay.clock import ReplayClock
from crypto_platform.replay.recorded import RecordedHistory
from crypto_platform.replay.server import build_app, running_server, vendor_urls
from crypto_platform.sources.catalog import SourceConfig, candle_sources
from crypto_platform.sources.exchange import BINANCE
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import load_symbols
from crypto_platform.symbols import select as pick
from crypto_platform.tables import ohlcv_data, ohlcv_gaps

FOLDER: Final = "CRYPTO_PLATFORM_TEST_DATA"


def run(*, quick: bool) -> str:
    """Measure on all engines there are; `quick` takes the first three symbols."""
    if not (named := os.environ.get(FOLDER)):
        return f"recording: left out, {FOLDER} names no folder of recorded history"
    files = sorted((Path(named) / "ohlcv_1h").glob("*.parquet"))[: 3 if quick else None]
    stamps = {path.stem: pd.read_parquet(path, columns=["timestamp"])["timestamp"] for path in files}
    symbols = pick(load_symbols(), tuple(stamps))
    end = max(part.iloc[-1] for part in stamps.values()).to_pydatetime() + HOUR
    history = end - min(part.iloc[0] for part in stamps.values()).to_pydatetime() + timedelta(days=1)
    n_rows = sum(map(len, stamps.values()))
    lines = [
        ["engine", "symbols", "candles in the files", "stored", "gaps", "s", "candles/s", "the same again, s", "rows"],
        ["---"] * 9,
    ]
    # The server shares this process: its share of the seconds is part of what is stated.
    recorded = RecordedHistory(Path(named), end - HOUR)
    with running_server(build_app(recorded, ReplayClock(end + HOUR / 2, 0))) as url, engines() as found:
        sources = candle_sources(SourceConfig(order=(BINANCE,), binance_url=vendor_urls(url)[BINANCE]))
        for engine, fresh in found.items():
            print(f"recording: {engine} …", flush=True)
            with fresh() as store_url:
                store = Warehouse.open(store_url)
                _ = store.engine
                seconds, written = [], []
                for _ in range(2):
                    began = time.perf_counter()
                    report = collect_candles(
                        store, sources, symbols, as_of=end + HOUR / 2, history=history, most_chunks=None
                    )
                    seconds.append(time.perf_counter() - began)
                    written.append(sum(result.rows for result in report.results))
                    if report.failed:
                        raise RuntimeError(f"recording: {report.failed}")
                held, gaps = (
                    int(store.read(select(func.count().label("n")).select_from(table))["n"].iloc[0])
                    for table in (ohlcv_data, ohlcv_gaps)
                )
                store.close()
            lines.append(
                [engine, str(len(symbols)), f"{n_rows:,}", f"{held:,}", str(gaps), f"{seconds[0]:.1f}",
                 f"{held / seconds[0]:,.0f}", f"{seconds[1]:.1f}", str(written[1])]
            )  # fmt: skip
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
