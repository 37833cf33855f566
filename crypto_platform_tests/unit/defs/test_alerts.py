"""The sensor of the alerts: every finished run is read once, whatever it left behind."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import select

from crypto_platform import settings as configuration
from crypto_platform.core.alerts import Message
from crypto_platform.definitions import build_defs
from crypto_platform.defs import alerts
from crypto_platform.defs.partitions import range_tags
from crypto_platform.defs.resources import Platform
from crypto_platform.errors import TargetError
from crypto_platform.tables import alerts as table

SYMBOLS = ("BTC", "ETH", "ADA")
DRIFT = dg.AssetCheckKey(dg.AssetKey("features"), "features_have_not_drifted")


@dataclass(eq=False)
class Inbox:
    name: str = "webhook"
    dead: bool = False
    messages: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        if self.dead:
            raise TargetError("it is dead")
        self.messages.append(message)


@dataclass
class World:
    """An instance with runs in it, a store, a target, and the sensor."""

    instance: dg.DagsterInstance
    platform: Platform
    inbox: Inbox
    repository: dg.RepositoryDefinition
    cursor: str | None = None

    def run(self, *verdicts: tuple[str, bool], fails: bool = False, tags: dict[str, str] | None = None) -> str:
        """A run that evaluates a check of some symbols, one by one."""

        @dg.op(out=dg.Out(dg.Nothing))
        def work(context: dg.OpExecutionContext) -> Iterator[object]:
            for symbol, passed in verdicts:
                yield dg.AssetCheckEvaluation(
                    asset_key=DRIFT.asset_key, check_name=DRIFT.name, passed=passed, metadata={}, partition=symbol,
                    description=None if passed else "it moved",
                )  # fmt: skip
            if fails:
                raise RuntimeError("around it") from TargetError("the culprit\nand the cure")
            yield dg.Output(None)

        @dg.job(name="hourly_job")
        def job() -> None:
            work()

        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        done = job.execute_in_process(
            instance=self.instance, raise_on_error=False, tags=tags or range_tags(SYMBOLS), run_config=quiet
        )
        return done.run_id

    def tick(self) -> Any:
        context = dg.build_sensor_context(
            self.instance, cursor=self.cursor, repository_def=self.repository, resources={"platform": self.platform}
        )
        data = self.repository.get_sensor_def(alerts.SENSOR).evaluate_tick(context)
        self.cursor = data.cursor
        return data

    def summaries(self) -> list[tuple[str, str | None, str]]:
        rows = self.platform.store.read(select(table).order_by(table.c.raised_at, table.c.key))
        return [(row.kind, row.symbol, row.summary) for row in rows.itertuples()]


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    settings = configuration.load(
        home=tmp_path_factory.mktemp("home"),
        symbols=SYMBOLS,
        alert_webhook_url="http://127.0.0.1:9/",
        alert_webhook_secret="whsec_" + "A" * 40,
    )
    platform, inbox = Platform(settings), Inbox()
    platform.__dict__["targets"] = [inbox]
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(instance, platform, inbox, build_defs(settings, {"platform": platform}).get_repository_def())
    platform.close()


def test_a_failed_run_is_told_once_with_its_cause_and_its_page(world: World) -> None:
    run = world.run(fails=True)
    world.tick()
    world.tick()
    assert world.summaries() == [("run_failed", None, "crypto_platform.errors.TargetError: the culprit and the cure")]
    [message] = world.inbox.messages
    assert f"http://127.0.0.1:3000/runs/{run}" in message.text


def test_runs_that_succeed_are_no_news(world: World) -> None:
    world.run(("BTC", True))
    world.tick()
    assert world.inbox.messages == []


def test_failed_checks_of_a_run_are_one_message_and_told_again_only_once_they_held(world: World) -> None:
    world.run(("BTC", False), ("ETH", False), ("ADA", True))
    world.tick()
    world.run(("BTC", False), ("ETH", True), ("ADA", True))
    world.tick()
    world.run(("BTC", False), ("ETH", False), ("ADA", True))
    world.tick()
    assert world.summaries() == [
        ("check_failed", "BTC", "it moved"),
        ("check_failed", "ETH", "it moved"),
        ("check_failed", "ETH", "it moved"),
    ]
    assert [message.sections[0].count for message in world.inbox.messages] == [2, 1]
    assert "/assets/features?view=checks&checkDetail=features_have_not_drifted" in world.inbox.messages[0].text


def test_a_failure_and_a_pass_between_two_ticks_are_both_seen(world: World) -> None:
    world.run(("BTC", False))
    world.run(("BTC", True))
    world.tick()
    world.run(("BTC", False))
    world.tick()
    assert len(world.summaries()) == 2


def test_a_lost_cursor_tells_nothing_twice(world: World) -> None:
    world.run(("BTC", False), fails=True)
    world.run(("BTC", True))
    world.tick()
    world.cursor = None
    world.tick()
    assert len(world.summaries()) == 2
    assert len(world.inbox.messages) == 1


def test_more_runs_than_a_tick_reads_are_read_by_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "BATCH", 2)
    for _ in range(5):
        world.run(fails=True)
    for expected in (2, 4, 5, 5):
        world.tick()
        assert len(world.summaries()) == expected


def test_a_dead_target_does_not_fail_the_tick(world: World) -> None:
    world.inbox.dead = True
    world.run(fails=True)
    assert "1 new alerts; none sent" in str(world.tick().skip_message)


def test_a_run_of_symbols_no_longer_followed_does_not_fail_the_tick(world: World) -> None:
    world.run(("DOGE", False), tags=range_tags(["DOGE", "LUNA"]))
    world.tick()
    assert world.summaries() == [("check_failed", "DOGE", "it moved")]


def test_the_graphs_own_checks_name_their_symbols(world: World) -> None:
    """The store is empty: whatever a real run finds is about symbols, vendors or all of them."""
    defs = build_defs(world.platform.settings, {"platform": world.platform})
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    job = defs.resolve_job_def("retrain_decision_job")
    job.execute_in_process(instance=world.instance, tags=range_tags(SYMBOLS), raise_on_error=False, run_config=quiet)
    world.tick()
    told = world.summaries()
    assert {symbol for kind, symbol, _ in told if kind == "retrain_decided"} == set(SYMBOLS)
    assert {symbol for kind, symbol, _ in told if kind == "check_failed"} >= set(SYMBOLS)
    assert all(summary for _, _, summary in told)
    assert len(world.inbox.messages) == 1


def test_the_sensor_runs_by_itself_only_where_a_target_is_set(world: World) -> None:
    bare = configuration.load(home=world.platform.settings.home, symbols=SYMBOLS)
    for settings, status in ((world.platform.settings, "RUNNING"), (bare, "STOPPED")):
        sensor = build_defs(settings).get_repository_def().get_sensor_def(alerts.SENSOR)
        assert sensor.default_status.value == status
