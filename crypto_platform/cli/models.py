"""`crypto-platform models`: which bundles there are, which serve, and how they did out of sample."""

import json

import typer
from sqlalchemy import select

from crypto_platform.cli.shared import Json, announce, console, moment, platform, show
from crypto_platform.errors import ConfigurationError
from crypto_platform.tables import model_metrics, model_versions

app = typer.Typer(help="Model bundles: list, show.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add the command group."""
    root.add_typer(app, name="models")


@app.command("list")
def list_models(as_json: bool = Json) -> None:
    """All bundles, newest first; the champions are marked."""
    from crypto_platform.operations.registry import champions

    with platform() as p:
        rows = p.store.read(
            select(model_versions).order_by(model_versions.c.trained_at.desc(), model_versions.c.symbol)
        )
        serving = {s.version for s in champions(p.store, sorted(set(rows["symbol"])), moment(None)).values()}
        if as_json:
            records = rows.assign(champion=rows["version"].isin(serving)).to_dict("records")
            console.print_json(json.dumps(records, default=str))
            return
        announce(p)
        cells = [
            [
                row.symbol,
                f"{row.horizon} h",
                row.version,
                "champion" if row.version in serving else "",
                f"{row.trained_at:%Y-%m-%d %H:%M}",
                row.n_rows,
                row.feature_set,
            ]
            for row in rows.itertuples()
        ]
        show("Model bundles", ("symbol", "horizon", "version", "alias", "trained (UTC)", "rows", "features"), cells)


@app.command("show")
def show_model(version: str, as_json: bool = Json) -> None:
    """Pooled walk-forward metrics of one bundle."""
    with platform() as p:
        rows = p.store.read(
            select(model_metrics)
            .where(model_metrics.c.version == version, model_metrics.c.fold == -1)
            .order_by(model_metrics.c.model_name, model_metrics.c.metric_name)
        )
        if rows.empty:
            raise ConfigurationError(f"there is no bundle {version!r}; `crypto-platform models list` shows all")
        if as_json:
            console.print_json(json.dumps(rows.to_dict("records"), default=str))
            return
        announce(p)
        cells = [
            [
                row.model_name,
                row.metric_name,
                f"{row.metric_value:.4f}",
                None if row.lower != row.lower else f"[{row.lower:.4f}, {row.upper:.4f}]",
                row.n,
            ]
            for row in rows.itertuples()
        ]
        show(f"Out of sample, bundle {version}", ("model", "metric", "value", "95 % interval", "n"), cells)
