"""Laws of the scores, against scikit-learn, scipy and statsmodels."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn import metrics as oracle

from crypto_platform.core import metrics
from crypto_platform.core.bootstrap import Resample
from crypto_platform.core.calibration import log_losses
from crypto_platform.core.estimators import TrainingSet
from crypto_platform.core.signals import ENSEMBLE, REGRESSOR
from crypto_platform.core.validation import OutOfSample

Rows = list[tuple[int, float]]
forecasts = st.lists(st.tuples(st.integers(0, 1), st.floats(0.01, 0.99).map(lambda p: round(p, 2))), min_size=2)
LAST = 200  # out-of-sample rows of `scored`


def sample(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    return np.array([t for t, _ in rows]), np.array([p for _, p in rows])


@given(forecasts)
def test_scores_of_probabilities_are_those_of_scikit_learn(rows: Rows) -> None:
    truth, prob_up = sample(rows)
    found = metrics.probability_scores(truth, prob_up, Resample.none(len(truth)))
    assert found["log_loss"][0] == pytest.approx(oracle.log_loss(truth, prob_up, labels=[0, 1]), rel=1e-9)
    assert found["brier"][0] == pytest.approx(np.mean((truth - prob_up) ** 2))
    if len(set(truth)) == 2:
        assert found["auc"][0] == pytest.approx(oracle.roc_auc_score(truth, prob_up))
    else:
        assert np.isnan(found["auc"][0])


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2))
@example([(0, 1)] * 5 + [(1, 1)])  # six sixths add up to a little less than one
@example([(1, 0)] * 6)
def test_scores_of_calls_are_those_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    truth, calls = np.array(rows).T
    found = metrics.call_scores(truth, calls, Resample.none(len(truth)))
    assert found["accuracy"][0] == pytest.approx(oracle.accuracy_score(truth, calls))
    if len(set(truth)) == 2:
        assert found["balanced_accuracy"][0] == pytest.approx(oracle.balanced_accuracy_score(truth, calls))
        if len(set(calls)) == 2:
            assert found["mcc"][0] == pytest.approx(oracle.matthews_corrcoef(truth, calls), abs=1e-9)
        else:
            assert np.isnan(found["mcc"][0])
    else:
        assert np.isnan(found["balanced_accuracy"][0])


def test_scores_of_returns_are_those_of_scikit_learn_and_scipy() -> None:
    rng = np.random.default_rng(2)
    realized = rng.normal(0, 0.01, 300)
    forecast = np.round(0.2 * realized + rng.normal(0, 0.004, 300), 3)  # ties
    found = metrics.return_scores(realized, forecast, Resample.none(300))
    assert found["mae"][0] == pytest.approx(oracle.mean_absolute_error(realized, forecast))
    assert found["rmse"][0] == pytest.approx(oracle.root_mean_squared_error(realized, forecast))
    assert found["ic"][0] == pytest.approx(spearmanr(forecast, realized).statistic)
    assert found["r2_against_zero"][0] == pytest.approx(1 - np.sum((forecast - realized) ** 2) / np.sum(realized**2))
    assert "ic" not in metrics.return_scores(realized, np.zeros(300), Resample.none(300))


@given(st.integers(0, 20))
def test_a_replication_scores_as_the_rows_it_draws(seed: int) -> None:
    """Weighted scores are those of scikit-learn on the rows themselves, repeated."""
    rng = np.random.default_rng(seed)
    truth, prob_up = rng.integers(0, 2, 60), np.round(rng.random(60), 1)
    realized, forecast = rng.normal(size=60), rng.normal(size=60)
    resample = Resample.stationary(60, 24, seed, replications=1)
    rows = np.repeat(np.arange(60), np.rint(resample.weights[1] * 60).astype(int))
    calls = (prob_up >= 0.5).astype(np.int64)
    found = {
        **metrics.call_scores(truth, calls, resample),
        **metrics.probability_scores(truth, prob_up, resample),
        **metrics.return_scores(realized, forecast, resample),
    }
    expected = {
        "accuracy": oracle.accuracy_score(truth[rows], calls[rows]),
        "balanced_accuracy": oracle.balanced_accuracy_score(truth[rows], calls[rows]),
        "mcc": oracle.matthews_corrcoef(truth[rows], calls[rows]),
        "log_loss": log_losses(truth[rows], prob_up[rows]).mean(),
        "auc": oracle.roc_auc_score(truth[rows], prob_up[rows]),
        "rmse": oracle.root_mean_squared_error(realized[rows], forecast[rows]),
    }
    for name, value in expected.items():
        assert found[name][1] == pytest.approx(value, abs=1e-9), name


def test_a_certain_and_wrong_forecast_costs_much_but_not_everything() -> None:
    losses = log_losses(np.array([1, 0, 1]), np.array([0.0, 1.0, 1.0]))
    assert np.isfinite(losses).all()
    assert (losses[:2] > 20).all()
    assert losses[2] == 0


def test_the_parts_of_the_brier_score_sum_to_it() -> None:
    """Murphy's identity, exact where a bin holds one forecast: Brier = reliability - resolution + uncertainty."""
    rng = np.random.default_rng(5)
    prob_up = np.repeat(np.linspace(0.05, 0.95, 10), 50)
    truth = (rng.random(500) < 0.3 + 0.4 * prob_up).astype(np.int64)
    reliability, resolution, error = metrics.calibration_parts(truth, prob_up)
    uncertainty = truth.mean() * (1 - truth.mean())
    assert np.mean((prob_up - truth) ** 2) == pytest.approx(reliability - resolution + uncertainty)
    from sklearn.calibration import calibration_curve

    seen, stated = calibration_curve(truth, prob_up, n_bins=10, strategy="quantile")
    assert error == pytest.approx(np.abs(seen - stated).mean(), abs=0.02)


def test_a_forecaster_that_states_the_truth_is_calibrated() -> None:
    rng = np.random.default_rng(6)
    prob_up = rng.uniform(0.2, 0.8, 20_000)
    truth = (rng.random(20_000) < prob_up).astype(np.int64)
    found = metrics.probability_scores(truth, prob_up, Resample.none(20_000))
    assert found["calibration_slope"][0] == pytest.approx(1, abs=0.1)
    assert found["calibration_intercept"][0] == pytest.approx(0, abs=0.06)
    assert found["ece"][0] < 0.02


def outcome(strength: float, n: int = 500, seed: int = 3) -> tuple[OutOfSample, TrainingSet]:
    """Forecasts of the last `LAST` rows that know `strength` of what comes."""
    rng = np.random.default_rng(seed)
    returns = rng.normal(0, 0.01, n)
    directions = (returns > 0).astype(np.int64)
    known = TrainingSet(np.arange(n), np.zeros((n, 1)), returns, directions, ("vol_30",), 1)
    rows = np.arange(n - LAST, n)
    knows = strength * 100 * returns[rows] + rng.normal(0, 0.3, LAST)
    prob_up = 1 / (1 + np.exp(-knows))
    constant = np.full(LAST, 0.5)
    prob = {"random_forest": prob_up, ENSEMBLE: prob_up}
    result = OutOfSample(rows, np.repeat([0, 1], LAST // 2), prob, knows / 300, constant, 0 * constant, LAST // 2)
    return result, known


@pytest.fixture(scope="module")
def scored() -> list[metrics.Metric]:
    return metrics.evaluate(*outcome(1.0), seed=1)


def test_headline_numbers_have_an_interval_around_them(scored: list[metrics.Metric]) -> None:
    headline = ("accuracy", "balanced_accuracy", "log_loss", "brier", "auc", "mcc")
    wanted = [(ENSEMBLE, name) for name in headline]
    wanted += [(REGRESSOR, name) for name in ("mae", "rmse", "r2_against_zero", "directional_accuracy", "ic")]
    for model, name in wanted:
        found = metrics.pooled(scored, model, name)
        assert found is not None
        assert found.lower is not None
        assert found.upper is not None
        assert found.lower <= found.value <= found.upper
        assert found.n == LAST


def test_every_score_of_the_specification_is_there(scored: list[metrics.Metric]) -> None:
    found = metrics.summary(scored)
    assert set(found[ENSEMBLE]) == {
        *("accuracy", "balanced_accuracy", "mcc", "log_loss", "brier", "brier_reliability", "brier_resolution"),
        *("auc", "ece", "calibration_slope", "calibration_intercept", "coverage", "base_rate"),
        *("log_loss_gain", "accuracy_gain", "skill_p_value"),
    }
    baselines = {name for name in found if name.startswith("baseline")}
    assert baselines == {
        metrics.BASELINE_RATE,
        metrics.BASELINE_COIN,
        metrics.BASELINE_PERSISTENCE,
        metrics.BASELINE_UP,
        metrics.BASELINE_ZERO,
        metrics.BASELINE_MEAN,
    }
    assert found[metrics.BASELINE_COIN]["log_loss"] == pytest.approx(np.log(2))
    assert "accuracy" not in found[metrics.BASELINE_COIN]
    assert found[metrics.BASELINE_ZERO]["r2_against_zero"] == 0
    assert found[ENSEMBLE]["coverage"] == 1.0


@pytest.mark.parametrize("horizon", [1, 7])
def test_persistence_repeats_the_newest_known_direction(horizon: int) -> None:
    """By hours, not by rows: with gaps the row `horizon` places before is older than what is known."""
    result, known = outcome(0.0)
    hours = np.cumsum(np.where(np.arange(len(known)) % 11 == 0, 4, 1))
    gapped = TrainingSet(hours, known.inputs, known.returns, known.directions, known.feature_names, horizon)
    found = metrics.pooled(metrics.evaluate(result, gapped, seed=1), metrics.BASELINE_PERSISTENCE, "accuracy")
    expected = []
    for row in result.rows:
        newest = max(i for i in range(row) if hours[i] + horizon <= hours[row])
        expected.append(known.directions[newest] == known.directions[row])
    assert found is not None
    assert found.value == pytest.approx(np.mean(expected))


def test_pooled_accuracy_is_the_mean_of_the_folds_by_size(scored: list[metrics.Metric]) -> None:
    found = [m for m in scored if (m.model_name, m.metric_name) == (ENSEMBLE, "accuracy")]
    folds = [m for m in found if m.fold != metrics.POOLED]
    assert [m.fold for m in found] == [metrics.POOLED, 0, 1]
    assert found[0].value == pytest.approx(sum(m.value * m.n for m in folds) / sum(m.n for m in folds))
    assert all(m.lower is None for m in folds)


def test_a_holdout_is_scored_apart() -> None:
    found = metrics.evaluate(*outcome(1.0), seed=1, pooled_as=metrics.HOLDOUT)
    assert {m.fold for m in found} == {metrics.HOLDOUT}
    assert metrics.pooled(found, ENSEMBLE, "accuracy") is None
    assert metrics.pooled(found, ENSEMBLE, "accuracy", metrics.HOLDOUT) is not None


def test_skill_needs_both_gains_over_every_baseline() -> None:
    strong = metrics.summary(metrics.evaluate(*outcome(1.0), seed=1))
    assert strong[ENSEMBLE]["skill_p_value"] < 0.01
    assert strong[REGRESSOR]["skill_p_value"] < 0.01
    assert strong[ENSEMBLE]["accuracy_gain"] > 0.2
    result, known = outcome(1.0)
    shy = {name: 0.5 + 1e-6 * (given - 0.5) for name, given in result.prob_up.items()}  # right sides, no odds given
    best = float((known.directions[result.rows] == (result.prob_up[ENSEMBLE] >= 0.5)).mean())
    sided = OutOfSample(result.rows, result.fold, shy, result.ridge_return, result.base_rate, result.mean_return, 100)
    assert best > 0.7
    assert metrics.summary(metrics.evaluate(sided, known, seed=1))[ENSEMBLE]["log_loss_gain"] < 1e-6


def test_a_model_that_hides_behind_a_bad_baseline_shows_no_skill() -> None:
    """Better than a base rate far off, but no better than a coin: nothing was shown."""
    result, known = outcome(0.0)
    coin = {name: np.full(LAST, 0.5 - 1e-9) for name in result.prob_up}
    off = OutOfSample(result.rows, result.fold, coin, result.ridge_return, np.full(LAST, 0.7), result.mean_return, 100)
    assert metrics.summary(metrics.evaluate(off, known, seed=1))[ENSEMBLE]["skill_p_value"] > 0.4


def test_noise_shows_skill_as_rarely_as_stated() -> None:
    p_values = [
        metrics.summary(metrics.evaluate(*outcome(0.0, seed=s), 1))[ENSEMBLE]["skill_p_value"] for s in range(60)
    ]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.1


def test_the_accuracy_floor_is_an_error_below_the_accuracy_and_one_half_at_least() -> None:
    result, known = outcome(1.0)
    accuracy = metrics.summary(metrics.evaluate(result, known, 1))[ENSEMBLE]["accuracy"]
    assert accuracy - 0.08 < metrics.accuracy_floor(result, known) < accuracy
    assert metrics.accuracy_floor(*outcome(0.0)) == pytest.approx(0.5, abs=0.03)
