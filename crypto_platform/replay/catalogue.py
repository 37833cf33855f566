"""All faults: their names, and what each of them does."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Final

from crypto_platform.errors import ConfigurationError
from crypto_platform.replay.answers import ANSWERS, CSV
from crypto_platform.replay.damage import DAMAGES
from crypto_platform.replay.effects import CANDLES, ENDPOINTS, Effect
from crypto_platform.replay.rows import ROWS

# In the order in which they act on an answer: its candles, its CSV text, the answer itself.
STAGES: Final[Mapping[str, Mapping[str, Effect]]] = {"rows": ROWS, "csv": CSV, "answer": {**ANSWERS, **DAMAGES}}
EFFECTS: Final[Mapping[str, Effect]] = {name: effect for table in STAGES.values() for name, effect in table.items()}
_RETRY: Final = "[SECONDS]"  # its Retry-After
# statuses with a body of their own; any other from 400 on gets the vendor's body for it, below 400 only the status
_STATUSES: Final = (
    (
        "STATUS",
        _RETRY,
        "*",
        "any HTTP status from 200 on, with Retry-After SECONDS; from 400 on the vendor's own error body",
    ),
    ("401", _RETRY, "cryptocompare.*, coindesk.*", "`Data` and `Err`: an API key is required"),
    ("402", _RETRY, "coinpaprika.*", "the plan, or its monthly quota, does not allow this"),
    ("403", _RETRY, "coinpaprika.*", "wrong API key"),
    ("404", _RETRY, "coinpaprika.*, coinbase.*, binance_archive.*", "id not found; NotFound; NoSuchKey in XML"),
    ("418", _RETRY, "binance.*", "code -1003: banned; Retry-After 120 unless told otherwise"),
    ("429", _RETRY, "*", "the vendor's words for a rate limit; Binance's with Retry-After 30"),
    ("451", _RETRY, "binance.*", "a restricted location"),
    ("503", _RETRY, "*", "and any other from 500 on: the vendor's server, or the gateway before it, fails"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One fault as people read of it.

    Parameters
    ----------
    name, argument, endpoints, what : str
        What stands before and after its colon (in brackets where it may be left out, empty where there is none),
        where it can be used ("candles": see `effects.CANDLES`), what the answer then is.
    """

    name: str
    argument: str
    endpoints: str
    what: str


def catalogue() -> tuple[Entry, ...]:
    """Every fault there is."""
    fixed = (
        Entry("ok", "", "*", "nothing: an answer passes"),
        Entry("delay", "SECONDS", "*", "a late answer"),
        *(Entry(*row) for row in _STATUSES),
    )
    return fixed + tuple(
        Entry(
            name,
            effect.argument.shown if effect.argument else "",
            "candles" if effect.endpoints == CANDLES else ", ".join(effect.endpoints),
            effect.what,
        )
        for name, effect in EFFECTS.items()
    )


def check(named: str) -> None:
    """Refuse a named fault that does not exist, or its argument.

    Raises
    ------
    ConfigurationError
        Naming the nearest known ones.
    """
    name, argument = _parts(named)
    if name not in EFFECTS:
        known = [*EFFECTS, "delay", "ok"]
        near = get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ConfigurationError(
            f"unknown fault {name!r}; {hint}`crypto-platform replay --list-faults` shows them, an HTTP status is one"
        )
    EFFECTS[name].read(name, argument)


def apply(stage: str, thing: Any, named: tuple[str, ...], now: datetime) -> Any:
    """What the named faults of one stage make of a thing, in their order."""
    for each in named:
        name, argument = _parts(each)
        if effect := STAGES[stage].get(name):
            thing = effect.apply(thing, effect.read(name, argument), now)
    return thing


def applies(named: str, endpoint: str) -> bool:
    """Whether a named fault makes sense for an endpoint."""
    return any(fnmatchcase(endpoint, pattern) for pattern in EFFECTS[_parts(named)[0]].endpoints)


def matching(pattern: str) -> tuple[str, ...]:
    """Endpoints that a name or shell pattern means, at least one.

    Raises
    ------
    ConfigurationError
        There is none.
    """
    names = tuple(name for name in ENDPOINTS if fnmatchcase(name, pattern))
    if not names:
        near = get_close_matches(pattern, ENDPOINTS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigurationError(f"unknown endpoint {pattern!r}; {hint}known: {', '.join(ENDPOINTS)}")
    return names


def _parts(named: str) -> tuple[str, str | None]:
    name, separator, argument = named.partition(":")
    return name, argument if separator else None
