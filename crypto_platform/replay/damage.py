"""Answers and the table of what can be done to them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final


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
    """

    status: int
    body: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    announced: int | None = None


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


DAMAGES: Final[Mapping[str, Callable[[Answer], Answer]]] = {
    "truncated": _truncated,  # half of the JSON, complete as HTTP
    "cut": _cut,  # half of the bytes that Content-Length announced, then the connection closes
    "html": _html,  # a proxy's page with status 502
    "empty": lambda answer: replace(answer, body=b""),
    "nan": _nan,
}
