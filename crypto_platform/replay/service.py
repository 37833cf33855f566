"""One request, what it is answered from, and JSON."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import pandas as pd

from crypto_platform.replay.damage import Answer
from crypto_platform.replay.faults import Fault
from crypto_platform.replay.market import Market
from crypto_platform.replay.wire.unconfirmed import Unconfirmed


@dataclass(frozen=True, slots=True)
class Call:
    """One request, without its transport.

    Parameters
    ----------
    params, headers, path : mapping of str to str
        Query parameters, headers (any case) and parameters of the path.
    now : datetime
        The server's clock, read once for the whole answer.
    fault : Fault
        What this answer suffers; the handler lets it touch the market's rows before they are rendered.
    """

    params: Mapping[str, str]
    headers: Mapping[str, str]
    path: Mapping[str, str]
    now: datetime
    fault: Fault = field(default_factory=Fault)

    def touched(self, candles: pd.DataFrame) -> pd.DataFrame:
        """Candles as the vendor has them."""
        return self.fault.on_rows(candles, self.now)


@dataclass(slots=True)
class UsedWeight:
    """Binance's request weight in the running minute (of real time, as replayed minutes may never end)."""

    monotonic: Callable[[], float] = time.monotonic
    _minute: int = -1
    _used: int = 0

    def add(self, weight: int) -> int:
        """Weight used so far, this call included."""
        minute = int(self.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._used = minute, 0
        self._used += weight
        return self._used


@dataclass(frozen=True, slots=True)
class Service:
    """What the endpoints answer from.

    Parameters
    ----------
    market : Market
        The replayed history.
    keys : frozenset of str
        Keys that CryptoCompare and CoinDesk accept.
    unconfirmed : Unconfirmed
        Choices where the contracts are silent.
    used_weight : UsedWeight
        Counter behind Binance's header.
    """

    market: Market
    keys: frozenset[str]
    unconfirmed: Unconfirmed
    used_weight: UsedWeight = field(default_factory=UsedWeight)


def json_answer(body: object, headers: Mapping[str, str] | None = None, *, status: int = 200) -> Answer:
    """An answer with a JSON body; a body that is a text is HTML or XML."""
    if isinstance(body, str):
        media_type = "application/xml" if body.startswith("<?xml") else "text/html"
        return Answer(status, body.encode(), media_type, headers or {})
    content = json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, content, headers=headers or {})
