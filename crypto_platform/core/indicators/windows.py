"""Moving windows and recursions that the indicators are made of."""

import bottleneck as bn
import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]


def lag(x: Floats, k: int) -> Floats:
    """Value k hours before; the first k are NaN."""
    shifted = np.full_like(x, np.nan)
    if k < x.shape[1]:
        shifted[:, k:] = x[:, : x.shape[1] - k]
    return shifted


def _moving(function: object, x: Floats, n: int, **options: int) -> Floats:
    if x.shape[1] < n:
        return np.full_like(x, np.nan)
    return np.asarray(function(x, window=n, min_count=n, axis=1, **options))  # type: ignore[operator]


def mean(x: Floats, n: int) -> Floats:
    """Arithmetic mean of the last n values."""
    return _moving(bn.move_mean, x, n)


def total(x: Floats, n: int) -> Floats:
    """Sum of the last n values."""
    return _moving(bn.move_sum, x, n)


def highest(x: Floats, n: int) -> Floats:
    """Maximum of the last n values."""
    return _moving(bn.move_max, x, n)


def lowest(x: Floats, n: int) -> Floats:
    """Minimum of the last n values."""
    return _moving(bn.move_min, x, n)


def deviation(x: Floats, n: int, ddof: int = 1) -> Floats:
    """Standard deviation of the last n values; exactly 0 where they are all equal."""
    spread = _moving(bn.move_std, x, n, ddof=ddof)
    return np.where(flat(x, n), 0.0, spread)


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
