"""What several commands need: settings, the platform, and tables on a terminal."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from crypto_platform import settings as configuration
from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import ConfigurationError
from crypto_platform.operations.results import Report
from crypto_platform.settings import Settings

WIDTH = 130  # of output that goes to no terminal
console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=WIDTH)

AsOf = typer.Option(None, "--now", help="Fix the clock: an ISO time, such as 2026-01-31T12:05:00Z.")
Json = typer.Option(False, "--json", help="Print JSON.")


def moment(text: str | None) -> datetime:
    """The instant a `--now` names, or the present.

    Raises
    ------
    ConfigurationError
        Not an ISO time, or without a time zone.
    """
    if text is None:
        return datetime.now(UTC)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"--now {text!r} is no ISO time; write it like 2026-01-31T12:05:00Z") from error
    if parsed.tzinfo is None:
        raise ConfigurationError(f"--now {text!r} has no time zone; end it with Z for UTC")
    return parsed.astimezone(UTC)


@contextmanager
def platform(clock: Any = None, **overrides: Any) -> Iterator[Any]:
    """The platform of the environment's settings, closed at the end."""
    from crypto_platform.defs.resources import Platform, SystemClock

    opened = Platform(configuration.load(**overrides), clock or SystemClock())
    try:
        yield opened
    finally:
        opened.close()


def ensure_home(settings: Settings) -> None:
    """Create the home folder.

    Raises
    ------
    ConfigurationError
        It cannot be created or written.
    """
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        probe = settings.home / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"the home folder {settings.home} cannot be written ({error.strerror}); "
            "set CRYPTO_PLATFORM_HOME to a folder that can"
        ) from error


def chosen(settings: Settings, names: Sequence[str]) -> list[str]:
    """Symbols asked for, all followed ones without any.

    Raises
    ------
    UnknownSymbolError, ConfigurationError
        Unknown, or known but not followed.
    """
    followed = [symbol.name for symbol in settings.followed]
    asked = [name.upper() for name in names]
    for name in asked:
        if name not in settings.book:
            from crypto_platform.errors import UnknownSymbolError

            raise UnknownSymbolError(name, tuple(settings.book))
        if name not in followed:
            cure = (
                "add it to CRYPTO_PLATFORM_SYMBOLS"
                if settings.symbols
                else f"`crypto-platform symbols add {name}` does"
            )
            raise ConfigurationError(f"{name} is not followed; {cure}")
    return asked or followed


def banner(provenance: Provenance | None) -> str:
    """One line that says what data this is; empty for live data."""
    if provenance is Provenance.SIMULATED:
        return "[bold black on yellow] SIMULATED [/] every price here was generated; none of it happened"
    if provenance is Provenance.RECORDED:
        return "[bold black on cyan] RECORDED [/] real history, replayed"
    return ""


def announce(opened: Any) -> None:
    """Say first what data this is."""
    from crypto_platform.operations.provenance import provenance_of_store

    if line := banner(provenance_of_store(opened.store)):
        console.print(line)


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each symbol on a terminal, nothing elsewhere; gives what an operation reports its progress to."""
    with Progress(
        TextColumn("{task.description:>8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("chunks"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bars:
        tasks: dict[str, TaskID] = {}

        def advance(symbol: str, done: int, total: int) -> None:
            if symbol not in tasks:
                tasks[symbol] = bars.add_task(symbol, total=total)
            bars.update(tasks[symbol], completed=done)

        yield advance


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table; None is a dash."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("–" if cell is None else str(cell) for cell in row))
    console.print(table)


def print_report(report: Report, *, as_json: bool = False) -> None:
    """What an operation did, symbol by symbol."""
    rows = [
        {"symbol": r.symbol, "rows": r.rows, "last": r.last and r.last.isoformat(), **dict(r.details), "error": r.error}
        for r in report.results
    ]
    if as_json:
        console.print_json(json.dumps(rows, default=str))
    else:
        cells = [
            [r.symbol, r.rows, r.last and f"{r.last:%Y-%m-%d %H:%M}", r.error or _words(r.details)]
            for r in report.results
        ]
        show(report.subject, ("symbol", "rows written", "up to (UTC)", ""), cells)


def _words(details: Mapping[str, Any]) -> str:
    shown = {key: f"{value:.8g}" if isinstance(value, float) else value for key, value in details.items()}
    return ", ".join(f"{key} {value}" for key, value in shown.items() if value not in (None, "", 0, "0"))
