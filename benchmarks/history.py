"""A year of hourly candles of five symbols from a replay server on this machine, into empty stores.

The server is a process of its own, and its market is drawn before it is asked: what is measured is the platform and
what the server needs to answer. Beside it a loader of ours that asks page by page and writes row by row. Then the
same backfill at the pace that vendors ask for: below the sum of those waits nobody can be.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from statistics import median
from typing import Final

import ccxt
import pandas as pd
import requests

from benchmarks.politeness import Pace
from benchmarks.stores import Fresh, RowByRow, engines
from benchmarks.world import NOW
from crypto_platform.core.bars import CANDLE_COLUMNS, TIMESTAMP_DTYPE
from crypto_platform.core.hours import HOUR
from crypto_platform.core.politeness import Limits
from crypto_platform.core.provenance import Provenance, source_label
from crypto_platform.operations import build, collect
from crypto_platform.operations.candles import collect_candles
from crypto_platform.operations.results import Report
from crypto_platform.replay.clock import ReplayClock
from crypto_platform.replay.scenario import Scenario
from crypto_platform.replay.server import DEFAULT_KEYS, build_app, serve, vendor_urls
from crypto_platform.replay.simulated import SimulatedMarket
from crypto_platform.sources.base import CandleSource
from crypto_platform.sources.catalog import LIMITS, SourceConfig, candle_sources, sentiment_source
from crypto_platform.sources.exchange import BINANCE, BINANCE_PAGE, BinanceCandles
from crypto_platform.sources.gate import Gate
from crypto_platform.sources.indices import CRYPTOCOMPARE, CryptoCompare
from crypto_platform.storage.vendors import StoredStates
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import Symbol, load_symbols
from crypto_platform.symbols import select as pick
from crypto_platform.tables import ohlcv_data

NAMES: Final = ("BTC", "ETH", "ADA", "SOL", "DOT")
DAYS: Final = 365
SEED: Final = 26
AS_OF: Final = NOW + timedelta(minutes=5)
ROUNDS: Final = 3
STEPS: Final = ("candles", "sentiment", "features")
AIM: Final = 15.0  # seconds of the whole command
VENDORS: Final = (BINANCE, CRYPTOCOMPARE)


@dataclass(frozen=True, slots=True)
class Backfill:
    """Seconds of each step, those of this process' CPU, and rows that it wrote."""

    seconds: Mapping[str, float]
    cpu: Mapping[str, float]
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found with one engine: rounds of the platform, the same again, the baseline; the whole command."""

    first: list[Backfill]
    again: list[Backfill]
    baseline: list[float]
    command: float
    command_cpu: float


@contextmanager
def served(days: int = DAYS) -> Iterator[dict[str, str]]:
    """Base URL by vendor of a replay server in another process."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(there, days), daemon=True)
    process.start()
    try:
        yield vendor_urls(here.recv())
    finally:
        process.terminate()
        process.join()


def _serve(ready: Connection, days: int) -> None:
    market = SimulatedMarket(Scenario(seed=SEED, epoch=_midnight(AS_OF - timedelta(days=days + 30)), symbols=NAMES))
    for name in NAMES:
        market.candles(name, market.scenario.epoch, AS_OF)
    serve(build_app(market, ReplayClock(AS_OF, 0)), on_ready=ready.send)


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def symbols() -> tuple[Symbol, ...]:
    """The followed symbols: none of them was listed within the year."""
    return pick(load_symbols(), NAMES)


def backfill(store: Warehouse, urls: Mapping[str, str], days: int = DAYS) -> Backfill:
    """What `crypto-platform backfill` does, step by step; a symbol that fails ends the benchmark."""
    config = SourceConfig(order=(BINANCE,), binance_url=urls[BINANCE], fear_greed_url=urls["fear_greed"])
    gate, history = Gate(StoredStates(store)), timedelta(days=days)
    sources, moods = candle_sources(config, gate), sentiment_source(config, gate)
    seconds, cpu, rows = {}, {}, {}
    for step, work in {
        "candles": lambda: _collect(store, sources, history),
        "sentiment": lambda: collect.collect_sentiment(store, moods, as_of=AS_OF, history=history),
        "features": lambda: build.build_features(store, NAMES, as_of=AS_OF),
    }.items():
        began, used = time.perf_counter(), time.process_time()
        done = _sound(work())
        seconds[step], cpu[step] = time.perf_counter() - began, time.process_time() - used
        rows[step] = sum(result.rows for result in done.results)
    return Backfill(seconds, cpu, rows)


def _collect(store: Warehouse, sources: tuple[CandleSource, ...], history: timedelta) -> Report:
    return collect_candles(store, sources, symbols(), as_of=AS_OF, history=history, most_chunks=None)


def _sound(report: Report) -> Report:
    if report.failed:
        raise RuntimeError(f"{report.subject}: {report.failed}")
    return report


def load_row_by_row(rows: RowByRow, binance_url: str, days: int = DAYS) -> None:
    """The baseline's candles: one page after the other, each written before the next one is asked for."""
    end = int(AS_OF.replace(minute=0).timestamp() * 1000)
    for symbol in symbols():
        since = end - days * 24 * 3_600_000
        while since < end:
            query = {"symbol": symbol.pair("USDT"), "interval": "1h", "startTime": since, "endTime": end - 1}
            answer = requests.get(f"{binance_url}/api/v3/klines", {**query, "limit": BINANCE_PAGE}, timeout=10)
            answer.raise_for_status()
            page = answer.json()
            if not page:
                break
            rows.upsert(ohlcv_data, _candles(symbol.name, page))
            since = page[-1][0] + 3_600_000


def _candles(symbol: str, page: list[list[str | int]]) -> pd.DataFrame:
    kept = [[row[i] for i in (0, 1, 2, 3, 4, 5, 7, 8)] for row in page]
    frame = pd.DataFrame(kept, columns=list(CANDLE_COLUMNS)).astype(float)
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], unit="ms", utc=True).astype(TIMESTAMP_DTYPE)
    return frame.assign(
        symbol=symbol,
        source=source_label(BINANCE, Provenance.SIMULATED),
        known_at=frame["timestamp"] + HOUR,
        known_at_estimated=True,
    )


def command(store_url: str, urls: Mapping[str, str], days: int = DAYS) -> tuple[float, float]:
    """Seconds of `crypto-platform backfill` from the start of its process to its end, and those of CPU."""
    prefix = "CRYPTO_PLATFORM_"
    with tempfile.TemporaryDirectory() as home:
        settings = {
            "HOME": home,
            "DATABASE_URL": store_url,
            "SYMBOLS": ",".join(NAMES),
            "OHLCV_SOURCES": BINANCE,
            "BINANCE_URL": urls[BINANCE],
            "FEAR_GREED_URL": urls["fear_greed"],
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith(prefix)}
        words = ["-m", "crypto_platform", "backfill", "--days", str(days), "--now", AS_OF.isoformat()]
        began, before = time.perf_counter(), os.times()
        subprocess.run(
            [sys.executable, *words],
            env=clean | {prefix + name: value for name, value in settings.items()},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        seconds, after = time.perf_counter() - began, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, cpu


def measure(fresh: Fresh, urls: Mapping[str, str], *, rounds: int = ROUNDS, days: int = DAYS) -> Measured:
    """Rounds of baseline and platform in turns, each into an empty store; then the command."""
    first, again, baseline = [], [], []
    for _ in range(rounds):
        with fresh() as url:
            rows = RowByRow(url)
            began = time.perf_counter()
            load_row_by_row(rows, urls[BINANCE], days)
            baseline.append(time.perf_counter() - began)
            rows.close()
        with fresh() as url:
            store = Warehouse.open(url)
            _ = store.engine
            first.append(backfill(store, urls, days))
            again.append(backfill(store, urls, days))
            store.close()
    with fresh() as url:
        return Measured(first, again, baseline, *command(url, urls, days))


class _Counted(StoredStates):
    """States that add up how long the requests they let through must take, the last one apart."""

    def __init__(self, store: Warehouse) -> None:
        super().__init__(store)
        self._spacings: list[timedelta] = []

    @property
    def requests(self) -> int:
        return len(self._spacings)

    @property
    def floor(self) -> timedelta:
        return sum(self._spacings[:-1], timedelta())

    def take_turn(
        self, vendor: str, now: datetime, spacing: timedelta, monthly: int | None
    ) -> tuple[datetime, int] | None:
        self._spacings.append(spacing)
        return super().take_turn(vendor, now, spacing, monthly)


def paced(fresh: Fresh, urls: Mapping[str, str], vendor: str, days: int = DAYS) -> Pace:
    """A backfill of candles at the pace that the clients keep with the vendor itself."""
    with fresh() as url:
        store = Warehouse.open(url)
        _ = store.engine
        states = _Counted(store)
        gate = Gate(states)
        source: CandleSource
        if vendor == BINANCE:
            limits = Limits(ccxt.binance().rateLimit / 1000, loopback=True)
            source = BinanceCandles(urls[BINANCE], limits=limits, gate=gate)
        else:
            limits = replace(LIMITS[CRYPTOCOMPARE], loopback=True)
            source = CryptoCompare(DEFAULT_KEYS[0], urls[CRYPTOCOMPARE], limits=limits, gate=gate)
        began = time.perf_counter()
        _sound(_collect(store, (source,), timedelta(days=days)))
        seconds = time.perf_counter() - began
        store.close()
    return Pace(states.requests, states.floor.total_seconds(), seconds)


def report(measured: Mapping[str, Measured], paces: Mapping[tuple[str, str], Pace]) -> str:
    """Markdown: ratios first, then seconds."""
    found = list(measured.values())
    lines = [[f"{DAYS} days of {len(NAMES)} symbols", *measured], ["---"] * (1 + len(found))]
    seconds = {step: [median(run.seconds[step] for run in m.first) for m in found] for step in STEPS}
    again = [median(sum(run.seconds.values()) for run in m.again) for m in found]
    baseline = [median(m.baseline) for m in found]
    rows = {step: [m.first[0].rows[step] for m in found] for step in STEPS}
    lines.append(
        ["baseline / platform, candles", *(f"{b / s:.1f} ×" for b, s in zip(baseline, seconds["candles"], strict=True))]
    )
    lines += [
        [f"platform / floor, candles at {vendor}'s pace", *(_over(paces.get((engine, vendor))) for engine in measured)]
        for vendor in VENDORS
    ]
    whole = [f"{m.command:.1f} ({m.command_cpu:.1f} s of CPU)" for m in found]
    lines.append([f"`crypto-platform backfill` from start to end, s (aim: ≤ {AIM:.0f})", *whole])
    for step in STEPS:
        cells = [f"{s:.2f} ({n:,} rows, {n / s:,.0f} rows/s)" for s, n in zip(seconds[step], rows[step], strict=True)]
        lines.append([f"platform: {step}, s", *cells])
        used = [median(run.cpu[step] for run in m.first) for m in found]
        cells = [f"{s:.2f} ({n / s:,.0f} rows/s)" for s, n in zip(used, rows[step], strict=True)]
        lines.append([f"platform: {step}, s of its process' CPU", *cells])
    lines.append(["platform: the same again, s", *_numbers(again)])
    written = [[max(run.rows[step] for run in m.again) for step in STEPS] for m in found]
    lines.append([f"rows it wrote then ({', '.join(STEPS)})", *(", ".join(map(str, each)) for each in written)])
    lines.append(["baseline: candles, s", *_numbers(baseline)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _over(pace: Pace | None) -> str:
    return f"{pace.ratio:.2f} ({pace.ours:.2f} s, floor {pace.floor:.2f} s)" if pace else ""


def _numbers(seconds: Sequence[float]) -> list[str]:
    return [f"{each:.2f}" for each in seconds]


def run(*, quick: bool) -> str:
    """Measure on all engines there are."""
    measured, paces = {}, {}
    with engines() as found, served() as urls:
        for engine, fresh in found.items():
            print(f"history: {engine} …", flush=True)
            rounds = 1 if quick else ROUNDS
            measured[engine] = measure(fresh, urls, rounds=rounds)
            for vendor in VENDORS:
                runs = [paced(fresh, urls, vendor) for _ in range(rounds)]
                paces[engine, vendor] = sorted(runs, key=lambda pace: pace.ours)[rounds // 2]
    return report(measured, paces)
