"""The A/B experiment: both arms of every hour side by side, and the report of their paired counts."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import and_, func, select

from crypto_platform.core.calibration import log_losses
from crypto_platform.core.experiments import Experiment, paired_counts, published_arm
from crypto_platform.operations import watermarks
from crypto_platform.operations.provenance import provenance_of_store
from crypto_platform.operations.registry import CHAMPION
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.operations.watermarks import Mark
from crypto_platform.storage import warehouse
from crypto_platform.storage.artifacts import write_atomically
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import ab_test_config, ab_test_results, prediction_outcomes, predictions

REPORT_NAME: Final = "ab_test_report.json"
DEFAULT_NAME: Final = "forest_against_boosting"
ARMS: Final = ("A", "B")


def default_experiment(horizon: int, started_at: datetime) -> Experiment:
    """Random forest against gradient boosting, half and half, nothing published."""
    return Experiment(
        test_name=f"{DEFAULT_NAME}_{horizon}h",
        variant_a="random_forest",
        variant_b="gradient_boosting",
        horizon=horizon,
        split=0.5,
        salt="crypto_platform",
        alpha=0.05,
        publish=False,
        started_at=started_at,
    )


def experiments(store: Warehouse) -> list[Experiment]:
    """All experiments, by name."""
    rows = store.read(select(ab_test_config).order_by(ab_test_config.c.test_name))
    return [
        Experiment(
            **{
                **row,
                "started_at": row["started_at"].to_pydatetime(),
                "ends_at": None if pd.isna(row["ends_at"]) else row["ends_at"].to_pydatetime(),
            }
        )
        for row in rows.to_dict("records")
    ]


def compare(store: Warehouse, symbols: Sequence[str], *, as_of: datetime, horizons: Sequence[int]) -> Report:
    """Write both arms of every champion forecast made by `as_of`, with the outcomes known by then.

    The default experiment of a horizon starts with its first forecast; a running one is never changed.
    """
    _start_defaults(store, horizons, as_of)
    running = experiments(store)
    marks = watermarks.read_marks(store, ab_test_results.name, symbols)
    first = min((e.started_at for e in running), default=as_of)
    starts = {symbol: marks[symbol].watermark if symbol in marks else first for symbol in symbols}
    held = _forecasts(store, symbols, min(starts.values(), default=as_of), as_of)
    by_symbol = dict(iter(held.groupby("symbol")))
    results = []
    for symbol, start in starts.items():
        forecasts = by_symbol.get(symbol, held.iloc[:0])
        forecasts = forecasts[forecasts["prediction_timestamp"] >= start]
        rows = [arm for experiment in running for arm in _arms(experiment, symbol, forecasts)]
        open_hours = forecasts.loc[forecasts["realized_return"].isna(), "prediction_timestamp"]
        done = open_hours.min().to_pydatetime() if len(open_hours) else as_of
        with store.begin() as connection:
            written = warehouse.upsert(connection, ab_test_results, warehouse.records(rows)) if rows else 0
            watermarks.write_mark(connection, ab_test_results.name, symbol, Mark(max(start, done)))
        results.append(SymbolResult(symbol, written, details={"hours": len(forecasts)}))
    return Report(ab_test_results.name, tuple(results))


def _start_defaults(store: Warehouse, horizons: Sequence[int], as_of: datetime) -> None:
    firsts = store.read(
        select(predictions.c.horizon, func.min(predictions.c.prediction_timestamp).label("first"))
        .where(predictions.c.prob_up.is_not(None), predictions.c.prediction_timestamp <= as_of)
        .group_by(predictions.c.horizon)
    )
    first_of = {int(row.horizon): row.first.to_pydatetime() for row in firsts.itertuples()}
    starting = [default_experiment(h, first_of[h]) for h in horizons if h in first_of]
    rows = [{name: getattr(e, name) for name in Experiment.__dataclass_fields__} for e in starting]
    with store.begin() as connection:
        warehouse.insert_missing(connection, ab_test_config, warehouse.records(rows))


def _forecasts(store: Warehouse, symbols: Sequence[str], start: datetime, as_of: datetime) -> pd.DataFrame:
    key = [predictions.c[name] for name in ("symbol", "horizon", "prediction_timestamp", "version")]
    return store.read(
        select(
            *key,
            predictions.c.candle_timestamp,
            predictions.c.prob_up_logistic_regression,
            predictions.c.prob_up_random_forest,
            predictions.c.prob_up_gradient_boosting,
            predictions.c.prob_up.label("prob_up_ensemble"),
            prediction_outcomes.c.realized_return,
            prediction_outcomes.c.realized_direction,
        )
        .outerjoin(prediction_outcomes, and_(*(prediction_outcomes.c[c.name] == c for c in key)))
        .where(
            predictions.c.symbol.in_(symbols),
            predictions.c.role == CHAMPION,
            predictions.c.prob_up.is_not(None),
            predictions.c.prediction_timestamp >= start,
            predictions.c.prediction_timestamp <= as_of,
        )
        .order_by(predictions.c.prediction_timestamp)
    )


def _arms(experiment: Experiment, symbol: str, forecasts: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    mine = forecasts[forecasts["horizon"] == experiment.horizon]
    for arm, model in zip(ARMS, (experiment.variant_a, experiment.variant_b), strict=True):
        prob_up = mine[f"prob_up_{model}"].to_numpy(float)
        direction = mine["realized_direction"].to_numpy(float)
        losses = log_losses(np.nan_to_num(direction).astype(int), prob_up)
        for row, p, truth, loss in zip(mine.itertuples(), prob_up, direction, losses, strict=True):
            if not np.isfinite(p):
                continue
            side = None if p == 0.5 else int(p > 0.5)
            known = bool(np.isfinite(truth))
            rows.append(
                {
                    "test_name": experiment.test_name,
                    "symbol": symbol,
                    "horizon": experiment.horizon,
                    "prediction_timestamp": row.prediction_timestamp,
                    "arm": arm,
                    "model_version": row.version,
                    "model_name": model,
                    "predicted_direction": side,
                    "prob_up": p,
                    "confidence": max(p, 1 - p),
                    "published_arm": published_arm(experiment, symbol, row.candle_timestamp.to_pydatetime()),
                    "realized_return": row.realized_return,
                    "correct": side == int(truth) if known and side is not None else None,
                    "log_loss": float(loss) if known else None,
                }
            )
    return rows


def write_report(store: Warehouse, folder: Path, *, as_of: datetime) -> tuple[Path, dict[str, Any]]:
    """The paired counts of every experiment as a JSON file; valid JSON always."""
    report = {
        "as_of": as_of.isoformat(),
        "data": str(provenance_of_store(store) or "none").upper(),
        "experiments": [paired_summary(store, experiment, as_of) for experiment in experiments(store)],
    }
    path = folder / REPORT_NAME
    write_atomically(path, json.dumps(report, indent=1, allow_nan=False).encode())
    return path, report


def paired_summary(store: Warehouse, experiment: Experiment, as_of: datetime) -> dict[str, Any]:
    """An experiment and its `core.experiments.paired_counts` by `as_of`, in plain JSON values."""
    rows = store.read(
        select(
            ab_test_results.c.symbol,
            ab_test_results.c.prediction_timestamp,
            ab_test_results.c.arm,
            ab_test_results.c.correct,
            ab_test_results.c.log_loss,
        ).where(ab_test_results.c.test_name == experiment.test_name, ab_test_results.c.prediction_timestamp <= as_of)
    )
    key = ["symbol", "prediction_timestamp"]
    a, b = (rows[rows["arm"] == arm].drop(columns="arm").set_index(key) for arm in ARMS)
    pairs = a.merge(b, left_index=True, right_index=True, suffixes=("_a", "_b")).reset_index()
    return {
        "test_name": experiment.test_name,
        "variant_a": experiment.variant_a,
        "variant_b": experiment.variant_b,
        "horizon": experiment.horizon,
        "started_at": experiment.started_at.isoformat(),
        **paired_counts(pairs),
    }
