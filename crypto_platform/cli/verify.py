"""`crypto-platform verify`: whether the store keeps every rule it should."""

import json
from dataclasses import asdict

import typer

from crypto_platform.cli.shared import AsOf, Json, console, moment, platform, show
from crypto_platform.errors import PlatformError, StoreError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(verify)


def verify(
    now: str | None = AsOf,
    deep: bool = typer.Option(False, "--deep", help="Compute all features again, not only the newest two days."),
    as_json: bool = Json,
) -> None:
    """Look at every invariant of the store and name what breaks one; nothing is written."""
    from crypto_platform.operations import verify as verification
    from crypto_platform.sources.catalog import is_candle_vendor

    as_of = moment(now)
    with platform() as p:
        _require_a_store(p.settings.store_url)
        verdict = verification.verify(
            p.store,
            p.artifacts,
            as_of=as_of,
            is_vendor=is_candle_vendor,
            feature_set=p.settings.feature_set,
            deep=deep,
        )
    if as_json:
        found = [asdict(finding) for finding in verdict.findings]
        console.print_json(json.dumps({"rules": verdict.rules, "rows": verdict.rows, "findings": found}))
    elif verdict.findings:
        columns = ("rule", "table", "symbol", "what is wrong", "cure")
        show("Breaches", columns, [[f.rule, f.table, f.symbol, f.message, f.cure] for f in verdict.findings])
    else:
        console.print(f"{verdict.rules} rules over {verdict.rows:,} rows: sound")
    if verdict.findings:
        raise PlatformError(
            f"the store breaks {len(verdict.broken)} of {verdict.rules} rules ({', '.join(verdict.broken)}): "
            "each finding says what mends it"
        )


def _require_a_store(url: str) -> None:
    """A store that is not there yet is more likely a wrong HOME; verifying would begin it."""
    from pathlib import Path

    from crypto_platform.storage.engines import parse_url

    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        raise StoreError(f"there is no store at {parsed.database}: set CRYPTO_PLATFORM_HOME, or collect first")
