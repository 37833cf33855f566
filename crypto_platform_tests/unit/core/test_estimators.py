"""Laws of the models: they find what is there, nothing where there is nothing, and do so repeatably."""

import numpy as np
import pytest

from crypto_platform.core import estimators
from crypto_platform.core.estimators import MIN_ROWS, VOLATILITY_FEATURE, ModelParameters, TrainingSet
from crypto_platform.core.signals import CLASSIFIERS, MODELS, REGRESSOR
from crypto_platform.errors import NotTrainableError

QUICK = ModelParameters(forest_trees=10, boosting_iterations=10)
NAMES = ("signal", "noise", VOLATILITY_FEATURE)


def rows(n: int = 600, strength: float = 1.0, seed: int = 1, horizon: int = 1) -> TrainingSet:
    """Returns that follow the first input as far as `strength` says."""
    rng = np.random.default_rng(seed)
    inputs = np.column_stack([rng.normal(size=(n, 2)), np.full(n, 0.01)])
    returns = 0.01 * (strength * inputs[:, 0] + rng.normal(size=n))
    return TrainingSet(np.arange(n), inputs, returns, (returns > 0).astype(np.int64), NAMES, horizon)


@pytest.fixture(scope="module")
def fitted() -> estimators.Fitted:
    return estimators.fit(rows(), QUICK)


@pytest.mark.parametrize("name", MODELS)
def test_each_model_follows_a_planted_signal(fitted: estimators.Fitted, name: str) -> None:
    fresh = rows(seed=2)
    forecasts = estimators.predict(fitted.models, fresh.inputs, NAMES, 1)[name]
    calls = forecasts > (0 if name == REGRESSOR else 0.5)
    assert np.mean(calls == fresh.directions) > 0.65


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_no_model_is_right_about_noise(name: str) -> None:
    noise = estimators.fit(rows(strength=0), QUICK)
    fresh = rows(n=2000, strength=0, seed=2)
    calls = estimators.predict(noise.models, fresh.inputs, NAMES, 1)[name] > 0.5
    assert abs(np.mean(calls == fresh.directions) - 0.5) < 4 * 0.5 / np.sqrt(2000)


def test_forecasts_are_probabilities_and_returns(fitted: estimators.Fitted) -> None:
    forecasts = estimators.predict(fitted.models, rows().inputs, NAMES, 1)
    assert set(forecasts) == set(MODELS)
    for name in CLASSIFIERS:
        assert ((forecasts[name] >= 0) & (forecasts[name] <= 1)).all()
    assert np.abs(forecasts[REGRESSOR]).max() < 0.1


def test_fitting_is_repeatable_and_the_seed_matters(fitted: estimators.Fitted) -> None:
    inputs = rows(seed=2).inputs
    again = estimators.predict(estimators.fit(rows(), QUICK).models, inputs, NAMES, 1)
    other_seed = ModelParameters(forest_trees=10, boosting_iterations=10, seed=7)
    other = estimators.predict(estimators.fit(rows(), other_seed).models, inputs, NAMES, 1)
    first = estimators.predict(fitted.models, inputs, NAMES, 1)
    for name in MODELS:
        np.testing.assert_array_equal(again[name], first[name])
    assert not np.array_equal(other["random_forest"], first["random_forest"])


def test_a_row_is_forecast_alike_alone_and_among_others(fitted: estimators.Fitted) -> None:
    inputs = rows(n=20, seed=2).inputs
    together = estimators.predict(fitted.models, inputs, NAMES, 1)
    for name in MODELS:
        alone = [estimators.predict(fitted.models, inputs[[i]], NAMES, 1)[name][0] for i in range(20)]
        np.testing.assert_allclose(alone, together[name], rtol=1e-12)


def test_the_scaler_is_part_of_the_model_and_is_told(fitted: estimators.Fitted) -> None:
    for name in ("logistic_regression", REGRESSOR):
        np.testing.assert_allclose(fitted.scaling[name]["mean"], rows().inputs.mean(axis=0))
        assert len(fitted.scaling[name]["scale"]) == len(NAMES)


def test_the_ridge_forecasts_in_units_of_risk() -> None:
    model = estimators.fit(rows(), QUICK).models
    calm = rows(n=5, seed=2).inputs
    wild = calm.copy()
    wild[:, 2] *= 3
    scaled = [estimators.predict(model, calm, NAMES, h)[REGRESSOR] for h in (1, 4)]
    np.testing.assert_allclose(scaled[1], 2 * scaled[0])
    np.testing.assert_allclose(estimators.risk_of(wild, NAMES, 1), 3 * estimators.risk_of(calm, NAMES, 1))
    assert (estimators.risk_of(np.zeros((2, 3)), NAMES, 1) > 0).all()


@pytest.mark.parametrize(
    ("n", "ups", "why"),
    [(MIN_ROWS - 1, 0.5, "needed"), (1000, 0.19, "19%"), (1000, 0.81, "19%"), (1000, 0.0, "0%"), (0, 0.5, "0 valid")],
)
def test_what_cannot_carry_a_model_is_refused(n: int, ups: float, why: str) -> None:
    directions = (np.arange(n) < ups * n).astype(np.int64)
    few = TrainingSet(np.arange(n), np.ones((n, 3)), directions * 0.01, directions, NAMES, 1)
    with pytest.raises(NotTrainableError, match=why):
        estimators.require_trainable(few)


def test_one_direction_only_is_refused_by_fitting_too() -> None:
    up = rows()
    up = TrainingSet(up.hours, up.inputs, abs(up.returns), np.ones(len(up), dtype=np.int64), NAMES, 1)
    with pytest.raises(NotTrainableError, match="same way"):
        estimators.fit(up, QUICK)


def test_models_of_another_set_are_refused(fitted: estimators.Fitted) -> None:
    incomplete = {name: model for name, model in fitted.models.items() if name != REGRESSOR}
    with pytest.raises(ValueError, match="are not"):
        estimators.predict(incomplete, rows().inputs, NAMES, 1)
