"""What a training showed and what it did not, in plain words, as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from crypto_platform.core import metrics, skill
from crypto_platform.core.metrics import Metric
from crypto_platform.core.signals import CLASSIFIERS, ENSEMBLE, REGRESSOR
from crypto_platform.core.skill import Tested

MODELS: Final = (*CLASSIFIERS, ENSEMBLE, REGRESSOR)
BASELINES: Final = (
    metrics.BASELINE_RATE,
    metrics.BASELINE_COIN,
    metrics.BASELINE_PERSISTENCE,
    metrics.BASELINE_UP,
    metrics.BASELINE_ZERO,
    metrics.BASELINE_MEAN,
)
SHOWN_FEATURES: Final = 5


@dataclass(frozen=True, slots=True)
class Trained:
    """One bundle and its scores.

    Attributes
    ----------
    symbol, version : str
    horizon : int
    scores : sequence of Metric
        Pooled and holdout ones.
    calibrated : sequence of str
        Classifiers whose probabilities are calibrated.
    p0 : float or None
    important : mapping of str to float
        Features of the ensemble, the most important first; empty where it was not measured.
    gate : str
        What the gate said.
    """

    symbol: str
    version: str
    horizon: int
    scores: Sequence[Metric]
    calibrated: Sequence[str] = ()
    p0: float | None = None
    important: Mapping[str, float] = field(default_factory=dict)
    gate: str = ""


def adjusted(bundles: Sequence[Trained]) -> dict[Tested, float]:
    """Holm's p-value of every symbol, model and horizon of these bundles."""
    return skill.adjusted(
        {
            (bundle.symbol, model, bundle.horizon): found.value
            for bundle in bundles
            for model in MODELS
            if (found := metrics.pooled(bundle.scores, model, metrics.SKILL))
        }
    )


def statement(p_values: Mapping[Tested, float]) -> str:
    """The skill statement over all that was tested, in two sentences."""
    if not p_values:
        return "Nothing was tested."
    shown = [key for key, p in p_values.items() if skill.statement(p) == skill.DEMONSTRATED]
    counted = f"{len(p_values)} combinations of symbol, model and horizon were tested together (Holm, 5 %)."
    if not shown:
        return f"Skill over the best baseline: {skill.NOT_DEMONSTRATED}. {counted}"
    named = ", ".join(f"{symbol} {model} {horizon} h" for symbol, model, horizon in shown)
    return f"Skill over the best baseline: {skill.DEMONSTRATED} by {named}; by no other. {counted}"


def markdown(bundle: Trained, p_values: Mapping[Tested, float]) -> str:
    """Report of one bundle.

    Parameters
    ----------
    bundle : Trained
    p_values : mapping
        Of `adjusted`, over everything tested.
    """
    parts = [
        f"### {bundle.symbol}, {bundle.horizon} h ahead, bundle {bundle.version}",
        _words(bundle, p_values),
        _table(bundle, p_values),
        _holdout(bundle),
        "Calibrated: "
        + (", ".join(name.replace("_", " ") for name in bundle.calibrated) or "none; it lowered no later log loss")
        + ".",
    ]
    if bundle.gate:
        parts.append(f"Gate: {bundle.gate}.")
    if bundle.p0 is not None:
        parts.append(f"Accuracy below which it disappoints (p0): {bundle.p0:.1%}.")
    if bundle.important:
        first = list(bundle.important.items())[:SHOWN_FEATURES]
        named = ", ".join(f"{name} {1e3 * rise:+.1f}" for name, rise in first)
        parts.append(f"Most important features of the ensemble, out of sample (rise of the log loss × 1000): {named}.")
    return "\n\n".join(part for part in parts if part)


def _words(bundle: Trained, p_values: Mapping[Tested, float]) -> str:
    """What the ensemble showed."""
    accuracy = metrics.pooled(bundle.scores, ENSEMBLE, "accuracy")
    gain = metrics.pooled(bundle.scores, ENSEMBLE, "accuracy_gain")
    if accuracy is None or gain is None:
        return "It was not scored."
    p = p_values.get((bundle.symbol, ENSEMBLE, bundle.horizon), 1.0)
    said = (
        f"On {accuracy.n} hours it had not seen the ensemble was right {_number(accuracy, percent=True)} of the time, "
        f"{_number(gain, percent=True)} above the best baseline. Skill: **{skill.statement(p)}**"
    )
    if skill.statement(p) == skill.DEMONSTRATED:
        return f"{said} (Holm p {p:.2g}). That is of direction alone; whether it pays is a backtest's question."
    return f"{said} (Holm p {p:.2g}): this could be luck, and is to be read as no edge."


def _table(bundle: Trained, p_values: Mapping[Tested, float]) -> str:
    lines = ["| | accuracy | log loss | Brier | AUC | ECE | skill |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for name in (*MODELS, *BASELINES):
        scores = {m.metric_name: m for m in bundle.scores if m.fold == metrics.POOLED and m.model_name == name}
        accuracy = scores.get("accuracy") or scores.get("directional_accuracy")
        p = p_values.get((bundle.symbol, name, bundle.horizon))
        cells = [
            name.replace("_", " "),
            _number(accuracy, percent=True),
            *(_number(scores.get(metric)) for metric in ("log_loss", "brier", "auc", "ece")),
            "" if p is None else skill.statement(p),
        ]
        if any(scores):
            lines.append("| " + " | ".join(cells) + " |")
    ridge = metrics.pooled(bundle.scores, REGRESSOR, "r2_against_zero")
    rank = metrics.pooled(bundle.scores, REGRESSOR, "ic")
    below = f"Ridge regression: R² against zero {_number(ridge)}, rank correlation {_number(rank)}."
    return "\n".join(lines) + f"\n\n95 % intervals in brackets. {below}"


def _holdout(bundle: Trained) -> str:
    accuracy = metrics.pooled(bundle.scores, ENSEMBLE, "accuracy", metrics.HOLDOUT)
    loss = metrics.pooled(bundle.scores, ENSEMBLE, "log_loss", metrics.HOLDOUT)
    if accuracy is None or loss is None:
        return "No holdout: the history is shorter than 90 days, or has too few hours to learn from before it."
    return (
        f"Holdout, {accuracy.n} hours that validation left out: accuracy {_number(accuracy, percent=True)}, "
        f"log loss {_number(loss)}. Promotion is decided on the newest of them."
    )


def _number(found: Metric | None, *, percent: bool = False) -> str:
    if found is None:
        return ""
    form = ".1%" if percent else ".4f"
    if found.lower is None or found.upper is None:
        return f"{found.value:{form}}"
    return f"{found.value:{form}} [{found.lower:{form}}, {found.upper:{form}}]"
