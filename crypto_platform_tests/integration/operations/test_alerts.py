"""Alerts on both engines: whatever happens between the ticks and at the targets, each is told once and none is lost."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select

from crypto_platform.core.alerts import REMINDER, Alert, Evaluation, Kind, Message
from crypto_platform.errors import TargetError
from crypto_platform.operations import alerts, events
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import (
    alert_deliveries,
    model_aliases,
    model_versions,
    ohlcv_data,
    predictions,
    retrain_decisions,
    vendor_states,
)
from crypto_platform.tables import alerts as table

NOW = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SYMBOLS = ("BTC", "ETH")


@dataclass(eq=False)
class Inbox:
    """A target that is there, or not."""

    name: str = "webhook"
    dead: bool = False
    warning: str | None = None
    messages: list[Message] = field(default_factory=list)
    attempts: int = 0

    def send(self, message: Message) -> str | None:
        self.attempts += 1
        if self.dead:
            raise TargetError(f"{self.name} is dead")
        self.messages.append(message)
        return self.warning

    @property
    def keys(self) -> list[str]:
        return [alert.key for m in self.messages for section in m.sections for alert in section.alerts]


def failed(number: int, at: datetime = NOW) -> Alert:
    return Alert(f"run_failed/{number}", Kind.RUN, "hourly_job", None, "no", f"/runs/{number}", at)


def check(at: datetime, *failing: str) -> Evaluation:
    return Evaluation(Kind.CHECK, "features:drift", at, dict.fromkeys(failing, "moved"), "/assets/features")


def record(store: Warehouse, *found: Alert | Evaluation, at: datetime = NOW, to: tuple[Inbox, ...] = ()) -> int:
    happened = [one for one in found if isinstance(one, Alert)]
    seen = [one for one in found if isinstance(one, Evaluation)]
    return alerts.record(store, happened, seen, as_of=at, targets=[target.name for target in to])


def deliver(store: Warehouse, *to: Inbox, at: datetime = NOW) -> list[alerts.Delivery]:
    return alerts.deliver(store, to, as_of=at, ui_url="http://ui")


def test_an_event_is_told_once_to_each_target_however_often_it_is_seen(store: Warehouse) -> None:
    one, two = Inbox("email"), Inbox("slack")
    assert record(store, failed(1), failed(1), failed(2), to=(one, two)) == 2
    assert [(d.target, d.count, d.error) for d in deliver(store, one, two)] == [("email", 2, None), ("slack", 2, None)]
    assert record(store, failed(1), failed(2), at=NOW + MINUTE, to=(one, two)) == 0
    assert deliver(store, one, two, at=NOW + MINUTE) == []
    assert one.keys == two.keys == ["run_failed/1", "run_failed/2"]
    assert len(one.messages) == 1


def test_without_targets_alerts_are_kept_and_nobody_is_told_later(store: Warehouse) -> None:
    late = Inbox()
    assert record(store, failed(1)) == 1
    assert deliver(store) == deliver(store, late) == []
    record(store, failed(1), failed(2), at=NOW + MINUTE, to=(late,))
    deliver(store, late, at=NOW + MINUTE)
    assert late.keys == ["run_failed/2"]


def test_a_dead_target_is_tried_less_and_less_and_told_everything_at_last(store: Warehouse) -> None:
    dead, alive = Inbox("slack", dead=True), Inbox("email")
    record(store, failed(0), to=(dead, alive))
    for minute in range(60):
        at = NOW + minute * MINUTE
        record(store, failed(minute, at), at=at, to=(dead, alive))
        deliver(store, dead, alive, at=at)
    assert dead.attempts == 6  # after 0, 1, 3, 7, 15, 31 minutes
    assert len(alive.keys) == 60
    rows = store.read(select(alert_deliveries).where(alert_deliveries.c.target == "slack"))
    assert set(rows["last_error"].dropna()) == {"slack is dead"}
    assert rows["delivered_at"].isna().all()
    dead.dead = False
    [delivery] = deliver(store, dead, at=NOW + 2 * HOUR)
    assert (delivery.count, delivery.error) == (60, None)
    assert dead.messages[0].sections[0].count == 60
    rows = store.read(select(alert_deliveries))
    assert rows["delivered_at"].notna().all()
    assert rows["last_error"].isna().all()


def test_what_a_target_took_with_a_warning_is_not_sent_again(store: Warehouse) -> None:
    inbox = Inbox(warning="refused gone@example.org")
    record(store, failed(1), to=(inbox,))
    told = [deliver(store, inbox, at=NOW + minute * MINUTE) for minute in range(3)]
    assert told == [[alerts.Delivery("webhook", 1, None, "refused gone@example.org")], [], []]
    assert store.read(select(alert_deliveries))["last_error"].tolist() == ["refused gone@example.org"]


def test_a_process_killed_between_attempt_and_note_tells_again(
    store: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox()
    record(store, failed(1), to=(inbox,))
    with monkeypatch.context() as patched:
        patched.setattr(alerts, "send_all", lambda messages: [m for _, m in messages] and exit_now())
        with pytest.raises(SystemExit):
            deliver(store, inbox)
    assert deliver(store, inbox, at=NOW + timedelta(seconds=30)) == []  # as a second process would find it
    deliver(store, inbox, at=NOW + MINUTE)
    assert inbox.keys == ["run_failed/1"]


def exit_now() -> Any:
    raise SystemExit


def test_a_failing_check_is_told_at_its_beginning_after_a_day_and_once_it_has_held(store: Warehouse) -> None:
    inbox = Inbox()
    told = []
    failing = [True] * 30 + [False] + [True] * 3
    for hour, fails in enumerate(failing):
        at = NOW + hour * HOUR
        if record(store, check(at, *(["BTC"] if fails else [])), at=at, to=(inbox,)):
            told.append(hour)
        deliver(store, inbox, at=at)
    assert told == [0, 24, 31]
    assert len(inbox.messages) == 3
    rows = store.read(select(table).order_by(table.c.raised_at))
    assert rows["cleared_at"].isna().tolist() == [False, False, True]


def test_old_alerts_go_and_nothing_else(store: Warehouse) -> None:
    inbox = Inbox()
    record(store, failed(1), to=(inbox,))
    later = NOW + alerts.RETENTION + MINUTE
    record(store, failed(2, later), at=later, to=(inbox,))
    assert store.read(select(table))["key"].tolist() == ["run_failed/2"]
    assert store.read(select(alert_deliveries))["key"].tolist() == ["run_failed/2"]


def vendor(store: Warehouse, failures: int, at: datetime) -> None:
    store.upsert(
        vendor_states,
        warehouse.records(
            [{"vendor": "binance", "calls": 0, "failures": failures, "last_failure": "503", "last_failure_at": at}]
        ),
    )


def test_a_dead_vendor_is_told_once_an_outage_and_its_own_check_adds_nothing(store: Warehouse) -> None:
    raised = []
    for minute, failures in enumerate((4, 5, 6, 7, 0, 1, 5)):
        at = NOW + minute * MINUTE
        vendor(store, failures, at)
        answers = Evaluation(Kind.CHECK, "ohlcv_data:vendors_answer", at, {"binance": "paused"}, "/")
        raised.append(record(store, events.dead_vendors(store, at), *([answers] if failures >= 5 else []), at=at))
    assert raised == [0, 1, 0, 0, 0, 0, 1]
    [first, _] = store.read(select(table).order_by(table.c.raised_at)).to_dict("records")
    assert (first["kind"], first["symbol"]) == ("vendor_dead", "binance")
    assert first["summary"] == "5 calls in a row have failed, the last with: 503"
    assert events.dead_vendors(store, NOW + REMINDER + HOUR).failing == {}  # nobody asks for it any more


def decision(symbol: str, at: datetime, *, yes: bool) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "horizon": 1,
        "decision_time": at,
        "should_retrain": yes,
        "policy": "classic",
        "reasons": ["accuracy 45 %", "drift"] if yes else [],
        "details": {},
    }


def found(store: Warehouse, *, signals: bool = False) -> list[tuple[str, str | None, str]]:
    happened = events.events(store, SYMBOLS, as_of=NOW, horizons=(1,), signals=signals)
    return [(alert.kind, alert.symbol, alert.summary) for alert in happened]


def test_asking_for_training_is_one_alert_while_it_lasts_and_again_once_there_was_no_reason(store: Warehouse) -> None:
    """What the cooldown holds back is neither; others' and older decisions are no news."""
    asks = [True, None, True, True, False, True]  # None: held back
    rows = [decision("ADA", NOW, yes=True), decision("BTC", NOW - 25 * HOUR, yes=True)]
    for number, yes in enumerate(asks):
        made = decision("BTC", NOW + number * HOUR, yes=yes is not False) | {"should_retrain": bool(yes)}
        rows += [made, decision("ETH", NOW + number * HOUR, yes=False)]
    store.upsert(retrain_decisions, warehouse.records(rows))
    told = []
    for number in range(len(asks)):
        at = NOW + number * HOUR
        told += [number] * record(store, *events.decided(store, SYMBOLS, at, (1,)), at=at)
    assert told == [0, 5]
    rows = store.read(select(table))
    assert set(zip(rows["kind"], rows["symbol"], rows["summary"], strict=True)) == {
        ("retrain_decided", "BTC", "accuracy 45 %; drift")
    }


def test_a_champion_that_had_been_champion_is_a_rollback_and_a_new_one_is_none(store: Warehouse) -> None:
    def bundle(name: str) -> dict[str, Any]:
        hashes = dict.fromkeys(("feature_set", "feature_set_hash", "data_hash", "bundle_sha256"), name)
        times = dict.fromkeys(("trained_at", "train_start", "train_end"), NOW - 30 * HOUR)
        return {"version": name, "symbol": "BTC", "horizon": 1, "n_rows": 9, "details": {}} | hashes | times

    def points(at: datetime, before: str | None, to: str) -> dict[str, Any]:
        who = {"symbol": "BTC", "horizon": 1, "alias": "champion", "actor": "gate", "reason": "it lost"}
        return who | {"at": at, "version_from": before, "version_to": to}

    store.upsert(model_versions, warehouse.records([bundle("one"), bundle("two")]))
    moves = [
        points(NOW - 9 * HOUR, None, "one"),
        points(NOW - 3 * HOUR, "one", "two"),
        points(NOW - HOUR, "two", "one"),
    ]
    store.upsert(model_aliases, warehouse.records(moves))
    assert found(store) == [("rolled_back", "BTC", "back from two to one by gate: it lost")]


def test_changes_of_signal_are_events_where_they_are_wanted_and_fresh(store: Warehouse) -> None:
    def forecast(hours: int, signal: str, origin: str = "live") -> dict[str, Any]:
        at = NOW - hours * HOUR
        return {
            "symbol": "BTC", "horizon": 1, "prediction_timestamp": at, "version": "one", "candle_timestamp": at - HOUR,
            "created_at": at, "role": "champion", "origin": origin, "current_price": 1.0, "prob_up": 0.61,
            "signal": signal, "signal_before_costs": signal, "reason": "costs" if signal == "HOLD" else None,
        }  # fmt: skip

    rows = [
        forecast(6, "BUY"),
        forecast(5, "HOLD"),
        forecast(2, "HOLD"),
        forecast(1, "BUY"),
        forecast(0, "SELL", "late"),
    ]
    store.upsert(predictions, warehouse.records(rows))
    assert found(store) == []
    assert found(store, signals=True) == [("signal_changed", "BTC", "HOLD to BUY, probability up 61.0%")]


def test_a_message_about_a_simulated_market_says_so(store: Warehouse, walk: Any) -> None:
    candles = walk("BTC", 3, seed=1).assign(source="simulated:binance", known_at=pd.Timestamp(NOW))
    store.upsert(ohlcv_data, candles)
    inbox = Inbox()
    record(store, failed(1), to=(inbox,))
    deliver(store, inbox)
    assert inbox.messages[0].title.startswith("[SIMULATED] ")
    assert alerts.probe([inbox], as_of=NOW, ui_url="http://ui", label="")[0].error is None
