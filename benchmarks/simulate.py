"""The time machine on a simulated market: a month of five symbols, the comparison with other schedules left out.

The month is operated in two halves, each a command of its own that goes on where the other stopped: a second half that
takes longer than the first would mean a cost that grows with history.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select

from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import model_versions, predictions, retrain_decisions

START: Final = datetime.fromisoformat("2026-03-02T00:00:00+00:00")
SYMBOLS: Final = ("BTC", "ETH", "ADA", "SOL", "DOT")
DAYS, QUICK_DAYS = 30, 4
AIM: Final = 180.0  # seconds of 30 days on two cores
TRAIN_DAYS: Final = (90, 30)


@dataclass(frozen=True, slots=True)
class Half:
    """Seconds of one command: of the wall's clock, and of its own process' and its trainings' CPU."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Both halves, and what was done."""

    train_days: int
    halves: tuple[Half, Half]
    trainings: int
    decisions: int
    forecasts: int


def measure(train_days: int, days: int) -> Measured:
    """Operate `days` days in a new home."""
    with tempfile.TemporaryDirectory() as home:
        halves = tuple(_command(home, train_days, START + timedelta(days=days) * part) for part in (0.5, 1))
        store = Warehouse.open(f"sqlite:///{home}/simulation/crypto_platform.db")
        counts = [
            int(store.read(select(func.count().label("n")).select_from(table))["n"].iloc[0])
            for table in (model_versions, retrain_decisions, predictions)
        ]
        store.close()
    return Measured(train_days, (halves[0], halves[1]), *counts)


def _command(home: str, train_days: int, until: datetime) -> Half:
    arguments = [
        "simulate", *SYMBOLS, "--from", START.isoformat(), "--to", until.isoformat(), "--train-days", str(train_days),
        "--no-arms", "--workers", "2", "--home", f"{home}/simulation",
    ]  # fmt: skip
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRYPTO_PLATFORM_")}
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "crypto_platform", *arguments],
        env=clean | {"CRYPTO_PLATFORM_HOME": home},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Half(time.perf_counter() - began, cpu)


def run(*, quick: bool) -> str:
    """The table."""
    days = QUICK_DAYS if quick else DAYS
    measured = [measure(train_days, days) for train_days in (TRAIN_DAYS[-1:] if quick else TRAIN_DAYS)]
    rows = {
        f"{days} days, s of wall time (aim for 30: ≤ {AIM:.0f})": [sum(h.wall for h in m.halves) for m in measured],
        "the same, s of CPU without its training processes": [sum(h.cpu for h in m.halves) for m in measured],
        "second half / first half, wall time": [m.halves[1].wall / m.halves[0].wall for m in measured],
        "trainings": [m.trainings for m in measured],
        "decisions": [m.decisions for m in measured],
        "forecasts": [m.forecasts for m in measured],
    }
    lines = [
        f"| time machine, {len(SYMBOLS)} symbols | "
        + " | ".join(f"train days {m.train_days}" for m in measured)
        + " |",
        "| --- |" + " --- |" * len(measured),
    ]
    lines += [
        f"| {name} | " + " | ".join(f"{v:,}" if isinstance(v, int) else f"{v:.2f}" for v in values) + " |"
        for name, values in rows.items()
    ]
    return "\n".join(lines)
