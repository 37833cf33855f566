"""What should be true of features, models, forecasts, and of what watches them."""

from typing import Final

from sqlalchemy import and_, func, select

from crypto_platform.core.hours import HOUR
from crypto_platform.core.signals import Reason
from crypto_platform.operations import monitor
from crypto_platform.operations.aliases import CHAMPION
from crypto_platform.operations.checks.base import DAY, RECENT, Failing, Scope, check, last, newest, older_than, words
from crypto_platform.operations.registry import FALL_BACK, aliases, champions
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import ALL
from crypto_platform.tables import (
    ab_test_results,
    features,
    model_metrics,
    monitoring_metrics,
    ohlcv_data,
    prediction_outcomes,
    predictions,
    retrain_decisions,
)

MODELS: Final = "models"  # the asset; its table is model_versions
FORECAST_AGE: Final = 3 * HOUR
UNSETTLED_AGE: Final = 6 * HOUR
MEASURED_AGE: Final = 2 * HOUR


def features_follow_candles(store: Warehouse, scope: Scope) -> Failing:
    """By the newest of each."""
    closed = ohlcv_data.c.timestamp <= scope.as_of - HOUR
    candles = store.read(newest(ohlcv_data.c.timestamp, scope, closed)).dropna()
    built = store.read(newest(features.c.timestamp, scope, features.c.feature_set_hash == scope.feature_set.hash))
    rows = candles.merge(built, on="symbol", suffixes=("", "_built"))
    behind = rows["newest_built"].isna() | (rows["newest_built"] < rows["newest"])
    return dict.fromkeys(rows["symbol"][behind], "it has no feature row for its newest candle")


def labels_are_known_facts(store: Warehouse, scope: Scope) -> Failing:
    """By the newest hours, whose labels end in the future."""
    rows = store.read(
        select(features.c.symbol, func.count().label("n"))
        .where(
            features.c.symbol.in_(scope.names),
            features.c.timestamp > scope.as_of - 2 * HOUR,
            features.c.target_return_1.is_not(None),
        )
        .group_by(features.c.symbol)
    )
    return {row.symbol: f"{row.n} labels reach beyond the present" for row in rows.itertuples()}


def every_symbol_has_a_champion(store: Warehouse, scope: Scope) -> Failing:
    """Of any horizon."""
    served = {symbol for symbol, _ in champions(store, scope.names, scope.as_of)}
    return {symbol: "no model serves it yet" for symbol in scope.listed if symbol not in served}


def metrics_are_out_of_sample(store: Warehouse, scope: Scope) -> Failing:
    """Fold −1 holds the pooled ones."""
    held = champions(store, scope.names, scope.as_of)
    rows = store.read(
        select(model_metrics.c.version)
        .where(model_metrics.c.version.in_([s.version for s in held.values()]), model_metrics.c.fold == -1)
        .distinct()
    )
    known = set(rows["version"])
    return {s.symbol: f"bundle {s.version} has no metrics" for s in held.values() if s.version not in known}


def champions_serve_themselves(store: Warehouse, scope: Scope) -> Failing:
    """By who changed the alias last, and by the newest forecasts."""
    rows = aliases(store, scope.names)
    rows = rows[(rows["alias"] == CHAMPION) & (rows["at"] <= scope.as_of)]
    changes = rows.drop_duplicates(["symbol", "horizon"], keep="last")
    standing_in = changes[changes["actor"] == FALL_BACK]
    p = predictions.c
    refused = store.read(
        select(p.symbol.distinct().label("symbol")).where(
            p.symbol.in_(scope.names),
            p.reason == Reason.MODEL_REFUSED.value,
            p.prediction_timestamp > scope.as_of - FORECAST_AGE,
        )
    )
    return {
        **{row.symbol: f"since {row.at:%Y-%m-%d %H:%M} UTC, {row.reason}" for row in standing_in.itertuples()},
        **dict.fromkeys(refused["symbol"], "its bundles are refused, all of them: its hours are HOLD"),
    }


def forecasts_are_fresh(store: Warehouse, scope: Scope) -> Failing:
    """A row with a reason only is no forecast, and one in the shadow serves nobody."""
    p = predictions.c
    rows = store.read(newest(p.prediction_timestamp, scope, p.prob_up.is_not(None), p.role == CHAMPION))
    return older_than(rows, scope.listed, scope.as_of, FORECAST_AGE)


def outcomes_are_settled(store: Warehouse, scope: Scope) -> Failing:
    """By the shortest horizon."""
    key = ("symbol", "horizon", "prediction_timestamp", "version")
    rows = store.read(
        select(predictions.c.symbol, func.count().label("n"))
        .join(
            features,
            and_(
                features.c.symbol == predictions.c.symbol,
                features.c.timestamp == predictions.c.candle_timestamp,
                features.c.feature_set_hash == scope.feature_set.hash,
            ),
        )
        .outerjoin(prediction_outcomes, and_(*(prediction_outcomes.c[n] == predictions.c[n] for n in key)))
        .where(
            predictions.c.symbol.in_(scope.names),
            predictions.c.prob_up.is_not(None),
            predictions.c.prediction_timestamp > scope.as_of - RECENT,
            predictions.c.prediction_timestamp < scope.as_of - UNSETTLED_AGE - HOUR,
            predictions.c.horizon == 1,
            features.c.target_return_1.is_not(None),
            prediction_outcomes.c.symbol.is_(None),
        )
        .group_by(predictions.c.symbol)
    )
    return {row.symbol: f"{row.n} forecasts wait for their outcome" for row in rows.itertuples()}


def arms_are_paired(store: Warehouse, scope: Scope) -> Failing:
    """Two rows an hour and experiment."""
    pairs = (
        select(ab_test_results.c.symbol)
        .where(ab_test_results.c.symbol.in_(scope.names), ab_test_results.c.prediction_timestamp > scope.as_of - RECENT)
        .group_by(ab_test_results.c.test_name, ab_test_results.c.symbol, ab_test_results.c.prediction_timestamp)
        .having(func.count() != 2)
    ).subquery()
    rows = store.read(select(pairs.c.symbol, func.count().label("n")).group_by(pairs.c.symbol))
    return {row.symbol: f"{row.n} hours lack an arm" for row in rows.itertuples()}


def decisions_are_recent(store: Warehouse, scope: Scope) -> Failing:
    """By the newest decision, whatever it was."""
    rows = store.read(newest(retrain_decisions.c.decision_time, scope))
    return older_than(rows, scope.listed, scope.as_of, DAY)


def metrics_are_recent(store: Warehouse, scope: Scope) -> Failing:
    """By the measurements of the whole platform."""
    at = monitoring_metrics.c.timestamp
    rows = store.read(select(func.max(at).label("newest")).where(monitoring_metrics.c.symbol == ALL)).assign(symbol=ALL)
    return older_than(rows, [ALL], scope.as_of, MEASURED_AGE)


def symbols_together_hold_their_accuracy(store: Warehouse, scope: Scope) -> Failing:
    """By the newest measurement of the pooled view."""
    raised = {h: alarm for h, alarm in monitor.pooled_alarms(store, scope.as_of).items() if alarm.raised}
    said = [
        f"{h} h: {alarm.highest:.3g} of {alarm.threshold:g}, now {alarm.statistic:.3g}" for h, alarm in raised.items()
    ]
    return {ALL: f"the e-detector of the last 90 days is an alarm ({'; '.join(said)})"} if said else {}


CHECKS: Final = (
    check(
        features,
        features_follow_candles,
        "Every symbol's newest closed candle has its feature row.",
        "Forecasts are made of older features, or not at all.",
        "Materialize the features of the symbol; its error is in the run.",
        is_error=True,
    ),
    check(
        features,
        labels_are_known_facts,
        "No label of a future that had not happened yet.",
        "Models would be trained on what cannot be known: their metrics are too good.",
        "Stop training and build the features of the symbol again; report it as a bug.",
        is_error=True,
    ),
    check(
        MODELS,
        every_symbol_has_a_champion,
        "A model serves each symbol.",
        "The symbol gets no forecasts.",
        "Wait until it has rows enough for a training, or run the training of the symbol and read its reason.",
    ),
    check(
        model_metrics,
        metrics_are_out_of_sample,
        "Every champion has pooled walk-forward metrics.",
        "A model serves of which nobody knows how well it does.",
        "Train the symbol again, or roll back to the version before.",
        is_error=True,
    ),
    check(
        predictions,
        champions_serve_themselves,
        "No champion stands in for one whose bundle was refused, and no hour is a HOLD for that reason.",
        "An older model forecasts, or none; files of bundles are damaged, tampered with or gone.",
        "Find out what happened to the folder of bundles (`crypto-platform verify` names them), then train the symbol.",
    ),
    check(
        predictions,
        forecasts_are_fresh,
        f"The newest forecast stands for a moment at most {words(FORECAST_AGE)} ago.",
        "Readers see an old forecast.",
        "The newest row of the symbol gives the reason why there is none.",
    ),
    check(
        prediction_outcomes,
        outcomes_are_settled,
        f"No forecast of {last(RECENT)} whose label is known waits longer than {words(UNSETTLED_AGE)} for its outcome.",
        "Accuracy is stated without these hours.",
        "Run the hourly job; it settles whatever waits.",
    ),
    check(
        ab_test_results,
        arms_are_paired,
        f"Every hour of {last(RECENT)} has both arms.",
        "The paired counts of the experiment are not paired.",
        "Run the experiment job; an hour it cannot pair is a bug to report.",
        is_error=True,
    ),
    check(
        retrain_decisions,
        decisions_are_recent,
        f"Every symbol was judged in {last(DAY)}.",
        "A model that has gone bad would not be seen.",
        "Look at the runs of the retrain decision and whether its schedule is on.",
    ),
    check(
        monitoring_metrics,
        metrics_are_recent,
        f"The platform was measured in {last(MEASURED_AGE)}.",
        "The report shows old numbers.",
        "Look at the runs of the report job and whether its schedule is on.",
    ),
    check(
        monitoring_metrics,
        symbols_together_hold_their_accuracy,
        "All symbols together forecast as well as their validation lets expect: the e-detector is no alarm.",
        "The platform has forecast worse than it should for weeks, though perhaps no symbol for itself.",
        "Compare the symbols' accuracy in the report. Nothing is trained for it: train by hand, or rely on no signal.",
    ),
)
