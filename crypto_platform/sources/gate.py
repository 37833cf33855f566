"""The gate that all requests to a vendor pass: its pace, its quota, and a pause when it fails.

Where the states are kept decides who shares them: a thread's neighbors (`LocalStates`), or all processes and machines
of a store (`storage.vendors`).
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Protocol

from crypto_platform.core.politeness import (
    LONGEST_PAUSE,
    LONGEST_QUEUE,
    Health,
    Limits,
    is_worth_a_warning,
    month_after,
    month_of,
)
from crypto_platform.errors import SourceUnavailableError

logger = logging.getLogger(__name__)


class VendorStates(Protocol):
    """What all who ask a vendor share. Each method is atomic."""

    def take_turn(
        self, vendor: str, now: datetime, spacing: timedelta, monthly: int | None
    ) -> tuple[datetime, int] | None:
        """Moment of the next request and the month's count with it; None, and nothing taken, where there is none.

        There is none where the month's `monthly` requests are used up, or the turn lies `LONGEST_QUEUE` ahead.
        """
        ...

    def calls(self, vendor: str, month: str) -> int:
        """Requests of a month."""
        ...

    def health(self, vendor: str) -> Health:
        """How the vendor's last calls went."""
        ...

    def change_health(self, vendor: str, change: Callable[[Health], Health]) -> Health:
        """Replace it by what `change` makes of it; gives what was there before."""
        ...


class Gate:
    """Lets requests through in turn.

    Parameters
    ----------
    states : VendorStates, optional
        This process' own by default.
    clock : callable
        Seconds since 1970. States are shared over machines, so it is the wall's clock.
    sleep : callable

    Notes
    -----
    A call is what a client's caller sees: one or several requests, retries included. Safe to share between threads.
    A store-backed gate writes: nobody may pass it inside a transaction of the store.
    """

    def __init__(
        self,
        states: VendorStates | None = None,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._states = states or LocalStates()
        self._clock = clock
        self._sleep = sleep
        self._failing: set[str] = set()  # vendors whose success must be written

    def admit(self, vendor: str) -> bool:
        """Let a call begin.

        Returns
        -------
        bool
            True where it is the one call that sees if a vendor is back: it should ask once, not again and again.

        Raises
        ------
        SourceUnavailableError
            The vendor is left alone: until when, and why.
        """
        health, now = self._states.health(vendor), self._now()
        if health.failures or health.open_until:
            self._failing.add(vendor)
        if health.open_until is None:
            return False
        if health.open_until <= now:
            before = self._states.change_health(vendor, lambda held: held.probing(now) if _is_due(held, now) else held)
            if _is_due(before, now):
                return True
            health = before
        if health.open_until is None:
            return False
        raise SourceUnavailableError(
            f"{vendor} is left alone until {health.open_until:%H:%M:%S} UTC after {max(1, health.failures)} failed "
            f"calls in a row (the last: {health.last_failure}); check the network and its URL, or wait"
        )

    def wait_turn(self, vendor: str, limits: Limits, cost: float = 1.0) -> float:
        """Wait until the next request may begin, and count it.

        Parameters
        ----------
        cost : float
            How many usual requests it weighs.

        Returns
        -------
        float
            Seconds waited.

        Raises
        ------
        SourceUnavailableError
            The month's quota is used up, or too many others wait.
        """
        now = self._now()
        turn = self._states.take_turn(vendor, now, timedelta(seconds=limits.spacing * cost), limits.monthly)
        if turn is None:
            raise SourceUnavailableError(self._why_not(vendor, limits, now))
        at, calls = turn
        if limits.monthly is not None and is_worth_a_warning(calls, limits.monthly):
            logger.warning("%s: %d of the month's %d calls are used", vendor, calls, limits.monthly)
        seconds = (at - now).total_seconds()
        if seconds > 0:
            self._sleep(seconds)
        return max(0.0, seconds)

    def succeeded(self, vendor: str) -> None:
        """The vendor answered, be it with a refusal. Costs nothing unless it failed before."""
        if vendor in self._failing:
            self._states.change_health(vendor, lambda _: Health())
            self._failing.discard(vendor)

    def failed(self, vendor: str, what: str, retry_after: float | None = None, *, probe: bool = False) -> None:
        """A call failed, its retries included.

        Parameters
        ----------
        what : str
            In short, for the next one who asks; must not hold secrets.
        retry_after : float, optional
            Seconds the vendor asked to be left alone, where that is more than the call waited.
        probe : bool
            What `admit` said of the call.
        """
        now = self._now()
        asked = timedelta(seconds=min(retry_after or 0.0, LONGEST_PAUSE.total_seconds()))
        self._failing.add(vendor)
        self._states.change_health(vendor, lambda held: held.after_failure(what, asked, now, probe=probe))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _why_not(self, vendor: str, limits: Limits, now: datetime) -> str:
        if limits.monthly is not None and self._states.calls(vendor, month_of(now)) >= limits.monthly:
            return (
                f"{vendor}: all {limits.monthly} calls of this month are used; it is asked again from "
                f"{month_after(now):%Y-%m-%d} on, or with a key of a larger plan"
            )
        return (
            f"{vendor}: requests wait for more than {LONGEST_QUEUE.total_seconds():.0f} s; check the clocks of the "
            "machines that share the store, or let fewer processes ask"
        )


def _is_due(health: Health, now: datetime) -> bool:
    return health.open_until is not None and health.open_until <= now


@dataclass(slots=True)
class _Local:
    free_at: datetime | None = None
    month: str = ""
    calls: int = 0
    health: Health = field(default_factory=Health)


class LocalStates:
    """States of one process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: dict[str, _Local] = {}

    def take_turn(
        self, vendor: str, now: datetime, spacing: timedelta, monthly: int | None
    ) -> tuple[datetime, int] | None:
        """See `VendorStates`."""
        month = month_of(now)
        with self._lock:
            state = self._held.setdefault(vendor, _Local())
            at = max(now, state.free_at or now)
            calls = state.calls if state.month == month else 0
            if at > now + LONGEST_QUEUE or (monthly is not None and calls >= monthly):
                return None
            state.free_at, state.month, state.calls = at + spacing, month, calls + 1
            return at, state.calls

    def calls(self, vendor: str, month: str) -> int:
        """See `VendorStates`."""
        with self._lock:
            state = self._held.get(vendor, _Local())
            return state.calls if state.month == month else 0

    def health(self, vendor: str) -> Health:
        """See `VendorStates`."""
        with self._lock:
            return self._held.get(vendor, _Local()).health

    def change_health(self, vendor: str, change: Callable[[Health], Health]) -> Health:
        """See `VendorStates`."""
        with self._lock:
            state = self._held.setdefault(vendor, _Local())
            before, state.health = state.health, change(state.health)
            return before
