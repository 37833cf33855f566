"""Laws of the validation: forecasts do not know the future, and importance tells signal from noise."""

import numpy as np
import pytest

from crypto_platform.core import estimators, serving, validation
from crypto_platform.core.estimators import VOLATILITY_FEATURE, ModelParameters, TrainingSet
from crypto_platform.core.signals import CLASSIFIERS, ENSEMBLE, REGRESSOR
from crypto_platform.core.splits import Plan, holdout_fold, newest_window, walk_forward_folds
from crypto_platform.errors import NotTrainableError

QUICK = ModelParameters(forest_trees=10, boosting_iterations=10)
NAMES = ("signal", "noise", VOLATILITY_FEATURE)
PLAN = Plan(train=300, test=60, embargo=5)


def rows(n: int = 600, strength: float = 1.0, seed: int = 1, horizon: int = 1) -> TrainingSet:
    """Returns that follow the first input as far as `strength` says."""
    rng = np.random.default_rng(seed)
    inputs = np.column_stack([rng.normal(size=(n, 2)), np.full(n, 0.01)])
    returns = 0.01 * (strength * inputs[:, 0] + rng.normal(size=n))
    return TrainingSet(np.arange(n), inputs, returns, (returns > 0).astype(np.int64), NAMES, horizon)


def flipped(original: TrainingSet, start: int) -> TrainingSet:
    """The same inputs, every label from `start` on the other way."""
    returns, directions = original.returns.copy(), original.directions.copy()
    returns[start:] *= -1
    directions[start:] = 1 - directions[start:]
    return TrainingSet(original.hours, original.inputs, returns, directions, NAMES, original.horizon)


@pytest.mark.parametrize("fold", [0, 2])
def test_walk_forward_forecasts_do_not_know_the_future(fold: int) -> None:
    """Changing everything from a fold's test window on leaves its forecasts and those before as they were."""
    original = rows(n=1200)
    folds = walk_forward_folds(original.hours, 1, PLAN)
    first = validation.walk_forward(original, folds, QUICK, PLAN.test).forecasts
    second = validation.walk_forward(flipped(original, folds[fold].test[0]), folds, QUICK, PLAN.test).forecasts
    mine = first.fold <= fold
    for name, forecasts in first.prob_up.items():
        np.testing.assert_array_equal(forecasts[mine], second.prob_up[name][mine])
    np.testing.assert_array_equal(first.ridge_return[mine], second.ridge_return[mine])
    assert not np.array_equal(first.ridge_return[~mine], second.ridge_return[~mine])
    assert first.rows.tolist() == np.concatenate([fold.test for fold in folds]).tolist()
    np.testing.assert_allclose(first.base_rate[first.fold == 0], original.directions[folds[0].train].mean())
    np.testing.assert_allclose(first.mean_return[first.fold == 0], original.returns[folds[0].train].mean())
    np.testing.assert_allclose(first.prob_up[ENSEMBLE], np.mean([first.prob_up[n] for n in CLASSIFIERS], axis=0))


def test_novelty_is_that_of_a_bundle_fitted_on_the_fold() -> None:
    known = rows()
    [fold] = walk_forward_folds(known.hours, 1, PLAN)[-1:]
    found = validation.walk_forward(known, [fold], QUICK, PLAN.test, novelty=True).forecasts.novelty
    fitted = estimators.fit(known.take(fold.train), QUICK)
    arrays = serving.flatten(fitted.models)
    arrays |= serving.reference(arrays, known.inputs[fold.train])
    form = serving.from_arrays(arrays, NAMES, 1, {})
    assert found is not None
    np.testing.assert_array_equal(found, serving.novelty(form, known.inputs[fold.test]))
    assert validation.walk_forward(known, [fold], QUICK, PLAN.test).forecasts.novelty is None


def test_the_holdout_plays_no_part_in_what_is_validated() -> None:
    original, plan = rows(n=900), Plan(train=300, test=60, embargo=5, holdout=100)
    results = []
    for known in (original, flipped(original, 800)):
        validated = validation.walk_forward(known, walk_forward_folds(known.hours, 1, plan), QUICK, plan.test)
        fold = holdout_fold(known.hours, 1, plan)
        assert fold is not None
        held = validation.of_newest(
            known, fold, validation.score(known, fold, QUICK), validated.calibrators, plan.holdout
        )
        results.append((validated, held))
    (first, held), (second, held_again) = results
    assert held.rows.tolist() == list(range(800, 900))
    for name in first.forecasts.prob_up:
        np.testing.assert_array_equal(first.forecasts.prob_up[name], second.forecasts.prob_up[name])
        np.testing.assert_array_equal(held.prob_up[name], held_again.prob_up[name])
    assert first.calibrators.keys() == second.calibrators.keys()


def test_a_history_too_short_for_one_fold_is_refused() -> None:
    few = rows(n=320)
    with pytest.raises(NotTrainableError, match="too short"):
        validation.walk_forward(few, walk_forward_folds(few.hours, 1, PLAN), QUICK, PLAN.test)


def test_importance_is_where_the_signal_is_and_repeatable() -> None:
    known = rows()
    folds = walk_forward_folds(known.hours, 1, PLAN)
    validated = validation.walk_forward(known, folds, QUICK, PLAN.test, importance_rows=100)
    assert 90 <= validated.importance_rows <= 100
    assert set(validated.importance) == {*CLASSIFIERS, ENSEMBLE, REGRESSOR}
    for values in validated.importance.values():
        signal, noise, constant = values
        assert signal > 0.05
        assert abs(noise) < signal / 3
        assert constant == 0  # its values are all the same: exchanging them changes nothing
    again = validation.walk_forward(known, folds, QUICK, PLAN.test, importance_rows=100)
    for name, values in validated.importance.items():
        np.testing.assert_array_equal(values, again.importance[name])
    assert validation.walk_forward(known, folds, QUICK, PLAN.test).importance == {}


def test_importance_is_that_of_scikit_learn() -> None:
    """The mean over many exchanges is the oracle's; one exchange of many rows is close to it."""
    from sklearn.inspection import permutation_importance

    from crypto_platform.core import estimators

    known = rows(n=2400)
    folds = walk_forward_folds(known.hours, 1, Plan(train=300, test=2000, embargo=5))
    ours = validation.walk_forward(known, folds, QUICK, 2000, importance_rows=2000).importance
    fitted = estimators.fit(known.take(folds[0].train), QUICK)
    test = known.take(folds[0].test)
    for name in CLASSIFIERS:
        theirs = permutation_importance(
            fitted.models[name], test.inputs, test.directions, scoring="neg_log_loss", n_repeats=5, random_state=1
        )
        np.testing.assert_allclose(ours[name], theirs.importances_mean, rtol=0.2, atol=0.01)

    def halved(model: object, inputs: np.ndarray, returns: np.ndarray) -> float:
        forecast = model.predict(inputs) * estimators.risk_of(inputs, NAMES, 1)  # type: ignore[attr-defined]
        return float(1 - ((forecast - returns) ** 2).sum() / (returns**2).sum()) / 2

    theirs = permutation_importance(
        fitted.models[REGRESSOR], test.inputs, test.returns, scoring=halved, n_repeats=5, random_state=1
    )
    np.testing.assert_allclose(ours[REGRESSOR], theirs.importances_mean, rtol=0.2, atol=0.01)


def test_the_newest_window_is_as_long_as_a_folds() -> None:
    hours = np.r_[0:100, 110:500]
    chosen = newest_window(hours, 480, Plan(train=50, test=10, embargo=1))
    assert hours[chosen].tolist() == list(range(431, 481))
    assert len(newest_window(hours, -1, PLAN)) == 0


@pytest.mark.parametrize("horizon", [1, 7])
def test_nothing_trained_on_reaches_into_the_holdout(horizon: int) -> None:
    plan = Plan(train=50, test=10, embargo=5, holdout=100)
    fold = holdout_fold(np.arange(500), horizon, plan)
    assert fold is not None
    assert fold.test.tolist() == list(range(400, 500))
    assert fold.train[-1] + horizon + plan.embargo == 400
    assert len(fold.train) == plan.train
    assert holdout_fold(np.arange(500), horizon, PLAN) is None
