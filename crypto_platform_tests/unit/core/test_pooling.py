"""Symbols together: the same numbers as of one, and no more certainty than the hours they share give."""

from dataclasses import replace

import numpy as np
import pytest

from crypto_platform.core import metrics, pooling
from crypto_platform.core.bootstrap import Resample
from crypto_platform.core.estimators import TrainingSet
from crypto_platform.core.signals import CLASSIFIERS, ENSEMBLE, REGRESSOR
from crypto_platform.core.validation import OutOfSample

N = 400


def case(seed: int, n: int = N, first: int = 0) -> tuple[OutOfSample, TrainingSet]:
    """Forecasts that are right somewhat more often than not."""
    rng = np.random.default_rng(seed)
    returns = rng.normal(0, 0.01, n + 10)
    hours = first + np.arange(n + 10)
    rows = TrainingSet(hours, np.empty((n + 10, 0)), returns, (returns > 0).astype(np.int64), (), 1)
    prob_up = np.clip(0.5 + 20 * returns[10:] + rng.normal(0, 0.3, n), 0.05, 0.95)
    models = dict.fromkeys((*CLASSIFIERS, ENSEMBLE), prob_up)
    half, nothing = np.full(n, 0.5), np.zeros(n)
    return OutOfSample(np.arange(10, n + 10), np.zeros(n, np.int64), models, returns[10:] / 3, half, nothing, n), rows


def together(*cases: tuple[OutOfSample, TrainingSet]) -> dict[tuple[str, str], metrics.Metric]:
    found = pooling.evaluate([result for result, _ in cases], [rows for _, rows in cases], 1)
    return {(m.model_name, m.metric_name): m for m in found}


def test_one_symbol_pooled_is_that_symbol() -> None:
    alone = {(m.model_name, m.metric_name): m for m in metrics.evaluate(*case(1), 1) if m.fold == metrics.POOLED}
    pooled = together(case(1))
    assert set(alone) - set(pooled) == {(ENSEMBLE, "coverage")}
    for name, mine in pooled.items():
        assert mine.value == pytest.approx(alone[name].value, rel=1e-9, abs=1e-12), name
        if mine.lower is not None:
            assert (mine.lower, mine.upper) == pytest.approx((alone[name].lower, alone[name].upper), rel=1e-9), name


def test_the_same_symbol_five_times_is_no_more_certain_than_once() -> None:
    """As five independent rows an hour their intervals would be 2.2 times narrower."""
    once, often = together(case(2)), together(*[case(2)] * 5)
    for name in (ENSEMBLE, "accuracy"), (ENSEMBLE, "auc"), (ENSEMBLE, "log_loss_gain"), (REGRESSOR, "ic"):
        mine, theirs = once[name], often[name]
        assert (theirs.lower, theirs.upper) == pytest.approx((mine.lower, mine.upper), rel=1e-9), name
    assert often[ENSEMBLE, metrics.SKILL].value == pytest.approx(once[ENSEMBLE, metrics.SKILL].value, rel=1e-6)
    assert often[ENSEMBLE, "accuracy"].n == 5 * once[ENSEMBLE, "accuracy"].n


def test_symbols_that_know_nothing_of_each_other_are_more_certain_together() -> None:
    once, often = together(case(3)), together(*[case(seed) for seed in range(3, 8)])

    def width(found: dict[tuple[str, str], metrics.Metric]) -> float:
        mine = found[ENSEMBLE, "accuracy"]
        assert mine.lower is not None
        assert mine.upper is not None
        return mine.upper - mine.lower

    assert width(often) < 0.6 * width(once)


def test_each_row_counts_alike_though_symbols_have_different_hours() -> None:
    one, other = case(4, 300), case(5, 200, first=250)
    pooled = together(one, other)
    right = [
        ((result.prob_up[ENSEMBLE] >= 0.5) == (rows.directions[result.rows] == 1)).astype(float)
        for result, rows in (one, other)
    ]
    mine = pooled[ENSEMBLE, "accuracy"]
    assert mine.value == pytest.approx(np.concatenate(right).mean())
    assert mine.lower is not None
    assert mine.upper is not None
    assert mine.lower < mine.value < mine.upper


def test_draws_of_clusters_are_those_of_all_their_values() -> None:
    drawn = Resample.stationary(60, 5, 1).weights
    clusters = np.random.default_rng(1).permutation(np.r_[np.arange(60), np.arange(0, 60, 2), np.zeros(7)]).astype(int)
    resample, values = Resample(drawn, clusters), np.random.default_rng(2).normal(size=(97, 2))
    shares = np.concatenate(list(resample.shares()))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(resample.means(values), shares @ values)
    np.testing.assert_allclose(resample.means(values[:, 0]), shares @ values[:, 0])
    assert resample.series(values[:, 0]).mean() == pytest.approx(values[:, 0].mean())


def test_horizons_are_not_mixed() -> None:
    result, rows = case(6)
    with pytest.raises(ValueError, match="one horizon"):
        pooling.evaluate([result, result], [rows, replace(rows, horizon=3)], 1)
