"""What came of the forecasts: settled when their labels resolve, at a cost that does not grow with history."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd
from sqlalchemy import and_, func, select

from crypto_platform.core.calibration import log_losses
from crypto_platform.core.features import DEFAULT, FeatureSet
from crypto_platform.core.hours import HOUR
from crypto_platform.operations import watermarks
from crypto_platform.operations.results import Report, SymbolResult, together
from crypto_platform.operations.watermarks import Mark
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import features, prediction_outcomes, predictions
from crypto_platform.tables.features import HORIZONS, target_direction, target_return

GIVE_UP: Final = timedelta(days=8)  # a label still missing then lies in a gap that no source filled


def settle(store: Warehouse, symbols: Sequence[str], *, as_of: datetime, feature_set: FeatureSet = DEFAULT) -> Report:
    """Score every forecast whose label had resolved by `as_of`.

    Returns
    -------
    Report
        A label that stays unknown for `GIVE_UP` (its hours are a gap) gives no outcome.
    """
    marks = watermarks.read_marks(store, prediction_outcomes.name, symbols)
    starts = {symbol: mark.watermark for symbol, mark in marks.items()}
    starts |= _first_forecasts(store, [symbol for symbol in symbols if symbol not in starts])
    rows = _unsettled(store, symbols, starts, as_of, feature_set)
    begun = [symbol for symbol in symbols if symbol in starts]
    done = {r.symbol: r for r in together(begun, lambda chosen: _settle(store, rows, starts, chosen, as_of))}
    results = (done.get(symbol) or SymbolResult(symbol, details={"settled": 0}) for symbol in symbols)
    return Report(prediction_outcomes.name, tuple(results))


def _settle(
    store: Warehouse, rows: pd.DataFrame, starts: Mapping[str, datetime], symbols: Sequence[str], as_of: datetime
) -> list[SymbolResult]:
    """Score the open forecasts of some symbols and move their marks."""
    rows = rows[rows["symbol"].isin(symbols)]
    scored = _score(rows)
    done = _done_until(rows, as_of)
    marks = {symbol: Mark(max(starts[symbol], done.get(symbol, _oldest_open(as_of)))) for symbol in symbols}
    with store.begin() as connection:
        written = warehouse.insert_missing_by_symbol(connection, prediction_outcomes, scored)
        watermarks.write_marks(connection, prediction_outcomes.name, marks)
    settled = Counter(scored["symbol"])
    decided = scored[scored["correct"].notna()]
    correct = Counter(decided.loc[decided["correct"].astype(bool), "symbol"])

    def details(symbol: str) -> dict[str, int]:
        said = {"settled": settled[symbol]}
        return said | {"correct": correct[symbol]} if settled[symbol] else said

    return [SymbolResult(symbol, written[symbol], details=details(symbol)) for symbol in symbols]


def _first_forecasts(store: Warehouse, symbols: Sequence[str]) -> dict[str, datetime]:
    rows = store.read(
        select(predictions.c.symbol, func.min(predictions.c.candle_timestamp).label("first"))
        .where(predictions.c.symbol.in_(symbols))
        .group_by(predictions.c.symbol)
    )
    return {row.symbol: row.first.to_pydatetime() for row in rows.itertuples()}


def _unsettled(
    store: Warehouse, symbols: Sequence[str], starts: dict[str, datetime], as_of: datetime, feature_set: FeatureSet
) -> pd.DataFrame:
    """Forecasts with a probability and no outcome, with the labels known by `as_of` beside them."""
    labels = [features.c[name(h)] for h in HORIZONS for name in (target_return, target_direction)]
    key = [predictions.c[name] for name in ("symbol", "horizon", "prediction_timestamp", "version")]
    rows = store.read(
        select(*key, predictions.c.candle_timestamp, predictions.c.prob_up, predictions.c.predicted_direction, *labels)
        .join(
            features,
            and_(
                features.c.symbol == predictions.c.symbol,
                features.c.timestamp == predictions.c.candle_timestamp,
                features.c.feature_set_hash == feature_set.hash,
            ),
        )
        .outerjoin(prediction_outcomes, and_(*(prediction_outcomes.c[c.name] == c for c in key)))
        .where(
            predictions.c.symbol.in_(symbols),
            predictions.c.candle_timestamp >= min(starts.values(), default=as_of),
            predictions.c.prediction_timestamp <= as_of,
            predictions.c.prob_up.is_not(None),
            prediction_outcomes.c.symbol.is_(None),
        )
    )
    rows = rows.assign(realized_return=np.nan, realized_direction=np.nan)
    due = rows["prediction_timestamp"] + pd.to_timedelta(rows["horizon"], unit="h") <= pd.Timestamp(as_of)
    for horizon in HORIZONS:
        mine = rows["horizon"] == horizon
        rows.loc[mine, "realized_return"] = rows.loc[mine, target_return(horizon)].where(due[mine])
        rows.loc[mine, "realized_direction"] = rows.loc[mine, target_direction(horizon)].where(due[mine])
    return rows.drop(columns=[c.name for c in labels])


def _score(rows: pd.DataFrame) -> pd.DataFrame:
    known = rows[rows["realized_return"].notna()]
    directed = known["realized_direction"].notna() & known["predicted_direction"].notna()
    correct = np.where(directed, known["realized_direction"] == known["predicted_direction"], None)
    losses = log_losses(known["realized_direction"].fillna(0).to_numpy().astype(int), known["prob_up"].to_numpy(float))
    return pd.DataFrame(
        {
            **{name: known[name] for name in ("symbol", "horizon", "prediction_timestamp", "version")},
            "realized_return": known["realized_return"],
            "realized_direction": known["realized_direction"],
            "correct": correct,
            "log_loss": np.where(known["realized_direction"].notna(), losses, np.nan),
            "resolved_at": known["prediction_timestamp"] + pd.to_timedelta(known["horizon"], unit="h"),
        }
    )


def _oldest_open(as_of: datetime) -> datetime:
    """Oldest candle of which a forecast cannot be settled yet."""
    return as_of - max(HORIZONS) * HOUR - HOUR


def _done_until(rows: pd.DataFrame, as_of: datetime) -> dict[str, datetime]:
    """Oldest candle of each symbol that has forecasts which may still get an outcome."""
    waiting = rows[rows["realized_return"].isna()].groupby("symbol")["candle_timestamp"].min()
    newest, oldest = _oldest_open(as_of), as_of - GIVE_UP
    return {str(symbol): max(min(at.to_pydatetime(), newest), oldest) for symbol, at in waiting.items()}
