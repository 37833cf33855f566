"""Stylized facts of hourly candles: what a simulated market has to share with real ones.

`stylized_facts.toml` holds their ranges on a recorded history; from its folder, measure them again with
``python -m crypto_platform.replay.stylized FOLDER > stylized_facts.toml``. Aggregates only: no candle is kept.
"""

import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from crypto_platform.replay.recorded import read_candles, recorded_symbols

WEEK_HOURS: Final = 168
QUANTILES: Final = (0.05, 0.95)
MIN_COVERAGE: Final = 0.95  # share of a year's hours; less is a listing or a suspended pair
MIN_DEVIATION: Final = 1e-3  # SD of hourly returns; less is a stablecoin


@dataclass(frozen=True, slots=True)
class FactRange:
    """Where a fact lies on the recorded history.

    Parameters
    ----------
    low, high : float
        5 % and 95 % quantile over the measured years of all symbols (or pairs of symbols).
    n : int
        Number of measured years.
    """

    low: float
    high: float
    n: int


def committed_ranges() -> Mapping[str, FactRange]:
    """Ranges of `stylized_facts.toml` by fact."""
    text = resources.files("crypto_platform.replay").joinpath("stylized_facts.toml").read_text("utf-8")
    return {name: FactRange(**entry) for name, entry in tomllib.loads(text).items()}


def yearly_facts(candles: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Facts of each symbol, and correlations of each pair of symbols, over each year.

    Parameters
    ----------
    candles : mapping of str to DataFrame
        Candle frames by symbol. Calendar years in which a symbol has fewer than 95 % of the hours, or an hourly
        deviation below 0.1 % (a stablecoin), are left out.

    Returns
    -------
    DataFrame
        Columns `year`, `of` (symbol or pair), `fact`, `value`; see `_facts_of_year` for the facts.
    """
    rows: list[tuple[int, str, str, float]] = []
    returns: dict[int, dict[str, pd.Series]] = {}
    for symbol, frame in candles.items():
        by_hour = frame.set_index("timestamp")
        for year, traded in by_hour.groupby(pd.DatetimeIndex(by_hour.index).year):
            grid = pd.date_range(f"{year}-01-01", f"{year}-12-31 23:00", freq="h", tz="UTC", unit="us")
            hours = traded.reindex(grid)
            change = np.log(hours["close"]).diff()
            if len(traded) < MIN_COVERAGE * len(grid) or change.std() < MIN_DEVIATION:
                continue
            returns.setdefault(int(year), {})[symbol] = change
            rows += [(int(year), symbol, fact, value) for fact, value in _facts_of_year(hours, change).items()]
    for year, series in returns.items():
        correlations = pd.DataFrame(series).corr()
        rows += [
            (year, f"{a}-{b}", "return_cross_correlation", float(correlations.loc[a, b]))
            for a, b in combinations(series, 2)
        ]
    return pd.DataFrame(rows, columns=["year", "of", "fact", "value"])


def ranges(facts: pd.DataFrame) -> dict[str, FactRange]:
    """5 % to 95 % range of each fact of `yearly_facts`, rounded to 4 digits."""
    found = {}
    for name, values in facts.groupby("fact", sort=False)["value"]:
        low, high = (float(f"{value:.4g}") for value in values.quantile(list(QUANTILES)))
        found[str(name)] = FactRange(low, high, len(values))
    return found


def _facts_of_year(hours: pd.DataFrame, change: pd.Series) -> dict[str, float]:
    """Facts of one symbol: `hours` on a complete hourly grid (NaN where absent), `change` its log returns."""
    size = change.abs()
    spread = np.log(hours["high"] / hours["low"])
    traded = hours["volume_base"] * hours["close"]
    activity = np.log(traded.where(traded > 0))
    # Hour and weekday rhythm, and the tie to |return|, around the level of the surrounding week.
    rhythm = activity - activity.rolling(WEEK_HOURS, center=True, min_periods=WEEK_HOURS // 2).mean()
    index = pd.DatetimeIndex(rhythm.index)
    by_hour = rhythm.groupby(index.hour).mean()
    weekend = index.day_of_week >= 5
    usual = size.rolling(WEEK_HOURS, min_periods=WEEK_HOURS // 2).mean()
    return {
        "return_deviation": float(change.std()),
        "return_excess_kurtosis": float(change.kurt()),
        "return_autocorrelation_1_size": abs(float(change.autocorr(1))),
        "return_autocorrelation_24_size": abs(float(change.autocorr(24))),
        "abs_return_autocorrelation_1": float(size.autocorr(1)),
        "abs_return_autocorrelation_6": float(size.autocorr(6)),
        "abs_return_autocorrelation_24": float(size.autocorr(24)),
        "abs_return_autocorrelation_168": float(size.autocorr(WEEK_HOURS)),
        "jump_share": float((size > 6 * usual).sum() / size.count()),
        "range_to_abs_return": float(spread.mean() / size.mean()),
        "volume_autocorrelation_1": float(activity.autocorr(1)),
        "volume_autocorrelation_24": float(activity.autocorr(24)),
        "volume_week_deviation": float(rhythm.std()),
        "volume_hour_swing": float(by_hour.max() - by_hour.min()),
        "volume_busiest_hour": float(by_hour.idxmax()),
        "volume_weekend_effect": float(rhythm[weekend].mean() - rhythm[~weekend].mean()),
        "volume_abs_return_rank_correlation": float(rhythm.corr(size, method="spearman")),
    }


def _render(found: Mapping[str, FactRange]) -> str:
    tables = (
        f"[{name}]\nlow = {fact.low!r}\nhigh = {fact.high!r}\nn = {fact.n}\n" for name, fact in sorted(found.items())
    )
    return (
        "# 5 % to 95 % quantiles of stylized facts over symbol-years (pair-years) of recorded hourly candles.\n"
        "# Written by crypto_platform.replay.stylized; do not edit.\n\n" + "\n".join(tables)
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    recorded = {symbol: read_candles(folder, symbol) for symbol in recorded_symbols(folder)}
    sys.stdout.write(_render(ranges(yearly_facts(recorded))))
