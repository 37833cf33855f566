"""What a file of history tells of itself: which clock it keeps, and whether its candles were traded or derived.

A *vintage* is what one program wrote at one time; files that grew over years hold several. Nothing here knows a
vendor: the rules are about hours, opens, closes and volumes alone.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

HOUR_SECONDS: Final = 3600
LATEST: Final = 2**33  # the year 2242; what lies beyond was read in a wrong unit

# Share of hours that open at the last close. Exchanges' own candles: at most 0.76 in any 500 hours of 17 symbols,
# a stablecoin's among them; files that copy the close: 0.99 (Binance) and 0.9997 (Gemini) over years.
CARRIED_SHARE: Final = 0.95
CARRIED_HOURS: Final = 48  # fewer say nothing
NEIGHBORS: Final = 24  # traded hours on either side of one without a trade
# Lowest tenth of the neighbors' volumes over their median. All 115 hours that a file had filled in on Binance: 0.36
# and more; an hour without a trade in a thin market (Gemini 2015–16): 0.05.
STEADY: Final = 0.3

FILLED: Final = "filled_hour"
CONTRADICTED_CLOSE: Final = "close_contradicted_by_next_open"
CONTRADICTED_OPEN: Final = "open_contradicted_by_close_before"
UNCONFIRMED: Final = "unconfirmed_open"


def clock_quality(seconds: NDArray[np.float64]) -> tuple[int, int]:
    """How good an hourly clock a column of times is: greater is better.

    Parameters
    ----------
    seconds : array of float64, shape (n_rows,)
        Since 1970; NaN where a row's time could not be read. In any order.

    Returns
    -------
    tuple of int
        Distinct full hours whose hour before is there too, and distinct full hours. Rounded stamps, hours without
        AM and PM, and day, month and year in the wrong order all break the chain of hours.
    """
    with np.errstate(invalid="ignore"):
        whole = seconds[(seconds >= 0) & (seconds < LATEST) & (seconds % HOUR_SECONDS == 0)]
    hours = np.unique(whole)
    return int(np.isin(hours - HOUR_SECONDS, hours).sum()), len(hours)


def usual_step(seconds: NDArray[np.float64]) -> float | None:
    """The most common distance between a column's times, which is how long its candles last; gaps are rarer.

    Parameters
    ----------
    seconds : array of float64, shape (n_rows,)
        Since 1970; NaN where a row's time could not be read. In any order.

    Returns
    -------
    float or None
        Seconds; an hour where no other distance is more common. None with fewer than two times.
    """
    steps, counts = np.unique(np.diff(np.unique(seconds[np.isfinite(seconds)])), return_counts=True)
    if not len(steps):
        return None
    most = steps[counts == counts.max()]
    return HOUR_SECONDS if HOUR_SECONDS in most else float(most[0])


def best_clock(clocks: Sequence[NDArray[np.float64]]) -> int:
    """Index of the best clock; of equally good ones the first."""
    return max(range(len(clocks)), key=lambda i: (clock_quality(clocks[i]), -i))


def opens_are_carried(candles: pd.DataFrame) -> bool:
    """Whether the opens are copies of the closes before them, so that no open was a trade.

    Parameters
    ----------
    candles : DataFrame
        `timestamp`, `open`, `high`, `low`, `close`; ascending.

    Notes
    -----
    Such candles are somebody's derivation: where the first trade of an hour lies outside, the copied open also widens
    the hour's range. Hours without a range are left out of the count: they open at the last close anyway.
    """
    follows = _follows(candles) & (candles["high"] > candles["low"]).to_numpy()
    if follows.sum() < CARRIED_HOURS:
        return False
    return bool(_opens_at_last_close(candles)[follows].mean() >= CARRIED_SHARE)


def contradictions(candles: pd.DataFrame) -> NDArray[np.object_]:
    """Rows of a vintage with carried opens that its own rule proves wrong, or that rest on nothing.

    Parameters
    ----------
    candles : DataFrame
        `timestamp`, `open`, `high`, `low`, `close`; ascending, each hour once; `opens_are_carried`.

    Returns
    -------
    array of str, shape (n_rows,)
        Empty where nothing speaks against a row. ``close_contradicted_by_next_open`` and
        ``open_contradicted_by_close_before``: the two hours disagree about one price and nothing decides between
        them. ``unconfirmed_open``: the hour before is missing, the last close is not this open, and this open is the
        highest or lowest price of its hour: so the range is unfounded too.
    """
    reasons = np.full(len(candles), "", dtype=object)
    follows, carried = _follows(candles), _opens_at_last_close(candles)
    broken = follows & ~carried
    reasons[broken] = CONTRADICTED_OPEN
    reasons[:-1][broken[1:]] = CONTRADICTED_CLOSE
    extreme = ((candles["open"] == candles["high"]) | (candles["open"] == candles["low"])).to_numpy()
    reasons[~follows & ~carried & extreme] = UNCONFIRMED
    return reasons


def filled_hours(candles: pd.DataFrame) -> NDArray[np.bool_]:
    """Hours that a compiler of candles filled in: no trade, at the close before, in a market that trades steadily.

    Such a market does not pause by itself; it was closed, and there is no candle. In a thin market an hour without a
    trade is a fact, and stays.

    Parameters
    ----------
    candles : DataFrame
        `open`, `high`, `low`, `close`, `volume_base`; ascending, each hour once.
    """
    volume = candles["volume_base"].to_numpy(float)
    flat = (candles["high"] == candles["low"]).to_numpy()
    filled: NDArray[np.bool_] = _opens_at_last_close(candles) & flat & (volume == 0)
    traded = np.flatnonzero(volume > 0)
    for i in np.flatnonzero(filled):
        at = int(np.searchsorted(traded, i))
        around = volume[traded[max(0, at - NEIGHBORS) : at + NEIGHBORS]]
        filled[i] = len(around) >= NEIGHBORS and np.quantile(around, 0.1) > STEADY * np.median(around)
    return filled


def _follows(candles: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether the row before is the hour before."""
    return np.asarray(candles["timestamp"].diff() == pd.Timedelta(hours=1), dtype=bool)


def _opens_at_last_close(candles: pd.DataFrame) -> NDArray[np.bool_]:
    return np.asarray(candles["open"] == candles["close"].shift(), dtype=bool)
