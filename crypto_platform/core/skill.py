"""The skill statement: whether an edge over the best baseline was demonstrated, all attempts counted."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ALPHA: Final = 0.05
DEMONSTRATED: Final = "demonstrated"
NOT_DEMONSTRATED: Final = "not demonstrated"

Tested = tuple[str, str, int]  # symbol, model, horizon


def holm(p_values: Floats) -> Floats:
    """Holm's adjusted p-values: the family-wise error stays at the level they are compared with.

    Parameters
    ----------
    p_values : array, shape (n,)
        In [0, 1], dependent in any way.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6 (2), 65-70.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def adjusted(p_values: Mapping[Tested, float]) -> dict[Tested, float]:
    """Holm's adjusted p-value of everything that was tested."""
    return dict(zip(p_values, holm(np.array(list(p_values.values()))).tolist(), strict=True))


def statement(adjusted_p: float) -> str:
    """`DEMONSTRATED` or `NOT_DEMONSTRATED`."""
    return DEMONSTRATED if adjusted_p <= ALPHA else NOT_DEMONSTRATED
