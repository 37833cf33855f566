"""`crypto-platform import`: history in bulk, from Binance's archive or from files."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from crypto_platform.cli.shared import (
    AsOf,
    Json,
    announce,
    chosen,
    console,
    ensure_home,
    moment,
    platform,
    print_report,
    show,
)
from crypto_platform.errors import ConfigurationError, PlatformError
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.symbols import select as select_symbols

group = typer.Typer(help="Read history in bulk.", no_args_is_help=True)

Names = typer.Argument(None, help="Symbols; all followed ones without any.")
Again = typer.Option(False, "--again", help="Read files again that have not changed since they were read.")
Paths = typer.Argument(..., help="CSV (also .gz or .zip), parquet, feather or JSON files of hourly candles.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="import")


@group.command()
def archive(
    names: list[str] = Names,
    first: str = typer.Option(..., "--from", help="First month, such as 2020-01."),
    last: str = typer.Option(None, "--to", help="Last month; the running one without it."),
    folder: Path = typer.Option(None, help="Read the zips from this folder, not from the archive host."),
    no_checksum: bool = typer.Option(False, "--no-checksum", help="Take zips that have no .CHECKSUM beside them."),
    again: bool = Again,
    now: str = AsOf,
    as_json: bool = Json,
) -> None:
    """Read Binance's monthly archives of hourly candles, and daily ones of the running month."""
    from crypto_platform.operations import build, imports
    from crypto_platform.sources import catalog
    from crypto_platform.sources.archive import Archive, ArchiveFolder, next_month

    as_of = moment(now)
    start = _month(first, "--from")
    end = next_month(_month(last, "--to") if last else as_of.replace(day=1, hour=0, minute=0, second=0, microsecond=0))
    if start >= end:
        raise ConfigurationError(f"--from {first} is after --to {last or 'now'}; give the earlier month first")
    with platform() as p:
        source: Archive = ArchiveFolder(folder) if folder else catalog.archive_host(p.settings.sources, p.gate)
        wanted = chosen(p.settings, names or [])
        ensure_home(p.settings)
        with console.status("asking …") as status:
            done = imports.import_archive(
                p.store,
                source,
                select_symbols(p.settings.book, tuple(wanted)),
                start,
                end,
                as_of=as_of,
                require_checksum=not no_checksum,
                settle=p.settings.settle,
                again=again,
                tell=lambda result: status.update(f"{result.details['file']} done …"),
            )
        s = p.settings
        built = build.build_features(
            p.store, _with_candles(done), as_of=as_of, feature_set=s.feature_set, settle=s.settle
        )
        if not as_json:
            announce(p)
        _print(done, built, as_json=as_json)


@group.command()
def files(
    paths: list[Path] = Paths,
    symbol: str = typer.Option(..., help="Whose candles they are, such as BTC."),
    source: str = typer.Option(None, help="Which vendor's candles they are, such as binance."),
    complete: bool = typer.Option(
        False, "--complete", help="Take the newest candle of each file too: it had closed when the file was written."
    ),
    again: bool = Again,
    now: str = AsOf,
    as_json: bool = Json,
) -> None:
    """Read files of hourly candles in any of the usual layouts."""
    from crypto_platform.operations import build, imports
    from crypto_platform.sources import catalog

    as_of = moment(now)
    with platform() as p:
        wanted = chosen(p.settings, [symbol])
        if source is not None:
            catalog.require_candle_vendor(source.lower())
        ensure_home(p.settings)
        done = imports.import_files(
            p.store,
            paths,
            p.settings.book[wanted[0]],
            as_of=as_of,
            source=source and source.lower(),
            complete=complete,
            settle=p.settings.settle,
            again=again,
        )
        s = p.settings
        built = build.build_features(
            p.store, _with_candles(done), as_of=as_of, feature_set=s.feature_set, settle=s.settle
        )
        if not as_json:
            announce(p)
        _print(done, built, as_json=as_json)


def _month(text: str, option: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError as error:
        raise ConfigurationError(f"{option} {text!r} is no month; write it like 2020-01") from error


def _with_candles(done: Report) -> list[str]:
    """Symbols that got something new."""
    return list(dict.fromkeys(result.symbol for result in done.results if result.rows))


def _print(done: Report, built: Report, *, as_json: bool) -> None:
    """A line a file, then the features; then one error for all that failed."""
    if as_json:
        console.print_json(json.dumps([_plain(result) for result in done.results]))
    else:
        columns = ("symbol", "file", "candles", "refused", "new or changed", "first (UTC)", "last (UTC)", "")
        show("Imported", columns, [_cells(result) for result in done.results])
        for result in done.results:
            if notes := result.details.get("notes"):
                console.print(f"{result.details['file']}: {notes}.")
    if built.results:
        print_report(built, as_json=as_json)
    failures = [f"{r.details['file']}: {r.error}" for r in done.results if r.error]
    failures += [f"{built.subject} of {symbol}: {why}" for symbol, why in built.failed.items()]
    if failures:
        raise PlatformError("; ".join(failures))


def _plain(result: SymbolResult) -> dict[str, Any]:
    hours = {"first": result.first and result.first.isoformat(), "last": result.last and result.last.isoformat()}
    return {"symbol": result.symbol, **result.details, "rows": result.rows, **hours, "error": result.error}


def _cells(result: SymbolResult) -> list[object]:
    told = result.details
    words = {
        "failed": result.error,
        "not in the archive": told.get("missing"),
        "unchanged since it was read": told.get("unchanged"),
        f"{told.get('kept')} hours differ from what is stored, which stays": told.get("kept"),
    }
    hours = [hour and f"{hour:%Y-%m-%d %H:%M}" for hour in (result.first, result.last)]
    word = next((word for word, true in words.items() if true), "")
    return [result.symbol, told["file"], told.get("candles"), told.get("rejected"), result.rows, *hours, word]
