"""Upserts of candles and of feature rows, beside a writer of ours that does it row by row, batch by batch in turns.

Each batch is written new, then unchanged, then with one column changed. It has as many rows as a backfill writes in
one transaction; both sides write the same rows into tables with the same keys, indexes and constraints. Rows per
second of CPU, client and server together, are what a machine without other work would come near.
"""

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import pandas as pd
from sqlalchemy import Table

from benchmarks.stores import POSTGRES, SQLITE, Fresh, RowByRow, ServerCpu, engines
from benchmarks.world import NOW, VENDOR, World, draw
from crypto_platform.core import features as science
from crypto_platform.core.coverage import CHUNK_HOURS
from crypto_platform.core.provenance import Provenance, source_label
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import features, ohlcv_data

PHASES: Final = ("new", "unchanged", "changed")
CHANGED: Final = {ohlcv_data: "trades", features: "segment_hours"}  # in every row there is one
BATCHES: Final = {ohlcv_data: 10, features: 5}
N_SYMBOLS: Final = 5
DAYS: Final = 2 * CHUNK_HOURS // 24 + 15  # two batches a symbol, outages included
AIMS: Final = {(SQLITE, ohlcv_data): 100_000, (POSTGRES, ohlcv_data): 40_000, (POSTGRES, features): 20_000}


@dataclass(slots=True)
class Side:
    """Seconds of each batch, and CPU seconds of all of them, the server's included."""

    seconds: list[float] = field(default_factory=list)
    cpu: float = 0.0


@dataclass(slots=True)
class Phase:
    """Both sides of a phase, and the rows that the platform says it wrote."""

    batch: int
    ours: Side = field(default_factory=Side)
    theirs: Side = field(default_factory=Side)
    written: int = 0

    @property
    def rows(self) -> int:
        """Rows that each side was given."""
        return self.batch * len(self.ours.seconds)

    @property
    def rates(self) -> tuple[float, float]:
        """Rows a second of the median batch: ours, theirs."""
        return self.batch / median(self.ours.seconds), self.batch / median(self.theirs.seconds)


Measured = dict[tuple[str, Table], dict[str, Phase]]


def candle_rows(world: World) -> pd.DataFrame:
    """Rows of `ohlcv_data` as a backfill writes them."""
    frames = [world.candles[name].assign(symbol=name) for name in world.names]
    return pd.concat(frames, ignore_index=True).assign(
        source=source_label(VENDOR, Provenance.SIMULATED), known_at=pd.Timestamp(NOW), known_at_estimated=True
    )


def feature_rows(world: World) -> pd.DataFrame:
    """Rows of `features` as a first build writes them."""
    candles = candle_rows(world)[["symbol", "timestamp", "open", "high", "low", "close", "volume_base"]]
    sentiment = world.sentiment.assign(known_at=world.sentiment["timestamp"])
    plan = {name: world.candles[name]["timestamp"].iloc[0].to_pydatetime() for name in world.names}
    rows = science.compute(candles.assign(is_fallback=False), sentiment, science.DEFAULT, plan)
    return rows.assign(feature_set_hash=science.DEFAULT.hash)


def batches(rows: pd.DataFrame, size: int, number: int) -> list[pd.DataFrame]:
    """The first batches of `size` rows, each of one symbol."""
    whole = [
        part.iloc[first : first + size]
        for _, part in rows.groupby("symbol", sort=False)
        for first in range(0, len(part) - size + 1, size)
    ]
    if len(whole) < number:
        raise ValueError(f"there are {len(whole)} batches of {size} rows, not {number}")
    return whole[:number]


def measure(fresh: Fresh, table: Table, parts: list[pd.DataFrame]) -> dict[str, Phase]:
    """Write all batches in each phase, the two sides in turns."""
    phases = {name: Phase(len(parts[0])) for name in PHASES}
    with ExitStack() as stack:
        our_url, their_url = stack.enter_context(fresh()), stack.enter_context(fresh())
        store, rows = Warehouse.open(our_url), RowByRow(their_url)
        our_server, their_server = ServerCpu(our_url), ServerCpu(their_url)
        for opened in (store, rows, our_server, their_server):
            stack.callback(opened.close)
        _ = store.engine
        for name, phase in phases.items():
            for part in _versions(table, parts, name):
                with _timed(phase.theirs, their_server):
                    rows.upsert(table, part)
                with _timed(phase.ours, our_server):
                    phase.written += store.upsert(table, part)
    return phases


@contextmanager
def _timed(side: Side, server: ServerCpu) -> Iterator[None]:
    """Add to a side what happens meanwhile."""
    before = server.seconds()
    began, cpu = time.perf_counter(), time.process_time()
    yield
    side.seconds.append(time.perf_counter() - began)
    side.cpu += time.process_time() - cpu + server.seconds() - before


def _versions(table: Table, parts: list[pd.DataFrame], phase: str) -> Iterator[pd.DataFrame]:
    column = CHANGED[table]
    for part in parts:
        yield part.assign(**{column: part[column] + 1}) if phase == "changed" else part


def report(measured: Measured) -> str:
    """Markdown: ratios first, then rates."""
    head = [f"{engine}, {table.name}" for engine, table in measured]
    lines = [["upserts", *head], ["---"] * (1 + len(head))]
    rates = {phase: [phases[phase].rates for phases in measured.values()] for phase in PHASES}
    lines += [[f"platform / baseline, {phase} rows", *(f"{a / b:.1f} ×" for a, b in rates[phase])] for phase in PHASES]
    lines += [[f"platform, {phase} rows/s", *(f"{ours:,.0f}" for ours, _ in rates[phase])] for phase in PHASES]
    for phase in PHASES:
        found = [phases[phase] for phases in measured.values()]
        lines.append([f"platform, {phase} rows per s of CPU", *(_per_cpu(p.rows, p.ours) for p in found)])
    lines.append(["aim, rows/s", *(f"{AIMS[key]:,}" if key in AIMS else "" for key in measured)])
    lines += [[f"baseline, {phase} rows/s", *(f"{theirs:,.0f}" for _, theirs in rates[phase])] for phase in PHASES]
    for phase in PHASES:
        found = [phases[phase] for phases in measured.values()]
        cells = [f"{p.written:,} of {p.rows:,}" for p in found]
        lines.append([f"platform, rows written of {phase} ones", *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _per_cpu(rows: int, side: Side) -> str:
    return "" if math.isnan(side.cpu) else f"{rows / side.cpu:,.0f}"


def run(*, quick: bool) -> str:
    """Measure on all engines there are."""
    world = draw(N_SYMBOLS, DAYS)
    frames = {ohlcv_data: candle_rows(world), features: feature_rows(world)}
    measured: Measured = {}
    with engines() as found:
        for engine, fresh in found.items():
            for table, rows in frames.items():
                print(f"writes: {table.name} on {engine} …", flush=True)
                number = 2 if quick else BATCHES[table]
                measured[engine, table] = measure(fresh, table, batches(rows, CHUNK_HOURS, number))
    return report(measured)
