"""Laws of the serving form: it forecasts as scikit-learn does, on any inputs, and a row alike alone and in a crowd."""

from functools import cache

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import special

from crypto_platform.core import calibration, estimators, serving
from crypto_platform.core.estimators import VOLATILITY_FEATURE, Fitted, ModelParameters, TrainingSet
from crypto_platform.core.serving import ServingForm
from crypto_platform.core.signals import MODELS

NAMES = ("a", "b", "ties", VOLATILITY_FEATURE)
EXTREMES = (0.0, -0.0, 5e-324, -1e-310, 1e-45, 1e30, -1e30, 3.4e38, -3.4e38)
CALIBRATORS = {
    "random_forest": np.array([1.7, -0.2]),
    "gradient_boosting": np.array([[0.2, 0.4, 0.8], [0.3, 0.3, 0.9]]),
}


@cache
def pair(seed: int) -> tuple[Fitted, ServingForm]:
    """Models and their serving form; the third input takes few values, so that thresholds lie between close ones."""
    rng = np.random.default_rng(seed)
    inputs = np.column_stack(
        [rng.normal(size=(500, 2)) * 10.0 ** rng.integers(-6, 6), rng.integers(0, 5, 500) / 3, rng.random(500) / 50]
    )
    returns = 0.01 * (np.sign(inputs[:, 0]) + inputs[:, 2] + rng.normal(size=500) - 0.7)
    rows = TrainingSet(np.arange(500), inputs, returns, (returns > 0).astype(np.int64), NAMES, 3)
    fitted = estimators.fit(rows, ModelParameters(forest_trees=20, boosting_iterations=20, seed=seed))
    arrays = serving.flatten(fitted.models)
    calibrators = CALIBRATORS if seed % 2 else {}
    return fitted, serving.from_arrays(arrays | serving.reference(arrays, inputs), NAMES, 3, calibrators)


def assert_equal(seed: int, inputs: np.ndarray) -> None:
    fitted, form = pair(seed)
    ours = serving.predict(form, inputs)
    with np.errstate(invalid="ignore"):  # its check sums all inputs in float32, in which huge ones are inf - inf
        theirs = calibration.apply_all(form.calibrators, estimators.predict(fitted.models, inputs, NAMES, 3))
    assert list(ours) == list(theirs) == list(MODELS)
    for name in MODELS:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-12, atol=1e-12, err_msg=name)


@given(
    st.integers(0, 3),
    st.lists(
        st.lists(
            st.floats(-3.4e38, 3.4e38, allow_nan=False) | st.floats(-3, 3) | st.sampled_from(EXTREMES),
            min_size=4,
            max_size=4,
        ),
        min_size=1,
        max_size=5,
    ),
)
@example(0, [[0.0, 0.0, 0.0, 3e38], [0.0, 0.0, -3e38, -3e38], [0.0, 0.0, 0.0, 3e38], [0.0, 0.0, 0.0, 0.0]])
def test_forecasts_are_scikit_learns_on_any_inputs(seed: int, rows: list[list[float]]) -> None:
    assert_equal(seed, np.array(rows))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["random_forest", "gradient_boosting"])
def test_inputs_at_a_threshold_and_next_to_it_go_where_scikit_learn_sends_them(seed: int, name: str) -> None:
    """At every threshold of every tree, and one float64 and one float32 to either side of it."""
    _, form = pair(seed)
    base = np.array([0.1, -0.2, 0.5, 0.01])
    inner = form.arrays[f"{name}.children"][:, 0] != np.arange(len(form.arrays[f"{name}.children"]))
    thresholds, looked_at = form.arrays[f"{name}.number"][inner], form.arrays[f"{name}.feature"][inner]
    near = [
        thresholds,
        np.nextafter(thresholds, np.inf),
        np.nextafter(thresholds, -np.inf),
        thresholds.astype(np.float32).astype(float),
        np.nextafter(thresholds.astype(np.float32), np.float32(np.inf)).astype(float),
        np.nextafter(thresholds.astype(np.float32), np.float32(-np.inf)).astype(float),
    ]
    for values in near:
        inputs = np.tile(base, (len(values), 1))
        inputs[np.arange(len(values)), looked_at] = values
        assert_equal(seed, inputs)


@given(st.integers(0, 3), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_row_is_forecast_alike_alone_and_among_others_to_the_last_bit(seed: int, n: int, drawn: int) -> None:
    _, form = pair(seed)
    inputs = np.random.default_rng(drawn).normal(size=(n, 4))
    together = serving.predict(form, inputs)
    alone = [serving.predict(form, inputs[[row]]) for row in range(n)]
    for name in MODELS:
        assert together[name].tolist() == [part[name][0] for part in alone]


def test_no_rows_give_no_forecasts() -> None:
    assert {
        name: values.shape for name, values in serving.predict(pair(0)[1], np.empty((0, 4))).items()
    } == dict.fromkeys(MODELS, (0,))


@given(st.floats(-1e4, 1e4))
def test_the_logistic_function_is_scipys_and_never_overflows(x: float) -> None:
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(serving.expit(np.array([x])), special.expit([x]), rtol=1e-14, atol=1e-307)


def test_the_largest_difference_names_its_model_and_sees_nan() -> None:
    same = {name: np.zeros(2) for name in MODELS}
    assert serving.largest_difference(same, same)[0] == 0
    assert serving.largest_difference(same, {**same, MODELS[1]: np.array([0, 2e-3])}) == (2e-3, MODELS[1])
    assert serving.largest_difference({**same, MODELS[2]: np.array([0, np.nan])}, same) == (np.inf, MODELS[2])


@pytest.mark.parametrize(
    "odd",
    [
        {"ridge_regression": np.array([1.0, 0.0])},
        {"random_forest": np.array([-1.0, 0.0])},
        {"random_forest": np.array([1.0, 0.0, 0.0])},
        {"random_forest": np.array([1.0, np.nan])},
        {"random_forest": np.array([[0.2, 0.1], [0.3, 0.4]])},
        {"random_forest": np.array([[0.1, 0.2], [0.4, 0.3]])},
        {"random_forest": np.array([[0.1, 0.2], [0.4, 1.1]])},
        {"random_forest": np.empty((2, 0))},
        {"random_forest": np.array(1.0)},
    ],
)
def test_what_is_no_calibrator_is_refused(odd: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="its calibrator is none"):
        serving.from_arrays(pair(0)[1].arrays, NAMES, 3, odd)
