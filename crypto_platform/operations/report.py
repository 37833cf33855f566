"""The monitoring report: one HTML page that works offline, in light and dark, and on a phone."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd
from sqlalchemy import and_, func, select

from crypto_platform.core import reporting
from crypto_platform.core.accuracy import Accuracy
from crypto_platform.core.hours import HOUR
from crypto_platform.core.metrics import POOLED
from crypto_platform.core.reporting import WEEK, Key, MonitoringReport
from crypto_platform.core.signals import Signal, SignalRules
from crypto_platform.operations import charts, compare, monitor, observe, page, registry
from crypto_platform.operations.experiments import experiments
from crypto_platform.operations.provenance import provenance_of_store
from crypto_platform.operations.registry import Served
from crypto_platform.storage.artifacts import write_atomically
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import model_metrics, ohlcv_data, retrain_decisions, sentiment_data

REPORT_NAME: Final = "monitoring_report.html"


def write_report(
    store: Warehouse, folder: Path, *, as_of: datetime, symbols: Sequence[str], rules: SignalRules | None = None
) -> tuple[Path, dict[str, Any]]:
    """Write the report as `REPORT_NAME` into a folder.

    Parameters
    ----------
    store : Warehouse
    folder : Path
        Of the reports; made where it is missing.
    as_of : datetime
        Nothing known later is shown. The same store and moment give the same bytes.
    symbols : sequence of str
        In the order to show.
    rules : SignalRules, optional
        Thresholds to draw; the defaults without it.

    Returns
    -------
    tuple of Path and dict
        The file, and its summary in plain JSON values; see `summarize`.
    """
    forecasts = observe.forecasts_with_outcomes(store, symbols, as_of)
    report = build(store, forecasts, as_of=as_of, symbols=symbols)
    candles = store.read(
        select(ohlcv_data.c.symbol, ohlcv_data.c.timestamp, ohlcv_data.c.close)
        .where(
            ohlcv_data.c.symbol.in_(symbols),
            ohlcv_data.c.timestamp > as_of - WEEK - HOUR,
            ohlcv_data.c.timestamp <= as_of - HOUR,
        )
        .order_by(ohlcv_data.c.symbol, ohlcv_data.c.timestamp)
    )
    keys = [(serving.symbol, serving.horizon) for serving in report.health.serving]
    figure = {
        "layout": charts.layout(as_of, rules or SignalRules()),
        "traces": charts.figure_data(keys, candles, forecasts, as_of),
    }
    content = page.render(report, figure).encode()
    path = folder / REPORT_NAME
    write_atomically(path, content)
    return path, {**summarize(report), "bytes": len(content)}


def build(store: Warehouse, forecasts: pd.DataFrame, *, as_of: datetime, symbols: Sequence[str]) -> MonitoringReport:
    """Numbers and verdicts of the report; `forecasts` are those of `observe.forecasts_with_outcomes`."""
    champions = registry.champions(store, symbols, as_of)
    health = observe.health(store, symbols, as_of=as_of, champions=champions, forecasts=forecasts)
    keys = [(serving.symbol, serving.horizon) for serving in health.serving]
    forecasts_of = dict(iter(forecasts.groupby(["symbol", "horizon"])))
    return MonitoringReport(
        as_of=as_of,
        provenance=provenance_of_store(store),
        symbols=tuple(symbols),
        health=health,
        forecasts=tuple(
            reporting.latest_forecast(key, forecasts_of.get(key, forecasts.iloc[:0]), as_of) for key in keys
        ),
        walk_forward=_walk_forward(store, champions, keys),
        experiments=tuple(
            compare.paired_summary(store, experiment, as_of)
            for experiment in experiments(store)
            if experiment.started_at <= as_of
        ),
        decisions=_decisions(store, keys, as_of),
        sentiment=_sentiment(store, as_of),
        pooled=monitor.pooled_alarms(store, as_of),
    )


def _walk_forward(
    store: Warehouse, champions: Mapping[Key, Served], keys: Sequence[Key]
) -> tuple[reporting.WalkForwardScores, ...]:
    versions = [served.version for served in champions.values()]
    rows = store.read(
        select(model_metrics)
        .where(model_metrics.c.version.in_(versions), model_metrics.c.fold == POOLED)
        .order_by(model_metrics.c.model_name, model_metrics.c.metric_name)
    )
    of_version = dict(iter(rows.groupby("version")))
    return tuple(
        reporting.walk_forward_scores(key, champions[key].version, of_version[champions[key].version])
        for key in keys
        if key in champions and champions[key].version in of_version
    )


def _decisions(store: Warehouse, keys: Sequence[Key], as_of: datetime) -> tuple[reporting.RetrainVerdict, ...]:
    newest = (
        select(
            retrain_decisions.c.symbol,
            retrain_decisions.c.horizon,
            func.max(retrain_decisions.c.decision_time).label("decision_time"),
        )
        .where(
            retrain_decisions.c.symbol.in_({symbol for symbol, _ in keys}),
            retrain_decisions.c.decision_time <= as_of,
        )
        .group_by(retrain_decisions.c.symbol, retrain_decisions.c.horizon)
        .subquery()
    )
    rows = store.read(
        select(retrain_decisions).join(
            newest, and_(*(retrain_decisions.c[column.name] == column for column in newest.c))
        )
    )
    return reporting.retrain_verdicts(rows, keys)


def _sentiment(store: Warehouse, as_of: datetime) -> reporting.Sentiment | None:
    rows = store.read(
        select(sentiment_data)
        .where(sentiment_data.c.known_at <= as_of)
        .order_by(sentiment_data.c.timestamp.desc())
        .limit(1)
    )
    if rows.empty:
        return None
    row = rows.iloc[0]
    return reporting.Sentiment(
        row["timestamp"].to_pydatetime(), int(row["fear_greed_value"]), row["fear_greed_classification"]
    )


def summarize(report: MonitoringReport) -> dict[str, Any]:
    """What a reader in a hurry wants, in plain JSON values.

    Returns
    -------
    dict
        `as_of` (ISO 8601), `data` (LIVE, RECORDED, SIMULATED or NONE), counts of `symbols`, `forecasts` (with a
        probability) and of each signal in `signals`, `accuracy_7d` over all symbols (shortest horizon), the symbols
        to `retrain`, `candle_age_minutes` (oldest), `gap_hours_7d`, `quarantined_7d`, and `rows`, one per symbol and
        horizon. What is not known is None.
    """
    health = report.health
    ages = [data.age_minutes for data in health.data if data.age_minutes is not None]
    signals = [forecast.signal for forecast in report.forecasts]
    serving = {(s.symbol, s.horizon): s for s in health.serving}
    return {
        "as_of": report.as_of.isoformat(),
        "data": str(report.provenance or "none").upper(),
        "symbols": len(report.symbols),
        "forecasts": sum(forecast.prob_up is not None for forecast in report.forecasts),
        "signals": {signal.value: signals.count(signal.value) for signal in Signal},
        "accuracy_7d": _plain(health.overall[min(health.overall)]["7d"]) if health.overall else None,
        "retrain": sorted({decision.symbol for decision in report.decisions if decision.should_retrain}),
        "candle_age_minutes": max(ages, default=None),
        "gap_hours_7d": sum(data.gap_hours or 0 for data in health.data),
        "quarantined_7d": sum(data.quarantined for data in health.data) + health.refused_elsewhere,
        "rows": [
            {
                "symbol": forecast.symbol,
                "horizon": forecast.horizon,
                "price": forecast.price,
                "prob_up": forecast.prob_up,
                "signal": forecast.signal,
                "signal_before_costs": forecast.before_costs,
                "reason": forecast.reason,
                "accuracy_7d": _plain(serving[forecast.symbol, forecast.horizon].accuracy["7d"]),
            }
            for forecast in report.forecasts
        ],
    }


def _plain(accuracy: Accuracy) -> dict[str, Any]:
    return {
        "n": accuracy.n,
        "share": accuracy.share,
        "lower": accuracy.lower,
        "upper": accuracy.upper,
        "verdict": accuracy.verdict,
    }


def summary_markdown(summary: Mapping[str, Any]) -> str:
    """The summary of `write_report` as a Markdown table with a line above it."""
    lines = [
        f"**{summary['data']}** data, as of {summary['as_of']}",
        "",
        "| symbol | ahead | price | p(up) | signal | before costs | accuracy 7 d (95 %) | n | verdict | why |",
        "| --- | --- | ---: | ---: | --- | --- | --- | ---: | --- | --- |",
    ]
    for row in summary["rows"]:
        scored = row["accuracy_7d"]
        interval = f" ({page.percent(scored['lower'])} to {page.percent(scored['upper'])})" if scored["n"] else ""
        cells = (
            row["symbol"],
            f"{row['horizon']} h",
            page.price(row["price"]),
            page.percent(row["prob_up"]),
            row["signal"] or page.UNKNOWN,
            row["signal_before_costs"] or page.UNKNOWN,
            page.percent(scored["share"]) + interval,
            str(scored["n"]),
            scored["verdict"],
            row["reason"],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
