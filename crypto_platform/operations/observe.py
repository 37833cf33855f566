"""What the store says of the platform at a moment: read once, for the metrics and for the report alike.

Nothing is written here, and only rows known by `as_of` are read.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import pandas as pd
from sqlalchemy import Select, and_, func, or_, select

from crypto_platform.core import reporting
from crypto_platform.core.hours import HOUR, closed_until
from crypto_platform.core.reporting import WEEK, WINDOWS, Key
from crypto_platform.operations.aliases import CHAMPION
from crypto_platform.operations.registry import Served
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import ohlcv_data, prediction_outcomes, predictions, quarantine

SHORTEST: Final = 1  # horizon spoken of where nothing is forecast yet
LONGEST: Final = max(WINDOWS.values())
KEY: Final = ("symbol", "horizon", "prediction_timestamp", "version")


def health(
    store: Warehouse,
    symbols: Sequence[str],
    *,
    as_of: datetime,
    champions: Mapping[Key, Served],
    forecasts: pd.DataFrame,
) -> reporting.Health:
    """Accuracy, forecasts, models and data of each symbol.

    Parameters
    ----------
    store : Warehouse
    symbols : sequence of str
    as_of : datetime
    champions : mapping of key to Served
        Of `registry.champions` at `as_of`.
    forecasts : DataFrame
        Of `forecasts_with_outcomes` at `as_of`.
    """
    served = forecasts[forecasts["origin"] == "live"]
    scored = served[served["correct"].notna()]
    keys = observed_keys(symbols, champions, forecasts)
    of_key = _by_key(served)
    nothing = served.iloc[:0]
    rows = []
    for key in keys:
        mine = of_key.get(key, nothing)
        rows.append(reporting.serving(key, _trained(champions.get(key)), mine, mine[mine["correct"].notna()], as_of))
    horizons = sorted({horizon for _, horizon in keys})
    refused = _refused(store, symbols, as_of)
    return reporting.Health(
        as_of=as_of,
        serving=tuple(rows),
        data=tuple(_data_quality(store, symbols, as_of, refused)),
        refused_elsewhere=refused.get(None, 0),
        overall={h: reporting.accuracy_by_window(scored[scored["horizon"] == h], as_of) for h in horizons},
    )


def observed_keys(symbols: Sequence[str], champions: Mapping[Key, Served], forecasts: pd.DataFrame) -> tuple[Key, ...]:
    """Each symbol with each horizon that any symbol forecasts or has a champion for."""
    horizons = {horizon for _, horizon in champions} | {int(h) for h in forecasts["horizon"].unique()}
    return tuple((symbol, horizon) for symbol in symbols for horizon in sorted(horizons or {SHORTEST}))


def forecasts_with_outcomes(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> pd.DataFrame:
    """The champions' forecasts of the longest accuracy window, each with its outcome where that was known.

    Returns
    -------
    DataFrame
        Columns of `predictions` that the report needs, `correct` (bool or None) and `realized_direction` (NaN where
        unknown), in the order of symbol, horizon and time.
    """
    rows = store.read(
        select(
            *(predictions.c[name] for name in KEY),
            predictions.c.created_at,
            predictions.c.origin,
            predictions.c.current_price,
            predictions.c.prob_up,
            predictions.c.signal,
            predictions.c.signal_before_costs,
            predictions.c.reason,
            predictions.c.resumes_at,
            predictions.c.break_even_probability,
            *(predictions.c[column] for column in reporting.MODEL_COLUMNS.values()),
            prediction_outcomes.c.correct,
            prediction_outcomes.c.realized_direction,
        )
        .outerjoin(
            prediction_outcomes,
            and_(
                *(prediction_outcomes.c[name] == predictions.c[name] for name in KEY),
                prediction_outcomes.c.resolved_at <= as_of,
            ),
        )
        .where(
            predictions.c.symbol.in_(symbols),
            predictions.c.role == CHAMPION,
            predictions.c.origin != "walk_forward",
            predictions.c.prediction_timestamp > as_of - LONGEST,
            predictions.c.prediction_timestamp <= as_of,
        )
        .order_by(*(predictions.c[name] for name in KEY))
    )
    rows["correct"] = rows["correct"].astype(object)
    rows["realized_direction"] = rows["realized_direction"].astype(float)
    return rows


def _data_quality(
    store: Warehouse, symbols: Sequence[str], as_of: datetime, refused: dict[str | None, int]
) -> Iterator[reporting.DataQuality]:
    end = closed_until(as_of)
    mine = ohlcv_data.c.symbol.in_(symbols)
    spans = store.read(
        select(
            ohlcv_data.c.symbol,
            func.min(ohlcv_data.c.timestamp).label("first"),
            func.max(ohlcv_data.c.timestamp).label("newest"),
        )
        .where(mine, ohlcv_data.c.timestamp <= as_of - HOUR)
        .group_by(ohlcv_data.c.symbol)
    )
    span_of = {row.symbol: (row.first.to_pydatetime(), row.newest.to_pydatetime()) for row in spans.itertuples()}
    counts = _counts(
        store,
        select(ohlcv_data.c.symbol, func.count().label("n"))
        .where(mine, ohlcv_data.c.timestamp >= end - WEEK, ohlcv_data.c.timestamp < end)
        .group_by(ohlcv_data.c.symbol),
    )
    for symbol in symbols:
        first, newest = span_of.get(symbol, (None, None))
        yield reporting.data_quality(symbol, first, newest, counts.get(symbol, 0), refused.get(symbol, 0), as_of)


def _refused(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> dict[str | None, int]:
    """Quarantined rows of the last 7 days by symbol; None stands for datasets without symbols."""
    return _counts(
        store,
        select(quarantine.c.symbol, func.count().label("n"))
        .where(
            or_(quarantine.c.symbol.in_(symbols), quarantine.c.symbol.is_(None)),
            quarantine.c.seen_at > as_of - WEEK,
            quarantine.c.seen_at <= as_of,
        )
        .group_by(quarantine.c.symbol),
    )


def _counts(store: Warehouse, statement: Select[Any]) -> dict[str | None, int]:
    return {row.symbol: int(row.n) for row in store.read(statement).itertuples()}


def _by_key(rows: pd.DataFrame) -> dict[Key, pd.DataFrame]:
    return {(str(symbol), int(horizon)): mine for (symbol, horizon), mine in rows.groupby(["symbol", "horizon"])}


def _trained(champion: Served | None) -> tuple[str, datetime] | None:
    return (champion.version, champion.trained_at) if champion else None
