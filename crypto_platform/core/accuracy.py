"""Accuracy of scored forecasts, its interval, and the words that the interval allows.

Hours are counted once and H-hour labels as one in H hours: symbols move together within an hour and labels of
several hours overlap, so the rows behind an accuracy are more than the independent outcomes behind it.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import pandas as pd

from crypto_platform.core.bootstrap import LEVEL

COIN: Final = 0.5
MIN_SEPARATE: Final = 24  # separate outcomes below which an interval is wider than any edge seen in hourly data

TOO_FEW: Final = "too few outcomes to say"
NO_EDGE: Final = "no edge shown"
WORSE: Final = "worse than a coin"
ABOVE_COIN: Final = "better than a coin, not than the more frequent side"
ABOVE_BOTH: Final = "better than a coin and than the more frequent side"
VERDICTS: Final = (TOO_FEW, NO_EDGE, WORSE, ABOVE_COIN, ABOVE_BOTH)


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


def score(outcomes: pd.DataFrame) -> Accuracy:
    """Accuracy of scored forecasts.

    Parameters
    ----------
    outcomes : DataFrame
        One row per forecast with `horizon` (hours), `prediction_timestamp`, `correct` (bool or None) and
        `realized_direction` (1, 0 or NaN). Rows without `correct` had no side or no direction and are not counted.
    """
    known = outcomes[outcomes["correct"].notna()]
    if known.empty:
        return Accuracy(0)
    n_separate = float((1 / known.groupby("prediction_timestamp")["horizon"].max()).sum())
    share = float(known["correct"].astype(float).mean())
    up = float(known["realized_direction"].astype(float).mean())
    return Accuracy(len(known), n_separate, share, *wilson_interval(share, n_separate), max(up, 1 - up))
