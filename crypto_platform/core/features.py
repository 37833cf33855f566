"""Model inputs: a registry of named features, and the one function that computes them.

Training, backfill and serving all call `compute`. A feature of hour t uses candles up to t and records known at
as_of(t); it is scale-free, and missing (NaN) until its window is full. Names and meanings: `tables.features`.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crypto_platform.core import labels
from crypto_platform.core.indicators import momentum, trend, volatility, volume
from crypto_platform.core.indicators import windows as w
from crypto_platform.core.panel import Panel, build_panel, from_hours, hours_since_1970
from crypto_platform.tables.features import HORIZONS, target_direction, target_return

Floats = NDArray[np.float64]

CODE_VERSION: Final = 1  # raised whenever a formula changes: part of every feature set's hash
WARM_UP_ROWS: Final = 336  # rows of a segment before its first model row
LOOKBACK_ROWS: Final = 720  # hours before a row that an incremental computation reads
BLOCK_CELLS: Final = 1 << 16  # cells computed at a time: half a megabyte an array stays in the processor's cache
SENTIMENT_STALE_HOURS: Final = 48
SENTIMENT_FEATURES: Final = ("fng", "fng_chg_1d", "fng_chg_7d")


@dataclass(frozen=True)
class Inputs:
    """A panel and the quantities that many features share, computed once.

    Parameters
    ----------
    panel : Panel
    sentiment : array, shape of the panel
        Index / 100 as known at as_of of each hour; NaN where stale or unknown.
    """

    panel: Panel
    sentiment: Floats

    @cached_property
    def ret_1(self) -> Floats:
        """Hourly log return."""
        return w.ln(w.divide(self.panel.close, w.lag(self.panel.close, 1)))

    @cached_property
    def macd(self) -> trend.Macd:
        """MACD(12, 26, 9)."""
        return trend.macd(self.panel.close)

    @cached_property
    def directional(self) -> trend.Directional:
        """+DI, -DI and ADX over 14."""
        return trend.directional(self.panel.high, self.panel.low, self.panel.close)

    @cached_property
    def stochastic(self) -> tuple[Floats, Floats]:
        """Slow stochastic (14, 3, 3)."""
        return momentum.stochastic(self.panel.high, self.panel.low, self.panel.close)

    @cached_property
    def usable_from(self) -> NDArray[np.int64]:
        """Hour of as_of(t), in hours since 1970 UTC."""
        return self.panel.hours + 1


Formula = Callable[[Inputs], Floats]


@dataclass(frozen=True, slots=True)
class Feature:
    """One model input.

    Parameters
    ----------
    name : str
        Column of the table `features`.
    first_row : int
        0-based row of a segment at which it exists before the common warm-up.
    formula : callable
        From `Inputs` to an array of the panel's shape.
    recursive : bool
        Whether it depends on all hours of the segment before it, in vanishing degree, as exponential means do.
        Otherwise on the last `first_row` + 1 hours alone.
    """

    name: str
    first_row: int
    formula: Formula
    recursive: bool = False


def _volatility(n: int) -> Formula:
    return lambda i: w.deviation(i.ret_1, n)


def _price_to_ema(n: int) -> Formula:
    return lambda i: w.divide(i.panel.close, w.ema(i.panel.close, n)) - 1


def _angle(period: int, offset: int, function: Callable[[Floats], Floats]) -> Formula:
    return lambda i: function(2 * np.pi * ((i.usable_from + offset) % period) / period)


# 1970-01-01 was a Thursday: 72 hours after a Monday's start.
_WEEK, _MONDAY = 168, 72

_FEATURES: Final = (
    *(
        Feature(f"ret_{k}", k, lambda i, k=k: w.ln(w.divide(i.panel.close, w.lag(i.panel.close, k))))  # type: ignore[misc]
        for k in (1, 3, 6, 12, 24, 72, 168)
    ),
    *(Feature(f"ret_1_lag_{k}", k + 1, lambda i, k=k: w.lag(i.ret_1, k)) for k in (1, 2, 3, 6, 24)),  # type: ignore[misc]
    *(
        Feature(f"sma_ratio_{n}", n - 1, lambda i, n=n: w.divide(i.panel.close, w.mean(i.panel.close, n)) - 1)  # type: ignore[misc]
        for n in (7, 14, 30, 168)
    ),
    *(Feature(f"ema_ratio_{n}", n - 1, _price_to_ema(n), recursive=True) for n in (7, 14, 30)),
    Feature(
        "ema_cross_7_30", 29, lambda i: w.divide(w.ema(i.panel.close, 7), w.ema(i.panel.close, 30)) - 1, recursive=True
    ),
    *(Feature(f"rsi_{n}", n, lambda i, n=n: momentum.rsi(i.panel.close, n), recursive=True) for n in (7, 14)),  # type: ignore[misc]
    Feature("macd_c", 33, lambda i: w.divide(i.macd.line, i.panel.close), recursive=True),
    Feature("macd_signal_c", 33, lambda i: w.divide(i.macd.signal, i.panel.close), recursive=True),
    Feature("macd_hist_c", 33, lambda i: w.divide(i.macd.histogram, i.panel.close), recursive=True),
    Feature("bb_pctb_20", 19, lambda i: volatility.band_position(i.panel.close)),
    Feature("bb_width_20", 19, lambda i: volatility.band_width(i.panel.close)),
    *(Feature(f"vol_{n}", n, _volatility(n)) for n in (7, 14, 30, 168)),
    Feature("vol_ratio_7_30", 30, lambda i: w.ln(w.divide(w.deviation(i.ret_1, 7), w.deviation(i.ret_1, 30)))),
    Feature(
        "natr_14", 14, lambda i: volatility.normalized_atr(i.panel.high, i.panel.low, i.panel.close), recursive=True
    ),
    Feature("parkinson_24", 23, lambda i: volatility.parkinson(i.panel.high, i.panel.low)),
    Feature("gk_24", 23, lambda i: volatility.garman_klass(i.panel.open, i.panel.high, i.panel.low, i.panel.close)),
    Feature("adx_14", 27, lambda i: i.directional.adx, recursive=True),
    Feature("di_diff_14", 14, lambda i: i.directional.plus - i.directional.minus, recursive=True),
    Feature("aroonosc_25", 25, lambda i: trend.aroon_oscillator(i.panel.high, i.panel.low)),
    Feature("slope_24", 23, lambda i: w.slope(w.ln(i.panel.close), 24)),
    Feature("stoch_k", 15, lambda i: i.stochastic[0]),
    Feature("stoch_d", 17, lambda i: i.stochastic[1]),
    Feature("cci_20", 19, lambda i: momentum.cci(i.panel.high, i.panel.low, i.panel.close)),
    Feature(
        "mfi_14",
        14,
        lambda i: volume.money_flow_index(i.panel.high, i.panel.low, i.panel.close, i.panel.volume),
    ),
    Feature("willr_14", 13, lambda i: momentum.williams_r(i.panel.high, i.panel.low, i.panel.close)),
    Feature("hl_range", 0, lambda i: w.ln(w.divide(i.panel.high, i.panel.low))),
    Feature("co_ret", 0, lambda i: w.ln(w.divide(i.panel.close, i.panel.open))),
    Feature(
        "close_pos",
        0,
        lambda i: np.where(
            i.panel.high == i.panel.low, 0.5, w.divide(i.panel.close - i.panel.low, i.panel.high - i.panel.low)
        ),
    ),
    *(
        Feature(f"dist_max_{n}", n - 1, lambda i, n=n: w.divide(i.panel.close, w.highest(i.panel.high, n)) - 1)  # type: ignore[misc]
        for n in (7, 30, 168)
    ),
    *(
        Feature(f"dist_min_{n}", n - 1, lambda i, n=n: w.divide(i.panel.close, w.lowest(i.panel.low, n)) - 1)  # type: ignore[misc]
        for n in (7, 30, 168)
    ),
    Feature("zscore_30", 29, lambda i: volatility.zscore(i.panel.close, 30)),
    Feature("skew_72", 72, lambda i: momentum.skewness(i.ret_1, 72)),
    Feature("autocorr_24", 25, lambda i: momentum.autocorrelation(i.ret_1, 24)),
    Feature("volume_sma_ratio_7", 6, lambda i: volume.volume_ratio(i.panel.volume, 7)),
    *(Feature(f"volume_z_{n}", n - 1, lambda i, n=n: volume.log_volume_zscore(i.panel.volume, n)) for n in (24, 168)),  # type: ignore[misc]
    Feature(
        "vwap_ratio_24",
        23,
        lambda i: volume.vwap_ratio(i.panel.high, i.panel.low, i.panel.close, i.panel.volume),
    ),
    Feature("hour_sin", 0, _angle(24, 0, np.sin)),
    Feature("hour_cos", 0, _angle(24, 0, np.cos)),
    Feature("dow_sin", 0, lambda i: np.sin(2 * np.pi * (_weekday(i) / 7))),
    Feature("dow_cos", 0, lambda i: np.cos(2 * np.pi * (_weekday(i) / 7))),
    Feature("is_weekend", 0, lambda i: (_weekday(i) >= 5).astype(float)),
    Feature("gap_fill_24", 23, lambda i: w.mean((i.panel.is_filled & i.panel.inside).astype(float), 24)),
    Feature("fng", 0, lambda i: i.sentiment),
    Feature("fng_chg_1d", 24, lambda i: i.sentiment - w.lag(i.sentiment, 24)),
    Feature("fng_chg_7d", 168, lambda i: i.sentiment - w.lag(i.sentiment, 168)),
)


def _weekday(inputs: Inputs) -> NDArray[np.int64]:
    """0 = Monday, of as_of."""
    return ((inputs.usable_from + _MONDAY) % _WEEK) // 24


REGISTRY: Final[Mapping[str, Feature]] = {feature.name: feature for feature in _FEATURES}


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Named features in a fixed order; the order is that of a model's inputs."""

    name: str
    features: tuple[str, ...]

    @property
    def hash(self) -> str:
        """Stable fingerprint of names, order, parameters (they are in the names) and code version, 16 hex digits."""
        text = json.dumps(
            [CODE_VERSION, WARM_UP_ROWS, [[n, REGISTRY[n].first_row] for n in self.features]], separators=(",", ":")
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]


DEFAULT: Final = FeatureSet("default_v1", tuple(REGISTRY))
WITHOUT_SENTIMENT: Final = FeatureSet("candles_v1", tuple(name for name in REGISTRY if name not in SENTIMENT_FEATURES))


def compute(
    candles: pd.DataFrame,
    sentiment: pd.DataFrame,
    feature_set: FeatureSet = DEFAULT,
    emit_from: Mapping[str, datetime] | None = None,
) -> pd.DataFrame:
    """Features and labels of many symbols at once.

    Parameters
    ----------
    candles : DataFrame
        As `build_panel` takes them; all closed. Where they begin with a lookback cut out of a longer history, only rows
        with `LOOKBACK_ROWS` hours before them are what the whole history gives (within 1e-9): name them in `emit_from`.
    sentiment : DataFrame
        `timestamp`, `known_at` (UTC) and `fear_greed_value` (0 to 100); may be empty.
    feature_set : FeatureSet
    emit_from : mapping of str to datetime, optional
        First hour to return of each symbol; all of its hours where a symbol is not in it.

    Returns
    -------
    DataFrame
        One row per symbol and grid hour: `symbol`, `timestamp`, `close`, `is_filled` (no candle of its own: carried
        over a short gap, or taken from a fallback source), `is_valid` (every feature finite, not filled, at least
        `WARM_UP_ROWS` rows into its segment), `segment_hours` (hours since the segment began, counted up to
        `WARM_UP_ROWS`), the features, and the labels `target_*` of all horizons. Features of rows in warm-up are NaN.
    """
    panel = build_panel(candles)
    if panel.shape[0] == 0:
        return pd.DataFrame()
    wanted = {symbol: int(moment.timestamp()) // 3600 for symbol, moment in (emit_from or {}).items()}
    first_hours = np.array(
        [wanted.get(symbol, start) for symbol, start in zip(panel.symbols, panel.starts, strict=True)]
    )
    sizes = np.minimum(panel.lengths, np.maximum(panel.starts + panel.lengths - first_hours, 0))

    values = np.full((len(feature_set.features), sizes.sum()), np.nan)
    targets = np.full((len(HORIZONS), sizes.sum()), np.nan)
    rows: list[dict[str, NDArray[Any]]] = []
    segment = row = 0
    for block in panel.blocks(BLOCK_CELLS):
        segments = slice(segment, segment + len(block.lengths))
        emitted = block.inside & (block.hours >= first_hours[segments, None])
        out = slice(row, row + int(sizes[segments].sum()))
        segment, row = segments.stop, out.stop
        if out.start == out.stop:
            continue
        rows.append(_describe(block, emitted))
        _fill_features(values[:, out], block, emitted, sentiment, feature_set)
        for target, horizon in zip(targets, HORIZONS, strict=True):
            target[out] = labels.forward_returns(block, horizon)[emitted]
    return _assemble(rows, values, targets, feature_set)


def _describe(block: Panel, emitted: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    age = np.broadcast_to(np.minimum(np.arange(block.shape[1]), WARM_UP_ROWS), block.shape)
    return {
        "symbol": np.repeat(block.symbols, emitted.sum(axis=1)),
        "timestamp": block.hours[emitted],
        "close": block.close[emitted],
        "is_filled": block.unlabeled[emitted],
        "segment_hours": age[emitted],
    }


def _fill_features(
    values: Floats, block: Panel, emitted: NDArray[np.bool_], sentiment: pd.DataFrame, feature_set: FeatureSet
) -> None:
    """Write the features of emitted rows past warm-up into `values`, shape (n_features, n_rows)."""
    chosen = [REGISTRY[name] for name in feature_set.features]
    warm = np.arange(block.shape[1]) >= WARM_UP_ROWS
    needed = np.flatnonzero((emitted & warm).any(axis=0))
    if len(needed) == 0:
        return
    # Features with a finite memory need no more than that before the first hour asked for.
    skipped = max(0, int(needed[0]) - max((f.first_row for f in chosen if not f.recursive), default=0))
    whole = Inputs(block, _sentiment_as_known(block, sentiment))
    recent = Inputs(block.since(skipped), whole.sentiment[:, skipped:])
    kept = (emitted & warm)[emitted]
    for row, feature in zip(values, chosen, strict=True):
        if feature.recursive:
            row[kept] = feature.formula(whole)[emitted & warm]
        else:
            row[kept] = feature.formula(recent)[(emitted & warm)[:, skipped:]]


def _assemble(
    rows: list[dict[str, NDArray[Any]]], values: Floats, targets: Floats, feature_set: FeatureSet
) -> pd.DataFrame:
    if not rows:
        return pd.DataFrame()
    columns = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
    head = pd.DataFrame(columns | {"timestamp": from_hours(columns["timestamp"])})
    head.insert(4, "is_valid", np.isfinite(values).all(axis=0) & ~columns["is_filled"])
    answers: dict[str, Floats] = {}
    for horizon, returns in zip(HORIZONS, targets, strict=True):
        answers[target_return(horizon)] = returns
        answers[target_direction(horizon)] = labels.directions(returns)
    return pd.concat(
        [head, pd.DataFrame(values.T, columns=feature_set.features, copy=False), pd.DataFrame(answers)], axis=1
    )


def _sentiment_as_known(panel: Panel, sentiment: pd.DataFrame) -> Floats:
    """Index / 100 of the latest day known at as_of of each hour; NaN where none is, or it is stale."""
    if sentiment.empty:
        return np.full(panel.shape, np.nan)
    ordered = sentiment.sort_values(["known_at", "timestamp"])
    # Known within an hour means known at its end: round up.
    known = hours_since_1970(ordered["known_at"].dt.ceil("h"))
    days = np.maximum.accumulate(hours_since_1970(ordered["timestamp"]))
    newest = hours_since_1970(ordered["timestamp"]) == days  # a day that became known late must not replace a newer one
    known, days = known[newest], days[newest]
    values = ordered["fear_greed_value"].to_numpy(float)[newest] / 100
    as_of = panel.hours + 1
    position = np.searchsorted(known, as_of, side="right") - 1
    found = position >= 0
    age = as_of - days[np.maximum(position, 0)]
    return np.where(found & (age <= SENTIMENT_STALE_HOURS), values[np.maximum(position, 0)], np.nan)
