"""Backtests of a store: what was logged, or the validation made again; nothing later than as_of enters."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from crypto_platform.core import performance
from crypto_platform.core.estimators import ModelParameters
from crypto_platform.core.signals import SignalRules
from crypto_platform.operations import backtest
from crypto_platform.operations.backtest import Source
from crypto_platform.storage.warehouse import Warehouse

Moment = Callable[[float], datetime]
TRAINED, NOW = 900, 960
QUICK = ModelParameters(forest_trees=5, boosting_iterations=5)
EAGER = SignalRules(buy=0.5000001, sell=0.4999999, agreement=0.5, fee_bps=0, slippage_bps=0)


@pytest.fixture(scope="module")
def stored(make_deployment: Any, moment: Moment, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One symbol with live forecasts from `TRAINED` to `NOW`."""
    home: Path = tmp_path_factory.mktemp("backtests")
    deployment = make_deployment(Warehouse.open(f"sqlite:///{home / 'store.db'}"), home / "artifacts")
    deployment.names = ("ETH",)
    deployment.ingest(moment(NOW))
    deployment.train(moment(TRAINED))
    deployment.predict(moment(NOW), since=moment(TRAINED), rules=EAGER)
    yield deployment
    deployment.store.close()


def run(
    stored: Any, as_of: datetime, source: Source, rules: SignalRules = EAGER, symbol: str = "ETH", n_series: int = 2
) -> Any:
    tested = backtest.run(
        stored.store,
        [symbol],
        as_of=as_of,
        horizons=(1,),
        n_series=n_series,
        train_days=30,
        parameters=QUICK,
        rules=rules,
        source=source,
    )
    return {one.strategy: one for one in tested}


@pytest.mark.parametrize("source", list(Source))
def test_signals_stand_beside_buy_and_hold_and_flat(stored: Any, moment: Moment, source: Source) -> None:
    tested = run(stored, moment(NOW), source)
    assert set(tested) == {"signals", "signals before costs", "buy & hold", "flat"}
    signals, flat = tested["signals"].numbers, tested["flat"].numbers
    assert signals.trades > 0
    assert signals.costs == 0  # free by these rules
    assert (flat.total_return, flat.trades) == (0, 0)
    assert len({one.numbers.hours for one in tested.values()}) == 1
    assert all(one.numbers.verdict == performance.TOO_SHORT for one in tested.values())  # a month says nothing
    json.dumps([one.record() for one in tested.values()])


def test_costs_are_paid(stored: Any, moment: Moment) -> None:
    dear = SignalRules(fee_bps=10, slippage_bps=5, buy=EAGER.buy, sell=EAGER.sell, agreement=0.5)
    free, paid = (run(stored, moment(NOW), Source.LOGGED, rules)["signals"].numbers for rules in (EAGER, dear))
    assert paid.costs == pytest.approx(0.0015 * free.turnover * free.hours / 24)
    assert paid.total_return < free.total_return


def test_looking_at_one_of_many_is_deflated_for_all(stored: Any, moment: Moment) -> None:
    few, many = (run(stored, moment(NOW), Source.LOGGED, n_series=n)["signals"].numbers for n in (1, 50))
    assert many.deflated_sharpe < few.deflated_sharpe
    assert many.probabilistic_sharpe == few.probabilistic_sharpe


def test_nothing_after_as_of_enters(stored: Any, moment: Moment) -> None:
    early = run(stored, moment(NOW - 20), Source.LOGGED)["buy & hold"].numbers
    late = run(stored, moment(NOW), Source.LOGGED)["buy & hold"].numbers
    assert early.hours == late.hours - 20


def test_what_cannot_be_tested_says_why(stored: Any, moment: Moment) -> None:
    assert "no live forecast" in run(stored, moment(TRAINED - 10), Source.LOGGED)["signals"].why
    assert "needed" in run(stored, moment(400), Source.WALK_FORWARD)["signals"].why
    assert "needed" in run(stored, moment(NOW), Source.WALK_FORWARD, symbol="BTC")["signals"].why
