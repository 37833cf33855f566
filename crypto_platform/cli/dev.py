"""`crypto-platform dev` and `replay`: the UI with its daemon, and the server that stands in for the APIs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import typer

from crypto_platform import settings as configuration
from crypto_platform.cli.market import DAYS, Choice, DataFolder, Edge, Live, Seed, replay_urls, served
from crypto_platform.cli.shared import AsOf, console, ensure_home, moment, show

CODE_LOCATION = "crypto_platform.definitions"
PORT = 3000  # of the UI; the reports take the next one, so that links to them outlive a restart
GRACE = 10.0  # seconds


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(dev)
    app.command()(replay)


def dev(
    data: Path = DataFolder,
    live: bool = Live,
    port: int = typer.Option(PORT, min=0, max=65_535, help="Port of the UI on the loopback interface."),
    seed: int = Seed,
    edge: float = Edge,
) -> None:
    """Bring up the Dagster UI and daemon on the demo's store, with the market ticking like live."""
    from starlette.staticfiles import StaticFiles

    from crypto_platform.cli.demo import TRAIN_DAYS
    from crypto_platform.cli.stage import instance_home
    from crypto_platform.replay.server import running_server

    now = datetime.now(UTC)
    choice = Choice(data=data, live=live, seed=seed, edge=edge, days=DAYS)
    home = choice.home(configuration.load().home / "demo", now)
    settings = configuration.load(home=home, train_days=TRAIN_DAYS)
    ensure_home(settings)
    settings.reports_folder.mkdir(parents=True, exist_ok=True)
    reports = StaticFiles(directory=settings.reports_folder)
    # Browsers refuse links from a page to a file: the UI links the report over HTTP.
    with (
        served(choice, settings, now, speed=1) as (overrides, title),
        running_server(reports, port=PORT + 1 if port == PORT else 0) as reports_url,
    ):
        variables = {
            "home": str(home.absolute()),
            "train_days": str(TRAIN_DAYS),
            "reports_url": reports_url,
            "ui_url": f"http://127.0.0.1:{port}",
        } | overrides
        environment = os.environ | {
            configuration.PREFIX + name.upper(): ",".join(value) if isinstance(value, tuple) else str(value)
            for name, value in variables.items()
        }
        environment["DAGSTER_HOME"] = str(instance_home(home))
        console.print(f"Dagster on {title}: http://127.0.0.1:{port} (stop with Ctrl-C)")
        console.print(f"Reports: {reports_url}/monitoring_report.html")
        variable = f"{configuration.PREFIX}HOME"
        beside = f"export DAGSTER_HOME={environment['DAGSTER_HOME']} {variable}={environment[variable]}"
        console.print(f"For `dagster` in a terminal beside: {beside}", soft_wrap=True)
        command = [sys.executable, "-m", "dagster", "dev", "-m", CODE_LOCATION, "-h", "127.0.0.1", "-p", str(port)]
        status = _run_until_stopped(command, environment)
    stopped = {-signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT}
    raise typer.Exit(0 if status in stopped else status)


def _run_until_stopped(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command with all its children until it ends or we are told to stop; its exit status."""
    started: list[int] = []

    def stop(number: int, _: object) -> None:
        for group in started:
            os.killpg(group, number)

    # Before the start: a signal that our own parent ignores would stay ignored in the children.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    # A session of its own makes the children one group, which hears a signal as a whole.
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:  # noqa: S603
        started.append(process.pid)
        status = process.wait()
    _end_group(process.pid)
    return status


def _end_group(group: int) -> None:
    """Give what is left of a process group, such as a run in the middle of a step, `GRACE` to end; then end it."""
    try:
        os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            time.sleep(0.2)
            os.killpg(group, 0)  # asks only whether somebody is left
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def replay(
    data: Path = DataFolder,
    days: int = typer.Option(DAYS, min=1, max=10_000, help="Days of the simulated market before now."),
    now: str = AsOf,
    speed: float = typer.Option(1.0, min=0.0, max=100_000.0, help="Hours that pass in an hour; 0 stands still."),
    host: str = typer.Option("127.0.0.1", help="Address to listen on."),
    port: int = typer.Option(8080, min=0, max=65_535, help="Port to listen on; 0 takes a free one."),
    faults: str = typer.Option("", help="Faults per endpoint, such as binance.klines=503x2,delay:5."),
    seed: int = Seed,
    edge: float = Edge,
    list_faults: bool = typer.Option(False, "--list-faults", help="Show the faults there are, and stop."),
) -> None:
    """Serve recorded or simulated history as the upstream APIs do."""
    from crypto_platform.replay.clock import ReplayClock
    from crypto_platform.replay.faults import Faults
    from crypto_platform.replay.server import build_app, serve

    if list_faults:
        _print_faults()
        return
    start = moment(now)
    scripts = Faults.parse(faults) if faults else Faults()
    choice = Choice(data=data, live=False, seed=seed, edge=edge, days=days)
    base = configuration.load()
    settings = configuration.load(home=choice.home(base.home / "replay", start))
    if not data:
        ensure_home(settings)
    history = choice.history(settings, start)

    def ready(url: str) -> None:
        console.print(f"{history.title}\nas of {start:%Y-%m-%d %H:%M} UTC, speed {speed:g}")
        for name, address in replay_urls(url).items():
            console.print(f"{configuration.PREFIX}{name.upper()}={address}", soft_wrap=True)
        console.print(f"{configuration.PREFIX}LISTING_DATES=ignored")

    serve(build_app(history, ReplayClock(start, speed), scripts, book=settings.book), host, port, ready)


def _print_faults() -> None:
    from crypto_platform.replay.catalogue import catalogue
    from crypto_platform.replay.effects import CANDLES, ENDPOINTS

    rows = [[entry.name, entry.argument, entry.endpoints, entry.what] for entry in catalogue()]
    show("Faults", ["fault", "argument", "endpoints", "what the answer then is"], rows)
    console.print(f"candles: {', '.join(CANDLES)}\nall endpoints: {', '.join(ENDPOINTS)}", soft_wrap=True)
