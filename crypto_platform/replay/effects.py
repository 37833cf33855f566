"""What a named fault is: a change of an answer, declared once with its words for people."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from crypto_platform.core.hours import HOUR
from crypto_platform.errors import ConfigurationError

ENDPOINTS: Final = (
    "coinpaprika.tickers",
    "cryptocompare.histohour",
    "coindesk.hours",
    "binance.klines",
    "binance.exchange_info",
    "binance.ping",
    "binance.time",
    "binance_archive.monthly",
    "binance_archive.daily",
    "binance_archive.checksum",
    "coinbase.candles",
    "coinbase.products",
    "coinbase.currencies",
    "kraken.ohlc",
    "kraken.asset_pairs",
    "kraken.assets",
    "fear_greed.fng",
)
ARCHIVE: Final = ("binance_archive.*",)
# A checksum is that of the file with the same faults: a script on all of the archive keeps the two consistent.
CANDLES: Final = (
    "binance.klines",
    "cryptocompare.histohour",
    "coindesk.hours",
    "coinbase.candles",
    "kraken.ohlc",
    *ARCHIVE,
)
MAX_SECONDS: Final = 600.0  # that an answer, or a piece of one, is held back
MAX_SHIFT: Final = 10 * 365 * 86_400.0  # seconds
MAX_FACTOR: Final = 1e6
MAX_HOURS: Final = 100_000
_REQUIRED: Final = object()


@dataclass(frozen=True, slots=True)
class Argument:
    """What stands after the colon of a fault.

    Parameters
    ----------
    words : str
        For people, such as SECONDS.
    read : callable
        From the text; raises ValueError.
    default : object
        Value without the colon; by default the argument must be given.
    """

    words: str
    read: Callable[[str], Any]
    default: Any = _REQUIRED

    @property
    def shown(self) -> str:
        """Its words, in brackets where it may be left out."""
        return self.words if self.default is _REQUIRED else f"[{self.words}]"

    def value(self, text: str | None) -> Any:
        """The argument's value.

        Raises
        ------
        ValueError
            It is absent or wrong.
        """
        if text is not None:
            return self.read(text)
        if self.default is _REQUIRED:
            raise ValueError("it is missing")
        return self.default


@dataclass(frozen=True, slots=True)
class Effect:
    """A named fault.

    Parameters
    ----------
    what : str
        What the answer then is, in one line.
    apply : callable
        (thing, argument, now) to the changed thing; what it is depends on the table that holds the effect.
    endpoints : tuple of str
        Names and shell patterns of the endpoints it makes sense for.
    argument : Argument, optional
        None where it takes none.
    """

    what: str
    apply: Callable[[Any, Any, datetime], Any]
    endpoints: tuple[str, ...] = ("*",)
    argument: Argument | None = None

    def read(self, name: str, text: str | None) -> Any:
        """Its argument's value.

        Raises
        ------
        ConfigurationError
            The argument is wrong, missing, or one too many.
        """
        if self.argument is None:
            if text is not None:
                raise ConfigurationError(f"fault {name!r} takes no argument, not {text!r}")
            return None
        try:
            return self.argument.value(text)
        except (ValueError, OverflowError) as error:
            words = self.argument.words
            raise ConfigurationError(
                f"fault {name}: its argument {text!r} must be {words}, as {name}:{words} ({error})"
            ) from None


@dataclass(frozen=True, slots=True)
class Span:
    """Hours of start ≤ open time < end."""

    start: datetime
    end: datetime


def read_seconds(text: str) -> float:
    """Seconds between 0 and `MAX_SECONDS`."""
    value = float(text)
    if not 0 <= value <= MAX_SECONDS:
        raise ValueError(f"it must lie between 0 and {MAX_SECONDS:.0f}")
    return value


def read_shift(text: str) -> float:
    """Seconds, positive or negative, of 10 years at most."""
    value = float(text)
    if not abs(value) <= MAX_SHIFT:
        raise ValueError("it must be less than 10 years")
    return value


def read_factor(text: str) -> float:
    """A factor of at most a million."""
    value = float(text)
    if not abs(value) <= MAX_FACTOR:
        raise ValueError(f"it must lie between {-MAX_FACTOR:.0f} and {MAX_FACTOR:.0f}")
    return value


def read_count(text: str) -> int:
    """A whole number from 1 to `MAX_HOURS`."""
    if not re.fullmatch(r"\d{1,6}", text) or not 1 <= int(text) <= MAX_HOURS:
        raise ValueError(f"it must be a whole number from 1 to {MAX_HOURS}")
    return int(text)


def read_hours(text: str) -> int | Span:
    """A count of hours, one hour, or a range of them with the end left out.

    Examples
    --------
    >>> read_hours("3")
    3
    >>> read_hours("2026-01-10T05").end.isoformat()
    '2026-01-10T06:00:00+00:00'
    >>> (span := read_hours("2026-01-10T05/2026-01-11T00")).end - span.start
    datetime.timedelta(seconds=68400)
    """
    if text.isascii() and text.isdecimal():
        return read_count(text)
    first, separator, last = text.partition("/")
    start = _hour(first)
    end = _hour(last) if separator else start + HOUR
    if end <= start:
        raise ValueError("its range is empty")
    return Span(start, end)


def _hour(text: str) -> datetime:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d", text):
        raise ValueError(f"{text!r} is no hour such as 2026-01-10T05")
    return datetime.strptime(text, "%Y-%m-%dT%H").replace(tzinfo=UTC)
