"""The time machine decides the same in every home, killed or not, tick by tick or in strides, and like the graph."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from crypto_platform.core.estimators import ModelParameters
from crypto_platform.core.hours import HOUR
from crypto_platform.core.timetable import COLLECT, EXPERIMENT, HOURLY, RETRAIN_DECISION, RETRAIN_SENSOR, TRAIN
from crypto_platform.errors import ConfigurationError
from crypto_platform.operations import training_rows
from crypto_platform.operations.machine import arms, evidence, report, schedules, ticks
from crypto_platform.operations.machine.run import Journey, operate, timetable
from crypto_platform.operations.results import Report
from crypto_platform.operations.verify import verify
from crypto_platform.replay.history import Supply
from crypto_platform.replay.simulated import SimulatedMarket
from crypto_platform.sources.catalog import is_candle_vendor
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import model_versions, retrain_decisions
from crypto_platform_tests.integration.machine.worlds import (
    ARRIVAL,
    COLLECTED,
    START,
    SYMBOLS,
    Tables,
    World,
    assert_same,
    market,
    tables_of,
    world,
)

DAYS = timedelta(days=3)
DECIDED = (
    "features", "predictions", "prediction_outcomes", "retrain_decisions", "model_versions", "model_metrics",
    "model_aliases", "ab_test_results", "ab_test_config",
)  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Three days operated in one go."""
    with world(tmp_path_factory.mktemp("undisturbed")) as small:
        small.operate(START + DAYS)
        done = small.tables()
        small.operate(START + DAYS, progress=_nothing_left)
        assert_same(done, small.tables())
        return done


def _nothing_left(_done: int, _total: int, at: datetime, what: str) -> None:
    assert (at, what) == (START + DAYS, "done")


def test_the_small_world_is_worth_testing(undisturbed: Tables) -> None:
    """Every hour has its row, most a forecast; the sensor trains, the gate refuses, promotes, and lets others wait."""
    rows = undisturbed["predictions"]
    served = rows[rows["role"] == "champion"]
    assert (served.groupby(["symbol", "horizon"])["prediction_timestamp"].nunique() >= DAYS // HOUR).all()
    assert served["prob_up"].notna().mean() > 0.5
    aliases = undisturbed["model_aliases"]
    reasons = set(aliases.loc[aliases["alias"] == "champion", "reason"])
    assert ticks.FIRST_TRAINING in reasons
    assert any(reason.startswith("checks failed") for reason in reasons)
    assert "challenger" in set(aliases["alias"])
    assert len(undisturbed["model_versions"]) > len(aliases)
    assert undisturbed["retrain_decisions"]["run_id"].notna().any()
    assert len(undisturbed["prediction_outcomes"]) > 100


def test_another_home_gets_the_same_rows_and_bundles(undisturbed: Tables, tmp_path: Path) -> None:
    with world(tmp_path / "another") as small:
        small.operate(START + DAYS)
        assert_same(undisturbed, small.tables())


def test_a_journey_in_two_parts_ends_as_one_in_one(undisturbed: Tables, tmp_path: Path) -> None:
    with world(tmp_path / "parts") as small:
        small.operate(START + timedelta(hours=31))
        small.operate(START + DAYS)
        assert_same(undisturbed, small.tables(), without=COLLECTED, ignored=ARRIVAL)


class Killed(BaseException):
    """As if the process were gone."""


def test_a_death_at_any_tick_changes_nothing(undisturbed: Tables, tmp_path: Path) -> None:
    """Each tick but one in five dies after its work and before it is noted, so it is done twice."""
    moments = random.Random(4)
    seen: set[tuple[object, ...]] = set()

    def note(self: ticks.Deployment, job: str, at: datetime, *arguments: object, **more: object) -> None:
        work(self, job, at, *arguments, **more)
        if (job, at) not in seen and moments.random() < 0.8:
            seen.add((job, at))
            raise Killed

    work = ticks.do
    with world(tmp_path / "dying") as small, pytest.MonkeyPatch.context() as patch:
        patch.setattr("crypto_platform.operations.machine.run.do", note)
        while True:
            try:
                small.operate(START + DAYS)
            except Killed:
                continue
            break
        assert len(seen) > 20
        assert_same(undisturbed, small.tables())


@pytest.mark.slow
def test_kill_9_at_random_moments_changes_nothing(undisturbed: Tables, tmp_path: Path) -> None:
    home, moments, kills = tmp_path / "killed", random.Random(7), 0
    until = (START + DAYS).isoformat()
    program = [sys.executable, str(Path(__file__).with_name("worlds.py")), str(home), until]
    for _ in range(30):
        child = subprocess.Popen(program, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        deadline = time.monotonic() + moments.uniform(4, 9)
        while child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if child.poll() is not None:
            assert child.returncode == 0
            break
        child.send_signal(signal.SIGKILL)
        child.wait()
        kills += 1
    with world(home) as small:
        small.operate(START + DAYS)
        assert kills >= 2
        assert_same(undisturbed, small.tables())


def test_strides_decide_what_single_ticks_do(tmp_path: Path) -> None:
    until = START + timedelta(hours=37)
    with world(tmp_path / "strides") as small:
        small.operate(until)
        strides = small.tables()
    with world(tmp_path / "ticks") as small:
        small.operate(until, every_tick=True)
        single = small.tables()
    assert len(single["market_data"]) > len(strides["market_data"])
    # A running mean over more hours at a time rounds otherwise in its last digit.
    assert_same(strides, single, without=COLLECTED, ignored=ARRIVAL, rtol=1e-12)


@dataclass
class Mutated:
    """A market of which everything from an hour on is another."""

    real: SimulatedMarket
    since: datetime

    @property
    def provenance(self) -> object:
        return self.real.provenance

    @property
    def title(self) -> str:
        return self.real.title

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.real.symbols

    def candles(self, symbol: str, start: datetime, end: datetime) -> pd.DataFrame:
        rows = self.real.candles(symbol, start, end).copy()
        later = rows["timestamp"] >= self.since
        for name in ("open", "high", "low", "close"):
            rows.loc[later, name] = 2 * rows.loc[later, name] + later.cumsum()[later]
        return rows

    def supply(self, symbol: str) -> Supply:
        return self.real.supply(symbol)

    def sentiment(self, start: datetime, end: datetime) -> pd.DataFrame:
        rows = self.real.sentiment(start, end).copy()
        later = rows["timestamp"] >= self.since
        rows.loc[later, "value"] = 99 - rows.loc[later, "value"].clip(upper=99)
        return rows


def test_nothing_decided_before_an_hour_knows_what_came_after(undisturbed: Tables, tmp_path: Path) -> None:
    """With all data from an hour on changed, what was decided by then is the same; what came after is not."""
    turn = START + timedelta(hours=30)
    with world(tmp_path / "mutated", Mutated(market(), turn)) as small:
        small.operate(START + DAYS)
        other = small.tables()
    made = {
        "predictions": "prediction_timestamp", "retrain_decisions": "decision_time", "model_versions": "trained_at",
        "model_aliases": "at", "prediction_outcomes": "resolved_at",
    }  # fmt: skip
    differs = []
    for name, column in made.items():
        ignored = {"run_id", "result"} if name == "retrain_decisions" else set()  # what came of it comes later
        ours, theirs = (
            t[name][t[name][column] <= turn].drop(columns=list(ignored)).reset_index(drop=True)
            for t in (undisturbed, other)
        )
        assert len(ours)
        pd.testing.assert_frame_equal(ours, theirs, obj=name)
        differs.append(not undisturbed[name].equals(other[name]))
    assert all(differs), "the control: a change that nobody sees proves nothing"


def test_the_store_is_sound(tmp_path: Path) -> None:
    with world(tmp_path / "sound") as small:
        small.operate(START + timedelta(hours=30))
        d = small.deployment
        verdict = verify(d.store, d.artifacts, as_of=START + timedelta(hours=30), is_vendor=is_candle_vendor, deep=True)
        assert verdict.findings == ()


def test_a_store_that_is_not_its_own_is_refused(tmp_path: Path) -> None:
    with world(tmp_path / "own") as small:
        ticks.begin(small.deployment, START)
        before = tables_of(small.deployment.store)
        with pytest.raises(ConfigurationError, match="not begun by `crypto-platform simulate`"):
            small.operate(START + DAYS)
        assert_same(before, small.tables())


def test_other_settings_are_refused(tmp_path: Path) -> None:
    with world(tmp_path / "settings") as small:
        small.operate(START + timedelta(hours=1))
        before = small.tables()
        with pytest.raises(ConfigurationError, match="policy = None, not 'classic'"):
            operate(small.deployment, Journey(START, START + DAYS, False, {"market": "small", "policy": "classic"}))
        assert_same(before, small.tables())


@pytest.mark.slow
def test_the_graph_writes_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one store on, some hours of ticks by the machine and by the asset graph's jobs, a training included."""
    begun, until = START + timedelta(hours=29), START + timedelta(hours=31)
    ours, theirs = tmp_path / "machine", tmp_path / "graph"
    full = ModelParameters(seed=20_260_101)
    with world(ours, parameters=full) as small:
        small.operate(begun, every_tick=True)
    shutil.copytree(ours, theirs)
    with world(ours, parameters=full) as small:
        small.operate(until, every_tick=True)
        assert _trained_between(small, begun, until), "no training in these hours: choose others"
        by_machine = small.tables()
    with world(theirs, parameters=full) as small:
        _by_graph(small, begun, until, monkeypatch)
        by_graph = small.tables()
    for name in DECIDED:
        pd.testing.assert_frame_equal(
            by_machine[name].drop(columns="run_id", errors="ignore"),
            by_graph[name].drop(columns="run_id", errors="ignore"),
            rtol=0,
            atol=1e-12,
            check_dtype=False,
            obj=name,
        )
    pd.testing.assert_frame_equal(by_machine["ohlcv_data"], by_graph["ohlcv_data"])


def _trained_between(small: World, start: datetime, until: datetime) -> bool:
    at = small.deployment.store.read(select(model_versions.c.trained_at))["trained_at"]
    return bool(((at > pd.Timestamp(start)) & (at <= pd.Timestamp(until))).any())


def _by_graph(small: World, start: datetime, until: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    from crypto_platform.cli.stage import Stage

    monkeypatch.setenv("DAGSTER_HOME", "set by the stage")
    stage = Stage(small.platform)
    try:
        for tick in timetable(start, until):
            small.deployment.set_clock(tick.at)
            config = None
            symbols = list(SYMBOLS)
            if tick.job == RETRAIN_SENSOR:
                _answer(stage, small, tick.at)
                continue
            if tick.job == TRAIN:
                config = {"ops": {"models": {"config": {"only_due": True, "reason": "schedule"}}}}
            assert tick.job in {COLLECT, HOURLY, TRAIN, EXPERIMENT, RETRAIN_DECISION}
            stage.run(tick.job, symbols, tick.at.isoformat(), config)
    finally:
        stage.close()


def _answer(stage: object, small: World, at: datetime) -> None:
    """What the sensor would launch: a run a symbol."""
    c = retrain_decisions.c
    rows = small.deployment.store.read(select(retrain_decisions).where(c.decision_time == at - timedelta(minutes=1)))
    asked = rows[rows["should_retrain"]]
    for symbol in SYMBOLS:
        mine = asked[asked["symbol"] == symbol]
        if len(mine):
            reason = f"checks failed: {', '.join(ticks.causes(mine))}"
            stage.run(TRAIN, [symbol], at.isoformat(), {"ops": {"models": {"config": {"reason": reason}}}})  # type: ignore[attr-defined]


def test_hindsight_is_of_the_hours_served_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every schedule is scored on no other hours than were served; what was fitted once is not fitted again."""
    with world(tmp_path / "hindsight") as small:
        small.operate(START + timedelta(hours=50))
        found = evidence.gather(small.deployment, tmp_path / "hindsight")
        rows = arms.served(small.deployment.store, SYMBOLS, START, START + DAYS)
        for horizon in (1, 3):
            mine = [arm for arm in found.arms if arm.horizon == horizon]
            served = int((rows["horizon"] == horizon).sum())
            assert (served > 0) == (horizon == 1), "the gate lets nobody serve 3 h ahead so far"
            assert {arm.n for arm in mine} == {served}
            assert len(mine) == 5
        daily = next(arm for arm in found.arms if arm.name == schedules.DAILY)
        assert daily.n_refits == 2 * (1 + 3)  # of two symbols: the first, and at 00:20 of three days
        assert [decided.n for decided in found.decisions] == [9] * 4
        assert sum(decided.trained for decided in found.decisions) == len(small.tables()["model_versions"])
        monkeypatch.setattr(arms, "fit_and_forecast", lambda *_: pytest.fail("it was fitted before"))
        assert evidence.gather(small.deployment, tmp_path / "hindsight") == found
        paths = report.write(found, tmp_path)
        assert "SIMULATED" in paths["html"].read_text()
        assert schedules.NEVER in paths["md"].read_text()
        assert json.loads(paths["json"].read_text())["arms"][0]["n"] == found.arms[0].n


def test_never_refitting_forecasts_by_the_first_model_alone(tmp_path: Path) -> None:
    with world(tmp_path / "never") as small:
        small.operate(START + timedelta(hours=20))
        d = small.deployment
        rows = arms.served(d.store, SYMBOLS, START, START + DAYS)
        key = ("ETH", 1)
        first = schedules.Refit(START, START)
        forecasts = arms.Forecasts(d, rows, tmp_path)
        forecasts.make([{key: [first]}])
        learned = training_rows.labeled(d.store, *key, START, d.settings.train_days, d.settings.feature_set)
        assert learned.hours.max() < START.timestamp() / 3600 - 1
        made = forecasts.of({key: [first]})
        assert len(made) == int(((rows["symbol"] == "ETH") & (rows["horizon"] == 1)).sum()) > 15
        assert made["loss"].to_numpy() == pytest.approx(
            -np.log(np.where(made["up"] == 1, made["prob_up"], 1 - made["prob_up"]))
        )


def test_a_training_killed_before_its_result_is_noted_is_noted_later(tmp_path: Path) -> None:
    """Both ways of training: what the daily tick finds due, and what a decision asks for."""
    killed: set[str] = set()
    note = ticks.decide.note_results

    def noted(store: Warehouse, done: Report, run_id: str) -> None:
        if is_deadly and run_id not in killed:
            killed.add(run_id)
            raise Killed
        note(store, done, run_id)

    ended = []
    for is_deadly in (False, True):
        home = tmp_path / str(is_deadly)
        with (
            world(home, horizons=(1,), cooldown_hours=6, retrain_after_days=1.0) as small,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(ticks.decide, "note_results", noted)
            while True:
                try:
                    small.operate(START + timedelta(hours=49))
                except Killed:
                    continue
                break
            ended.append(small.tables())
    trained_at = ended[0]["model_versions"]["trained_at"]
    assert {(moment.hour, moment.minute) for moment in trained_at} >= {(0, 20)}
    assert (trained_at.dt.minute == 41).any()
    assert len(killed) > 2
    assert_same(*ended)
