"""What other records said at each hour of a panel: point in time, and not beyond their age.

An hour t sees what was known at as_of(t), its end.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crypto_platform.core.hours import HOUR
from crypto_platform.core.indicators import windows as w
from crypto_platform.core.panel import Panel, build_panel

Floats = NDArray[np.float64]

REFERENCE: Final = "BTC"  # the symbol that the group `btc` compares the others with
SENTIMENT: Final = "sentiment"
TURNOVER: Final = "turnover"
REFERENCE_1: Final = "reference_ret_1"
REFERENCE_24: Final = "reference_ret_24"
REFERENCE_SEEN: Final = "reference_seen"  # 1 where the reference has a candle of its own, NaN elsewhere
SENTIMENT_STALE: Final = timedelta(hours=48)
SNAPSHOT_STALE: Final = timedelta(hours=2)


def join(
    panel: Panel, sentiment: pd.DataFrame, snapshots: pd.DataFrame | None, reference: pd.DataFrame | None
) -> Mapping[str, Floats]:
    """All joined quantities of a panel; see `core.features.compute` for the frames."""
    joined = {SENTIMENT: sentiment_as_known(panel, sentiment)}
    if snapshots is not None:
        joined[TURNOVER] = turnover_as_known(panel, snapshots)
    if reference is not None:
        joined |= reference_returns(panel, reference)
    return joined


def as_known(
    hours: NDArray[np.int64], event: pd.Series, known: pd.Series, values: NDArray[np.float64], stale: timedelta
) -> Floats:
    """Value of the latest record at as_of of each hour, by the time it speaks of.

    Parameters
    ----------
    hours : array of int
        Hours since 1970, each the start of a candle.
    event, known : Series of datetime64, UTC
        What each record speaks of, and when it could first be read.
    values : array, shape (n_records,)
    stale : timedelta
        Age at as_of, counted from `event`, beyond which a record says nothing.

    Returns
    -------
    array, shape of `hours`
        NaN where nothing is known, the latest record is too old, or it has no value.
    """
    if not len(event):
        return np.full(hours.shape, np.nan)
    order = np.lexsort((_microseconds(event), _microseconds(known)))
    known_at, speaks_of = _microseconds(known)[order], _microseconds(event)[order]
    newest = np.maximum.accumulate(speaks_of)
    kept = speaks_of == newest  # a record that became known late must not replace a newer one
    known_at, speaks_of, values = known_at[kept], speaks_of[kept], values[order][kept]
    hour = HOUR // timedelta(microseconds=1)
    as_of = (hours + 1) * hour
    position = np.searchsorted(known_at, as_of, side="right") - 1
    found = np.maximum(position, 0)
    fresh = as_of - speaks_of[found] <= stale // timedelta(microseconds=1)
    return np.where((position >= 0) & fresh, values[found], np.nan)


def _microseconds(instants: pd.Series) -> NDArray[np.int64]:
    return np.asarray(instants.dt.tz_convert(None).to_numpy().astype("datetime64[us]").astype(np.int64))


def sentiment_as_known(panel: Panel, sentiment: pd.DataFrame) -> Floats:
    """Index / 100 of the latest day known then; stale after `SENTIMENT_STALE`."""
    if sentiment.empty:
        return np.full(panel.shape, np.nan)
    values = sentiment["fear_greed_value"].to_numpy(float) / 100
    return as_known(panel.hours, sentiment["timestamp"], sentiment["known_at"], values, SENTIMENT_STALE)


def turnover_as_known(panel: Panel, snapshots: pd.DataFrame) -> Floats:
    """ln(traded value of 24 hours / market capitalization) of the latest snapshot known then.

    NaN where it is older than `SNAPSHOT_STALE`, or one of the two is not given or 0.
    """
    laid = np.full(panel.shape, np.nan)
    for symbol, mine in snapshots.groupby("symbol"):
        rows = np.flatnonzero(panel.symbols == symbol)
        ratio = w.ln(w.divide(mine["total_volume"].to_numpy(float), mine["market_cap"].to_numpy(float)))
        laid[rows] = as_known(panel.hours[rows], mine["timestamp"], mine["known_at"], ratio, SNAPSHOT_STALE)
    return laid


def reference_returns(panel: Panel, reference: pd.DataFrame) -> dict[str, Floats]:
    """Log returns of `REFERENCE` over 1 and 24 hours at the hours of the other symbols, and which of them it has.

    Returns are NaN for the reference itself, at hours it has no candle of (filled ones aside), and where its own
    series began less than 1 or 24 hours before. That an hour is filled is known only once a candle has come after it:
    windows may hold such hours, but none may end at one, which `REFERENCE_SEEN` says.
    """
    theirs = build_panel(reference)
    if not theirs.shape[0]:
        return {}
    clock = theirs.hours[theirs.inside]
    position = np.minimum(np.searchsorted(clock, panel.hours), len(clock) - 1)
    there = (clock[position] == panel.hours) & panel.inside & (panel.symbols != REFERENCE)[:, None]

    def over(k: int) -> Floats:
        returns = w.ln(w.divide(theirs.close, w.lag(theirs.close, k)))[theirs.inside]
        return np.where(there, returns[position], np.nan)

    seen = np.where(there & ~theirs.is_filled[theirs.inside][position], 1.0, np.nan)
    return {REFERENCE_1: over(1), REFERENCE_24: over(24), REFERENCE_SEEN: seen}
