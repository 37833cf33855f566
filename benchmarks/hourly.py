"""The hourly tick beside the row-by-row baseline, hour by hour in turns."""

import tempfile
from pathlib import Path
from statistics import median

from threadpoolctl import threadpool_limits

from benchmarks import baseline, tick
from benchmarks.world import NOW, WHOLE, draw
from crypto_platform.core.estimators import ModelParameters
from crypto_platform.core.hours import HOUR

# symbols: (days of candles, measured ticks). Loading 120 days of 500 symbols would take longer than all else.
SIZES = {5: (120, 3), 50: (120, 2), 500: (WHOLE.days, 1)}
BASELINE_SYMBOLS = 25  # of which the baseline's seconds at more than 50 symbols are extrapolated
BASELINE_DAYS = 120

Seconds = dict[str, float]


def measure(n_symbols: int, days: int, ticks: int, parameters: ModelParameters) -> tuple[Seconds, Seconds]:
    """Median seconds of each step, the platform's and the baseline's, which take turns hour by hour."""
    n_baseline = n_symbols if n_symbols <= 50 else BASELINE_SYMBOLS
    ours: list[Seconds] = []
    theirs: list[Seconds] = []
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        platform = tick.Platform(Path(folder), draw(n_symbols, days), parameters)
        rows = baseline.Baseline(Path(folder), draw(n_baseline, BASELINE_DAYS), parameters)
        try:
            for number in range(1, ticks + 1):
                as_of = NOW + number * HOUR + tick.LAG
                theirs.append(rows.tick(as_of))
                ours.append(platform.tick(as_of))
        finally:
            rows.close()
            platform.close()
    scale = n_symbols / n_baseline
    return _medians(ours, 1), _medians(theirs, scale)


def _medians(measured: list[Seconds], scale: float) -> Seconds:
    return {step: scale * median(seconds[step] for seconds in measured) for step in measured[0]}


def _row(label: str, *cells: str) -> str:
    return f"| {label} | " + " | ".join(cells) + " |"


def report(results: dict[int, tuple[Seconds, Seconds]]) -> str:
    """Markdown: ratios first, then growth, then the steps."""
    sizes = list(results)
    ours = {n: results[n][0] for n in sizes}
    total = {n: sum(ours[n].values()) for n in sizes}
    warm = {n: total[n] - ours[n][tick.LOAD] for n in sizes}
    base = {n: sum(results[n][1].values()) for n in sizes}
    estimated = {n: " (estimated)" if n > 50 else "" for n in sizes}
    lines = [
        _row("hourly tick, SQLite", *(f"{n} symbols" for n in sizes)),
        _row("---", *("---" for _ in sizes)),
        _row("baseline / platform, models loaded from disk", *(f"{base[n] / total[n]:.1f} ×" for n in sizes)),
        _row("baseline / platform without the loading", *(f"{base[n] / warm[n]:.1f} ×" for n in sizes)),
        _row("platform, ms a symbol", *(f"{1e3 * total[n] / n:.0f}" for n in sizes)),
        _row("platform without the loading, ms a symbol", *(f"{1e3 * warm[n] / n:.1f}" for n in sizes)),
        _row("baseline, ms a symbol", *(f"{1e3 * base[n] / n:.0f}{estimated[n]}" for n in sizes)),
        _row("platform, s", *(f"{total[n]:.2f}" for n in sizes)),
        _row("baseline, s", *(f"{base[n]:.2f}{estimated[n]}" for n in sizes)),
        *(_row(f"platform: {step}, s", *(f"{ours[n][step]:.3f}" for n in sizes)) for step in tick.STEPS),
        *(_row(f"baseline: {step}, s", *(f"{results[n][1][step]:.3f}" for n in sizes)) for step in baseline.STEPS),
    ]
    return "\n".join(lines)


def run(*, quick: bool) -> str:
    """Measure at all sizes, or at the smallest."""
    sizes = [min(SIZES)] if quick else list(SIZES)
    results = {}
    for n in sizes:
        print(f"tick: {n} symbols …", flush=True)
        results[n] = measure(n, *SIZES[n], ModelParameters())
    notes = []
    for n in sizes:
        days, ticks = SIZES[n]
        notes.append(f"{n} symbols: {days} days of candles held, hours measured in turns: {ticks}.")
        if n > 50:
            notes.append(f"  Its baseline was measured on {BASELINE_SYMBOLS} symbols and scaled linearly.")
    notes.append("Left out on both sides: HTTP, start and imports, training, Dagster.")
    return "\n".join([report(results), "", *notes])
