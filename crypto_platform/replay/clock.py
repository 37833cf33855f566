"""The replay server's own time: it starts where it is told and runs as fast as it is told."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from crypto_platform.errors import ConfigurationError


class ReplayClock:
    """A clock that starts at a chosen instant: now = start + speed × time elapsed since it was made.

    Parameters
    ----------
    start : datetime
        First reading; timezone-aware.
    speed : float
        Replayed seconds per real second, finite and ≥ 0; 0 keeps the clock at `start`.
    monotonic : callable
        Seconds of a clock that never goes back.

    Raises
    ------
    ConfigurationError
        `start` is naive, or `speed` is negative or not finite.

    Examples
    --------
    >>> readings = iter([100.0, 160.0])
    >>> clock = ReplayClock(datetime(2026, 1, 1, tzinfo=UTC), speed=60, monotonic=lambda: next(readings))
    >>> clock.now().isoformat()
    '2026-01-01T01:00:00+00:00'
    """

    def __init__(self, start: datetime, speed: float = 1.0, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        if not (math.isfinite(speed) and speed >= 0):
            raise ConfigurationError(f"replay clock: speed {speed} must be a finite number ≥ 0 (0 stops the clock)")
        self.speed = speed
        self._monotonic = monotonic
        self.set(start)

    def set(self, moment: datetime) -> None:
        """Go on from another instant; one before the present is as good.

        Raises
        ------
        ConfigurationError
            It is naive.
        """
        if moment.tzinfo is None:
            raise ConfigurationError(f"replay clock: start {moment.isoformat()} has no time zone; add one, such as Z")
        self.start = moment.astimezone(UTC)
        self._origin = self._monotonic()

    def now(self) -> datetime:
        """Current instant in UTC."""
        return self.start + timedelta(seconds=self.speed * (self._monotonic() - self._origin))
