"""CryptoCompare's legacy API and its successor, the CoinDesk Data API: hourly candles of price indices, keyed.

Both page backwards: a page ends at an inclusive upper bound, the next one an hour before its oldest row.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from crypto_platform.core.hours import HOUR
from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import MalformedResponseError, SourceRefusedError
from crypto_platform.sources.base import Fetched
from crypto_platform.sources.http import HttpClient, Patience, RetryableError
from crypto_platform.sources.rows import candles_from, number
from crypto_platform.symbols import Symbol

CRYPTOCOMPARE: Final = "cryptocompare"
COINDESK: Final = "coindesk"
CRYPTOCOMPARE_URL: Final = "https://min-api.cryptocompare.com/data"
COINDESK_URL: Final = "https://data-api.coindesk.com"
QUOTE: Final = "USD"
PAGE: Final = 2000
STEP: Final = int(HOUR.total_seconds())
RATE_LIMIT_TYPE: Final = 99

Parsed = tuple[float, ...]
Page = tuple[list[Parsed], list[Any], list[Any]]


def parse_histohour(payload: Any) -> Page:
    """Rows of a v2/histohour answer: parsed, raw, and those that could not be read."""
    return _parse(payload["Data"]["Data"], ("time", "open", "high", "low", "close", "volumefrom", "volumeto"))


def parse_hours(payload: Any) -> Page:
    """Rows of an index/cc/v1/historical/hours answer: parsed, raw, and those that could not be read."""
    return _parse(payload["Data"], ("TIMESTAMP", "OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "QUOTE_VOLUME"))


def _parse(rows: Sequence[Any], keys: tuple[str, ...]) -> Page:
    parsed: list[Parsed] = []
    raw: list[Any] = []
    malformed: list[Any] = []
    for row in rows:
        try:
            values = tuple(number(row[key]) for key in keys)
            parsed.append((*values, float("nan")))  # neither index counts trades
            raw.append(row)
        except (KeyError, TypeError, ValueError):
            malformed.append(row)
    return parsed, raw, malformed


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
        message = str(payload.get("Message", "")).strip()
        if payload.get("Type") == RATE_LIMIT_TYPE:
            cooldown = payload.get("Cooldown")
            raise RetryableError("rate limit", float(cooldown) if isinstance(cooldown, int | float) else None)
        raise SourceRefusedError(f"{CRYPTOCOMPARE} said: {message}; check the symbol's `market` in the symbols file")
    data = payload.get("Data")
    if payload.get("Response") != "Success" or not isinstance(data, dict) or not isinstance(data.get("Data"), list):
        raise MalformedResponseError(f"{CRYPTOCOMPARE} answered outside its contract: keys {sorted(payload)}")


def check_hours(payload: Any) -> None:
    """Refuse what is no success: `Err` must be empty.

    Raises
    ------
    SourceRefusedError, MalformedResponseError
    """
    if not isinstance(payload, dict):
        raise MalformedResponseError(f"{COINDESK} answered with {type(payload).__name__}, not an object")
    if error := payload.get("Err"):
        message = error.get("message", "") if isinstance(error, dict) else error
        raise SourceRefusedError(f"{COINDESK} said: {message}; check the symbol's `market` in the symbols file")
    if not isinstance(payload.get("Data"), list):
        raise MalformedResponseError(f"{COINDESK} answered outside its contract: keys {sorted(payload)}")


class _IndexCandles:
    """Pages backwards from the newest hour asked for to the oldest, or to the listing."""

    name: str
    _http: HttpClient

    def _pages(
        self,
        symbol: Symbol,
        start: datetime,
        end: datetime,
        ask: Callable[[int, int], tuple[Any, Provenance]],
        parse: Callable[[Any], Page],
    ) -> Fetched:
        parsed: list[Parsed] = []
        raw: list[Any] = []
        malformed: list[Any] = []
        provenance = Provenance.LIVE
        upper, oldest_wanted = int(end.timestamp()) - STEP, int(start.timestamp())
        while upper >= oldest_wanted:
            n_rows = min(PAGE, (upper - oldest_wanted) // STEP + 1)
            payload, provenance = ask(upper, n_rows)
            rows, raw_rows, unreadable = parse(payload)
            malformed += unreadable
            traded = [i for i, row in enumerate(rows) if any(row[1:5])]  # all prices zero: before the listing
            parsed += [rows[i] for i in traded]
            raw += [raw_rows[i] for i in traded]
            oldest = min((rows[i][0] for i in traded), default=None)
            if oldest is None or oldest > upper or len(traded) < len(rows):
                break
            upper = int(oldest) - STEP
        return candles_from(
            parsed,
            raw,
            malformed,
            symbol=symbol.name,
            vendor=self.name,
            provenance=provenance,
            start=start,
            end=end,
        )


class CryptoCompare(_IndexCandles):
    """CCCAGG hours from the legacy `v2/histohour`; needs a key."""

    name = CRYPTOCOMPARE

    def __init__(self, key: str, base_url: str = CRYPTOCOMPARE_URL, patience: Patience | None = None) -> None:
        self._http = HttpClient(
            provider=CRYPTOCOMPARE,
            base_url=base_url,
            url_setting="CRYPTO_PLATFORM_CRYPTOCOMPARE_URL",
            key_setting="CRYPTO_PLATFORM_CRYPTOCOMPARE_API_KEY",
            headers={"Authorization": f"Apikey {key}"},
            patience=patience,
        )

    def fetch_candles(self, symbol: Symbol, start: datetime, end: datetime) -> Fetched:
        """See `sources.base.CandleSource`."""

        def ask(upper: int, n_rows: int) -> tuple[Any, Provenance]:
            # limit = N gives N + 1 rows; a limit of 0 is not documented
            limit = max(1, n_rows - 1)
            params = {"fsym": symbol.market, "tsym": QUOTE, "limit": limit, "toTs": upper}
            return self._http.get_json("/v2/histohour", params, check_histohour)

        return self._pages(symbol, start, end, ask, parse_histohour)


class CoinDesk(_IndexCandles):
    """CADLI hours from the CoinDesk Data API; needs a key."""

    name = COINDESK

    def __init__(self, key: str, base_url: str = COINDESK_URL, patience: Patience | None = None) -> None:
        self._http = HttpClient(
            provider=COINDESK,
            base_url=base_url,
            url_setting="CRYPTO_PLATFORM_COINDESK_URL",
            key_setting="CRYPTO_PLATFORM_COINDESK_API_KEY",
            headers={"Authorization": f"Apikey {key}"},
            patience=patience,
        )

    def fetch_candles(self, symbol: Symbol, start: datetime, end: datetime) -> Fetched:
        """See `sources.base.CandleSource`."""

        def ask(upper: int, n_rows: int) -> tuple[Any, Provenance]:
            params = {
                "market": "cadli",
                "instrument": symbol.pair(QUOTE, "-"),
                "limit": n_rows,
                "to_ts": upper,
                "groups": "OHLC,VOLUME",
            }
            return self._http.get_json("/index/cc/v1/historical/hours", params, check_hours)

        return self._pages(symbol, start, end, ask, parse_hours)
