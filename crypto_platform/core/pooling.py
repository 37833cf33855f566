"""Scores of several symbols together: as of one model, with intervals that know how symbols move together."""

from collections.abc import Sequence

import numpy as np

from crypto_platform.core import metrics
from crypto_platform.core.bootstrap import Resample, block_length, hac_lag
from crypto_platform.core.estimators import TrainingSet
from crypto_platform.core.metrics import Case, Metric
from crypto_platform.core.validation import OutOfSample


def evaluate(results: Sequence[OutOfSample], rows: Sequence[TrainingSet], seed: int) -> list[Metric]:
    """Scores of all rows of all symbols, each row counting alike.

    Parameters
    ----------
    results : sequence of OutOfSample
        One a symbol, of walk-forward folds.
    rows : sequence of TrainingSet
        The whole one of each, all of one horizon.
    seed : int
        Of the bootstrap.

    Returns
    -------
    list of Metric
        As `metrics.evaluate` gives them, without folds. What is drawn, and what p-values are of, are hours with all
        that was forecast in them: five coins that fall together are one observation, not five. `n` counts forecasts.

    Raises
    ------
    ValueError
        The horizons differ.
    """
    horizons = {part.horizon for part in rows}
    if len(horizons) != 1:
        raise ValueError(f"horizons {sorted(horizons)} cannot be scored together; pool those of one horizon")
    (horizon,) = horizons
    hours = np.concatenate([part.hours[result.rows] for result, part in zip(results, rows, strict=True)])
    clock, clusters = np.unique(hours, return_inverse=True)
    case = _joined([metrics.case_of(result, part) for result, part in zip(results, rows, strict=True)])
    drawn = Resample.stationary(len(clock), block_length(horizon), seed)
    resample = Resample(drawn.weights, clusters)
    return metrics.scored(case, np.arange(len(hours)), resample, metrics.POOLED) + metrics.gains(
        case, resample, hac_lag(horizon), metrics.POOLED
    )


def _joined(cases: Sequence[Case]) -> Case:
    first = cases[0]
    return Case(
        truth=np.concatenate([case.truth for case in cases]),
        realized=np.concatenate([case.realized for case in cases]),
        probabilities={n: np.concatenate([case.probabilities[n] for case in cases]) for n in first.probabilities},
        calls={n: np.concatenate([case.calls[n] for case in cases]) for n in first.calls},
        returns={n: np.concatenate([case.returns[n] for case in cases]) for n in first.returns},
    )
