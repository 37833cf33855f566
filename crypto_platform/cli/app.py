"""All commands under one name, and what an error looks like."""

import logging
import sys

import typer
from sqlalchemy.exc import SQLAlchemyError

from crypto_platform import __version__
from crypto_platform.cli import (
    alerts,
    backtest,
    data,
    demo,
    dev,
    experiments,
    imports,
    models,
    simulate,
    store,
    symbols,
    verify,
)
from crypto_platform.errors import PlatformError

app = typer.Typer(
    name="crypto-platform",
    help="Hourly, per-symbol crypto forecasts as a Dagster asset graph.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (demo, dev, simulate, data, imports, symbols, models, backtest, experiments, alerts, store, verify):
    module.register(app)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    """Hourly, per-symbol crypto forecasts as a Dagster asset graph."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run a command; every foreseen error is one sentence on stderr and an exit code."""
    logging.captureWarnings(capture=True)
    try:
        app()
    except PlatformError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except SQLAlchemyError as error:
        text = str(getattr(error, "orig", error)).strip().splitlines()[0]
        typer.echo(f"error: the store failed ({text}); `crypto-platform doctor` looks into it", err=True)
        sys.exit(1)
