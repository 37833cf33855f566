"""Requests-based vendors: one retry layer, statuses as one family of errors, keys in headers only."""

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import local
from typing import Any, Final, NoReturn

import requests

from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import (
    ConfigurationError,
    MalformedResponseError,
    SourceError,
    SourceRefusedError,
    SourceUnavailableError,
)
from crypto_platform.sources.transport import BoundedSession, provenance_from, retry_after, without_credentials

QUOTED: Final = 200  # characters of a provider's own words that a message repeats
KEY_REFUSALS: Final[Mapping[int, str]] = {
    401: "it asks for a valid API key",
    402: "the plan or its quota does not allow this",
    403: "it refuses the API key",
}
REFUSALS: Final[Mapping[int, str]] = {
    400: "it calls the request wrong",
    404: "it does not know what was asked for",
    451: "it does not serve this place",
}
USER_AGENT: Final = "crypto-platform (+hourly forecasts)"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client tries.

    Parameters
    ----------
    timeout : float
        Seconds to connect, and between bytes.
    deadline : float
        Seconds one answer may take to its last byte.
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
        """Pause after a failed attempt (0-based), at least as long as the provider asked, at most `longest_wait`."""
        # The jitter spreads clients that failed together; nothing secret depends on it.
        jittered = self.backoff * 2**attempt * (0.5 + random.random())  # noqa: S311
        self.sleep(min(max(jittered, asked or 0.0), self.longest_wait))


class RetryableError(Exception):
    """An attempt failed in a way that may pass; `retry_after` in seconds where the provider said."""

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class NotFoundError(SourceRefusedError):
    """HTTP 404, with what the provider said of it: `payload` is None where that is no JSON object."""

    def __init__(self, message: str, payload: dict[str, Any] | None, provenance: Provenance) -> None:
        super().__init__(message)
        self.payload = payload
        self.provenance = provenance


class HttpClient:
    """JSON over HTTP from one vendor.

    Parameters
    ----------
    provider : str
        Its name, for messages.
    base_url : str
        Where its paths begin.
    url_setting : str
        Setting that holds the URL, for messages.
    key_setting : str or None
        Setting that holds the key, for messages.
    key : str or None
        Sent in the header `Authorization`, never in an address.
    key_prefix : str
        What stands before the key there.
    patience : Patience

    Raises
    ------
    ConfigurationError
        The key cannot be a header; the message does not repeat it.

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
        key: str | None = None,
        key_prefix: str = "",
        patience: Patience | None = None,
    ) -> None:
        self.provider = provider
        self._base_url = base_url.rstrip("/")
        self._shown_url = without_credentials(self._base_url)
        self._url_setting = url_setting
        self._key_setting = key_setting
        self._key = key.strip() if key is not None else None
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        if self._key is not None:
            if not self._key or not self._key.isascii() or not self._key.isprintable() or " " in self._key:
                raise ConfigurationError(f"{key_setting} is blank or holds characters that no key has: enter it again")
            self._headers["Authorization"] = key_prefix + self._key
        self.patience = patience or Patience()
        self._threads = local()

    def get_bytes(self, path: str) -> tuple[bytes, Provenance]:
        """A file, under the rules of `get_json`; not looked into."""
        content, provenance = self.get_json(path, decode=_content)
        return bytes(content), provenance

    def get_json(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        check: Callable[[Any], None] | None = None,
        decode: Callable[[str, requests.Response], Any] | None = None,
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
        decode : callable, optional
            Makes the payload of a path and its answer, where that is no JSON.

        Raises
        ------
        SourceRefusedError
            The provider said no; `NotFoundError` where it said 404.
        SourceUnavailableError
            Attempts ran out.
        MalformedResponseError
            Not the JSON it should be.
        """
        for attempt in range(self.patience.attempts):
            try:
                payload, provenance = self._attempt(path, params or {}, decode or self._json)
                if check:
                    check(payload)
            except RetryableError as error:
                if attempt + 1 == self.patience.attempts:
                    raise SourceUnavailableError(
                        f"{self.provider} did not answer {self._shown_url}{path} ({error}) in "
                        f"{self.patience.attempts} attempts; check the network and {self._url_setting}, or try later"
                    ) from error
                self.patience.wait(attempt, error.retry_after)
            except SourceError as error:
                if self._key and self._key in str(error):  # some providers repeat a wrong key in their answer
                    error.args = (str(error).replace(self._key, "[key]"),)
                raise
            else:
                return payload, provenance
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _attempt(
        self, path: str, params: Mapping[str, Any], decode: Callable[[str, requests.Response], Any]
    ) -> tuple[Any, Provenance]:
        if not hasattr(self._threads, "session"):
            self._threads.session = BoundedSession(self.patience.deadline)
        try:
            response = self._threads.session.get(
                self._base_url + path,
                params=params,
                headers=self._headers,
                timeout=self.patience.timeout,
                auth=_as_it_is if self._key else None,
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            raise RetryableError(type(error).__name__) from error  # its text may hold secrets of a proxy
        except requests.RequestException as error:
            raise MalformedResponseError(
                f"{self.provider}: {type(error).__name__} for {self._shown_url}{path}; check {self._url_setting}"
            ) from error
        if response.status_code != requests.codes.ok:
            self._refuse(response)
        return decode(path, response), provenance_from(response.headers)

    def _json(self, path: str, response: requests.Response) -> Any:
        try:
            return json.loads(response.content, parse_constant=_reject_constant)
        except (ValueError, RecursionError) as error:
            raise MalformedResponseError(
                f"{self.provider} answered {path} with something that is not JSON "
                f"({response.content[:80].decode('utf-8', 'replace')!r}); if a proxy stands at {self._url_setting}, "
                "look there"
            ) from error

    def _refuse(self, response: requests.Response) -> NoReturn:
        status = response.status_code
        if status in {408, 425, 429} or status >= 500:
            raise RetryableError(f"HTTP {status}", retry_after(response.headers))
        said, payload = _said(response.content)
        words = f" ({said})" if said else ""
        if status in KEY_REFUSALS:
            raise SourceRefusedError(
                f"{self.provider} said {status}: {KEY_REFUSALS[status]}{words}; check "
                f"{self._key_setting or self._url_setting}"
            )
        if status in REFUSALS:
            message = (
                f"{self.provider} said {status}: {REFUSALS[status]}{words}; check its identifiers in the symbols file "
                f"and {self._url_setting}"
            )
            if status == requests.codes.not_found:
                raise NotFoundError(message, payload, provenance_from(response.headers))
            raise SourceRefusedError(message)
        kind = "with a redirect, which is not followed" if response.is_redirect else "outside its contract"
        raise MalformedResponseError(f"{self.provider} answered {kind} (HTTP {status}); check {self._url_setting}")


def _said(body: bytes) -> tuple[str, dict[str, Any] | None]:
    """The provider's own words for an error, and the object that holds them, where it sent one."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return "", None
    if not isinstance(payload, dict):
        return "", None
    error = payload.get("Err") or payload.get("error") or ""
    return str(error.get("message", "") if isinstance(error, dict) else error)[:QUOTED], payload


def _content(_path: str, response: requests.Response) -> bytes:
    return response.content


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authentication that leaves a request alone; without one, a .netrc file would overwrite our header."""
    return request


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
