"""How sure a mean of dependent hours is: stationary block bootstrap, and Newey-West errors."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

REPLICATIONS: Final = 1_000
LEVEL: Final = 0.95
Z_95: Final = 1.959963984540054  # half width of a normal interval of that level, in standard errors
DAY: Final = 24
_CELLS: Final = 1 << 22  # resampled rows in memory at a time


def block_length(horizon: int) -> int:
    """Mean block of the bootstrap, in hours: a day at least, and twice the overlap of labels."""
    return max(DAY, 2 * horizon)


def hac_lag(horizon: int) -> int:
    """Lags of a Newey-West error, in hours: the overlap of labels and a day."""
    return horizon + DAY


@dataclass(frozen=True, slots=True)
class Resample:
    """A series of n rows and its bootstrap replications, as shares of each row.

    Attributes
    ----------
    weights : array, shape (1 + replications, n)
        Every row sums to 1. The first is the series itself, each 1 / n; the others are replications.
    clusters : array of int, shape (m,), optional
        Where m values are not one a row of the series: the row each belongs to, every row at least once. What is drawn
        then are rows with all of their values, so that however these depend on each other, it is kept.
    """

    weights: Floats
    clusters: NDArray[np.int64] | None = None

    @classmethod
    def none(cls, n: int) -> "Resample":
        """The series alone: values without intervals."""
        return cls(np.full((1, n), 1 / n))

    @classmethod
    def stationary(cls, n: int, block: int, seed: int, replications: int = REPLICATIONS) -> "Resample":
        """Stationary bootstrap: blocks of geometric length around a circle.

        Parameters
        ----------
        n : int
            Rows, in time order.
        block : int
            Mean length of a block, in rows. With fewer than two blocks of rows nothing honest can be said, and there
            are no replications.
        seed : int
            Equal seeds draw equal replications.

        References
        ----------
        Politis & Romano (1994), The stationary bootstrap, JASA 89 (428), 1303-1313.
        """
        if n < 2 * block:
            return cls.none(n)
        rng = np.random.default_rng(seed)
        chunk = max(1, _CELLS // n)
        parts = [
            _counts(rng, min(chunk, replications - first), n, block) / n for first in range(0, replications, chunk)
        ]
        return cls(np.concatenate([cls.none(n).weights, *parts]))

    def means(self, values: Floats) -> Floats:
        """Mean of the values in each replication, shape (1 + replications,) or (1 + replications, k)."""
        if self.clusters is None:
            return np.asarray(self.weights @ values)
        drawn = self.weights @ self._sums(values)
        counts = self.weights @ np.bincount(self.clusters)
        return np.asarray(drawn / (counts if values.ndim == 1 else counts[:, None]))

    def shares(self) -> Iterator[Floats]:
        """Weight of each value in some replications at a time, shape (some, m); rows sum to 1."""
        step = max(1, _CELLS // (self.weights.shape[1] if self.clusters is None else len(self.clusters)))
        for first in range(0, len(self.weights), step):
            some = self.weights[first : first + step]
            if self.clusters is not None:
                some = some[:, self.clusters]
                some = some / some.sum(axis=1, keepdims=True)
            yield some

    def series(self, values: Floats) -> Floats:
        """One number a row of the series, with the values' mean, and its error where the rows are the sample."""
        if self.clusters is None:
            return values
        counts, mean = np.bincount(self.clusters), values.mean()
        # A ratio of sums, linearized: rows may hold different numbers of values.
        return np.asarray(mean + (self._sums(values) - mean * counts) / counts.mean())

    def _sums(self, values: Floats) -> Floats:
        """Sum of each row's values."""
        assert self.clusters is not None
        columns = values.reshape(len(values), -1).T
        summed = np.column_stack([np.bincount(self.clusters, column).astype(float) for column in columns])
        return np.asarray(summed[:, 0] if values.ndim == 1 else summed)


def _counts(rng: np.random.Generator, replications: int, n: int, block: int) -> NDArray[np.int64]:
    """How often each row is drawn, shape (replications, n)."""
    jumps = rng.random((replications, n)) < 1 / block
    jumps[:, 0] = True
    starts = rng.integers(0, n, size=(replications, n))
    # A resampled row walks on from its block's start until the next jump, around the end of the series.
    last_jump = np.maximum.accumulate(np.where(jumps, np.arange(n), 0), axis=1)
    rows = (np.take_along_axis(starts, last_jump, axis=1) + np.arange(n) - last_jump) % n
    flat = rows + n * np.arange(replications)[:, None]
    return np.bincount(flat.ravel(), minlength=replications * n).reshape(replications, n)


def interval(draws: Floats, level: float = LEVEL) -> tuple[float, float] | None:
    """Percentile interval of a statistic.

    Parameters
    ----------
    draws : array, shape (1 + replications,)
        The statistic of the series, then of its replications; NaN where a replication has none.

    Returns
    -------
    tuple of float, or None
        None without replications, or where fewer than nine in ten have the statistic.
    """
    known = draws[1:][np.isfinite(draws[1:])]
    if not len(known) or len(known) < 0.9 * (len(draws) - 1):
        return None
    lower, upper = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(lower), float(upper)


def mean_interval(
    values: Floats, block: int, seed: int, replications: int = REPLICATIONS, level: float = LEVEL
) -> tuple[float, float] | None:
    """Percentile interval of the mean of a dependent series; None with fewer than two blocks of values."""
    return interval(Resample.stationary(len(values), block, seed, replications).means(values), level)


def hac_error(values: Floats, lag: int) -> float:
    """Newey-West standard error of the mean of a dependent series, Bartlett's weights.

    Parameters
    ----------
    values : array, shape (n,)
        In time order, finite.
    lag : int
        Autocovariances that count; at most n - 1 of them do.

    References
    ----------
    Newey & West (1987), A simple, positive semi-definite, heteroskedasticity and autocorrelation consistent
    covariance matrix, Econometrica 55 (3), 703-708.
    """
    n = len(values)
    off = values - values.mean()
    variance = float(off @ off)
    for j in range(1, min(lag, n - 1) + 1):
        variance += 2 * (1 - j / (lag + 1)) * float(off[j:] @ off[:-j])
    return float(np.sqrt(max(variance, 0.0)) / n)


def positive_mean_p_value(values: Floats, lag: int) -> float:
    """One-sided p-value of "the mean is not above zero".

    Student's t with the degrees of freedom of the Newey-West error, 1.5 n / (lag + 1): the normal approximation
    rejects too often where the lag is a large part of the series.

    Returns
    -------
    float
        1.0 where the values do not vary around a mean of 0 or less, 0.0 where they do not around one above.

    References
    ----------
    Priestley (1981), Spectral Analysis and Time Series, table 6.2 (degrees of freedom of Bartlett's window).
    """
    from scipy.special import stdtr  # noqa: PLC0415

    mean, error = float(values.mean()), hac_error(values, lag)
    if error <= 1e-12 * float(np.abs(values).max(initial=0.0)):
        return 0.0 if mean > 0 else 1.0
    return float(stdtr(1.5 * len(values) / (lag + 1), -mean / error))
