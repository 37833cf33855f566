"""`crypto-platform alerts`: what was told to whom, and whether the targets can be reached."""

import json
from datetime import timedelta
from typing import Any

import pandas as pd
import typer
from sqlalchemy import select

from crypto_platform.cli.shared import Json, announce, console, moment, platform, show
from crypto_platform.errors import ConfigurationError, TargetError
from crypto_platform.tables import alert_deliveries, alerts

app = typer.Typer(help="Alerts: list, test.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add the command group."""
    root.add_typer(app, name="alerts")


@app.command("list")
def list_alerts(
    days: float = typer.Option(7.0, min=0.01, max=90.0, help="Of the last so many days."), as_json: bool = Json
) -> None:
    """Alerts, newest first, and whom they reached."""
    since = moment(None) - timedelta(days=days)
    with platform() as p:
        rows = p.store.read(
            select(alerts).where(alerts.c.raised_at >= since).order_by(alerts.c.raised_at.desc(), alerts.c.key)
        )
        told = p.store.read(
            select(alert_deliveries)
            .where(alert_deliveries.c.key.in_(select(alerts.c.key).where(alerts.c.raised_at >= since)))
            .order_by(alert_deliveries.c.target)
        )
        by_key: dict[str, list[dict[str, Any]]] = {}
        for row in told.to_dict("records"):
            by_key.setdefault(row.pop("key"), []).append({k: None if pd.isna(v) else v for k, v in row.items()})
        if as_json:
            records = [
                {k: None if pd.isna(v) else v for k, v in row.items()} | {"deliveries": by_key.get(row["key"], [])}
                for row in rows.to_dict("records")
            ]
            console.print_json(json.dumps(records, default=str))
            return
        announce(p)
        cells = [
            [
                f"{row.raised_at:%Y-%m-%d %H:%M}",
                row.kind,
                row.about,
                row.symbol,
                row.summary,
                ", ".join(_word(delivery) for delivery in by_key.get(row.key, [])) or None,
            ]
            for row in rows.itertuples()
        ]
        show("Alerts", ("raised (UTC)", "kind", "about", "symbol", "what", "told"), cells)


def _word(delivery: dict[str, Any]) -> str:
    whom = str(delivery["target"]) if delivery["delivered_at"] is not None else f"{delivery['target']} waits"
    return whom + (f": {delivery['last_error']}" if delivery["last_error"] else "")


@app.command("test")
def try_targets(as_json: bool = Json) -> None:
    """Send a test message to each target that is set."""
    from crypto_platform.operations.alerts import label_of, probe

    with platform() as p:
        if not p.targets:
            raise ConfigurationError(
                "no target is set: CRYPTO_PLATFORM_ALERT_SLACK_*, _SMTP_URL or _WEBHOOK_* of docs/settings.md do"
            )
        told = probe(p.targets, as_of=moment(None), ui_url=p.settings.ui_url, label=label_of(p.store))
    if as_json:
        console.print_json(json.dumps([{"target": d.target, "error": d.error, "warning": d.warning} for d in told]))
    else:
        show("Test messages", ("target", ""), [[d.target, d.error or d.warning or "taken"] for d in told])
    if failed := [d.target for d in told if d.error]:
        raise TargetError(f"not reached: {', '.join(failed)}; check their settings CRYPTO_PLATFORM_ALERT_*")
