"""Forecasts as they were made, and what came of them."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
)

from crypto_platform.tables.columns import (
    count,
    document,
    horizon,
    instant,
    metadata,
    number,
    probability,
    symbol,
    text,
    version,
)

NO_VERSION = "none"  # of a row that says why there is no forecast where there was no bundle either
DIRECTION = "1 = up, 0 = down; NULL where there is none"


def _direction(name: str, comment: str) -> Column[int]:
    return Column(
        name,
        Integer,
        CheckConstraint(f"{name} IN (0, 1)", name=f"{name}_binary"),
        nullable=True,
        comment=f"{comment}: {DIRECTION}",
        info={"unit": "direction"},
    )


def _signal(name: str, comment: str) -> Column[str]:
    return Column(
        name,
        String(4),
        CheckConstraint(f"{name} IN ('BUY', 'SELL', 'HOLD')", name=f"{name}_known"),
        nullable=False,
        comment=comment,
        info={"unit": "word"},
    )


predictions = Table(
    "predictions",
    metadata,
    symbol(),
    horizon(),
    instant("prediction_timestamp", "as_of of the newest candle it used", primary_key=True),
    version(primary_key=True),
    instant("candle_timestamp", "Open time of the newest candle it used"),
    instant("created_at", "When it was written"),
    Column(
        "role",
        String(12),
        CheckConstraint("role IN ('champion', 'challenger', 'previous')", name="role_known"),
        nullable=False,
        comment="Alias its bundle had then; only the champion's forecast is served",
        info={"unit": "word"},
    ),
    Column(
        "origin",
        String(12),
        CheckConstraint("origin IN ('live', 'late', 'walk_forward')", name="origin_known"),
        nullable=False,
        comment="late = written more than 30 minutes after prediction_timestamp",
        info={"unit": "word"},
    ),
    number("current_price", "quote currency", "Close of the newest candle", check="> 0", nullable=False),
    _direction("predicted_direction", "Side of the ensemble"),
    probability("confidence", "max(prob_up, prob_down): of the ensemble's own direction"),
    probability("prob_up", "Mean up-probability of the classifiers"),
    probability("prob_down", "1 - prob_up"),
    number("predicted_return", "fraction", "Ridge regression's simple return over the horizon"),
    number("predicted_price", "quote currency", "current_price x (1 + predicted_return)"),
    _signal("signal", "What the rules make of it after costs"),
    _signal("signal_before_costs", "The same rules without the cost term"),
    text("reason", "Why it is HOLD; NULL for BUY and SELL", nullable=True),
    probability("ensemble_agreement", "Share of the models' votes on the ensemble's side"),
    count("ensemble_votes", "Models that voted", nullable=True),
    number("expected_edge", "fraction", "(2 prob_up - 1) x mean |return| of the last 168 resolved hours"),
    number(
        "break_even_probability", "probability", "prob_up at which the expected edge pays the costs; above 1: never"
    ),
    probability("prob_up_logistic_regression", "Up-probability of the logistic regression"),
    probability("prob_up_random_forest", "Up-probability of the random forest"),
    probability("prob_up_gradient_boosting", "Up-probability of the gradient boosting"),
    number("return_ridge_regression", "fraction", "Simple return forecast by the ridge regression"),
    number("novelty", "ratio", "Distance from the training rows in units of theirs; above 1.5 novel", check=">= 0"),
    document("missing_features", "Features without a value, where that is the reason"),
    instant(
        "resumes_at",
        "First prediction_timestamp after a warm-up that no further hour interrupts, where that is the reason",
        nullable=True,
    ),
    comment="One row per symbol, horizon, hour and bundle; never overwritten. Without a bundle, version = `none`.",
    info={"grain": "symbol, horizon, hour, bundle"},
)
Index("ix_predictions_symbol_candle", predictions.c.symbol, predictions.c.candle_timestamp)

# A view: the champion's newest row of each symbol and horizon.
latest_predictions = Table(
    "latest_predictions", MetaData(), *(Column(c.name, c.type, info=c.info) for c in predictions.c)
)

prediction_outcomes = Table(
    "prediction_outcomes",
    metadata,
    symbol(),
    horizon(),
    instant("prediction_timestamp", "as_of of the newest candle the forecast used", primary_key=True),
    version(primary_key=True),
    number("realized_return", "fraction", "Simple return over the horizon", check="> -1", nullable=False),
    _direction("realized_direction", "Sign of the return (no direction at exactly zero)"),
    Column("correct", Boolean, nullable=True, comment="Whether the side was right", info={"unit": "flag"}),
    number("log_loss", "nats", "-ln of the probability given to what happened", check=">= 0"),
    instant("resolved_at", "When the label became known: prediction_timestamp + horizon"),
    ForeignKeyConstraint(
        ["symbol", "horizon", "prediction_timestamp", "version"],
        [
            "predictions.symbol",
            "predictions.horizon",
            "predictions.prediction_timestamp",
            "predictions.version",
        ],
    ),
    comment="One row per settled forecast.",
    info={"grain": "symbol, horizon, hour, bundle"},
)
