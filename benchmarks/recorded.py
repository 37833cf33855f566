"""`python -m benchmarks.recorded FOLDER`: what the bounds of the data checks do on recorded history.

The tables of docs/adr/0009-cross-source-tolerance.md, and how often a candle counts as an outlier. FOLDER holds
`ohlcv_1h/*.parquet` (Binance, USDT) and `ohlcv_1h_dirty/BTC_GEMINI_raw.parquet` (Gemini, USD).
"""

import argparse
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from crypto_platform.core.agreement import MIN_HOURS, agreement
from crypto_platform.core.hours import HOUR
from crypto_platform.core.outliers import SCALE_OVER, find_outliers

DAY_HOURS: Final = 24
TOLERANCES: Final = (0.005, 0.01, 0.015, 0.02, 0.03)
MILLISECONDS_FROM: Final = 1e11  # in one column of the file, some stamps are seconds
YEAR_HOURS: Final = 8766


def binance(folder: Path, symbol: str) -> pd.DataFrame:
    """Candles of one symbol, by hour."""
    frame = pd.read_parquet(folder / "ohlcv_1h" / f"{symbol}.parquet")
    return frame.assign(timestamp=frame["timestamp"].astype("datetime64[us, UTC]")).set_index("timestamp")


def gemini(folder: Path) -> pd.Series:
    """Closes of BTC in USD, by hour."""
    raw = pd.read_parquet(folder / "ohlcv_1h_dirty" / "BTC_GEMINI_raw.parquet")
    stamps = raw["Unix Timestamp"].astype(float)
    seconds = stamps.where(stamps < MILLISECONDS_FROM, stamps / 1000)
    index = pd.DatetimeIndex(pd.to_datetime(seconds, unit="s", utc=True)).as_unit("us")
    closes = pd.Series(raw["Close"].astype(float).to_numpy(), index).sort_index()
    return closes[~closes.index.duplicated()]


def apart(own: pd.Series, other: pd.Series) -> pd.Series:
    """Median |ln(other / own)| of the 24 hours up to each hour; of fewer than `MIN_HOURS` in common, missing."""
    both = pd.concat([own, other], axis=1, join="inner")
    ratio = np.log(both.iloc[:, 1] / both.iloc[:, 0]).abs()
    hours = ratio.reindex(pd.date_range(ratio.index[0], ratio.index[-1], freq="h"))
    return hours.rolling(DAY_HOURS, min_periods=MIN_HOURS).median().dropna()


def days_that_fail(own: pd.Series, other: pd.Series) -> pd.Series:
    """Whether a comparison of each whole UTC day fails, by day: what one comparison a day would have said."""
    both = pd.concat([own.rename("own"), other.rename("other")], axis=1, join="inner")
    days = {day: agreement(part["own"], part["other"]) for day, part in both.groupby(both.index.floor("D"))}
    return pd.Series({day: not found.holds for day, found in days.items()})


def tolerance_table(folder: Path) -> str:
    """How far Gemini and Binance were apart, by year."""
    own, other = binance(folder, "BTC")["close"], gemini(folder)
    medians, failing = apart(own, other) * 1e4, days_that_fail(own, other)
    lines = [
        "| year | hours | median | 95 % | 99 % | max |"
        + "".join(f" > {t:.1%} |" for t in TOLERANCES)
        + " days that fail |",
        "| --- | --- | --- | --- | --- | --- |" + " --- |" * (len(TOLERANCES) + 1),
    ]
    for year, part in medians.groupby(medians.index.year):
        cells = [f"{part.quantile(q):.0f} bp" for q in (0.5, 0.95, 0.99, 1)]
        shares = [f"{(part > t * 1e4).mean():.2%}" for t in TOLERANCES]
        days = failing[failing.index.year == year]
        lines.append(
            f"| {' | '.join([str(year), f'{len(part):,}', *cells, *shares, f'{days.sum()} of {len(days)}'])} |"
        )
    return "\n".join(lines)


def faults_table(folder: Path, year: str = "2020") -> str:
    """Share of the days of a quiet year on which a fault of the other source fails the comparison."""
    own, other = binance(folder, "BTC")["close"], gemini(folder)[year]
    faults = {
        "none": other,
        "ten times too high": other * 10,
        "another coin (LTC for BCH)": None,
        "2.5 % too high": other * 1.025,
        "a day late": other.shift(DAY_HOURS),
        "standing still since the day before": other.resample("D")
        .first()
        .reindex(other.index, method="ffill")
        .shift(24),
        "an hour late": other.shift(1),
        "three hours of the day ten times too high": other.where(other.index.hour > 2, other * 10),
    }
    lines = ["| fault | days that fail |", "| --- | --- |"]
    for name, series in faults.items():
        if series is None:
            failing = days_that_fail(binance(folder, "BCH")["close"][year], binance(folder, "LTC")["close"][year])
        else:
            failing = days_that_fail(own, series.dropna())
        lines.append(f"| {name} | {failing.mean():.1%} |")
    return "\n".join(lines)


def outlier_table(folder: Path) -> str:
    """Hours a year that are flagged, by symbol, judged day by day as the check does."""
    head = ["| symbol | years | hours flagged a year | close | open | range | days a year |", "| --- |" + " --- |" * 6]
    names = sorted(path.stem for path in (folder / "ohlcv_1h").glob("*.parquet"))
    return "\n".join([*head, *(outlier_row(folder, name) for name in names)])


def outlier_row(folder: Path, symbol: str) -> str:
    """One symbol's row of `outlier_table`."""
    candles = binance(folder, symbol).reset_index()
    stamps = candles["timestamp"]
    found = []
    for day in pd.date_range(stamps.iloc[0].ceil("D"), stamps.iloc[-1], freq="D"):
        first, last = stamps.searchsorted([day - SCALE_OVER, day + timedelta(days=1)])
        found += find_outliers(candles.iloc[first:last], day.to_pydatetime())
    years = (stamps.iloc[-1] - stamps.iloc[0]) / HOUR / YEAR_HOURS
    kinds = Counter(outlier.what for outlier in found)
    hours = {outlier.timestamp for outlier in found}
    days = {moment.date() for moment in hours}
    counts = [len(hours), *(kinds[what] for what in ("close", "open", "range")), len(days)]
    return f"| {symbol} | {years:.1f} | " + " | ".join(f"{n / years:.1f}" for n in counts) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.recorded", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for table in (tolerance_table, faults_table, outlier_table):
        print(f"{(table.__doc__ or '').splitlines()[0]}\n\n{table(folder)}\n", flush=True)


if __name__ == "__main__":
    main()
