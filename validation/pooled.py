"""Markdown of all symbols together: every score of every model and baseline, a horizon at a time."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final

import numpy as np

from crypto_platform.core import metrics, pooling, skill
from crypto_platform.core.bootstrap import Resample, block_length, interval
from crypto_platform.core.metrics import Metric
from crypto_platform.core.signals import ENSEMBLE, REGRESSOR
from validation import tables
from validation.runs import Run

Scores = Sequence[Metric]

DIRECTIONS: Final = {
    "accuracy [95 %]": ("accuracy", 4, True),
    "balanced": ("balanced_accuracy", 4, True),
    "log loss [95 %]": ("log_loss", 4, False),
    "Brier": ("brier", 4, False),
    "AUC [95 %]": ("auc", 3, False),
    "MCC": ("mcc", 3, False),
    "ECE": ("ece", 3, False),
    "slope": ("calibration_slope", 2, False),
    "gain in log loss [95 %]": ("log_loss_gain", 4, False),
    "gain in accuracy [95 %]": ("accuracy_gain", 4, True),
}
RETURNS: Final = {
    "right side [95 %]": ("directional_accuracy", 4, True),
    "MAE": ("mae", 5, False),
    "RMSE": ("rmse", 5, False),
    "R² against zero [95 %]": ("r2_against_zero", 4, False),
    "IC [95 %]": ("ic", 3, False),
    "gain in R² [95 %]": ("r2_gain", 4, False),
    "gain in accuracy [95 %]": ("accuracy_gain", 4, True),
}
_BASELINES: Final = (
    *(metrics.BASELINE_RATE, metrics.BASELINE_COIN, metrics.BASELINE_PERSISTENCE, metrics.BASELINE_UP),
    *(metrics.BASELINE_ZERO, metrics.BASELINE_MEAN),
)


def document(runs: Sequence[Run]) -> str:
    """Both tables of each horizon, and what was demonstrated by the symbols together."""
    scores = {
        horizon: pooling.evaluate([run.result for run in group], [run.truth for run in group], tables.SEED)
        for horizon, given in groupby(sorted(runs, key=lambda run: run.horizon), lambda run: run.horizon)
        for group in [list(given)]
    }
    adjusted = skill.adjusted(
        {
            ("all", model, horizon): found.value
            for horizon, mine in scores.items()
            for model in tables.MODELS
            if (found := metrics.pooled(mine, model, metrics.SKILL))
        }
    )
    parts = ["**All symbols together**"]
    for horizon, mine in scores.items():
        n = next(m.n for m in mine)
        hours = len({hour for run in runs if run.horizon == horizon for hour in run.truth.hours[run.result.rows]})
        ups = metrics.pooled(mine, ENSEMBLE, "base_rate")
        parts += [
            f"{horizon} h ahead: {n:,} forecasts of {hours:,} hours; the price went up after {ups.value:.1%} of them.",
            _table(mine, DIRECTIONS, lambda name, h=horizon: adjusted.get(("all", name, h)), of_returns=False),
            _table(mine, RETURNS, lambda name, h=horizon: adjusted.get(("all", name, h)), of_returns=True),
            _reversal([run for run in runs if run.horizon == horizon]),
        ]
    shown = [f"{model} {h} h" for (_, model, h), p in adjusted.items() if p <= skill.ALPHA]
    parts.append(
        f"**Skill of the symbols together**, over {len(adjusted)} (model, horizon), which are a family of tests of "
        f"their own: demonstrated by {', '.join(shown) or 'none'}. Intervals and p-values are of hours: one is drawn "
        "with all forecasts made in it, as coins move together."
    )
    return "\n\n".join(parts)


def _reversal(runs: Sequence[Run]) -> str:
    """What is left of the ensemble's hits beside a rule of one line, which was not chosen before the data were seen."""
    horizon = runs[0].horizon
    cases = [metrics.case_of(run.result, run.truth) for run in runs]
    hours = np.concatenate([run.truth.hours[run.result.rows] for run in runs])
    clock, clusters = np.unique(hours, return_inverse=True)
    drawn = Resample.stationary(len(clock), block_length(horizon), tables.SEED)
    hits = np.concatenate(
        [
            np.column_stack(
                [
                    case.calls[metrics.BASELINE_PERSISTENCE] != case.truth,
                    (case.probabilities[ENSEMBLE] >= 0.5) == (case.truth == 1),
                ]
            )
            for case in cases
        ]
    ).astype(float)
    draws = Resample(drawn.weights, clusters).means(np.column_stack([hits[:, 0], hits[:, 1] - hits[:, 0]]))
    right, more = (
        tables.number(Metric("", "", 0, float(d[0]), len(hits), *(interval(d) or (None, None))), percent=True)
        for d in draws.T
    )
    return (
        f"The opposite of the last known direction, which needs no model, is right in {right}; the ensemble is right "
        f"in {more} more."
    )


def _table(
    mine: Scores,
    columns: dict[str, tuple[str, int, bool]],
    holm: Callable[[str], float | None],
    *,
    of_returns: bool,
) -> str:
    scored = {m.model_name for m in mine if m.metric_name == ("rmse" if of_returns else "accuracy")}
    if not of_returns:
        scored.add(metrics.BASELINE_COIN)
    rows = []
    for name in (*tables.MODELS, *_BASELINES):
        if name in scored and (name == REGRESSOR or name not in tables.MODELS or not of_returns):
            p = holm(name)
            cells = [_cell(metrics.pooled(mine, name, *key[:1]), title, key) for title, key in columns.items()]
            rows.append([name.replace("_", " "), *cells, "–" if p is None else f"{p:.3g}"])
    return tables.table(("", *columns, "Holm p"), rows)


def _cell(found: Metric | None, title: str, key: tuple[str, int, bool]) -> str:
    _, digits, percent = key
    if found is not None and "95 %" not in title:
        return f"{found.value:.{digits - 3}%}" if percent else f"{found.value:.{digits}f}"
    return tables.number(found, digits, percent=percent)
