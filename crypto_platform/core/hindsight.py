"""Looking back on retraining: what was decided beside what other schedules would have forecast, on the same hours.

Plain values in, plain values out. A schedule that did no better is said to have shown no difference, never that it did
as well.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crypto_platform.core.accuracy import Accuracy, score, wilson_interval
from crypto_platform.core.bootstrap import LEVEL, Resample, block_length, interval

Floats = NDArray[np.float64]

TOO_FEW: Final = "too few hours to say"
NO_DIFFERENCE: Final = "no difference shown"
BETTER: Final = "better than as operated"
WORSE: Final = "worse than as operated"
REFERENCE: Final = "the reference"
GAINED: Final = "the refit forecast better"
LOST: Final = "the refit forecast worse"


@dataclass(frozen=True, slots=True)
class Arm:
    """Forecasts of one schedule on the hours that were served.

    Attributes
    ----------
    name : str
    horizon : int
        Hours ahead.
    n, n_hours : int
        Forecasts, and the hours they are of.
    n_refits : int
        Fits it needed, the first ones included.
    accuracy, lower, upper : float or None
        Share of right directions and its 95 % interval, hours in blocks; None where nothing honest can be said.
    log_loss : float or None
        Mean, nats.
    difference, difference_lower, difference_upper : float or None
        Mean log loss of the schedule less that of the refits as operated, on the same hours, with its interval at the
        level that all comparisons together leave; negative is better.
    verdict : str
    """

    name: str
    horizon: int
    n: int
    n_hours: int
    n_refits: int
    accuracy: float | None = None
    lower: float | None = None
    upper: float | None = None
    log_loss: float | None = None
    difference: float | None = None
    difference_lower: float | None = None
    difference_upper: float | None = None
    verdict: str = TOO_FEW


def arm(
    name: str, rows: pd.DataFrame, reference: pd.DataFrame | None, horizon: int, n_refits: int, seed: int, level: float
) -> Arm:
    """Score a schedule beside the refits as operated.

    Parameters
    ----------
    name : str
    rows : DataFrame
        `symbol`, `hour` (prediction timestamp), `right` (0 or 1) and `loss` (nats), one row a forecast.
    reference : DataFrame or None
        The same of the refits as operated; None for these themselves. Only forecasts that both made are compared.
    horizon, n_refits, seed : int
    level : float
        Of the interval of the difference.
    """
    if rows.empty:
        return Arm(name, horizon, 0, 0, n_refits)
    hourly = rows.groupby("hour").agg(right=("right", "sum"), loss=("loss", "sum"), n=("loss", "size"))
    drawn = Resample.stationary(len(hourly), block_length(horizon), seed)
    counts = drawn.means(hourly["n"].to_numpy(float))
    accuracies = drawn.means(hourly["right"].to_numpy(float)) / counts
    ends = interval(accuracies) or (None, None)
    scored = Arm(
        name,
        horizon,
        len(rows),
        len(hourly),
        n_refits,
        accuracy=float(accuracies[0]),
        lower=ends[0],
        upper=ends[1],
        log_loss=float((drawn.means(hourly["loss"].to_numpy(float)) / counts)[0]),
        verdict=REFERENCE,
    )
    if reference is None:
        return scored
    found = gain(rows, reference, horizon, seed, level)
    return Arm(
        **{
            **{field: getattr(scored, field) for field in Arm.__slots__},
            "difference": found.mean,
            "difference_lower": found.lower,
            "difference_upper": found.upper,
            "verdict": found.words(worse=WORSE, better=BETTER),
        }
    )


@dataclass(frozen=True, slots=True)
class Gain:
    """Mean loss of one forecaster less that of another on the same hours; positive where the other forecast better."""

    n_hours: int
    mean: float | None = None
    lower: float | None = None
    upper: float | None = None

    def words(self, *, worse: str, better: str) -> str:
        """`worse` where the interval is above zero, `better` where it is below."""
        if self.lower is None or self.upper is None:
            return TOO_FEW
        if self.lower > 0:
            return worse
        return better if self.upper < 0 else NO_DIFFERENCE


def gain(rows: pd.DataFrame, other: pd.DataFrame, horizon: int, seed: int, level: float = LEVEL) -> Gain:
    """Loss of `rows` less that of `other`, paired by symbol and hour, averaged over symbols first."""
    pairs = rows.merge(other, on=["symbol", "hour"], suffixes=("", "_other"))
    if pairs.empty:
        return Gain(0)
    hourly = (pairs["loss"] - pairs["loss_other"]).groupby(pairs["hour"]).mean().to_numpy(float)
    draws = Resample.stationary(len(hourly), block_length(horizon), seed).means(hourly)
    ends = interval(draws, level) or (None, None)
    return Gain(len(hourly), float(draws[0]), *ends)


@dataclass(frozen=True, slots=True)
class Retrain:
    """One replacement of a model by a refit, and what came of it.

    Attributes
    ----------
    symbol, horizon, since
        What was replaced, and when the refit served first (ISO time).
    causes : tuple of str
        Findings that asked for it.
    is_alarm : bool
        Whether one of them is more than age.
    before, after : Accuracy
        Of the schedule in the hours before and after, at most `REACH` each and none beyond its other refits.
    kept : Accuracy
        What the model that was replaced would have had after.
    gain : Gain
        Loss of the model that was replaced less the refit's, after; positive: the refit forecast better.
    verdict : str
    """

    symbol: str
    horizon: int
    since: str
    causes: tuple[str, ...]
    is_alarm: bool
    before: Accuracy
    after: Accuracy
    kept: Accuracy
    gain: Gain

    @property
    def verdict(self) -> str:
        """In words."""
        return self.gain.words(worse=GAINED, better=LOST)

    @property
    def is_false(self) -> bool | None:
        """Whether the model that was replaced would have forecast as well or better afterwards; None: nobody knows."""
        return None if self.gain.mean is None else self.gain.mean <= 0


def accuracy(rows: pd.DataFrame, horizon: int) -> Accuracy:
    """Of forecasts as `arm` takes them."""
    known = rows.rename(columns={"hour": "prediction_timestamp", "right": "correct", "up": "realized_direction"})
    return score(known.assign(horizon=horizon))


@dataclass(frozen=True, slots=True)
class Alarms:
    """Alarms of a policy, that is trainings for more than age, and how many were false.

    An alarm is false where the model it replaced would have had no more loss than the refit, on the hours until the
    next refit, a week at most. With nothing to be gained half of them are, so the mean gain stands beside the share.
    """

    policy: str
    n: int
    n_judged: int
    n_false: int
    n_shown_useful: int
    n_shown_harmful: int
    share: float | None = None
    lower: float | None = None
    upper: float | None = None
    gain: float | None = None  # mean over the judged alarms' hours, nats
    gain_lower: float | None = None
    gain_upper: float | None = None


def alarms(policy: str, retrains: list[Retrain]) -> Alarms:
    """Count the false ones.

    The share's interval takes alarms for independent; the gain's is the t-interval over the calendar days on which
    alarms were raised, since symbols alarm together.
    """
    raised = [one for one in retrains if one.is_alarm]
    judged = [one for one in raised if one.is_false is not None]
    words = [one.verdict for one in judged]
    n_false = sum(bool(one.is_false) for one in judged)
    counts = (len(raised), len(judged), n_false, words.count(GAINED), words.count(LOST))
    if not judged:
        return Alarms(policy, *counts)
    share = n_false / len(judged)
    by_day: dict[str, list[float]] = {}
    for one in judged:
        assert one.gain.mean is not None
        by_day.setdefault(one.since[:10], []).append(one.gain.mean)
    days = np.array([np.mean(values) for values in by_day.values()])
    return Alarms(
        policy, *counts, share, *wilson_interval(share, len(judged)), float(days.mean()), *_mean_interval(days)
    )


def _mean_interval(values: Floats) -> tuple[float | None, float | None]:
    if len(values) < 3:
        return None, None
    from scipy.stats import t  # noqa: PLC0415

    half = float(t.ppf(0.5 + LEVEL / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half
