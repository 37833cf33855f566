"""The model card: what a person should know of a bundle before trusting it, as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from crypto_platform.core.promotion import words_of

TOP_FEATURES: Final = 10
LIMITS: Final = """\
- It knows one symbol and one horizon, and the hours named above. It has no opinion of rows that lack a feature.
- The scores are out of sample, of models that learned the same way on earlier windows. The bundle itself was fitted on
  the newest window afterwards, and has no score of its own until its forecasts are settled.
- Hours are dependent: read the intervals, not the values. One that holds the baseline's value shows nothing.
- Past hours say little about a changed market. From a set age on its signal is HOLD.
- Nothing here is advice to buy or sell.
"""


@dataclass(frozen=True, slots=True)
class Score:
    """A pooled out-of-sample score; the interval is None where none is defined."""

    model: str
    metric: str
    value: float
    interval: tuple[float, float] | None
    n: int


@dataclass(frozen=True, slots=True)
class Card:
    """What a card is made of.

    Parameters
    ----------
    importance : mapping of str to mapping of str to float
        Importance of each feature for each model, where it was measured.
    refused : str or None
        Why the bundle's files cannot be used, where they cannot.
    gates : sequence of tuple
        What the gate said, as (trial, record): of its training, and of its time in the shadow where there was one.
    """

    symbol: str
    horizon: int
    version: str
    sha256: str
    trained_at: datetime
    train_start: datetime
    train_end: datetime
    n_rows: int
    feature_set: str
    feature_set_hash: str
    data_hash: str
    features: Sequence[str]
    parameters: Mapping[str, Any]
    libraries: Mapping[str, str]
    scores: Sequence[Score]
    importance: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    refused: str | None = None
    gates: Sequence[tuple[str, Mapping[str, Any]]] = ()


def render(card: Card) -> str:
    """Markdown of a card; equal cards give equal text."""
    lines = [
        f"# {card.symbol}, {card.horizon} h ahead: bundle {card.version}",
        "",
        *([f"**Refused:** {card.refused}", ""] if card.refused else []),
        *_table(
            ("", ""),
            [
                ("Trained at", f"{_minute(card.trained_at)}, on nothing known later"),
                ("Fitted on candles", f"{_minute(card.train_start)} to {_minute(card.train_end)}, {card.n_rows} rows"),
                ("Feature set", f"{card.feature_set} (`{card.feature_set_hash}`), {len(card.features)} features"),
                ("Training rows, SHA-256", f"`{card.data_hash}`"),
                ("Bundle, SHA-256", f"`{card.sha256}`"),
                ("Libraries", ", ".join(f"{name} {held}" for name, held in sorted(card.libraries.items()))),
                ("Parameters", ", ".join(f"{name} {value}" for name, value in sorted(card.parameters.items()))),
            ],
        ),
        "",
        "## Scores, walk-forward, all folds together",
        "",
        *_table(
            ("model", "metric", "value", "95 % interval", "hours"),
            [(s.model, s.metric, f"{s.value:.4f}", _interval(s.interval), str(s.n)) for s in card.scores],
        ),
        "",
        *(line for trial, gate in card.gates for line in _gate(trial, gate)),
        *_importance(card.importance),
        "## Limits",
        "",
        LIMITS,
    ]
    return "\n".join(lines)


def _gate(trial: str, gate: Mapping[str, Any]) -> list[str]:
    marks = {True: "holds", False: "fails", None: "unknown"}
    rows = [
        (name.replace("_", " "), marks[condition["holds"]], condition["message"])
        for name, condition in gate["conditions"].items()
    ]
    words = f"{words_of(gate)}; {gate['hours']} hours."
    return [f"## Gate, {trial}", "", words, "", *_table(("condition", "", "numbers and limits"), rows), ""]


def _importance(importance: Mapping[str, Mapping[str, float]]) -> list[str]:
    if not importance:
        return []
    rows = []
    for model, values in sorted(importance.items()):
        first = sorted(values.items(), key=lambda item: (-item[1], item[0]))[:TOP_FEATURES]
        rows.append((model, ", ".join(f"{name} {value:.4f}" for name, value in first)))
    head = f"## Importance of features, the first {TOP_FEATURES}"
    return [head, "", *_table(("model", "features"), rows), ""]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _interval(ends: tuple[float, float] | None) -> str:
    return "–" if ends is None else f"[{ends[0]:.4f}, {ends[1]:.4f}]"


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
