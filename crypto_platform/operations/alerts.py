"""Alerts written down once, and told to each target.

An alert and its deliveries are one transaction, so a kill loses nothing. A message that was taken just before a kill is
sent again: at least once, never not at all; what was noted as delivered is never sent again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import pandas as pd
from sqlalchemy import ColumnElement, Connection, and_, delete, func, null, or_, select, update

from crypto_platform.core.alerts import (
    Alert,
    Episode,
    Evaluation,
    Kind,
    Message,
    Verdict,
    compose,
    is_due,
    judge,
    one_line,
)
from crypto_platform.core.provenance import Provenance
from crypto_platform.operations.events import LOOKBACK
from crypto_platform.operations.provenance import provenance_of_store
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import alert_deliveries, alerts
from crypto_platform.targets.base import Answer, Target, send_all

RETENTION: Final = timedelta(days=90)

_A, _D = alerts.c, alert_deliveries.c


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of sending to a target: how many alerts, why they wait (None: they do not), what else is wrong."""

    target: str
    count: int
    error: str | None
    warning: str | None = None


def record(
    store: Warehouse,
    happened: Sequence[Alert],
    evaluations: Sequence[Evaluation],
    *,
    as_of: datetime,
    targets: Sequence[str],
) -> int:
    """Write down what is new, and to whom it is to be told.

    Parameters
    ----------
    store : Warehouse
    happened : sequence of Alert
        Events; those of a known key are passed over.
    evaluations : sequence of Evaluation
        What was seen of lasting conditions. A check of a vendor that is dead says nothing new of it.
    as_of : datetime
    targets : sequence of str
        Names of the targets that are set. One that is added later is not told what was before.

    Returns
    -------
    int
        New alerts.
    """
    dead = {name for seen in evaluations if seen.kind is Kind.VENDOR for name in seen.failing}
    conditions = [seen if seen.kind is Kind.VENDOR else seen.besides(frozenset(dead)) for seen in evaluations]
    with store.reading() as connection:
        verdict = judge(conditions, _episodes(connection, as_of))
        new = _unknown(connection, [*happened, *verdict.raised], as_of)
        oldest = connection.execute(select(func.min(_A.raised_at))).scalar()
    if new or verdict.cleared or (oldest is not None and oldest < as_of - RETENTION):
        with store.begin() as connection:
            _write(connection, new, verdict, targets)
            _prune(connection, as_of - RETENTION)
    return len(new)


def deliver(store: Warehouse, targets: Sequence[Target], *, as_of: datetime, ui_url: str) -> list[Delivery]:
    """Tell each target, in one message, everything that it was not told; a dead one is tried ever less often.

    Nothing that a target does raises: it is in the result, and in the delivery's row.
    """
    claimed = [(target, _claim(store, target.name, as_of)) for target in targets]
    waiting = [(target, found) for target, found in claimed if found]
    if not waiting:
        return []
    label = label_of(store)
    answers = send_all((target, compose(found, sent_at=as_of, ui_url=ui_url, label=label)) for target, found in waiting)
    for target, _ in waiting:
        _settle(store, target.name, as_of, answers[target.name])
    return [_delivery(target, len(found), answers[target.name]) for target, found in waiting]


def probe(targets: Sequence[Target], *, as_of: datetime, ui_url: str, label: str) -> list[Delivery]:
    """Send each target a test, whatever is waiting for it; nothing is stored."""
    alert = Alert(f"{Kind.TEST}/{as_of.isoformat()}", Kind.TEST, "test", None, "Alerts arrive here.", "/", as_of)
    message: Message = compose([alert], sent_at=as_of, ui_url=ui_url, label=label)
    answers = send_all((target, message) for target in targets)
    return [_delivery(target, 1, answers[target.name]) for target in targets]


def _delivery(target: Target, count: int, answer: Answer) -> Delivery:
    return Delivery(target.name, count, answer.error, answer.warning)


def label_of(store: Warehouse) -> str:
    """What a message says first: that nothing of it is about a live market; empty where it is."""
    held = provenance_of_store(store)
    return held.upper() if held in {Provenance.SIMULATED, Provenance.RECORDED} else ""


def _episodes(connection: Connection, as_of: datetime) -> dict[str, Episode]:
    """Newest alert of each condition that lasts, or that an evaluation of the last day may speak of."""
    recent = as_of - 2 * LOOKBACK
    rows = warehouse.read(
        connection,
        select(_A.subject, _A.raised_at, _A.cleared_at)
        .where(_A.subject.is_not(None), or_(_A.cleared_at.is_(None), _A.cleared_at > recent))
        .order_by(_A.raised_at),
    )
    return {
        row.subject: Episode(
            row.raised_at.to_pydatetime(), None if pd.isna(row.cleared_at) else row.cleared_at.to_pydatetime()
        )
        for row in rows.itertuples()
    }


def _unknown(connection: Connection, found: Sequence[Alert], as_of: datetime) -> list[Alert]:
    """Alerts of which no key is stored, each once."""
    if not found:
        return []
    oldest = min(as_of - LOOKBACK, *(alert.raised_at for alert in found))
    known = set(connection.execute(select(_A.key).where(_A.raised_at >= oldest)).scalars())
    return list({alert.key: alert for alert in found if alert.key not in known}.values())


def _write(connection: Connection, new: Sequence[Alert], verdict: Verdict, targets: Sequence[str]) -> None:
    if new:
        warehouse.insert_missing(connection, alerts, warehouse.records([asdict(alert) for alert in new]))
    rows: list[Mapping[str, Any]] = [
        {"target": target, "key": alert.key, "attempts": 0} for target in targets for alert in new
    ]
    if rows:
        warehouse.insert_missing(connection, alert_deliveries, warehouse.records(rows))
    for subject, at in verdict.cleared:
        connection.execute(
            update(alerts)
            .where(_A.subject == subject, _A.cleared_at.is_(None), _A.raised_at < at)
            .values(cleared_at=at)
        )


def _prune(connection: Connection, before: datetime) -> None:
    old = select(_A.key).where(_A.raised_at < before)
    connection.execute(delete(alert_deliveries).where(_D.key.in_(old)))
    connection.execute(delete(alerts).where(_A.raised_at < before))


def _pending(target: str) -> ColumnElement[bool]:
    return and_(_D.target == target, _D.delivered_at.is_(None))


def _claim(store: Warehouse, target: str, as_of: datetime) -> list[Alert]:
    """What a target is to be told now, counted as an attempt before it is one: of two processes one gets it."""
    with store.reading() as connection:
        tried = connection.execute(
            select(_D.attempts, func.max(_D.attempted_at)).where(_pending(target)).group_by(_D.attempts)
        ).fetchall()
    if not tried:
        return []
    attempts, attempted_at = max(tried, key=lambda row: row[0])
    if not is_due(attempts, attempted_at, as_of):
        return []
    with store.begin() as connection:
        keys: set[str] = set()
        for n in sorted((n for n, _ in tried), reverse=True):  # upwards, a row would be counted twice
            taken = connection.execute(
                update(alert_deliveries)
                .where(_pending(target), _D.attempts == n)
                .values(attempts=n + 1, attempted_at=as_of)
                .returning(_D.key)
            )
            keys.update(taken.scalars())
        rows = connection.execute(
            select(alerts).join(alert_deliveries, _D.key == _A.key).where(_pending(target), _D.attempted_at == as_of)
        ).mappings()
        return [_alert(row) for row in rows if row["key"] in keys]


def _alert(row: Mapping[Any, Any]) -> Alert:
    held = {name: row[name] for name in Alert.__dataclass_fields__}
    return Alert(**held | {"kind": Kind(row["kind"])})


def _settle(store: Warehouse, target: str, as_of: datetime, answer: Answer) -> None:
    """Note what came of an attempt."""
    said = answer.error or answer.warning
    outcome: dict[str, Any] = {"last_error": null() if said is None else one_line(said)}
    if answer.error is None:
        outcome["delivered_at"] = as_of
    with store.begin() as connection:
        connection.execute(update(alert_deliveries).where(_pending(target), _D.attempted_at == as_of).values(**outcome))
