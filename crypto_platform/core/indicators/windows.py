"""Moving windows and recursions that the indicators are made of.

Moving sums and moments are merged from windows of 1, 2, 4, … hours: O(log n) passes, and each value is a function of
its own window alone, to the last bit. A running sum, as in bottleneck, keeps the rounding error of everything that
went before: after a price falls by 1e7 its standard deviations are noise, and no restart reproduces them.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import bottleneck as bn
import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]

# Wilder's sums decay by a factor an hour and never reach 0, while their ratios stay as they were. Below this share of
# the price, far under any tick, they count as 0: else what a flat series shows would depend on how far back it is read.
NEGLIGIBLE: Final = 1e-12


def lag(x: Floats, k: int) -> Floats:
    """Value k hours before; the first k are NaN."""
    shifted = np.full_like(x, np.nan)
    if k < x.shape[1]:
        shifted[:, k:] = x[:, : x.shape[1] - k]
    return shifted


def _moving(function: object, x: Floats, n: int) -> Floats:
    if x.shape[1] < n:
        return np.full_like(x, np.nan)
    return np.asarray(function(x, window=n, min_count=n, axis=1))  # type: ignore[operator]


State = tuple[Floats, ...]
Merge = Callable[[State, int, State, int], State]


def _merged(leaves: State, n: int, merge: Merge) -> State:
    """State of each window of n, from the states of its single hours.

    `merge(a, n_a, b, n_b)` is the state of n_a hours followed by n_b hours.
    """
    if leaves[0].shape[1] < n:
        return tuple(np.full_like(leaf, np.nan) for leaf in leaves)
    # Column s of a state of k hours stands for hours s … s + k - 1.
    piece, size = leaves, 1
    window, covered = None, 0
    while True:
        if n & size:
            window = piece if window is None else _join(window, covered, piece, size, merge)
            covered += size
        if covered == n:
            break
        piece = _join(piece, size, piece, size, merge)
        size *= 2
    out = []
    for values in window or ():
        laid = np.full_like(leaves[0], np.nan)
        laid[:, n - 1 :] = values
        out.append(laid)
    return tuple(out)


def _join(a: State, n_a: int, b: State, n_b: int, merge: Merge) -> State:
    width = b[0].shape[1] - n_a
    return merge(tuple(v[:, :width] for v in a), n_a, tuple(v[:, n_a:] for v in b), n_b)


def _add(a: State, _n_a: int, b: State, _n_b: int) -> State:
    return (a[0] + b[0],)


def _merge_moments(a: State, n_a: int, b: State, n_b: int) -> State:
    """Mean, and sums of squared (and cubed) deviations from it; exactly 0 where all values are equal."""
    n = n_a + n_b
    step = b[0] - a[0]
    mean_ = a[0] + step * (n_b / n)
    step_squared = step * step
    second = a[1] + b[1] + step_squared * (n_a * n_b / n)
    if len(a) == 2:
        return mean_, second
    third = a[2] + b[2] + step * ((3 * n_a / n) * b[1] - (3 * n_b / n) * a[1])
    if n_a != n_b:
        third += step_squared * step * (n_a * n_b * (n_a - n_b) / n**2)
    return mean_, second, third


def _merge_weighted(a: State, _n_a: int, b: State, _n_b: int) -> State:
    """Count, mean and sum of squared deviations over the hours that count."""
    n = a[0] + b[0]
    share = b[0] / np.maximum(n, 1.0)
    step = b[1] - a[1]
    return n, a[1] + step * share, a[2] + b[2] + step * step * a[0] * share


class Moments(NamedTuple):
    """Of each window: the mean, and the sums of squared and cubed deviations from it."""

    mean: Floats
    second: Floats
    third: Floats


class WeightedMoments(NamedTuple):
    """Of each window: how many hours count, their mean and the sum of their squared deviations from it."""

    counted: Floats
    mean: Floats
    second: Floats


def total(x: Floats, n: int) -> Floats:
    """Sum of the last n values."""
    return _merged((x,), n, _add)[0]


def mean(x: Floats, n: int) -> Floats:
    """Arithmetic mean of the last n values."""
    return total(x, n) / n


def moments(x: Floats, n: int) -> Moments:
    """First three moments of the last n values.

    References
    ----------
    Chan, Golub & LeVeque (1983), Algorithms for computing the sample variance, eq. 2.1; Pebay (2008), SAND2008-6212.
    """
    zero = np.where(np.isnan(x), np.nan, 0.0)
    return Moments(*_merged((x, zero, zero), n, _merge_moments))


def moments_where(x: Floats, counted: NDArray[np.bool_], n: int) -> WeightedMoments:
    """Moments of those of the last n values that count; x may be NaN where it does not count."""
    leaves = counted.astype(float), np.where(counted, x, 0.0), np.zeros_like(x)
    return WeightedMoments(*_merged(leaves, n, _merge_weighted))


def highest(x: Floats, n: int) -> Floats:
    """Maximum of the last n values."""
    return _moving(bn.move_max, x, n)


def lowest(x: Floats, n: int) -> Floats:
    """Minimum of the last n values."""
    return _moving(bn.move_min, x, n)


def variance(x: Floats, n: int, ddof: int = 1) -> Floats:
    """Variance of the last n values; exactly 0 where they are all equal."""
    zero = np.where(np.isnan(x), np.nan, 0.0)
    return _merged((x, zero), n, _merge_moments)[1] / (n - ddof)


def deviation(x: Floats, n: int, ddof: int = 1) -> Floats:
    """Standard deviation of the last n values; exactly 0 where they are all equal."""
    return np.asarray(np.sqrt(variance(x, n, ddof)))


def flat(x: Floats, n: int) -> NDArray[np.bool_]:
    """True where the last n values are all equal: exact, unlike a small standard deviation."""
    return np.asarray(highest(x, n) == lowest(x, n))


def since_highest(x: Floats, n: int) -> Floats:
    """Hours since the (newest) maximum of the last n values."""
    return _moving(bn.move_argmax, x, n)


def since_lowest(x: Floats, n: int) -> Floats:
    """Hours since the (newest) minimum of the last n values."""
    return _moving(bn.move_argmin, x, n)


def slope(x: Floats, n: int) -> Floats:
    """Least-squares slope per hour of the last n values."""
    time = np.arange(n) - (n - 1) / 2
    weights = (time / (time**2).sum())[::-1]  # newest value first, as a filter wants it
    return np.where(np.isnan(mean(x, n)), np.nan, lfilter(weights, [1.0], np.where(np.isnan(x), 0.0, x), axis=1))


def recursion(x: Floats, n: int, decay: float, gain: float, *, seed_sum: bool = False) -> Floats:
    """y_t = decay y_{t-1} + gain x_t, begun at the n-th value by the mean (or sum) of the first n of each row.

    Leading NaNs of a row are passed over; from a later NaN on, the row stays NaN.
    """
    out = np.full_like(x, np.nan)
    known = np.isfinite(x)
    leads = np.where(known.any(axis=1), known.argmax(axis=1), x.shape[1])
    for lead in np.unique(leads):  # one or two values in practice: rows of one input begin alike
        seed_at = lead + n - 1
        if seed_at >= x.shape[1]:
            continue
        rows = np.flatnonzero(leads == lead)
        seed = x[rows, lead : seed_at + 1].sum(axis=1) / (1 if seed_sum else n)
        driven = x[rows, seed_at:].copy()
        driven[:, 0] = 0.0
        gone = np.isnan(driven) | np.isnan(seed)[:, None]
        driven[gone] = 0.0
        # With no drive at the first step, the filter's state is the first output: the seed.
        smooth, _ = lfilter([gain], [1.0, -decay], driven, axis=1, zi=np.nan_to_num(seed)[:, None])
        smooth[gone.cumsum(axis=1) > 0] = np.nan
        out[rows, seed_at:] = smooth
    return out


def ema(x: Floats, n: int) -> Floats:
    """Exponential mean, alpha = 2 / (n + 1), SMA-seeded."""
    alpha = 2 / (n + 1)
    return recursion(x, n, 1 - alpha, alpha)


def wilder(x: Floats, n: int) -> Floats:
    """Wilder's smoothing, alpha = 1 / n, seeded by the mean of the first n values."""
    return recursion(x, n, 1 - 1 / n, 1 / n)


def wilder_sum(x: Floats, n: int) -> Floats:
    """Wilder's decaying sum: begun by the sum of n - 1 values, then S - S/n + x; first value with n of them."""
    summed = recursion(x, n - 1, 1 - 1 / n, 1.0, seed_sum=True)
    return np.where(np.isnan(lag(summed, 1)), np.nan, summed)


def divide(a: Floats, b: Floats) -> Floats:
    """Quotient a / b; NaN where b is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b == 0, np.nan, a / b)


def ln(x: Floats) -> Floats:
    """Natural logarithm; NaN where x is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x > 0, np.log(x), np.nan)
