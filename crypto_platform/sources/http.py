"""Requests-based vendors: statuses as one family of errors, keys in headers only."""

import json
from collections.abc import Callable, Mapping
from threading import local
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import requests

from crypto_platform.core.politeness import Limits
from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import (
    ConfigurationError,
    KeyRefusedError,
    MalformedResponseError,
    RefusesAllError,
    SourceError,
    SourceRefusedError,
)
from crypto_platform.sources.calls import Caller, Patience, RetryableError
from crypto_platform.sources.gate import Gate
from crypto_platform.sources.transport import (
    BoundedSession,
    Told,
    UnreadableError,
    is_this_machine,
    retry_after,
    told_by,
    without_credentials,
)

QUOTED: Final = 200  # characters of a provider's own words that a message repeats
REFUSALS_OF_ALL: Final[Mapping[int, str]] = {
    401: "it asks for a valid API key",
    402: "the plan or its quota does not allow this",
    403: "it refuses the API key",
    451: "it does not serve this place",
}
REFUSALS: Final[Mapping[int, str]] = {
    400: "it calls the request wrong",
    404: "it does not know what was asked for",
}
USER_AGENT: Final = "crypto-platform (+hourly forecasts)"


class NotFoundError(SourceRefusedError):
    """HTTP 404, with what the provider said of it: `payload` is None where that is no JSON object."""

    def __init__(self, message: str, payload: dict[str, Any] | None, told: Told) -> None:
        super().__init__(message)
        self.payload = payload
        self.told = told


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
    limits, gate, patience
        See `sources.calls.Caller`.

    Raises
    ------
    ConfigurationError
        The key cannot be a header, or would leave this machine unencrypted; the message does not repeat it.

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
        limits: Limits | None = None,
        gate: Gate | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.provider = provider
        self._caller = Caller(
            provider,
            f"the network and {url_setting}",
            base_url=base_url,
            limits=limits,
            gate=gate,
            patience=patience,
        )
        self._base_url = base_url.rstrip("/")
        self._shown_url = without_credentials(self._base_url)
        self._url_setting = url_setting
        self._key_setting = key_setting
        self._key = key.strip() if key is not None else None
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        if self._key is not None:
            if not self._key or not self._key.isascii() or not self._key.isprintable() or " " in self._key:
                raise ConfigurationError(f"{key_setting} is blank or holds characters that no key has: enter it again")
            if urlsplit(self._base_url).scheme != "https" and not is_this_machine(self._base_url):
                raise ConfigurationError(
                    f"{url_setting}={self._shown_url} is not https, so {key_setting} would be sent for all to read: "
                    "give an https address, or no key"
                )
            self._headers["Authorization"] = key_prefix + self._key
        self._threads = local()

    def get_bytes(self, path: str) -> tuple[bytes, Provenance]:
        """A file, under the rules of `get_json`; not looked into."""
        content, told = self.get_json(path, decode=_content)
        return bytes(content), told.provenance

    def get_json(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        check: Callable[[Any], None] | None = None,
        decode: Callable[[str, requests.Response], Any] | None = None,
    ) -> tuple[Any, Told]:
        """Answer of one request, retried while it may help, and what its headers say.

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
            Attempts or time ran out, or the vendor is left alone for now.
        MalformedResponseError
            Not the JSON it should be.
        """

        def ask() -> tuple[Any, Told]:
            try:
                payload, told = self._attempt(path, params or {}, decode or self._json)
                if check:
                    check(payload)
            except SourceError as error:
                if self._key and self._key in str(error):  # some providers repeat a wrong key in their answer
                    error.args = (str(error).replace(self._key, "[key]"),)
                raise
            return payload, told

        return self._caller.call(ask, self._session, self._shown_url + path)

    @property
    def _session(self) -> BoundedSession:
        """The one of this thread."""
        if not hasattr(self._threads, "session"):
            self._threads.session = BoundedSession(self._caller.patience.deadline)
        session: BoundedSession = self._threads.session
        return session

    def _attempt(
        self, path: str, params: Mapping[str, Any], decode: Callable[[str, requests.Response], Any]
    ) -> tuple[Any, Told]:
        self._caller.wait_turn(self._session)
        try:
            response = self._session.get(
                self._base_url + path,
                params=params,
                headers=self._headers,
                timeout=self._caller.patience.timeout,
                auth=_as_it_is if self._key else None,
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            raise RetryableError(type(error).__name__) from error  # its text may hold secrets of a proxy
        except requests.RequestException as error:
            what = str(error) if isinstance(error, UnreadableError) else type(error).__name__
            raise MalformedResponseError(
                f"{self.provider} answered {path} unreadably ({what}); check {self._url_setting}"
            ) from error
        if response.status_code != requests.codes.ok:
            self._refuse(response)
        return decode(path, response), told_by(response.headers)

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
        if status in REFUSALS_OF_ALL:
            raise (KeyRefusedError if self._key else RefusesAllError)(
                f"{self.provider} said {status}: {REFUSALS_OF_ALL[status]}{words}; check "
                f"{self._key_setting or self._url_setting}"
            )
        if status in REFUSALS:
            message = (
                f"{self.provider} said {status}: {REFUSALS[status]}{words}; check its identifiers in the symbols file "
                f"and {self._url_setting}"
            )
            if status == requests.codes.not_found:
                raise NotFoundError(message, payload, told_by(response.headers))
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
