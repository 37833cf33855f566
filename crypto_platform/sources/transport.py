"""What every request keeps to, ccxt's included: no redirect, TLS checked, an end in bytes and in time."""

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from ipaddress import ip_address
from typing import Any, Final, NamedTuple
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


class Told(NamedTuple):
    """What the headers of an answer say: whose data it is, and the vendor's own time (None where it is unreadable)."""

    provenance: Provenance
    clock: datetime | None


class BoundedSession(requests.Session):
    """A session that follows no redirect, trusts no unverified server and reads no body for ever.

    Parameters
    ----------
    deadline : float
        Seconds from the request to the last byte of the body.

    Attributes
    ----------
    until : float
        Moment of `time.monotonic` at which the time of a whole call is over, whatever the deadline says.

    Notes
    -----
    The time-out of `requests` bounds each wait for bytes, not their sum, and a small compressed body can be a huge
    one: the body is read as it arrives, under the deadline, and unpacked under the cap. The headers are bounded by
    the time-out alone. Not safe to share between threads.
    """

    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._deadline = deadline
        self.until = math.inf

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
        left = min(self._deadline, self.until - started)
        if left <= 0:
            raise requests.ReadTimeout("no time is left for it")
        bounds = {"stream": True, "timeout": min(kwargs.get("timeout") or left, left)}
        # A certificate that is not checked may be anybody's; whose word it is to trust may be set (REQUESTS_CA_BUNDLE).
        response = super().send(request, **{**kwargs, **bounds, "verify": kwargs.get("verify") or True})
        with response:
            try:
                packed = _read(response.raw, started + left)
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


def _read(raw: urllib3.HTTPResponse, until: float) -> bytes:
    packed = bytearray()
    while chunk := raw.read1(CHUNK, decode_content=False):  # read would wait for a whole chunk
        packed += chunk
        if len(packed) > BYTE_CAP:
            raise UnreadableError(f"its body is longer than {BYTE_CAP} bytes")
        if time.monotonic() > until:
            raise requests.ReadTimeout("no end of the answer in time")
    return bytes(packed)


def told_by(headers: Mapping[str, str]) -> Told:
    """What the headers of an answer say.

    Raises
    ------
    MalformedResponseError
        See `provenance_from`.
    """
    return Told(provenance_from(headers), clock_from(headers))


def clock_from(headers: Mapping[str, str]) -> datetime | None:
    """The vendor's own time when it answered, UTC; None where it does not say or cannot be read."""
    said = _header(headers, "Date")
    try:
        read = parsedate_to_datetime(said) if said else None
        return read.astimezone(UTC) if read and read.tzinfo else None
    except (LookupError, TypeError, ValueError, OverflowError):
        return None


def provenance_from(headers: Mapping[str, str]) -> Provenance:
    """What an answer's headers say of its data; LIVE where they say nothing.

    Raises
    ------
    MalformedResponseError
        They say something unknown: such data must not be taken for live.
    """
    said = _header(headers, PROVENANCE_HEADER)
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
    value = _header(headers, "Retry-After")
    if value is None:
        return None
    try:
        return urllib3.Retry().parse_retry_after(value)
    except urllib3.exceptions.InvalidHeader:
        return None


def _header(headers: Mapping[str, str], name: str) -> str | None:
    """A header in any case; ccxt hands them on as they came."""
    return next((value for given, value in headers.items() if given.lower() == name.lower()), None)


def is_this_machine(url: str | None) -> bool:
    """Whether a URL's host is loopback: a replay, not a vendor.

    Examples
    --------
    >>> [is_this_machine(url) for url in ("http://127.0.0.1:80/x", "https://[::1]/", "https://api.binance.com", None)]
    [True, True, False, False]
    """
    host = urlsplit(url).hostname if url else None
    if host is None or host == "localhost":
        return host is not None
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def without_credentials(url: str) -> str:
    """A URL as messages may show it.

    Examples
    --------
    >>> without_credentials("https://me:secret@mirror.example:8443/data")
    'https://mirror.example:8443/data'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
