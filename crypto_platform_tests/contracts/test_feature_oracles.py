"""TA-Lib, which we did not write, gives the same features, segment by segment."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import talib

from crypto_platform.core.formulas import REGISTRY, Inputs
from crypto_platform.core.panel import build_panel
from crypto_platform.tables.features import PARTS

TOLERANCE = 1e-9
Columns = dict[str, np.ndarray]


def _rate(k: int) -> Callable[[Columns], np.ndarray]:
    return lambda c: np.log1p(talib.ROCP(c["close"], k))


def _ratio(function: Callable[..., np.ndarray], n: int) -> Callable[[Columns], np.ndarray]:
    return lambda c: c["close"] / function(c["close"], n) - 1


def _log_returns(c: Columns) -> np.ndarray:
    return np.diff(np.log(c["close"]))


def _deviation(n: int) -> Callable[[Columns], np.ndarray]:
    return lambda c: np.r_[np.nan, talib.STDDEV(_log_returns(c), n) * np.sqrt(n / (n - 1))]


def _hlc(c: Columns) -> tuple[np.ndarray, ...]:
    return c["high"], c["low"], c["close"]


def _band(c: Columns, *, width: bool) -> np.ndarray:
    upper, middle, lower = talib.BBANDS(c["close"], 20, 2, 2)
    return (upper - lower) / middle if width else (c["close"] - lower) / (upper - lower)


def _volume_z(n: int) -> Callable[[Columns], np.ndarray]:
    def oracle(c: Columns) -> np.ndarray:
        logs = np.log(c["volume"])
        return (logs - talib.SMA(logs, n)) / (talib.STDDEV(logs, n) * np.sqrt(n / (n - 1)))

    return oracle


def _vwap(c: Columns) -> np.ndarray:
    typical = talib.TYPPRICE(*_hlc(c))
    return c["close"] / (talib.SUM(typical * c["volume"], 24) / talib.SUM(c["volume"], 24)) - 1


def _autocorrelation(c: Columns) -> np.ndarray:
    r = _log_returns(c)
    return np.r_[np.nan, np.nan, talib.CORREL(r[1:], r[:-1], 24)]


ORACLES: dict[str, Callable[[Columns], np.ndarray]] = {
    **{f"ret_{k}": _rate(k) for k in (1, 3, 6, 12, 24, 72, 168)},
    **{f"sma_ratio_{n}": _ratio(talib.SMA, n) for n in (7, 14, 30, 168)},
    **{f"ema_ratio_{n}": _ratio(talib.EMA, n) for n in (7, 14, 30)},
    "ema_cross_7_30": lambda c: talib.EMA(c["close"], 7) / talib.EMA(c["close"], 30) - 1,
    **{f"rsi_{n}": (lambda c, n=n: talib.RSI(c["close"], n) / 100) for n in (7, 14)},
    "macd_c": lambda c: talib.MACD(c["close"])[0] / c["close"],
    "macd_signal_c": lambda c: talib.MACD(c["close"])[1] / c["close"],
    "macd_hist_c": lambda c: talib.MACD(c["close"])[2] / c["close"],
    "bb_pctb_20": lambda c: _band(c, width=False),
    "bb_width_20": lambda c: _band(c, width=True),
    **{f"vol_{n}": _deviation(n) for n in (7, 14, 30, 168)},
    "natr_14": lambda c: talib.NATR(*_hlc(c), 14) / 100,
    "adx_14": lambda c: talib.ADX(*_hlc(c), 14) / 100,
    "di_diff_14": lambda c: (talib.PLUS_DI(*_hlc(c), 14) - talib.MINUS_DI(*_hlc(c), 14)) / 100,
    "aroonosc_25": lambda c: talib.AROONOSC(c["high"], c["low"], 25) / 100,
    "slope_24": lambda c: talib.LINEARREG_SLOPE(np.log(c["close"]), 24),
    "stoch_k": lambda c: talib.STOCH(*_hlc(c), 14, 3, 0, 3, 0)[0] / 100,
    "stoch_d": lambda c: talib.STOCH(*_hlc(c), 14, 3, 0, 3, 0)[1] / 100,
    "cci_20": lambda c: talib.CCI(*_hlc(c), 20) / 100,
    "mfi_14": lambda c: talib.MFI(*_hlc(c), c["volume"], 14) / 100,
    "willr_14": lambda c: talib.WILLR(*_hlc(c), 14) / 100,
    **{f"dist_max_{n}": (lambda c, n=n: c["close"] / talib.MAX(c["high"], n) - 1) for n in (7, 30, 168)},
    **{f"dist_min_{n}": (lambda c, n=n: c["close"] / talib.MIN(c["low"], n) - 1) for n in (7, 30, 168)},
    "zscore_30": lambda c: (c["close"] - talib.SMA(c["close"], 30)) / (talib.STDDEV(c["close"], 30) * np.sqrt(30 / 29)),
    "autocorr_24": _autocorrelation,
    "volume_sma_ratio_7": lambda c: np.log(c["volume"] / talib.SMA(c["volume"], 7)),
    **{f"volume_z_{n}": _volume_z(n) for n in (24, 168)},
    "vwap_ratio_24": _vwap,
}


@pytest.fixture(scope="module")
def inputs(walk: Callable[..., pd.DataFrame]) -> Inputs:
    """Three segments of two symbols, every hour traded: TA-Lib knows no zero-volume rule."""
    btc = walk("BTC", 900, seed=11, price=40_000)
    eth = walk("ETH", 1000, seed=12).drop(index=range(480, 490))
    panel = build_panel(pd.concat([btc, eth], ignore_index=True))
    assert panel.shape[0] == 3
    return Inputs(panel)


@pytest.mark.parametrize("name", ORACLES)
def test_feature_equals_its_oracle_over_whole_segments(inputs: Inputs, name: str) -> None:
    ours = REGISTRY[name].formula(inputs)
    for row, length in enumerate(inputs.panel.lengths):
        columns = {
            field: np.ascontiguousarray(getattr(inputs.panel, field)[row, :length])
            for field in ("open", "high", "low", "close", "volume")
        }
        expected = ORACLES[name](columns)
        seen = np.isfinite(expected)
        assert seen.sum() > 200
        np.testing.assert_allclose(ours[row, :length][seen], expected[seen], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", PARTS["candles"])
def test_feature_begins_at_its_documented_row_and_then_has_no_hole(inputs: Inputs, name: str) -> None:
    values = REGISTRY[name].formula(inputs)
    first = REGISTRY[name].first_row
    for row, length in enumerate(inputs.panel.lengths):
        assert not np.isfinite(values[row, :first]).any()
        assert np.isfinite(values[row, first:length]).all()
