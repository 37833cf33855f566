"""A/B experiments: what is compared, and every paired forecast of both arms."""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Integer, String, Table, false

from crypto_platform.tables.columns import (
    horizon,
    instant,
    metadata,
    number,
    probability,
    symbol,
    text,
)

ab_test_config = Table(
    "ab_test_config",
    metadata,
    Column("test_name", String(80), primary_key=True, comment="Name of the experiment", info={"unit": "name"}),
    text("variant_a", "Model name of arm A"),
    text("variant_b", "Model name of arm B"),
    Column("horizon", Integer, nullable=False, comment="Hours ahead that are compared", info={"unit": "hours"}),
    probability("split", "Share of hours whose published arm is A", nullable=False),
    text("salt", "Seed of the deterministic split"),
    probability("alpha", "Error level of the decision", nullable=False),
    Column(
        "publish",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="Whether the published arm changes predictions.signal",
        info={"unit": "flag"},
    ),
    instant("started_at", "First hour that counts"),
    instant("ends_at", "Last hour that counts; NULL = open", nullable=True),
    comment="One row per experiment; immutable once started.",
    info={"grain": "experiment"},
)

ab_test_results = Table(
    "ab_test_results",
    metadata,
    Column(
        "test_name",
        String(80),
        ForeignKey("ab_test_config.test_name"),
        primary_key=True,
        comment="Experiment",
        info={"unit": "name"},
    ),
    symbol(),
    horizon(),
    instant("prediction_timestamp", "as_of of the newest candle the forecast used", primary_key=True),
    Column(
        "arm",
        String(1),
        CheckConstraint("arm IN ('A', 'B')", name="arm_known"),
        primary_key=True,
        comment="Arm of the experiment",
        info={"unit": "word"},
    ),
    Column("model_version", String(64), nullable=False, comment="Bundle that made it", info={"unit": "hash"}),
    text("model_name", "Model inside the bundle"),
    Column(
        "predicted_direction",
        Integer,
        CheckConstraint("predicted_direction IN (0, 1)", name="predicted_direction_binary"),
        nullable=True,
        comment="1 = up, 0 = down; NULL at exactly one half",
        info={"unit": "direction"},
    ),
    probability("prob_up", "Up-probability of the arm's model", nullable=False),
    probability("confidence", "Probability given to its own direction", nullable=False),
    Column(
        "published_arm",
        String(1),
        CheckConstraint("published_arm IN ('A', 'B')", name="published_arm_known"),
        nullable=False,
        comment="Arm the deterministic split chose for this hour",
        info={"unit": "word"},
    ),
    number("realized_return", "fraction", "Simple return over the horizon; NULL until known"),
    Column("correct", Boolean, nullable=True, comment="Whether the side was right", info={"unit": "flag"}),
    number("log_loss", "nats", "-ln of the probability given to what happened", check=">= 0"),
    comment="One row per experiment, symbol, hour and arm: both arms are scored on every hour.",
    info={"grain": "experiment, symbol, hour, arm"},
)
