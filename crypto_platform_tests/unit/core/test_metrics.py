"""Laws of the scores, against independent references."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from crypto_platform.core import metrics
from crypto_platform.core.estimators import WalkForward
from crypto_platform.core.metrics import block_length, log_losses, mean_interval, walk_forward_metrics


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(1e-6, 1 - 1e-6)), min_size=1, max_size=50))
def test_the_log_loss_is_that_of_scikit_learn(rows: list[tuple[int, float]]) -> None:
    truth, prob_up = np.array([t for t, _ in rows]), np.array([p for _, p in rows])
    assert log_losses(truth, prob_up).mean() == pytest.approx(log_loss(truth, prob_up, labels=[0, 1]), rel=1e-9)


def test_a_certain_and_wrong_forecast_costs_much_but_not_everything() -> None:
    losses = log_losses(np.array([1, 0, 1]), np.array([0.0, 1.0, 1.0]))
    assert np.isfinite(losses).all()
    assert (losses[:2] > 20).all()
    assert losses[2] == 0


def test_the_interval_covers_the_mean_of_a_dependent_series() -> None:
    """AR(1) with coefficient 0.7: about 95 of 100 intervals hold the true mean, where naive ones would not."""
    rng = np.random.default_rng(11)
    trials, n, phi = 120, 1000, 0.7
    noise = rng.standard_normal((trials, n + 200))
    series = np.zeros_like(noise)
    for t in range(1, n + 200):
        series[:, t] = phi * series[:, t - 1] + noise[:, t]
    covered = naive = 0
    for row in series[:, 200:]:
        interval = mean_interval(row, 24, seed=1, replications=400)
        assert interval is not None
        covered += interval[0] <= 0 <= interval[1]
        naive += abs(row.mean()) <= 1.96 * row.std() / np.sqrt(n)
    assert covered / trials > 0.86  # four standard errors below 95 % less the known small-sample shortfall
    assert naive / trials < 0.75


@given(st.lists(st.floats(0, 1), min_size=48, max_size=80), st.integers(0, 9))
def test_an_interval_is_ordered_repeatable_and_within_the_values(values: list[float], seed: int) -> None:
    series = np.array(values)
    interval = mean_interval(series, 24, seed, replications=50)
    assert interval is not None
    assert series.min() - 1e-12 <= interval[0] <= interval[1] <= series.max() + 1e-12
    assert interval == mean_interval(series, 24, seed, replications=50)


def test_too_short_a_series_has_no_interval() -> None:
    assert mean_interval(np.ones(47), 24, 1) is None
    assert mean_interval(np.ones(48), 24, 1) == (1.0, 1.0)
    assert [block_length(h) for h in (1, 3, 7, 24)] == [24, 24, 24, 48]


@pytest.fixture
def scored() -> tuple[list[metrics.Metric], WalkForward, np.ndarray]:
    rng = np.random.default_rng(3)
    n, rows = 300, np.arange(100, 300)
    returns = rng.normal(0, 0.01, n)
    directions = (returns > 0).astype(np.int64)
    prob_up = np.clip(rng.random(200), 0.01, 0.99)
    result = WalkForward(
        rows, np.repeat([0, 1], 100), {"ensemble": prob_up}, rng.normal(0, 0.01, 200), np.full(200, 0.5)
    )
    return walk_forward_metrics(result, directions, returns, 1, seed=1), result, directions


def test_scores_are_those_of_the_references(scored: tuple[list[metrics.Metric], WalkForward, np.ndarray]) -> None:
    found, result, directions = scored
    truth, prob_up = directions[result.rows], result.prob_up["ensemble"]
    for name, expected in (
        ("accuracy", np.mean((prob_up >= 0.5) == truth)),
        ("brier", brier_score_loss(truth, prob_up)),
        ("log_loss", log_loss(truth, prob_up)),
    ):
        metric = metrics.pooled(found, "ensemble", name)
        assert metric is not None
        assert metric.value == pytest.approx(expected)
        assert metric.n == 200
        assert metric.lower is not None
        assert metric.upper is not None
        assert metric.lower <= metric.value <= metric.upper


def test_persistence_repeats_the_newest_known_direction(
    scored: tuple[list[metrics.Metric], WalkForward, np.ndarray],
) -> None:
    found, result, directions = scored
    metric = metrics.pooled(found, metrics.BASELINE_PERSISTENCE, "accuracy")
    assert metric is not None
    assert metric.value == pytest.approx(np.mean(directions[result.rows - 1] == directions[result.rows]))


def test_pooled_accuracy_is_the_mean_of_the_folds_by_size(
    scored: tuple[list[metrics.Metric], WalkForward, np.ndarray],
) -> None:
    found = [m for m in scored[0] if (m.model_name, m.metric_name) == ("ensemble", "accuracy")]
    folds = [m for m in found if m.fold != metrics.POOLED]
    assert [m.fold for m in found] == [metrics.POOLED, 0, 1]
    assert found[0].value == pytest.approx(sum(m.value * m.n for m in folds) / sum(m.n for m in folds))
