"""What acting on the signals would have earned, after costs: one exposure an hour, executed at the next open.

A call made of candle t is known at its end and executed at the open of the next candle. It holds for the horizon,
then the position is flat unless renewed. An exposure e is kept at e times the equity, so hour by hour
equity *= (1 - cost |change|) (1 + e return).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crypto_platform.core.estimators import TrainingSet
from crypto_platform.core.novelty import NOVEL
from crypto_platform.core.signals import (
    BASIS_POINT,
    CLASSIFIERS,
    EDGE_WINDOW,
    ENSEMBLE,
    Signal,
    SignalRules,
    combine,
    judge,
)
from crypto_platform.core.validation import OutOfSample

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BUY_AND_HOLD: Final = "buy & hold"
SIDES: Final = {Signal.BUY: 1, Signal.SELL: -1, Signal.HOLD: 0}


@dataclass(frozen=True, slots=True)
class Backtest:
    """Returns of a strategy, interval by interval between the opens of consecutive candles.

    Attributes
    ----------
    hours : array of int, shape (n,)
        Hours since 1970 at which the intervals begin.
    exposure : array, shape (n,)
        Of the equity, held from this open to the next.
    change : array, shape (n + 1,)
        |Change of exposure| at each open; the last closes what is held.
    gross : array, shape (n,)
        Return before costs.
    cost : float
        Of one side, as a fraction of what is traded.
    spans_gap : array of bool, shape (n,)
        The next candle is more than an hour later: the position was held through, its return is booked here.
    """

    hours: Ints
    exposure: Floats
    change: Floats
    gross: Floats
    cost: float
    spans_gap: NDArray[np.bool_]

    @property
    def net(self) -> Floats:
        """Return after costs, shape (n,); closing is paid in the last interval."""
        paid = 1 - self.cost * self.change
        net = paid[:-1] * (1 + self.gross)
        net[-1] *= paid[-1]
        return np.asarray(net - 1)

    @property
    def equity(self) -> Floats:
        """Of 1 at the beginning, after each interval, shape (n,)."""
        return np.asarray(np.cumprod(1 + self.net))


def exposures(hours: Ints, calls: Ints, horizon: int, *, shorting: bool = False) -> Floats:
    """Exposure from each candle's open on.

    Parameters
    ----------
    hours : array of int, shape (n,)
        Hours since 1970 of the candles, ascending.
    calls : array of int, shape (n,)
        1 (BUY), -1 (SELL) or 0 (HOLD, or no forecast), made of each candle and known at its end.
    horizon : int
        Hours that a call holds.
    shorting : bool
        Whether a SELL is an exposure of -1; without it, of 0.

    Returns
    -------
    array, shape (n,)
        Of the newest call known at the open, while it holds; nothing is traded in a gap, so a call that ran out
        there ends at the first open after it.
    """
    made = np.maximum.accumulate(np.where(calls != 0, np.arange(len(calls)), -1))
    newest = np.r_[-1, made[:-1]]
    holds = (newest >= 0) & (hours < hours[newest] + 1 + horizon)
    side = np.where(holds, calls[newest], 0).astype(float)
    return side if shorting else np.maximum(side, 0.0)


def simulate(hours: Ints, opens: Floats, exposure: Floats, cost: float) -> Backtest:
    """Hold these exposures.

    Parameters
    ----------
    hours : array of int, shape (n + 1,)
        Of the candles, ascending; at least two.
    opens : array, shape (n + 1,)
        Their opens; what is held is closed at the last.
    exposure : array, shape (n + 1,)
        Wanted from each open on; that of the last has no interval.
    cost : float
        Of one side: fee and slippage, as a fraction.

    Raises
    ------
    ValueError
        Fewer than two candles, or an exposure and a cost with which the equity could end.
    """
    if len(hours) < 2:
        raise ValueError(f"{len(hours)} candles are no interval to hold anything in")
    held = exposure[:-1]
    gross = held * (opens[1:] / opens[:-1] - 1)
    change = np.abs(np.diff(np.r_[0.0, held, 0.0]))
    if (gross <= -1).any() or (cost * change >= 1).any():
        raise ValueError("an exposure loses more than all of the equity in one interval")
    return Backtest(hours[:-1], held, change, gross, cost, np.diff(hours) > 1)


def together(parts: Sequence[Backtest]) -> Floats:
    """Net hourly returns of several strategies at equal weights, rebalanced each hour at no cost.

    A strategy without an interval at an hour has earned nothing there.
    """
    hours = np.unique(np.concatenate([part.hours for part in parts]))
    net = np.zeros(len(hours))
    for part in parts:
        net[np.searchsorted(hours, part.hours)] += part.net / len(parts)
    return net


def calls_of(result: OutOfSample, truth: TrainingSet, rules: SignalRules, *, before_costs: bool = False) -> Ints:
    """Call of each out-of-sample row, by the rules that serve.

    Parameters
    ----------
    result : OutOfSample
        With the novelty of its rows: what is novel is not acted on.
    truth : TrainingSet
        All labeled rows, for the mean |return| of those that had resolved.
    rules : SignalRules
    before_costs : bool
        The same rules without the cost of the trade.
    """
    if result.novelty is None:
        raise ValueError("the rules that serve ask for the novelty of each row: validate with novelty=True")
    votes = combine(np.column_stack([result.prob_up[name] for name in CLASSIFIERS]), result.ridge_return)
    known = np.searchsorted(truth.hours, truth.hours[result.rows] - truth.horizon, side="right")
    sums = np.r_[0.0, np.cumsum(np.abs(truth.returns))]
    scale = np.where(
        known >= EDGE_WINDOW, (sums[known] - sums[np.maximum(known - EDGE_WINDOW, 0)]) / EDGE_WINDOW, np.nan
    )
    verdicts = [
        judge(p, agreement, moves, rules, novel=bool(far > NOVEL))
        for p, agreement, moves, far in zip(
            result.prob_up[ENSEMBLE], votes.agreement, scale, result.novelty, strict=True
        )
    ]
    return np.array([SIDES[v.before_costs if before_costs else v.signal] for v in verdicts], dtype=np.int64)


def one_side(rules: SignalRules) -> float:
    """Cost of one side of a trade, as a fraction."""
    return (rules.fee_bps + rules.slippage_bps) * BASIS_POINT
