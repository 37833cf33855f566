"""What runs left in Dagster's event log since somebody last looked: failed evaluations of the decision checks.

The one place that reads the check history, which is no public API of Dagster.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from crypto_platform.defs.checks import RETRAIN, decision_keys

HISTORY_PAGE: Final = 1000
REREAD_SECONDS: Final = 60.0
LONGEST_RUN_SECONDS: Final = 86_400.0  # between the planning of an evaluation and its result


@dataclass(frozen=True, slots=True)
class Seen:
    """How far a history was read: by time, since the numbers of evaluations are given when their run is *planned*.

    Runs side by side may store evaluations in another order than they were stamped; so the last minute is read again,
    and the numbers already seen of it are kept.
    """

    until: float = 0.0  # POSIX seconds: all that is older by `REREAD_SECONDS` was seen
    numbers: frozenset[int] = frozenset()

    @classmethod
    def from_json(cls, text: str | None) -> "Seen":
        """A sensor's cursor; nothing seen without one."""
        held = json.loads(text) if text else {}
        return cls(held.get("until", 0.0), frozenset(held.get("numbers", ())))

    def to_json(self) -> str:
        """A sensor's cursor."""
        return json.dumps({"until": self.until, "numbers": sorted(self.numbers)})


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed evaluation that asks for training: its number, POSIX time, symbol, and the check's name."""

    number: int
    at: float
    symbol: str
    check: str


def failed_since(instance: dg.DagsterInstance, seen: Seen, oldest: datetime) -> list[Failure]:
    """Failed evaluations of the decision checks that were not seen; what is older than `oldest` only with a cursor."""
    after = (seen.until or oldest.timestamp()) - REREAD_SECONDS
    return [
        failure
        for name, key in decision_keys().items()
        for failure in _failed_evaluations(instance, name, key, after)
        if failure.number not in seen.numbers
    ]


def advanced(seen: Seen, found: Iterable[Failure], waiting: Iterable[Failure], oldest: datetime) -> Seen:
    """The cursor once `found` was read, so that what is `waiting` of it is found again."""
    found, held_back = list(found), {failure.number for failure in waiting}
    stamps = dict.fromkeys(seen.numbers, seen.until) | {f.number: f.at for f in found if f.number not in held_back}
    newest = max([seen.until, oldest.timestamp(), *stamps.values()])
    until = min([newest, *(f.at for f in found if f.number in held_back)])
    return Seen(until, frozenset(number for number, stamp in stamps.items() if stamp > until - REREAD_SECONDS))


def _failed_evaluations(
    instance: dg.DagsterInstance, name: str, key: dg.AssetCheckKey, after: float
) -> Iterator[Failure]:
    """Failed evaluations of a check made later than `after` that ask for training.

    The history is read, not the latest: a newly planned evaluation would hide a failure, and a pass that follows it
    would too. It comes newest planned first.
    """
    cursor: int | None = None
    while True:
        page = instance.event_log_storage.get_asset_check_execution_history(
            key, limit=HISTORY_PAGE, cursor=cursor, status={AssetCheckExecutionRecordStatus.FAILED}
        )
        for record in page:
            if record.partition and record.event and record.event.timestamp > after and _asks(record.event):
                yield Failure(record.id, record.event.timestamp, str(record.partition), name)
        if len(page) < HISTORY_PAGE or page[-1].create_timestamp < after - LONGEST_RUN_SECONDS:
            return
        cursor = page[-1].id


def _asks(event: dg.EventLogEntry) -> bool:
    """Whether a failed evaluation asks for training; one that does not say so does."""
    assert event.dagster_event is not None
    said = event.dagster_event.asset_check_evaluation_data.metadata.get(RETRAIN)
    return said is None or bool(said.value)
