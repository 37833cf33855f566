"""Whether two sources tell the same prices: how far their closes are apart, and how far they may be.

The tolerance and what it costs in false alarms: docs/adr/0009-cross-source-tolerance.md.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

TOLERANCE: Final = 0.02  # median |ln(other / own)|; quote currencies differ: USDT against USD
FAR: Final = 0.05  # |ln(other / own)| of an hour that no premium of a quote currency explains
FAR_SHARE: Final = 0.10  # of the hours may be that far apart
MIN_HOURS: Final = 6  # fewer hours in common say nothing
SLOT: Final = timedelta(minutes=15)
SLOTS: Final = timedelta(days=1) // SLOT


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two series of closes are apart.

    Parameters
    ----------
    hours : int
        Hours in common.
    median : float
        Median |ln(other / own)|; NaN of none.
    far : float
        Share of the hours beyond `FAR`; NaN of none.
    """

    hours: int
    median: float
    far: float

    @property
    def holds(self) -> bool:
        """False where they are too far apart; true also where too few hours are in common to say."""
        return self.hours < MIN_HOURS or (self.median <= TOLERANCE and self.far <= FAR_SHARE)


def agreement(own: ArrayLike, other: ArrayLike) -> Agreement:
    """Compare closes hour by hour.

    Parameters
    ----------
    own, other : array_like of float, shape (n_hours,)
        Closes of the same hours, above 0.

    Examples
    --------
    >>> agreement([100.0] * 24, [101.0] * 24).holds, agreement([100.0] * 24, [1000.0] * 24).holds
    (True, False)
    """
    apart = np.abs(np.log(np.asarray(other, float) / np.asarray(own, float)))
    if not len(apart):
        return Agreement(0, math.nan, math.nan)
    return Agreement(len(apart), float(np.median(apart)), float(np.mean(apart > FAR)))


def share_of_slot(n: int, moment: datetime) -> list[int]:
    """Which of n things have their turn in the quarter of an hour that holds `moment`.

    Returns
    -------
    list of int
        Positions, at most ⌈n / 96⌉: over the 96 quarters of any day each has its turn once.

    Examples
    --------
    >>> from datetime import UTC
    >>> share_of_slot(3, datetime(2026, 1, 1, 8, 3, tzinfo=UTC)), share_of_slot(3, datetime(2026, 1, 1, 9, tzinfo=UTC))
    ([1], [])
    """
    slot = int(moment.timestamp() // SLOT.total_seconds()) % SLOTS
    return [i for i in range(n) if i * SLOTS // n == slot]
