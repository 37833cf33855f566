"""Decisions and the numbers the report shows."""

from sqlalchemy import Boolean, Column, Index, String, Table

from crypto_platform.symbols import ALL
from crypto_platform.tables.columns import document, horizon, instant, metadata, number, symbol, text

retrain_decisions = Table(
    "retrain_decisions",
    metadata,
    symbol(),
    horizon(),
    instant("decision_time", "as_of of the decision", primary_key=True),
    Column("should_retrain", Boolean, nullable=False, comment="The verdict", info={"unit": "flag"}),
    text("policy", "Rule set the verdict comes from"),
    document("reasons", "Triggers that fired, in words", nullable=False),
    document("details", "Statistics, thresholds, and what the other policy would have said", nullable=False),
    text("run_id", "Training run it launched", nullable=True),
    text("result", "What came of that run", nullable=True),
    comment="One row per symbol, horizon and decision, also for `no`.",
    info={"grain": "symbol, horizon, decision"},
)

monitoring_metrics = Table(
    "monitoring_metrics",
    metadata,
    instant("timestamp", "as_of of the measurement", primary_key=True),
    Column("metric_type", String(40), primary_key=True, comment="Family of the metric", info={"unit": "name"}),
    Column("metric_name", String(80), primary_key=True, comment="Metric", info={"unit": "name"}),
    symbol(comment=f"Ticker, or {ALL} for the whole platform"),
    number("metric_value", "as the metric", "Value; NULL where it cannot be known"),
    document("metadata", "Interval, sample size and the like"),
    comment="One row per measurement and metric.",
    info={"grain": "measurement, metric, symbol"},
)
Index("ix_monitoring_metrics_symbol", monitoring_metrics.c.symbol, monitoring_metrics.c.timestamp)
