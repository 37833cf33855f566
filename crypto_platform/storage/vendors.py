"""The states of the vendors in the store, so that every process and machine keeps to one pace, quota and pause."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Connection, Interval, case, literal, null, or_, select, type_coerce, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from crypto_platform.core.politeness import LONGEST_QUEUE, Health, month_of
from crypto_platform.errors import StoreError
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import vendor_states
from crypto_platform.tables.columns import MICROSECOND, UTCDateTime

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_T = vendor_states.c


class StoredStates:
    """What `sources.gate.VendorStates` asks for, kept in `vendor_states`.

    Parameters
    ----------
    store : Warehouse

    Notes
    -----
    Every method is one short transaction of its own. On SQLite it waits for the store's one writer: a caller that
    holds a write transaction would wait for itself.
    """

    def __init__(self, store: Warehouse) -> None:
        self._store = store

    def take_turn(
        self, vendor: str, now: datetime, spacing: timedelta, monthly: int | None
    ) -> tuple[datetime, int] | None:
        """Moment of the next request and the month's count with it; None where there is none."""
        month = month_of(now)
        insert = _INSERT[self._store.dialect](vendor_states).values(
            vendor=vendor, free_at=now + spacing, month=month, calls=1, failures=0
        )
        may = [or_(_T.free_at.is_(None), _T.free_at <= now + LONGEST_QUEUE)]
        if monthly is not None:
            may.append(or_(_T.month.is_distinct_from(month), _T.calls < monthly))
        statement = insert.on_conflict_do_update(
            index_elements=[_T.vendor],
            set_={
                "free_at": case((_T.free_at > now, self._later(spacing)), else_=literal(now + spacing, UTCDateTime)),
                "month": month,
                "calls": case((_T.month == month, _T.calls + 1), else_=1),
            },
            where=may[0] if len(may) == 1 else may[0] & may[1],
        ).returning(_T.free_at, _T.calls)
        with self._writing() as connection:
            row = connection.execute(statement).first()
        return None if row is None else (row.free_at - spacing, row.calls)

    def calls(self, vendor: str, month: str) -> int:
        """Requests of a month."""
        with self._store.reading() as connection:
            row = connection.execute(select(_T.month, _T.calls).where(_T.vendor == vendor)).first()
        return int(row.calls) if row is not None and row.month == month else 0

    def health(self, vendor: str) -> Health:
        """How the vendor's last calls went; a read that never waits for a writer."""
        with self._store.reading() as connection:
            return _health(connection, vendor)

    def change_health(self, vendor: str, change: Callable[[Health], Health]) -> Health:
        """Replace it by what `change` makes of it; gives what was there before."""
        insert = _INSERT[self._store.dialect](vendor_states).values(vendor=vendor, calls=0, failures=0)
        with self._writing() as connection:
            connection.execute(insert.on_conflict_do_nothing())  # so that there is a row to lock
            before = _health(connection, vendor, lock=True)
            after = change(before)
            connection.execute(
                update(vendor_states)
                .where(_T.vendor == vendor)
                .values(
                    failures=after.failures,
                    open_until=after.open_until or null(),
                    last_failure=after.last_failure or null(),
                    last_failure_at=after.last_failure_at or null(),
                )
            )
        return before

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._store.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise StoreError(
                f"the state of a vendor could not be written ({str(error.orig).splitlines()[0]}); try again when the "
                "store's other writers are done"
            ) from error

    def _later(self, spacing: timedelta) -> Any:
        """`free_at` + spacing, in the engine's own arithmetic of instants."""
        if self._store.dialect == "sqlite":
            return type_coerce(type_coerce(_T.free_at, BigInteger) + spacing // MICROSECOND, UTCDateTime)
        return type_coerce(_T.free_at + literal(spacing, Interval), UTCDateTime)


def _health(connection: Connection, vendor: str, *, lock: bool = False) -> Health:
    columns = (_T.failures, _T.open_until, _T.last_failure, _T.last_failure_at)
    statement = select(*columns).where(_T.vendor == vendor)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    return Health(*row) if row is not None else Health()
