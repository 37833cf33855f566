"""Commands about the store and the deployment: `db upgrade`, `doctor`, `docs`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from crypto_platform import settings as configuration
from crypto_platform.cli.shared import console, ensure_home, platform, show
from crypto_platform.errors import PlatformError
from crypto_platform.settings import PREFIX, Settings
from crypto_platform.tables import metadata
from crypto_platform.tables.render.docs import data_dictionary

db = typer.Typer(help="The database.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(db, name="db")
    app.command()(doctor)
    app.command()(docs)


@db.command()
def upgrade() -> None:
    """Create the tables, or bring them to this version's schema."""
    from crypto_platform.storage import schema

    with platform() as p:
        if p.settings.database_url is None:
            ensure_home(p.settings)
        schema.upgrade(p.store.raw_engine)
        console.print(f"schema {schema.head()} on {p.store.raw_engine.url.render_as_string(hide_password=True)}")


def doctor() -> None:
    """Look at settings, store and sources, and say what is wrong and how to mend it."""
    from crypto_platform.sources import catalog

    rows: list[tuple[str, str, str]] = []
    with platform() as p:
        for name, probe in _probes(p):
            try:
                rows.append((name, "ok", probe()))
            except PlatformError as error:
                rows.append((name, "FAILED", str(error)))
        for name, why in catalog.passed_over(p.settings.sources).items():
            rows.append((f"source {name}", "not used", why))
    show("Doctor", ("what", "", ""), rows)
    failed = [name for name, state, _ in rows if state == "FAILED"]
    if failed:
        raise PlatformError(f"not well: {', '.join(failed)}; the table above says what to do")


def _probes(p: Any) -> Iterator[tuple[str, Any]]:
    """What is looked at, and how; a probe gives a word of praise or raises."""

    def home() -> str:
        ensure_home(p.settings)
        return str(p.settings.home.absolute())

    def store() -> str:
        from crypto_platform.operations.provenance import provenance_of_store

        return f"{p.store.dialect}, holds {provenance_of_store(p.store) or 'no'} data"

    def candles() -> str:
        return "candles from " + ", ".join(source.name for source in p.candle_sources)

    def snapshots() -> str:
        first = p.settings.followed[:1]
        return f"{p.snapshot_source.name} gave {len(p.snapshot_source.fetch_snapshots(first).rows)} snapshot"

    yield "home", home
    yield "store", store
    yield "candle sources", candles
    yield "snapshots", snapshots


def docs(check: bool = typer.Option(False, "--check", help="Only say whether the files are current.")) -> None:
    """Render .env.example and the checks, data dictionary, faults, settings in docs/ from the declarations."""
    from crypto_platform.cli.checks import checks_page
    from crypto_platform.replay.handling import faults_page

    rendered = {
        Path("docs/checks.md"): checks_page(configuration.load()),
        Path("docs/faults.md"): faults_page(),
        Path("docs/data-dictionary.md"): data_dictionary(metadata),
        Path("docs/settings.md"): _settings_table(),
        Path(".env.example"): _env_example(),
    }
    stale = [path for path, text in rendered.items() if not path.exists() or path.read_text("utf-8") != text]
    if check and stale:
        raise PlatformError(f"{', '.join(map(str, stale))} no longer match the code; run `crypto-platform docs`")
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rendered[path], "utf-8")
        console.print(f"wrote {path}")


def _fields() -> Iterator[tuple[str, FieldInfo, str]]:
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=False) if field.default_factory is None else None
        if field.default_factory is not None:
            text = "number of cores"
        elif default is None or default == ():
            text = ""
        else:
            text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        yield PREFIX + name.upper(), field, text


def _settings_table() -> str:
    lines = [
        "# Settings",
        "",
        "Environment variables, or lines of `.env` in the working directory. Rendered by `crypto-platform docs`.",
        "",
        "| variable | default | allowed | meaning |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{name}` | {f'`{text}`' if text else ''} | {_allowed(field)} | {field.description} |"
        for name, field, text in _fields()
    ]
    return "\n".join(lines) + "\n"


def _allowed(field: FieldInfo) -> str:
    """Bounds or choices of a setting, in words."""
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    bounds = [f"{word} {getattr(b, key):g}" for key, word in words.items() for b in field.metadata if hasattr(b, key)]
    if get_origin(field.annotation) is Literal:
        bounds = [str(choice) for choice in get_args(field.annotation)]
    return ", ".join(bounds)


def _env_example() -> str:
    lines = ["# Copy to .env and change what you need; every line is optional. Rendered by `crypto-platform docs`."]
    for name, field, text in _fields():
        shown = "" if text == "number of cores" else text
        lines += ["", f"# {field.description}", f"# {name}={shown}"]
    return "\n".join(lines) + "\n"
