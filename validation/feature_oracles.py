"""`python -m validation.feature_oracles`: every feature beside its oracle, written to docs/feature-oracles.md.

Exits with 1 where a feature is further than `TOLERANCE` from its oracle, or has none. On recorded history where
CRYPTO_PLATFORM_TEST_DATA names it, else on made-up candles.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import talib

from crypto_platform.core.features import WARM_UP_ROWS, compute, feature_set
from crypto_platform.core.formulas import REGISTRY, Inputs
from crypto_platform.core.panel import build_panel
from crypto_platform.tables.features import PARTS
from validation import worlds
from validation.oracles import SEEDED, TALIB, Oracle, oracles
from validation.segments import Floats, Segment, as_known, returns_by_hour, segments

REPORT: Final = Path(__file__).parents[1] / "docs" / "feature-oracles.md"
FOLDER: Final = "CRYPTO_PLATFORM_TEST_DATA"
TOLERANCE: Final = 1e-9  # absolute: features have no unit, and are of order 1
SEED_ROWS: Final = slice(30, 101)  # of a segment: where a mean that was begun otherwise would still show
LEAST_HOURS: Final = 200  # fewer show nothing
REFERENCE: Final = "BTC"
SENTIMENT_STALE, SNAPSHOT_STALE = timedelta(hours=48), timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class World:
    """What features are made of.

    Parameters
    ----------
    about : str
        Where it is from, for the document.
    candles, sentiment, snapshots : DataFrame
        As `core.features.compute` takes them.
    """

    about: str
    candles: pd.DataFrame
    sentiment: pd.DataFrame
    snapshots: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Measured:
    """A feature beside an oracle.

    Attributes
    ----------
    feature, by : str
    hours : int
        How many were compared.
    error : float
        Largest absolute difference; infinite where one has a value and the other none.
    """

    feature: str
    by: str
    hours: int
    error: float

    @property
    def holds(self) -> bool:
        """Whether enough was compared, and no hour differs."""
        return self.hours >= LEAST_HOURS and self.error <= TOLERANCE


def recorded(folder: Path, since: str = "2021-01-01") -> World:
    """BTC and ETH as recorded, outages included."""
    frames = [worlds.recorded_candles(folder, symbol) for symbol in (REFERENCE, "ETH")]
    candles = pd.concat([frame[frame["timestamp"] >= pd.Timestamp(since, tz="UTC")] for frame in frames])
    years = f"{candles['timestamp'].min():%Y-%m-%d} to {candles['timestamp'].max():%Y-%m-%d}"
    about = f"BTC and ETH as recorded on Binance, and the recorded fear and greed index, {years}"
    return World(about, candles.reset_index(drop=True), worlds.sentiment(folder), _snapshots(candles))


def made_up(hours: int = 3_000, seed: int = 1) -> World:
    """Random walks with outages of every kind, hours without trades, and sentiment with a hole."""
    parts = []
    for symbol, gone in ((REFERENCE, [700, 701, 2000]), ("ETH", [500, *range(1100, 1110), 1900])):
        walk = worlds.planted_candles(0.5, seed + len(gone), hours, symbol)
        walk.loc[walk.index.isin(range(900, 1000, 7)), "volume_base"] = 0.0
        parts.append(walk.drop(index=gone))
    candles = pd.concat(parts, ignore_index=True)
    first = candles["timestamp"].min().floor("D")
    days = pd.date_range(first - timedelta(days=10), periods=hours // 24 + 10, freq="D", unit="us").delete(60)
    values = np.random.default_rng(seed).integers(5, 95, len(days)).astype(float)
    sentiment = pd.DataFrame({"timestamp": days, "known_at": days + timedelta(hours=1), "fear_greed_value": values})
    return World(f"seeded random walks of {hours:,} hours", candles, sentiment, _snapshots(candles))


def _snapshots(candles: pd.DataFrame, seed: int = 8) -> pd.DataFrame:
    """Made up, as nobody recorded any: one an hour and symbol, some known late, some without a capitalization."""
    rng = np.random.default_rng(seed)
    n = len(candles)
    taken = candles["timestamp"] + pd.to_timedelta(rng.integers(0, 60, n), unit="min")
    return pd.DataFrame(
        {
            "symbol": candles["symbol"],
            "timestamp": taken,
            "known_at": taken + pd.to_timedelta(rng.choice([2, 20, 150], n, p=[0.8, 0.15, 0.05]), unit="min"),
            "total_volume": np.exp(rng.normal(18, 1, n)),
            "market_cap": np.where(rng.random(n) < 0.02, np.nan, 1e10),
        }
    )


def laid_out(world: World) -> list[Segment]:
    """The world in segments, with what was known at each hour, by loops of our own."""
    found = segments(world.candles)
    reference = [segment for segment in found if segment.symbol == REFERENCE]
    returns = {f"btc_{k}": returns_by_hour(reference, k) for k in (1, 24)}
    returns["btc_seen"] = {h: float(not f) for s in reference for h, f in zip(s.hours, s.filled, strict=True)}
    said = list(_records(world.sentiment, world.sentiment["fear_greed_value"] / 100))
    by_symbol = {
        symbol: list(_records(mine, np.log(mine["total_volume"] / mine["market_cap"])))
        for symbol, mine in world.snapshots.groupby("symbol")
    }
    return [
        replace(
            segment,
            joined={
                "sentiment": as_known(segment.hours, said, SENTIMENT_STALE),
                "turnover": as_known(segment.hours, by_symbol[segment.symbol], SNAPSHOT_STALE),
                **{name: _beside(segment, of_hour) for name, of_hour in returns.items()},
            },
        )
        for segment in found
    ]


def _records(frame: pd.DataFrame, values: pd.Series) -> zip:
    return zip(frame["known_at"].dt.to_pydatetime(), frame["timestamp"].dt.to_pydatetime(), values, strict=True)


def _beside(segment: Segment, of_hour: Mapping[object, float]) -> Floats:
    alone = segment.symbol == REFERENCE
    return np.array([np.nan if alone else of_hour.get(hour, np.nan) for hour in segment.hours])


def measure(world: World) -> list[Measured]:
    """Every feature, as training and serving get it, beside each of its oracles, after warm-up.

    Raises
    ------
    ValueError
        The platform's rows are not the hours of the segments.
    """
    found = laid_out(world)
    reference = world.candles[world.candles["symbol"] == REFERENCE]
    rows = compute(
        world.candles, world.sentiment, feature_set(list(PARTS)), snapshots=world.snapshots, reference=reference
    )
    grid = [(s.symbol, hour, filled) for s in found for hour, filled in zip(s.hours, s.filled, strict=True)]
    if [*zip(rows["symbol"], rows["timestamp"], rows["is_filled"], strict=True)] != grid:
        raise ValueError("core.panel lays out other hours than validation.segments: their rules of gaps differ")
    warm = np.concatenate([np.arange(len(segment)) >= WARM_UP_ROWS for segment in found])
    return [
        _compared(name, oracle, rows[name].to_numpy()[warm], _of_all(oracle, found)[warm])
        for name, oracle in sorted(oracles(), key=lambda pair: list(REGISTRY).index(pair[0]))
    ]


def measure_seeds(world: World) -> list[Measured]:
    """Exponential and Wilder's means soon after they began, before warm-up is over."""
    found = segments(world.candles)
    inputs = Inputs(build_panel(world.candles))
    measured = []
    for name in SEEDED:
        ours = REGISTRY[name].formula(inputs)[:, SEED_ROWS]
        theirs = [TALIB[name].function(segment)[SEED_ROWS] for segment in found]
        mine = [ours[row, : len(values)] for row, values in enumerate(theirs)]
        oracle = replace(TALIB[name], by=f"TA-Lib {TALIB[name].by}")
        measured.append(_compared(name, oracle, np.concatenate(mine), np.concatenate(theirs)))
    return measured


def _of_all(oracle: Oracle, found: Sequence[Segment]) -> Floats:
    return np.concatenate([oracle.function(segment) for segment in found])


def _compared(name: str, oracle: Oracle, ours: Floats, theirs: Floats) -> Measured:
    said = np.isfinite(theirs)
    apart = np.abs(ours[said] - theirs[said])
    error = float(np.where(np.isnan(apart), np.inf, apart).max(initial=0.0))
    if oracle.whole and np.isfinite(ours[~said]).any():
        error = np.inf
    return Measured(name, oracle.by, int(said.sum()), error)


def document(world: World, features: Sequence[Measured], seeds: Sequence[Measured]) -> str:
    """The page."""
    part_of = {name: part for part, names in PARTS.items() for name in names}
    lines = [
        "# Features beside their oracles",
        "",
        "Written by `make oracles`, which fails where an error is above 1e-9 or a feature has no oracle. Oracles share",
        "no code with the platform: TA-Lib where it has the indicator, else the definition written a second time",
        "(`validation/oracles.py`); gaps and joined records are laid out again, too (`validation/segments.py`).",
        "",
        f"Data: {world.about}. Market snapshots are made up (seeded). TA-Lib {talib.__version__}.",
        "",
        "Compared are all hours after warm-up of which the oracle says anything, each gap-free segment by itself. The",
        "error is the largest absolute difference; a value where the other has none would count as infinite. TA-Lib",
        "knows no hours without trades: of volume it speaks where a window has none, and loops speak of all hours. Of",
        "money flow it is not asked where a typical price repeats but for rounding: the last bit decides such an hour.",
        "",
        "| feature | part | oracle | hours | largest error |",
        "| --- | --- | --- | --- | --- |",
        *(f"| `{m.feature}` | {part_of[m.feature]} | {m.by} | {m.hours:,} | {m.error:.1e} |" for m in features),
        "",
        "## How recursions begin",
        "",
        f"Hours {SEED_ROWS.start} to {SEED_ROWS.stop - 1} of each segment, where another seed would still show.",
        "",
        "| feature | oracle | hours | largest error |",
        "| --- | --- | --- | --- |",
        *(f"| `{m.feature}` | {m.by} | {m.hours:,} | {m.error:.1e} |" for m in seeds),
    ]
    return "\n".join(lines) + "\n"


def complaints(features: Sequence[Measured], seeds: Sequence[Measured]) -> list[str]:
    """What does not hold, in words; nothing where all is well."""
    without = sorted(set(REGISTRY) - {m.feature for m in features})
    return [f"{name} has no oracle: add one to validation/oracles.py" for name in without] + [
        f"{m.feature} is {m.error:.1e} from {m.by} over {m.hours} hours: at most {TOLERANCE} over {LEAST_HOURS} or more"
        for m in (*features, *seeds)
        if not m.holds
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m validation.feature_oracles",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=REPORT, help="the page to write; docs/feature-oracles.md")
    asked = parser.parse_args()
    world = recorded(Path(folder)) if (folder := os.environ.get(FOLDER)) else made_up()
    features, seeds = measure(world), measure_seeds(world)
    asked.output.write_text(document(world, features, seeds))
    worst = max((*features, *seeds), key=lambda m: m.error)
    names = len({m.feature for m in features})
    print(
        f"{names} of {len(REGISTRY)} features beside their oracles: at most {worst.error:.1e} apart ({worst.feature})"
    )
    if wrong := complaints(features, seeds):
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
