"""What came next: forward returns and directions, missing where they are not known.

A label is resolved at as_of(t) + horizon; nothing may use it before.
"""

import numpy as np
from numpy.typing import NDArray

from crypto_platform.core.panel import Panel

Floats = NDArray[np.float64]


def forward_returns(panel: Panel, horizon: int) -> Floats:
    """Simple return from the close of t to the close of t + horizon.

    Parameters
    ----------
    panel : Panel
    horizon : int
        Hours ahead, at least 1.

    Returns
    -------
    array, shape of the panel
        close[t + horizon] / close[t] - 1; NaN where t + horizon is not there, lies in another segment, or either
        end is a filled hour or one taken from a fallback source.
    """
    returns = np.full(panel.shape, np.nan)
    if horizon < panel.shape[1]:
        missing = panel.unlabeled[:, :-horizon] | panel.unlabeled[:, horizon:]
        with np.errstate(invalid="ignore"):
            values = panel.close[:, horizon:] / panel.close[:, :-horizon] - 1
        returns[:, :-horizon] = np.where(missing, np.nan, values)
    return returns


def directions(returns: Floats) -> Floats:
    """1 where a return is positive, 0 where it is negative, NaN where it is missing or exactly zero.

    Examples
    --------
    >>> directions(np.array([0.1, -0.1, 0.0, np.nan]))
    array([ 1.,  0., nan, nan])
    """
    with np.errstate(invalid="ignore"):
        return np.where(returns > 0, 1.0, np.where(returns < 0, 0.0, np.nan))
