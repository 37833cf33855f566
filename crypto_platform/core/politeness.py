"""How a vendor is treated: the pace of requests, a month's quota, and how long one that fails is left alone.

Instants are arguments, aware UTC; nothing here waits or keeps anything.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

FAILURES: Final = 5  # calls in a row that may fail: one blip across a few symbols is no outage
FIRST_PAUSE: Final = timedelta(minutes=1)
# A vendor that is back is noticed within the hour, and a nonsensical Retry-After costs no more than that. One that
# bans for days meets one request an hour: that is not what it banned for.
LONGEST_PAUSE: Final = timedelta(hours=1)
PROBE: Final = timedelta(minutes=2)  # time to answer for the one that asks first; longer than any single request
LONGEST_QUEUE: Final = timedelta(minutes=5)  # beyond, a clock is wrong, or far too many processes ask
WARN_FROM: Final = 0.9  # share of a month's quota


@dataclass(frozen=True, slots=True)
class Limits:
    """What a vendor allows.

    Parameters
    ----------
    spacing : float
        Seconds from one request to the next.
    monthly : int or None
        Requests a calendar month (UTC); None = unlimited.
    loopback : bool
        Whether they hold for a server on this machine, too, which is nobody's service.
    """

    spacing: float
    monthly: int | None = None
    loopback: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """How a vendor's last calls went.

    Parameters
    ----------
    failures : int
        Failed calls in a row. Those that were under way while it was already left alone are not counted.
    open_until : datetime or None
        Left alone until then; None = asked as usual.
    last_failure : str or None
    last_failure_at : datetime or None
    """

    failures: int = 0
    open_until: datetime | None = None
    last_failure: str | None = None
    last_failure_at: datetime | None = None

    def after_failure(self, what: str, asked: timedelta | None, now: datetime, *, probe: bool) -> "Health":
        """The same after one more failed call.

        Parameters
        ----------
        what : str
            What went wrong.
        asked : timedelta or None
            Time the vendor asked to be left alone: kept at once, without waiting for more failures.
        probe : bool
            Whether the call was the one let through to see if the vendor is back.
        """
        counts = probe or self.open_until is None
        failures = self.failures + counts
        until = now + pause(failures if counts else 0, asked)
        if not probe:
            until = max(until, self.open_until or until)
        return Health(failures, until if until > now else None, what, now)

    def probing(self, now: datetime) -> "Health":
        """The same while one call sees if the vendor is back; the others wait for what it finds."""
        return replace(self, open_until=now + PROBE)


def pause(failures: int, asked: timedelta | None) -> timedelta:
    """How long a vendor is left alone: doubling from the fifth failure on, or as long as it asked if that is longer.

    Examples
    --------
    >>> [pause(n, None).total_seconds() for n in (4, 5, 6, 7, 50)]
    [0.0, 60.0, 120.0, 240.0, 3600.0]
    >>> pause(1, timedelta(minutes=7)).total_seconds()
    420.0
    """
    own = FIRST_PAUSE * 2 ** min(failures - FAILURES, 10) if failures >= FAILURES else timedelta()
    return min(max(own, asked or timedelta()), LONGEST_PAUSE)


def month_of(now: datetime) -> str:
    """Month that a request counts for.

    Examples
    --------
    >>> from datetime import UTC
    >>> month_of(datetime(2026, 1, 31, 23, 59, tzinfo=UTC))
    '2026-01'
    """
    return f"{now:%Y-%m}"


def month_after(now: datetime) -> datetime:
    """Begin of the next month: a used-up quota is full again.

    Examples
    --------
    >>> from datetime import UTC
    >>> month_after(datetime(2026, 12, 31, 23, 59, tzinfo=UTC)).isoformat()
    '2027-01-01T00:00:00+00:00'
    """
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=31)).replace(day=1)


def is_worth_a_warning(calls: int, monthly: int) -> bool:
    """Whether a month's nth request is one to warn at: at 90 % of the quota, and at each percent from there on.

    Examples
    --------
    >>> [n for n in range(1, 1001) if is_worth_a_warning(n, 1000)]
    [900, 910, 920, 930, 940, 950, 960, 970, 980, 990, 1000]
    """
    beyond = calls - round(WARN_FROM * monthly)
    return beyond >= 0 and beyond % max(1, monthly // 100) == 0
