"""What each feature should be, by libraries and plain loops that share no code with the platform.

TA-Lib where it has the indicator, else the definition written down a second time. An oracle gives NaN at hours of which
it says nothing; one that is `whole` speaks of every hour: its NaN means that the feature is missing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import talib
from numpy.lib.stride_tricks import sliding_window_view
from scipy import stats

from validation.segments import HOUR, Floats, Segment

Function = Callable[[Segment], Floats]

SEEDED: Final = ("ema_ratio_7", "ema_ratio_14", "ema_ratio_30", "ema_cross_7_30", "rsi_7", "rsi_14")


@dataclass(frozen=True, slots=True)
class Oracle:
    """What one feature should be.

    Parameters
    ----------
    by : str
        Who says so, for the document.
    function : callable
        From a segment to its values, shape (n_hours,); NaN where it says nothing.
    whole : bool
        Whether NaN means that the feature is missing.
    """

    by: str
    function: Function
    whole: bool = False


def _hlc(s: Segment) -> tuple[Floats, Floats, Floats]:
    return s.high, s.low, s.close


def _returns(s: Segment) -> Floats:
    """Hourly log returns; the first is NaN."""
    return np.r_[np.nan, np.diff(np.log(s.close))]


def _lagged(values: Floats, k: int) -> Floats:
    return pd.Series(values).shift(k).to_numpy()


# TA-Lib: it knows ddof = 0 alone, no hours without trade, and after one NaN nothing but NaN.


def _rate(close: Floats, k: int) -> Floats:
    return np.log1p(talib.ROCP(close, k))


def _ratio(function: Callable[..., Floats], n: int) -> Function:
    return lambda s: s.close / function(s.close, n) - 1


def _sample_deviation(values: Floats, n: int) -> Floats:
    return talib.STDDEV(values, n) * math.sqrt(n / (n - 1))


def _volatility(s: Segment, n: int) -> Floats:
    return np.r_[np.nan, _sample_deviation(_returns(s)[1:], n)]


def _pctb(s: Segment) -> Floats:
    upper, _, lower = talib.BBANDS(s.close, 20, 2, 2)
    return (s.close - lower) / (upper - lower)


def _width(s: Segment) -> Floats:
    upper, middle, lower = talib.BBANDS(s.close, 20, 2, 2)
    return (upper - lower) / middle


def _zscore(values: Floats, n: int) -> Floats:
    return (values - talib.SMA(values, n)) / _sample_deviation(values, n)


def _autocorrelation(s: Segment) -> Floats:
    r = _returns(s)[1:]
    return np.r_[np.nan, np.nan, talib.CORREL(r[1:], r[:-1], 24)]


TIED: Final = 1e-12  # relative


def _vwap(s: Segment) -> Floats:
    typical = talib.TYPPRICE(*_hlc(s))
    return s.close / (talib.SUM(typical * s.volume, 24) / talib.SUM(s.volume, 24)) - 1


def _traded(n: int, function: Function) -> Function:
    """Of windows alone in which every hour was traded."""

    def oracle(s: Segment) -> Floats:
        # Running sums would carry the logarithm of no volume, which is no number, to the end.
        volume = np.where(s.volume > 0, s.volume, 1.0)
        values = function(Segment(s.symbol, s.hours, s.open, *_hlc(s), volume, s.filled))
        untraded = pd.Series(s.volume <= 0).rolling(n, min_periods=1).max().to_numpy()
        return np.where(untraded > 0, np.nan, values)

    return oracle


def _money_flow_index(s: Segment) -> Floats:
    """Without the windows in which a typical price is that of the hour before but for rounding.

    Whether such an hour counts as rising, falling or neither is decided by the last bit, in which sums differ.
    """
    typical = talib.TYPPRICE(*_hlc(s))
    tied = np.r_[False, np.abs(np.diff(typical)) <= TIED * typical[1:]]
    window = pd.Series(tied).rolling(14, min_periods=1).max().to_numpy()
    return np.where(window > 0, np.nan, talib.MFI(*_hlc(s), s.volume, 14) / 100)


TALIB: Final[dict[str, Oracle]] = {
    **{f"ret_{k}": Oracle("ROCP", lambda s, k=k: _rate(s.close, k)) for k in (1, 3, 6, 12, 24, 72, 168)},
    **{
        f"ret_1_lag_{k}": Oracle("ROCP, shifted", lambda s, k=k: _lagged(_rate(s.close, 1), k))
        for k in (1, 2, 3, 6, 24)
    },
    **{f"sma_ratio_{n}": Oracle("SMA", _ratio(talib.SMA, n)) for n in (7, 14, 30, 168)},
    **{f"ema_ratio_{n}": Oracle("EMA", _ratio(talib.EMA, n)) for n in (7, 14, 30)},
    "ema_cross_7_30": Oracle("EMA", lambda s: talib.EMA(s.close, 7) / talib.EMA(s.close, 30) - 1),
    **{f"rsi_{n}": Oracle("RSI", lambda s, n=n: talib.RSI(s.close, n) / 100) for n in (7, 14)},
    **{
        f"macd_{name}c": Oracle("MACD", lambda s, i=i: talib.MACD(s.close)[i] / s.close)
        for i, name in enumerate(("", "signal_", "hist_"))
    },
    "bb_pctb_20": Oracle("BBANDS", _pctb),
    "bb_width_20": Oracle("BBANDS", _width),
    **{f"vol_{n}": Oracle("STDDEV", lambda s, n=n: _volatility(s, n)) for n in (7, 14, 30, 168)},
    "vol_ratio_7_30": Oracle("STDDEV", lambda s: np.log(_volatility(s, 7) / _volatility(s, 30))),
    "natr_14": Oracle("NATR", lambda s: talib.NATR(*_hlc(s), 14) / 100),
    "adx_14": Oracle("ADX", lambda s: talib.ADX(*_hlc(s), 14) / 100),
    "di_diff_14": Oracle(
        "PLUS_DI, MINUS_DI", lambda s: (talib.PLUS_DI(*_hlc(s), 14) - talib.MINUS_DI(*_hlc(s), 14)) / 100
    ),
    "aroonosc_25": Oracle("AROONOSC", lambda s: talib.AROONOSC(s.high, s.low, 25) / 100),
    "slope_24": Oracle("LINEARREG_SLOPE", lambda s: talib.LINEARREG_SLOPE(np.log(s.close), 24)),
    "stoch_k": Oracle("STOCH", lambda s: talib.STOCH(*_hlc(s), 14, 3, 0, 3, 0)[0] / 100),
    "stoch_d": Oracle("STOCH", lambda s: talib.STOCH(*_hlc(s), 14, 3, 0, 3, 0)[1] / 100),
    "cci_20": Oracle("CCI", lambda s: talib.CCI(*_hlc(s), 20) / 100),
    "mfi_14": Oracle("MFI", _traded(15, _money_flow_index)),
    "willr_14": Oracle("WILLR", lambda s: talib.WILLR(*_hlc(s), 14) / 100),
    **{f"dist_max_{n}": Oracle("MAX", lambda s, n=n: s.close / talib.MAX(s.high, n) - 1) for n in (7, 30, 168)},
    **{f"dist_min_{n}": Oracle("MIN", lambda s, n=n: s.close / talib.MIN(s.low, n) - 1) for n in (7, 30, 168)},
    "zscore_30": Oracle("SMA, STDDEV", lambda s: _zscore(s.close, 30)),
    "autocorr_24": Oracle("CORREL", _autocorrelation),
    "volume_sma_ratio_7": Oracle("SMA", _traded(7, lambda s: np.log(s.volume / talib.SMA(s.volume, 7)))),
    **{
        f"volume_z_{n}": Oracle("SMA, STDDEV", _traded(n, lambda s, n=n: _zscore(np.log(s.volume), n)))
        for n in (24, 168)
    },
    "vwap_ratio_24": Oracle("TYPPRICE, SUM", _traded(24, _vwap)),
}


# Definitions, a second time: each window by itself.


def _windows(values: Floats, n: int, function: Callable[[Floats], Floats]) -> Floats:
    """Function of each full window, shape (n_windows, n), at the hour of its end."""
    return np.r_[np.full(n - 1, np.nan), function(sliding_window_view(values, n))]


def _hourly(function: Callable[[float, float, float, float], float]) -> Function:
    return lambda s: np.array([function(*map(float, ohlc)) for ohlc in zip(s.open, *_hlc(s), strict=True)])


def _parkinson(s: Segment) -> Floats:
    logs = np.log(s.high / s.low)
    return _windows(logs, 24, lambda w: np.sqrt((w**2).sum(axis=1) / (24 * 4 * math.log(2))))


def _garman_klass(s: Segment) -> Floats:
    ranges, bodies = np.log(s.high / s.low), np.log(s.close / s.open)
    term = ranges**2 / 2 - (2 * math.log(2) - 1) * bodies**2
    return _windows(term, 24, lambda w: np.sqrt(w.mean(axis=1).clip(0)))


def _skewness(s: Segment) -> Floats:
    return _windows(_returns(s), 72, lambda w: stats.skew(w, axis=1, bias=False))


def _thin(n: int, function: Callable[[Segment, list[int]], float]) -> Function:
    """Of the traded hours of each window, four fifths of it at least, and of traded hours alone."""

    def oracle(s: Segment) -> Floats:
        values = np.full(len(s), np.nan)
        for t in range(n, len(s)):  # the first window may begin an hour before its own: money flow needs a change
            kept = [i for i in range(t - n + 1, t + 1) if s.volume[i] > 0]
            if s.volume[t] > 0 and 5 * len(kept) >= 4 * n:
                values[t] = function(s, kept)
        return values

    return oracle


def _money_flow(s: Segment, kept: list[int]) -> float:
    typical = [(s.high[i] + s.low[i] + s.close[i]) / 3 for i in kept]
    before = [(s.high[i - 1] + s.low[i - 1] + s.close[i - 1]) / 3 for i in kept]
    flows = [(now - then, now * s.volume[i]) for now, then, i in zip(typical, before, kept, strict=True)]
    rising = math.fsum(flow for change, flow in flows if change > 0)
    falling = math.fsum(flow for change, flow in flows if change < 0)
    return rising / (rising + falling)


def _volume_ratio(s: Segment, kept: list[int]) -> float:
    return math.log(s.volume[kept[-1]] / (math.fsum(s.volume[kept]) / len(kept)))


def _volume_z(s: Segment, kept: list[int]) -> float:
    logs = np.log(s.volume[kept])
    return float((logs[-1] - logs.mean()) / logs.std(ddof=1))


def _thin_vwap(s: Segment, kept: list[int]) -> float:
    traded = math.fsum((s.high[i] + s.low[i] + s.close[i]) / 3 * s.volume[i] for i in kept)
    return float(s.close[kept[-1]] / (traded / math.fsum(s.volume[kept])) - 1)


def _calendar(function: Callable[[int, int], float]) -> Function:
    """Of the hour (0 to 23) and weekday (Monday is 0) at each hour's end."""

    def oracle(s: Segment) -> Floats:
        ends = [hour + HOUR for hour in s.hours]
        return np.array([function(end.hour, end.weekday()) for end in ends])

    return oracle


def _place(high: float, low: float, close: float) -> float:
    return 0.5 if high == low else (close - low) / (high - low)


def _joined(name: str) -> Function:
    return lambda s: s.joined[name]


def _change(k: int) -> Function:
    return lambda s: s.joined["sentiment"] - _lagged(s.joined["sentiment"], k)


def _beside(name: str) -> Function:
    """Of the reference's hours that it has a candle of: of others nothing is known when they end."""
    return lambda s: np.where(s.joined["btc_seen"] > 0, s.joined[name], np.nan)


def _correlation(s: Segment) -> Floats:
    pairs = np.array([_returns(s), s.joined["btc_1"]])
    values = np.full(len(s), np.nan)
    for t in range(72, len(s)):
        window = pairs[:, t - 71 : t + 1]
        if np.isfinite(window).all() and s.joined["btc_seen"][t]:
            values[t] = np.corrcoef(window)[0, 1]
    return values


_TWO_PI: Final = 2 * math.pi

PLAIN: Final[dict[str, Oracle]] = {
    name: Oracle(by, function, whole=True)
    for name, by, function in (
        ("parkinson_24", "numpy, each window", _parkinson),
        ("gk_24", "numpy, each window", _garman_klass),
        ("hl_range", "math.log, hour by hour", _hourly(lambda _o, high, low, _c: math.log(high / low))),
        ("co_ret", "math.log, hour by hour", _hourly(lambda o, _h, _l, c: math.log(c / o))),
        ("close_pos", "hour by hour", _hourly(lambda _o, high, low, close: _place(high, low, close))),
        ("skew_72", "scipy.stats.skew, each window", _skewness),
        ("mfi_14", "traded hours in loops", _thin(14, _money_flow)),
        ("volume_sma_ratio_7", "traded hours in loops", _thin(7, _volume_ratio)),
        ("volume_z_24", "traded hours in loops", _thin(24, _volume_z)),
        ("volume_z_168", "traded hours in loops", _thin(168, _volume_z)),
        ("vwap_ratio_24", "traded hours in loops", _thin(24, _thin_vwap)),
        ("hour_sin", "datetime", _calendar(lambda hour, _day: math.sin(_TWO_PI * hour / 24))),
        ("hour_cos", "datetime", _calendar(lambda hour, _day: math.cos(_TWO_PI * hour / 24))),
        ("dow_sin", "datetime", _calendar(lambda _hour, day: math.sin(_TWO_PI * day / 7))),
        ("dow_cos", "datetime", _calendar(lambda _hour, day: math.cos(_TWO_PI * day / 7))),
        ("is_weekend", "datetime", _calendar(lambda _hour, day: float(day in {5, 6}))),
        ("gap_fill_24", "numpy, each window", lambda s: _windows(s.filled.astype(float), 24, lambda w: w.mean(axis=1))),
        ("fng", "records in a loop", _joined("sentiment")),
        ("fng_chg_1d", "records in a loop, pandas.shift", _change(24)),
        ("fng_chg_7d", "records in a loop, pandas.shift", _change(168)),
        ("turnover_24h", "records in a loop", _joined("turnover")),
        ("btc_ret_1", "hours in a loop", _beside("btc_1")),
        ("btc_ret_24", "hours in a loop", _beside("btc_24")),
        ("ret_24_minus_btc", "TA-Lib ROCP, hours in a loop", lambda s: _rate(s.close, 24) - _beside("btc_24")(s)),
        ("btc_corr_72", "numpy.corrcoef, each window", _correlation),
    )
}


def oracles() -> list[tuple[str, Oracle]]:
    """Feature and oracle, some features with two: TA-Lib where every hour was traded, and ours of thin windows."""
    named = [(name, Oracle(f"TA-Lib {oracle.by}", oracle.function)) for name, oracle in TALIB.items()]
    return [*named, *PLAIN.items()]
