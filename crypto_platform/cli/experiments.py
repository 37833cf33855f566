"""`crypto-platform experiments`: A/B tests, made, looked at and stopped; never changed."""

import json
from datetime import timedelta
from typing import Any

import typer

from crypto_platform.cli.shared import AsOf, Json, announce, console, ensure_home, moment, platform, show
from crypto_platform.core.experiments import LONGEST, METRICS, Experiment

app = typer.Typer(help="A/B experiments: create, list, show, stop.", no_args_is_help=True)
VARIANT = "a model of whichever bundle is champion, or VERSION/MODEL for one bundle"


def register(root: typer.Typer) -> None:
    """Add the command group."""
    root.add_typer(app, name="experiments")


@app.command()
def create(
    name: str,
    a: str = typer.Option("random_forest", "--a", help=f"Arm A: {VARIANT}."),
    b: str = typer.Option("gradient_boosting", "--b", help=f"Arm B: {VARIANT}."),
    horizon: int = typer.Option(1, help="Hours ahead that are compared."),
    metric: str = typer.Option(METRICS[0], help=f"Score that is compared: {' or '.join(METRICS)}."),
    days: float = typer.Option(LONGEST / timedelta(days=1), min=1, max=3650, help="Longest duration."),
    split: float = typer.Option(
        0.5,
        min=0,
        max=1,
        help="Share of hours that the recorded split gives to A; what is served stays the champion's.",
    ),
    alpha: float = typer.Option(0.05, min=0.0001, max=0.5, help="Error level."),
    now: str = AsOf,
    as_json: bool = Json,
) -> None:
    """Start an experiment now. It cannot be changed afterwards."""
    from crypto_platform.operations import experiments

    as_of = moment(now)
    with platform() as p:
        ensure_home(p.settings)
        made = experiments.create(
            p.store,
            Experiment(
                test_name=name,
                variant_a=a,
                variant_b=b,
                horizon=horizon,
                split=split,
                salt=name,
                alpha=alpha,
                publish=False,
                started_at=as_of,
                ends_at=as_of + timedelta(days=days),
                metric=metric,
            ),
        )
        _print([_summary(p, made, as_of)], as_json=as_json)


@app.command("list")
def list_experiments(now: str = AsOf, as_json: bool = Json) -> None:
    """All experiments, with what they say so far."""
    from crypto_platform.operations import experiments

    as_of = moment(now)
    with platform() as p:
        _print([_summary(p, e, as_of) for e in experiments.experiments(p.store)], as_json=as_json)


@app.command("show")
def show_experiment(name: str, now: str = AsOf, as_json: bool = Json) -> None:
    """Everything that one experiment says."""
    from crypto_platform.operations import experiments

    with platform() as p:
        summary = _summary(p, experiments.named(p.store, name), moment(now))
        if as_json:
            console.print_json(json.dumps(summary))
            return
        announce(p)
        show(name, ("what", "value"), [[key, _plain(value)] for key, value in summary.items()])


@app.command()
def stop(name: str, now: str = AsOf, as_json: bool = Json) -> None:
    """End an experiment before its time; later hours do not count."""
    from crypto_platform.operations import experiments

    as_of = moment(now)
    with platform() as p:
        _print([_summary(p, experiments.stop(p.store, name, as_of=as_of), as_of)], as_json=as_json)


def _summary(opened: Any, experiment: Experiment, as_of: Any) -> dict[str, Any]:
    from crypto_platform.operations.compare import paired_summary

    return paired_summary(opened.store, experiment, as_of)


def _print(summaries: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        console.print_json(json.dumps(summaries))
        return
    cells = [
        [
            s["test_name"],
            s["variant_a"],
            s["variant_b"],
            f"{s['horizon']} h",
            s["status"],
            s["n_hours"],
            None if s["mean_difference"] is None else f"{s['mean_difference']:+.2%}",
            f"[{s['lower']:+.2%}, {s['upper']:+.2%}]",
            s["verdict"],
        ]
        for s in summaries
    ]
    columns = ("experiment", "A", "B", "ahead", "status", "hours", "A - B", "confidence sequence", "verdict")
    show("Experiments", columns, cells)


def _plain(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value)
