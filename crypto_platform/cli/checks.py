"""The page about the asset checks, rendered from their declarations and from the jobs that evaluate them."""

from collections import defaultdict
from collections.abc import Iterator

from crypto_platform.core.timetable import CADENCES
from crypto_platform.defs import catalog, checks, jobs
from crypto_platform.operations.checks import CHECKS, Declared
from crypto_platform.settings import Settings


def checks_page(settings: Settings) -> str:
    """Every asset check with its severity, its cadence, and what to do where it fails.

    Returns
    -------
    str
        Markdown; in the order of the graph.
    """
    evaluated = _jobs_of_checks(settings)
    declared = {(check.asset, check.name): check for check in _declared(evaluated)}
    crons = {cadence.job: cadence.cron for cadence in CADENCES}
    lines = [
        "# Asset checks",
        "",
        "Rendered by `crypto-platform docs` from the declarations; edits here are lost.",
        "",
        "ERROR: wrong data may be served. WARN: look at it. No check stops what comes after it, since one bad symbol",
        "must not keep the others waiting. Each is evaluated once for all symbols of a run and names the failing ones;",
        f"`{checks.HOUR_IS_SERVED.name}` and the three checks of the retrain decision once for each symbol.",
        "",
        "| check | asset | severity | evaluated by (UTC) | true when | if it fails |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    assets = list(dict.fromkeys(asset for made in jobs.ASSETS.values() for asset in made))
    for key in sorted(declared, key=lambda key: assets.index(key[0])):
        check = declared[key]
        when = ", ".join(f"`{job}` ({crons[job]})" for job in evaluated[key])
        cells = (f"`{check.name}`", f"`{check.asset}`", check.severity, when, check.says, f"{check.means} {check.do}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _declared(evaluated: dict[tuple[str, str], list[str]]) -> Iterator[Declared]:
    yield from (catalog.succeeded(asset) for asset, name in evaluated if name == catalog.COLLECTED)
    yield from CHECKS
    yield checks.HOUR_IS_SERVED
    yield from checks.DECISIONS


def _jobs_of_checks(settings: Settings) -> dict[tuple[str, str], list[str]]:
    """Which jobs evaluate which check, as Dagster resolves it."""
    from crypto_platform.definitions import build_defs

    defs = build_defs(settings)
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for job in jobs.ASSETS:
        for key in defs.resolve_job_def(job).asset_layer.asset_graph.asset_check_keys:
            found[key.asset_key.to_user_string(), key.name].append(job)
    return found
