"""What a target is, and the time it has."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from crypto_platform.core.alerts import Message
from crypto_platform.errors import TargetError

TIMEOUT: Final = 5.0  # seconds of silence
DEADLINE: Final = 15.0  # seconds for a whole message: Dagster gives a sensor's tick 60


class Target(Protocol):
    """Somebody to be alerted."""

    @property
    def name(self) -> str:
        """`slack`, `email` or `webhook`."""
        ...

    def send(self, message: Message) -> str | None:
        """Hand a message over, in one attempt.

        Returns
        -------
        str or None
            What went wrong although it was taken, and sending it again would not mend: an address that is refused.

        Raises
        ------
        TargetError
            It was not taken. Its text tells no secret: no password, and no path of an address, which may hold a key.
        """
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a message: why it was not taken (None: it was), or what went wrong all the same."""

    error: str | None = None
    warning: str | None = None


def send_all(messages: Iterable[tuple[Target, Message]], deadline: float = DEADLINE) -> dict[str, Answer]:
    """Send each target its message, side by side: a slow one keeps no other waiting.

    Parameters
    ----------
    messages : iterable of (Target, Message)
    deadline : float
        Seconds after which a target counts as dead. Time-outs bound each silence, not their sum: a server that answers
        a byte at a time would hold us for ever.

    Returns
    -------
    dict of str to Answer
        By name of the target.
    """
    until = time.monotonic() + deadline
    answers = {target.name: _begin(target, message) for target, message in messages}
    return {name: _answer(answer, until, deadline) for name, answer in answers.items()}


def _begin(target: Target, message: Message) -> "SimpleQueue[Answer]":
    answer: SimpleQueue[Answer] = SimpleQueue()

    def work() -> None:
        try:
            warning = target.send(message)
        except TargetError as error:
            answer.put(Answer(str(error)))
        except Exception as error:  # noqa: BLE001  # whatever a client library raises, it must not fail a tick
            answer.put(Answer(f"{target.name} failed with {type(error).__name__}"))
        else:
            answer.put(Answer(warning=warning))

    # A daemon: one that hangs must not keep the process from ending.
    threading.Thread(target=work, name=f"alert-{target.name}", daemon=True).start()
    return answer


def _answer(answer: "SimpleQueue[Answer]", until: float, deadline: float) -> Answer:
    try:
        return answer.get(timeout=max(0.0, until - time.monotonic()))
    except Empty:
        return Answer(f"it did not take the message within {deadline:g} s")
