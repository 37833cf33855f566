"""The end of the demo: rows per table, forecasts, accuracy with its interval, decisions, the report's path."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from crypto_platform.cli.data import show_forecasts
from crypto_platform.cli.shared import console, show
from crypto_platform.core.accuracy import score
from crypto_platform.core.promotion import GATE
from crypto_platform.operations import decide
from crypto_platform.operations.compare import REPORT_NAME as AB_REPORT_NAME
from crypto_platform.operations.observe import forecasts_with_outcomes
from crypto_platform.operations.report import REPORT_NAME
from crypto_platform.sources.fear_greed import ATTRIBUTION
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import latest_predictions, metadata


def print_summary(platform: Any, as_of: datetime) -> None:
    """Everything a newcomer wants to see at the end."""
    store = platform.store
    show("Rows", ("table", "rows"), [[name, f"{n:,}"] for name, n in row_counts(store).items()])
    rows = store.read(select(latest_predictions).order_by(latest_predictions.c.symbol, latest_predictions.c.horizon))
    show_forecasts(rows.to_dict("records"))
    _show_accuracy(store, [s.name for s in platform.settings.followed], as_of)
    _show_decisions(platform, as_of)
    console.print(ATTRIBUTION, style="dim")
    reports = platform.settings.reports_folder.absolute()
    console.print(f"\nReport: {reports / REPORT_NAME}\n        {reports / AB_REPORT_NAME}", soft_wrap=True)


def row_counts(store: Warehouse) -> dict[str, int]:
    """Rows of every table, in the order of the graph."""
    return {
        table.name: int(store.read(select(func.count().label("n")).select_from(table))["n"].iloc[0])
        for table in metadata.sorted_tables
    }


def _show_accuracy(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> None:
    rows = forecasts_with_outcomes(store, symbols, as_of)
    cells: list[list[object]] = []
    for symbol, mine in [*rows.groupby("symbol", sort=False), ("all", rows)]:
        a = score(mine)
        if a.share is None or a.lower is None or a.upper is None or a.base_rate is None:
            cells.append([symbol, a.n, None, None, None, a.verdict])
        else:
            interval = f"[{a.lower:.1%}, {a.upper:.1%}]"
            cells.append([symbol, a.n, f"{a.share:.1%}", interval, f"{a.base_rate:.1%}", a.verdict])
    columns = ("symbol", "scored", "accuracy", "95 % interval", "always the likelier side", "")
    show("Accuracy of forecasts, each made before its hour", columns, cells)
    console.print("Symbols move together: the interval of `all` counts hours, not forecasts.", style="dim")


def _show_decisions(platform: Any, as_of: datetime) -> None:
    followed = [symbol.name for symbol in platform.settings.followed]
    rows = platform.store.read(decide.recorded(followed, as_of))
    cells = [
        [
            r.symbol,
            f"{r.horizon} h",
            "retrain" if r.should_retrain else "keep",
            "; ".join(r.reasons) or None,
            r.result and r.result.rpartition(f", {GATE} ")[2].split(";")[0],
        ]
        for r in rows.itertuples()
    ]
    show("Retrain decisions", ("symbol", "horizon", "verdict", "why", "what came of it"), cells)
