"""`crypto-platform demo`: a market flowing through the whole asset graph to a report."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import typer

from crypto_platform import settings as configuration
from crypto_platform.cli.market import DAYS, Choice, DataFolder, Edge, Live, Seed, served
from crypto_platform.cli.shared import AsOf, announce, console, ensure_home, moment
from crypto_platform.core.hours import HOUR, floor_hour

TRAIN_DAYS = 30
WALK = timedelta(days=7)  # hours before now that are forecast by models which knew none of them


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    data: Path = DataFolder,
    live: bool = Live,
    days: int = typer.Option(DAYS, min=60, max=3_650, help="Days of candles; training always uses 30."),
    now: str = AsOf,
    seed: int = Seed,
    edge: float = Edge,
) -> None:
    """Run the whole graph, offline on a simulated market, and end with a summary and a report."""
    from crypto_platform.cli.stage import Stage
    from crypto_platform.cli.summary import print_summary
    from crypto_platform.defs.resources import Platform, SimulatedClock

    as_of = moment(now)
    choice = Choice(data=data, live=live, seed=seed, edge=edge, days=days)
    base = configuration.load()
    home = choice.home(base.home / "demo", as_of)
    common = {"home": home, "history_days": days, "train_days": TRAIN_DAYS}
    settings = configuration.load(**common)
    ensure_home(settings)
    started = time.monotonic()
    with served(choice, settings, as_of, speed=0 if now else 1) as (overrides, title):
        console.print(f"[bold]crypto-platform demo[/] on {title}, as of {as_of:%Y-%m-%d %H:%M} UTC")
        settings = configuration.load(**common, **overrides)
        platform = Platform(settings, SimulatedClock(as_of))
        stage = Stage(platform)
        try:
            _run(stage, platform, as_of)
            console.print()
            announce(platform)
            print_summary(platform, as_of)
        finally:
            stage.close()
            platform.close()
    console.print(
        f"\nDone in {time.monotonic() - started:.0f} s. Look around in the UI: `make dev{choice.arguments()}`."
    )


def _run(stage: Any, platform: Any, as_of: datetime) -> None:
    """The main job: what the schedules would have done, with training a week ago and now."""
    from crypto_platform.defs import jobs
    from crypto_platform.defs.partitions import contiguous
    from crypto_platform.operations import decide

    symbols = [symbol.name for symbol in platform.settings.followed]
    whole = _history(platform.settings.history_days)
    a_week_ago = floor_hour(as_of - WALK)
    present, past = as_of.isoformat(), (a_week_ago + HOUR / 12).isoformat()
    steps: list[tuple[str, Callable[[], None]]] = [
        (
            "collect candles, snapshots, sentiment",
            lambda: stage.run(jobs.COLLECT, symbols, present, whole),
        ),
        ("build features and labels", lambda: stage.materialize("features", symbols, present)),
        ("train on what was known a week ago", lambda: stage.run(jobs.TRAIN, symbols, past, _training("demo"))),
        (
            "forecast the week hour by hour, score it",
            lambda: stage.run(
                jobs.HOURLY, symbols, present, {"ops": {"predictions": {"config": {"since": a_week_ago.isoformat()}}}}
            ),
        ),
        ("compare the arms of the experiment", lambda: stage.run(jobs.EXPERIMENT, symbols, present)),
        ("decide who is retrained", lambda: stage.run(jobs.RETRAIN_DECISION, symbols, present)),
    ]
    for name, step in steps:
        with _progress(name):
            step()
    verdicts = decide.judge(
        platform.store,
        symbols,
        as_of=as_of,
        horizons=platform.settings.horizons,
        rules=platform.rules,
        feature_set=platform.settings.feature_set,
    )
    flagged = [s for s in symbols if any(v.decision.should_retrain for (name, _), v in verdicts.items() if name == s)]
    if flagged:
        with _progress(f"retrain {len(flagged)} of {len(symbols)}, as the sensor would"):
            for part in contiguous(flagged, symbols):
                stage.run(jobs.TRAIN, part, present, _training("retrain decision"))
    with _progress("measure and write the report"):
        stage.run(jobs.REPORT, [], present)


def _training(reason: str) -> dict[str, Any]:
    return {"ops": {"models": {"config": {"reason": reason, "only_due": reason == "demo"}}}}


def _history(days: int) -> dict[str, Any]:
    return {"ops": {"ohlcv_data": {"config": {"days": days}}}}


@contextmanager
def _progress(name: str) -> Iterator[None]:
    """One line a step, with its time."""
    started = time.monotonic()
    with console.status(f"{name} …"):
        yield
    console.print(f"  [green]✓[/] {name:<48} {time.monotonic() - started:6.1f} s")
