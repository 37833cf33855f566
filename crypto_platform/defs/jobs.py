"""The jobs: which assets and checks run together. Each runs in one process, over a range of symbols."""

from typing import Any

import dagster as dg

from crypto_platform.core import timetable
from crypto_platform.defs.assets.oversight import AB_REPORT, MONITORING_REPORT
from crypto_platform.defs.assets.science import MODELS
from crypto_platform.defs.checks import DECISIONS, HOUR_IS_SERVED, key_of
from crypto_platform.tables import (
    ab_test_results,
    features,
    market_data,
    model_metrics,
    monitoring_metrics,
    ohlcv_crosschecks,
    ohlcv_data,
    prediction_outcomes,
    predictions,
    retrain_decisions,
    sentiment_data,
)

COLLECT, HOURLY, TRAIN = timetable.COLLECT, timetable.HOURLY, timetable.TRAIN
EXPERIMENT, REPORT, RETRAIN_DECISION = timetable.EXPERIMENT, timetable.REPORT, timetable.RETRAIN_DECISION

ASSETS = {
    COLLECT: (market_data.name, ohlcv_data.name, ohlcv_crosschecks.name, sentiment_data.name),
    HOURLY: (ohlcv_data.name, features.name, predictions.name, prediction_outcomes.name),
    TRAIN: (MODELS, model_metrics.name),
    EXPERIMENT: (ab_test_results.name, AB_REPORT),
    REPORT: (monitoring_metrics.name, MONITORING_REPORT),
    RETRAIN_DECISION: (retrain_decisions.name,),
}
_DESCRIPTIONS = {
    COLLECT: "Market snapshots, closed candles, a second opinion on some of them, and sentiment.",
    HOURLY: "The hour just closed: candle, features, forecast and outcomes, in this order.",
    TRAIN: "The four models of a symbol, validated walk-forward, registered and served.",
    EXPERIMENT: "Both arms of every hour, and the report of their paired counts.",
    REPORT: "Measurements and the Plotly report.",
    RETRAIN_DECISION: "The retrain decision of every symbol, also for `no`, and the checks behind it.",
}


def build() -> list[Any]:
    """All jobs."""
    symbolwise = {HOURLY: [key_of(HOUR_IS_SERVED)], RETRAIN_DECISION: [key_of(check) for check in DECISIONS]}
    all_symbolwise = [key for keys in symbolwise.values() for key in keys]
    jobs = []
    for name, assets in ASSETS.items():
        selection: dg.AssetSelection = dg.AssetSelection.assets(*assets)
        # Evaluations symbol by symbol are dear: only the jobs they are for make them.
        selection = selection - dg.AssetSelection.checks(*all_symbolwise)
        if name in symbolwise:
            selection = selection | dg.AssetSelection.checks(*symbolwise[name])
        jobs.append(
            dg.define_asset_job(
                name, selection=selection, description=_DESCRIPTIONS[name], executor_def=dg.in_process_executor
            )
        )
    return jobs
