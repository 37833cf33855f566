"""The serving form of a bundle beside its scikit-learn models: one bundle in fresh processes, 500 in one batch."""

import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final
from unittest.mock import patch

from sqlalchemy import select
from threadpoolctl import threadpool_limits

from benchmarks import tick
from benchmarks.world import NOW, WHOLE, draw
from crypto_platform.core import serving
from crypto_platform.core.estimators import ModelParameters
from crypto_platform.operations import registry
from crypto_platform.storage import bundles, warehouse
from crypto_platform.storage.artifacts import Bundle
from crypto_platform.tables import features

SYMBOLS: Final = 500
ROUNDS: Final = 5
QUICK: Final = ModelParameters(forest_trees=20, boosting_iterations=20)

# Each prints seconds of its imports, of loading and of one row, then seconds of CPU, and the forecasts.
_FRAME: Final = """
import json, sys, time
began = time.perf_counter()
from pathlib import Path
import numpy as np
folder, version, sha256, pickled, row = sys.argv[1:]
{imports}
imported = time.perf_counter()
{load}
loaded = time.perf_counter()
inputs = np.array([json.loads(row)])
{predict}
done = time.perf_counter()
print(json.dumps([imported - began, loaded - imported, done - loaded, time.process_time(),
    {{name: float(p[0]) for name, p in forecasts.items()}}]))
"""
_OPEN: Final = "bundle = ArtifactStore(Path(folder)).open(version, sha256)"
_WITH_MODELS: Final = (
    'forecasts = estimators.predict(models, inputs, bundle.manifest["features"], bundle.manifest["horizon"])'
)
_STORAGE: Final = """
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage import bundles
"""
WAYS: Final = {
    "serving form": _FRAME.format(
        imports=f"from crypto_platform.core import serving\n{_STORAGE}",
        load=f"{_OPEN}\nform = bundles.load_serving(bundle)",
        predict="forecasts = serving.predict(form, inputs)",
    ),
    "skops": _FRAME.format(
        imports=f"from crypto_platform.core import estimators\n{_STORAGE}",
        load=f"{_OPEN}\nmodels = bundles.load_models(bundle)",
        predict=_WITH_MODELS,
    ),
    "pickle (unsafe)": _FRAME.format(
        imports=f"import pickle\nfrom crypto_platform.core import estimators\n{_STORAGE}",
        load=f"{_OPEN}\nmodels = pickle.loads(Path(pickled).read_bytes())",
        predict=_WITH_MODELS,
    ),
}
LOAD, MODELS, READ, WRITE, REST = "load bundles", "forecast by arrays", "read rows", "write rows", "frames and signals"


def run(*, quick: bool) -> str:
    """Both tables."""
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1):
        folder = Path(name)
        print("serving: training one symbol …", flush=True)
        platform = tick.Platform(folder, draw(1, WHOLE.days), QUICK if quick else ModelParameters())
        try:
            first = fresh_processes(platform, folder, rounds=1 if quick else ROUNDS)
            print("serving: a batch of symbols …", flush=True)
            second = batch(platform, 20 if quick else SYMBOLS, rounds=1 if quick else 3)
        finally:
            platform.close()
    return f"{first}\n\n{second}"


def fresh_processes(platform: tick.Platform, folder: Path, rounds: int) -> str:
    """Markdown: one bundle loaded and one row forecast by each way, in processes that take turns."""
    served, bundle = _first(platform)
    pickled = folder / "models.pickle"
    pickled.write_bytes(pickle.dumps(bundles.load_models(bundle)))
    row = _newest_row(platform, bundle)
    arguments = [str(platform.artifacts.folder("x").parents[1]), served.version, served.bundle_sha256, str(pickled)]
    measured: dict[str, list[list[Any]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, script in WAYS.items():
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", script, *arguments, json.dumps(row)], check=True, capture_output=True, text=True
            )
            measured[way].append([time.perf_counter() - began, *json.loads(done.stdout)])
    truth = measured["skops"][0][-1]
    head = ("imports, ms", "load, ms", "first row, ms", "whole process, s", "CPU, s", "largest difference")
    lines = [f"| one bundle, a fresh process | {' | '.join(head)} |", f"| --- |{' --- |' * len(head)}"]
    for way, rows in measured.items():
        whole, imports, load, first_row, cpu = (median(r[i] for r in rows) for i in range(5))
        apart = max(abs(rows[0][-1][name] - truth[name]) for name in truth)
        lines.append(
            f"| {way} | {1e3 * imports:.0f} | {1e3 * load:.1f} | {1e3 * first_row:.1f} | {whole:.2f} | {cpu:.2f} "
            f"| {apart:.0e} |"
        )
    sizes = {name: said["bytes"] for name, said in bundle.manifest["files"].items()}
    skops = sum(size for name, size in sizes.items() if name.endswith(".skops"))
    lines += ["", f"serving.npz has {sizes[bundles.SERVING] / 1e3:.0f} kB, the skops files {skops / 1e3:.0f} kB."]
    return "\n".join(lines)


def batch(platform: tick.Platform, n_symbols: int, rounds: int) -> str:
    """Markdown: `operations.predict` of many symbols' newest hour, a bundle each, and what its time goes into."""
    names = platform.clone([f"COPY{i:03d}" for i in range(n_symbols - 1)])
    measured = []
    for _ in range(rounds):
        platform.forget(NOW)
        seconds = dict.fromkeys((LOAD, MODELS, READ, WRITE), 0.0)
        with ExitStack() as stack:
            for owner, attribute, step in (
                (registry, "load", LOAD),
                (serving, "predict", MODELS),
                (platform.store, "read", READ),
                (warehouse, "insert_missing", WRITE),
            ):
                stack.enter_context(patch.object(owner, attribute, _timed(getattr(owner, attribute), seconds, step)))
            began = time.perf_counter()
            platform.predict(names, NOW + tick.LAG, created_at=NOW + tick.LAG)
            whole = time.perf_counter() - began
        measured.append({**seconds, REST: whole - sum(seconds.values()), "whole": whole})
    lines = ["| newest hour of all symbols in one batch | s | ms a symbol | share |", "| --- | --- | --- | --- |"]
    whole = median(seconds["whole"] for seconds in measured)
    for step in measured[0]:
        spent = median(seconds[step] for seconds in measured)
        lines.append(f"| {step} | {spent:.3f} | {1e3 * spent / n_symbols:.2f} | {spent / whole:.0%} |")
    return "\n".join([*lines, "", f"{n_symbols} symbols, a bundle each, SQLite; rounds: {rounds}."])


def _timed(work: Callable[..., Any], seconds: dict[str, float], step: str) -> Callable[..., Any]:
    def timed(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return work(*arguments, **options)
        finally:
            seconds[step] += time.perf_counter() - began

    return timed


def _first(platform: tick.Platform) -> tuple[registry.Served, Bundle]:
    name = platform.first
    served = registry.champions(platform.store, [name], NOW)[name, tick.HORIZONS[0]]
    return served, platform.artifacts.open(served.version, served.bundle_sha256)


def _newest_row(platform: tick.Platform, bundle: Bundle) -> list[float]:
    columns = [features.c[name] for name in bundle.manifest["features"]]
    rows = platform.store.read(select(*columns).order_by(features.c.timestamp.desc()).limit(1))
    return [float(value) for value in rows.iloc[0]]
