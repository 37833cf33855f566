"""Laws of calibration: it keeps order, helps on scores it did not see, or is left out."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.core import calibration
from crypto_platform.core.calibration import Span, log_losses, log_odds

FOLDS = [Span(max(0, first - 1), first, first + 100) for first in range(0, 1000, 100)]


def world(n: int = 1000, stretch: float = 3.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Directions, and scores whose log odds are `stretch` times the true ones."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 0.8, n)
    return (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(np.int64), 1 / (1 + np.exp(-stretch * odds))


def test_the_line_is_the_logistic_regression_of_statsmodels() -> None:
    truth, scores = world()
    expected = sm.Logit(truth, sm.add_constant(log_odds(scores), prepend=False)).fit(disp=False).params
    np.testing.assert_allclose(calibration.logistic_line(truth, scores), expected, rtol=1e-6)


def test_overconfident_scores_are_brought_back() -> None:
    truth, scores = world(5000)
    slope, intercept = calibration.fit_sigmoid(truth, scores)
    assert slope == pytest.approx(1 / 3, rel=0.15)
    assert abs(intercept) < 0.1
    fresh, given_scores = world(5000, seed=2)
    calibrated = calibration.apply(np.array([slope, intercept]), given_scores)
    assert log_losses(fresh, calibrated).mean() < log_losses(fresh, given_scores).mean() - 0.05


@pytest.mark.parametrize(
    ("truth", "scores"),
    [
        (np.ones(50, dtype=np.int64), np.linspace(0.1, 0.9, 50)),
        (np.arange(50) % 2, np.full(50, 0.6)),
        ((np.arange(50) > 24).astype(np.int64), np.linspace(0.1, 0.9, 50)),
    ],
    ids=["one direction", "one score", "separable"],
)
def test_without_a_finite_line_there_is_no_sigmoid(truth: np.ndarray, scores: np.ndarray) -> None:
    assert calibration.fit_sigmoid(truth, scores) is None


def test_a_model_is_never_turned_around_but_said_to_know_nothing() -> None:
    truth, scores = world(2000)
    line = calibration.fit_sigmoid(1 - truth, scores)
    assert line is not None
    assert line[0] == calibration.FLATTEST
    calibrated = calibration.apply(line, scores)
    assert calibrated.mean() == pytest.approx(1 - truth.mean(), abs=1e-9)
    assert (np.diff(calibrated[np.argsort(scores)]) >= 0).all()
    loss, before = (calibration.log_losses(1 - truth, given).mean() for given in (calibrated, scores))
    assert loss < before


@pytest.mark.parametrize("fit", [calibration.fit_sigmoid, calibration.fit_isotonic])
def test_calibrated_scores_keep_their_order_and_are_probabilities(fit: calibration._Fit) -> None:
    truth, scores = world()
    calibrated = calibration.apply(fit(truth, scores), np.sort(scores))
    assert (np.diff(calibrated) >= 0).all()
    assert ((calibrated > 0) & (calibrated < 1)).all()


def test_isotonic_is_that_of_scikit_learn_between_its_ends() -> None:
    from sklearn.isotonic import IsotonicRegression

    truth, scores = world()
    fitted = calibration.fit_isotonic(truth, scores)
    expected = IsotonicRegression(out_of_bounds="clip").fit(scores, truth).predict(scores)
    np.testing.assert_allclose(calibration.apply(fitted, scores), np.clip(expected, 1e-3, 1 - 1e-3), atol=1e-12)


def test_too_few_scores_stay_as_they_are() -> None:
    truth, scores = world(calibration.MIN_SIGMOID - 1)
    assert calibration.choose(truth, scores, FOLDS[:3]) is None


def test_it_is_chosen_where_it_helps_on_later_scores_only() -> None:
    truth, scores = world()
    assert calibration.choose(truth, scores, FOLDS) is not None
    chosen = [calibration.choose(*world(stretch=1.0, seed=seed), FOLDS) is None for seed in range(10)]
    assert sum(chosen) >= 5  # scores that are right already gain nothing but luck


def test_a_drift_that_a_look_back_would_reward_is_refused() -> None:
    """Scores overconfident in the early folds, underconfident later: in hindsight one line fits, in time none did."""
    truth, odds = world(stretch=1.0)[0], log_odds(world(stretch=1.0)[1])
    stretch = np.where(np.arange(1000) < 500, 3.0, 0.2)
    scores = 1 / (1 + np.exp(-stretch * odds))
    late = [span for span in FOLDS if span.first >= 500]
    assert calibration.choose(truth, scores, late[:2]) is None


def test_isotonic_needs_more_than_two_thousand_scores() -> None:
    rng = np.random.default_rng(4)
    scores = rng.random(3000)
    truth = (rng.random(3000) < np.where(scores > 0.5, 0.8, 0.2)).astype(np.int64)  # no sigmoid has this step
    spans = [Span(first, first, first + 100) for first in range(0, 3000, 100)]
    assert calibration.choose(truth, scores, spans).shape[0] == 2
    assert calibration.choose(truth, scores, spans).ndim == 2
    assert calibration.choose(truth[:2000], scores[:2000], spans).ndim == 1


@given(st.integers(100, 899))
def test_forward_calibration_does_not_know_the_future(cut: int) -> None:
    truth, scores = world()
    first = calibration.forward(truth, scores, FOLDS)
    changed = truth.copy()
    changed[cut:] = 1 - changed[cut:]
    second = calibration.forward(changed, scores, FOLDS)
    known = max(span.end for span in FOLDS if span.known <= cut)
    np.testing.assert_array_equal(first[:known], second[:known])


def test_a_stored_calibrator_comes_back_to_the_last_bit() -> None:
    import json

    line = calibration.fit_sigmoid(*world())
    manifest = json.loads(json.dumps({"calibrators": {"random_forest": line.tolist()}}))
    np.testing.assert_array_equal(calibration.stored(manifest)["random_forest"], line)
    assert calibration.stored({}) == {}
    assert calibration.apply(None, np.array([0.3])) == 0.3


def test_calibrators_change_the_forecasts_they_are_for_alone() -> None:
    given = {"random_forest": np.array([0.2, 0.7]), "ridge_regression": np.array([-0.01, 0.02])}
    found = calibration.apply_all({"random_forest": np.array([0.5, 0.1])}, given)
    assert found["ridge_regression"] is given["ridge_regression"]
    odds = np.log(given["random_forest"] / (1 - given["random_forest"]))
    np.testing.assert_allclose(found["random_forest"], 1 / (1 + np.exp(-(0.5 * odds + 0.1))))
