"""From the models' votes to one forecast and BUY, SELL or HOLD with its reason."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CLASSIFIERS: Final = ("logistic_regression", "random_forest", "gradient_boosting")
REGRESSOR: Final = "ridge_regression"
MODELS: Final = (*CLASSIFIERS, REGRESSOR)
ENSEMBLE: Final = "ensemble"
MIN_CLASSIFIERS: Final = 2
EDGE_WINDOW: Final = 168  # resolved hours behind the mean |return| that scales the expected edge
BASIS_POINT: Final = 1e-4


class Signal(StrEnum):
    """What the rules say to do."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


class Reason(StrEnum):
    """Why there is no forecast, or why a forecast is a HOLD."""

    LOW_CONFIDENCE = "low_confidence"
    DISAGREEMENT = "disagreement"
    EDGE_BELOW_COST = "edge_below_cost"
    NOVEL = "novel"
    MODEL_EXPIRED = "model_expired"
    STALE_DATA = "stale_data"
    FEATURES_MISSING = "features_missing"
    WARMING_UP = "warming_up"
    NO_MODEL = "no_model"
    MODEL_REFUSED = "model_refused"


@dataclass(frozen=True, slots=True)
class SignalRules:
    """Thresholds of the signal.

    Parameters
    ----------
    buy, sell : float
        Up-probability from which it is BUY, and down to which it is SELL.
    agreement : float
        Share of votes on the ensemble's side that a signal needs.
    fee_bps, slippage_bps : float
        Cost of one side of a trade, in basis points; a trade has two sides.
    """

    buy: float = 0.55
    sell: float = 0.45
    agreement: float = 0.75
    fee_bps: float = 10.0
    slippage_bps: float = 5.0

    @property
    def round_trip_cost(self) -> float:
        """Cost of going in and out, as a fraction of the traded value."""
        return 2 * (self.fee_bps + self.slippage_bps) * BASIS_POINT


@dataclass(frozen=True, slots=True)
class Ensemble:
    """One forecast of several models, n rows at a time.

    Attributes
    ----------
    prob_up : array, shape (n,)
        Mean up-probability of the classifiers; NaN where fewer than `MIN_CLASSIFIERS` gave one.
    agreement : array, shape (n,)
        Share of votes on the ensemble's side; NaN where it has no side.
    votes : array of int, shape (n,)
        Models that voted.
    """

    prob_up: Floats
    agreement: Floats
    votes: NDArray[np.int64]


def combine(up_probabilities: Floats, ridge_return: Floats) -> Ensemble:
    """Mean of the classifiers' probabilities, and the votes of all models.

    Parameters
    ----------
    up_probabilities : array, shape (n, n_classifiers)
        NaN where a model gave none.
    ridge_return : array, shape (n,)
        Return forecast by the ridge regression; NaN where it gave none, 0 is no vote.
    """
    given = np.isfinite(up_probabilities)
    counts = given.sum(axis=1)
    total = np.where(given, up_probabilities, 0.0).sum(axis=1)
    prob_up = np.where(counts >= MIN_CLASSIFIERS, total / np.maximum(counts, 1), np.nan)

    side = np.sign(prob_up - 0.5)  # NaN stays NaN, one half has no side
    ridge_votes = np.isfinite(ridge_return) & (ridge_return != 0)
    ballots = np.column_stack([np.where(up_probabilities >= 0.5, 1.0, -1.0), np.sign(ridge_return)])
    cast = np.column_stack([given, ridge_votes])
    votes = cast.sum(axis=1)
    with_side = ((ballots == side[:, None]) & cast).sum(axis=1)
    has_side = np.isfinite(side) & (side != 0)
    agreement = np.where(has_side, with_side / np.maximum(votes, 1), np.nan)
    return Ensemble(prob_up=prob_up, agreement=agreement, votes=votes.astype(np.int64))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Signal of one forecast. `reason` is None exactly where `signal` is not HOLD."""

    signal: Signal
    before_costs: Signal
    reason: Reason | None
    expected_edge: float | None
    break_even: float | None


def judge(
    prob_up: float,
    agreement: float,
    mean_abs_return: float,
    rules: SignalRules,
    *,
    expired: bool = False,
    novel: bool = False,
) -> Verdict:
    """Apply the rules to one forecast.

    Parameters
    ----------
    prob_up, agreement : float
        Of `combine`; a NaN agreement (no side) is low confidence.
    mean_abs_return : float
        Mean |return over the horizon| of the last `EDGE_WINDOW` resolved hours; NaN gives no edge and no signal.
    rules : SignalRules
    expired : bool
        The model is too old to be acted on: it still scores, the signal is HOLD.
    novel : bool
        The inputs are unlike all that the model was trained on: as `expired`.

    Returns
    -------
    Verdict
        With the reason that lasts longest of those that hold: what a model cannot do at all comes before what it says.
    """
    edge = (2 * prob_up - 1) * mean_abs_return
    cost = rules.round_trip_cost
    break_even = 0.5 * (1 + cost / mean_abs_return) if mean_abs_return > 0 else np.inf
    side = Signal.BUY if prob_up >= rules.buy else Signal.SELL if prob_up <= rules.sell else Signal.HOLD

    reason = None
    if expired:
        reason = Reason.MODEL_EXPIRED
    elif novel:
        reason = Reason.NOVEL
    elif side is Signal.HOLD:
        reason = Reason.LOW_CONFIDENCE
    elif not agreement >= rules.agreement:
        reason = Reason.DISAGREEMENT
    before_costs = side if reason is None else Signal.HOLD
    if reason is None and not abs(edge) > cost:
        reason = Reason.EDGE_BELOW_COST
    return Verdict(
        signal=side if reason is None else Signal.HOLD,
        before_costs=before_costs,
        reason=reason,
        expected_edge=float(edge) if np.isfinite(edge) else None,
        break_even=float(break_even) if np.isfinite(break_even) else None,
    )
