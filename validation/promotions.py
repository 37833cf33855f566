"""Whom the gate lets through, and whose promotion is taken back: candidates and champions of known worth."""

from typing import Final

import numpy as np

from crypto_platform.core.promotion import Outcome, Trial, judge, regret
from validation.decisions import SEED, share, table

COMMAND: Final = "python -m validation promotions"
RUNS: Final = 400
SKILL: Final = 0.3  # SD of the log odds that can be known
NOISE: Final = 0.15  # SD of the log odds that two sound models of one recipe have apart
# name, share of what can be known that it knows, SD of the log odds of what it makes up
KINDS: Final = (
    ("equal: knows as much as the champion, errs elsewhere", 1.0, NOISE),
    ("better: the champion's errors halved", 1.0, NOISE / 2),
    ("blind, and knows it", 0.05, 0.02),
    ("too sure: log odds made up, SD 0.3", 0.0, 0.3),
    ("too sure: SD 0.5", 0.0, 0.5),
    ("too sure: SD 0.8", 0.0, 0.8),
    ("too sure: SD 1.2", 0.0, 1.2),
    ("turned around", -1.0, NOISE),
)


def run() -> str:
    """The section, as Markdown."""
    rng = np.random.default_rng(SEED)
    head = [
        "## Promotions",
        "",
        f"Made by `{COMMAND}`. {RUNS} candidates of each kind, tried on 168 hours beside a champion that knows",
        f"what can be known (SD of the log odds {SKILL:g}) but for errors of SD {NOISE:g}, or alone,",
        f"there and on a coin's market: share that is promoted. And {RUNS} promotions of each kind in place of that",
        "champion, both followed for 72 hours: share that is taken back.",
        "",
    ]
    columns = ("candidate", "promoted", "promoted, no champion", "promoted, coin market", "taken back in 72 h")
    rows = []
    for name, knows, errs in KINDS:
        beside = [_promoted(rng, SKILL, knows, errs, alone=False) for _ in range(RUNS)]
        alone = [_promoted(rng, SKILL, knows, errs, alone=True) for _ in range(RUNS)]
        coin = [_promoted(rng, 0.0, knows, errs, alone=True) for _ in range(RUNS)]
        back = [_taken_back(rng, knows, errs) for _ in range(RUNS)]
        rows.append((name, share(beside), share(alone), share(coin), share(back)))
    return "\n".join([*head, *table(columns, rows)])


def _expit(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def _hours(
    rng: np.random.Generator, n: int, skill: float, knows: float, errs: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions, and the probabilities of candidate and champion."""
    odds = skill * rng.normal(size=n)
    directions = (rng.random(n) < _expit(odds)).astype(np.int64)
    candidate = _expit(knows * odds + errs * rng.normal(size=n))
    return directions, candidate, _expit(odds + NOISE * rng.normal(size=n))


def _promoted(rng: np.random.Generator, skill: float, knows: float, errs: float, *, alone: bool) -> bool:
    directions, candidate, champion = _hours(rng, 168, skill, knows, errs)
    trial = Trial(np.arange(168), directions, candidate, np.full(168, 0.5), 1)
    return judge(trial, None if alone else champion).outcome is Outcome.PROMOTED


def _taken_back(rng: np.random.Generator, knows: float, errs: float) -> bool:
    directions, promoted, before = _hours(rng, 72, SKILL, knows, errs)
    return regret(np.arange(72), directions, promoted, before, 1).is_proven()
