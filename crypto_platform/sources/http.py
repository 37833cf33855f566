"""Transport of the requests-based vendors: one retry layer, one deadline, no redirects, keys in headers only."""

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import local
from typing import Any, Final, NoReturn

import requests

from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import MalformedResponseError, SourceRefusedError, SourceUnavailableError

PROVENANCE_HEADER: Final = "X-Market-Data"
BYTE_CAP: Final = 32 * 1024 * 1024  # the longest honest answer, all fear-and-greed days, is under 1 MB
CHUNK: Final = 64 * 1024
REFUSALS: Final[Mapping[int, str]] = {
    400: "it calls the request wrong",
    401: "it asks for a valid API key",
    402: "the plan or its quota does not allow this",
    403: "it refuses the API key",
    404: "it does not know what was asked for",
    451: "it does not serve this place",
}
USER_AGENT: Final = "crypto-platform (+hourly forecasts)"


def provenance_from(headers: Mapping[str, str]) -> Provenance:
    """What an answer's headers say of its data; LIVE where they say nothing."""
    said = next((value for name, value in headers.items() if name.lower() == PROVENANCE_HEADER.lower()), None)
    return Provenance(said) if said else Provenance.LIVE


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client tries.

    Parameters
    ----------
    timeout : float
        Seconds to connect, and between bytes.
    deadline : float
        Seconds one answer may take from first to last byte.
    attempts : int
        Requests before giving up; 1 = no retry.
    backoff : float
        Seconds before the second attempt; doubles each time, with jitter.
    longest_wait : float
        Cap on any wait, a provider's Retry-After included.
    sleep : callable
        For tests.
    """

    timeout: float = 10.0
    deadline: float = 30.0
    attempts: int = 4
    backoff: float = 0.5
    longest_wait: float = 20.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def wait(self, attempt: int, asked: float | None) -> None:
        """Pause after a failed attempt (0-based), at least as long as the provider asked."""
        # The jitter spreads clients that failed together; nothing secret depends on it.
        jittered = self.backoff * 2**attempt * (0.5 + random.random())  # noqa: S311
        self.sleep(min(max(jittered, asked or 0.0), self.longest_wait))


class RetryableError(Exception):
    """An attempt failed in a way that may pass; `retry_after` in seconds where the provider said."""

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class HttpClient:
    """JSON over HTTP from one vendor.

    Parameters
    ----------
    provider : str
        Its name, for messages.
    base_url : str
        Without a trailing slash.
    url_setting : str
        Setting that holds the URL, for messages.
    key_setting : str or None
        Setting that holds the key, for messages.
    headers : mapping
        Sent with each request; keys belong here, never into `params`.
    patience : Patience

    Notes
    -----
    Safe to share between threads: each has a session of its own.
    """

    def __init__(
        self,
        *,
        provider: str,
        base_url: str,
        url_setting: str,
        key_setting: str | None = None,
        headers: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.provider = provider
        self._base_url = base_url.rstrip("/")
        self._url_setting = url_setting
        self._key_setting = key_setting
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **(headers or {})}
        self.patience = patience or Patience()
        self._threads = local()

    def get_json(
        self, path: str, params: Mapping[str, Any] | None = None, check: Callable[[Any], None] | None = None
    ) -> tuple[Any, Provenance]:
        """Answer of one request, retried while it may help.

        Parameters
        ----------
        path : str
            Appended to the base URL.
        params : mapping, optional
            Query; must not hold secrets.
        check : callable, optional
            Sees the payload before it counts as an answer; may raise `RetryableError` or a `SourceError`.

        Raises
        ------
        SourceRefusedError
            The provider said no.
        SourceUnavailableError
            Attempts ran out.
        MalformedResponseError
            Not the JSON it should be.
        """
        for attempt in range(self.patience.attempts):
            try:
                payload, provenance = self._attempt(path, params or {})
                if check:
                    check(payload)
            except RetryableError as error:
                if attempt + 1 == self.patience.attempts:
                    raise SourceUnavailableError(
                        f"{self.provider} did not answer {self._base_url}{path} ({error}) in "
                        f"{self.patience.attempts} attempts; check the network and {self._url_setting}, or try later"
                    ) from error
                self.patience.wait(attempt, error.retry_after)
            else:
                return payload, provenance
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _attempt(self, path: str, params: Mapping[str, Any]) -> tuple[Any, Provenance]:
        if not hasattr(self._threads, "session"):
            self._threads.session = requests.Session()
        started = time.monotonic()
        try:
            with self._threads.session.get(
                self._base_url + path,
                params=params,
                headers=self._headers,
                timeout=self.patience.timeout,
                allow_redirects=False,  # a redirect would carry the key to another host
                stream=True,
            ) as response:
                body = self._read(response, started)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise RetryableError(_plain(error)) from error
        except requests.RequestException as error:
            raise MalformedResponseError(f"{self.provider}: {_plain(error)}; check {self._url_setting}") from error
        self._refuse(response)
        try:
            payload = json.loads(body, parse_constant=_reject_constant)
        except ValueError as error:
            raise MalformedResponseError(
                f"{self.provider} answered {path} with something that is not JSON "
                f"({body[:80].decode('utf-8', 'replace')!r}); if a proxy stands at {self._url_setting}, look there"
            ) from error
        return payload, provenance_from(response.headers)

    def _read(self, response: requests.Response, started: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_content(CHUNK):
            body += chunk
            if len(body) > BYTE_CAP:
                raise MalformedResponseError(
                    f"{self.provider} sent more than {BYTE_CAP} bytes; check {self._url_setting}"
                )
            if time.monotonic() - started > self.patience.deadline:
                raise RetryableError(f"no end of the answer after {self.patience.deadline:g} s")
        return bytes(body)

    def _refuse(self, response: requests.Response) -> None:
        status = response.status_code
        if status == 200:
            return
        if status in REFUSALS:
            cure = (
                f"check {self._key_setting}"
                if status in {401, 402, 403} and self._key_setting
                else "see its documentation"
            )
            raise SourceRefusedError(f"{self.provider} said {status}: {REFUSALS[status]}; {cure}")
        if status == 429 or status >= 500:
            raise RetryableError(f"HTTP {status}", _retry_after(response.headers.get("Retry-After")))
        raise MalformedResponseError(
            f"{self.provider} answered HTTP {status}, which its contract does not have; check {self._url_setting}"
        )


def _plain(error: Exception) -> str:
    """Kind of a transport error: its text may hold a URL with secrets of a proxy."""
    return type(error).__name__


def _retry_after(value: str | None) -> float | None:
    return float(value) if value and value.strip().isdigit() else None


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
