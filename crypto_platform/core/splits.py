"""Walk-forward validation in time: train before test, with purge and embargo between them."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

HOURS_PER_DAY: Final = 24


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of a walk-forward validation, in hours.

    Parameters
    ----------
    train, test, embargo : int
        Length of the training window, of the test window (= step), and the pause after the purge.
    holdout : int
        Newest hours that are cut off before the folds are made.
    """

    train: int
    test: int
    embargo: int
    holdout: int = 0


@dataclass(frozen=True, slots=True)
class Fold:
    """Row positions of one fold: `train` before `test`."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


MAX_HOLDOUT: Final = 30 * HOURS_PER_DAY

# hours of history from which a plan applies (a year or 90 days less what a warm-up takes), the plan, and whether it
# has a holdout; longest first
PLANS: Final = (
    (300 * HOURS_PER_DAY, Plan(train=2160, test=168, embargo=24), True),
    (80 * HOURS_PER_DAY, Plan(train=1080, test=120, embargo=24), True),
    (0, Plan(train=360, test=48, embargo=12), False),
)


def plan_for(n_hours: int) -> Plan:
    """The plan for a history of that many hours; a holdout is the newest tenth, at most 30 days.

    Hours without a valid row count: one gap takes two weeks of rows, and is no reason for windows of two weeks.

    Examples
    --------
    >>> plan_for(720).holdout, plan_for(2160).holdout, plan_for(8760).holdout
    (0, 216, 720)
    """
    plan, held_out = next((plan, held_out) for at_least, plan, held_out in PLANS if n_hours >= at_least)
    return replace(plan, holdout=min(n_hours // 10, MAX_HOLDOUT)) if held_out else plan


def walk_forward_folds(hours: NDArray[np.int64], horizon: int, plan: Plan, min_rows: int = 1) -> list[Fold]:
    """Folds whose test windows tile the newest part of the history, oldest first.

    Parameters
    ----------
    hours : array of int, shape (n,)
        Hours since 1970 of the rows, strictly ascending; gaps are allowed and count as time.
    horizon : int
        Hours ahead of the label: row i is trained on only if i + horizon + embargo <= first test hour.
    plan : Plan
    min_rows : int
        Rows that a training part must have.

    Returns
    -------
    list of Fold
        Only folds with a whole training window before them and at least one row to test.

    Raises
    ------
    ValueError
        The hours are not strictly ascending.

    References
    ----------
    Lopez de Prado (2018), Advances in Financial Machine Learning, ch. 7.
    """
    if len(hours) == 0:
        return []
    if (np.diff(hours) <= 0).any():
        raise ValueError("hours must be strictly ascending")
    end = int(hours[-1]) + 1 - plan.holdout
    pause = horizon + plan.embargo
    folds: list[Fold] = []
    test_start = end - plan.test
    while test_start - pause - plan.train + 1 >= int(hours[0]):
        last_train = test_start - pause
        train = np.flatnonzero((hours > last_train - plan.train) & (hours <= last_train))
        test = np.flatnonzero((hours >= test_start) & (hours < test_start + plan.test))
        if len(train) >= max(min_rows, 1) and len(test):
            folds.append(Fold(train, test))
        test_start -= plan.test
    return folds[::-1]


def newest_window(hours: NDArray[np.int64], end: int, plan: Plan) -> NDArray[np.int64]:
    """Rows of the training window whose last hour is the newest up to `end`, as long as a fold's.

    Parameters
    ----------
    hours : array of int, shape (n,)
        Ascending.
    end : int
        Hour since 1970; the newest row may be at it.
    plan : Plan
    """
    upto = hours[hours <= end]
    if not len(upto):
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero((hours > upto[-1] - plan.train) & (hours <= end))


def newest_fold(hours: NDArray[np.int64], horizon: int, plan: Plan, span: int, min_rows: int = 1) -> Fold | None:
    """The newest `span` hours as a test, after a training window with a fold's pause; None without either.

    Parameters
    ----------
    hours : array of int, shape (n,)
        Ascending.
    horizon : int
    plan : Plan
    span : int
        Hours, valid rows or not.
    min_rows : int
        Rows that the training part must have.
    """
    if not len(hours) or span <= 0:
        return None
    start = int(hours[-1]) + 1 - span
    train = newest_window(hours, start - horizon - plan.embargo, plan)
    return Fold(train, np.flatnonzero(hours >= start)) if len(train) >= max(min_rows, 1) else None


def holdout_fold(hours: NDArray[np.int64], horizon: int, plan: Plan, min_rows: int = 1) -> Fold | None:
    """The newest `plan.holdout` hours as a test; None without a holdout, or without `min_rows` to learn from."""
    return newest_fold(hours, horizon, plan, plan.holdout, min_rows)


def trial_fold(
    hours: NDArray[np.int64], horizon: int, plan: Plan, spans: tuple[int, int], min_rows: int
) -> Fold | None:
    """The newest hours that a candidate is tried on: as many as leave it enough to learn from.

    Parameters
    ----------
    hours : array of int, shape (n,)
        Ascending.
    horizon : int
    plan : Plan
    spans : tuple of int
        Fewest and most hours of the test.
    min_rows : int
        Rows that the training part must have.

    Returns
    -------
    Fold or None
        None where even the shortest test leaves fewer rows.
    """
    fewest, most = spans
    for span in range(most, fewest - 1, -HOURS_PER_DAY):
        if fold := newest_fold(hours, horizon, plan, span, min_rows):
            return fold
    return None
