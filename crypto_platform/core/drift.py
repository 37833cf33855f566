"""Drift of inputs and outputs, judged by what the reference itself does.

Hourly features depend strongly on their past, so a week of them always looks unlike the months before. How unlike is
learned from the reference: every week of it against its rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WINDOW_HOURS: Final = 168
REFERENCE_HOURS: Final = 90 * 24
STEP_HOURS: Final = 6
MIN_NULL: Final = 99  # windows below which no p of 0.01 exists
SIGNIFICANT: Final = 0.01
MIN_KNOWN: Final = 0.5  # share of a window's hours without which it says nothing
PSI_BINS, PSI_FLOOR = 10, 1e-4
BLOCKS: Final = 5


@dataclass(frozen=True, slots=True)
class Channel:
    """One quantity's week against its reference.

    Attributes
    ----------
    distance : float or None
        Wasserstein-1 distance in reference SDs; None where either side is too short or the reference does not vary.
    p_value : float or None
        Share of the reference's own windows at least that far from its rest.
    null_99 : float or None
        Their 99 % quantile.
    n_null : int
        Windows behind both.
    psi, ks, shift : float or None
        Reported, never judged: population stability index, Kolmogorov-Smirnov, standardized mean difference.
    """

    distance: float | None
    p_value: float | None = None
    null_99: float | None = None
    n_null: int = 0
    psi: float | None = None
    ks: float | None = None
    shift: float | None = None

    @property
    def calibrated(self) -> bool:
        """Whether there were windows enough to judge by."""
        return self.p_value is not None and self.n_null >= MIN_NULL


def wasserstein(ranks: NDArray[np.integer[Any]], ordered: Floats) -> Floats:
    """Wasserstein-1 distance of each subset of some values from the values that are not in it.

    Parameters
    ----------
    ranks : array of int, shape (n_subsets, m)
        Positions of each subset in `ordered`, ascending, filled up with `len(ordered)`; neither none nor all.
    ordered : array, shape (n,)
        Ascending.

    Returns
    -------
    array, shape (n_subsets,)
        The area between both distribution functions, in the unit of the values.

    Notes
    -----
    The complement's distribution function follows from the subset's F and that of all values, k/n after k values: the
    area is n/(n - size) times that between these two. Between two ranks F is constant, so sums over k come from prefix
    sums at the ranks and where k/n passes F: a subset costs as many steps as it has members. With L and S the sums of
    steps and of k/n times steps, a stretch from a to c, split at b, adds F(2 L(b) - L(a) - L(c)) less the same of S.
    Both sums ascend, so what they are at a b beyond its stretch is clipped in place of b.
    """
    n, size, below = len(ordered), (ranks < len(ordered)).sum(axis=1), np.arange(ranks.shape[1] + 1.0)
    steps = np.diff(ordered, prepend=ordered[0])
    level, slope = steps.cumsum(), (np.arange(n) * steps).cumsum() / n
    ends = np.empty((len(ranks), ranks.shape[1] + 2), dtype=np.intp)
    ends[:, 0], ends[:, -1] = 0, n - 1
    np.minimum(ranks, n - 1, out=ends[:, 1:-1])
    of_size, split = np.unique(size), np.empty((len(ranks), len(below)))
    passes = np.minimum((below * n / of_size[:, None]).astype(np.intp), n - 1)
    if len(of_size) > 1:
        passes = passes[np.searchsorted(of_size, size)]
    at_ends = np.r_[below, 0] + np.r_[0, below]  # each end closes one stretch and opens the next
    sums = level[ends]
    held = 2 * (np.clip(level[passes], sums[:, :-1], sums[:, 1:], out=split) @ below) - sums @ at_ends
    np.take(slope, ends, out=sums, mode="clip")
    np.clip(slope[passes], sums[:, :-1], sums[:, 1:], out=split)
    passed = 2 * (split.sum(axis=1) - sums.sum(axis=1)) + slope[-1]
    return np.asarray((held / size - passed) * n / (n - size))


def null_distances(reference: Floats, window: int = WINDOW_HOURS, step: int = STEP_HOURS) -> Floats:
    """Distance of every contiguous window of the reference from its rest.

    Parameters
    ----------
    reference : array, shape (n_hours,)
        Hour by hour; NaN where unknown.

    Returns
    -------
    array, shape (<= n_windows,)
        Without the windows of which more than half is unknown.
    """
    known = np.flatnonzero(np.isfinite(reference))
    order = known[np.argsort(reference[known], kind="stable")]
    rank_of = np.full(len(reference), len(known), dtype=np.int32)  # narrow numbers are sorted twice as quickly
    rank_of[order] = np.arange(len(known))
    if len(reference) <= window:
        return np.empty(0)
    ranks = np.sort(np.lib.stride_tricks.sliding_window_view(rank_of, window)[::step], axis=1)
    size = (ranks < len(known)).sum(axis=1)
    ranks = ranks[(size >= MIN_KNOWN * window) & (size < len(known))]
    return wasserstein(ranks, reference[order])


def measure(reference: Floats, current: Floats, window: int = WINDOW_HOURS, step: int = STEP_HOURS) -> Channel:
    """One channel's drift.

    Parameters
    ----------
    reference, current : array, shape (n_hours,), (window,)
        Hour by hour; NaN where unknown.
    """
    held, seen = reference[np.isfinite(reference)], current[np.isfinite(current)]
    if len(seen) < MIN_KNOWN * window or len(held) < window:
        return Channel(None)
    spread = float(held.std(ddof=1))
    if spread < 1e-12 * max(1.0, float(np.abs(held).max())):
        return Channel(None)
    both = np.r_[held, seen]
    order = np.argsort(both, kind="stable")
    is_current, ordered = order >= len(held), both[order]
    distance = float(wasserstein(np.flatnonzero(is_current)[None, :], ordered)[0]) / spread
    null = null_distances(reference, window, step) / spread
    return Channel(
        distance,
        float((1 + (null >= distance).sum()) / (1 + len(null))),
        float(np.quantile(null, 0.99)) if len(null) else None,
        len(null),
        psi=_psi(held, seen),
        ks=_kolmogorov_smirnov(is_current, ordered),
        shift=float((seen.mean() - held.mean()) / spread),
    )


def _kolmogorov_smirnov(is_current: NDArray[np.bool_], ordered: Floats) -> float:
    """Greatest gap between the distribution functions of the members and of the rest; after equal values only."""
    after = np.flatnonzero(np.append(np.diff(ordered) > 0, True))
    seen = is_current.cumsum()
    gaps = seen / seen[-1] - (np.arange(1, len(ordered) + 1) - seen) / (len(ordered) - seen[-1])
    return float(np.abs(gaps[after]).max())


def _psi(reference: Floats, current: Floats) -> float:
    edges = np.quantile(reference, np.linspace(0, 1, PSI_BINS + 1)[1:-1])
    shares = [
        np.maximum(np.bincount(np.searchsorted(edges, x), minlength=PSI_BINS) / len(x), PSI_FLOOR)
        for x in (reference, current)
    ]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


@dataclass(frozen=True, slots=True)
class Drift:
    """All channels of one symbol on one day.

    Attributes
    ----------
    channels : mapping of str to Channel
    rates : frozenset of str
        Channels that count into the score but do not trigger alone: a missing hour is no reason to train, and the
        probabilities move with every new model.
    domain_auc : float or None
        How well a linear classifier tells the window from the reference, by blocked validation; reported only.
    """

    channels: Mapping[str, Channel]
    rates: frozenset[str] = frozenset()
    domain_auc: float | None = None

    @property
    def score(self) -> float | None:
        """Share of the channels whose p-value is at most `SIGNIFICANT`; None while uncalibrated."""
        judged = [c.p_value for c in self.channels.values() if c.calibrated and c.p_value is not None]
        return sum(p <= SIGNIFICANT for p in judged) / len(judged) if judged else None

    @property
    def far(self) -> frozenset[str]:
        """Channels further away than twice the 99 % quantile of their null."""
        return frozenset(
            name
            for name, c in self.channels.items()
            if name not in self.rates and c.calibrated and c.distance is not None and c.distance > 2 * (c.null_99 or 0)
        )


def domain_auc(reference: Floats, current: Floats) -> float | None:
    """AUC of a linear classifier between two samples of rows, validated on contiguous blocks of either.

    Parameters
    ----------
    reference, current : array, shape (n_hours, n_channels)
        In time order. Rows and channels with unknown values are left out.

    Returns
    -------
    float or None
        Well above 0.5 on stationary data too, since neighboring weeks differ. None with too few rows.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # noqa: PLC0415
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    sides = (reference, current)
    known = np.all([np.isfinite(side).mean(axis=0) > MIN_KNOWN for side in sides], axis=0)
    rows = [side[np.isfinite(side[:, known]).all(axis=1)][:, known] for side in sides]
    if not known.any() or min(map(len, rows)) < 2 * BLOCKS:
        return None
    block = np.concatenate([np.arange(len(side)) * BLOCKS // len(side) for side in rows])
    inputs, is_current = np.concatenate(rows), np.repeat([0, 1], [len(side) for side in rows])
    scores = np.empty(len(inputs))
    with threadpool_limits(1):  # products this small take longer on several threads
        for number in range(BLOCKS):
            test = block == number
            model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(inputs[~test], is_current[~test])
            scores[test] = model.decision_function(inputs[test])
    return float(roc_auc_score(is_current, scores))


def compare(
    reference: Mapping[str, Floats], current: Mapping[str, Floats], rates: frozenset[str], window: int = WINDOW_HOURS
) -> Drift:
    """Every channel of the window against the reference before it.

    Parameters
    ----------
    reference, current : mapping of str to array, shape (n_hours,), (window,)
        By channel, hour by hour; NaN where unknown. The reference ends where the window begins.
    rates : frozenset of str
        See `Drift`.

    References
    ----------
    Ramdas, Garcia Trillos & Cuturi (2017), On Wasserstein two-sample testing, Entropy 19 (2): the distance. Politis,
    Romano & Wolf (1999), Subsampling: a null distribution from contiguous windows of dependent data.
    """
    channels = {name: measure(reference[name], current[name], window) for name in reference}
    stacked = (np.column_stack(list(side.values())) for side in (reference, current))
    return Drift(channels, rates, domain_auc(*stacked) if reference else None)
