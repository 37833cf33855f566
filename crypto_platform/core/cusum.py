"""Has the accuracy of a served model changed for the worse: per series, and over all symbols together."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SMALLEST_DROP: Final = 0.08  # of accuracy, that a CUSUM is tuned to see
THRESHOLD: Final = 4.0  # of one series
COIN: Final = 0.5
POOLED_STAKES: Final = np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9])  # shares of the largest bet there is
LARGEST: Final = 1e300  # long past any threshold; numbers stay finite
POOLED_HOURS: Final = 90 * 24  # mean time between false alarms of the pooled view, at least


@dataclass(frozen=True, slots=True)
class Alarm:
    """State of a detector.

    Attributes
    ----------
    statistic, highest : float
        Now, and the most since its beginning.
    threshold : float
    """

    statistic: float
    highest: float
    threshold: float

    @property
    def raised(self) -> bool:
        """Whether the threshold was reached; it stays so until the detector begins anew."""
        return self.highest >= self.threshold


def expected_accuracy(accuracy: float, standard_error: float) -> float:
    """Accuracy that a served model is held to: walk-forward less one standard error, at least a coin's.

    Examples
    --------
    >>> expected_accuracy(0.51, 0.02), round(expected_accuracy(0.55, 0.02), 2)
    (0.5, 0.53)
    """
    return max(COIN, accuracy - standard_error)


def one_per_horizon(hours: NDArray[np.int64], horizon: int) -> NDArray[np.bool_]:
    """Rows to keep so that labels of `horizon` hours do not overlap."""
    return np.asarray(hours % horizon == 0)


def cusum_path(correct: NDArray[np.bool_], p0: float, drop: float = SMALLEST_DROP) -> Floats:
    """Bernoulli CUSUM of the log likelihood ratio of accuracy p0 - drop against p0.

    Parameters
    ----------
    correct : array of bool, shape (n,)
        Independent outcomes in time order; see `one_per_horizon`.
    p0 : float
        Expected accuracy, in (drop, 1).

    Returns
    -------
    array, shape (n,)
        S after each outcome: `max(0, S + ln L1/L0)` from 0, written as distance from the lowest point before.

    References
    ----------
    Page (1954), Continuous inspection schemes, Biometrika 41 (1/2), 100-115.

    Examples
    --------
    >>> cusum_path(np.array([True, False, False]), 0.5).round(3).tolist()
    [0.0, 0.148, 0.297]
    """
    p1 = p0 - drop
    walk = np.cumsum(np.where(correct, np.log(p1 / p0), np.log((1 - p1) / (1 - p0))))
    return np.asarray(walk - np.minimum(np.minimum.accumulate(walk), 0))


def cusum(correct: NDArray[np.bool_], p0: float, n_series: int = 1, threshold: float = THRESHOLD) -> Alarm:
    """State of the CUSUM; `n_series` that share one budget of false alarms raise the threshold by its logarithm."""
    path = cusum_path(correct, p0)
    last, highest = (float(path[-1]), float(path.max())) if len(path) else (0.0, 0.0)
    return Alarm(last, highest, threshold + float(np.log(n_series)))


def e_detector(accuracies: Floats, expected: Floats, hours_between: int = POOLED_HOURS) -> Alarm:
    """Pooled view: whether the mean accuracy over symbols fell below what was expected, from any hour on.

    Parameters
    ----------
    accuracies : array, shape (n,)
        Share of right symbols of each hour, in [0, 1]; hours may depend on one another, as long as the conditional
        mean is at least `expected`.
    expected : array, shape (n,)
        In (0, 1).
    hours_between : int
        Observations between false alarms on average, at least: the threshold.

    References
    ----------
    Shin, Ramdas & Rinaldo (2023), E-detectors: a nonparametric framework for sequential change detection, New England
    Journal of Statistics in Data Science 2 (2), 229-260: the Shiryaev-Roberts form, mixed over stakes.
    """
    sums = np.zeros(len(POOLED_STAKES))
    last = highest = 0.0
    for share, p0 in zip(accuracies, expected, strict=True):
        sums = np.minimum((1 + sums) * (1 + POOLED_STAKES * (p0 - share) / (1 - p0)), LARGEST)
        last = float(sums.mean())
        highest = max(highest, last)
    return Alarm(last, highest, float(hours_between))
