"""Every table, declared once: names, types, units, constraints and what a row means.

Migrations, upserts, frame validation, Dagster's column schemas and the data dictionary are rendered from these
declarations. No query, connection or computation belongs here.
"""

from crypto_platform.tables.alerts import alert_deliveries, alerts
from crypto_platform.tables.columns import metadata
from crypto_platform.tables.experiments import ab_test_config, ab_test_results
from crypto_platform.tables.features import features
from crypto_platform.tables.market import (
    imported_files,
    market_data,
    ohlcv_crosschecks,
    ohlcv_data,
    ohlcv_gaps,
    ohlcv_revisions,
    quarantine,
    sentiment_data,
    vendor_states,
    watermarks,
)
from crypto_platform.tables.models import model_aliases, model_metrics, model_versions
from crypto_platform.tables.monitoring import monitoring_metrics, retrain_decisions
from crypto_platform.tables.predictions import latest_predictions, prediction_outcomes, predictions

__all__ = [
    "ab_test_config",
    "ab_test_results",
    "alert_deliveries",
    "alerts",
    "features",
    "imported_files",
    "latest_predictions",
    "market_data",
    "metadata",
    "model_aliases",
    "model_metrics",
    "model_versions",
    "monitoring_metrics",
    "ohlcv_crosschecks",
    "ohlcv_data",
    "ohlcv_gaps",
    "ohlcv_revisions",
    "prediction_outcomes",
    "predictions",
    "quarantine",
    "retrain_decisions",
    "sentiment_data",
    "vendor_states",
    "watermarks",
]
