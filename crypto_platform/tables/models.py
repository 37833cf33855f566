"""Model bundles, the aliases that serve, and how well they did out of sample."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, String, Table

from crypto_platform.tables.columns import (
    SYMBOL_LENGTH,
    VERSION_LENGTH,
    count,
    document,
    horizon,
    instant,
    metadata,
    number,
    symbol,
    text,
    version,
)

model_versions = Table(
    "model_versions",
    metadata,
    version(primary_key=True),
    Column("symbol", String(SYMBOL_LENGTH), nullable=False, comment="Symbol it forecasts", info={"unit": "ticker"}),
    Column("horizon", Integer, nullable=False, comment="Hours ahead it forecasts", info={"unit": "hours"}),
    instant("trained_at", "as_of of the training: it saw nothing known later"),
    instant("train_start", "First candle of the final fit"),
    instant("train_end", "Last candle of the final fit; its label had resolved by trained_at"),
    count("n_rows", "Rows of the final fit"),
    text("feature_set", "Name of the feature set"),
    text("feature_set_hash", "Names, order, parameters and code version of the features", unit="hash"),
    text("data_hash", "SHA-256 of the training rows", unit="hash"),
    text("bundle_sha256", "SHA-256 of the bundle's manifest", unit="hash"),
    document("details", "Parameters, seed, library versions, walk-forward summary"),
    comment="One row per immutable model bundle.",
    info={"grain": "bundle"},
)

model_aliases = Table(
    "model_aliases",
    metadata,
    symbol(),
    horizon(),
    Column(
        "alias",
        String(20),
        CheckConstraint("alias IN ('champion', 'challenger', 'previous')", name="alias_known"),
        primary_key=True,
        comment="champion serves, challenger waits, previous is the way back",
        info={"unit": "word"},
    ),
    instant("at", "From when the alias points to version_to", primary_key=True),
    Column(
        "version_from",
        String(VERSION_LENGTH),
        ForeignKey("model_versions.version"),
        nullable=True,
        comment="Bundle it pointed to before; NULL at first",
        info={"unit": "hash"},
    ),
    Column(
        "version_to",
        String(VERSION_LENGTH),
        ForeignKey("model_versions.version"),
        nullable=True,
        comment="Bundle it points to; NULL = to none any more, as of a challenger that was promoted or dropped",
        info={"unit": "hash"},
    ),
    text("actor", "Who or what changed it"),
    text("reason", "Why"),
    comment="One row per change of an alias: what served at any moment is answerable.",
    info={"grain": "symbol, horizon, alias, change"},
)

model_metrics = Table(
    "model_metrics",
    metadata,
    symbol(),
    version(primary_key=True),
    Column("model_name", String(40), primary_key=True, comment="Model, or a baseline", info={"unit": "name"}),
    Column("metric_name", String(40), primary_key=True, comment="Metric", info={"unit": "name"}),
    Column(
        "fold",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="Walk-forward fold; -1 = all pooled",
        info={"unit": "index"},
    ),
    number("metric_value", "as the metric", "Value on out-of-sample rows", nullable=False),
    number("lower", "as the metric", "Lower end of the 95 % interval"),
    number("upper", "as the metric", "Upper end of the 95 % interval"),
    count("n", "Out-of-sample rows behind the value"),
    instant("training_timestamp", "as_of of the training"),
    comment="One row per bundle, model, metric and fold; always out of sample.",
    info={"grain": "bundle, model, metric, fold"},
)
