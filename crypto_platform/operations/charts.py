"""The report's figure as plain Plotly JSON: price, signals, probabilities and hits of one symbol and horizon.

The page draws one key at a time into one figure, so a hundred symbols cost their numbers alone. Colors that depend
on the reader's light or dark theme are the template's.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import pandas as pd

from crypto_platform.core.hours import HOUR
from crypto_platform.core.reporting import WEEK, Key
from crypto_platform.core.signals import Signal, SignalRules

Spec = dict[str, Any]

MINUTE: Final = "%Y-%m-%dT%H:%M"  # without a zone Plotly shows it as it stands: UTC
# Okabe & Ito's palette: told apart by color-blind readers, and readable on white and on near-black.
BLUE, ORANGE, GREEN, VERMILION, GRAY = "#3a8fd0", "#d98f00", "#00a278", "#dd6b20", "#8a8f98"
MARKERS: Final = {Signal.BUY: ("triangle-up", GREEN), Signal.SELL: ("triangle-down", VERMILION)}
OUTCOMES: Final = (("hit", True, "circle", GREEN), ("miss", False, "x", VERMILION), ("open", None, "circle-open", GRAY))


def layout(as_of: datetime, rules: SignalRules) -> Spec:
    """Axes and thresholds, the same for every key: price above, up-probability below."""
    span = [(as_of - WEEK).strftime(MINUTE), as_of.strftime(MINUTE)]
    thresholds = [(rules.buy, "dash"), (0.5, "solid"), (rules.sell, "dash")]
    return {
        "xaxis": {"range": span, "anchor": "y2", "title": {"text": "time, UTC"}},
        "yaxis": {"domain": [0.46, 1.0], "title": {"text": "price"}, "automargin": True},
        "yaxis2": {"domain": [0.0, 0.38], "title": {"text": "p(up)"}, "tickformat": ".0%", "automargin": True},
        "shapes": [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "yref": "y2",
                "y0": value,
                "y1": value,
                "line": {"width": 1, "dash": dash, "color": GRAY},
            }
            for value, dash in thresholds
        ],
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "margin": {"l": 10, "r": 10, "t": 10, "b": 40},
        "hovermode": "x unified",
        "height": 560,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }


def traces(candles: pd.DataFrame, forecasts: pd.DataFrame, as_of: datetime) -> list[Spec]:
    """Lines and markers of one key.

    Parameters
    ----------
    candles : DataFrame
        `timestamp` (open time) and `close` of one symbol, ascending. A missing hour breaks the line.
    forecasts : DataFrame
        The key's rows of `observe.forecasts_with_outcomes`.
    as_of : datetime
    """
    recent = forecasts[forecasts["prediction_timestamp"] > pd.Timestamp(as_of) - pd.Timedelta(WEEK)]
    return [_price(candles), *_signals(recent), *_probabilities(recent[recent["prob_up"].notna()])]


def figure_data(
    keys: Sequence[Key], candles: pd.DataFrame, forecasts: pd.DataFrame, as_of: datetime
) -> dict[str, list[Spec]]:
    """Traces of every key that has candles or forecasts, by the key's name as `key_name` gives it."""
    candles_of = dict(iter(candles.groupby("symbol")))
    forecasts_of = dict(iter(forecasts.groupby(["symbol", "horizon"])))
    return {
        key_name(key): traces(
            candles_of.get(key[0], candles.iloc[:0]), forecasts_of.get(key, forecasts.iloc[:0]), as_of
        )
        for key in keys
        if key[0] in candles_of or key in forecasts_of
    }


def key_name(key: Key) -> str:
    """How the selector names a key.

    Examples
    --------
    >>> key_name(("BTC", 1))
    'BTC, 1 h ahead'
    """
    return f"{key[0]}, {key[1]} h ahead"


def _price(candles: pd.DataFrame) -> Spec:
    close = candles.set_index("timestamp")["close"]
    if len(close):
        close = close.reindex(pd.date_range(close.index[0], close.index[-1], freq="h", unit="us"))
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "close",
        "x": _times(pd.Series(close.index) + pd.Timedelta(HOUR)),
        "y": _numbers(close, 6),
        "line": {"color": BLUE, "width": 1.6},
        "connectgaps": False,
    }


def _signals(forecasts: pd.DataFrame) -> list[Spec]:
    """Signals as filled triangles; what they would have been without costs as hollow ones."""
    drawn = []
    for signal, (shape, color) in MARKERS.items():
        after = forecasts["signal"] == signal.value
        before = (forecasts["signal_before_costs"] == signal.value) & ~after
        for rows, name, symbol in (
            (forecasts[after], signal.value, shape),
            (forecasts[before], f"{signal.value} before costs", f"{shape}-open"),
        ):
            drawn.append(_markers(rows, "current_price", 6, name, symbol, color, size=10))
    return drawn


def _probabilities(forecasts: pd.DataFrame) -> list[Spec]:
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "p(up)",
        "x": _times(forecasts["prediction_timestamp"]),
        "y": _numbers(forecasts["prob_up"], 4),
        "yaxis": "y2",
        "line": {"color": ORANGE, "width": 1},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    drawn = [line]
    for name, truth, symbol, color in OUTCOMES:
        correct = forecasts["correct"]
        chosen = correct.isna() if truth is None else correct.notna() & (correct == truth)
        drawn.append({**_markers(forecasts[chosen], "prob_up", 4, name, symbol, color, size=7), "yaxis": "y2"})
    return drawn


def _markers(rows: pd.DataFrame, column: str, digits: int, name: str, symbol: str, color: str, *, size: int) -> Spec:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": _times(rows["prediction_timestamp"]),
        "y": _numbers(rows[column], digits),
        "marker": {"symbol": symbol, "color": color, "size": size},
    }


def _times(instants: pd.Series) -> list[str]:
    return [instant.strftime(MINUTE) for instant in instants]


def _numbers(values: pd.Series, digits: int) -> list[float | None]:
    return [None if pd.isna(value) else float(f"{value:.{digits}g}") for value in values]
