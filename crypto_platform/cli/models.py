"""`crypto-platform models`: which bundles there are, which serve, how they did, and changing who serves by hand."""

import getpass
import json
from datetime import timedelta
from typing import Any

import pandas as pd
import typer
from sqlalchemy import select

from crypto_platform.cli.shared import AsOf, Json, announce, chosen, console, moment, platform, show
from crypto_platform.errors import ConfigurationError
from crypto_platform.tables import model_metrics, model_versions

app = typer.Typer(help="Model bundles: list, show, check, promote, rollback, prune.", no_args_is_help=True)

Why = typer.Option(..., "--reason", help="Why; kept with the change.")


def register(root: typer.Typer) -> None:
    """Add the command group."""
    root.add_typer(app, name="models")


@app.command("list")
def list_models(as_json: bool = Json) -> None:
    """All bundles, newest first, with the aliases that point to them."""
    from crypto_platform.operations import registry
    from crypto_platform.operations.aliases import CHAMPION

    with platform() as p:
        rows = p.store.read(
            select(model_versions).order_by(model_versions.c.trained_at.desc(), model_versions.c.symbol)
        )
        aliases: dict[str, list[str]] = {}
        for (_, _, alias), version in sorted(registry.held(p.store, sorted(set(rows["symbol"])), moment(None)).items()):
            aliases.setdefault(version, []).append(alias)
        rows["aliases"] = [aliases.get(version, []) for version in rows["version"]]
        if as_json:
            records = rows.assign(champion=[CHAMPION in held for held in rows["aliases"]])
            console.print_json(json.dumps(records.to_dict("records"), default=str))
            return
        announce(p)
        cells = [
            [
                row.symbol,
                f"{row.horizon} h",
                row.version,
                ", ".join(row.aliases),
                f"{row.trained_at:%Y-%m-%d %H:%M}",
                row.n_rows,
                row.feature_set,
            ]
            for row in rows.itertuples()
        ]
        show("Model bundles", ("symbol", "horizon", "version", "alias", "trained (UTC)", "rows", "features"), cells)


@app.command("show")
def show_model(version: str, as_json: bool = Json) -> None:
    """The card of one bundle (Markdown), and every change of an alias from or to it."""
    from crypto_platform.core.cards import render
    from crypto_platform.operations import cards, registry

    with platform() as p:
        card = cards.card_of(p.store, p.artifacts, version)
        changes = registry.aliases(p.store, [card.symbol])
        changes = changes[(changes["version_to"] == version) | (changes["version_from"] == version)]
        if as_json:
            console.print_json(json.dumps(_record(p.store, version, changes, render(card)), default=str))
            return
        announce(p)
        console.print(render(card), markup=False, soft_wrap=True)
        cells = [
            [f"{row.at:%Y-%m-%d %H:%M}", row.alias, row.version_from, row.version_to, row.actor, row.reason]
            for row in changes.itertuples()
        ]
        show("Changes of aliases", ("at (UTC)", "alias", "from", "to", "who", "why"), cells)


def _record(store: Any, version: str, changes: pd.DataFrame, card: str) -> dict[str, Any]:
    row = store.read(select(model_versions).where(model_versions.c.version == version)).iloc[0].to_dict()
    scores = store.read(
        select(model_metrics)
        .where(model_metrics.c.version == version)
        .order_by(model_metrics.c.model_name, model_metrics.c.metric_name, model_metrics.c.fold)
    )
    plain = [frame.astype(object).where(frame.notna(), None).to_dict("records") for frame in (scores, changes)]
    return {**row, "metrics": plain[0], "aliases": plain[1], "card": card}


@app.command("check")
def check(version: str) -> None:
    """Compare the serving form of a bundle with its scikit-learn models, bit by bit; exit code 1 where they differ."""
    from crypto_platform.operations import registry
    from crypto_platform.storage import bundles

    with platform() as p:
        served = registry.registered(p.store, version)
        bundles.prove(p.artifacts.open(version, served.bundle_sha256))
    console.print(f"bundle {version} is as it was published, and both of its forms are the same models")


@app.command("promote")
def promote(version: str, reason: str = Why, now: str | None = AsOf) -> None:
    """Make a bundle the champion of its symbol and horizon; the one before becomes the previous."""
    from crypto_platform.operations import registry

    with platform() as p:
        symbol, horizon = registry.promote(
            p.store,
            p.artifacts,
            version,
            at=moment(now),
            actor=getpass.getuser(),
            reason=reason,
            feature_set=p.settings.feature_set,
        )
    console.print(f"{version} serves {symbol}, {horizon} h")


@app.command("rollback")
def rollback(
    symbol: str,
    horizon: int = typer.Option(1, "--horizon", help="Hours ahead."),
    reason: str = Why,
    now: str | None = AsOf,
) -> None:
    """Make the newest sound champion before the present one serve again; a second rollback comes back."""
    from crypto_platform.operations import registry

    with platform() as p:
        (name,) = chosen(p.settings, [symbol])
        if horizon not in p.settings.horizons:
            raise ConfigurationError(f"{horizon} h is not forecast; CRYPTO_PLATFORM_HORIZONS has {p.settings.horizons}")
        version = registry.rollback(
            p.store,
            p.artifacts,
            name,
            horizon,
            at=moment(now),
            actor=getpass.getuser(),
            reason=reason,
            feature_set=p.settings.feature_set,
        )
    console.print(f"{version} serves {name}, {horizon} h, again")


@app.command("prune")
def prune(
    dry_run: bool = typer.Option(False, "--dry-run", help="Say which, and remove nothing."), now: str | None = AsOf
) -> None:
    """Remove the files of bundles that nothing refers to any more; their rows and manifests stay."""
    from crypto_platform.operations import prune as pruning

    with platform() as p:
        retention = timedelta(days=p.settings.bundle_days)
        if dry_run:
            versions = pruning.prunable(p.store, as_of=moment(now), retention=retention)
        else:
            versions = pruning.prune(p.store, p.artifacts, as_of=moment(now), retention=retention)
    for version in versions:
        console.print(version)
    console.print(f"{len(versions)} bundles {'could be' if dry_run else 'were'} pruned")
