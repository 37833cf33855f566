"""Markdown of the results; every score comes from the functions that score a training."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from crypto_platform.core import backtest, metrics, performance, skill
from crypto_platform.core.backtest import Backtest
from crypto_platform.core.metrics import Metric
from crypto_platform.core.panel import hours_since_1970
from crypto_platform.core.signals import CLASSIFIERS, ENSEMBLE, REGRESSOR, SignalRules
from validation.runs import Run

SEED: Final = 1
RULES: Final = SignalRules()
MODELS: Final = (*CLASSIFIERS, ENSEMBLE, REGRESSOR)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def evaluated(runs: Sequence[Run]) -> list[list[Metric]]:
    """Walk-forward and holdout scores of each run."""
    scores = []
    for run in runs:
        mine = metrics.evaluate(run.result, run.truth, SEED)
        if run.holdout is not None:
            mine += metrics.evaluate(run.holdout, run.truth, SEED, metrics.HOLDOUT)
        scores.append(mine)
    return scores


def statements(runs: Sequence[Run], scores: Sequence[Sequence[Metric]]) -> dict[tuple[int, str], float]:
    """Holm's p-value of each run and model, over all of them."""
    tested = {
        (str(i), model, run.horizon): found.value
        for i, (run, mine) in enumerate(zip(runs, scores, strict=True))
        for model in MODELS
        if (found := metrics.pooled(mine, model, metrics.SKILL))
    }
    return {(int(i), model): p for (i, model, _), p in skill.adjusted(tested).items()}


def number(found: Metric | None, digits: int = 4, *, percent: bool = False) -> str:
    """A value with its interval."""
    if found is None:
        return "–"
    form = f".{digits - 3}%" if percent else f".{digits}f"
    text = f"{found.value:{form}}"
    return text if found.lower is None else f"{text} [{found.lower:{form}}, {found.upper:{form}}]"


def planted(runs: Mapping[float, Sequence[Run]]) -> str:
    """Accuracy and skill at each strength."""
    everything = [run for group in runs.values() for run in group]
    strengths = [keeps for keeps, group in runs.items() for _ in group]
    scores = evaluated(everything)
    adjusted = statements(everything, scores)
    rows = [
        [
            f"{keeps:.0%}",
            str(len(run.result)),
            number(metrics.pooled(mine, ENSEMBLE, "accuracy"), percent=True),
            f"{max(keeps, 1 - keeps):.0%}",
            number(metrics.pooled(mine, metrics.BASELINE_PERSISTENCE, "accuracy"), percent=True),
            number(metrics.pooled(mine, ENSEMBLE, "log_loss_gain")),
            f"{adjusted[i, ENSEMBLE]:.3g}",
            _demonstrated(adjusted, i),
        ]
        for i, (keeps, run, mine) in enumerate(zip(strengths, everything, scores, strict=True))
    ]
    head = (
        *("goes on with", "hours", "accuracy [95 %]", "at best", "persistence [95 %]", "log-loss gain [95 %]"),
        *("Holm p", "demonstrated"),
    )
    return table(head, rows)


def noise(walks: Sequence[Run], shuffled: Sequence[Run]) -> str:
    """Accuracy and skill where there is nothing to find."""
    everything = [*walks, *shuffled]
    scores = evaluated(everything)
    adjusted = statements(everything, scores)
    rows = [
        [
            "random walk" if i < len(walks) else "shuffled labels",
            f"{run.horizon} h",
            str(len(run.result)),
            number(metrics.pooled(mine, ENSEMBLE, "accuracy"), percent=True),
            number(metrics.pooled(mine, ENSEMBLE, "log_loss_gain")),
            f"{metrics.pooled(mine, ENSEMBLE, metrics.SKILL).value:.3g}",
            _demonstrated(adjusted, i),
        ]
        for i, (run, mine) in enumerate(zip(everything, scores, strict=True))
    ]
    raw = [metrics.pooled(mine, model, metrics.SKILL).value for mine in scores for model in MODELS]
    below = int(np.sum(np.array(raw) <= skill.ALPHA))
    head = ("market", "horizon", "hours", "accuracy [95 %]", "log-loss gain [95 %]", "p alone", "demonstrated")
    return (
        table(head, rows) + f"\n\n{below} of {len(raw)} p-values of single models are at most {skill.ALPHA:g} by "
        f"themselves; after Holm {sum(p <= skill.ALPHA for p in adjusted.values())} are."
    )


def recorded(runs: Sequence[Run], candles: Mapping[str, pd.DataFrame]) -> str:
    """Scores beside baselines, the skill statement, and the backtest."""
    scores = evaluated(runs)
    adjusted = statements(runs, scores)
    head = ("", "accuracy [95 %]", "best baseline", "log loss [95 %]", "best baseline", "AUC [95 %]", "ECE")
    rows = [[f"{run.symbol} {run.horizon} h", *_classified(mine)] for run, mine in zip(runs, scores, strict=True)]
    parts = ["**The ensemble beside the best baseline of each score, walk-forward**", table(head, rows)]

    head = ("", *MODELS, "ensemble on the holdout")
    rows = [
        [
            f"{run.symbol} {run.horizon} h",
            *(_accuracy(mine, model, metrics.POOLED) for model in MODELS),
            _accuracy(mine, ENSEMBLE, metrics.HOLDOUT),
        ]
        for run, mine in zip(runs, scores, strict=True)
    ]
    parts += ["**Accuracy of each model**", table(head, rows)]

    head = (
        "",
        "gain in log loss [95 %]",
        "gain in accuracy [95 %]",
        "calibration slope",
        "ridge R² [95 %]",
        "ridge IC",
    )
    rows = [
        [
            f"{run.symbol} {run.horizon} h",
            number(metrics.pooled(mine, ENSEMBLE, "log_loss_gain")),
            number(metrics.pooled(mine, ENSEMBLE, "accuracy_gain"), percent=True),
            number(metrics.pooled(mine, ENSEMBLE, "calibration_slope"), 2),
            number(metrics.pooled(mine, REGRESSOR, "r2_against_zero")),
            number(metrics.pooled(mine, REGRESSOR, "ic"), 3),
        ]
        for run, mine in zip(runs, scores, strict=True)
    ]
    parts += ["**Gains over the best baseline, and the rest**", table(head, rows), _skill(runs, adjusted)]
    return "\n\n".join([*parts, "**Backtest after costs**", _backtests(runs, candles)])


def _classified(mine: Sequence[Metric]) -> list[str]:
    accuracy = [metrics.pooled(mine, b, "accuracy") for b in (metrics.BASELINE_RATE, metrics.BASELINE_PERSISTENCE)]
    accuracy.append(metrics.pooled(mine, metrics.BASELINE_UP, "accuracy"))
    losses = [metrics.pooled(mine, b, "log_loss") for b in (metrics.BASELINE_RATE, metrics.BASELINE_COIN)]
    return [
        number(metrics.pooled(mine, ENSEMBLE, "accuracy"), percent=True),
        f"{max(m.value for m in accuracy if m):.1%}",
        number(metrics.pooled(mine, ENSEMBLE, "log_loss")),
        f"{min(m.value for m in losses if m):.4f}",
        number(metrics.pooled(mine, ENSEMBLE, "auc"), 3),
        number(metrics.pooled(mine, ENSEMBLE, "ece"), 3),
    ]


def _accuracy(mine: Sequence[Metric], model: str, fold: int) -> str:
    name = "directional_accuracy" if model == REGRESSOR else "accuracy"
    found = metrics.pooled(mine, model, name, fold)
    return number(found, percent=True) if fold == metrics.HOLDOUT else f"{found.value:.1%}" if found else "–"


def _skill(runs: Sequence[Run], adjusted: Mapping[tuple[int, str], float]) -> str:
    shown = [(runs[i], model, p) for (i, model), p in adjusted.items() if skill.statement(p) == skill.DEMONSTRATED]
    smallest = min(adjusted.items(), key=lambda item: item[1])
    (i, model), p = smallest
    text = f"**Skill** over {len(adjusted)} (symbol, model, horizon): demonstrated by {len(shown)}, not by the others. "
    if shown:
        named = "; ".join(f"{run.symbol} {run.horizon} h {name} (p {value:.3g})" for run, name, value in shown)
        return f"{text}They are: {named}."
    return f"{text}The smallest Holm p-value is {p:.3g} ({runs[i].symbol} {runs[i].horizon} h, {model})."


def _demonstrated(adjusted: Mapping[tuple[int, str], float], run: int) -> str:
    shown = [model for model in MODELS if adjusted[run, model] <= skill.ALPHA]
    return ", ".join(name.replace("_", " ") for name in shown) or "none"


def _backtests(runs: Sequence[Run], candles: Mapping[str, pd.DataFrame]) -> str:
    """Each symbol and horizon at the default costs, then before the cost rule, then buy & hold."""
    kinds = (("signals", False), ("signals before costs", True))
    n_tried = len(kinds) * len(runs)
    rows = []
    for label, before_costs in kinds:
        for horizon in sorted({run.horizon for run in runs}):
            parts = [
                strategy(run, candles[run.symbol], before_costs=before_costs) for run in runs if run.horizon == horizon
            ]
            names = [run.symbol for run in runs if run.horizon == horizon]
            rows += [
                _row(f"{name} {horizon} h, {label}", p, horizon, n_tried) for name, p in zip(names, parts, strict=True)
            ]
            rows.append(_pooled_row(f"all five {horizon} h, {label}", parts, horizon))
    shortest = [run for run in runs if run.horizon == runs[0].horizon]
    rows += [
        _row(f"{run.symbol}, {backtest.BUY_AND_HOLD}", strategy(run, candles[run.symbol], hold=True), 1, 1)
        for run in shortest
    ]
    rows.append(["flat", "0.0%", "–", "–", "–", "0.0%", "0", "–", "0.00", "–", "–"])
    head = (
        *("", "return", "Sharpe [95 %]", "PSR", "DSR", "max drawdown", "trades", "hit rate", "turnover a day"),
        *("break-even, bps a side", "verdict"),
    )
    return table(head, rows) + (
        f"\n\n{RULES.fee_bps:g} bps fee and {RULES.slippage_bps:g} bps slippage a side, spot. "
        f"DSR: deflated for {n_tried} strategies. A Sharpe ratio near 0 has a standard error of "
        f"{performance.HOURS_A_YEAR**0.5 / len(np.unique(runs[0].truth.hours[runs[0].result.rows])) ** 0.5:.1f} over "
        "these hours."
    )


def strategy(run: Run, candles: pd.DataFrame, *, before_costs: bool = False, hold: bool = False) -> Backtest:
    """The ensemble's signals on a symbol's candles, or buy & hold over the same hours."""
    hours, opens = hours_since_1970(candles["timestamp"]), candles["open"].to_numpy(float)
    tested = run.truth.hours[run.result.rows]
    chosen = (hours >= tested[0]) & (hours <= tested[-1] + run.horizon + 1)
    hours, opens = hours[chosen], opens[chosen]
    if hold:
        return backtest.simulate(hours, opens, np.ones(len(hours)), backtest.one_side(RULES))
    calls = np.zeros(len(hours), dtype=np.int64)
    calls[np.searchsorted(hours, tested)] = backtest.calls_of(run.result, run.truth, RULES, before_costs=before_costs)
    return backtest.simulate(hours, opens, backtest.exposures(hours, calls, run.horizon), backtest.one_side(RULES))


def _row(label: str, tested: Backtest, horizon: int, n_tried: int) -> list[str]:
    p = performance.assess(tested, horizon, SEED, n_tried)
    if not p.trades:
        return [label, "0.0%", "–", "–", "–", "0.0%", "0", "–", "0.00", "–", "no trade"]
    return [
        label,
        f"{p.total_return:.1%}",
        f"{p.sharpe:.1f} [{p.sharpe_lower:.1f}, {p.sharpe_upper:.1f}]" if p.sharpe_lower is not None else "–",
        f"{p.probabilistic_sharpe:.2f}",
        f"{p.deflated_sharpe:.2f}",
        f"{p.max_drawdown:.1%} in {p.drawdown_hours} h",
        str(p.trades),
        f"{p.hit_rate:.0%}",
        f"{p.turnover:.2f}",
        f"{p.break_even_bps:.1f}",
        p.verdict,
    ]


def _pooled_row(label: str, parts: list[Backtest], horizon: int) -> list[str]:
    net = backtest.together(parts)
    ratio, lower, upper = performance.sharpe_interval(net, horizon, SEED)
    total = float(np.prod(1 + net) - 1)
    fall, length = performance.drawdown(np.r_[1.0, np.cumprod(1 + net)])
    shown = f"{ratio:.1f} [{lower:.1f}, {upper:.1f}]" if lower is not None else "–"
    return [label, f"{total:.1%}", shown, "–", "–", f"{fall:.1%} in {length} h", *["–"] * 5]
