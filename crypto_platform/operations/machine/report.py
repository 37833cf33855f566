"""The report of a simulation: Markdown, a page and JSON, with the same tables."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from crypto_platform.core.accuracy import Accuracy
from crypto_platform.core.hindsight import Alarms, Arm, Gain, Retrain
from crypto_platform.core.provenance import Provenance
from crypto_platform.operations.machine.evidence import Hindsight, SymbolDecisions
from crypto_platform.operations.page import UNKNOWN, environment, moment, number, percent
from crypto_platform.sources.fear_greed import ATTRIBUTION
from crypto_platform.storage.artifacts import write_atomically

NAME: Final = "simulation_report"
TEMPLATE: Final = "simulation_report.html.j2"
NEWEST: Final = 20  # retrains that a terminal shows


@dataclass(frozen=True, slots=True)
class TableOf:
    """A table of words.

    Parameters
    ----------
    title : str
    about : str
        What its numbers mean.
    columns : tuple of str
    rows : list of list of str
        The first cell of a row names it.
    """

    title: str
    about: str
    columns: tuple[str, ...]
    rows: list[list[str]]


def write(found: Hindsight, folder: Path) -> dict[str, Path]:
    """Write the report in each form, whole or not at all; the paths by their suffix."""
    texts = {
        "md": markdown(found),
        "html": page(found),
        "json": json.dumps(record(found), indent=1, allow_nan=False),
    }
    paths = {suffix: folder / f"{NAME}.{suffix}" for suffix in texts}
    for suffix, text in texts.items():
        write_atomically(paths[suffix], text.encode())
    return paths


def record(found: Hindsight) -> dict[str, Any]:
    """As plain JSON values."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(found), default=_plain, allow_nan=False))
    for said, retrain in zip(plain["retrains"], found.retrains, strict=True):
        said |= {"verdict": retrain.verdict, "is_false": retrain.is_false}
    return plain


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def markdown(found: Hindsight) -> str:
    """The whole report."""
    lines = [f"# Simulation, {moment(found.start)} to {moment(found.until)}", "", *_facts(found), ""]
    for table in tables(found):
        lines += [f"## {table.title}", "", table.about, ""]
        lines += ["| " + " | ".join(table.columns) + " |", "|" + " --- |" * len(table.columns)]
        lines += ["| " + " | ".join(row) + " |" for row in table.rows] or ["| none |" + " |" * (len(table.columns) - 1)]
        lines.append("")
    return "\n".join(lines) + f"{ATTRIBUTION}\n"


def page(found: Hindsight) -> str:
    """The whole report as HTML."""
    return (
        environment()
        .get_template(TEMPLATE)
        .render(found=found, facts=_facts(found), tables=tables(found), attribution=ATTRIBUTION)
    )


def _facts(found: Hindsight) -> list[str]:
    data = {
        Provenance.RECORDED: "RECORDED data: real history, lived through again.",
        Provenance.SIMULATED: "SIMULATED data: every price was generated, so nothing here is about a real market.",
    }
    said = [data[found.provenance]] if found.provenance in data else []
    horizons = ", ".join(f"{h} h" for h in found.horizons)
    about = (
        f"{', '.join(found.symbols)}; {horizons} ahead; the {found.policy} policy decided; at most "
        f"{found.train_days} days of rows to learn from; seed {found.seed}."
    )
    return [*said, about]


def tables(found: Hindsight) -> list[TableOf]:
    """All tables, the answer first."""
    return [_arms(found), _alarms(found), _decisions(found), _retrains(found.retrains), _changes(found)]


def _arms(found: Hindsight) -> TableOf:
    return TableOf(
        "Schedules on the same hours",
        "Each schedule refits the models at its own times and forecasts the hours that were served. All follow one "
        "recipe without validation, so their probabilities are not calibrated: *refit as operated* is the platform's "
        "own times by that recipe, which the others are compared with; *what was operated* was calibrated. The "
        "difference is the mean log loss less that of *refit as operated*, paired by symbol and hour; negative is "
        "better. Intervals are of a stationary block bootstrap over hours, 95 % of an accuracy, "
        f"{found.level:.2%} of a difference, so that all of them together hold at 95 %.",
        ("Schedule", "Ahead", "Fits", "Forecasts", "Accuracy", "Log loss", "Difference", "Verdict"),
        [_arm(arm) for arm in found.arms],
    )


def _arm(arm: Arm) -> list[str]:
    return [
        arm.name,
        f"{arm.horizon} h",
        str(arm.n_refits),
        str(arm.n),
        _between(percent(arm.accuracy), _ends(arm.lower, arm.upper)),
        number(arm.log_loss, 4),
        _between(_signed(arm.difference), _ends(arm.difference_lower, arm.difference_upper, _signed)),
        arm.verdict,
    ]


def _alarms(found: Hindsight) -> TableOf:
    return TableOf(
        "Alarms and false alarms",
        "An alarm is a training that accuracy or drift asked for, not age alone, whatever the gate said of its bundle. "
        "It is false where the model that served would have had no more log loss than the refit until the next one, a "
        "week at most. Where nothing can be gained about half are false, so look at the mean gain of a refit (above "
        "0 it helped) and its interval, over days with alarms. The policy that did not decide is judged by the refits "
        "its recorded verdicts ask for.",
        ("Policy", "Alarms", "Judged", "False", "Share", "Shown to help", "Shown to harm", "Mean gain"),
        [_alarm(alarms) for alarms in found.alarms],
    )


def _alarm(alarms: Alarms) -> list[str]:
    return [
        alarms.policy,
        *map(str, (alarms.n, alarms.n_judged, alarms.n_false)),
        _between(percent(alarms.share, 0), _ends(alarms.lower, alarms.upper, digits=0)),
        str(alarms.n_shown_useful),
        str(alarms.n_shown_harmful),
        _between(_signed(alarms.gain), _ends(alarms.gain_lower, alarms.gain_upper, _signed)),
    ]


def _decisions(found: Hindsight) -> TableOf:
    return TableOf(
        "Decisions",
        "Every six hours each series is judged. Causes count every decision at which a finding asked for training; "
        "held back are those that a cooldown, or trainings in vain, kept from it. *Other policy* counts the decisions "
        f"at which `{found.other}` had reasons to train.",
        ("Series", "Decisions", "Asked", "Held back", "Causes", "Other policy", "Trained", "Promoted", "Taken back"),
        [_decided(decided) for decided in found.decisions],
    )


def _decided(decided: SymbolDecisions) -> list[str]:
    return [
        f"{decided.symbol}, {decided.horizon} h",
        *map(str, (decided.n, decided.asked, decided.held_back)),
        ", ".join(f"{_words(name)} {n}" for name, n in decided.causes.items()) or "none",
        *map(str, (decided.other_asked, decided.trained, decided.promoted, decided.returned)),
    ]


def _retrains(retrains: Sequence[Retrain]) -> TableOf:
    return TableOf(
        "Before and after each retrain",
        "Accuracy of the served forecasts in the week before and the week after a new model began to serve, less where "
        "another change came sooner, with 95 % intervals (Wilson); and what the model it replaced would have had on "
        "the hours after. The gain is that model's log loss less the refit's, both without calibration.",
        ("Since, UTC", "Series", "Why", "Before", "After", "Replaced, after", "Gain", "Verdict"),
        [_retrain(retrain) for retrain in retrains],
    )


def _retrain(retrain: Retrain) -> list[str]:
    return [
        _since(datetime.fromisoformat(retrain.since)),
        f"{retrain.symbol}, {retrain.horizon} h",
        ", ".join(map(_words, retrain.causes)),
        *(_accuracy(accuracy) for accuracy in (retrain.before, retrain.after, retrain.kept)),
        _gain(retrain.gain),
        retrain.verdict,
    ]


def _changes(found: Hindsight) -> TableOf:
    return TableOf(
        "Champions",
        "Every change of the bundle that serves: who made it and why.",
        ("Since, UTC", "Series", "Version", "Before", "By", "Reason"),
        [
            [_since(c.at), f"{c.symbol}, {c.horizon} h", c.version, c.before or UNKNOWN, c.actor, c.reason]
            for c in found.changes
        ],
    )


def _words(name: str) -> str:
    return {
        "accuracy_holds": "accuracy",
        "features_have_not_drifted": "drift",
        "model_is_fresh": "age",
    }.get(name, name)


def _accuracy(accuracy: Accuracy) -> str:
    return _between(percent(accuracy.share), _ends(accuracy.lower, accuracy.upper)) if accuracy.n else UNKNOWN


def _gain(gain: Gain) -> str:
    return _between(_signed(gain.mean), _ends(gain.lower, gain.upper, _signed))


def _signed(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:+.4f}".replace("-", "−")


def _ends(lower: float | None, upper: float | None, word: Any = None, digits: int = 1) -> str:
    """An interval, of shares in percent where nothing else says how."""
    if lower is None or upper is None:
        return ""
    return ", ".join(word(end) if word else f"{100 * end:.{digits}f}" for end in (lower, upper))


def _since(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def _between(value: str, interval: str) -> str:
    return f"{value} [{interval}]" if interval else value
