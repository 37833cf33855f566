"""The gate that a candidate passes before it serves, and the evidence that takes a promotion back.

Everything here is a function of forecasts and of what happened; what serves, and since when, is the registry's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crypto_platform.core import eprocess
from crypto_platform.core.bootstrap import Z_95, Resample, block_length, interval
from crypto_platform.core.calibration import log_losses, slope_and_error

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

UNCALIBRATED: Final = "uncalibrated"
GATE: Final = "gate"  # what a bundle's details call the record of its gate at the training
REVIEW: Final = "review"  # and that of its trial in the shadow; the actor of what follows


@dataclass(frozen=True, slots=True)
class GateRules:
    """Limits of the gate and of the way back.

    Parameters
    ----------
    window_hours, min_pairs : int
        Hours that a candidate is tried on, and how few of them still say something.
    max_mean : float
        Mean of its log loss less the champion's, in nats, up to which it is no worse.
    max_upper, level : float
        Limit of the one-sided upper bound of that mean, and the bound's level.
    max_over_base : float
        How much above the log loss of the train base rate its own may be.
    min_slope, max_slope : float
        Calibration slope; see `Gate.flags`.
    min_sd : float
        SD of its probabilities that it must exceed: one that always says the same says nothing.
    shadow_hours : int
        How long the champion before is forecast beside a new one.
    alpha : float
        Error level of the return to it.
    seed : int
        Of the bootstrap.
    """

    window_hours: int = 168
    min_pairs: int = 72
    max_mean: float = 0.002
    max_upper: float = 0.02
    level: float = 0.90
    max_over_base: float = 0.02
    min_slope: float = 0.3
    max_slope: float = 3.0
    min_sd: float = 0.002
    shadow_hours: int = 72
    alpha: float = 0.05
    seed: int = 20_260_101


RULES: Final = GateRules()


class Outcome(StrEnum):
    """What becomes of a candidate."""

    PROMOTED = "promoted"
    REFUSED = "refused"
    CHALLENGER = "challenger"


@dataclass(frozen=True, slots=True)
class Trial:
    """Hours that a candidate forecast without having seen them, in time order.

    Parameters
    ----------
    hours : array of int, shape (n,)
        Hours since 1970, strictly ascending.
    directions : array of int, shape (n,)
        What happened, 0 or 1.
    candidate : array, shape (n,)
        Its up-probabilities, finite.
    base_rate : array, shape (n,)
        Share of ups in what it was fitted on.
    horizon : int
        Hours ahead of the labels.
    """

    hours: Ints
    directions: Ints
    candidate: Floats
    base_rate: Floats
    horizon: int

    def __len__(self) -> int:
        return len(self.hours)

    def take(self, rows: slice | NDArray[np.bool_]) -> "Trial":
        """The given hours of it."""
        return Trial(self.hours[rows], self.directions[rows], self.candidate[rows], self.base_rate[rows], self.horizon)

    @classmethod
    def empty(cls, horizon: int) -> "Trial":
        """No hours: the candidate could not be tried."""
        none = np.empty(0)
        return cls(none.astype(np.int64), none.astype(np.int64), none, none, horizon)


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing the gate asks for. `holds` is None where there are too few hours to say."""

    name: str
    holds: bool | None
    message: str
    numbers: Mapping[str, float | int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate says of a candidate.

    Attributes
    ----------
    outcome : Outcome
    reasons : tuple of str
        Every condition that failed, or what a challenger waits for; empty for one that is promoted.
    flags : tuple of str
        `UNCALIBRATED`: its calibration slope lies outside the limits, and the hours are too few to tell whether really.
    conditions : tuple of Condition
    n_hours : int
        Hours it was tried on.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    flags: tuple[str, ...]
    conditions: tuple[Condition, ...]
    n_hours: int

    @property
    def words(self) -> str:
        """Outcome and reasons in a line."""
        return words_of(self.record())

    def record(self, rules: GateRules = RULES) -> dict[str, Any]:
        """All of it as plain JSON values, limits included."""
        return {
            "outcome": self.outcome.value,
            "reasons": list(self.reasons),
            "flags": list(self.flags),
            "hours": self.n_hours,
            "conditions": {c.name: {"holds": c.holds, "message": c.message, **c.numbers} for c in self.conditions},
            "limits": asdict(rules),
        }


def words_of(recorded: Mapping[str, Any] | None) -> str:
    """Outcome and reasons of a recorded gate in a line."""
    if not recorded:
        return "there was no gate yet"
    flags, reasons = recorded["flags"], recorded["reasons"]
    flagged = f" ({', '.join(flags)})" if flags else ""
    return f"{recorded['outcome']}{flagged}" + (f": {'; '.join(reasons)}" if reasons else "")


def judge(
    trial: Trial,
    champion: Floats | None,
    *,
    expired: bool = False,
    faults: Sequence[str] = (),
    rules: GateRules = RULES,
) -> Gate:
    """Whether a candidate may serve.

    Parameters
    ----------
    trial : Trial
    champion : array, shape (n,), or None
        Up-probabilities of the champion on the hours of the trial; NaN where it has seen the hour or has none. None
        without a champion: the absolute conditions alone count.
    expired : bool
        The champion is too old to be acted on: the bound of the mean difference is waived.
    faults : sequence of str
        What the checks of the bundle found.
    rules : GateRules

    Returns
    -------
    Gate
        Refused where any condition fails. A challenger where none does and there are too few hours to say: fewer than
        `rules.min_pairs` that both forecast, or that the candidate did where there is no champion.
    """
    conditions = [Condition("bundle_is_sound", not faults, "; ".join(faults) or "its files are as they should be")]
    flags: tuple[str, ...] = ()
    if len(trial) < rules.min_pairs:
        conditions.append(Condition("tried", None, f"{len(trial)} of {rules.min_pairs} hours tried on"))
    else:
        slope, flags = _slope(trial, rules)
        conditions += [_against_base_rate(trial, rules), slope, _varies(trial, rules)]
    if champion is not None:
        paired = np.isfinite(champion)
        conditions += _against_champion(trial.take(paired), champion[paired], rules, expired=expired)
    failed = tuple(c.message for c in conditions if c.holds is False)
    waits = tuple(c.message for c in conditions if c.holds is None)
    if failed:
        outcome, reasons = Outcome.REFUSED, failed
    else:
        outcome, reasons = (Outcome.CHALLENGER, waits) if waits else (Outcome.PROMOTED, ())
    return Gate(outcome, reasons, flags, tuple(conditions), len(trial))


def _against_base_rate(trial: Trial, rules: GateRules) -> Condition:
    mine = float(log_losses(trial.directions, trial.candidate).mean())
    base = float(log_losses(trial.directions, trial.base_rate).mean())
    over, limit = mine - base, rules.max_over_base
    return Condition(
        "beside_the_base_rate",
        over <= limit,
        f"log loss {mine:.4f}, {over:+.4f} beside the base rate's {base:.4f}, limit {limit:+.3f}",
        {"log_loss": mine, "base_rate_log_loss": base, "over_base_rate": over},
    )


def _slope(trial: Trial, rules: GateRules) -> tuple[Condition, tuple[str, ...]]:
    """Overlapping labels widen the error by the root of the horizon."""
    found = slope_and_error(trial.directions, trial.candidate)
    name, limits = "calibration_slope", f"limits {rules.min_slope:g} and {rules.max_slope:g}"
    if found is None:
        message = "calibration slope unknown: probabilities or directions do not vary"
        return Condition(name, holds=True, message=message, numbers={"slope": None}), (UNCALIBRATED,)
    slope, error = found[0], found[1] * float(np.sqrt(trial.horizon))
    low, high = slope - Z_95 * error, slope + Z_95 * error
    message = f"calibration slope {slope:.2f} [{low:.2f}, {high:.2f}], {limits}"
    inside = rules.min_slope <= slope <= rules.max_slope
    may_be = low <= rules.max_slope and high >= rules.min_slope
    numbers = {"slope": slope, "slope_lower": low, "slope_upper": high}
    return Condition(name, may_be, message, numbers), () if inside or not may_be else (UNCALIBRATED,)


def _varies(trial: Trial, rules: GateRules) -> Condition:
    sd = float(trial.candidate.std(ddof=1))
    message = f"SD of its probabilities {sd:.4f}, more than {rules.min_sd:g} needed"
    return Condition("probabilities_vary", sd > rules.min_sd, message, {"sd": sd})


def _against_champion(trial: Trial, champion: Floats, rules: GateRules, *, expired: bool) -> list[Condition]:
    n = len(trial)
    if n < rules.min_pairs:
        message = f"{n} of {rules.min_pairs} hours that both forecast unseen"
        return [Condition("paired", None, message, {"pairs": n})]
    differences = log_losses(trial.directions, trial.candidate) - log_losses(trial.directions, champion)
    resample = Resample.stationary(n, block_length(trial.horizon), rules.seed)
    mean = float(differences.mean())
    ends = interval(resample.means(differences), 2 * rules.level - 1)
    upper = None if ends is None else ends[1]
    said = f"log loss {mean:+.4f} beside the champion's over {n} hours"
    conditions = [
        Condition(
            "beside_the_champion",
            mean <= rules.max_mean,
            f"{said}, limit {rules.max_mean:+.3f}",
            {"pairs": n, "mean_difference": mean},
        )
    ]
    bound = "upper bound of the difference to the champion"
    if expired:
        message = f"{bound} waived: the champion has expired"
        conditions.append(Condition("bound", holds=True, message=message, numbers={"upper_bound": upper}))
    elif upper is None:
        message = f"{bound} unknown: {n} hours are fewer than two blocks"
        conditions.append(Condition("bound", None, message, {"upper_bound": None}))
    else:
        message = f"{bound} {upper:+.4f} ({rules.level:.0%}), limit {rules.max_upper:+.3f}"
        conditions.append(Condition("bound", upper <= rules.max_upper, message, {"upper_bound": upper}))
    return conditions


@dataclass(frozen=True, slots=True)
class Regret:
    """Evidence that the champion before forecasts better than the one that took its place.

    Attributes
    ----------
    n_hours : int
        Hours that both forecast after the promotion.
    mean : float
        Mean gain of the one before in Brier score.
    e_value : float
        The most that bets on it ever made of a stake of 1.
    """

    n_hours: int
    mean: float
    e_value: float

    def is_proven(self, rules: GateRules = RULES) -> bool:
        """Whether it is time to go back."""
        return self.e_value >= 1 / rules.alpha

    @property
    def words(self) -> str:
        """The numbers in a line."""
        return f"e-value {self.e_value:.1f} of {self.n_hours} hours, Brier score {self.mean:+.4f} better before"


def regret(hours: Ints, directions: Ints, champion: Floats, before: Floats, horizon: int) -> Regret:
    """Bets that the champion before is better, hour by hour; see `eprocess.superiority`.

    Parameters
    ----------
    hours : array of int, shape (n,)
        Hours since 1970, strictly ascending.
    directions : array of int, shape (n,)
    champion, before : array, shape (n,)
        Up-probabilities.
    horizon : int
    """
    if not len(hours):
        return Regret(0, 0.0, 1.0)
    gains = (champion - directions) ** 2 - (before - directions) ** 2
    highest = max(0.0, float(eprocess.superiority(gains, hours, horizon).max()))
    return Regret(len(hours), float(gains.mean()), float(np.exp(min(highest, 700.0))))
