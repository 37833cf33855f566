"""Model inputs and labels, one row per symbol and hour."""

from typing import Final

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, String, Table

from crypto_platform.tables.columns import count, document, instant, metadata, number, symbol

HORIZONS: Final = (1, 3, 7)  # hours ahead; the labels every row carries

FEATURE_COLUMNS: Final[dict[str, str]] = {
    **{f"ret_{k}": f"ln(close / close {k} hours ago)" for k in (1, 3, 6, 12, 24, 72, 168)},
    **{f"ret_1_lag_{k}": f"ret_1 of {k} hours ago" for k in (1, 2, 3, 6, 24)},
    **{f"sma_ratio_{n}": f"close / mean of the last {n} closes - 1" for n in (7, 14, 30, 168)},
    **{f"ema_ratio_{n}": f"close / exponential mean over {n} - 1" for n in (7, 14, 30)},
    "ema_cross_7_30": "exponential mean over 7 / over 30 - 1",
    **{f"rsi_{n}": f"Wilder's relative strength over {n}, 0 to 1" for n in (7, 14)},
    "macd_c": "MACD(12, 26, 9) / close",
    "macd_signal_c": "Signal line of the MACD / close",
    "macd_hist_c": "MACD histogram / close",
    "bb_pctb_20": "Place of the close inside its Bollinger bands (20, 2)",
    "bb_width_20": "Width of the Bollinger bands / their middle",
    **{f"vol_{n}": f"Standard deviation of the last {n} hourly log returns" for n in (7, 14, 30, 168)},
    "vol_ratio_7_30": "ln(vol_7 / vol_30)",
    "natr_14": "Wilder's average true range over 14 / close",
    "parkinson_24": "Parkinson volatility over 24",
    "gk_24": "Garman-Klass volatility over 24",
    "adx_14": "Wilder's average directional index over 14, 0 to 1",
    "di_diff_14": "(+DI - -DI) over 14, -1 to 1",
    "aroonosc_25": "Aroon oscillator over 25, -1 to 1",
    "slope_24": "Least-squares slope of ln close over 24, per hour",
    "stoch_k": "Stochastic %K (14, 3), 0 to 1",
    "stoch_d": "Stochastic %D (14, 3, 3), 0 to 1",
    "cci_20": "Commodity channel index over 20 / 100",
    "mfi_14": "Money flow index over 14, 0 to 1",
    "willr_14": "Williams %R over 14, -1 to 0",
    "hl_range": "ln(high / low)",
    "co_ret": "ln(close / open)",
    "close_pos": "Place of the close between low and high",
    **{f"dist_max_{n}": f"close / highest high of {n} hours - 1" for n in (7, 30, 168)},
    **{f"dist_min_{n}": f"close / lowest low of {n} hours - 1" for n in (7, 30, 168)},
    "zscore_30": "(close - its mean) / its standard deviation over 30",
    "skew_72": "Skewness of the last 72 hourly log returns",
    "autocorr_24": "Correlation of hourly log returns with their predecessor over 24",
    "volume_sma_ratio_7": "ln(volume / its mean over 7)",
    **{f"volume_z_{n}": f"Standardized ln volume over {n}" for n in (24, 168)},
    "vwap_ratio_24": "close / volume-weighted typical price over 24 - 1",
    "hour_sin": "sin of the hour of day of as_of, UTC",
    "hour_cos": "cos of the hour of day of as_of, UTC",
    "dow_sin": "sin of the weekday of as_of, UTC",
    "dow_cos": "cos of the weekday of as_of, UTC",
    "is_weekend": "1 on Saturday and Sunday at as_of, UTC",
    "fng": "Fear and greed index / 100, as known then",
    "fng_chg_1d": "Change of fng over 24 hours",
    "fng_chg_7d": "Change of fng over 168 hours",
    "gap_fill_24": "Share of filled hours among the last 24",
    "turnover_24h": "ln(traded value of 24 hours / market capitalization), as known then",
    "btc_ret_1": "ret_1 of BTC; NULL for BTC itself",
    "btc_ret_24": "ret_24 of BTC; NULL for BTC itself",
    "ret_24_minus_btc": "ret_24 - ret_24 of BTC; NULL for BTC itself",
    "btc_corr_72": "Correlation of hourly log returns with those of BTC over 72; NULL for BTC itself",
}

_OPTIONAL: Final[dict[str, tuple[str, ...]]] = {
    "sentiment": ("fng", "fng_chg_1d", "fng_chg_7d"),
    "snapshots": ("turnover_24h",),
    "btc": ("btc_ret_1", "btc_ret_24", "ret_24_minus_btc", "btc_corr_72"),
}
# What a feature set is made of, in the order of a model's inputs.
PARTS: Final[dict[str, tuple[str, ...]]] = {
    "candles": tuple(name for name in FEATURE_COLUMNS if not any(name in part for part in _OPTIONAL.values())),
    **_OPTIONAL,
}


def target_return(horizon: int) -> str:
    """Column of the simple return over `horizon` hours."""
    return f"target_return_{horizon}"


def target_direction(horizon: int) -> str:
    """Column of the direction over `horizon` hours."""
    return f"target_direction_{horizon}"


features = Table(
    "features",
    metadata,
    symbol(),
    instant("timestamp", "Start of the hour of the newest candle used; usable from one hour later", primary_key=True),
    Column(
        "feature_set_hash",
        String(64),
        primary_key=True,
        comment="Names, order, parameters and code version of the features",
        info={"unit": "hash"},
    ),
    number("close", "quote currency", "Close of the candle, for prices in forecasts", check="> 0", nullable=False),
    Column(
        "is_filled", Boolean, nullable=False, comment="Whether the hour had no candle of its own", info={"unit": "flag"}
    ),
    Column(
        "is_valid",
        Boolean,
        nullable=False,
        comment="Every feature finite, past warm-up, not filled: a model may use it",
        info={"unit": "flag"},
    ),
    count("segment_hours", "Hours since the gap-free stretch of the row began, counted up to 336"),
    *(number(name, "dimensionless", comment) for name, comment in FEATURE_COLUMNS.items()),
    *(
        number(target_return(h), "fraction", f"Simple return over the next {h} h; NULL while unknown", check="> -1")
        for h in HORIZONS
    ),
    *(
        Column(
            target_direction(h),
            Integer,
            CheckConstraint(f"{target_direction(h)} IN (0, 1)", name=f"{target_direction(h)}_binary"),
            nullable=True,
            comment=f"1 = up, 0 = down over the next {h} h; NULL while unknown or exactly unchanged",
            info={"unit": "direction"},
        )
        for h in HORIZONS
    ),
    document("extra", "A user's own features"),
    comment="One row per symbol, hour and feature set.",
    info={"grain": "symbol, hour, feature set"},
)
Index("ix_features_timestamp", features.c.timestamp)
