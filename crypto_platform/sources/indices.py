"""CryptoCompare's legacy API and its successor, the CoinDesk Data API: hourly candles of price indices, keyed.

Both page backwards: a page ends at an inclusive upper bound, the next one an hour before its oldest row.
"""

import logging
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from crypto_platform.core.hours import HOUR
from crypto_platform.core.politeness import Limits
from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import KeyRefusedError, MalformedResponseError, SourceRefusedError
from crypto_platform.sources.base import Fetched
from crypto_platform.sources.calls import Patience, RetryableError
from crypto_platform.sources.gate import Gate
from crypto_platform.sources.http import QUOTED, REFUSALS_OF_ALL, HttpClient, NotFoundError
from crypto_platform.sources.rows import Page, Parsed, candles_from, epoch_seconds, number, read_rows
from crypto_platform.sources.transport import Told
from crypto_platform.symbols import Symbol

CRYPTOCOMPARE: Final = "cryptocompare"
COINDESK: Final = "coindesk"
CRYPTOCOMPARE_URL: Final = "https://min-api.cryptocompare.com/data"
COINDESK_URL: Final = "https://data-api.coindesk.com"
QUOTE: Final = "USD"
PAGE: Final = 2000
STEP: Final = int(HOUR.total_seconds())
RATE_LIMIT_TYPE: Final = 99
CRYPTOCOMPARE_KEY: Final = "CRYPTO_PLATFORM_CRYPTOCOMPARE_API_KEY"
COINDESK_KEY: Final = "CRYPTO_PLATFORM_COINDESK_API_KEY"

logger = logging.getLogger(__name__)

Reader = Callable[[Mapping[str, Any]], Parsed]


def _reader(time: str, *values: str) -> Reader:
    """Reader of a row with these keys; neither index counts trades."""

    def read(row: Mapping[str, Any]) -> Parsed:
        return (epoch_seconds(row[time]), *(number(row[key]) for key in values), math.nan)

    return read


_READ_HISTOHOUR: Final = _reader("time", "open", "high", "low", "close", "volumefrom", "volumeto")
_READ_HOURS: Final = _reader("TIMESTAMP", "OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "QUOTE_VOLUME")


def parse_histohour(payload: Any) -> Page:
    """Rows of a v2/histohour answer that passed `check_histohour`."""
    return read_rows(payload["Data"]["Data"], _READ_HISTOHOUR)


def parse_hours(payload: Any) -> Page:
    """Rows of an index/cc/v1/historical/hours answer that passed `check_hours`."""
    return read_rows(payload["Data"], _READ_HOURS)


def check_histohour(payload: Any) -> None:
    """Refuse what is no success: this API reports most errors with HTTP 200.

    Raises
    ------
    RetryableError
        Rate limit, with its `Cooldown`.
    SourceRefusedError
        Unknown market or parameter.
    MalformedResponseError
        Another envelope.
    """
    if not isinstance(payload, dict):
        raise MalformedResponseError(f"{CRYPTOCOMPARE} answered with {type(payload).__name__}, not an object")
    if payload.get("Response") == "Error":
        message = str(payload.get("Message", "")).strip()[:QUOTED]
        if payload.get("Type") == RATE_LIMIT_TYPE:
            raise RetryableError("rate limit", _seconds(payload.get("Cooldown")))
        raise SourceRefusedError(f"{CRYPTOCOMPARE} said: {message}; check the symbol's `market` in the symbols file")
    data = payload.get("Data")
    if payload.get("Response") != "Success" or not isinstance(data, dict) or not isinstance(data.get("Data"), list):
        raise MalformedResponseError(f"{CRYPTOCOMPARE} answered outside its contract: keys {sorted(payload)[:9]}")
    if payload.get("HasWarning"):
        logger.warning("%s warns, with data: %.200s", CRYPTOCOMPARE, payload.get("Message"))


def check_hours(payload: Any) -> None:
    """Refuse what is no success: `Err` must be empty. It mirrors the HTTP status, and may come without it.

    Raises
    ------
    RetryableError
        Rate limit or a fault of theirs.
    SourceRefusedError, MalformedResponseError
    """
    if not isinstance(payload, dict):
        raise MalformedResponseError(f"{COINDESK} answered with {type(payload).__name__}, not an object")
    if error := payload.get("Err"):
        told = error if isinstance(error, dict) else {"message": error}
        status = told.get("http_status_code")
        if told.get("type") == RATE_LIMIT_TYPE or status == 429:
            raise RetryableError("rate limit", _seconds(payload.get("Cooldown")))
        if isinstance(status, int) and status >= 500:
            raise RetryableError(f"HTTP {status}")
        said = f"{COINDESK} said: {str(told.get('message', ''))[:QUOTED]}"
        if isinstance(status, int) and status in REFUSALS_OF_ALL:
            raise KeyRefusedError(f"{said} ({REFUSALS_OF_ALL[status]}); check {COINDESK_KEY}")
        raise SourceRefusedError(f"{said}; check the symbol's `market` in the symbols file")
    if not isinstance(payload.get("Data"), list):
        raise MalformedResponseError(f"{COINDESK} answered outside its contract: keys {sorted(payload)[:9]}")


def _seconds(cooldown: Any) -> float | None:
    """A `Cooldown`, which comes as a number or as text; None where it is neither, or no time to wait."""
    try:
        read = number(cooldown)
    except (TypeError, ValueError, OverflowError):
        return None
    return read if read > 0 else None


def _is_before_listing(error: NotFoundError, upper: int) -> bool:
    """Whether a 404 says that the instrument exists, but only from later than `upper` (epoch seconds) on."""
    try:
        return int((error.payload or {})["Err"]["other_info"]["first"]) > upper
    except (LookupError, TypeError, ValueError):
        return False


class _IndexCandles:
    """Pages backwards from the newest hour asked for to the oldest, or to the listing."""

    name: str
    _http: HttpClient

    def _ask(self, symbol: Symbol, upper: int, n_rows: int) -> tuple[Page, Told]:
        """The `n_rows` hours up to `upper` (epoch seconds, inclusive)."""
        raise NotImplementedError

    def fetch_candles(self, symbol: Symbol, start: datetime, end: datetime) -> Fetched:
        """See `sources.base.CandleSource`. A page of nothing but zero prices lies before the listing."""
        gathered = Page()
        told = Told(Provenance.LIVE, None)
        upper, oldest_wanted = int(end.timestamp()) - STEP, int(start.timestamp())
        while upper >= oldest_wanted:
            n_rows = min(PAGE, (upper - oldest_wanted) // STEP + 1)
            page, told = self._ask(symbol, upper, n_rows)
            listed = [i for i, row in enumerate(page.parsed) if any(row[1:5])]
            if not listed and not page.malformed:
                break
            gathered.add(Page([page.parsed[i] for i in listed], [page.raw[i] for i in listed], page.malformed))
            # Hours are contiguous by contract, so a page without a readable row still ends where it should, and one
            # row of an absurd time does not end the backfill.
            earliest = upper - n_rows * STEP  # CryptoCompare gives one more than it is asked for
            oldest = min((row[0] for row in page.parsed if row[0] >= earliest), default=earliest + STEP)
            if oldest > upper:
                raise MalformedResponseError(
                    f"{self.name} answered {symbol.name} with hours after the one asked for; older ones cannot be read"
                )
            upper = int(oldest) - STEP
        return candles_from(
            gathered,
            symbol=symbol.name,
            vendor=self.name,
            provenance=told.provenance,
            start=start,
            end=end,
            clock=told.clock,
        )


class CryptoCompare(_IndexCandles):
    """CCCAGG hours from the legacy `v2/histohour`; needs a key."""

    name = CRYPTOCOMPARE

    def __init__(
        self,
        key: str,
        base_url: str = CRYPTOCOMPARE_URL,
        patience: Patience | None = None,
        *,
        limits: Limits | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._http = HttpClient(
            provider=CRYPTOCOMPARE,
            base_url=base_url,
            url_setting="CRYPTO_PLATFORM_CRYPTOCOMPARE_URL",
            key_setting=CRYPTOCOMPARE_KEY,
            key=key,
            key_prefix="Apikey ",
            limits=limits,
            gate=gate,
            patience=patience,
        )

    def _ask(self, symbol: Symbol, upper: int, n_rows: int) -> tuple[Page, Told]:
        # limit = N gives N + 1 rows; a limit of 0 is not documented
        params = {"fsym": symbol.market, "tsym": QUOTE, "limit": max(1, n_rows - 1), "toTs": upper}
        payload, told = self._http.get_json("/v2/histohour", params, check_histohour)
        return parse_histohour(payload), told


class CoinDesk(_IndexCandles):
    """CADLI hours from the CoinDesk Data API; needs a key."""

    name = COINDESK

    def __init__(
        self,
        key: str,
        base_url: str = COINDESK_URL,
        patience: Patience | None = None,
        *,
        limits: Limits | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._http = HttpClient(
            provider=COINDESK,
            base_url=base_url,
            url_setting="CRYPTO_PLATFORM_COINDESK_URL",
            key_setting=COINDESK_KEY,
            key=key,
            key_prefix="Apikey ",
            limits=limits,
            gate=gate,
            patience=patience,
        )

    def _ask(self, symbol: Symbol, upper: int, n_rows: int) -> tuple[Page, Told]:
        params = {
            "market": "cadli",
            "instrument": symbol.pair(QUOTE, "-"),
            "limit": n_rows,
            "to_ts": upper,
            "groups": "OHLC,VOLUME",
        }
        try:
            payload, told = self._http.get_json("/index/cc/v1/historical/hours", params, check_hours)
        except NotFoundError as error:
            if _is_before_listing(error, upper):
                return Page(), error.told
            raise
        return parse_hours(payload), told
