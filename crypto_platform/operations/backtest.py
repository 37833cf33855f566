"""What acting on the signals would have earned: of forecasts that were logged, or made walk-forward for this."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import select

from crypto_platform.core import backtest, performance, splits, validation
from crypto_platform.core.estimators import MIN_ROWS, ModelParameters, require_trainable
from crypto_platform.core.features import DEFAULT, FeatureSet
from crypto_platform.core.hours import HOUR
from crypto_platform.core.panel import hours_since_1970
from crypto_platform.core.performance import Performance
from crypto_platform.core.signals import Signal, SignalRules
from crypto_platform.errors import NotTrainableError
from crypto_platform.operations import training_rows
from crypto_platform.operations.aliases import CHAMPION
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import ohlcv_data, predictions

STRATEGIES: Final = ("signals", "signals before costs")
FLAT: Final = "flat"


class Source(StrEnum):
    """Which forecasts are acted on."""

    WALK_FORWARD = "walk-forward"
    LOGGED = "logged"


@dataclass(frozen=True, slots=True)
class Tested:
    """One strategy of one symbol and horizon; `why` says why there are no numbers."""

    symbol: str
    horizon: int
    strategy: str
    numbers: Performance | None = None
    why: str | None = None

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        said = {"symbol": self.symbol, "horizon": self.horizon, "strategy": self.strategy, "why": self.why}
        return said | ({**asdict(self.numbers), "verdict": self.numbers.verdict} if self.numbers else {})


def run(
    store: Warehouse,
    symbols: Sequence[str],
    *,
    as_of: datetime,
    horizons: Sequence[int],
    n_series: int,
    train_days: int,
    parameters: ModelParameters,
    rules: SignalRules,
    source: Source = Source.WALK_FORWARD,
    shorting: bool = False,
    feature_set: FeatureSet = DEFAULT,
) -> list[Tested]:
    """Test the signals of each symbol and horizon, with and without the cost rule, beside buy & hold and flat.

    Parameters
    ----------
    store : Warehouse
    symbols : sequence of str
    as_of : datetime
        Nothing known later enters.
    horizons : sequence of int
    n_series : int
        Series (symbols times horizons) that are followed: the deflated Sharpe ratio counts them all as tried, since a
        person looks at those that did well.
    train_days : int
        Days of rows for the walk-forward validation.
    parameters : ModelParameters
    rules : SignalRules
        Thresholds and costs. Logged signals are those that were published, under the rules of their time.
    source : Source
        Logged: live forecasts of champions. Walk-forward: the validation of a training at `as_of`, made again.
    shorting : bool
        Whether a SELL is a short position; without it, it is flat.
    feature_set : FeatureSet
        What the stored features are.
    """
    ways = 2 if shorting else 1  # whoever goes short has seen what came of not doing so
    n_tried = ways * len(STRATEGIES) * max(n_series, len(symbols) * len(horizons))
    tested: list[Tested] = []
    for symbol in symbols:
        for horizon in horizons:
            try:
                calls = (
                    _logged(store, symbol, horizon, as_of)
                    if source is Source.LOGGED
                    else _walk_forward(store, symbol, horizon, as_of, train_days, parameters, rules, feature_set)
                )
            except NotTrainableError as error:
                tested += [Tested(symbol, horizon, name, why=str(error)) for name in STRATEGIES]
                continue
            tested += _simulated(store, symbol, horizon, as_of, calls, rules, parameters.seed, n_tried, shorting)
    return tested


def _walk_forward(
    store: Warehouse,
    symbol: str,
    horizon: int,
    as_of: datetime,
    train_days: int,
    parameters: ModelParameters,
    rules: SignalRules,
    feature_set: FeatureSet,
) -> pd.DataFrame:
    """Calls by hour, a column a strategy."""
    rows = training_rows.labeled(store, symbol, horizon, as_of, train_days, feature_set)
    require_trainable(rows)
    plan = splits.plan_for(min(rows.span, 24 * train_days))
    folds = splits.walk_forward_folds(rows.hours, horizon, plan, MIN_ROWS)
    result = validation.walk_forward(rows, folds, parameters, plan.test, novelty=True).forecasts
    calls = {name: backtest.calls_of(result, rows, rules, before_costs=name != STRATEGIES[0]) for name in STRATEGIES}
    return pd.DataFrame(calls, index=rows.hours[result.rows])


def _logged(store: Warehouse, symbol: str, horizon: int, as_of: datetime) -> pd.DataFrame:
    """Calls by hour, a column a strategy."""
    p = predictions.c
    rows = store.read(
        select(p.candle_timestamp, p.signal, p.signal_before_costs)
        .where(
            p.symbol == symbol,
            p.horizon == horizon,
            p.role == CHAMPION,
            p.origin == "live",
            p.prediction_timestamp <= as_of,
        )
        .order_by(p.candle_timestamp)
    )
    if rows.empty:
        raise NotTrainableError("no live forecast is logged")
    said = rows[["signal", "signal_before_costs"]].set_axis(list(STRATEGIES), axis=1)
    calls = said.apply(lambda column: column.map(lambda signal: backtest.SIDES[Signal(signal)]))
    return calls.set_axis(hours_since_1970(rows["candle_timestamp"]), axis=0)


def _simulated(
    store: Warehouse,
    symbol: str,
    horizon: int,
    as_of: datetime,
    calls: pd.DataFrame,
    rules: SignalRules,
    seed: int,
    n_tried: int,
    shorting: bool,
) -> list[Tested]:
    first = pd.Timestamp(int(calls.index[0]) * 3600, unit="s", tz="UTC").to_pydatetime()
    last = pd.Timestamp(int(calls.index[-1]) * 3600, unit="s", tz="UTC").to_pydatetime()
    candles = store.read(
        select(ohlcv_data.c.timestamp, ohlcv_data.c.open)
        .where(
            ohlcv_data.c.symbol == symbol,
            ohlcv_data.c.timestamp >= first,
            ohlcv_data.c.timestamp <= min(last + timedelta(hours=horizon + 1), as_of - HOUR),
        )
        .order_by(ohlcv_data.c.timestamp)
    )
    hours, opens = hours_since_1970(candles["timestamp"]), candles["open"].to_numpy(float)
    if len(hours) < 2:
        return [Tested(symbol, horizon, name, why="no candle after the first call yet") for name in STRATEGIES]
    aligned = calls.reindex(hours, fill_value=0)
    wanted = {
        name: backtest.exposures(hours, aligned[name].to_numpy(np.int64), horizon, shorting=shorting)
        for name in STRATEGIES
    }
    wanted |= {backtest.BUY_AND_HOLD: np.ones(len(hours)), FLAT: np.zeros(len(hours))}
    cost = backtest.one_side(rules)
    return [
        Tested(
            symbol,
            horizon,
            name,
            performance.assess(
                backtest.simulate(hours, opens, exposure, cost), horizon, seed, n_tried if name in STRATEGIES else 1
            ),
        )
        for name, exposure in wanted.items()
    ]
