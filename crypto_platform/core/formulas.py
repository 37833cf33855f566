"""Every built-in model input: its name, its first row and its formula.

A feature of hour t uses candles up to t and records known at as_of(t). It is scale-free, and missing (NaN) until its
window is full. Meanings in words: `tables.features`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crypto_platform.core.indicators import momentum, trend, volatility, volume
from crypto_platform.core.indicators import windows as w
from crypto_platform.core.joins import REFERENCE_1, REFERENCE_24, REFERENCE_SEEN, SENTIMENT, TURNOVER
from crypto_platform.core.panel import Panel

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Inputs:
    """A panel and the quantities that many features share, computed once.

    Parameters
    ----------
    panel : Panel
    joined : mapping of str to array, shape of the panel
        What other records say, as known at as_of of each hour; NaN where stale or unknown. Absent is all NaN.
    """

    panel: Panel
    joined: Mapping[str, Floats] = field(default_factory=dict)

    def since(self, column: int) -> "Inputs":
        """Without the first columns."""
        return Inputs(self.panel.since(column), {name: values[:, column:] for name, values in self.joined.items()})

    def known(self, name: str) -> Floats:
        """One of the joined quantities."""
        return self.joined[name] if name in self.joined else np.full(self.panel.shape, np.nan)

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
    Feature("fng", 0, lambda i: i.known(SENTIMENT)),
    Feature("fng_chg_1d", 24, lambda i: i.known(SENTIMENT) - w.lag(i.known(SENTIMENT), 24)),
    Feature("fng_chg_7d", 168, lambda i: i.known(SENTIMENT) - w.lag(i.known(SENTIMENT), 168)),
    Feature("turnover_24h", 0, lambda i: i.known(TURNOVER)),
    Feature("btc_ret_1", 1, lambda i: i.known(REFERENCE_1) * i.known(REFERENCE_SEEN)),
    Feature("btc_ret_24", 24, lambda i: i.known(REFERENCE_24) * i.known(REFERENCE_SEEN)),
    Feature(
        "ret_24_minus_btc",
        24,
        lambda i: (
            w.ln(w.divide(i.panel.close, w.lag(i.panel.close, 24))) - i.known(REFERENCE_24) * i.known(REFERENCE_SEEN)
        ),
    ),
    Feature(
        "btc_corr_72",
        72,
        lambda i: momentum.correlation(i.ret_1, i.known(REFERENCE_1), 72) * i.known(REFERENCE_SEEN),
    ),
)


def _weekday(inputs: Inputs) -> NDArray[np.int64]:
    """0 = Monday, of as_of."""
    return ((inputs.usable_from + _MONDAY) % _WEEK) // 24


REGISTRY: Final[Mapping[str, Feature]] = {feature.name: feature for feature in _FEATURES}
