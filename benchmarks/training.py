"""Training: the whole recipe on a month, and the four fits beside scikit-learn's plain ones.

Once on one thread; for eight symbols on two processes beside one after the other; and beside busy neighbors.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing import get_context
from statistics import median
from typing import Final

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from crypto_platform.core import estimators, metrics, splits, validation
from crypto_platform.core.estimators import VOLATILITY_FEATURE, ModelParameters, TrainingSet
from crypto_platform.operations.workers import Workers

SEED: Final = 7
MONTH: Final = 720
N_FEATURES: Final = 69
ROUNDS: Final = 3
CROWD: Final = 8
CORES: Final = 2


def rows(n: int) -> TrainingSet:
    """Rows of noise, as many inputs as the platform's own."""
    rng = np.random.default_rng(SEED)
    inputs = rng.normal(size=(n, N_FEATURES))
    inputs[:, 0] = 0.01
    returns = rng.normal(0, 0.01, n)
    names = (VOLATILITY_FEATURE, *(f"x{i}" for i in range(1, N_FEATURES)))
    return TrainingSet(np.arange(n), inputs, returns, (returns > 0).astype(np.int64), names, 1)


def recipe(known: TrainingSet, parameters: ModelParameters) -> None:
    """Validate walk-forward, score with intervals, refit: a training without importance and without the store."""
    plan = splits.plan_for(known.span)
    folds = splits.walk_forward_folds(known.hours, known.horizon, plan)
    found = validation.walk_forward(known, folds, parameters, plan.test)
    metrics.evaluate(found.forecasts, known, parameters.seed)
    estimators.fit(known.take(splits.newest_window(known.hours, int(known.hours[-1]), plan)), parameters)


def plain(known: TrainingSet, parameters: ModelParameters) -> None:
    """Four fits as a first version does them: exact gradient boosting, no histogram; the same sizes, one thread."""
    p = parameters
    scaled = StandardScaler().fit_transform(known.inputs)
    forest = RandomForestClassifier(p.forest_trees, max_depth=p.forest_depth, min_samples_leaf=p.forest_leaf)
    boosting = GradientBoostingClassifier(
        n_estimators=p.boosting_iterations, learning_rate=p.boosting_rate, max_depth=5, min_samples_leaf=p.boosting_leaf
    )
    for model in (LogisticRegression(C=p.logistic_c, max_iter=1000), forest, boosting):
        model.fit(scaled, known.directions)
    Ridge(alpha=p.ridge_alpha).fit(scaled, known.returns)


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of some work."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def run(*, quick: bool) -> str:
    """Measure in turns, medians of the rounds."""
    known, parameters = rows(MONTH), ModelParameters()
    estimators.fit(known, ModelParameters(forest_trees=1, boosting_iterations=1))  # imports are not what is measured
    works = (
        lambda: recipe(known, parameters),
        lambda: estimators.fit(known, parameters),
        lambda: plain(known, parameters),
    )
    n_rounds = 1 if quick else ROUNDS
    with threadpool_limits(1):
        measured = [[seconds(work) for work in works] for _ in range(n_rounds)]
        medians = [tuple(median(part[i] for part in column) for i in (0, 1)) for column in zip(*measured, strict=True)]
        return f"{report(medians)}\n\n{crowd_report(*crowd(known, parameters, n_rounds))}"


def crowd(known: TrainingSet, parameters: ModelParameters, n_rounds: int) -> tuple[float, float, float, float]:
    """Wall seconds: plain fits of `CROWD` symbols in turn, ours on two processes; ours alone, ours beside neighbors."""
    with closing(Workers(CORES)) as workers:
        list(workers.each(estimators.fit, [known] * CORES, [parameters] * CORES))

        def together() -> None:
            list(workers.each(estimators.fit, [known] * CROWD, [parameters] * CROWD))

        def in_turn() -> None:
            for _ in range(CROWD):
                plain(known, parameters)

        pairs = [(seconds(in_turn)[0], seconds(together)[0]) for _ in range(n_rounds)]
    alone = median(seconds(lambda: estimators.fit(known, parameters))[0] for _ in range(n_rounds))
    with busy(CORES):
        beside = median(seconds(lambda: estimators.fit(known, parameters))[0] for _ in range(n_rounds))
    theirs, ours = (median(column) for column in zip(*pairs, strict=True))
    return theirs, ours, alone, beside


@contextmanager
def busy(n: int) -> Iterator[None]:
    """Processes that do nothing but keep a core busy each."""
    context = get_context("forkserver")
    neighbors = [context.Process(target=_spin, daemon=True) for _ in range(n)]
    for each in neighbors:
        each.start()
    try:
        yield
    finally:
        for each in neighbors:
            each.kill()
            each.join()


def _spin() -> None:
    while True:
        pass


def crowd_report(theirs: float, ours: float, alone: float, beside: float) -> str:
    """Markdown of what `crowd` measured."""
    return "\n".join(
        [
            "| four fits a symbol | |",
            "| --- | --- |",
            f"| {CROWD} symbols: plain in turn / ours on {CORES} processes | {theirs / ours:.1f} × |",
            f"| plain in turn, s | {theirs:.2f} |",
            f"| ours on {CORES} processes, s | {ours:.2f} |",
            f"| one symbol: beside {CORES} busy processes / alone | {beside / alone:.1f} × |",
            f"| alone, s | {alone:.2f} |",
        ]
    )


def report(medians: list[tuple[float, ...]]) -> str:
    """Markdown of (wall, CPU) seconds of the recipe, our four fits, and the plain ones."""
    whole, ours, theirs = medians
    return "\n".join(
        [
            f"| one symbol, {MONTH} rows, {N_FEATURES} inputs, one core | s of wall time | s of CPU |",
            "| --- | --- | --- |",
            f"| 7 purged folds, scores with intervals, refit | {whole[0]:.2f} | {whole[1]:.2f} |",
            f"| four fits on all rows | {ours[0]:.2f} | {ours[1]:.2f} |",
            f"| four plain fits on the same rows | {theirs[0]:.2f} | {theirs[1]:.2f} |",
            f"| plain / ours, CPU | | {theirs[1] / ours[1]:.1f} × |",
        ]
    )
