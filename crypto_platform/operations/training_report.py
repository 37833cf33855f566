"""What the newest training of each symbol and horizon showed, from what the store holds."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
from sqlalchemy import select

from crypto_platform.core import metrics, training_report
from crypto_platform.core.metrics import Metric
from crypto_platform.core.promotion import GATE, words_of
from crypto_platform.core.training_report import Trained
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import model_metrics, model_versions


def report(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> tuple[str, dict[str, str]]:
    """The skill statement, and each symbol's report as Markdown.

    Parameters
    ----------
    store : Warehouse
    symbols : sequence of str
        Whose reports are wanted. The statement is over the newest bundles of all symbols: whoever was tested counts.
    as_of : datetime
    """
    bundles = newest(store, as_of)
    p_values = training_report.adjusted(bundles)
    reports = {
        symbol: "\n\n".join(training_report.markdown(b, p_values) for b in bundles if b.symbol == symbol)
        for symbol in symbols
        if any(b.symbol == symbol for b in bundles)
    }
    return training_report.statement(p_values), reports


def newest(store: Warehouse, as_of: datetime) -> list[Trained]:
    """The newest bundle of each symbol and horizon, with its pooled and holdout scores."""
    v = model_versions.c
    versions = store.read(select(model_versions).where(v.trained_at <= as_of).order_by(v.trained_at, v.version))
    versions = versions.groupby(["symbol", "horizon"], as_index=False).tail(1).sort_values(["symbol", "horizon"])
    m = model_metrics.c
    scores = store.read(
        select(model_metrics)
        .where(m.version.in_(versions["version"].tolist()), m.fold.in_([metrics.POOLED, metrics.HOLDOUT]))
        .order_by(m.version, m.fold.desc(), m.model_name, m.metric_name)
    )
    of_version = {version: _metrics(rows) for version, rows in scores.groupby("version")}
    return [_trained(row, of_version.get(row.version, [])) for row in versions.itertuples()]


def _trained(row: Any, scores: Sequence[Metric]) -> Trained:
    details: Mapping[str, Any] = row.details or {}
    return Trained(
        symbol=row.symbol,
        version=row.version,
        horizon=int(row.horizon),
        scores=scores,
        calibrated=sorted(details.get("calibrators", ())),
        p0=details.get("p0"),
        gate=words_of(details[GATE]) if GATE in details else "",
        important=dict(details.get("important_features", ())),
    )


def _metrics(rows: pd.DataFrame) -> list[Metric]:
    return [
        Metric(
            row.model_name,
            row.metric_name,
            int(row.fold),
            float(row.metric_value),
            int(row.n),
            None if pd.isna(row.lower) else float(row.lower),
            None if pd.isna(row.upper) else float(row.upper),
        )
        for row in rows.itertuples()
    ]
