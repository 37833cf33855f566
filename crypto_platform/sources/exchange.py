"""Exchanges through ccxt: keyless hourly candles. An hour of an outage has no candle there.

ccxt is imported when a client is built: it takes a third of a second, for one exchange as for all.
"""

import math
import time
from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_address
from threading import Lock, local
from typing import Any, Final
from urllib.parse import urlsplit

from crypto_platform.core.hours import HOUR
from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import (
    ConfigurationError,
    MalformedResponseError,
    SourceError,
    SourceRefusedError,
    SourceUnavailableError,
)
from crypto_platform.sources.base import Fetched
from crypto_platform.sources.http import QUOTED, Patience
from crypto_platform.sources.rows import Page, Parsed, candles_from, epoch_seconds, number, read_rows
from crypto_platform.sources.transport import (
    BoundedSession,
    UnreadableError,
    provenance_from,
    retry_after,
    without_credentials,
)
from crypto_platform.symbols import Symbol

BINANCE: Final = "binance"
BINANCE_URL: Final = "https://api.binance.com"
BINANCE_PAGE: Final = 1000
SMALL_PAGE: Final = 100  # hours taken for a page where ccxt does not know how many an exchange gives
QUOTES: Final = {"binance": "USDT", "coinbase": "USD", "kraken": "USD"}  # any other exchange: USDT
CCXT_IDS: Final = {"coinbase": "coinbaseexchange"}  # where ours differs: the keyless API of Coinbase Exchange
DEFAULT_QUOTE: Final = "USDT"
STEP_MS: Final = int(HOUR.total_seconds() * 1000)
GARBAGE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)  # ccxt's, on answers it trusts


def parse_klines(rows: Any) -> Page:
    """Rows of Binance's klines. A missing quote volume is an empty text there, and NaN here."""

    def read(row: Any) -> Parsed:
        opened_ms, o, h, low, c, base, _closed_ms, quote, trades, *_ = row
        return (epoch_seconds(opened_ms, 1000), *map(number, (o, h, low, c, base, quote, trades)))

    return read_rows(rows, read)


def parse_unified(rows: Any) -> Page:
    """Rows of ccxt's `fetch_ohlcv`, which have neither quote volume nor trades."""

    def read(row: Any) -> Parsed:
        opened_ms, *values = row[:6]
        o, h, low, c, base = map(number, values)
        return (epoch_seconds(opened_ms, 1000), o, h, low, c, base, math.nan, math.nan)

    return read_rows(rows, read)


class _Throttle:
    """Spaces the requests of all threads as the exchange asks; stands in for ccxt's own, which knows one thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._free_at = 0.0

    def wait(self, seconds: float) -> None:
        """Take the next slot, `seconds` long."""
        with self._lock:
            now = time.monotonic()
            at = max(now, self._free_at)
            self._free_at = at + seconds
        if at > now:
            time.sleep(at - now)


class ExchangeCandles:
    """Hourly candles of one exchange.

    Parameters
    ----------
    name : str
        Our name of the source: an exchange of ccxt.
    base_url : str or None
        Stands in for the exchange's own host.
    url_setting : str
        Setting that holds it, for messages.
    patience : Patience

    Raises
    ------
    ConfigurationError
        ccxt has no such exchange, or none that gives hourly candles.

    Notes
    -----
    Safe to share between threads: each has a ccxt client of its own, and they share one throttle at the exchange's
    own pace and one list of markets. A server on this machine (a replay) is not throttled.
    """

    def __init__(
        self, name: str, base_url: str | None = None, url_setting: str = "", patience: Patience | None = None
    ) -> None:
        import ccxt  # noqa: PLC0415

        self.name = name
        self._ccxt = ccxt
        self._id = CCXT_IDS.get(name, name)
        if self._id not in ccxt.exchanges or not getattr(ccxt, self._id)().has.get("fetchOHLCV"):
            raise ConfigurationError(
                f"CRYPTO_PLATFORM_OHLCV_SOURCES names {name!r}, which is neither a known index nor an exchange of ccxt "
                "that gives candles"
            )
        self._base_url = base_url.rstrip("/") if base_url else None
        self._url_setting = url_setting or "the network"
        self._patience = patience or Patience()
        self._threads = local()
        self._throttle = _Throttle()
        self._markets_lock = Lock()
        self._with_markets: Any = None  # the client whose list of markets the others share

    @property
    def quote(self) -> str:
        """Currency its prices are in."""
        return QUOTES.get(self.name, DEFAULT_QUOTE)

    def fetch_candles(self, symbol: Symbol, start: datetime, end: datetime) -> Fetched:
        """See `sources.base.CandleSource`. An exchange that keeps less history (Kraken: 720 h) gives what it has."""
        gathered = Page()
        provenance = Provenance.LIVE
        since, end_ms = int(start.timestamp() * 1000), int(end.timestamp() * 1000)
        while since < end_ms:
            page, since, provenance = self._page(symbol, since, end_ms - STEP_MS)
            gathered.add(page)
        return candles_from(gathered, symbol=symbol.name, vendor=self.name, provenance=provenance, start=start, end=end)

    def _page(self, symbol: Symbol, since: int, until: int) -> tuple[Page, int, Provenance]:
        """Candles from `since` on, and from where to ask next (ms)."""
        client = self._client()
        # Without a limit some exchanges give fewer rows than they could, or the newest instead of the oldest.
        most = (client.features.get("spot") or {}).get("fetchOHLCV", {}).get("limit") or SMALL_PAGE
        length = min(most, (until - since) // STEP_MS + 1)

        def call() -> Any:
            self._load_markets(client)
            return client.fetch_ohlcv(symbol.pair(self.quote, "/"), "1h", since, length)

        page = parse_unified(self._rows(symbol, call))
        return page, _following(page, since, length), provenance_from(client.last_response_headers or {})

    def _rows(self, symbol: Symbol, call: Callable[[], Any]) -> list[Any]:
        """What a call of ccxt gives, asked again while it may help."""
        client = self._client()
        for attempt in range(self._patience.attempts):
            client.last_response_headers = None  # so that none of an earlier answer are taken for this one's
            try:
                rows = call()
            except self._ccxt.BadResponse as error:
                raise self._malformed("outside its contract") from error
            except self._ccxt.OperationFailed as error:  # network, rate limit, maintenance
                if attempt + 1 == self._patience.attempts:
                    raise SourceUnavailableError(
                        f"{self.name}{self._where} did not answer ({type(error).__name__}) in "
                        f"{self._patience.attempts} attempts; check {self._url_setting}, or try later"
                    ) from error
                self._patience.wait(attempt, retry_after(client.last_response_headers or {}))
            except self._ccxt.BaseError as error:
                raise self._refusal(symbol, error) from error
            except GARBAGE as error:
                raise self._malformed("outside its contract") from error
            else:
                if not isinstance(rows, list):
                    raise self._malformed(f"with {type(rows).__name__}, not a list of candles")
                return rows
        raise AssertionError("unreachable: the last attempt returns or raises")

    @property
    def _where(self) -> str:
        """Its address for messages, where it is not ccxt's own."""
        return f" at {without_credentials(self._base_url)}" if self._base_url else ""

    def _malformed(self, how: str) -> MalformedResponseError:
        return MalformedResponseError(f"{self.name}{self._where} answered {how}; check {self._url_setting}")

    def _refusal(self, symbol: Symbol, error: Exception) -> SourceError:
        if isinstance(error, self._ccxt.BadSymbol):
            return SourceRefusedError(
                f"{self.name} has no market {symbol.pair(self.quote, '/')}; correct `market` of {symbol.name} in the "
                "symbols file, or list another source in CRYPTO_PLATFORM_OHLCV_SOURCES"
            )
        if isinstance(error.__cause__, UnreadableError):
            return self._malformed(f"unreadably: {error.__cause__}")
        base = self._base_url
        words = str(error).replace(base, without_credentials(base)) if base else str(error)
        return SourceRefusedError(
            f"{self.name} refused {symbol.name} ({type(error).__name__}: {words[:QUOTED]}); check {self._url_setting}, "
            "or list another source in CRYPTO_PLATFORM_OHLCV_SOURCES"
        )

    def _load_markets(self, client: Any) -> None:
        """Give a client the list of markets, read from the exchange once."""
        if client.markets:
            return
        with self._markets_lock:
            if self._with_markets is None:
                client.load_markets()
                self._with_markets = client
            else:
                client.set_markets_from_exchange(self._with_markets)

    def _client(self) -> Any:
        if not hasattr(self._threads, "client"):
            self._threads.client = self._new_client()
        return self._threads.client

    def _new_client(self) -> Any:
        client = getattr(self._ccxt, self._id)(
            {
                "session": BoundedSession(self._patience.deadline),
                "timeout": int(self._patience.timeout * 1000),
                "enableRateLimit": not _is_this_machine(self._base_url),
                # ccxt takes these for a passing fault of the network; asking again cannot help.
                "httpExceptions": dict.fromkeys(("400", "403", "404", "451"), self._ccxt.PermissionDenied),
            }
        )
        client.throttle = lambda cost=None: self._throttle.wait(client.rateLimit / 1000 * (cost or 1))
        self._point_at_base(client)
        return client

    def _point_at_base(self, client: Any) -> None:
        if self._base_url:
            client.urls["api"] = dict.fromkeys(client.urls["api"], self._base_url)


class BinanceCandles(ExchangeCandles):
    """Hourly candles of Binance spot from its raw endpoint: ccxt's unified row has no quote volume.

    Needs no list of markets: one request a page.
    """

    def __init__(self, base_url: str = BINANCE_URL, patience: Patience | None = None) -> None:
        super().__init__(BINANCE, base_url, "CRYPTO_PLATFORM_BINANCE_URL", patience)

    def _page(self, symbol: Symbol, since: int, until: int) -> tuple[Page, int, Provenance]:
        client = self._client()
        request = {
            "symbol": symbol.pair(self.quote),
            "interval": "1h",
            "startTime": since,
            "endTime": until,
            "limit": BINANCE_PAGE,
        }
        rows = self._rows(symbol, lambda: client.public_get_klines(request))
        page = parse_klines(rows)
        # Binance goes on to the next candle there is, however far: a page that is not full is the last one.
        following = _following(page, since, BINANCE_PAGE) if len(rows) >= BINANCE_PAGE else until + STEP_MS
        return page, following, provenance_from(client.last_response_headers or {})

    def _point_at_base(self, client: Any) -> None:
        client.urls["api"]["public"] = f"{self._base_url}/api/v3"


def _following(page: Page, since: int, length: int) -> int:
    """Where (ms) the page after this one begins, which was asked for `length` hours from `since` on.

    A page without candles is a time before the listing or of an outage: what follows it may have some.
    """
    newest = max((round(row[0] * 1000) for row in page.parsed), default=0)
    return newest + STEP_MS if newest >= since else since + length * STEP_MS


def _is_this_machine(url: str | None) -> bool:
    host = urlsplit(url).hostname if url else None
    if host is None or host == "localhost":
        return host is not None
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
