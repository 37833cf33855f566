"""Faults on demand: per endpoint a script that says what each of its next answers suffers.

Text form, for the command line::

    plan     = rule {";" rule}                  binance.klines=503x2,delay:5;coinpaprika.*=429:30
    rule     = endpoint "=" step {"," step}     endpoint: a name of ENDPOINTS, or a shell pattern of several
    step     = fault {"+" fault} [times]        one or more faults of the same answer
    times    = "x" count | "x*"                 default 1; x* is for ever
    fault    = status [":" seconds]             an HTTP status with the vendor's own error body; Retry-After
             | "delay:" seconds                 a late answer
             | name [":" argument]              a name of `catalogue.EFFECTS`, such as truncated or withhold:3
             | "ok"                             nothing: lets an answer pass

A pattern means those of its endpoints that all of the rule's faults make sense for. When its script is used up an
endpoint is healthy again. JSON (at run time) holds a list of steps, each such a text or an object of `Fault`'s fields.
"""

import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Final, Self

import pandas as pd

from crypto_platform.errors import ConfigurationError
from crypto_platform.replay import catalogue
from crypto_platform.replay.damage import Answer
from crypto_platform.replay.effects import ENDPOINTS, MAX_SECONDS

__all__ = ["ENDPOINTS", "Fault", "Faults", "parse_step", "read_script"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What one answer suffers; the fields act together, and none of them is "ok".

    Parameters
    ----------
    status : int, optional
        HTTP status, 200 to 599; from 400 on with the vendor's own error body.
    headers : mapping of str to str
        Added to the answer.
    body : str, optional
        Replaces the answer's body.
    delay : float
        Seconds before the answer, 0 to `effects.MAX_SECONDS`.
    named : tuple of str
        Names of `catalogue.EFFECTS`, each with its argument after a colon where it has one.
    times : int or None
        How many answers suffer it; None is for ever.

    Raises
    ------
    ConfigurationError
        A field lies outside its range, or a name or its argument is wrong.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    delay: float = 0.0
    named: tuple[str, ...] = ()
    times: int | None = 1

    def __post_init__(self) -> None:
        if self.status is not None and not 200 <= self.status <= 599:
            raise ConfigurationError(f"fault status {self.status} must be an HTTP status between 200 and 599")
        if not (math.isfinite(self.delay) and 0 <= self.delay <= MAX_SECONDS):
            raise ConfigurationError(f"fault delay {self.delay} must lie between 0 and {MAX_SECONDS:.0f} seconds")
        for named in self.named:
            catalogue.check(named)
        if self.times is not None and self.times < 1:
            raise ConfigurationError(f"a fault cannot happen {self.times} times; use 1 or more, or x* for ever")

    def on_rows(self, candles: pd.DataFrame, now: datetime) -> pd.DataFrame:
        """The candles as the vendor then has them."""
        changed: pd.DataFrame = catalogue.apply("rows", candles, self.named, now)
        return changed

    def on_csv(self, text: str, now: datetime) -> str:
        """The text of an archive's file before it is packed."""
        changed: str = catalogue.apply("csv", text, self.named, now)
        return changed

    def apply(self, answer: Answer, refusal: Callable[[int], Answer], now: datetime) -> Answer:
        """The answer as it is sent (its delay aside).

        Parameters
        ----------
        answer : Answer
            What the endpoint would say, `on_rows` and `on_csv` included.
        refusal : callable
            The vendor's own answer of an HTTP error status.
        now : datetime
            The server's.
        """
        if self.status is not None:
            answer = replace(answer, status=self.status) if self.status < 400 else refusal(self.status)
        if self.body is not None:
            answer = replace(answer, body=self.body.encode())
        answer = replace(answer, headers={**answer.headers, **self.headers})
        changed: Answer = catalogue.apply("answer", answer, self.named, now)
        return changed


class Faults:
    """The scripts of all endpoints; safe to use from several threads.

    Parameters
    ----------
    scripts : mapping of str to sequence of Fault
        Steps per endpoint, first to last.

    Raises
    ------
    ConfigurationError
        An endpoint that `ENDPOINTS` does not list, or a fault that makes no sense for it.
    """

    def __init__(self, scripts: Mapping[str, Sequence[Fault]] | None = None) -> None:
        self._lock = threading.Lock()
        self._scripts: dict[str, list[Fault]] = {}
        for endpoint, steps in (scripts or {}).items():
            self.set(endpoint, steps)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form (grammar above).

        Raises
        ------
        ConfigurationError
            Naming the rule or step that is wrong.

        Examples
        --------
        >>> faults = Faults.parse("binance.klines=503x2,delay:5")
        >>> [faults.next("binance.klines").status for _ in range(3)]
        [503, 503, None]
        """
        faults = cls()
        for rule in filter(None, (part.strip() for part in text.split(";"))):
            pattern, separator, script = (part.strip() for part in rule.partition("="))
            if not separator or not script:
                raise ConfigurationError(f"fault rule {rule!r} must read ENDPOINT=STEP,STEP…, as binance.klines=503x2")
            steps = [parse_step(step) for step in script.split(",")]
            faults.set(pattern, steps)
        return faults

    def set(self, pattern: str, steps: Iterable[Fault]) -> None:
        """Replace the scripts of the endpoints that a name or shell pattern means, of all or of none.

        Raises
        ------
        ConfigurationError
            There is no such endpoint, or none that all steps make sense for.
        """
        script = list(steps)
        named = {each for step in script for each in step.named}
        endpoints = catalogue.matching(pattern)
        fitting = [name for name in endpoints if all(catalogue.applies(each, name) for each in named)]
        if not fitting:
            raise ConfigurationError(f"the faults {', '.join(sorted(named))} do not all apply to any of {pattern!r}")
        with self._lock:
            for name in fitting:
                self._scripts[name] = list(script)

    def clear(self, pattern: str) -> None:
        """Make an endpoint healthy, or all that a shell pattern means."""
        self.set(pattern, ())

    def next(self, endpoint: str) -> Fault:
        """What the endpoint's next answer suffers; taking it uses it up."""
        with self._lock:
            steps = self._scripts.get(endpoint)
            if not steps:
                return Fault()
            fault = steps[0]
            if fault.times == 1:
                del steps[0]
            elif fault.times is not None:
                steps[0] = replace(fault, times=fault.times - 1)
            return fault

    def pending(self) -> dict[str, tuple[Fault, ...]]:
        """What is still to come, per endpoint that has something."""
        with self._lock:
            return {endpoint: tuple(steps) for endpoint, steps in self._scripts.items() if steps}


def parse_step(text: str) -> Fault:
    """Read one step of the text form.

    Raises
    ------
    ConfigurationError
        Naming the step.

    Examples
    --------
    >>> parse_step("429:30+truncatedx2")
    Fault(status=429, headers={'Retry-After': '30'}, body=None, delay=0.0, named=('truncated',), times=2)
    """
    match = re.fullmatch(r"\s*(?P<faults>.+?)(?:x(?P<times>\d+|\*))?\s*", text)
    if not match:
        raise ConfigurationError(f"fault step {text!r} is empty; write ok for an answer that is to pass")
    times = match["times"] or "1"
    merged: dict[str, Any] = {"times": None if times == "*" else int(times)}
    named: list[str] = []
    for part in match["faults"].split("+"):
        parsed = _parse_fault(part.strip(), text)
        named += parsed.pop("named", ())
        merged |= parsed
    return Fault(**merged, named=tuple(named))


def read_script(document: object) -> list[Fault]:
    """Read the JSON form: a text of steps, or a list of texts and objects.

    Raises
    ------
    ConfigurationError
        Naming what is wrong.
    """
    if isinstance(document, str):
        return [parse_step(step) for step in document.split(",")]
    if not isinstance(document, list):
        raise ConfigurationError(
            f"a fault script is a text such as '503x2,delay:5' or a list of steps, not {document!r}"
        )
    return [parse_step(step) if isinstance(step, str) else _read_object(step) for step in document]


def _parse_fault(part: str, step: str) -> dict[str, Any]:
    name, separator, argument = part.partition(":")
    if name == "ok" and not separator:
        return {}
    if name.isdecimal():
        if separator and not argument.isdecimal():
            raise ConfigurationError(f"fault step {step!r}: Retry-After {argument!r} must be whole seconds, as 429:30")
        return {"status": int(name)} | ({"headers": {"Retry-After": argument}} if separator else {})
    if name == "delay":
        try:
            return {"delay": float(argument)}
        except ValueError:
            raise ConfigurationError(f"fault step {step!r}: delay needs seconds, as delay:5") from None
    return {"named": (part,)}


_JSON_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "status": (int,),
    "headers": (dict,),
    "body": (str,),
    "delay": (int, float),
    "named": (list, tuple),
    "times": (int,),
}


def _read_object(step: object) -> Fault:
    if not isinstance(step, dict) or not set(step) <= {entry.name for entry in fields(Fault)}:
        raise ConfigurationError(f"fault step {step!r} must be an object with fields of {', '.join(_JSON_TYPES)}")
    for name, value in step.items():
        nullable = name in {"status", "body", "times"} and value is None
        if not nullable and (isinstance(value, bool) or not isinstance(value, _JSON_TYPES[name])):
            raise ConfigurationError(f"fault step {step!r}: {name} cannot be {value!r}")
    if not all(isinstance(value, str) for value in step.get("headers", {}).values()):
        raise ConfigurationError(f"fault step {step!r}: each header's value must be text")
    if not all(isinstance(each, str) for each in step.get("named", ())):
        raise ConfigurationError(f"fault step {step!r}: each of named must be text, as withhold:3")
    return Fault(**{**step, "named": tuple(step.get("named", ()))})
