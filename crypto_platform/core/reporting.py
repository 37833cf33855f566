"""The report's numbers and verdicts, computed from frames; no HTML, no SQL, no files.

Accuracy intervals are Wilson's on the number of *separate* outcomes: symbols move together within an hour and labels
of several hours overlap, so pooled rows count as hours, and H-hour labels as one in H hours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import pandas as pd

from crypto_platform.core.hours import HOUR, closed_until
from crypto_platform.core.metrics import BASELINE_PERSISTENCE, BASELINE_RATE
from crypto_platform.core.signals import Reason, Signal

Key = tuple[str, int]  # symbol, horizon in hours

WINDOWS: Final[Mapping[str, timedelta]] = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
WEEK: Final = WINDOWS["7d"]
COIN: Final = 0.5
MIN_SEPARATE: Final = 24  # separate outcomes below which an interval is wider than any edge seen in hourly data
LEVEL: Final = 0.95

TOO_FEW: Final = "too few outcomes to say"
NO_EDGE: Final = "no edge shown"
WORSE: Final = "worse than a coin"
ABOVE_COIN: Final = "better than a coin, not than the more frequent side"
ABOVE_BOTH: Final = "better than a coin and than the more frequent side"
VERDICTS: Final = (TOO_FEW, NO_EDGE, WORSE, ABOVE_COIN, ABOVE_BOTH)

REASONS: Final[Mapping[str, str]] = {
    Reason.LOW_CONFIDENCE: "The probability is too close to one half.",
    Reason.DISAGREEMENT: "The models disagree on the direction.",
    Reason.EDGE_BELOW_COST: "The expected move does not pay the cost of the trade.",
    Reason.NOVEL: "The market looks unlike anything the models were trained on.",
    Reason.MODEL_EXPIRED: "The model is too old to act on.",
    Reason.STALE_DATA: "The newest candle is too old.",
    Reason.FEATURES_MISSING: "Some model inputs have no value.",
    Reason.WARMING_UP: "Not enough unbroken history yet.",
    Reason.NO_MODEL: "No model has been trained yet.",
}


def wilson_interval(share: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a proportion.

    Parameters
    ----------
    share : float
        Observed proportion, in [0, 1].
    n : float
        Independent observations behind it, above 0; need not be whole.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    tuple of float
        Lower and upper end, inside [0, 1].

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22 (158), 209-212.

    Examples
    --------
    >>> [round(end, 3) for end in wilson_interval(0.5, 10)]
    [0.237, 0.763]
    """
    z = NormalDist().inv_cdf(0.5 + level / 2)
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, float(center - half)), min(1.0, float(center + half))


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of right directions among scored forecasts.

    Attributes
    ----------
    n : int
        Scored forecasts.
    n_separate : float
        Outcomes the interval counts as independent; at most `n`.
    share, lower, upper : float or None
        Accuracy and its 95 % interval; None without outcomes.
    base_rate : float or None
        Accuracy that always saying the more frequent direction of the same hours would have had, known only
        afterwards: the hardest constant to beat.
    """

    n: int
    n_separate: float = 0.0
    share: float | None = None
    lower: float | None = None
    upper: float | None = None
    base_rate: float | None = None

    @property
    def verdict(self) -> str:
        """What the interval allows to say, one of `VERDICTS`."""
        if self.lower is None or self.upper is None or self.base_rate is None or self.n_separate < MIN_SEPARATE:
            return TOO_FEW
        if self.upper < COIN:
            return WORSE
        if self.lower <= COIN:
            return NO_EDGE
        return ABOVE_BOTH if self.lower > self.base_rate else ABOVE_COIN


@dataclass(frozen=True, slots=True)
class Serving:
    """What one symbol and horizon serves, and how it did of late.

    Attributes
    ----------
    version : str or None
        The champion; None without one.
    model_age_days : float or None
        Since the as_of of its training.
    n_forecasts, n_abstained, n_hold : int
        Served hours of the last 7 days; of those without a probability; of those whose signal was HOLD.
    accuracy : mapping of str to Accuracy
        By the names of `WINDOWS`.
    """

    symbol: str
    horizon: int
    version: str | None
    model_age_days: float | None
    n_forecasts: int
    n_abstained: int
    n_hold: int
    accuracy: Mapping[str, Accuracy]

    @property
    def abstention_share(self) -> float | None:
        """Share of the served hours that had no probability; None where none was served."""
        return self.n_abstained / self.n_forecasts if self.n_forecasts else None


@dataclass(frozen=True, slots=True)
class DataQuality:
    """State of one symbol's candles at a moment.

    Attributes
    ----------
    newest : datetime or None
        Open time of the newest closed candle; None without candles.
    age_minutes : float or None
        Since that open time.
    gap_hours : int or None
        Closed hours of the last 7 days (from the symbol's first candle on) without a candle.
    quarantined : int
        Upstream rows refused in the last 7 days.
    """

    symbol: str
    newest: datetime | None
    age_minutes: float | None
    gap_hours: int | None
    quarantined: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """The newest forecast of one symbol and horizon, None in every number where there is none."""

    symbol: str
    horizon: int
    reason: str
    hour: datetime | None = None
    age_minutes: float | None = None
    price: float | None = None
    prob_up: float | None = None
    signal: str | None = None
    before_costs: str | None = None
    break_even: float | None = None
    version: str | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class RetrainVerdict:
    """The newest retrain decision of one symbol and horizon."""

    symbol: str
    horizon: int
    decided_at: datetime
    should_retrain: bool
    policy: str
    reasons: tuple[str, ...]
    result: str | None


@dataclass(frozen=True, slots=True)
class ModelScore:
    """One pooled walk-forward score of a serving bundle; the interval is None where none is defined."""

    value: float
    n: int
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class WalkForwardScores:
    """Walk-forward scores of one serving bundle by model (baselines included) and metric."""

    symbol: str
    horizon: int
    version: str
    scores: Mapping[str, Mapping[str, ModelScore]]

    def score(self, model: str, metric: str) -> ModelScore | None:
        """One score; None where it was not computed."""
        return self.scores.get(model, {}).get(metric)

    def verdict(self, model: str) -> str:
        """What the accuracy interval of a model says beside the best constant and persistence."""
        mine = self.score(model, "accuracy")
        if mine is None or mine.lower is None or mine.upper is None:
            return TOO_FEW
        baselines = [self.score(name, "accuracy") for name in (BASELINE_RATE, BASELINE_PERSISTENCE)]
        bar = max([COIN, *(score.value for score in baselines if score is not None)])
        if mine.upper < COIN:
            return WORSE
        return "better than the baselines" if mine.lower > bar else NO_EDGE
