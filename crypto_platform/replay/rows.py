"""Faults of single candles, made in the market's own frame before a vendor's format is rendered.

So each vendor sends the same damage in its own wire form. The rows hit are always the same ones: those of the hours
named by the argument; for a count N the newest N closed candles of the answer; without an argument the middle one of
its closed candles (the earlier one of two), or of all where none is closed. Zero rows before a listing are never hit.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from crypto_platform.core.hours import HOUR, floor_hour
from crypto_platform.replay.effects import CANDLES, Argument, Effect, Span, read_count, read_factor, read_hours

PRICES: Final = ["open", "high", "low", "close"]
VOLUMES: Final = ["volume_base", "volume", "trades"]
HOURS: Final = Argument("HOURS", read_hours, default=None)
_OFF_GRID: Final = pd.Timedelta(minutes=17)

Mask = npt.NDArray[np.bool_]
Change = Callable[[pd.DataFrame, Mask], pd.DataFrame]


def hit_rows(candles: pd.DataFrame, which: int | Span | None, now: datetime) -> Mask:
    """Rows that a fault hits.

    Parameters
    ----------
    candles : DataFrame
        Candle frame.
    which : int, Span or None
        Value of the argument `HOURS`.
    now : datetime
        A candle that ends later is not closed.

    Returns
    -------
    array of bool, one per row
    """
    stamps = candles["timestamp"]
    if isinstance(which, Span):
        return np.asarray((stamps >= which.start) & (stamps < which.end))
    listed = np.asarray(candles["close"] > 0)
    closed = listed & np.asarray(stamps + HOUR <= now)
    places = np.flatnonzero(closed if closed.any() else listed)
    hit = np.zeros(len(candles), dtype=bool)
    hit[places[-which:] if which else places[(len(places) - 1) // 2 :][:1]] = True
    return hit


def _on_hit(change: Change) -> Callable[[pd.DataFrame, int | Span | None, datetime], pd.DataFrame]:
    """A fault of the rows hit; an answer without any stays as it is."""

    def apply(candles: pd.DataFrame, which: int | Span | None, now: datetime) -> pd.DataFrame:
        hit = hit_rows(candles, which, now)
        return change(candles.copy(), hit) if hit.any() else candles

    return apply


def _scaled(candles: pd.DataFrame, hit: Mask, factor: float, names: list[str]) -> pd.DataFrame:
    candles.loc[hit, names] = candles.loc[hit, names] * factor
    return candles


def _restated(candles: pd.DataFrame, hit: Mask) -> pd.DataFrame:
    return _scaled(_scaled(candles, hit, 1.01, PRICES), hit, 2.0, VOLUMES)


def _set(candles: pd.DataFrame, hit: Mask, values: Mapping[str, pd.Series | float]) -> pd.DataFrame:
    for name, value in values.items():
        candles.loc[hit, name] = value[hit] if isinstance(value, pd.Series) else value
    return candles


def _duplicate(candles: pd.DataFrame, hit: Mask) -> pd.DataFrame:
    again = _restated(candles[hit].copy(), np.ones(int(hit.sum()), dtype=bool))
    return pd.concat([candles, again]).sort_index(kind="stable").reset_index(drop=True)


def _off_grid(candles: pd.DataFrame, hit: Mask) -> pd.DataFrame:
    candles.loc[hit, "timestamp"] += _OFF_GRID
    return candles


def _frozen(candles: pd.DataFrame, hit: Mask) -> pd.DataFrame:
    first = int(np.flatnonzero(hit)[0])
    price = float(candles["close"].iloc[first - 1] if first else candles["open"].iloc[0])
    rest = np.arange(len(candles)) >= first
    return _set(candles, rest, dict.fromkeys(PRICES, price) | dict.fromkeys(VOLUMES, 0.0))


def _future(candles: pd.DataFrame, hours: int, now: datetime) -> pd.DataFrame:
    last = candles.tail(1).copy()
    last["timestamp"] = pd.Series([floor_hour(now) + hours * HOUR] * len(last), last.index).astype(
        candles["timestamp"].dtype
    )
    return pd.concat([candles, last], ignore_index=True)


def _jump(candles: pd.DataFrame, factor: float, now: datetime) -> pd.DataFrame:
    hit = hit_rows(candles, None, now)
    return _scaled(candles.copy(), np.asarray(np.maximum.accumulate(hit), dtype=bool), factor, PRICES)


def _unsorted(candles: pd.DataFrame, _argument: None, _now: datetime) -> pd.DataFrame:
    half = (len(candles) + 1) // 2
    return pd.concat([candles.iloc[half:], candles.iloc[:half]], ignore_index=True)


def _effect(what: str, change: Change) -> Effect:
    return Effect(what, _on_hit(change), CANDLES, HOURS)


def _factor(default: float) -> Argument:
    return Argument("FACTOR", read_factor, default)


ROWS: Final[Mapping[str, Effect]] = {
    "withhold": _effect("rows left out; an answer without this fault has them", lambda c, hit: c[~hit]),
    "restated": _effect("other values: prices × 1.01, volumes × 2", _restated),
    "negative": _effect("prices below zero", lambda c, hit: _scaled(c, hit, -1.0, PRICES)),
    "zero": _effect("prices and volumes zero", lambda c, hit: _set(c, hit, dict.fromkeys(PRICES + VOLUMES, 0.0))),
    "null": _effect("no close: null, or an empty text", lambda c, hit: _set(c, hit, {"close": float("nan")})),
    "high_below_low": _effect("a high of 0.99 × low", lambda c, hit: _set(c, hit, {"high": c["low"] * 0.99})),
    "close_outside": _effect("a close of 1.1 × high", lambda c, hit: _set(c, hit, {"close": c["high"] * 1.1})),
    "negative_volume": _effect(
        "base volume below zero", lambda c, hit: _set(c, hit, {"volume_base": -c["volume_base"] - 1.0})
    ),
    "duplicate": _effect("the hour a second time right after, with other values (as restated)", _duplicate),
    "off_grid": _effect("a time stamp 17 minutes late", _off_grid),
    "frozen": _effect("from the first row hit to the newest: the price before it, zero volume", _frozen),
    "jump": Effect("from the middle row on prices × FACTOR (100)", _jump, CANDLES, _factor(100.0)),
    "scaled": Effect(
        "all prices × FACTOR (1000)",
        lambda c, factor, _: _scaled(c.copy(), np.ones(len(c), dtype=bool), factor, PRICES),
        CANDLES,
        _factor(1000.0),
    ),
    "future": Effect(
        "one more row, of the hour N (3) after the server's now, with the newest one's values",
        _future,
        CANDLES,
        Argument("N", read_count, 3),
    ),
    "unsorted": Effect("the newer half of the rows before the older half", _unsorted, CANDLES),
    "no_rows": Effect("a sound answer without a single row", lambda c, _, __: c.iloc[:0], CANDLES),
}
