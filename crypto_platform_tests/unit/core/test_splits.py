"""Walk-forward folds: what is trained on was known before what is tested."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from crypto_platform.core.splits import Plan, holdout_fold, plan_for, walk_forward_folds


@st.composite
def histories(draw: st.DrawFn) -> np.ndarray:
    """Ascending hours with holes of any length."""
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 1, 2, 5, 40]), min_size=1, max_size=300))
    return np.cumsum(steps) + draw(st.integers(0, 500_000))


@given(
    hours=histories(),
    horizon=st.sampled_from([1, 3, 7]),
    train=st.integers(5, 60),
    test=st.integers(1, 20),
    embargo=st.integers(0, 12),
    holdout=st.integers(0, 50),
)
def test_every_fold_purges_and_tests_new_rows_only(
    hours: np.ndarray, horizon: int, train: int, test: int, embargo: int, holdout: int
) -> None:
    folds = walk_forward_folds(hours, horizon, Plan(train, test, embargo, holdout))
    tested: set[int] = set()
    for fold in folds:
        assert len(fold.train)
        assert len(fold.test)
        assert hours[fold.train].max() + horizon + embargo <= hours[fold.test].min()
        assert np.ptp(hours[fold.train]) < train
        assert np.ptp(hours[fold.test]) < test
        assert hours[fold.test].max() <= hours[-1] - holdout
        assert not tested & set(fold.test.tolist())
        tested |= set(fold.test.tolist())
    starts = [hours[fold.test[0]] for fold in folds]
    assert starts == sorted(starts)


@pytest.mark.parametrize(("n_rows", "n_folds", "n_tested"), [(720, 7, 336), (2160, 7, 840), (8760, 34, 5712)])
def test_plans_give_the_folds_they_promise(n_rows: int, n_folds: int, n_tested: int) -> None:
    folds = walk_forward_folds(np.arange(n_rows), 1, plan_for(n_rows))
    assert len(folds) == n_folds
    assert sum(len(fold.test) for fold in folds) == n_tested


@pytest.mark.parametrize("horizon", [1, 3, 7])
def test_without_gaps_folds_are_those_of_scikit_learn(horizon: int) -> None:
    plan = plan_for(720)
    ours = walk_forward_folds(np.arange(720), horizon, plan)
    reference = TimeSeriesSplit(
        n_splits=len(ours), test_size=plan.test, gap=horizon + plan.embargo - 1, max_train_size=plan.train
    )
    for fold, (train, test) in zip(ours, reference.split(np.empty((720, 1))), strict=True):
        np.testing.assert_array_equal(fold.train, train)
        np.testing.assert_array_equal(fold.test, test)


def test_holdout_is_the_newest_tenth_and_never_more_than_thirty_days() -> None:
    assert [plan_for(n).holdout for n in (720, 2160, 4800, 8760, 40_000)] == [0, 216, 480, 720, 720]


def test_a_window_with_too_few_rows_is_neither_trained_on_nor_held_out() -> None:
    plan, whole = Plan(train=360, test=48, embargo=12, holdout=48), np.arange(1000)
    hours = whole[(whole < 500) | (whole >= 800)]
    sizes = [len(fold.train) for fold in walk_forward_folds(hours, 1, plan)]
    kept = [len(fold.train) for fold in walk_forward_folds(hours, 1, plan, 300)]
    assert kept == [size for size in sizes if size >= 300]
    assert 0 < len(kept) < len(sizes)
    assert holdout_fold(hours, 1, plan) is not None
    assert holdout_fold(hours, 1, plan, 300) is None


def test_hours_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="ascending"):
        walk_forward_folds(np.array([1, 3, 2]), 1, plan_for(720))
