"""The serving form of a bundle: its fitted models as plain arrays, and forecasts from them by numpy alone.

Nothing here imports scikit-learn: `flatten` reads the attributes of models somebody else has fitted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crypto_platform.core import calibration, trees
from crypto_platform.core import novelty as distances
from crypto_platform.core.estimators import risk_of
from crypto_platform.core.signals import CLASSIFIERS, MODELS, REGRESSOR
from crypto_platform.core.trees import FEATURE, NODE, Floats, Trees

Arrays = Mapping[str, NDArray[Any]]
# dtype and shape of an array; a named dimension is as long wherever it occurs
Layout = Mapping[str, tuple[np.dtype[Any], tuple[int | str, ...]]]

FORMAT: Final = 1  # of the arrays' names and meaning; readers refuse any other
TOLERANCE: Final = 1e-12  # largest difference to scikit-learn's forecasts of the training rows
N_FEATURES: Final = "features"
REAL: Final = np.dtype("<f8")
SMALL: Final = np.dtype("<f4")

LINEAR: Final = ("logistic_regression", REGRESSOR)
FOREST: Final = "random_forest"
BOOSTING: Final = "gradient_boosting"
SCALER: Final = "logistic_regression"  # whose standardization the distances are of, too


def _tree_layout(name: str) -> Layout:
    nodes = f"{name}.nodes"
    return {
        f"{name}.roots": (NODE, (f"{name}.trees",)),
        f"{name}.feature": (FEATURE, (nodes,)),
        f"{name}.number": (REAL, (nodes,)),
        f"{name}.children": (NODE, (nodes, 2)),
    }


def _linear_layout(name: str) -> Layout:
    return {
        f"{name}.mean": (REAL, (N_FEATURES,)),
        f"{name}.scale": (REAL, (N_FEATURES,)),
        f"{name}.coefficients": (REAL, (N_FEATURES,)),
        f"{name}.intercept": (REAL, (1,)),
    }


LAYOUT: Final[Layout] = {
    **_linear_layout("logistic_regression"),
    **_linear_layout(REGRESSOR),
    **_tree_layout(FOREST),
    **_tree_layout(BOOSTING),
    f"{BOOSTING}.baseline": (REAL, (1,)),
}
REFERENCE_LAYOUT: Final[Layout] = {
    "novelty.rows": (SMALL, ("novelty.training_rows", N_FEATURES)),
    "novelty.unit": (REAL, (1,)),
}


@dataclass(frozen=True, slots=True)
class ServingForm:
    """Models of one bundle, ready to forecast.

    Attributes
    ----------
    arrays : mapping of str to array
        As `LAYOUT` and `REFERENCE_LAYOUT` name them.
    feature_names : tuple of str
        Inputs, in order.
    horizon : int
        Hours ahead.
    calibrators : mapping of str to array
        Of `core.calibration`, by classifier; absent: scores as they are.
    """

    arrays: Arrays
    feature_names: tuple[str, ...]
    horizon: int
    calibrators: Mapping[str, Floats]


def flatten(models: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Arrays of fitted scikit-learn models."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in LINEAR:
        scaler, model = models[name][0], models[name][-1]
        arrays |= {
            f"{name}.mean": scaler.mean_,
            f"{name}.scale": scaler.scale_,
            f"{name}.coefficients": np.ravel(model.coef_),
            f"{name}.intercept": np.ravel(model.intercept_),
        }
    forest, boosting = models[FOREST], models[BOOSTING]
    arrays |= _named(FOREST, _joined([_forest_tree(e.tree_) for e in forest.estimators_]))
    arrays |= _named(BOOSTING, _joined([_boosting_tree(stage[0].nodes) for stage in boosting._predictors]))  # noqa: SLF001
    arrays[f"{BOOSTING}.baseline"] = np.ravel(boosting._baseline_prediction)  # noqa: SLF001
    return {name: np.ascontiguousarray(arrays[name], dtype) for name, (dtype, _) in LAYOUT.items()}


def reference(arrays: Arrays, inputs: Floats) -> dict[str, NDArray[Any]]:
    """Arrays of what novelty is measured from: the rows the models were fitted on."""
    found = distances.reference(_standardized(arrays, SCALER, inputs))
    return {"novelty.rows": found.rows.astype(SMALL), "novelty.unit": np.array([found.unit], REAL)}


def from_arrays(
    arrays: Arrays, feature_names: Sequence[str], horizon: int, calibrators: Mapping[str, Floats]
) -> ServingForm:
    """Models of arrays that are as the layouts say, and calibrators, their values checked.

    Raises
    ------
    ValueError
        A number is not finite, a scale or the unit of novelty not positive, there are too few rows to measure
        novelty from, a tree has no end, or a calibrator is none.
    """
    for name, calibrator in calibrators.items():
        if name not in CLASSIFIERS or not calibration.is_sound(calibrator):
            raise ValueError(f"{name}: its calibrator is none")
    for name in LINEAR:
        _check_linear(arrays, name)
    if not np.isfinite(arrays[f"{BOOSTING}.baseline"]).all():
        raise ValueError(f"{BOOSTING}: its baseline is not finite")
    if not distances.is_sound(_reference(arrays)):
        raise ValueError("novelty: it has nothing to measure from")
    for name in (FOREST, BOOSTING):
        try:
            trees.check(_trees(arrays, name), len(feature_names))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return ServingForm(arrays, tuple(feature_names), horizon, calibrators)


def _check_linear(arrays: Arrays, name: str) -> None:
    for part in ("mean", "scale", "coefficients", "intercept"):
        if not np.isfinite(arrays[f"{name}.{part}"]).all():
            raise ValueError(f"{name}: {part} has a value that is not finite")
    if not (arrays[f"{name}.scale"] > 0).all():
        raise ValueError(f"{name}: a scale is not positive")


def predict(form: ServingForm, inputs: Floats) -> dict[str, Floats]:
    """Forecast of each model for each row; of a row always the same, alone or among others.

    Parameters
    ----------
    form : ServingForm
    inputs : array, shape (n, n_features)
        Columns as `form.feature_names`; finite.

    Returns
    -------
    dict of str to array, shape (n,)
        As `core.estimators.predict`: up-probability of each classifier, simple return of the ridge regression.
    """
    arrays = form.arrays
    boosted = trees.outputs(_trees(arrays, BOOSTING), inputs).sum(axis=1)
    forecasts = {
        "logistic_regression": expit(_linear(arrays, "logistic_regression", inputs)),
        FOREST: trees.outputs(_trees(arrays, FOREST), trees.as_forests_see(inputs)).mean(axis=1),
        BOOSTING: expit(arrays[f"{BOOSTING}.baseline"] + boosted),
        REGRESSOR: _linear(arrays, REGRESSOR, inputs) * risk_of(inputs, form.feature_names, form.horizon),
    }
    return calibration.apply_all(form.calibrators, forecasts)


def novelty(form: ServingForm, inputs: Floats) -> Floats:
    """How unlike the training rows each row is; see `core.novelty.novelty`."""
    return distances.novelty(_reference(form.arrays), _standardized(form.arrays, SCALER, inputs))


def largest_difference(ours: Mapping[str, Floats], theirs: Mapping[str, Floats]) -> tuple[float, str]:
    """Largest absolute difference of two sets of forecasts, and the model it is of; infinite where one has a NaN."""
    apart = {name: float(np.max(np.abs(ours[name] - theirs[name]), initial=0.0)) for name in MODELS}
    worst = max(apart, key=lambda name: np.inf if np.isnan(apart[name]) else apart[name])
    return (np.inf if np.isnan(apart[worst]) else apart[worst]), worst


def expit(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow on either side."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small))


def _linear(arrays: Arrays, name: str, inputs: Floats) -> Floats:
    scaled = _standardized(arrays, name, inputs)
    # A sum row by row, not a matrix product: BLAS rounds a row differently in batches of different sizes.
    return np.asarray((scaled * arrays[f"{name}.coefficients"]).sum(axis=1) + arrays[f"{name}.intercept"])


def _reference(arrays: Arrays) -> distances.Reference:
    return distances.Reference(arrays["novelty.rows"], float(arrays["novelty.unit"][0]))


def _standardized(arrays: Arrays, name: str, inputs: Floats) -> Floats:
    return np.asarray((inputs - arrays[f"{name}.mean"]) / arrays[f"{name}.scale"])


def _trees(arrays: Arrays, name: str) -> Trees:
    return Trees(**{part: arrays[f"{name}.{part}"] for part in ("roots", "feature", "number", "children")})


def _named(name: str, model: Trees) -> dict[str, NDArray[Any]]:
    return {f"{name}.{part}": getattr(model, part) for part in ("roots", "feature", "number", "children")}


def _forest_tree(tree: Any) -> Trees:
    """One tree of a forest; a leaf's output is its share of ups."""
    leaf = tree.children_left < 0
    return _tree(
        leaf, tree.feature, np.where(leaf, tree.value[:, 0, 1], tree.threshold), tree.children_left, tree.children_right
    )


def _boosting_tree(nodes: Any) -> Trees:
    """One tree of a histogram gradient boosting; a leaf's output has the learning rate in it."""
    leaf = nodes["is_leaf"].astype(bool)
    if nodes["is_categorical"].any():
        raise ValueError("a categorical split has no serving form")
    return _tree(
        leaf,
        nodes["feature_idx"],
        np.where(leaf, nodes["value"], nodes["num_threshold"]),
        nodes["left"],
        nodes["right"],
    )


def _tree(leaf: NDArray[np.bool_], feature: Any, number: Any, left: Any, right: Any) -> Trees:
    itself = np.arange(len(leaf))
    children = np.column_stack([np.where(leaf, itself, left), np.where(leaf, itself, right)])
    return Trees(np.zeros(1, NODE), np.where(leaf, 0, feature).astype(FEATURE), number, children.astype(NODE))


def _joined(parts: Sequence[Trees]) -> Trees:
    starts = np.cumsum([0, *(len(part.number) for part in parts)])[:-1]
    return Trees(
        roots=starts.astype(NODE),
        feature=np.concatenate([part.feature for part in parts]),
        number=np.concatenate([part.number for part in parts]),
        children=np.concatenate([part.children + start for part, start in zip(parts, starts, strict=True)]),
    )
