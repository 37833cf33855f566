"""The arms of all experiments side by side, hour by hour, and the report of what they say."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Select, and_, case, func, select

from crypto_platform.core import serving, signals
from crypto_platform.core.calibration import log_losses
from crypto_platform.core.experiments import Experiment, Variant, published_arm, summarize
from crypto_platform.core.features import DEFAULT, FeatureSet
from crypto_platform.core.signals import CLASSIFIERS, ENSEMBLE, REGRESSOR
from crypto_platform.errors import ArtifactError
from crypto_platform.operations import registry, watermarks
from crypto_platform.operations.aliases import CHAMPION
from crypto_platform.operations.experiments import experiments, start_defaults
from crypto_platform.operations.provenance import provenance_of_store
from crypto_platform.operations.registry import Served
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.operations.settle import GIVE_UP
from crypto_platform.operations.watermarks import Mark
from crypto_platform.storage import warehouse
from crypto_platform.storage.artifacts import ArtifactStore, write_atomically
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import (
    ab_test_results,
    features,
    prediction_outcomes,
    predictions,
)

REPORT_NAME: Final = "ab_test_report.json"
ARMS: Final = ("A", "B")
Probabilities = Callable[[Variant, pd.DataFrame], tuple[NDArray[np.float64], Sequence[str]]]


def compare(
    store: Warehouse,
    symbols: Sequence[str],
    *,
    as_of: datetime,
    horizons: Sequence[int],
    artifacts: ArtifactStore | None = None,
    feature_set: FeatureSet = DEFAULT,
) -> Report:
    """Write both arms of every champion forecast made by `as_of`, with the outcomes known by then.

    The default experiment of a horizon starts with its first forecast; a running one is never changed.

    Parameters
    ----------
    artifacts : ArtifactStore, optional
        Needed where an experiment pins bundles: these are scored here, on the features of the hour.
    feature_set : FeatureSet
        What the stored features are.
    """
    start_defaults(store, horizons, as_of)
    running = [e for e in experiments(store) if e.started_at <= as_of]
    marks = watermarks.read_marks(store, ab_test_results.name, symbols)
    first = min((e.started_at for e in running), default=as_of)
    starts = {symbol: marks[symbol].watermark if symbol in marks else first for symbol in symbols}
    forecasts = _forecasts(store, symbols, min(starts.values(), default=as_of), as_of)
    forecasts = forecasts[forecasts["prediction_timestamp"] >= forecasts["symbol"].map(starts)].reset_index(drop=True)
    bundles = _pinned(store, running)

    def probabilities(variant: Variant, rows: pd.DataFrame) -> tuple[NDArray[np.float64], Sequence[str]]:
        if variant.version is None:
            return rows[f"prob_up_{variant.model}"].to_numpy(float), rows["version"].tolist()
        of_bundle = _of_bundle(store, artifacts, bundles[variant.version], variant.model, rows, feature_set)
        return of_bundle, [variant.version] * len(rows)

    arms = [arm for e in running for arm in _arms(e, forecasts, probabilities)]
    waiting = forecasts[forecasts["realized_return"].isna()].groupby("symbol")["prediction_timestamp"].min()
    done = {symbol: max(at.to_pydatetime(), as_of - GIVE_UP) for symbol, at in waiting.items()}
    with store.begin() as connection:
        rows = pd.concat(arms) if arms else forecasts.iloc[:0]
        written = warehouse.upsert_by_symbol(connection, ab_test_results, rows)
        moved = {symbol: Mark(max(start, done.get(symbol, as_of))) for symbol, start in starts.items()}
        watermarks.write_marks(connection, ab_test_results.name, moved)
    hours = Counter(forecasts["symbol"])
    results = (SymbolResult(symbol, written[symbol], details={"hours": hours[symbol]}) for symbol in symbols)
    return Report(ab_test_results.name, tuple(results))


def _forecasts(store: Warehouse, symbols: Sequence[str], start: datetime, as_of: datetime) -> pd.DataFrame:
    """Champions' forecasts with their outcomes: of an hour that two were champion for, the one that was made first."""
    key = [predictions.c[name] for name in ("symbol", "horizon", "prediction_timestamp", "version")]
    rows = store.read(
        select(
            *key,
            predictions.c.candle_timestamp,
            predictions.c.prob_up_logistic_regression,
            predictions.c.prob_up_random_forest,
            predictions.c.prob_up_gradient_boosting,
            predictions.c.prob_up.label(f"prob_up_{ENSEMBLE}"),
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
        .order_by(predictions.c.prediction_timestamp, predictions.c.created_at, predictions.c.version)
    )
    return rows.drop_duplicates(["symbol", "horizon", "prediction_timestamp"])


def _pinned(store: Warehouse, running: Sequence[Experiment]) -> Mapping[str, Served]:
    """Bundles that experiments name, by version."""
    texts = [text for e in running for text in (e.variant_a, e.variant_b)]
    versions = {version for text in texts if (version := Variant.parse(text).version)}
    return {version: registry.registered(store, version) for version in versions}


def _of_bundle(
    store: Warehouse,
    artifacts: ArtifactStore | None,
    served: Served,
    model: str,
    rows: pd.DataFrame,
    feature_set: FeatureSet,
) -> NDArray[np.float64]:
    """Up-probabilities of one bundle's model; NaN for other symbols, before its training, and without features."""
    prob_up = np.full(len(rows), np.nan)
    wanted = rows[(rows["symbol"] == served.symbol) & (rows["prediction_timestamp"] >= served.trained_at)]
    if artifacts is None or wanted.empty:
        return prob_up
    try:
        form = registry.load(artifacts, served, feature_set)
    except ArtifactError:  # a missing arm, which the report counts; checks of bundles name the culprit
        return prob_up
    names = list(form.feature_names)
    inputs = store.read(
        select(features.c.timestamp, *(features.c[name] for name in names)).where(
            features.c.symbol == served.symbol,
            features.c.feature_set_hash == feature_set.hash,
            features.c.timestamp.between(
                wanted["candle_timestamp"].min().to_pydatetime(), wanted["candle_timestamp"].max().to_pydatetime()
            ),
        )
    )
    values = inputs.set_index("timestamp").reindex(rows["candle_timestamp"])[names].to_numpy(float)
    usable = np.isfinite(values).all(axis=1) & rows.index.isin(wanted.index)
    if usable.any():
        made = serving.predict(form, values[usable])
        combined = signals.combine(np.column_stack([made[name] for name in CLASSIFIERS]), made[REGRESSOR])
        prob_up[usable] = combined.prob_up if model == ENSEMBLE else made[model]
    return prob_up


def _arms(experiment: Experiment, forecasts: pd.DataFrame, probabilities: Probabilities) -> list[pd.DataFrame]:
    """Rows of both arms, for the hours of the experiment that both can forecast."""
    at = forecasts["prediction_timestamp"]
    counts = (forecasts["horizon"] == experiment.horizon) & (at >= pd.Timestamp(experiment.started_at))
    if experiment.over_at is not None:
        counts &= at <= pd.Timestamp(experiment.over_at)
    mine = forecasts[counts].reset_index(drop=True)
    variants = [Variant.parse(text) for text in (experiment.variant_a, experiment.variant_b)]
    made = [probabilities(variant, mine) for variant in variants]
    paired = np.isfinite(np.column_stack([prob_up for prob_up, _ in made])).all(axis=1)
    candles = zip(mine["symbol"], mine["candle_timestamp"], strict=True)
    published = [published_arm(experiment, symbol, candle.to_pydatetime()) for symbol, candle in candles]
    mine = mine.assign(published_arm=published)
    return [
        _arm(experiment, arm, variant.model, mine.assign(prob_up=prob_up, model_version=list(versions))[paired])
        for arm, variant, (prob_up, versions) in zip(ARMS, variants, made, strict=True)
    ]


def _arm(experiment: Experiment, arm: str, model: str, rows: pd.DataFrame) -> pd.DataFrame:
    prob_up, truth = rows["prob_up"].to_numpy(float), rows["realized_direction"].to_numpy(float)
    sided, known = prob_up != 0.5, np.isfinite(truth)
    called = prob_up > 0.5
    losses = log_losses(np.nan_to_num(truth).astype(int), prob_up)
    kept = ("symbol", "prediction_timestamp", "model_version", "prob_up", "published_arm", "realized_return")
    return rows[list(kept)].assign(
        test_name=experiment.test_name,
        horizon=experiment.horizon,
        arm=arm,
        model_name=model,
        predicted_direction=np.where(sided, called, np.nan),
        confidence=np.maximum(prob_up, 1 - prob_up),
        correct=np.where(known & sided, called == (truth == 1), None),
        log_loss=np.where(known, losses, np.nan),
    )


def write_report(store: Warehouse, folder: Path, *, as_of: datetime) -> tuple[Path, dict[str, Any]]:
    """What every experiment says, as a JSON file; valid JSON always."""
    report = {
        "as_of": as_of.isoformat(),
        "data": str(provenance_of_store(store) or "none").upper(),
        "experiments": [paired_summary(store, e, as_of) for e in experiments(store) if e.started_at <= as_of],
    }
    path = folder / REPORT_NAME
    write_atomically(path, json.dumps(report, indent=1, allow_nan=False).encode())
    return path, report


def paired_summary(store: Warehouse, experiment: Experiment, as_of: datetime) -> dict[str, Any]:
    """An experiment and its `core.experiments.summarize` by `as_of`, in plain JSON values."""
    return {
        "test_name": experiment.test_name,
        "variant_a": experiment.variant_a,
        "variant_b": experiment.variant_b,
        "horizon": experiment.horizon,
        "metric": experiment.metric,
        "alpha": experiment.alpha,
        "split": experiment.split,
        "started_at": experiment.started_at.isoformat(),
        "ends_at": experiment.ends_at and experiment.ends_at.isoformat(),
        "stopped_at": experiment.stopped_at and experiment.stopped_at.isoformat(),
        **summarize(experiment, store.read(_hourly(experiment, as_of)), as_of),
        "retrained": _retrained(store, experiment, as_of),
    }


def _hourly(experiment: Experiment, as_of: datetime) -> Select[Any]:
    """Sums over the symbols of each hour: the store adds up, so that years of hours cost little here."""
    a, b = ab_test_results.alias("a"), ab_test_results.alias("b")
    key = ("test_name", "symbol", "horizon", "prediction_timestamp")
    right_a, right_b = (case((side.c.correct.is_(True), 1), else_=0) for side in (a, b))

    def brier(side: Any) -> Any:
        error = side.c.prob_up - case((side.c.realized_return > 0, 1.0), else_=0.0)
        return func.sum(error * error)

    return (
        select(
            a.c.prediction_timestamp,
            func.sum(right_a * right_b).label("both_right"),
            func.sum(right_a * (1 - right_b)).label("only_a_right"),
            func.sum((1 - right_a) * right_b).label("only_b_right"),
            func.sum((1 - right_a) * (1 - right_b)).label("both_wrong"),
            func.sum(a.c.log_loss).label("log_loss_a"),
            func.sum(b.c.log_loss).label("log_loss_b"),
            brier(a).label("brier_a"),
            brier(b).label("brier_b"),
        )
        .join(b, and_(*(a.c[name] == b.c[name] for name in key), b.c.arm == "B"))
        .where(
            a.c.test_name == experiment.test_name,
            a.c.arm == "A",
            a.c.prediction_timestamp <= as_of,
            a.c.correct.is_not(None),
            b.c.correct.is_not(None),
        )
        .group_by(a.c.prediction_timestamp)
        .order_by(a.c.prediction_timestamp)
    )


def _retrained(store: Warehouse, experiment: Experiment, as_of: datetime) -> list[dict[str, str]]:
    """Bundles that a recipe went on with after its first ones: events of the experiment."""
    rows = store.read(
        select(
            ab_test_results.c.symbol,
            ab_test_results.c.model_version,
            func.min(ab_test_results.c.prediction_timestamp).label("first"),
        )
        .where(ab_test_results.c.test_name == experiment.test_name, ab_test_results.c.prediction_timestamp <= as_of)
        .group_by(ab_test_results.c.symbol, ab_test_results.c.arm, ab_test_results.c.model_version)
    )
    known = rows.drop_duplicates(["symbol", "model_version"]).sort_values(["first", "symbol"])
    later = known[known.duplicated("symbol")]
    recipes = [Variant.parse(text).version for text in (experiment.variant_a, experiment.variant_b)]
    return [
        {"symbol": row.symbol, "version": row.model_version, "at": row.first.isoformat()}
        for row in later.itertuples()
        if row.model_version not in recipes
    ]
