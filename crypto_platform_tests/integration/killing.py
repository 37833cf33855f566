"""Kill a writer at random moments, again and again, and look at what it left. Run as a program: see `main`.

The writer is a process forked from this one, so that it starts at once, and killed with SIGKILL, so that nothing of it
can tidy up. One that was killed is started again on the same store; one that came to its end is compared with an
undisturbed one, and the next begins with an empty store.
"""

import argparse
import json
import os
import random
import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pandas as pd
from sqlalchemy import delete, func, select, text

from crypto_platform.core.coverage import Interval, forward, missing
from crypto_platform.core.hours import HOUR, closed_until
from crypto_platform.operations.candles import collect_candles
from crypto_platform.operations.watermarks import read_marks
from crypto_platform.sources.base import CandleSource
from crypto_platform.sources.exchange import BinanceCandles
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import Symbol, load_symbols
from crypto_platform.symbols import select as pick
from crypto_platform.tables import metadata, ohlcv_data, ohlcv_gaps

Writer = Callable[[Warehouse, CandleSource, tuple[Symbol, ...], datetime, timedelta], None]
NAIVE_PAGE = 500  # hours


def ours(
    store: Warehouse, source: CandleSource, symbols: tuple[Symbol, ...], as_of: datetime, history: timedelta
) -> None:
    """The platform's own backfill."""
    report = collect_candles(store, [source], symbols, as_of=as_of, history=history, most_chunks=None)
    assert not report.failed, report.failed


def naive(
    store: Warehouse, source: CandleSource, symbols: tuple[Symbol, ...], as_of: datetime, history: timedelta
) -> None:
    """The control: what many loaders do. It notes how far it is, then writes rows, in steps of their own."""
    end = closed_until(as_of)
    with store.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS progress (symbol TEXT, done TEXT)"))
        connection.execute(text("CREATE TABLE IF NOT EXISTS naive (symbol TEXT, hour TEXT)"))
    for symbol in symbols:
        with store.reading() as connection:
            done = connection.execute(
                text("SELECT max(done) FROM progress WHERE symbol = :symbol"), {"symbol": symbol.name}
            ).scalar()
        start = datetime.fromisoformat(done) if done else end - history
        for page in forward(start, end, NAIVE_PAGE):
            rows = source.fetch_candles(symbol, page.start, page.end).rows
            with store.begin() as connection:
                connection.execute(
                    text("INSERT INTO progress VALUES (:symbol, :done)"),
                    {"symbol": symbol.name, "done": page.end.isoformat()},
                )
            for part in (rows[:250], rows[250:]):
                with store.begin() as connection:
                    for stamp in part["timestamp"]:
                        connection.execute(
                            text("INSERT INTO naive VALUES (:symbol, :hour)"),
                            {"symbol": symbol.name, "hour": stamp.isoformat()},
                        )


def problems_of_ours(store: Warehouse, reference: dict[str, pd.Series], *, is_done: bool) -> list[str]:
    """What is lost, there twice, or not accounted for, given the hours that the source has."""
    found = []
    marks = read_marks(store, ohlcv_data.name, list(reference))
    for symbol, hours in reference.items():
        rows = store.read(select(ohlcv_data).where(ohlcv_data.c.symbol == symbol).order_by(ohlcv_data.c.timestamp))
        held = rows["timestamp"]
        mark = marks.get(symbol)
        if mark is None:
            found += [f"{symbol}: {len(held)} rows and no mark"] if len(held) else []
            continue
        assert mark.since
        wanted = hours[(hours >= mark.since) & (hours < mark.watermark)]
        if held.tolist() != wanted.tolist():
            found.append(f"{symbol}: {len(held)} of {len(wanted)} hours in its coverage")
        if is_done and len(held) != len(hours):
            found.append(f"{symbol}: ended with {len(held)} of {len(hours)} hours")
        gaps = store.read(select(ohlcv_gaps).where(ohlcv_gaps.c.symbol == symbol).order_by(ohlcv_gaps.c.gap_start))
        noted = [(row.gap_start, row.gap_end) for row in gaps.itertuples()]
        if len(held):
            span = Interval(held.iloc[0].to_pydatetime(), held.iloc[-1].to_pydatetime() + HOUR)
            if noted != [(pd.Timestamp(hole.start), pd.Timestamp(hole.end)) for hole in missing(held, span)]:
                found.append(f"{symbol}: gaps noted {noted}")
    return found


def problems_of_naive(store: Warehouse, reference: dict[str, pd.Series], *, is_done: bool) -> list[str]:
    """Lost or doubled hours at the control's end."""
    if not is_done:
        return []
    with store.reading() as connection:
        rows = connection.execute(text("SELECT symbol, count(*), count(DISTINCT hour) FROM naive GROUP BY symbol"))
        counts = {symbol: (n, distinct) for symbol, n, distinct in rows}
    return [
        f"{symbol}: {counts.get(symbol)} rows and hours of {len(hours)}"
        for symbol, hours in reference.items()
        if counts.get(symbol) != (len(hours), len(hours))
    ]


def main() -> None:
    """Print as JSON how many writers were killed, how many ended, and every problem that was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--source-url", required=True)
    parser.add_argument("--store-url", required=True)
    parser.add_argument("--writer", choices=["ours", "naive"], required=True)
    parser.add_argument("--as-of", type=datetime.fromisoformat, required=True)
    parser.add_argument("--days", type=int, required=True)
    parser.add_argument("--symbols", required=True)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    asked = parser.parse_args()
    symbols = pick(load_symbols(), tuple(asked.symbols.split(",")))
    history = timedelta(days=asked.days)
    write, look = (ours, problems_of_ours) if asked.writer == "ours" else (naive, problems_of_naive)

    def start(store_url: str) -> int:
        child = os.fork()
        if child:
            return child
        status = 1
        try:
            write(Warehouse.open(store_url), BinanceCandles(asked.source_url), symbols, asked.as_of, history)
            status = 0
        finally:
            os._exit(status)  # never up into the parent's frames

    source = BinanceCandles(asked.source_url)
    end = closed_until(asked.as_of)
    reference = {s.name: source.fetch_candles(s, end - history, end).rows["timestamp"] for s in symbols}
    _empty(asked.store_url)
    began = time.monotonic()
    assert os.waitpid(start(asked.store_url), 0)[1] == 0
    undisturbed = time.monotonic() - began
    store = Warehouse.open(asked.store_url)
    problems = look(store, reference, is_done=True)
    assert not problems, problems  # else it proves nothing
    store.close()
    _empty(asked.store_url)

    moments = random.Random(asked.seed)
    killed = finished = 0
    while killed < asked.kills:
        child = start(asked.store_url)
        time.sleep(moments.uniform(0, undisturbed))
        was_running = os.waitpid(child, os.WNOHANG) == (0, 0)
        if was_running:
            os.kill(child, signal.SIGKILL)
            killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        store = Warehouse.open(asked.store_url)
        problems += look(store, reference, is_done=not was_running)
        store.close()
        if not was_running:
            finished += 1
            _empty(asked.store_url)
    assert os.waitpid(start(asked.store_url), 0)[1] == 0
    store = Warehouse.open(asked.store_url)
    problems += look(store, reference, is_done=True)
    store.close()
    print(json.dumps({"killed": killed, "finished": finished, "problems": problems, "seconds": undisturbed}))  # noqa: T201


def _empty(store_url: str) -> None:
    store = Warehouse.open(store_url)
    with store.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
        for name in ("progress", "naive"):
            connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
        assert connection.execute(select(func.count()).select_from(ohlcv_data)).scalar() == 0
    store.close()


if __name__ == "__main__":
    main()
