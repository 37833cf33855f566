"""Named sets of model inputs, and the one function that computes them.

Training, backfill and serving all call `compute`. A set is made of parts; its hash names what exactly was computed.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crypto_platform.core import labels
from crypto_platform.core.formulas import REGISTRY, Inputs
from crypto_platform.core.joins import REFERENCE, join
from crypto_platform.core.panel import Panel, build_panel, from_hours
from crypto_platform.errors import UnlawfulFeatureError
from crypto_platform.tables.features import HORIZONS, PARTS, target_direction, target_return

Floats = NDArray[np.float64]
OwnFunction = Callable[[Panel], Mapping[str, Floats]]

CODE_VERSION: Final = 2  # raised whenever a formula changes: part of every feature set's hash
WARM_UP_ROWS: Final = 336  # rows of a segment before its first model row
LOOKBACK_ROWS: Final = 720  # hours before a row that an incremental computation reads
BLOCK_CELLS: Final = 1 << 16  # cells computed at a time: half a megabyte an array stays in the processor's cache
CANDLES: Final = "candles"  # the part that is in every set
DEFAULT_PARTS: Final = (CANDLES, "sentiment")
_NAMES: Final = {DEFAULT_PARTS: "default_v1", (CANDLES,): "candles_v1"}


@dataclass(frozen=True, slots=True)
class OwnFeatures:
    """A user's own model inputs; `core.laws.require_lawful` makes them of a function.

    Parameters
    ----------
    names : tuple of str
    function : callable
        From a `Panel` to the values of each name, arrays of the panel's shape.
    fingerprint : str
        Of the code: other code, other features.
    """

    names: tuple[str, ...]
    function: OwnFunction
    fingerprint: str

    def compute(self, panel: Panel) -> Mapping[str, Floats]:
        """Values of the names, NaN where missing.

        Raises
        ------
        UnlawfulFeatureError
            The function fails, or does not give exactly its names, each with the panel's shape.
        """
        try:
            given = {name: np.asarray(values, dtype=float) for name, values in self.function(panel).items()}
        except Exception as error:  # whatever a user's code raises
            raise UnlawfulFeatureError(f"{self.fingerprint} failed: {type(error).__name__}: {error}") from error
        if set(given) != set(self.names) or any(values.shape != panel.shape for values in given.values()):
            raise UnlawfulFeatureError(
                f"{self.fingerprint} gave { ({n: v.shape for n, v in given.items()}) }, not {', '.join(self.names)} "
                f"of shape {panel.shape} each"
            )
        return {name: np.where(np.isfinite(values), values, np.nan) for name, values in given.items()}


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Named features in a fixed order; the order is that of a model's inputs.

    Parameters
    ----------
    name : str
    features : tuple of str
        Built-in ones, then those of `own`.
    own : OwnFeatures, optional
    """

    name: str
    features: tuple[str, ...]
    own: OwnFeatures | None = None

    @property
    def built_in(self) -> tuple[str, ...]:
        """Features that are columns of the table."""
        return tuple(name for name in self.features if name in REGISTRY)

    @property
    def hash(self) -> str:
        """Stable fingerprint of names, order, parameters (they are in the names) and code version, 16 hex digits."""
        own = self.own.names if self.own else ()
        # A name that nobody knows has no first row: a set of other code.
        rows = [[n, REGISTRY[n].first_row if n in REGISTRY else None] for n in self.features if n not in own]
        said: list[Any] = [CODE_VERSION, WARM_UP_ROWS, rows]
        if self.own:
            said.append([self.own.fingerprint, list(self.own.names)])
        return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()[:16]

    def has(self, part: str) -> bool:
        """Whether a part is in the set."""
        return set(PARTS[part]) <= set(self.features)

    def without(self, parts: Sequence[str]) -> "FeatureSet":
        """The set that lacks some parts."""
        return feature_set([part for part in PARTS if self.has(part) and part not in parts], self.own)

    def of(self, features: Sequence[str]) -> "FeatureSet":
        """These features in this order, as the code that computes this set computes them."""
        is_own = self.own is not None and set(self.own.names) <= set(features)
        return FeatureSet(self.name, tuple(features), self.own if is_own else None)


def feature_set(parts: Sequence[str], own: OwnFeatures | None = None) -> FeatureSet:
    """The set of some parts of `tables.features.PARTS`, in their order, and a user's own features."""
    chosen = tuple(part for part in PARTS if part in parts)
    names = tuple(name for part in chosen for name in PARTS[part])
    name = _NAMES.get(chosen, "+".join(chosen) + "_v1")
    return FeatureSet(f"{name}+own", names + own.names, own) if own else FeatureSet(name, names)


DEFAULT: Final = feature_set(DEFAULT_PARTS)
WITHOUT_SENTIMENT: Final = feature_set([CANDLES])


def compute(
    candles: pd.DataFrame,
    sentiment: pd.DataFrame,
    feature_set: FeatureSet = DEFAULT,
    emit_from: Mapping[str, datetime] | None = None,
    *,
    snapshots: pd.DataFrame | None = None,
    reference: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Features and labels of many symbols at once.

    Parameters
    ----------
    candles : DataFrame
        As `build_panel` takes them; all closed. Where they begin with a lookback cut out of a longer history, only rows
        with `LOOKBACK_ROWS` hours before them are what the whole history gives (within 1e-9): name them in `emit_from`.
    sentiment : DataFrame
        `timestamp`, `known_at` (UTC) and `fear_greed_value` (0 to 100); may be empty.
    feature_set : FeatureSet
    emit_from : mapping of str to datetime, optional
        First hour to return of each symbol; all of its hours where a symbol is not in it.
    snapshots : DataFrame, optional
        `symbol`, `timestamp`, `known_at`, `total_volume`, `market_cap` of market snapshots, for the part `snapshots`.
    reference : DataFrame, optional
        Candles of `joins.REFERENCE` from as early on as `candles`, for the part `btc`.

    Returns
    -------
    DataFrame
        One row per symbol and grid hour: `symbol`, `timestamp`, `close`, `is_filled` (no candle of its own: carried
        over a short gap, or taken from a fallback source), `is_valid` (every feature finite, not filled, at least
        `WARM_UP_ROWS` rows into its segment), `segment_hours` (hours since the segment began, counted up to
        `WARM_UP_ROWS`), the features, and the labels `target_*` of all horizons. Features of rows in warm-up are NaN,
        and so is the part `btc` of the reference itself, whose rows are valid without it.

    Raises
    ------
    InvalidBarsError
        See `build_panel`.
    UnlawfulFeatureError
        See `OwnFeatures.compute`.
    """
    panel = build_panel(candles)
    if panel.shape[0] == 0:
        return pd.DataFrame()
    wanted = {symbol: int(moment.timestamp()) // 3600 for symbol, moment in (emit_from or {}).items()}
    first_hours = np.array(
        [wanted.get(symbol, start) for symbol, start in zip(panel.symbols, panel.starts, strict=True)]
    )
    sizes = np.minimum(panel.lengths, np.maximum(panel.starts + panel.lengths - first_hours, 0))

    values = np.full((len(feature_set.features), sizes.sum()), np.nan)
    targets = np.full((len(HORIZONS), sizes.sum()), np.nan)
    rows: list[dict[str, NDArray[Any]]] = []
    segment = row = 0
    for block in panel.blocks(BLOCK_CELLS):
        segments = slice(segment, segment + len(block.lengths))
        emitted = block.inside & (block.hours >= first_hours[segments, None])
        out = slice(row, row + int(sizes[segments].sum()))
        segment, row = segments.stop, out.stop
        if out.start == out.stop:
            continue
        rows.append(_describe(block, emitted))
        if (warm := emitted & (np.arange(block.shape[1]) >= WARM_UP_ROWS)).any():
            inputs = Inputs(block, join(block, sentiment, snapshots, reference))
            _fill_features(values[:, out], inputs, emitted, warm, feature_set)
        for target, horizon in zip(targets, HORIZONS, strict=True):
            target[out] = labels.forward_returns(block, horizon)[emitted]
    return _assemble(rows, values, targets, feature_set)


def _describe(block: Panel, emitted: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    age = np.broadcast_to(np.minimum(np.arange(block.shape[1]), WARM_UP_ROWS), block.shape)
    return {
        "symbol": np.repeat(block.symbols, emitted.sum(axis=1)),
        "timestamp": block.hours[emitted],
        "close": block.close[emitted],
        "is_filled": block.unlabeled[emitted],
        "segment_hours": age[emitted],
    }


def _fill_features(
    values: Floats, whole: Inputs, emitted: NDArray[np.bool_], warm: NDArray[np.bool_], feature_set: FeatureSet
) -> None:
    """Write the features of emitted rows past warm-up into `values`, shape (n_features, n_rows)."""
    chosen = [REGISTRY[name] for name in feature_set.built_in]
    # Features with a finite memory need no more than that before the first hour asked for.
    needed = int(warm.any(axis=0).argmax())
    skipped = max(0, needed - max((f.first_row for f in chosen if not f.recursive), default=0))
    recent = whole.since(skipped)
    kept = warm[emitted]
    for feature in chosen:
        row = values[feature_set.features.index(feature.name)]
        if feature.recursive:
            row[kept] = feature.formula(whole)[warm]
        else:
            row[kept] = feature.formula(recent)[warm[:, skipped:]]
    if feature_set.own:
        for name, own in feature_set.own.compute(whole.panel).items():
            values[feature_set.features.index(name)][kept] = own[warm]


def _assemble(
    rows: list[dict[str, NDArray[Any]]], values: Floats, targets: Floats, feature_set: FeatureSet
) -> pd.DataFrame:
    if not rows:
        return pd.DataFrame()
    columns = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
    head = pd.DataFrame(columns | {"timestamp": from_hours(columns["timestamp"])})
    there = np.isfinite(values)
    there[[name in PARTS["btc"] for name in feature_set.features]] |= columns["symbol"] == REFERENCE
    head.insert(4, "is_valid", there.all(axis=0) & ~columns["is_filled"])
    answers: dict[str, Floats] = {}
    for horizon, returns in zip(HORIZONS, targets, strict=True):
        answers[target_return(horizon)] = returns
        answers[target_direction(horizon)] = labels.directions(returns)
    return pd.concat(
        [head, pd.DataFrame(values.T, columns=feature_set.features, copy=False), pd.DataFrame(answers)], axis=1
    )
