"""`python -m validation science`: planted signal is found, noise is not, and what recorded history says.

Every walk-forward run is kept under HOME and computed once; what is asked for again is only scored again.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from crypto_platform.core.estimators import ModelParameters
from crypto_platform.tables.features import HORIZONS
from validation import pooled, tables, worlds
from validation.runs import Run, validated

RUNS: Final = Path(os.environ.get("CRYPTO_PLATFORM_HOME", ".crypto_platform")) / "validation"
DATA: Final = "CRYPTO_PLATFORM_TEST_DATA"
SYMBOLS: Final = ("BTC", "ETH", "ADA", "SOL", "DOT")
YEAR: Final = 365  # days
THREE_YEARS: Final = 3 * YEAR
# Probability that the next direction is that of the hour before. Where it goes on, persistence is the best forecast
# there is, and no model can beat that baseline; where it turns, persistence is wrong and a model has to find it.
KEEPS: Final = (0.3, 0.4, 0.45, 0.52, 0.55, 0.6, 0.7)
PLANTED_SEEDS: Final = (1, 2)
NOISE_SEEDS: Final = (11, 12, 13, 14)
PARAMETERS: Final = ModelParameters()


def planted() -> str:
    """A direction that goes on with some probability, one hour ahead."""
    runs = {
        keeps: [
            _run(
                f"planted-{keeps:.2f}",
                seed,
                1,
                lambda k=keeps, s=seed: worlds.labeled(worlds.planted_features(k, s), 1),
            )
            for seed in PLANTED_SEEDS
        ]
        for keeps in KEEPS
    }
    return tables.planted(runs)


def noise() -> str:
    """Random walks at every horizon, and a planted signal whose labels were shuffled."""
    walks = [
        _run("walk", seed, h, lambda s=seed, h=h: worlds.labeled(worlds.planted_features(0.5, s), h))
        for h in HORIZONS
        for seed in NOISE_SEEDS
    ]
    shuffled = [
        _run(
            "shuffled",
            seed,
            1,
            lambda s=seed: worlds.shuffled(worlds.labeled(worlds.planted_features(KEEPS[-1], s), 1), s),
        )
        for seed in PLANTED_SEEDS
    ]
    return tables.noise(walks, shuffled)


def year() -> str:
    """Five symbols, the last year of the recorded history, every horizon."""
    return _recorded("year", YEAR, HORIZONS)


def three_years() -> str:
    """Five symbols, the last three years of the recorded history, one hour ahead: three horizons would take hours."""
    return _recorded("3years", THREE_YEARS, (1,))


def _recorded(name: str, days: int, horizons: Sequence[int]) -> str:
    candles = {symbol: worlds.recorded_candles(recorded_folder(), symbol) for symbol in SYMBOLS}
    runs = recorded_runs(name, days, horizons)
    return "\n\n".join([pooled.document(runs), tables.recorded(runs, candles)])


def recorded_runs(name: str, days: int, horizons: Sequence[int]) -> list[Run]:
    """The last `days` of the recorded history, each symbol and horizon."""
    folder = recorded_folder()
    return [
        validated(
            RUNS,
            name,
            symbol,
            h,
            lambda s=symbol, h=h: worlds.labeled(worlds.recorded_features(folder, s, days), h),
            PARAMETERS,
        )
        for h in horizons
        for symbol in SYMBOLS
    ]


def recorded_folder() -> Path:
    """Folder of the recorded history.

    Raises
    ------
    SystemExit
        The variable is not set.
    """
    if DATA not in os.environ:
        raise SystemExit(f"set {DATA} to the folder of the recorded history (CONTRIBUTING.md, Tests)")
    return Path(os.environ[DATA])


def _run(name: str, seed: int, horizon: int, make: worlds.Make) -> Run:
    return validated(RUNS, name, f"seed{seed}", horizon, make, replace(PARAMETERS, seed=PARAMETERS.seed + seed))
