"""Features: a panel of symbols computed at once, beside plain pandas symbol by symbol; 90 days, and the newest hour."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from statistics import median
from typing import Final

import numpy as np
import pandas as pd

from benchmarks.baseline import FEATURES, INDICATOR_DAYS, indicators
from benchmarks.world import NOW, draw
from crypto_platform.core import features as science
from crypto_platform.core.hours import HOUR

ROUNDS: Final = 5
COUNTS: Final = (5, 50, 500)
NO_SENTIMENT: Final = pd.DataFrame(
    {"timestamp": pd.DatetimeIndex([], tz="UTC"), "known_at": pd.DatetimeIndex([], tz="UTC"), "fear_greed_value": []}
)
OURS: Final = science.WITHOUT_SENTIMENT  # one value an hour for all symbols would flatter the count


def run(*, quick: bool) -> str:
    """Measure in turns, medians of the rounds."""
    columns = [measure(count, 1 if quick else ROUNDS) for count in (COUNTS[:1] if quick else COUNTS)]
    names = list(columns[0])
    head = [f"| {INDICATOR_DAYS} days, one thread |", *(f" {count} symbols |" for count in COUNTS[: len(columns)])]
    lines = ["".join(head), "| --- |" + " --- |" * len(columns)]
    lines += [f"| {name} | " + " | ".join(column[name] for column in columns) + " |" for name in names]
    return "\n".join(lines)


def measure(count: int, rounds: int) -> dict[str, str]:
    """What is said of so many symbols."""
    world = draw(count, INDICATOR_DAYS)
    frames = [world.between(name, NOW - timedelta(days=INDICATOR_DAYS), NOW) for name in world.names]
    whole = pd.concat(
        [frame.assign(symbol=name) for name, frame in zip(world.names, frames, strict=True)], ignore_index=True
    )
    window = whole[whole["timestamp"] >= NOW - science.LOOKBACK_ROWS * HOUR - HOUR].reset_index(drop=True)
    newest = dict.fromkeys(world.names, NOW - HOUR)
    works: tuple[Callable[[], object], ...] = (
        lambda: [indicators(frame) for frame in frames],
        lambda: science.compute(whole, NO_SENTIMENT, OURS),
        lambda: science.compute(window, NO_SENTIMENT, OURS, newest),
    )
    for work in works:  # first calls import and compile
        work()
    measured = [[_seconds(work) for work in works] for _ in range(rounds)]
    theirs, ours, hour = (median(column) for column in zip(*measured, strict=True))
    values = len(whole) * len(OURS.features)
    return {
        "values/s, ours / plain pandas": f"{values / ours / (len(whole) * len(FEATURES) / theirs):.0f} ×",
        "newest hour: plain recompute of all / ours": f"{theirs / hour:.0f} ×",
        "newest hour, ms a symbol": f"{1000 * hour / count:.2f}",
        "ours, values/s": f"{values / ours:,.0f}",
        f"ours, s ({len(OURS.features)} features)": f"{ours:.3f}",
        f"plain pandas, s ({len(FEATURES)} features)": f"{theirs:.3f}",
        "newest hour beside the recompute, largest difference": f"{_difference(whole, window, newest):.0e}",
    }


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _difference(whole: pd.DataFrame, window: pd.DataFrame, newest: dict[str, datetime]) -> float:
    """Largest difference of a feature of the newest hour, relative to its size where that is above 1."""
    names = list(OURS.features)
    full = science.compute(whole, NO_SENTIMENT, OURS)
    full = full[full["timestamp"] == NOW - HOUR].reset_index(drop=True)
    alone = science.compute(window, NO_SENTIMENT, OURS, newest)
    assert alone["symbol"].tolist() == full["symbol"].tolist()
    a, b = full[names].to_numpy(float), alone[names].to_numpy(float)
    assert (np.isnan(a) == np.isnan(b)).all()
    return float(np.nanmax(np.abs(a - b) / np.maximum(np.abs(a), 1)))
