"""Answers, and what can happen to any vendor's on its way."""

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Final, Literal

from crypto_platform.replay.effects import Argument, Effect, read_seconds, read_shift

OVER_THE_CAP: Final = 33 * 1024 * 1024  # bytes; clients read 32 MiB at most
ELSEWHERE: Final = "http://replay.invalid/"  # a name that never resolves (RFC 6761)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer before it is sent.

    Parameters
    ----------
    status : int
        HTTP status.
    body : bytes
        What is sent of the body.
    media_type : str
        Content type.
    headers : mapping of str to str
        Beside the content type.
    announced : int or None
        Content-Length where it is not the body's: the connection closes before all of it came.
    reset : {"before", "within"} or None
        Whether the connection is reset: before any byte of the answer, or after `body`.
    pace : float
        Seconds between the pieces of the body; 0 sends it as one.
    """

    status: int
    body: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    announced: int | None = None
    reset: Literal["before", "within"] | None = None
    pace: float = 0.0


def _truncated(answer: Answer) -> Answer:
    return replace(answer, body=answer.body[: len(answer.body) // 2])


def _cut(answer: Answer) -> Answer:
    return replace(_truncated(answer), announced=len(answer.body))


def _html(answer: Answer) -> Answer:
    page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
    return replace(answer, status=502, body=page, media_type="text/html")


def _nan(answer: Answer) -> Answer:
    """The first decimal number, or else the first number at all, becomes a NaN literal, quoted or not."""
    for number in (rb'"?-?\d+\.\d+"?', rb'"?\b\d+\b"?'):
        body, hits = re.subn(number, b"NaN", answer.body, count=1)
        if hits:
            return replace(answer, body=body)
    return answer


def _bomb(answer: Answer) -> Answer:
    body = gzip.compress(answer.body + b" " * OVER_THE_CAP, compresslevel=1, mtime=0)
    return replace(answer, body=body, headers={**answer.headers, "Content-Encoding": "gzip"})


def _redirect(answer: Answer) -> Answer:
    return replace(answer, status=302, body=b"", headers={**answer.headers, "Location": ELSEWHERE})


def _clock(answer: Answer, seconds: float, now: datetime) -> Answer:
    date = format_datetime(now + timedelta(seconds=seconds), usegmt=True)
    return replace(answer, headers={**answer.headers, "Date": date})


DAMAGES: Final[Mapping[str, Effect]] = {
    "truncated": Effect("half of the body, complete as HTTP", lambda answer, _, __: _truncated(answer)),
    "cut": Effect(
        "half of the bytes that Content-Length announced, then the connection closes",
        lambda answer, _, __: _cut(answer),
    ),
    "reset": Effect(
        "the connection reset before a byte of the answer", lambda answer, _, __: replace(answer, reset="before")
    ),
    "reset_body": Effect(
        "the connection reset after half of the body",
        lambda answer, _, __: replace(_cut(answer), reset="within"),
    ),
    "drip": Effect(
        "the body in ten pieces, SECONDS between them",
        lambda answer, seconds, _: replace(answer, pace=seconds),
        argument=Argument("SECONDS", read_seconds),
    ),
    "html": Effect("a proxy's page with status 502", lambda answer, _, __: _html(answer)),
    "empty": Effect("an empty body", lambda answer, _, __: replace(answer, body=b"")),
    "nan": Effect(
        "the literal NaN for its first decimal number, or else its first number", lambda answer, _, __: _nan(answer)
    ),
    "redirect": Effect("302 to another host, http://replay.invalid/", lambda answer, _, __: _redirect(answer)),
    "bomb": Effect("a small gzip body that unpacks to 33 MiB and more", lambda answer, _, __: _bomb(answer)),
    "oversized": Effect(
        "a body of 33 MiB and more", lambda answer, _, __: replace(answer, body=answer.body + b" " * OVER_THE_CAP)
    ),
    "clock": Effect(
        "a Date header SECONDS after the server's now (before it where negative)",
        _clock,
        argument=Argument("SECONDS", read_shift),
    ),
}
