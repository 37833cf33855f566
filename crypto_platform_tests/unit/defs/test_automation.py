"""The retrain sensor: a failed decision check leads to one training of its symbol, whatever happens around it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import DagsterEvent, DagsterEventType

from crypto_platform.definitions import build_defs
from crypto_platform.defs import automation
from crypto_platform.defs.checks import decision_keys
from crypto_platform.settings import Settings

SYMBOLS = ("BTC", "ETH", "ADA")
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
ACCURACY, DRIFT, FRESH = decision_keys()


class History:
    """An instance's check history, written as runs write it, and the sensor that reads it."""

    def __init__(self, instance: dg.DagsterInstance, repository: dg.RepositoryDefinition) -> None:
        self.instance = instance
        self.repository = repository
        self.cursor: str | None = None

    def plan(self, run: str, *checks: str, symbols: Sequence[str] = SYMBOLS) -> None:
        """A run over the symbols begins: every evaluation it will make gets its number."""
        subset = dg.StaticPartitionsDefinition(list(SYMBOLS)).subset_with_partition_keys(symbols)
        for check in checks:
            key = decision_keys()[check]
            planned = AssetCheckEvaluationPlanned(
                asset_key=key.asset_key, check_name=key.name, partitions_subset=subset
            )
            self._report(run, DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, planned, NOON)

    def evaluate(self, run: str, check: str, symbol: str, *, passed: bool, at: datetime = NOON, **said: bool) -> None:
        key = decision_keys()[check]
        metadata = {name: dg.MetadataValue.bool(value) for name, value in said.items()}
        evaluation = dg.AssetCheckEvaluation(
            asset_key=key.asset_key, check_name=key.name, passed=passed, metadata=metadata, partition=symbol
        )
        self._report(run, DagsterEventType.ASSET_CHECK_EVALUATION, evaluation, at)

    def _report(self, run: str, kind: DagsterEventType, data: object, at: datetime) -> None:
        event = DagsterEvent(kind.value, "retrain_decision_job", event_specific_data=data)
        self.instance.report_dagster_event(event, run, timestamp=at.timestamp())

    def tick(self) -> list[dg.RunRequest]:
        context = dg.build_sensor_context(self.instance, cursor=self.cursor, repository_def=self.repository)
        data = self.repository.get_sensor_def(automation.RETRAIN_SENSOR).evaluate_tick(context)
        self.cursor = data.cursor
        return list(data.run_requests or ())


@pytest.fixture(scope="module")
def repository(settings: Settings) -> dg.RepositoryDefinition:
    return build_defs(settings).get_repository_def()


@pytest.fixture
def history(repository: dg.RepositoryDefinition) -> Iterator[History]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield History(instance, repository)


def keys(requests: Sequence[dg.RunRequest]) -> list[str | None]:
    return [request.run_key for request in requests]


def test_no_failure_no_run(history: History) -> None:
    history.plan("a", ACCURACY)
    for symbol in SYMBOLS:
        history.evaluate("a", ACCURACY, symbol, passed=True)
    assert history.tick() == []


def test_each_failing_symbol_is_trained_once_with_all_its_reasons(history: History) -> None:
    history.plan("a", ACCURACY, DRIFT)
    for check, symbol in ((DRIFT, "ADA"), (ACCURACY, "BTC"), (DRIFT, "BTC")):
        history.evaluate("a", check, symbol, passed=False)
    requests = history.tick()
    assert keys(requests) == ["BTC/2026-03-04", "ADA/2026-03-04"]
    assert [request.partition_key for request in requests] == ["BTC", "ADA"]
    reason = f"checks failed: {ACCURACY}, {DRIFT}"
    assert requests[0].run_config == {"ops": {"models": {"config": {"reason": reason}}}}


def test_a_failure_is_answered_once(history: History) -> None:
    history.plan("a", FRESH)
    history.evaluate("a", FRESH, "ETH", passed=False)
    assert keys(history.tick()) == ["ETH/2026-03-04"]
    assert history.tick() == []
    assert history.tick() == []


def test_a_pass_or_a_plan_before_the_tick_does_not_hide_a_failure(history: History) -> None:
    history.plan("a", ACCURACY)
    history.evaluate("a", ACCURACY, "BTC", passed=False)
    history.plan("b", ACCURACY)
    history.evaluate("b", ACCURACY, "BTC", passed=True, at=NOON + timedelta(minutes=1))
    history.plan("c", ACCURACY)
    assert keys(history.tick()) == ["BTC/2026-03-04"]


def test_a_tick_in_the_middle_of_a_run_misses_none_of_the_rest(history: History) -> None:
    """Evaluations are numbered when planned: one made later may have a lower number."""
    history.plan("a", ACCURACY, DRIFT, FRESH)
    history.evaluate("a", FRESH, "BTC", passed=False)
    assert keys(history.tick()) == ["BTC/2026-03-04"]
    history.evaluate("a", ACCURACY, "ETH", passed=False, at=NOON + timedelta(milliseconds=5))
    assert keys(history.tick()) == ["ETH/2026-03-04"]


def test_runs_side_by_side_hide_nothing_of_each_other(history: History) -> None:
    """A run planned first and stamped first may store its evaluation last."""
    history.plan("a", DRIFT, symbols=("BTC", "ETH"))
    history.plan("b", DRIFT, symbols=("ADA",))
    history.evaluate("b", DRIFT, "ADA", passed=False, at=NOON + timedelta(seconds=1))
    assert keys(history.tick()) == ["ADA/2026-03-04"]
    history.evaluate("a", DRIFT, "BTC", passed=False, at=NOON)
    assert keys(history.tick()) == ["BTC/2026-03-04"]


def test_the_key_of_a_second_failure_is_new_only_on_another_day(history: History) -> None:
    """Dagster starts no second run of a key: the day in it is the cooldown."""
    keyed = []
    for number, later in enumerate((timedelta(), timedelta(hours=6), timedelta(hours=12))):
        history.plan(str(number), ACCURACY)
        history.evaluate(str(number), ACCURACY, "BTC", passed=False, at=NOON + later)
        keyed += keys(history.tick())
    assert keyed == ["BTC/2026-03-04", "BTC/2026-03-04", "BTC/2026-03-05"]


def test_the_history_is_read_beyond_one_page(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automation, "HISTORY_PAGE", 2)
    history.plan("a", ACCURACY)
    for symbol in SYMBOLS:
        history.evaluate("a", ACCURACY, symbol, passed=False)
    assert [request.partition_key for request in history.tick()] == list(SYMBOLS)


def test_symbols_no_longer_followed_are_left_alone(history: History) -> None:
    key = decision_keys()[ACCURACY]
    evaluation = dg.AssetCheckEvaluation(
        asset_key=key.asset_key, check_name=key.name, passed=False, metadata={}, partition="DOGE"
    )
    history._report("a", DagsterEventType.ASSET_CHECK_EVALUATION, evaluation, NOON)
    assert history.tick() == []


def test_a_failure_that_waits_for_its_cooldown_starts_nothing(history: History) -> None:
    history.plan("a", ACCURACY, FRESH)
    history.evaluate("a", ACCURACY, "BTC", passed=False, retrain=False)
    history.evaluate("a", FRESH, "ETH", passed=False, retrain=True)
    requests = history.tick()
    assert keys(requests) == ["ETH/2026-03-04"]
    assert history.tick() == []


def test_a_lost_cursor_asks_for_the_same_runs_again_which_dagster_starts_once(history: History) -> None:
    """A daemon killed between the launch and the cursor has the cursor of before."""
    history.plan("a", ACCURACY)
    history.evaluate("a", ACCURACY, "BTC", passed=False, at=NOON - timedelta(days=3))
    history.plan("b", ACCURACY)
    history.evaluate("b", ACCURACY, "BTC", passed=False)
    first = keys(history.tick())
    history.cursor = None
    assert keys(history.tick()) == first == ["BTC/2026-03-04"]


@pytest.mark.parametrize(
    ("status", "asked"), [("STARTING", ["ETH"]), ("STARTED", ["ETH"]), ("FAILURE", ["BTC", "ETH"])]
)
def test_a_training_under_way_answers_its_symbols(history: History, status: str, asked: list[str]) -> None:
    run = dg.DagsterRun(
        "train_job",
        "11111111-1111-1111-1111-111111111111",
        status=dg.DagsterRunStatus(status),
        tags={"dagster/partition": "BTC"},
    )
    history.instance.add_run(run)
    history.plan("a", ACCURACY)
    for symbol in ("BTC", "ETH"):
        history.evaluate("a", ACCURACY, symbol, passed=False)
    assert [request.partition_key for request in history.tick()] == asked
