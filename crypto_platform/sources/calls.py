"""A call to a vendor: behind the gate, in the one retry layer, with an end in time."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Final, TypeVar

from crypto_platform.core.politeness import Limits
from crypto_platform.errors import RefusesAllError, SourceError, SourceUnavailableError
from crypto_platform.sources.gate import Gate
from crypto_platform.sources.transport import BoundedSession, is_this_machine

REFUSED_FOR: Final = 60.0  # seconds in which a refusal of everything is believed: a run asks once, not once a symbol

T = TypeVar("T")


class RetryableError(Exception):
    """An attempt failed in a way that may pass; `retry_after` in seconds where the provider said."""

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client tries.

    Parameters
    ----------
    timeout : float
        Seconds to connect, and between bytes.
    deadline : float
        Seconds one answer may take to its last byte.
    total : float
        Seconds all attempts of a call may take together, waits between them included. Not counted: waiting for
        one's turn, which is our politeness and not the provider's doing.
    attempts : int
        Requests before giving up; 1 = no retry.
    backoff : float
        Seconds before the second attempt; doubles each time, with jitter.
    longest_wait : float
        Cap on a wait between two attempts. A provider that asks for more is not asked again by this call.
    sleep : callable
        For tests.
    """

    timeout: float = 10.0
    deadline: float = 30.0
    total: float = 60.0
    attempts: int = 4
    backoff: float = 0.5
    longest_wait: float = 30.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def pause(self, attempt: int, asked: float | None, left: float) -> float | None:
        """Seconds to wait after a failed attempt (1-based), of which `left` are left; None = give up."""
        # The jitter spreads clients that failed together; nothing secret depends on it.
        jittered = self.backoff * 2 ** (attempt - 1) * (0.5 + random.random())  # noqa: S311
        wait = max(min(jittered, self.longest_wait), asked or 0.0)
        return wait if attempt < self.attempts and wait <= min(self.longest_wait, left) else None


class Caller:
    """Makes the calls of one client.

    Parameters
    ----------
    vendor : str
        Whose limits and health they are about.
    cure : str
        What to check where the vendor does not answer, for messages.
    base_url : str or None
        None = the vendor's own.
    limits : Limits or None
        None = as fast as it goes. A server on this machine is neither spaced nor counted unless they say so.
    gate : Gate or None
        None = one of its own, shared with nobody.
    patience : Patience or None
    """

    def __init__(
        self,
        vendor: str,
        cure: str,
        *,
        base_url: str | None,
        limits: Limits | None,
        gate: Gate | None,
        patience: Patience | None,
    ) -> None:
        self.vendor = vendor
        self.patience = patience or Patience()
        self.limits = limits if limits and (limits.loopback or not is_this_machine(base_url)) else None
        self._cure = cure
        self._gate = gate or Gate()
        self._refused: tuple[float, RefusesAllError] | None = None

    def call(self, ask: Callable[[], T], session: BoundedSession, where: str) -> T:
        """What `ask` gives, asked again while it may help.

        Parameters
        ----------
        ask : callable
            One attempt; raises `RetryableError` or a `SourceError`, calls `wait_turn` before each request.
        session : BoundedSession
            The one it asks through.
        where : str
            Address for messages.

        Raises
        ------
        SourceUnavailableError
            Attempts or time ran out, or the gate let nothing through.
        SourceError
            What `ask` raised. It closes no gate: a vendor that says no is there.
        """
        if self._refused and time.monotonic() < self._refused[0]:
            raise type(self._refused[1])(*self._refused[1].args)
        session.until = time.monotonic() + self.patience.total
        for attempt in count(1):
            probe = self._gate.admit(self.vendor)
            try:
                answer = ask()
            except RetryableError as error:
                left = session.until - time.monotonic()
                wait = None if probe else self.patience.pause(attempt, error.retry_after, left)
                if wait is None:
                    self._gate.failed(self.vendor, str(error), error.retry_after, probe=probe)
                    raise SourceUnavailableError(
                        f"{self.vendor} at {where} did not answer ({error}) in {attempt} attempts; check {self._cure}, "
                        "or try later"
                    ) from error
                self.patience.sleep(wait)
            except SourceUnavailableError:  # the gate's own word
                raise
            except SourceError as error:
                self._gate.succeeded(self.vendor)
                if isinstance(error, RefusesAllError):
                    self._refused = (time.monotonic() + REFUSED_FOR, error)
                raise
            else:
                self._gate.succeeded(self.vendor)
                return answer
        raise AssertionError("unreachable: the last attempt returns or raises")

    def wait_turn(self, session: BoundedSession, cost: float = 1.0) -> None:
        """Wait until a request of this weight may begin."""
        if self.limits:
            session.until += self._gate.wait_turn(self.vendor, self.limits, cost)
