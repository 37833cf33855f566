"""Bets against "no difference": evidence on a stream of paired scores that may be looked at after every hour.

Whoever bets on a fair game multiplies the stake by more than 1/α with probability at most α, however long and however
often one looks. So the wealth is evidence, and there is no penalty for peeking.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]

STAKES: Final = np.array([sign * s for s in (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9) for sign in (1, -1)])
UP: Final = STAKES[STAKES > 0]  # bets that the mean is above, alone
EDGE: Final = 1 - 1e-9  # the means ±1 themselves would need infinite stakes


@dataclass(frozen=True, slots=True)
class Anytime:
    """What a stream of differences says of their mean, at any time.

    Attributes
    ----------
    e_value, max_e_value : float
        Wealth now, and the most it ever was; 1 without data.
    p_value : float
        1 / `max_e_value`, at most 1; valid at every moment at once.
    lower, upper : float
        Confidence sequence of the mean, in [-1, 1]: covers it at all moments at once. It excludes 0 exactly where
        `max_e_value` reached 1/alpha; where every mean is excluded, both are the least implausible one.
    strict : bool
        Whether one of the interleaved processes alone reached horizon/alpha.
    """

    e_value: float
    max_e_value: float
    p_value: float
    lower: float
    upper: float
    strict: bool


def log_wealth(differences: Floats, mean: float = 0.0, stakes: Floats = STAKES) -> Floats:
    """Log of the wealth after each bet against `mean` being the mean, averaged over the stakes.

    Parameters
    ----------
    differences : array, shape (n,)
        In [-1, 1] and time order.
    mean : float
        Hypothesis, in (-1, 1). Stakes shrink with it so that no bet can lose more than there is; this form makes the
        wealth convex in the mean, so that a confidence set is an interval.
    stakes : array
        `UP` bets against the mean being `mean` or less.

    Returns
    -------
    array, shape (n,)

    References
    ----------
    Waudby-Smith & Ramdas (2024), Estimating means of bounded random variables by betting, JRSS B 86 (1), 1-27.
    Choe & Ramdas (2023), Comparing sequential forecasters, Operations Research 72 (4), 1368-1387.
    """
    bets = stakes / (1 + np.sign(stakes) * mean)
    paths = np.log1p(bets[:, None] * (differences - mean)).cumsum(axis=1)
    return np.asarray(logsumexp(paths, axis=0) - np.log(len(stakes)))


def interleaved(
    differences: Floats, hours: NDArray[np.int64], horizon: int, mean: float = 0.0, stakes: Floats = STAKES
) -> Floats:
    """Log of the wealth of each of `horizon` processes after each hour; the average of them is the evidence.

    Labels of `horizon` hours overlap: only every horizon-th difference is a new bet, so each residue of the hour has
    a process of its own.

    Returns
    -------
    array, shape (horizon, n)

    References
    ----------
    Arnold, Henzi & Ziegel (2023), Sequentially valid tests for forecast calibration, Annals of Applied Statistics 17.
    """
    paths = np.zeros((horizon, len(differences)))
    for residue in range(horizon):
        mine = np.flatnonzero(hours % horizon == residue)
        known = np.r_[0.0, log_wealth(differences[mine], mean, stakes)]
        paths[residue] = known[np.searchsorted(mine, np.arange(len(differences)), side="right")]
    return paths


def superiority(differences: Floats, hours: NDArray[np.int64], horizon: int) -> Floats:
    """Log of the wealth of bets that the mean is above zero, averaged over the interleaved processes, shape (n,)."""
    return np.asarray(logsumexp(interleaved(differences, hours, horizon, 0.0, UP), axis=0) - np.log(horizon))


def anytime(differences: Floats, hours: NDArray[np.int64], horizon: int, alpha: float) -> Anytime:
    """The evidence on the mean of hourly differences.

    Parameters
    ----------
    differences : array, shape (n,)
        In [-1, 1], finite, one per hour.
    hours : array of int, shape (n,)
        Hours since 1970, strictly ascending.
    horizon : int
        Hours ahead of the labels.
    alpha : float
        Error level, in (0, 1).

    References
    ----------
    Howard, Ramdas, McAuliffe & Sekhon (2021), Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals
    of Statistics 49 (2), 1055-1080.
    """
    if len(differences) == 0:
        return Anytime(1.0, 1.0, 1.0, -1.0, 1.0, strict=False)
    paths = interleaved(differences, hours, horizon)
    averaged = logsumexp(paths, axis=0) - np.log(horizon)
    highest = max(0.0, float(averaged.max()))
    lower, upper = _interval(differences, hours, horizon, alpha)
    return Anytime(
        e_value=_finite(float(averaged[-1])),
        max_e_value=_finite(highest),
        p_value=float(np.exp(-highest)),
        lower=lower,
        upper=upper,
        strict=bool(paths.max() >= np.log(horizon / alpha)),
    )


def _finite(log_value: float) -> float:
    return float(np.exp(min(log_value, 700.0)))  # JSON knows no infinity


def _excess(mean: float, differences: Floats, hours: NDArray[np.int64], horizon: int, alpha: float) -> float:
    paths = interleaved(differences, hours, horizon, mean)
    return float((logsumexp(paths, axis=0) - np.log(horizon)).max() + np.log(alpha))


def _interval(differences: Floats, hours: NDArray[np.int64], horizon: int, alpha: float) -> tuple[float, float]:
    """Means whose wealth never reached 1/alpha; the most wealth there ever was is convex in the mean."""
    excess = partial(_excess, differences=differences, hours=hours, horizon=horizon, alpha=alpha)
    from scipy.optimize import brentq, minimize_scalar  # noqa: PLC0415

    best = float(minimize_scalar(excess, bounds=(-EDGE, EDGE), method="bounded", options={"xatol": 1e-6}).x)
    if excess(0.0) < excess(best):
        best = 0.0
    if excess(best) >= 0:
        return best, best
    lower = brentq(excess, -EDGE, best, xtol=1e-7) if excess(-EDGE) > 0 else -1.0
    upper = brentq(excess, best, EDGE, xtol=1e-7) if excess(EDGE) > 0 else 1.0
    return float(lower), float(upper)
