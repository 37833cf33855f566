"""What every request keeps to, ccxt's included: no redirect, TLS checked, an end in bytes and in time."""

import time
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3

from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import MalformedResponseError

PROVENANCE_HEADER: Final = "X-Market-Data"
BYTE_CAP: Final = 32 * 1024 * 1024  # the longest honest answer, 2,000 tickers, is under 2 MB
CHUNK: Final = 64 * 1024


class UnreadableError(requests.RequestException):
    """The body is longer than `BYTE_CAP`, or not compressed as its header says."""


class BoundedSession(requests.Session):
    """A session that follows no redirect and reads no body for ever.

    Parameters
    ----------
    deadline : float
        Seconds from the request to the last byte of the body.

    Notes
    -----
    The time-out of `requests` bounds each wait for bytes, not their sum, and a small compressed body can be a huge
    one: the body is read as it arrives, under the deadline, and unpacked under the cap. The headers are bounded by
    the time-out alone. Not safe to share between threads.
    """

    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._deadline = deadline

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: a redirect would carry the request, and a key in it, to another host."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Answer with its whole body at hand.

        Raises
        ------
        requests.RequestException
            `ReadTimeout` past the deadline, `ConnectionError` where the body breaks off, `UnreadableError`.
        """
        started = time.monotonic()
        response = super().send(request, **{**kwargs, "stream": True})
        with response:
            try:
                packed = self._read(response.raw, started)
                unpacked = urllib3.HTTPResponse(BytesIO(packed), headers=response.headers, preload_content=False)
                body = unpacked.read(BYTE_CAP + 1, decode_content=True)
            except urllib3.exceptions.ReadTimeoutError as error:
                raise requests.ReadTimeout("no end of the answer in time") from error
            except urllib3.exceptions.DecodeError as error:
                raise UnreadableError("its body is not compressed as its header says") from error
            except urllib3.exceptions.HTTPError as error:
                raise requests.ConnectionError("Connection broken: the answer has no end") from error
        if len(body) > BYTE_CAP:
            raise UnreadableError(f"its body is longer than {BYTE_CAP} bytes")
        response.raw = BytesIO(body)
        return response

    def _read(self, raw: urllib3.HTTPResponse, started: float) -> bytes:
        packed = bytearray()
        while chunk := raw.read1(CHUNK, decode_content=False):  # read would wait for a whole chunk
            packed += chunk
            if len(packed) > BYTE_CAP:
                raise UnreadableError(f"its body is longer than {BYTE_CAP} bytes")
            if time.monotonic() - started > self._deadline:
                raise requests.ReadTimeout(f"no end of the answer after {self._deadline:g} s")
        return bytes(packed)


def provenance_from(headers: Mapping[str, str]) -> Provenance:
    """What an answer's headers say of its data; LIVE where they say nothing.

    Raises
    ------
    MalformedResponseError
        They say something unknown: such data must not be taken for live.
    """
    said = next((value for name, value in headers.items() if name.lower() == PROVENANCE_HEADER.lower()), None)
    if said is None:
        return Provenance.LIVE
    try:
        return Provenance(said)
    except ValueError as error:
        raise MalformedResponseError(
            f"an answer says {PROVENANCE_HEADER}: {said[:40]!r}; known are {', '.join(Provenance)}"
        ) from error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the provider asks to wait, given in seconds or as a date; None where it does not say."""
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    if value is None:
        return None
    try:
        return urllib3.Retry().parse_retry_after(value)
    except urllib3.exceptions.InvalidHeader:
        return None


def without_credentials(url: str) -> str:
    """A URL as messages may show it.

    Examples
    --------
    >>> without_credentials("https://me:secret@mirror.example:8443/data")
    'https://mirror.example:8443/data'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
