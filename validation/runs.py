"""One walk-forward validation, kept on disk: what has been computed is not computed again."""

import hashlib
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from crypto_platform.core import calibration, estimators, novelty, signals, splits, validation
from crypto_platform.core.estimators import MIN_ROWS, ModelParameters, TrainingSet
from crypto_platform.core.features import DEFAULT
from crypto_platform.core.signals import CLASSIFIERS, ENSEMBLE
from crypto_platform.core.validation import OutOfSample

_FORECASTS: Final = ("rows", "fold", "ridge_return", "base_rate", "mean_return")
_TRUTH: Final = ("hours", "returns", "directions")


@dataclass(frozen=True, slots=True)
class Run:
    """Out-of-sample forecasts of one symbol and horizon, and what came of them.

    Attributes
    ----------
    symbol : str
    truth : TrainingSet
        All labeled rows of the history, without their inputs.
    result : OutOfSample
    holdout : OutOfSample or None
    """

    symbol: str
    truth: TrainingSet
    result: OutOfSample
    holdout: OutOfSample | None

    @property
    def horizon(self) -> int:
        """Hours ahead."""
        return self.truth.horizon


def validated(
    folder: Path, name: str, symbol: str, horizon: int, make: Callable[[], TrainingSet], parameters: ModelParameters
) -> Run:
    """The run of that name, from `folder` if it is there.

    Kept by the recipe that made it: other parameters, plans, features or code of the recipe are computed again.
    """
    path = folder / f"{name}-{symbol}-{horizon}h-{_recipe(parameters)}.npz"
    if not path.exists():
        print(f"{name}: {symbol}, {horizon} h ahead …", flush=True)
        _save(path, *_walk(make(), horizon, parameters))
    return _load(path, symbol, horizon)


def _recipe(parameters: ModelParameters) -> str:
    code = [inspect.getsource(module) for module in (calibration, estimators, novelty, signals, splits, validation)]
    return hashlib.sha256(repr((parameters, DEFAULT.hash, code)).encode()).hexdigest()[:8]


def _walk(
    rows: TrainingSet, horizon: int, parameters: ModelParameters
) -> tuple[TrainingSet, OutOfSample, OutOfSample | None]:
    plan = splits.plan_for(rows.span)
    folds = splits.walk_forward_folds(rows.hours, horizon, plan, MIN_ROWS)
    found = validation.walk_forward(rows, folds, parameters, plan.test, novelty=True)
    fold = splits.holdout_fold(rows.hours, horizon, plan, MIN_ROWS)
    if fold is None:
        return rows, found.forecasts, None
    calibrators = found.calibrators_at(rows, int(rows.hours[fold.test[0]]))
    scores = validation.score(rows, fold, parameters)
    return rows, found.forecasts, validation.of_newest(rows, fold, scores, calibrators, plan.holdout)


def _save(path: Path, truth: TrainingSet, result: OutOfSample, holdout: OutOfSample | None) -> None:
    arrays = {name: getattr(truth, name) for name in _TRUTH}
    for part, forecasts in (("folds", result), ("holdout", holdout)):
        if forecasts is not None:
            arrays |= {f"{part}.{name}": getattr(forecasts, name) for name in _FORECASTS}
            arrays |= {f"{part}.{name}": given for name, given in forecasts.prob_up.items()}
            arrays[f"{part}.span"] = np.array(forecasts.span)
            arrays |= {} if forecasts.novelty is None else {f"{part}.novelty": forecasts.novelty}
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}.part")
    with aside.open("wb") as file:
        np.savez_compressed(file, **arrays)
    aside.replace(path)


def _load(path: Path, symbol: str, horizon: int) -> Run:
    with np.load(path, allow_pickle=False) as held:
        arrays = dict(held)

    def part(name: str) -> OutOfSample | None:
        if f"{name}.rows" not in arrays:
            return None
        return OutOfSample(
            prob_up={model: arrays[f"{name}.{model}"] for model in (*CLASSIFIERS, ENSEMBLE)},
            span=int(arrays[f"{name}.span"]),
            novelty=arrays.get(f"{name}.novelty"),
            **{field: arrays[f"{name}.{field}"] for field in _FORECASTS},
        )

    truth = TrainingSet(
        inputs=np.empty((len(arrays["hours"]), 0)), feature_names=(), horizon=horizon, **{n: arrays[n] for n in _TRUTH}
    )
    folds = part("folds")
    assert folds is not None
    return Run(symbol, truth, folds, part("holdout"))
