"""How far a row of inputs lies from all that the models were trained on."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEIGHBORS: Final = 5
LIMIT_QUANTILE: Final = 0.99  # of the training rows' own distances, each from the others: the unit of novelty
NOVEL: Final = 1.5  # novelty above which a row counts as novel


@dataclass(frozen=True, slots=True)
class Reference:
    """Training rows to measure distances from.

    Attributes
    ----------
    rows : array of float32, shape (n_rows, n_features)
        Standardized.
    unit : float
        `LIMIT_QUANTILE` of their own distances from each other; > 0.
    """

    rows: NDArray[np.float32]
    unit: float


def reference(scaled: Floats) -> Reference:
    """Reference of standardized training rows.

    Parameters
    ----------
    scaled : array, shape (n_rows, n_features)
        Finite; more than `NEIGHBORS` rows that are not all alike.
    """
    rows = np.ascontiguousarray(scaled, np.float32)
    own = np.array([_mean_nearest(rows, row, NEIGHBORS + 1) for row in rows.astype(np.float64)])
    # The nearest to a training row is itself, at no distance: the sum is that of the others.
    own *= (NEIGHBORS + 1) / NEIGHBORS
    return Reference(rows, float(np.quantile(own, LIMIT_QUANTILE)))


def is_sound(held: Reference) -> bool:
    """Whether a reference can be measured from."""
    finite = bool(np.isfinite(held.rows).all() and np.isfinite(held.unit))
    return finite and len(held.rows) >= NEIGHBORS and held.unit > 0


def novelty(held: Reference, scaled: Floats) -> Floats:
    """Mean distance to the `NEIGHBORS` nearest training rows, in units of what is usual among these.

    Parameters
    ----------
    held : Reference
    scaled : array, shape (n, n_features)
        Standardized as the reference; finite.

    Returns
    -------
    array, shape (n,)
        About 1 at the edge of the training rows; above `NOVEL` the models have seen nothing like it. Of a row always
        the same, alone or among others.
    """
    return np.array([_mean_nearest(held.rows, row, NEIGHBORS) for row in scaled]) / held.unit


def _mean_nearest(rows: NDArray[np.float32], row: Floats, k: int) -> float:
    # Differences, not the quicker product: a row at no distance must be at none.
    distances = np.square(rows - row).sum(axis=1)
    return float(np.sqrt(np.partition(distances, k - 1)[:k]).mean())
