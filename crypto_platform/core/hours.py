"""The time model: which hour a candle covers, when it is closed, and when its row may be used.

All instants are timezone-aware UTC; a candle is named by the hour it opens and covers `[t, t + 1 h)`.
"""

from datetime import UTC, datetime, timedelta

HOUR = timedelta(hours=1)
SETTLE = timedelta(minutes=2)  # a source may still move the last trade into a candle this long after its end


def floor_hour(moment: datetime) -> datetime:
    """Start of the hour that holds `moment`, in UTC.

    Raises
    ------
    ValueError
        `moment` is naive.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} is naive; every instant carries a time zone")
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def closed_until(now: datetime, settle: timedelta = SETTLE) -> datetime:
    """Exclusive end of the closed candles at `now`: a candle t is closed when now ≥ t + 1 h + settle.

    Examples
    --------
    >>> closed_until(datetime(2026, 1, 1, 10, 1, tzinfo=UTC)).hour
    9
    >>> closed_until(datetime(2026, 1, 1, 10, 2, tzinfo=UTC)).hour
    10
    """
    return floor_hour(now - settle)


def newest_closed(now: datetime, settle: timedelta = SETTLE) -> datetime:
    """Open time of the newest closed candle at `now`."""
    return closed_until(now, settle) - HOUR


def as_of(candle: datetime) -> datetime:
    """The moment from which the row of `candle` may be used: its end."""
    return candle + HOUR
