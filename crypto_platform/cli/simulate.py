"""`crypto-platform simulate`: the platform operated hour by hour over past months, decisions included."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import typer

from crypto_platform import __version__
from crypto_platform import settings as configuration
from crypto_platform.cli.market import DataFolder, Seed, url_settings
from crypto_platform.cli.shared import Json, banner, chosen, console, ensure_home, moment, show
from crypto_platform.errors import ConfigurationError
from crypto_platform.settings import Settings

FOLDER: Final = "simulations"  # under HOME; each simulation is a home of its own in it
# What decides what is stored and decided. Where the data comes from is the market's part of the identity.
DECIDING: Final = (
    "horizons", "train_days", "history_days", "training", "expiry_days", "bundle_days", "settle_minutes", "seed",
    "buy_threshold", "sell_threshold", "agreement_threshold", "fee_bps", "slippage_bps", "retrain_policy",
    "cusum_threshold", "drift_limit", "retrain_after_days", "cooldown_hours",
)  # fmt: skip
WARM_UP: Final = timedelta(days=14)

Names = typer.Argument(None, help="Symbols; all followed ones without any.")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulate)


@dataclass(frozen=True, slots=True)
class Market:
    """The history that is lived through again."""

    data: Path | None
    seed: int

    @property
    def name(self) -> str:
        """Of the simulation's folder."""
        return f"recorded-{self.data.resolve().name}" if self.data else f"simulated-{self.seed}"

    def identity(self, names: Sequence[str]) -> str:
        """The name, and of a recorded one what its files hold of these symbols: folders may be called alike."""
        from crypto_platform.replay.recorded import digest

        return f"{self.name}-{digest(self.data, names)[:12]}" if self.data else self.name

    def history(self, names: Sequence[str], start: datetime, settings: Settings) -> Any:
        """The history; a simulated one begins on a Monday before anything is loaded, wherever the simulation ends."""
        from crypto_platform.replay.recorded import RecordedHistory
        from crypto_platform.replay.scenario import Scenario
        from crypto_platform.replay.simulated import SimulatedMarket

        if self.data:
            return RecordedHistory(self.data)
        first = (start - timedelta(days=settings.history_days) - 3 * WARM_UP).replace(hour=0)
        return SimulatedMarket(Scenario(self.seed, first - timedelta(days=first.weekday()), tuple(names)))


def simulate(
    names: list[str] = Names,
    start: str = typer.Option(
        ..., "--from", help="First hour, an ISO date or time in UTC; what is before it is known."
    ),
    until: str = typer.Option(..., "--to", help="End, likewise; a later one goes on where an earlier one stopped."),
    data: Path = DataFolder,
    seed: int = Seed,
    policy: str = typer.Option(None, "--policy", help="Who decides on retraining: calibrated or classic."),
    horizon: list[int] = typer.Option(None, "--horizon", help="Hours ahead, 1, 3 or 7; give it again for several."),
    train_days: int = typer.Option(None, "--train-days", min=15, help="Days of rows a training may use."),
    every_tick: bool = typer.Option(
        False, "--every-tick", help="Every tick of the timetable, snapshots included: the same decisions, slowly."
    ),
    arms: bool = typer.Option(
        True, "--arms/--no-arms", help="Compare with other schedules of refitting afterwards, and write the report."
    ),
    home: Path = typer.Option(None, "--home", help="Folder of the simulation's own store; one under HOME without it."),
    workers: int = typer.Option(None, "--workers", min=1, help="Processes that share trainings and drift."),
    as_json: bool = Json,
) -> None:
    """Operate the platform over past months as its schedules would have: collect, forecast, score, decide, retrain.

    The history before --from is loaded first; from then on nothing is known before it was published. Everything lies
    in a store of its own under HOME/simulations, which `verify`, `models`, `experiments` and `report` can look into
    with CRYPTO_PLATFORM_HOME set to it. A run that was stopped, by whatever, goes on where it was.
    """
    first, last = _hour(start, "--from"), _hour(until, "--to")
    if first >= last:
        raise ConfigurationError(f"--from {start} is not before --to {until}")
    market = Market(data, seed)
    settings = _settings(names or [], policy, horizon, train_days, workers)
    every_tick = every_tick or settings.feature_set.has("snapshots")  # a feature reads each quarter hour's
    identity = _identity(settings, market, first, every_tick=every_tick)
    folder = home or settings.home / FOLDER / _folder(market, first, identity)
    settings = settings.model_copy(update={"home": folder})  # with the symbols of the home it was called in
    with _served(market, settings, first, last) as (deployment, history):
        from crypto_platform.operations.machine import evidence, report, run

        journey = run.Journey(first, last, every_tick, identity)
        if not as_json:
            span = f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
            console.print(f"[bold]crypto-platform simulate[/] {span} on {history.title}")
            if line := banner(history.provenance):
                console.print(line)
            console.print(f"store: {folder}")
        with _progress("hours", quiet=as_json) as progress:
            run.operate(deployment, journey, progress)
        if not arms:
            if not as_json:
                console.print("Operated. Without --no-arms the same command compares schedules and writes the report.")
            return
        with _progress("fits", quiet=as_json) as progress:
            found = evidence.gather(
                deployment, folder, lambda done, total: progress(done, total, None, "other schedules")
            )
        paths = report.write(found, settings.reports_folder)
        if as_json:
            console.print_json(json.dumps(report.record(found)))
            return
        _summarize(found)
        console.print(f"\nReport: {paths['html']} ({paths['md'].name} beside it says the same)")


def _summarize(found: Any) -> None:
    """The tables, the newest retrains only."""
    from crypto_platform.operations.machine import report

    for table in report.tables(found)[:-1]:
        console.print()
        rows = table.rows[-report.NEWEST :]
        show(table.title if len(rows) == len(table.rows) else f"{table.title} (the newest)", table.columns, rows)


def _hour(text: str, option: str) -> datetime:
    """A full hour from an ISO date or time; one without a zone is UTC.

    Raises
    ------
    ConfigurationError
        It is neither.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{option} {text!r} is no ISO date or time; write it like 2022-05-01") from error
    at = moment(f"{text}T00:00:00+00:00" if len(text) <= 10 else text if parsed.tzinfo else f"{text}+00:00")
    if at != at.replace(minute=0, second=0, microsecond=0):
        raise ConfigurationError(f"{option} {text!r} is no full hour; candles begin at full hours")
    return at


def _settings(
    names: Sequence[str],
    policy: str | None,
    horizons: Sequence[int] | None,
    train_days: int | None,
    workers: int | None,
) -> Settings:
    """Settings of the simulated deployment; whatever the environment says of stores and vendors is not its business."""
    given = {
        "retrain_policy": policy,
        "horizons": tuple(horizons) if horizons else None,
        "train_days": train_days,
        "workers": workers,
    }
    asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    settings = configuration.load(**asked, database_url=None, artifacts_url=None)
    needed = settings.train_days + WARM_UP.days + 1
    if settings.history_days < needed:
        asked["history_days"] = needed
    symbols = tuple(chosen(settings, names)) if not settings.symbols or names else settings.symbols
    return configuration.load(**asked, symbols=symbols, database_url=None, artifacts_url=None)


def _identity(settings: Settings, market: Market, start: datetime, *, every_tick: bool) -> dict[str, Any]:
    """What a simulation's result depends on, beside where it ends."""
    decided = {name: getattr(settings, name) for name in DECIDING}
    names = [symbol.name for symbol in settings.followed]
    return {
        **{name: list(value) if isinstance(value, tuple) else value for name, value in decided.items()},
        "version": __version__,
        "market": market.identity(names),
        "from": start.isoformat(),
        "symbols": names,
        "feature_set": settings.feature_set.hash,
        "every_tick": every_tick,
    }


def _folder(market: Market, start: datetime, identity: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    return f"{market.name}-{start:%Y%m%d}-{identity['retrain_policy']}-{digest}"


@contextmanager
def _served(market: Market, settings: Settings, start: datetime, until: datetime) -> Iterator[tuple[Any, Any]]:
    """The deployment, its market served as the upstream APIs by a server in this process; and the history."""
    from crypto_platform.defs.resources import Platform, SimulatedClock
    from crypto_platform.operations.machine.ticks import Deployment
    from crypto_platform.replay.clock import ReplayClock
    from crypto_platform.replay.server import build_app, running_server

    names = [symbol.name for symbol in settings.followed]
    history = market.history(names, start, settings)
    _require_history(history, settings, start, until)
    ensure_home(settings)
    clock = ReplayClock(start, speed=0)
    with running_server(build_app(history, clock, book=settings.book)) as url:
        served = settings.model_copy(update=url_settings(url))
        platform = Platform(served, SimulatedClock(start))
        try:
            yield (
                Deployment(
                    store=platform.store,
                    artifacts=platform.artifacts,
                    candle_sources=platform.candle_sources,
                    snapshot_source=platform.snapshot_source,
                    sentiment_source=platform.sentiment_source,
                    set_clock=clock.set,
                    settings=served,
                    parameters=platform.parameters,
                    rules=platform.rules,
                    workers=platform.workers,
                ),
                history,
            )
        finally:
            platform.close()


def _require_history(history: Any, settings: Settings, start: datetime, until: datetime) -> None:
    """Refuse symbols without candles where the simulation begins, and an end after the history's.

    Raises
    ------
    ConfigurationError
        Naming them.
    """
    names = [symbol.name for symbol in settings.followed]
    if missing := [name for name in names if name not in history.symbols]:
        raise ConfigurationError(
            f"{history.title} holds no {', '.join(missing)}; choose of {', '.join(history.symbols)}"
        )
    needed = start - 2 * WARM_UP
    if young := [name for name in names if history.candles(name, needed, needed + WARM_UP).empty]:
        raise ConfigurationError(
            f"{', '.join(young)} had no candles in the weeks before {needed + WARM_UP:%Y-%m-%d}: give a later --from, "
            "or leave them out"
        )
    end = getattr(history, "end", until)
    if until > end:
        raise ConfigurationError(f"the history ends at {end:%Y-%m-%dT%H:%M}Z, before --to {until:%Y-%m-%dT%H:%M}Z")


@contextmanager
def _progress(unit: str, *, quiet: bool) -> Iterator[Callable[[int, int, datetime | None, str], None]]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description:<36}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    ) as bars:
        task = bars.add_task("", total=None)

        def advance(done: int, total: int, at: datetime | None, what: str) -> None:
            said = f"{at:%Y-%m-%d %H:%M}  {what}" if at else what
            bars.update(task, completed=done, total=total, description=said)

        yield advance
