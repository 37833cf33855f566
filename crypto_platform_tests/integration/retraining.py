"""What holds of the retrain sensor and of alerts on a live daemon, whoever is killed. Each storage has its own file.

The symbols of a test are nobody else's, and have no candles: their trainings end without a model, so that they go on
failing, and no model's age holds a second training back. Only the first symbol can be trained.
"""

import json
import random
import time
from typing import Any

import dagster as dg
import pytest

from crypto_platform.defs.alerts import FINISHED
from crypto_platform.defs.partitions import covered
from crypto_platform_tests.integration.deployment import DAEMON, SERVER, Deployment
from crypto_platform_tests.integration.processes import wait_for

SYMBOLS = (
    *("BTC", "ETH", "ADA", "SOL", "DOT", "XRP", "BNB", "LTC", "LINK", "TRX", "AVAX", "BCH", "ATOM"),
    *("MATIC", "FTT", "BUSD", "UNI", "AAVE", "NEAR"),
)
POINTS = {  # of a daemon's tick: in the middle of a first run's launch, after it, and after that of all
    "RUN_CREATED": ("TRX",),
    "RUN_LAUNCHED": ("AVAX", "ATOM"),
    "RUN_IDS_ADDED_TO_EVALUATIONS": ("FTT",),
}


class RetrainingOnALiveDaemon:
    """The laws; a subclass says on which storage."""

    def test_one_failing_symbol_is_trained_and_the_decision_says_so(self, live: Deployment) -> None:
        live.fail("BTC")
        live.launched("BTC")
        self.ended(live)
        (run,) = [run for run in live.trainings() if "BTC" in self.symbols_of(live, run)]
        (decision,) = live.decisions().query("symbol == 'BTC'").itertuples()
        assert decision.run_id == run.run_id
        assert "version" in decision.result

    def test_several_failing_before_one_tick_are_few_runs_and_a_pass_before_it_hides_none(
        self, live: Deployment
    ) -> None:
        live.kill(DAEMON)
        live.fail("ADA", "SOL", "XRP")
        live.age("XRP", by=live.settings.settle)
        live.check()
        live.start(DAEMON)
        live.launched("ADA", "SOL", "XRP")
        asked = [self.symbols_of(live, run) for run in live.trainings()]
        assert ["ADA", "SOL"] in asked
        assert ["XRP"] in asked

    def test_a_check_that_a_person_runs_counts(self, live: Deployment) -> None:
        live.age("LINK")
        tags = {f"dagster/asset_partition_range_{end}": "LINK" for end in ("start", "end")}
        workspace = str(live.folder / "workspace.yaml")
        live.dagster("job", "launch", "-w", workspace, "-j", "retrain_decision_job", "--tags", json.dumps(tags))
        live.launched("LINK")

    @pytest.mark.parametrize(("point", "symbols"), POINTS.items(), ids=POINTS)
    def test_a_daemon_killed_between_launch_and_cursor_launches_each_once(
        self, live: Deployment, point: str, symbols: tuple[str, ...]
    ) -> None:
        live.kill_at(point, DAEMON)
        live.fail(*symbols)
        live.died(DAEMON)
        live.start(DAEMON)
        live.launched(*symbols)

    def test_a_code_server_that_is_down_loses_nothing(self, live: Deployment) -> None:
        live.kill(SERVER)
        live.fail("BCH")
        wait_for(lambda: live.ticks(1)[0].error, "a tick that fails")
        live.start(SERVER)
        live.launched("BCH")

    def test_a_code_server_killed_after_the_sensor_asked_fails_no_training(self, live: Deployment) -> None:
        """What was asked for stays in the queue, or in the tick, until the code server is back."""
        live.kill_at("RUN_LAUNCHED", SERVER)
        live.fail("ETH")
        live.died(SERVER)
        live.start(SERVER)
        live.launched("ETH")
        self.ended(live)
        (run,) = [run for run in live.trainings() if "ETH" in self.symbols_of(live, run)]
        assert run.status is dg.DagsterRunStatus.SUCCESS

    def test_kills_at_random_moments_lose_and_double_nothing(self, live: Deployment) -> None:
        moments = random.Random(1)
        symbols = ("DOT", "BNB")
        for symbol in symbols:
            live.fail(symbol)
            time.sleep(moments.uniform(0, 1.5))
            live.kill(DAEMON)
            live.start(DAEMON)
        live.launched(*symbols)

    def test_failures_of_a_run_are_one_message_and_no_alert_is_told_twice(self, live: Deployment) -> None:
        """The mail server is dead all the while, which fails no run."""
        # A kill before may have held up a message; one of many alerts would not spell out all of them.
        wait_for(lambda: not live.untold("webhook"), "what was to be told before")
        live.fail("UNI", "AAVE", "NEAR")
        wanted = {f"check_failed/models:model_is_fresh/{symbol}" for symbol in ("UNI", "AAVE", "NEAR")}

        def told() -> list[set[str]]:
            bodies = [json.loads(body) for _, _, body in live.web.taken]
            return [{alert["key"].rpartition("/")[0] for alert in alerts_of(body)} for body in bodies]

        wait_for(lambda: wanted <= set().union(*told()), "the alerts")
        assert sum(bool(wanted & message) for message in told()) == 1
        every = [alert for _, _, body in live.web.taken for alert in alerts_of(json.loads(body))]
        assert len(every) == len({alert["key"] for alert in every})
        assert all(alert["link"].startswith("https://ui.example/") for alert in every)
        self.ended(live)
        assert {run.status for run in live.trainings()} == {dg.DagsterRunStatus.SUCCESS}

    def test_in_the_end_each_failure_had_one_training_whose_result_its_decision_knows(self, live: Deployment) -> None:
        """A new daemon without a cursor, and another check that all of them fail, start nothing within the cooldown.

        The first symbol fails too, for its candles end long ago; its training is a model's, and the policy knows it.
        """
        self.ended(live)
        live.kill(DAEMON)
        workspace = str(live.folder / "workspace.yaml")
        live.dagster("sensor", "cursor", "retrain_sensor", "--delete", "-w", workspace)
        live.check()
        live.start(DAEMON)
        live.ticked(2)
        self.ended(live)  # a launch that an earlier kill cut short may be asked for again only now
        assert set(live.trained().values()) == {1}
        decisions = live.decisions()
        answered = decisions[decisions["run_id"].notna()]
        of_run = {symbol: run.run_id for run in live.trainings() for symbol in self.symbols_of(live, run)}
        assert list(answered["symbol"].sort_values()) == sorted(of_run)
        assert dict(zip(answered["symbol"], answered["run_id"], strict=True)) == of_run
        assert answered["result"].notna().all()

    @staticmethod
    def ended(live: Deployment) -> None:
        """Wait until no training is under way."""
        wait_for(lambda: all(run.status in FINISHED for run in live.trainings()), "the end of the trainings")

    @staticmethod
    def symbols_of(live: Deployment, run: dg.DagsterRun) -> list[str]:
        """Whom a run trains."""
        return covered(run.tags, live.symbols)


def alerts_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Alerts of a message as the webhook gets it."""
    return [alert for section in body["sections"] for alert in section["alerts"]]
