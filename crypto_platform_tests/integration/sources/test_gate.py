"""The gate: one pace, one quota and one pause for all threads, processes and machines that share its states."""

import logging
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import sleep, time
from typing import Any

import pytest
from sqlalchemy import select

from crypto_platform.core.politeness import FAILURES, LONGEST_QUEUE, PROBE, Health, Limits
from crypto_platform.defs.resources import Platform
from crypto_platform.errors import SourceRefusedError, SourceUnavailableError
from crypto_platform.settings import load
from crypto_platform.sources.calls import Patience
from crypto_platform.sources.gate import Gate, LocalStates, VendorStates
from crypto_platform.sources.http import HttpClient
from crypto_platform.storage.vendors import StoredStates
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import vendor_states

SPACED = Limits(spacing=2.0)


class Time:
    """A clock that sleeping moves on."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 23, 0, tzinfo=UTC).timestamp()
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


@pytest.fixture(params=["local", "sqlite", "postgresql"])
def states(request, tmp_path) -> Any:
    if request.param == "local":
        yield LocalStates()
        return
    url = (
        f"sqlite:///{tmp_path / 'store.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_database")
    )
    store = Warehouse.open(url)
    yield StoredStates(store)
    store.close()


@pytest.fixture
def now() -> Time:
    return Time()


def gate_of(states: VendorStates, now: Time) -> Gate:
    return Gate(states, clock=now, sleep=now.sleep)


@pytest.fixture
def gate(states, now) -> Gate:
    return gate_of(states, now)


# --- pace


def test_requests_of_all_who_share_it_are_spaced_by_their_weight(states, now):
    first, second = gate_of(states, now), gate_of(states, now)
    waited = [gate.wait_turn("v", SPACED, cost) for gate, cost in ((first, 1), (second, 3), (first, 1))]
    assert (waited, now.slept) == ([0, 2, 6], [2, 6])


def test_who_comes_late_does_not_wait_and_saves_up_nothing(gate, now):
    gate.wait_turn("v", SPACED)
    now.now += 100
    assert [gate.wait_turn("v", SPACED) for _ in range(2)] == [0, 2]


def test_vendors_do_not_wait_for_each_other(gate):
    assert [gate.wait_turn(vendor, SPACED) for vendor in ("a", "b")] == [0, 0]


def test_threads_take_one_turn_each(states, now):
    spacing = timedelta(seconds=0.5)
    at = datetime.fromtimestamp(now(), UTC)
    with ThreadPoolExecutor(8) as pool:
        turns = sorted(pool.map(lambda _: states.take_turn("v", at, spacing, None), range(40)))
    assert turns == [(at + i * spacing, i + 1) for i in range(40)]


def test_a_queue_of_minutes_is_an_error_and_not_a_wait(states, now):
    """As when a machine whose clock is an hour ahead shares the store."""
    ahead = Time()
    ahead.now += LONGEST_QUEUE.total_seconds() + 1
    gate_of(states, ahead).wait_turn("v", SPACED)
    with pytest.raises(SourceUnavailableError, match="clocks"):
        gate_of(states, now).wait_turn("v", SPACED)
    assert now.slept == []


# --- quota


def test_a_months_quota_is_kept_until_the_month_ends(states, now, caplog):
    limits = Limits(spacing=0.0, monthly=10)
    gates = gate_of(states, now), gate_of(states, now)
    with caplog.at_level(logging.WARNING):
        for i in range(10):
            gates[i % 2].wait_turn("v", limits)
    assert [record.args[1] for record in caplog.records] == [9, 10]
    for gate in gates:
        with pytest.raises(SourceUnavailableError, match=r"all 10 calls of this month.*2026-02-01"):
            gate.wait_turn("v", limits)
    assert states.calls("v", "2026-01") == 10
    now.now += 3600
    gates[0].wait_turn("v", limits)
    assert (states.calls("v", "2026-01"), states.calls("v", "2026-02")) == (0, 1)


def test_threads_together_keep_to_the_quota(states, now):
    at = datetime.fromtimestamp(now(), UTC)
    with ThreadPoolExecutor(8) as pool:
        turns = list(pool.map(lambda _: states.take_turn("v", at, timedelta(), 25), range(40)))
    assert sorted(turn[1] for turn in turns if turn) == list(range(1, 26))


# --- circuit


def fail(gate: Gate, times: int = 1, retry_after: float | None = None) -> None:
    for _ in range(times):
        gate.failed("v", "HTTP 503", retry_after, probe=gate.admit("v"))


def is_open(gate: Gate) -> bool:
    try:
        gate.admit("v")
    except SourceUnavailableError:
        return True
    return False


def test_failures_of_all_who_share_it_open_it_for_all(states, now):
    gates = gate_of(states, now), gate_of(states, now)
    for i in range(FAILURES):
        assert not is_open(gates[0])
        fail(gates[i % 2])
    for gate in gates:
        with pytest.raises(SourceUnavailableError, match=r"v is left alone until 23:01:00 UTC after 5 .*HTTP 503"):
            gate.admit("v")
    assert not gates[0].admit("another")


def test_a_success_in_between_begins_the_count_anew(gate):
    for _ in range(3):
        fail(gate, FAILURES - 1)
        assert gate.admit("v") is False
        gate.succeeded("v")
    assert not is_open(gate)


def test_one_probe_is_let_through_and_its_success_closes_it_for_all(states, now):
    first, second = gate_of(states, now), gate_of(states, now)
    fail(first, FAILURES)
    now.now += 61
    assert first.admit("v") is True
    assert is_open(second)
    first.succeeded("v")
    assert second.admit("v") is False
    assert states.health("v") == Health()


def test_of_many_threads_one_is_the_probe(states, now):
    gate = gate_of(states, now)
    fail(gate, FAILURES)
    now.now += 61

    def admitted(_: int) -> bool | None:
        try:
            return gate.admit("v")
        except SourceUnavailableError:
            return None

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(admitted, range(24)))
    assert answers.count(True) == 1
    assert answers.count(None) == 23


def test_no_failure_is_lost_among_threads(states):
    def fail_slowly(held: Health) -> Health:
        sleep(0.002)  # time for another to read what is about to change
        return replace(held, failures=held.failures + 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: states.change_health("v", fail_slowly), range(24)))
    assert states.health("v").failures == 24


def test_a_failed_probe_doubles_the_pause(gate, now):
    fail(gate, FAILURES)
    for pause in (60, 120, 240):
        now.now += pause - 1
        assert is_open(gate)
        now.now += 1
        fail(gate)


def test_a_probe_that_never_answers_is_followed_by_another(gate, now):
    fail(gate, FAILURES)
    now.now += 61
    assert gate.admit("v") is True
    now.now += PROBE.total_seconds()
    assert gate.admit("v") is True


def test_a_success_writes_nothing_where_nothing_failed(store, now):
    gate = gate_of(StoredStates(store), now)
    gate.admit("v")
    gate.succeeded("v")
    assert store.read(select(vendor_states)).empty


def test_the_row_tells_the_operator(store, now):
    gate = gate_of(StoredStates(store), now)
    gate.wait_turn("v", Limits(1.0, monthly=100))
    fail(gate, FAILURES)
    row = store.read(select(vendor_states)).iloc[0]
    assert (row["calls"], row["failures"], row["month"], row["last_failure"]) == (1, 5, "2026-01", "HTTP 503")
    assert row["open_until"] - row["last_failure_at"] == timedelta(minutes=1)


# --- through a client


def client_of(server: Any, gate: Gate, limits: Limits | None = None, attempts: int = 1) -> HttpClient:
    patience = Patience(attempts=attempts, sleep=lambda _: None)
    return HttpClient(
        provider="v", base_url=server.url, url_setting="THE_URL", limits=limits, gate=gate, patience=patience
    )


def test_a_dead_vendor_is_asked_five_times_then_once_a_pause(server, answer, states, now):
    server.script(answer({}, 503))
    client = client_of(server, gate_of(states, now), attempts=3)
    for _ in range(20):
        with pytest.raises(SourceUnavailableError):
            client.get_json("/x")
    assert len(server.asked) == FAILURES * 3
    now.now += 61
    for _ in range(20):
        with pytest.raises(SourceUnavailableError):
            client.get_json("/x")
    assert len(server.asked) == FAILURES * 3 + 1  # the probe asks once
    assert states.health("v").failures == FAILURES + 1


@pytest.mark.parametrize("status", [400, 404])
def test_refusals_are_answers(server, answer, states, now, status):
    gate = gate_of(states, now)
    server.script(answer({"error": "no"}, status))
    fail(gate, FAILURES - 1)
    for _ in range(2 * FAILURES):
        with pytest.raises(SourceRefusedError):
            client_of(server, gate).get_json("/x")
    assert states.health("v") == Health()


def test_a_server_on_this_machine_is_neither_spaced_nor_counted_unless_told(server, answer, gate, states, now):
    server.script(answer({}))
    for limits in (Limits(5.0, monthly=3), Limits(5.0, monthly=3, loopback=True)):
        client = client_of(server, gate, limits)
        for _ in range(3):
            client.get_json("/x")
    assert now.slept == [5, 5]
    assert states.calls("v", "2026-01") == 3
    with pytest.raises(SourceUnavailableError, match="all 3 calls"):
        client.get_json("/x")


# --- processes


def ask(store_url: str, base_url: str, times: int, spacing: float) -> int:
    """How many of so many requests were answered; what a process of its own runs."""
    store = Warehouse.open(store_url)
    client = HttpClient(
        provider="v",
        base_url=base_url,
        url_setting="THE_URL",
        limits=Limits(spacing, loopback=True),
        gate=Gate(StoredStates(store)),
        patience=Patience(attempts=1),
    )
    answered = 0
    try:
        for _ in range(times):
            try:
                client.get_json("/x")
                answered += 1
            except SourceUnavailableError:
                pass
    finally:
        store.close()
    return answered


@pytest.fixture(scope="module")
def processes() -> Any:
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_processes_together_keep_to_the_pace(server, answer, store_url, processes):
    """The i-th arrival is never before i spacings after the start: a law, whatever the machine's load."""
    arrivals: list[float] = []

    def arrived(asked):
        arrivals.append(time())
        return answer({})

    server.answer = arrived
    Warehouse.open(store_url).engine.dispose()  # the schema is there before anybody asks
    started, spacing, times = time(), 0.02, 10
    asking = [processes.submit(ask, store_url, server.url, times, spacing) for _ in range(4)]
    assert [future.result() for future in asking] == [times] * 4
    assert len(arrivals) == 4 * times
    for i, at in enumerate(sorted(arrivals)):
        assert at - started >= i * spacing - 0.001


def test_processes_together_leave_a_dead_vendor_alone(server, answer, store_url, processes):
    """Each process may have one call under way when the fifth fails; none asks afterwards."""
    server.script(answer({}, 503))
    Warehouse.open(store_url).engine.dispose()
    asking = [processes.submit(ask, store_url, server.url, 25, 0.0) for _ in range(4)]
    assert [future.result() for future in asking] == [0] * 4
    assert FAILURES <= len(server.asked) <= FAILURES + 3


def test_the_clients_of_two_processes_of_the_platform_share_the_stores_states(tmp_path):
    """A `Platform` is what a process has: its clients pass one gate, and the gate is the store's."""
    settings = load(home=tmp_path, symbols="BTC")
    platforms = Platform(settings), Platform(settings)
    try:
        clients = [*platforms[0].candle_sources, platforms[0].snapshot_source, platforms[0].sentiment_source]
        callers = [getattr(client, "_http", client)._caller for client in clients]
        assert {id(caller._gate) for caller in callers} == {id(platforms[0].gate)}
        fail(platforms[0].gate, FAILURES)
        assert is_open(platforms[1].gate)
    finally:
        for platform in platforms:
            platform.close()
