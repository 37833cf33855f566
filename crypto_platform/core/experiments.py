"""A/B comparison of two variants on the same hours: what they are, whose an hour is, and what the hours say.

No arm is called better but by an anytime-valid test; see `core.eprocess`.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crypto_platform.core.bootstrap import hac_error, hac_lag
from crypto_platform.core.eprocess import anytime
from crypto_platform.core.panel import hours_since_1970
from crypto_platform.core.signals import CLASSIFIERS, ENSEMBLE
from crypto_platform.errors import ConfigurationError

Floats = NDArray[np.float64]

MIN_PAIRED_HOURS: Final = 72
INSUFFICIENT: Final = "insufficient data"
NO_DIFFERENCE: Final = "no difference shown"
A_BETTER, B_BETTER = "A better", "B better"
RUNNING, ENDED, STOPPED = "running", "ended", "stopped"
CORRECTNESS, BRIER = "correctness", "brier"
METRICS: Final = (CORRECTNESS, BRIER)
LONGEST: Final = timedelta(days=90)  # of an experiment of which nobody said how long
MODELS: Final = (*CLASSIFIERS, ENSEMBLE)
COUNTS: Final = ("both_right", "only_a_right", "only_b_right", "both_wrong")


@dataclass(frozen=True, slots=True)
class Variant:
    """A model of whichever bundle is champion (a recipe), or of one bundle for ever.

    Parameters
    ----------
    model : str
        One of `MODELS`.
    version : str or None
        The bundle; None for the recipe.
    """

    model: str
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """A variant as people write it.

        Raises
        ------
        ConfigurationError
            It names no model.

        Examples
        --------
        >>> Variant.parse("random_forest"), Variant.parse("3f2a/ensemble").version
        (Variant(model='random_forest', version=None), '3f2a')
        """
        version, _, model = text.rpartition("/")
        if model not in MODELS:
            raise ConfigurationError(
                f"variant {text!r} names no model; write MODEL or VERSION/MODEL with one of {', '.join(MODELS)}"
            )
        return cls(model, version or None)


@dataclass(frozen=True, slots=True)
class Experiment:
    """Two variants compared on every closed hour; immutable once written, but for the hour somebody stops it."""

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
    metric: str = CORRECTNESS
    stopped_at: datetime | None = None

    @property
    def over_at(self) -> datetime | None:
        """Last moment whose forecasts count; None where it is open."""
        return min((at for at in (self.ends_at, self.stopped_at) if at), default=None)

    def status(self, as_of: datetime) -> str:
        """One of `RUNNING`, also before it starts, `ENDED` and `STOPPED`."""
        if self.over_at is None or as_of < self.over_at:
            return RUNNING
        return STOPPED if self.over_at == self.stopped_at else ENDED


def published_arm(experiment: Experiment, symbol: str, candle: datetime) -> str:
    """Arm that the recorded split gives a candle to: a hash decides, so a retry decides alike. Nothing follows from it.

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


def summarize(experiment: Experiment, hourly: pd.DataFrame, as_of: datetime) -> dict[str, Any]:
    """What the shared hours say of the two arms, in plain JSON values.

    Parameters
    ----------
    experiment : Experiment
    hourly : DataFrame
        One row per hour in time order, sums over the symbols of which both arms have an outcome:
        `prediction_timestamp`, `COUNTS`, `log_loss_a`, `log_loss_b`, `brier_a`, `brier_b`.
    as_of : datetime

    Returns
    -------
    dict
        Counts, accuracies and losses; the mean difference per hour (A - B, above 0 in favor of A) of the experiment's
        metric with its confidence sequence and the evidence; `fixed_horizon` once the planned end is over; and the
        verdict, one of `A_BETTER`, `B_BETTER`, `NO_DIFFERENCE` and `INSUFFICIENT`.
    """
    sums = hourly.drop(columns="prediction_timestamp").sum()
    n, n_hours = int(sum(sums[name] for name in COUNTS)), len(hourly)
    differences = _differences(experiment, hourly)
    held = anytime(differences, _hours(hourly), experiment.horizon, experiment.alpha)
    verdict = NO_DIFFERENCE if n_hours >= MIN_PAIRED_HOURS else INSUFFICIENT
    if verdict == NO_DIFFERENCE and (held.lower > 0 or held.upper < 0):
        verdict = A_BETTER if held.lower > 0 else B_BETTER
    return {
        "n_pairs": n,
        "n_hours": n_hours,
        **{name: int(sums[name]) for name in COUNTS},
        "accuracy_a": float((sums["both_right"] + sums["only_a_right"]) / n) if n else None,
        "accuracy_b": float((sums["both_right"] + sums["only_b_right"]) / n) if n else None,
        **{
            f"{loss}_{arm}": float(sums[f"{loss}_{arm}"] / n) if n else None
            for loss in ("log_loss", "brier")
            for arm in "ab"
        },
        "mean_difference": float(differences.mean()) if n_hours else None,
        "lower": held.lower,
        "upper": held.upper,
        "level": 1 - experiment.alpha,
        "e_value": held.e_value,
        "max_e_value": held.max_e_value,
        "p_value": held.p_value,
        "strict": held.strict,
        "fixed_horizon": fixed_horizon(experiment, hourly, as_of),
        "status": experiment.status(as_of),
        "verdict": verdict,
    }


def _hours(hourly: pd.DataFrame) -> NDArray[np.int64]:
    return hours_since_1970(hourly["prediction_timestamp"]) if len(hourly) else np.empty(0, dtype=np.int64)


def _differences(experiment: Experiment, hourly: pd.DataFrame) -> Floats:
    """Mean over symbols first: it removes their dependence within an hour from the sample size."""
    if experiment.metric == BRIER:
        gained = hourly["brier_b"] - hourly["brier_a"]
    else:
        gained = hourly["only_a_right"] - hourly["only_b_right"]
    pairs = hourly[list(COUNTS)].sum(axis=1)
    return np.asarray(np.clip((gained / pairs).to_numpy(float), -1, 1))


def fixed_horizon(experiment: Experiment, hourly: pd.DataFrame, as_of: datetime) -> dict[str, Any] | None:
    """The classical tests at the planned end, of everything up to it; None before, or where it was stopped."""
    if experiment.status(as_of) != "ended" or len(hourly) < MIN_PAIRED_HOURS:
        return None
    differences = _differences(experiment, hourly)
    statistic, p_value = diebold_mariano(differences, hac_lag(experiment.horizon))
    return {
        "note": "valid only once",
        "mcnemar_p": mcnemar(hourly) if experiment.horizon == 1 else None,
        "diebold_mariano": statistic,
        "diebold_mariano_p": p_value,
    }


def mcnemar(hourly: pd.DataFrame) -> float:
    """Exact two-sided p-value of McNemar's test, hours as clusters.

    An hour speaks for the arm that was right on more symbols. With one symbol this is McNemar's exact test.

    References
    ----------
    McNemar (1947), Note on the sampling error of the difference between correlated proportions, Psychometrika 12 (2).
    """
    from scipy.stats import binomtest  # noqa: PLC0415

    sign = np.sign(hourly["only_a_right"] - hourly["only_b_right"])
    n_a, n_b = int((sign > 0).sum()), int((sign < 0).sum())
    return float(binomtest(n_a, n_a + n_b).pvalue) if n_a + n_b else 1.0


def diebold_mariano(differences: Floats, lag: int) -> tuple[float | None, float | None]:
    """Statistic and two-sided p-value of equal accuracy; None where the differences do not vary.

    References
    ----------
    Diebold & Mariano (1995), Comparing predictive accuracy, JBES 13 (3). The error is `bootstrap.hac_error`.
    """
    error = hac_error(differences, lag)
    if error == 0:
        return None, None
    statistic = float(differences.mean() / error)
    return statistic, 2 * (1 - NormalDist().cdf(abs(statistic)))
