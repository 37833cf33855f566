"""A/B comparison of two variants on the same hours: assignment of what is published, and paired counts.

The counts are descriptive: which arm was right on how many shared hours. No winner is named here.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import pandas as pd

MIN_PAIRED_HOURS: Final = 72
INSUFFICIENT: Final = "insufficient data"
UNDECIDED: Final = "undecided"


@dataclass(frozen=True, slots=True)
class Experiment:
    """Two model names compared on every closed hour; immutable once started."""

    test_name: str
    variant_a: str
    variant_b: str
    horizon: int
    split: float
    salt: str
    alpha: float
    publish: bool
    started_at: datetime
    ends_at: datetime | None = None


def published_arm(experiment: Experiment, symbol: str, candle: datetime) -> str:
    """Arm whose forecast would be published for a candle: a hash decides, so a retry decides alike.

    Examples
    --------
    >>> from datetime import UTC
    >>> e = Experiment("t", "a", "b", 1, 1.0, "salt", 0.05, False, datetime(2026, 1, 1, tzinfo=UTC))
    >>> published_arm(e, "BTC", datetime(2026, 1, 1, tzinfo=UTC))
    'A'
    """
    text = f"{experiment.salt}|{experiment.test_name}|{symbol}|{candle.isoformat()}"
    share = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
    return "A" if share < experiment.split else "B"


def paired_counts(pairs: pd.DataFrame) -> dict[str, Any]:
    """What the shared hours say of the two arms.

    Parameters
    ----------
    pairs : DataFrame
        One row per symbol and hour with `prediction_timestamp`, `correct_a`, `correct_b` (bool or None),
        `log_loss_a`, `log_loss_b`; rows with an unknown outcome are not counted.

    Returns
    -------
    dict
        Counts of the four outcomes, hours, mean differences (A - B) per hour with their standard error, and
        the verdict: `INSUFFICIENT` under `MIN_PAIRED_HOURS` hours, else `UNDECIDED`.
    """
    known = pairs.dropna(subset=["correct_a", "correct_b"])
    right_a, right_b = known["correct_a"].astype(bool), known["correct_b"].astype(bool)
    # Averaging over symbols first removes their dependence within an hour from the sample size.
    hourly = (
        pd.DataFrame({"hour": known["prediction_timestamp"], "d": right_a.astype(float) - right_b.astype(float)})
        .groupby("hour")["d"]
        .mean()
    )
    n_hours = len(hourly)
    enough = n_hours >= 2
    return {
        "n_pairs": len(known),
        "n_hours": n_hours,
        "both_right": int((right_a & right_b).sum()),
        "only_a_right": int((right_a & ~right_b).sum()),
        "only_b_right": int((~right_a & right_b).sum()),
        "both_wrong": int((~right_a & ~right_b).sum()),
        "accuracy_a": float(right_a.mean()) if len(known) else None,
        "accuracy_b": float(right_b.mean()) if len(known) else None,
        "log_loss_a": float(known["log_loss_a"].mean()) if len(known) else None,
        "log_loss_b": float(known["log_loss_b"].mean()) if len(known) else None,
        "mean_difference": float(hourly.mean()) if n_hours else None,
        "standard_error": float(hourly.std(ddof=1) / np.sqrt(n_hours)) if enough else None,
        "verdict": UNDECIDED if n_hours >= MIN_PAIRED_HOURS else INSUFFICIENT,
    }
