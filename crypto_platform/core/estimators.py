"""The four models of a symbol: what they learn from, how they are fitted, and what they forecast.

Scaler and winsor limits are part of a fit: what is fitted in a fold has seen nothing else.
scikit-learn is imported inside functions: a tick that trains nothing does not pay for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crypto_platform.core.signals import CLASSIFIERS, MODELS, REGRESSOR
from crypto_platform.errors import NotTrainableError

Floats = NDArray[np.float64]

VOLATILITY_FEATURE: Final = "vol_30"  # scales the ridge target, so that it forecasts returns in units of risk
WINSOR: Final = (0.5, 99.5)  # percentiles of the scaled target, of the training part alone
MIN_ROWS: Final = 300
MIN_MINORITY: Final = 0.20


@dataclass(frozen=True, slots=True)
class ModelParameters:
    """Sizes and strengths of the models; `docs/adr` argues changes with numbers."""

    logistic_c: float = 0.05
    forest_trees: int = 300
    forest_depth: int = 6
    forest_leaf: int = 25
    boosting_rate: float = 0.05
    boosting_iterations: int = 100
    boosting_leaves: int = 15
    boosting_leaf: int = 40
    boosting_l2: float = 1.0
    ridge_alpha: float = 100.0
    seed: int = 20_260_101


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Rows a model may learn from, ascending in time.

    Parameters
    ----------
    hours : array of int, shape (n,)
        Hours since 1970 of the candles; not necessarily consecutive.
    inputs : array, shape (n, n_features)
        Finite.
    returns : array, shape (n,)
        Simple return over the horizon, known.
    directions : array of int, shape (n,)
        0 or 1, known.
    feature_names : tuple of str
        Columns of `inputs`; `VOLATILITY_FEATURE` among them.
    horizon : int
        Hours ahead.
    """

    hours: NDArray[np.int64]
    inputs: Floats
    returns: Floats
    directions: NDArray[np.int64]
    feature_names: tuple[str, ...]
    horizon: int

    def __len__(self) -> int:
        return len(self.hours)

    @property
    def span(self) -> int:
        """Hours from the first row to the last, with rows or not."""
        return int(self.hours[-1] - self.hours[0]) + 1 if len(self) else 0

    def take(self, rows: NDArray[np.int64]) -> "TrainingSet":
        """The given rows of it."""
        return TrainingSet(
            self.hours[rows],
            self.inputs[rows],
            self.returns[rows],
            self.directions[rows],
            self.feature_names,
            self.horizon,
        )

    @property
    def risk(self) -> Floats:
        """vol_30 x sqrt(horizon): the scale of the return, shape (n,)."""
        return risk_of(self.inputs, self.feature_names, self.horizon)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The four fitted models and what serving needs beside them."""

    models: Mapping[str, Any]
    parameters: ModelParameters
    feature_names: tuple[str, ...]
    horizon: int
    scaling: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)


def risk_of(inputs: Floats, feature_names: Sequence[str], horizon: int) -> Floats:
    """vol_30 x sqrt(horizon) of each row, floored where volatility is zero."""
    volatility = inputs[:, list(feature_names).index(VOLATILITY_FEATURE)]
    return np.asarray(np.maximum(volatility, 1e-9) * np.sqrt(horizon))


def require_trainable(rows: TrainingSet) -> None:
    """Refuse a training set that cannot carry a model.

    Raises
    ------
    NotTrainableError
        Fewer than `MIN_ROWS` rows, or a minority class under `MIN_MINORITY`.
    """
    if len(rows) < MIN_ROWS:
        raise NotTrainableError(f"{len(rows)} valid rows with a known label, {MIN_ROWS} needed")
    minority = min(rows.directions.mean(), 1 - rows.directions.mean())
    if minority < MIN_MINORITY:
        raise NotTrainableError(f"the rarer direction is {minority:.0%} of the labels, {MIN_MINORITY:.0%} needed")


def fit(rows: TrainingSet, parameters: ModelParameters) -> Fitted:
    """Fit the four models on all rows, on one thread.

    Raises
    ------
    NotTrainableError
        See `require_trainable`, and: one class only.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression, Ridge  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    if len(np.unique(rows.directions)) < 2:
        raise NotTrainableError("all labels point the same way")
    p = parameters
    models = {
        "logistic_regression": make_pipeline(StandardScaler(), LogisticRegression(C=p.logistic_c, max_iter=1000)),
        "random_forest": RandomForestClassifier(
            n_estimators=p.forest_trees,
            max_depth=p.forest_depth,
            min_samples_leaf=p.forest_leaf,
            max_features="sqrt",
            random_state=p.seed,
            n_jobs=1,
        ),
        "gradient_boosting": HistGradientBoostingClassifier(
            learning_rate=p.boosting_rate,
            max_iter=p.boosting_iterations,
            max_leaf_nodes=p.boosting_leaves,
            min_samples_leaf=p.boosting_leaf,
            l2_regularization=p.boosting_l2,
            early_stopping=False,
            random_state=p.seed,
        ),
        REGRESSOR: make_pipeline(StandardScaler(), Ridge(alpha=p.ridge_alpha)),
    }
    target = rows.returns / rows.risk
    target = np.clip(target, *np.percentile(target, WINSOR))
    with threadpool_limits(1):
        for name in CLASSIFIERS:
            models[name].fit(rows.inputs, rows.directions)
        models[REGRESSOR].fit(rows.inputs, target)
    scalers = {name: models[name].named_steps["standardscaler"] for name in ("logistic_regression", REGRESSOR)}
    scaling = {
        name: {"mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()} for name, scaler in scalers.items()
    }
    return Fitted(models, parameters, rows.feature_names, rows.horizon, scaling)


def predict(models: Mapping[str, Any], inputs: Floats, feature_names: Sequence[str], horizon: int) -> dict[str, Floats]:
    """Forecast of each model for each row, not calibrated.

    Returns
    -------
    dict of str to array, shape (n,)
        Up-probability of each classifier; simple return over the horizon of the ridge regression.
    """
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    if set(models) != set(MODELS):
        raise ValueError(f"models {sorted(models)} are not {sorted(MODELS)}")
    with threadpool_limits(1):
        forecasts = {name: models[name].predict_proba(inputs)[:, 1] for name in CLASSIFIERS}
        forecasts[REGRESSOR] = models[REGRESSOR].predict(inputs) * risk_of(inputs, feature_names, horizon)
    return forecasts
