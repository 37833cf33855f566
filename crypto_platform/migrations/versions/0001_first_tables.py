"""First tables."""

import sqlalchemy as sa
from alembic import op
from crypto_platform.tables.columns import UTCDateTime
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ab_test_config",
        sa.Column("test_name", sa.String(length=80), nullable=False, comment="Name of the experiment"),
        sa.Column("variant_a", sa.String(length=200), nullable=False, comment="Model name of arm A"),
        sa.Column("variant_b", sa.String(length=200), nullable=False, comment="Model name of arm B"),
        sa.Column("horizon", sa.Integer(), nullable=False, comment="Hours ahead that are compared"),
        sa.Column("split", sa.Double(), nullable=False, comment="Share of hours whose published arm is A"),
        sa.Column("salt", sa.String(length=200), nullable=False, comment="Seed of the deterministic split"),
        sa.Column("alpha", sa.Double(), nullable=False, comment="Error level of the decision"),
        sa.Column(
            "publish",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="Whether the published arm changes predictions.signal",
        ),
        sa.Column("started_at", UTCDateTime(), nullable=False, comment="First hour that counts"),
        sa.Column("ends_at", UTCDateTime(), nullable=True, comment="Last hour that counts; NULL = open"),
        sa.CheckConstraint("alpha >= 0 AND alpha <= 1", name=op.f("ck_ab_test_config_alpha_range")),
        sa.CheckConstraint("split >= 0 AND split <= 1", name=op.f("ck_ab_test_config_split_range")),
        sa.PrimaryKeyConstraint("test_name", name=op.f("pk_ab_test_config")),
        comment="One row per experiment; immutable once started.",
        info={"grain": "experiment"},
    )
    op.create_table(
        "features",
        sa.Column("symbol", sa.String(length=32), nullable=False, comment="Ticker, as the symbols file names it"),
        sa.Column(
            "timestamp",
            UTCDateTime(),
            nullable=False,
            comment="Start of the hour of the newest candle used; usable from one hour later",
        ),
        sa.Column(
            "feature_set_hash",
            sa.String(length=64),
            nullable=False,
            comment="Names, order, parameters and code version of the features",
        ),
        sa.Column("close", sa.Double(), nullable=False, comment="Close of the candle, for prices in forecasts"),
        sa.Column("is_filled", sa.Boolean(), nullable=False, comment="Whether the hour had no candle of its own"),
        sa.Column(
            "is_valid",
            sa.Boolean(),
            nullable=False,
            comment="Every feature finite, past warm-up, not filled: a model may use it",
        ),
        sa.Column(
            "segment_hours",
            sa.Integer(),
            nullable=False,
            comment="Hours since the gap-free stretch of the row began, counted up to 336",
        ),
        sa.Column("ret_1", sa.Double(), nullable=True, comment="ln(close / close 1 hours ago)"),
        sa.Column("ret_3", sa.Double(), nullable=True, comment="ln(close / close 3 hours ago)"),
        sa.Column("ret_6", sa.Double(), nullable=True, comment="ln(close / close 6 hours ago)"),
        sa.Column("ret_12", sa.Double(), nullable=True, comment="ln(close / close 12 hours ago)"),
        sa.Column("ret_24", sa.Double(), nullable=True, comment="ln(close / close 24 hours ago)"),
        sa.Column("ret_72", sa.Double(), nullable=True, comment="ln(close / close 72 hours ago)"),
        sa.Column("ret_168", sa.Double(), nullable=True, comment="ln(close / close 168 hours ago)"),
        sa.Column("ret_1_lag_1", sa.Double(), nullable=True, comment="ret_1 of 1 hours ago"),
        sa.Column("ret_1_lag_2", sa.Double(), nullable=True, comment="ret_1 of 2 hours ago"),
        sa.Column("ret_1_lag_3", sa.Double(), nullable=True, comment="ret_1 of 3 hours ago"),
        sa.Column("ret_1_lag_6", sa.Double(), nullable=True, comment="ret_1 of 6 hours ago"),
        sa.Column("ret_1_lag_24", sa.Double(), nullable=True, comment="ret_1 of 24 hours ago"),
        sa.Column("sma_ratio_7", sa.Double(), nullable=True, comment="close / mean of the last 7 closes - 1"),
        sa.Column("sma_ratio_14", sa.Double(), nullable=True, comment="close / mean of the last 14 closes - 1"),
        sa.Column("sma_ratio_30", sa.Double(), nullable=True, comment="close / mean of the last 30 closes - 1"),
        sa.Column("sma_ratio_168", sa.Double(), nullable=True, comment="close / mean of the last 168 closes - 1"),
        sa.Column("ema_ratio_7", sa.Double(), nullable=True, comment="close / exponential mean over 7 - 1"),
        sa.Column("ema_ratio_14", sa.Double(), nullable=True, comment="close / exponential mean over 14 - 1"),
        sa.Column("ema_ratio_30", sa.Double(), nullable=True, comment="close / exponential mean over 30 - 1"),
        sa.Column("ema_cross_7_30", sa.Double(), nullable=True, comment="exponential mean over 7 / over 30 - 1"),
        sa.Column("rsi_7", sa.Double(), nullable=True, comment="Wilder's relative strength over 7, 0 to 1"),
        sa.Column("rsi_14", sa.Double(), nullable=True, comment="Wilder's relative strength over 14, 0 to 1"),
        sa.Column("macd_c", sa.Double(), nullable=True, comment="MACD(12, 26, 9) / close"),
        sa.Column("macd_signal_c", sa.Double(), nullable=True, comment="Signal line of the MACD / close"),
        sa.Column("macd_hist_c", sa.Double(), nullable=True, comment="MACD histogram / close"),
        sa.Column(
            "bb_pctb_20", sa.Double(), nullable=True, comment="Place of the close inside its Bollinger bands (20, 2)"
        ),
        sa.Column("bb_width_20", sa.Double(), nullable=True, comment="Width of the Bollinger bands / their middle"),
        sa.Column("vol_7", sa.Double(), nullable=True, comment="Standard deviation of the last 7 hourly log returns"),
        sa.Column("vol_14", sa.Double(), nullable=True, comment="Standard deviation of the last 14 hourly log returns"),
        sa.Column("vol_30", sa.Double(), nullable=True, comment="Standard deviation of the last 30 hourly log returns"),
        sa.Column(
            "vol_168", sa.Double(), nullable=True, comment="Standard deviation of the last 168 hourly log returns"
        ),
        sa.Column("vol_ratio_7_30", sa.Double(), nullable=True, comment="ln(vol_7 / vol_30)"),
        sa.Column("natr_14", sa.Double(), nullable=True, comment="Wilder's average true range over 14 / close"),
        sa.Column("parkinson_24", sa.Double(), nullable=True, comment="Parkinson volatility over 24"),
        sa.Column("gk_24", sa.Double(), nullable=True, comment="Garman-Klass volatility over 24"),
        sa.Column("adx_14", sa.Double(), nullable=True, comment="Wilder's average directional index over 14, 0 to 1"),
        sa.Column("di_diff_14", sa.Double(), nullable=True, comment="(+DI - -DI) over 14, -1 to 1"),
        sa.Column("aroonosc_25", sa.Double(), nullable=True, comment="Aroon oscillator over 25, -1 to 1"),
        sa.Column("slope_24", sa.Double(), nullable=True, comment="Least-squares slope of ln close over 24, per hour"),
        sa.Column("stoch_k", sa.Double(), nullable=True, comment="Stochastic %K (14, 3), 0 to 1"),
        sa.Column("stoch_d", sa.Double(), nullable=True, comment="Stochastic %D (14, 3, 3), 0 to 1"),
        sa.Column("cci_20", sa.Double(), nullable=True, comment="Commodity channel index over 20 / 100"),
        sa.Column("mfi_14", sa.Double(), nullable=True, comment="Money flow index over 14, 0 to 1"),
        sa.Column("willr_14", sa.Double(), nullable=True, comment="Williams %R over 14, -1 to 0"),
        sa.Column("hl_range", sa.Double(), nullable=True, comment="ln(high / low)"),
        sa.Column("co_ret", sa.Double(), nullable=True, comment="ln(close / open)"),
        sa.Column("close_pos", sa.Double(), nullable=True, comment="Place of the close between low and high"),
        sa.Column("dist_max_7", sa.Double(), nullable=True, comment="close / highest high of 7 hours - 1"),
        sa.Column("dist_max_30", sa.Double(), nullable=True, comment="close / highest high of 30 hours - 1"),
        sa.Column("dist_max_168", sa.Double(), nullable=True, comment="close / highest high of 168 hours - 1"),
        sa.Column("dist_min_7", sa.Double(), nullable=True, comment="close / lowest low of 7 hours - 1"),
        sa.Column("dist_min_30", sa.Double(), nullable=True, comment="close / lowest low of 30 hours - 1"),
        sa.Column("dist_min_168", sa.Double(), nullable=True, comment="close / lowest low of 168 hours - 1"),
        sa.Column(
            "zscore_30", sa.Double(), nullable=True, comment="(close - its mean) / its standard deviation over 30"
        ),
        sa.Column("skew_72", sa.Double(), nullable=True, comment="Skewness of the last 72 hourly log returns"),
        sa.Column(
            "autocorr_24",
            sa.Double(),
            nullable=True,
            comment="Correlation of hourly log returns with their predecessor over 24",
        ),
        sa.Column("volume_sma_ratio_7", sa.Double(), nullable=True, comment="ln(volume / its mean over 7)"),
        sa.Column("volume_z_24", sa.Double(), nullable=True, comment="Standardized ln volume over 24"),
        sa.Column("volume_z_168", sa.Double(), nullable=True, comment="Standardized ln volume over 168"),
        sa.Column(
            "vwap_ratio_24", sa.Double(), nullable=True, comment="close / volume-weighted typical price over 24 - 1"
        ),
        sa.Column("hour_sin", sa.Double(), nullable=True, comment="sin of the hour of day of as_of, UTC"),
        sa.Column("hour_cos", sa.Double(), nullable=True, comment="cos of the hour of day of as_of, UTC"),
        sa.Column("dow_sin", sa.Double(), nullable=True, comment="sin of the weekday of as_of, UTC"),
        sa.Column("dow_cos", sa.Double(), nullable=True, comment="cos of the weekday of as_of, UTC"),
        sa.Column("is_weekend", sa.Double(), nullable=True, comment="1 on Saturday and Sunday at as_of, UTC"),
        sa.Column("fng", sa.Double(), nullable=True, comment="Fear and greed index / 100, as known then"),
        sa.Column("fng_chg_1d", sa.Double(), nullable=True, comment="Change of fng over 24 hours"),
        sa.Column("fng_chg_7d", sa.Double(), nullable=True, comment="Change of fng over 168 hours"),
        sa.Column("gap_fill_24", sa.Double(), nullable=True, comment="Share of filled hours among the last 24"),
        sa.Column(
            "target_return_1", sa.Double(), nullable=True, comment="Simple return over the next 1 h; NULL while unknown"
        ),
        sa.Column(
            "target_return_3", sa.Double(), nullable=True, comment="Simple return over the next 3 h; NULL while unknown"
        ),
        sa.Column(
            "target_return_7", sa.Double(), nullable=True, comment="Simple return over the next 7 h; NULL while unknown"
        ),
        sa.Column(
            "target_direction_1",
            sa.Integer(),
            nullable=True,
            comment="1 = up, 0 = down over the next 1 h; NULL while unknown or exactly unchanged",
        ),
        sa.Column(
            "target_direction_3",
            sa.Integer(),
            nullable=True,
            comment="1 = up, 0 = down over the next 3 h; NULL while unknown or exactly unchanged",
        ),
        sa.Column(
            "target_direction_7",
            sa.Integer(),
            nullable=True,
            comment="1 = up, 0 = down over the next 7 h; NULL while unknown or exactly unchanged",
        ),
        sa.Column(
            "extra",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=True,
            comment="A user's own features",
        ),
        sa.CheckConstraint("close > 0", name=op.f("ck_features_close_range")),
        sa.CheckConstraint("segment_hours >= 0", name=op.f("ck_features_segment_hours_range")),
        sa.CheckConstraint("target_direction_1 IN (0, 1)", name=op.f("ck_features_target_direction_1_binary")),
        sa.CheckConstraint("target_direction_3 IN (0, 1)", name=op.f("ck_features_target_direction_3_binary")),
        sa.CheckConstraint("target_direction_7 IN (0, 1)", name=op.f("ck_features_target_direction_7_binary")),
        sa.CheckConstraint("target_return_1 > -1", name=op.f("ck_features_target_return_1_range")),
        sa.CheckConstraint("target_return_3 > -1", name=op.f("ck_features_target_return_3_range")),
        sa.CheckConstraint("target_return_7 > -1", name=op.f("ck_features_target_return_7_range")),
        sa.PrimaryKeyConstraint("symbol", "timestamp", "feature_set_hash", name=op.f("pk_features")),
        comment="One row per symbol, hour and feature set.",
        info={"grain": "symbol, hour, feature set"},
    )
    with op.batch_alter_table("features", schema=None) as batch_op:
        batch_op.create_index("ix_features_timestamp", ["timestamp"], unique=False)

    op.create_table(
        "market_data",
        sa.Column("symbol", sa.String(length=32), nullable=False, comment="Ticker, as the symbols file names it"),
        sa.Column("timestamp", UTCDateTime(), nullable=False, comment="The vendor's own time of the snapshot"),
        sa.Column("price_usd", sa.Double(), nullable=True, comment="Price, averaged over exchanges by the vendor"),
        sa.Column(
            "market_cap", sa.Double(), nullable=True, comment="Market capitalization; NULL where the source gives none"
        ),
        sa.Column("total_volume", sa.Double(), nullable=True, comment="Traded value over the last 24 hours"),
        sa.Column("price_change_24h", sa.Double(), nullable=True, comment="Price change over 24 hours"),
        sa.Column("price_change_7d", sa.Double(), nullable=True, comment="Price change over 7 days"),
        sa.Column("price_change_30d", sa.Double(), nullable=True, comment="Price change over 30 days"),
        sa.Column(
            "high_24h",
            sa.Double(),
            nullable=True,
            comment="Highest price of our own closed candles of the last 24 hours",
        ),
        sa.Column(
            "low_24h", sa.Double(), nullable=True, comment="Lowest price of our own closed candles of the last 24 hours"
        ),
        sa.Column(
            "circulating_supply",
            sa.Double(),
            nullable=True,
            comment="Coins in circulation; NULL where the source gives none",
        ),
        sa.Column(
            "total_supply", sa.Double(), nullable=True, comment="Coins in existence; NULL where the source gives none"
        ),
        sa.Column(
            "known_at", UTCDateTime(), nullable=False, comment="First moment this platform could have read the row"
        ),
        sa.Column(
            "source",
            sa.String(length=200),
            nullable=False,
            comment="Vendor, with `simulated:` or `recorded:` before it where the data is not live",
        ),
        sa.CheckConstraint("circulating_supply >= 0", name=op.f("ck_market_data_circulating_supply_range")),
        sa.CheckConstraint("high_24h > 0", name=op.f("ck_market_data_high_24h_range")),
        sa.CheckConstraint("low_24h > 0", name=op.f("ck_market_data_low_24h_range")),
        sa.CheckConstraint("market_cap >= 0", name=op.f("ck_market_data_market_cap_range")),
        sa.CheckConstraint("price_usd > 0", name=op.f("ck_market_data_price_usd_range")),
        sa.CheckConstraint("total_supply >= 0", name=op.f("ck_market_data_total_supply_range")),
        sa.CheckConstraint("total_volume >= 0", name=op.f("ck_market_data_total_volume_range")),
        sa.PrimaryKeyConstraint("symbol", "timestamp", name=op.f("pk_market_data")),
        comment="One row per symbol and vendor snapshot.",
        info={"grain": "symbol, snapshot"},
    )
    op.create_table(
        "model_metrics",
        sa.Column("symbol", sa.String(length=32), nullable=False, comment="Ticker, as the symbols file names it"),
        sa.Column(
            "version",
            sa.String(length=64),
            nullable=False,
            comment="Model bundle: a prefix of the SHA-256 of its manifest",
        ),
        sa.Column("model_name", sa.String(length=40), nullable=False, comment="Model, or a baseline"),
        sa.Column("metric_name", sa.String(length=40), nullable=False, comment="Metric"),
        sa.Column(
            "fold", sa.Integer(), autoincrement=False, nullable=False, comment="Walk-forward fold; -1 = all pooled"
        ),
        sa.Column("metric_value", sa.Double(), nullable=False, comment="Value on out-of-sample rows"),
        sa.Column("lower", sa.Double(), nullable=True, comment="Lower end of the 95 % interval"),
        sa.Column("upper", sa.Double(), nullable=True, comment="Upper end of the 95 % interval"),
        sa.Column("n", sa.Integer(), nullable=False, comment="Out-of-sample rows behind the value"),
        sa.Column("training_timestamp", UTCDateTime(), nullable=False, comment="as_of of the training"),
        sa.CheckConstraint("n >= 0", name=op.f("ck_model_metrics_n_range")),
        sa.PrimaryKeyConstraint(
            "symbol", "version", "model_name", "metric_name", "fold", name=op.f("pk_model_metrics")
        ),
        comment="One row per bundle, model, metric and fold; always out of sample.",
        info={"grain": "bundle, model, metric, fold"},
    )
    op.create_table(
        "model_versions",
        sa.Column(
            "version",
            sa.String(length=64),
            nullable=False,
            comment="Model bundle: a prefix of the SHA-256 of its manifest",
        ),
        sa.Column("symbol", sa.String(length=32), nullable=False, comment="Symbol it forecasts"),
        sa.Column("horizon", sa.Integer(), nullable=False, comment="Hours ahead it forecasts"),
        sa.Column(
            "trained_at", UTCDateTime(), nullable=False, comment="as_of of the training: it saw nothing known later"
        ),
        sa.Column("train_start", UTCDateTime(), nullable=False, comment="First candle of the final fit"),
        sa.Column(
            "train_end",
            UTCDateTime(),
            nullable=False,
            comment="Last candle of the final fit; its label had resolved by trained_at",
        ),
        sa.Column("n_rows", sa.Integer(), nullable=False, comment="Rows of the final fit"),
        sa.Column("feature_set", sa.String(length=200), nullable=False, comment="Name of the feature set"),
        sa.Column(
            "feature_set_hash",
            sa.String(length=200),
            nullable=False,
            comment="Names, order, parameters and code version of the features",
        ),
        sa.Column("data_hash", sa.String(length=200), nullable=False, comment="SHA-256 of the training rows"),
        sa.Column("bundle_sha256", sa.String(length=200), nullable=False, comment="SHA-256 of the bundle's manifest"),
        sa.Column(
            "details",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=True,
            comment="Parameters, seed, library versions, walk-forward summary",
        ),
        sa.CheckConstraint("n_rows >= 0", name=op.f("ck_model_versions_n_rows_range")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_model_versions")),
        comment="One row per immutable model bundle.",
        info={"grain": "bundle"},
    )
    op.create_table(
        "monitoring_metrics",
        sa.Column("timestamp", UTCDateTime(), nullable=False, comment="as_of of the measurement"),
        sa.Column("metric_type", sa.String(length=40), nullable=False, comment="Family of the metric"),
        sa.Column("metric_name", sa.String(length=80), nullable=False, comment="Metric"),
        sa.Column("symbol", sa.String(length=32), nullable=False, comment="Ticker, or ALL for the whole platform"),
        sa.Column("metric_value", sa.Double(), nullable=True, comment="Value; NULL where it cannot be known"),
        sa.Column(
            "metadata",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=True,
            comment="Interval, sample size and the like",
        ),
        sa.PrimaryKeyConstraint(
            "timestamp", "metric_type", "metric_name", "symbol", name=op.f("pk_monitoring_metrics")
        ),
        comment="One row per measurement and metric.",
        info={"grain": "measurement, metric, symbol"},
    )
    with op.batch_alter_table("monitoring_metrics", schema=None) as batch_op:
        batch_op.create_index("ix_monitoring_metrics_symbol", ["symbol", "timestamp"], unique=False)

    op.create_table(
        "ohlcv_data",
        sa.Column("symbol", sa.String(length=32), nullable=False, comment="Ticker, as the symbols file names it"),
        sa.Column("timestamp", UTCDateTime(), nullable=False, comment="Start of the hour the candle covers"),
        sa.Column("open", sa.Double(), nullable=False, comment="First trade of the hour"),
        sa.Column("high", sa.Double(), nullable=False, comment="Highest trade of the hour"),
        sa.Column("low", sa.Double(), nullable=False, comment="Lowest trade of the hour"),
        sa.Column("close", sa.Double(), nullable=False, comment="Last trade of the hour"),
        sa.Column("volume_base", sa.Double(), nullable=False, comment="Traded amount; 0 in an hour without a trade"),
        sa.Column("volume", sa.Double(), nullable=True, comment="Traded value; NULL where the source gives none"),
        sa.Column("trades", sa.Double(), nullable=True, comment="Number of trades; NULL where the source gives none"),
        sa.Column(
            "source",
            sa.String(length=200),
            nullable=False,
            comment="Vendor, with `simulated:` or `recorded:` before it where the data is not live",
        ),
        sa.Column(
            "known_at", UTCDateTime(), nullable=False, comment="First moment this platform could have read the row"
        ),
        sa.Column(
            "known_at_estimated",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="True where the row was loaded afterwards: known_at = event time + publication lag",
        ),
        sa.CheckConstraint("close > 0", name=op.f("ck_ohlcv_data_close_range")),
        sa.CheckConstraint("high > 0", name=op.f("ck_ohlcv_data_high_range")),
        sa.CheckConstraint(
            "high >= low AND high >= open AND high >= close", name=op.f("ck_ohlcv_data_high_is_highest")
        ),
        sa.CheckConstraint("low <= open AND low <= close", name=op.f("ck_ohlcv_data_low_is_lowest")),
        sa.CheckConstraint("low > 0", name=op.f("ck_ohlcv_data_low_range")),
        sa.CheckConstraint("open > 0", name=op.f("ck_ohlcv_data_open_range")),
        sa.CheckConstraint("trades >= 0", name=op.f("ck_ohlcv_data_trades_range")),
        sa.CheckConstraint("volume >= 0", name=op.f("ck_ohlcv_data_volume_range")),
        sa.CheckConstraint("volume_base >= 0", name=op.f("ck_ohlcv_data_volume_base_range")),
        sa.PrimaryKeyConstraint("symbol", "timestamp", name=op.f("pk_ohlcv_data")),
        comment="One row per symbol and closed hour; a missing hour has no row.",
        info={"grain": "symbol, hour"},
    )
    with op.batch_alter_table("ohlcv_data", schema=None) as batch_op:
        batch_op.create_index("ix_ohlcv_data_timestamp", ["timestamp"], unique=False)

    op.create_table(
        "ohlcv_revisions",
        sa.Column("symbol", sa.String(length=32), nullable=False, comment="Ticker, as the symbols file names it"),
        sa.Column("timestamp", UTCDateTime(), nullable=False, comment="Start of the hour the candle covers"),
        sa.Column("seen_at", UTCDateTime(), nullable=False, comment="When the restated values were first read"),
        sa.Column("old_open", sa.Double(), nullable=True, comment="old `open`"),
        sa.Column("old_high", sa.Double(), nullable=True, comment="old `high`"),
        sa.Column("old_low", sa.Double(), nullable=True, comment="old `low`"),
        sa.Column("old_close", sa.Double(), nullable=True, comment="old `close`"),
        sa.Column("old_volume_base", sa.Double(), nullable=True, comment="old `volume_base`"),
        sa.Column("old_volume", sa.Double(), nullable=True, comment="old `volume`"),
        sa.Column("old_trades", sa.Double(), nullable=True, comment="old `trades`"),
        sa.Column("new_open", sa.Double(), nullable=True, comment="new `open`"),
        sa.Column("new_high", sa.Double(), nullable=True, comment="new `high`"),
        sa.Column("new_low", sa.Double(), nullable=True, comment="new `low`"),
        sa.Column("new_close", sa.Double(), nullable=True, comment="new `close`"),
        sa.Column("new_volume_base", sa.Double(), nullable=True, comment="new `volume_base`"),
        sa.Column("new_volume", sa.Double(), nullable=True, comment="new `volume`"),
        sa.Column("new_trades", sa.Double(), nullable=True, comment="new `trades`"),
        sa.Column(
            "source",
            sa.String(length=200),
            nullable=False,
            comment="Vendor, with `simulated:` or `recorded:` before it where the data is not live",
        ),
        sa.PrimaryKeyConstraint("symbol", "timestamp", "seen_at", name=op.f("pk_ohlcv_revisions")),
        comment="One row per restatement of a closed candle.",
        info={"grain": "symbol, hour, restatement"},
    )
    op.create_table(
        "predictions",
        sa.Column("symbol", sa.String(length=32), nullable=False, comment="Ticker, as the symbols file names it"),
        sa.Column(
            "horizon", sa.Integer(), autoincrement=False, nullable=False, comment="Hours ahead that are forecast"
        ),
        sa.Column("prediction_timestamp", UTCDateTime(), nullable=False, comment="as_of of the newest candle it used"),
        sa.Column(
            "version",
            sa.String(length=64),
            nullable=False,
            comment="Model bundle: a prefix of the SHA-256 of its manifest",
        ),
        sa.Column("candle_timestamp", UTCDateTime(), nullable=False, comment="Open time of the newest candle it used"),
        sa.Column("created_at", UTCDateTime(), nullable=False, comment="When it was written"),
        sa.Column(
            "role",
            sa.String(length=12),
            nullable=False,
            comment="Alias its bundle had then; only the champion's forecast is served",
        ),
        sa.Column(
            "origin",
            sa.String(length=12),
            nullable=False,
            comment="late = written more than 30 minutes after prediction_timestamp",
        ),
        sa.Column("current_price", sa.Double(), nullable=False, comment="Close of the newest candle"),
        sa.Column(
            "predicted_direction",
            sa.Integer(),
            nullable=True,
            comment="Side of the ensemble: 1 = up, 0 = down; NULL where there is none",
        ),
        sa.Column(
            "confidence", sa.Double(), nullable=True, comment="max(prob_up, prob_down): of the ensemble's own direction"
        ),
        sa.Column("prob_up", sa.Double(), nullable=True, comment="Mean up-probability of the classifiers"),
        sa.Column("prob_down", sa.Double(), nullable=True, comment="1 - prob_up"),
        sa.Column(
            "predicted_return", sa.Double(), nullable=True, comment="Ridge regression's simple return over the horizon"
        ),
        sa.Column("predicted_price", sa.Double(), nullable=True, comment="current_price x (1 + predicted_return)"),
        sa.Column("signal", sa.String(length=4), nullable=False, comment="What the rules make of it after costs"),
        sa.Column(
            "signal_before_costs", sa.String(length=4), nullable=False, comment="The same rules without the cost term"
        ),
        sa.Column("reason", sa.String(length=200), nullable=True, comment="Why it is HOLD; NULL for BUY and SELL"),
        sa.Column(
            "ensemble_agreement",
            sa.Double(),
            nullable=True,
            comment="Share of the models' votes on the ensemble's side",
        ),
        sa.Column("ensemble_votes", sa.Integer(), nullable=True, comment="Models that voted"),
        sa.Column(
            "expected_edge",
            sa.Double(),
            nullable=True,
            comment="(2 prob_up - 1) x mean |return| of the last 168 resolved hours",
        ),
        sa.Column(
            "break_even_probability",
            sa.Double(),
            nullable=True,
            comment="prob_up at which the expected edge pays the costs; above 1: never",
        ),
        sa.Column(
            "prob_up_logistic_regression",
            sa.Double(),
            nullable=True,
            comment="Up-probability of the logistic regression",
        ),
        sa.Column("prob_up_random_forest", sa.Double(), nullable=True, comment="Up-probability of the random forest"),
        sa.Column(
            "prob_up_gradient_boosting", sa.Double(), nullable=True, comment="Up-probability of the gradient boosting"
        ),
        sa.Column(
            "return_ridge_regression",
            sa.Double(),
            nullable=True,
            comment="Simple return forecast by the ridge regression",
        ),
        sa.Column(
            "missing_features",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=True,
            comment="Features without a value, where that is the reason",
        ),
        sa.CheckConstraint("origin IN ('live', 'late', 'walk_forward')", name=op.f("ck_predictions_origin_known")),
        sa.CheckConstraint("role IN ('champion', 'challenger', 'previous')", name=op.f("ck_predictions_role_known")),
        sa.CheckConstraint("signal IN ('BUY', 'SELL', 'HOLD')", name=op.f("ck_predictions_signal_known")),
        sa.CheckConstraint(
            "signal_before_costs IN ('BUY', 'SELL', 'HOLD')", name=op.f("ck_predictions_signal_before_costs_known")
        ),
        sa.CheckConstraint("confidence >= 0 AND confidence <= 1", name=op.f("ck_predictions_confidence_range")),
        sa.CheckConstraint("current_price > 0", name=op.f("ck_predictions_current_price_range")),
        sa.CheckConstraint(
            "ensemble_agreement >= 0 AND ensemble_agreement <= 1", name=op.f("ck_predictions_ensemble_agreement_range")
        ),
        sa.CheckConstraint("ensemble_votes >= 0", name=op.f("ck_predictions_ensemble_votes_range")),
        sa.CheckConstraint("horizon > 0", name=op.f("ck_predictions_horizon_positive")),
        sa.CheckConstraint("predicted_direction IN (0, 1)", name=op.f("ck_predictions_predicted_direction_binary")),
        sa.CheckConstraint("prob_down >= 0 AND prob_down <= 1", name=op.f("ck_predictions_prob_down_range")),
        sa.CheckConstraint("prob_up >= 0 AND prob_up <= 1", name=op.f("ck_predictions_prob_up_range")),
        sa.CheckConstraint(
            "prob_up_gradient_boosting >= 0 AND prob_up_gradient_boosting <= 1",
            name=op.f("ck_predictions_prob_up_gradient_boosting_range"),
        ),
        sa.CheckConstraint(
            "prob_up_logistic_regression >= 0 AND prob_up_logistic_regression <= 1",
            name=op.f("ck_predictions_prob_up_logistic_regression_range"),
        ),
        sa.CheckConstraint(
            "prob_up_random_forest >= 0 AND prob_up_random_forest <= 1",
            name=op.f("ck_predictions_prob_up_random_forest_range"),
        ),
        sa.PrimaryKeyConstraint("symbol", "horizon", "prediction_timestamp", "version", name=op.f("pk_predictions")),
        comment="One row per symbol, horizon, hour and bundle; never overwritten. Without a bundle, version = `none`.",
        info={"grain": "symbol, horizon, hour, bundle"},
    )
    with op.batch_alter_table("predictions", schema=None) as batch_op:
        batch_op.create_index("ix_predictions_symbol_candle", ["symbol", "candle_timestamp"], unique=False)

    op.create_table(
        "quarantine",
        sa.Column("id", sa.String(length=64), nullable=False, comment="SHA-256 of source, dataset, reason and payload"),
        sa.Column(
            "source",
            sa.String(length=200),
            nullable=False,
            comment="Vendor, with `simulated:` or `recorded:` before it where the data is not live",
        ),
        sa.Column("dataset", sa.String(length=200), nullable=False, comment="Table the row was meant for"),
        sa.Column("symbol", sa.String(length=32), nullable=True, comment="NULL where the dataset has no symbols"),
        sa.Column("reason", sa.String(length=200), nullable=False, comment="Rule it broke"),
        sa.Column("payload", sa.Text(), nullable=False, comment="The row as it came, cut at 2,000 characters"),
        sa.Column("seen_at", UTCDateTime(), nullable=False, comment="When it was first refused"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
        comment="One row per upstream row that was refused.",
        info={"grain": "refused row"},
    )
    op.create_table(
        "retrain_decisions",
        sa.Column("symbol", sa.String(length=32), nullable=False, comment="Ticker, as the symbols file names it"),
        sa.Column(
            "horizon", sa.Integer(), autoincrement=False, nullable=False, comment="Hours ahead that are forecast"
        ),
        sa.Column("decision_time", UTCDateTime(), nullable=False, comment="as_of of the decision"),
        sa.Column("should_retrain", sa.Boolean(), nullable=False, comment="The verdict"),
        sa.Column("policy", sa.String(length=200), nullable=False, comment="Rule set the verdict comes from"),
        sa.Column(
            "reasons",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="Triggers that fired, in words",
        ),
        sa.Column(
            "details",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="Statistics, thresholds, and what the other policy would have said",
        ),
        sa.Column("run_id", sa.String(length=200), nullable=True, comment="Training run it launched"),
        sa.Column("result", sa.String(length=200), nullable=True, comment="What came of that run"),
        sa.CheckConstraint("horizon > 0", name=op.f("ck_retrain_decisions_horizon_positive")),
        sa.PrimaryKeyConstraint("symbol", "horizon", "decision_time", name=op.f("pk_retrain_decisions")),
        comment="One row per symbol, horizon and decision, also for `no`.",
        info={"grain": "symbol, horizon, decision"},
    )
    op.create_table(
        "sentiment_data",
        sa.Column(
            "timestamp",
            UTCDateTime(),
            autoincrement=False,
            nullable=False,
            comment="Day the index stands for, 00:00 UTC",
        ),
        sa.Column(
            "fear_greed_value",
            sa.Integer(),
            nullable=False,
            comment="Fear and greed index, 0 = extreme fear, 100 = extreme greed",
        ),
        sa.Column(
            "fear_greed_classification",
            sa.String(length=200),
            nullable=False,
            comment="The vendor's word for the value",
        ),
        sa.Column(
            "known_at", UTCDateTime(), nullable=False, comment="First moment this platform could have read the row"
        ),
        sa.Column(
            "known_at_estimated",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="True where the row was loaded afterwards: known_at = event time + publication lag",
        ),
        sa.Column(
            "source",
            sa.String(length=200),
            nullable=False,
            comment="Vendor, with `simulated:` or `recorded:` before it where the data is not live",
        ),
        sa.CheckConstraint(
            "fear_greed_value >= 0 AND fear_greed_value <= 100", name=op.f("ck_sentiment_data_fear_greed_value_range")
        ),
        sa.PrimaryKeyConstraint("timestamp", name=op.f("pk_sentiment_data")),
        comment="One row per day the index was published for; some days have none. Data: alternative.me.",
        info={"grain": "day"},
    )
    op.create_table(
        "watermarks",
        sa.Column("dataset", sa.String(length=64), nullable=False, comment="Table or step the mark is for"),
        sa.Column("symbol", sa.String(length=32), nullable=False, comment="Ticker, as the symbols file names it"),
        sa.Column("watermark", UTCDateTime(), nullable=False, comment="All work before this instant is done"),
        sa.Column(
            "source",
            sa.String(length=200),
            nullable=True,
            comment="The series' primary vendor, pinned at its first row",
        ),
        sa.Column(
            "details",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=True,
            comment="What the step wants to remember",
        ),
        sa.PrimaryKeyConstraint("dataset", "symbol", name=op.f("pk_watermarks")),
        comment="One row per dataset and symbol: how far it is done. Written with the rows it speaks of.",
        info={"grain": "dataset, symbol"},
    )
    op.create_table(
        "ab_test_results",
        sa.Column("test_name", sa.String(length=80), nullable=False, comment="Experiment"),
        sa.Column("symbol", sa.String(length=32), nullable=False, comment="Ticker, as the symbols file names it"),
        sa.Column(
            "horizon", sa.Integer(), autoincrement=False, nullable=False, comment="Hours ahead that are forecast"
        ),
        sa.Column(
            "prediction_timestamp",
            UTCDateTime(),
            nullable=False,
            comment="as_of of the newest candle the forecast used",
        ),
        sa.Column("arm", sa.String(length=1), nullable=False, comment="Arm of the experiment"),
        sa.Column("model_version", sa.String(length=64), nullable=False, comment="Bundle that made it"),
        sa.Column("model_name", sa.String(length=200), nullable=False, comment="Model inside the bundle"),
        sa.Column(
            "predicted_direction", sa.Integer(), nullable=True, comment="1 = up, 0 = down; NULL at exactly one half"
        ),
        sa.Column("prob_up", sa.Double(), nullable=False, comment="Up-probability of the arm's model"),
        sa.Column("confidence", sa.Double(), nullable=False, comment="Probability given to its own direction"),
        sa.Column(
            "published_arm",
            sa.String(length=1),
            nullable=False,
            comment="Arm the deterministic split chose for this hour",
        ),
        sa.Column(
            "realized_return", sa.Double(), nullable=True, comment="Simple return over the horizon; NULL until known"
        ),
        sa.Column("correct", sa.Boolean(), nullable=True, comment="Whether the side was right"),
        sa.Column("log_loss", sa.Double(), nullable=True, comment="-ln of the probability given to what happened"),
        sa.CheckConstraint("arm IN ('A', 'B')", name=op.f("ck_ab_test_results_arm_known")),
        sa.CheckConstraint("published_arm IN ('A', 'B')", name=op.f("ck_ab_test_results_published_arm_known")),
        sa.CheckConstraint("confidence >= 0 AND confidence <= 1", name=op.f("ck_ab_test_results_confidence_range")),
        sa.CheckConstraint("horizon > 0", name=op.f("ck_ab_test_results_horizon_positive")),
        sa.CheckConstraint("log_loss >= 0", name=op.f("ck_ab_test_results_log_loss_range")),
        sa.CheckConstraint("predicted_direction IN (0, 1)", name=op.f("ck_ab_test_results_predicted_direction_binary")),
        sa.CheckConstraint("prob_up >= 0 AND prob_up <= 1", name=op.f("ck_ab_test_results_prob_up_range")),
        sa.ForeignKeyConstraint(
            ["test_name"], ["ab_test_config.test_name"], name=op.f("fk_ab_test_results_test_name_ab_test_config")
        ),
        sa.PrimaryKeyConstraint(
            "test_name", "symbol", "horizon", "prediction_timestamp", "arm", name=op.f("pk_ab_test_results")
        ),
        comment="One row per experiment, symbol, hour and arm: both arms are scored on every hour.",
        info={"grain": "experiment, symbol, hour, arm"},
    )
    op.create_table(
        "model_aliases",
        sa.Column("symbol", sa.String(length=32), nullable=False, comment="Ticker, as the symbols file names it"),
        sa.Column(
            "horizon", sa.Integer(), autoincrement=False, nullable=False, comment="Hours ahead that are forecast"
        ),
        sa.Column(
            "alias",
            sa.String(length=20),
            nullable=False,
            comment="champion serves, challenger waits, previous is the way back",
        ),
        sa.Column("at", UTCDateTime(), nullable=False, comment="From when the alias points to version_to"),
        sa.Column(
            "version_from", sa.String(length=64), nullable=True, comment="Bundle it pointed to before; NULL at first"
        ),
        sa.Column("version_to", sa.String(length=64), nullable=False, comment="Bundle it points to"),
        sa.Column("actor", sa.String(length=200), nullable=False, comment="Who or what changed it"),
        sa.Column("reason", sa.String(length=200), nullable=False, comment="Why"),
        sa.CheckConstraint(
            "alias IN ('champion', 'challenger', 'previous')", name=op.f("ck_model_aliases_alias_known")
        ),
        sa.CheckConstraint("horizon > 0", name=op.f("ck_model_aliases_horizon_positive")),
        sa.ForeignKeyConstraint(
            ["version_from"], ["model_versions.version"], name=op.f("fk_model_aliases_version_from_model_versions")
        ),
        sa.ForeignKeyConstraint(
            ["version_to"], ["model_versions.version"], name=op.f("fk_model_aliases_version_to_model_versions")
        ),
        sa.PrimaryKeyConstraint("symbol", "horizon", "alias", "at", name=op.f("pk_model_aliases")),
        comment="One row per change of an alias: what served at any moment is answerable.",
        info={"grain": "symbol, horizon, alias, change"},
    )
    op.create_table(
        "prediction_outcomes",
        sa.Column("symbol", sa.String(length=32), nullable=False, comment="Ticker, as the symbols file names it"),
        sa.Column(
            "horizon", sa.Integer(), autoincrement=False, nullable=False, comment="Hours ahead that are forecast"
        ),
        sa.Column(
            "prediction_timestamp",
            UTCDateTime(),
            nullable=False,
            comment="as_of of the newest candle the forecast used",
        ),
        sa.Column(
            "version",
            sa.String(length=64),
            nullable=False,
            comment="Model bundle: a prefix of the SHA-256 of its manifest",
        ),
        sa.Column("realized_return", sa.Double(), nullable=False, comment="Simple return over the horizon"),
        sa.Column(
            "realized_direction",
            sa.Integer(),
            nullable=True,
            comment="Sign of the return (no direction at exactly zero): 1 = up, 0 = down; NULL where there is none",
        ),
        sa.Column("correct", sa.Boolean(), nullable=True, comment="Whether the side was right"),
        sa.Column("log_loss", sa.Double(), nullable=True, comment="-ln of the probability given to what happened"),
        sa.Column(
            "resolved_at",
            UTCDateTime(),
            nullable=False,
            comment="When the label became known: prediction_timestamp + horizon",
        ),
        sa.CheckConstraint("horizon > 0", name=op.f("ck_prediction_outcomes_horizon_positive")),
        sa.CheckConstraint("log_loss >= 0", name=op.f("ck_prediction_outcomes_log_loss_range")),
        sa.CheckConstraint(
            "realized_direction IN (0, 1)", name=op.f("ck_prediction_outcomes_realized_direction_binary")
        ),
        sa.CheckConstraint("realized_return > -1", name=op.f("ck_prediction_outcomes_realized_return_range")),
        sa.ForeignKeyConstraint(
            ["symbol", "horizon", "prediction_timestamp", "version"],
            ["predictions.symbol", "predictions.horizon", "predictions.prediction_timestamp", "predictions.version"],
            name=op.f("fk_prediction_outcomes_symbol_predictions"),
        ),
        sa.PrimaryKeyConstraint(
            "symbol", "horizon", "prediction_timestamp", "version", name=op.f("pk_prediction_outcomes")
        ),
        comment="One row per settled forecast.",
        info={"grain": "symbol, horizon, hour, bundle"},
    )
    op.execute(
        """
        CREATE VIEW latest_predictions AS
        SELECT
            symbol,
            horizon,
            prediction_timestamp,
            version,
            candle_timestamp,
            created_at,
            role,
            origin,
            current_price,
            predicted_direction,
            confidence,
            prob_up,
            prob_down,
            predicted_return,
            predicted_price,
            signal,
            signal_before_costs,
            reason,
            ensemble_agreement,
            ensemble_votes,
            expected_edge,
            break_even_probability,
            prob_up_logistic_regression,
            prob_up_random_forest,
            prob_up_gradient_boosting,
            return_ridge_regression,
            missing_features
        FROM (
            SELECT
                predictions.*,
                ROW_NUMBER() OVER (
                    PARTITION BY symbol, horizon ORDER BY prediction_timestamp DESC, created_at DESC, version
                ) AS place
            FROM predictions
            WHERE role = 'champion'
        ) AS ranked
        WHERE place = 1
        """
    )
