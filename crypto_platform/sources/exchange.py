"""Exchanges through ccxt: keyless hourly candles. An hour of an outage has no candle there.

ccxt is imported when a client is built: it takes a third of a second, for one exchange as for all.
"""

import math
from collections.abc import Callable
from datetime import datetime
from threading import Lock, local
from typing import Any, Final

import requests

from crypto_platform.core.hours import HOUR
from crypto_platform.core.politeness import Limits
from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import (
    ConfigurationError,
    MalformedResponseError,
    RefusesAllError,
    SourceError,
    SourceRefusedError,
)
from crypto_platform.sources.base import Fetched
from crypto_platform.sources.calls import Caller, Patience, RetryableError
from crypto_platform.sources.gate import Gate
from crypto_platform.sources.http import QUOTED
from crypto_platform.sources.rows import Page, Parsed, candles_from, epoch_seconds, number, read_rows
from crypto_platform.sources.transport import (
    BoundedSession,
    Told,
    UnreadableError,
    retry_after,
    told_by,
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
    limits : Limits, optional
        Stand in for the exchange's own pace, as ccxt knows it.
    gate, patience
        See `sources.calls.Caller`.

    Raises
    ------
    ConfigurationError
        ccxt has no such exchange, or none that gives hourly candles.

    Notes
    -----
    Safe to share between threads: each has a ccxt client of its own, and they share one gate and one list of markets.
    """

    def __init__(
        self,
        name: str,
        base_url: str | None = None,
        url_setting: str = "",
        patience: Patience | None = None,
        *,
        limits: Limits | None = None,
        gate: Gate | None = None,
    ) -> None:
        import ccxt  # noqa: PLC0415

        self.name = name
        self._ccxt = ccxt
        self._id = CCXT_IDS.get(name, name)
        exchange = getattr(ccxt, self._id)() if self._id in ccxt.exchanges else None
        if exchange is None or not exchange.has.get("fetchOHLCV"):
            raise ConfigurationError(
                f"CRYPTO_PLATFORM_OHLCV_SOURCES names {name!r}, which is neither a known index nor an exchange of ccxt "
                "that gives candles"
            )
        self._base_url = base_url.rstrip("/") if base_url else None
        self._cure = f"the network and {url_setting}" if url_setting else "the network"
        self._caller = Caller(
            name,
            self._cure,
            base_url=base_url,
            limits=limits or Limits(spacing=exchange.rateLimit / 1000),
            gate=gate,
            patience=patience,
        )
        self._threads = local()
        self._markets_lock = Lock()
        self._with_markets: Any = None  # the client whose list of markets the others share

    @property
    def quote(self) -> str:
        """Currency its prices are in."""
        return QUOTES.get(self.name, DEFAULT_QUOTE)

    def fetch_candles(self, symbol: Symbol, start: datetime, end: datetime) -> Fetched:
        """See `sources.base.CandleSource`. An exchange that keeps less history (Kraken: 720 h) gives what it has."""
        gathered = Page()
        told = Told(Provenance.LIVE, None)
        since, end_ms = int(start.timestamp() * 1000), int(end.timestamp() * 1000)
        while since < end_ms:
            page, since, told = self._page(symbol, since, end_ms - 1)
            gathered.add(page)
        return candles_from(
            gathered,
            symbol=symbol.name,
            vendor=self.name,
            provenance=told.provenance,
            start=start,
            end=end,
            clock=told.clock,
        )

    def _page(self, symbol: Symbol, since: int, until: int) -> tuple[Page, int, Told]:
        """Candles from `since` to `until` (ms, inclusive), as many as come at once, and from where to ask next."""
        client = self._client()
        # Without a limit some exchanges give fewer rows than they could, or the newest instead of the oldest.
        most = (client.features.get("spot") or {}).get("fetchOHLCV", {}).get("limit") or SMALL_PAGE
        length = min(most, (until - since) // STEP_MS + 1)

        def ask() -> Any:
            self._load_markets(client)
            return client.fetch_ohlcv(symbol.pair(self.quote, "/"), "1h", since, length)

        rows, told = self._rows(symbol, ask)
        page = parse_unified(rows)
        return page, _following(page, since, until, length), told

    def _rows(self, symbol: Symbol, ask: Callable[[], Any]) -> tuple[list[Any], Told]:
        """What a function of ccxt gives, asked again while it may help, and what the headers say."""
        client = self._client()

        def attempt() -> tuple[list[Any], Told]:
            client.last_response_headers = None  # so that none of an earlier answer are taken for this one's
            try:
                rows = ask()
            except self._ccxt.BadResponse as error:
                raise self._malformed("outside its contract") from error
            except self._ccxt.OperationFailed as error:  # network, rate limit, maintenance
                asked = retry_after(client.last_response_headers or {})
                raise RetryableError(type(error).__name__, asked) from error
            except self._ccxt.BaseError as error:
                raise self._refusal(symbol, error) from error
            except GARBAGE as error:
                raise self._malformed("outside its contract") from error
            if not isinstance(rows, list):  # ccxt hands on as text what is not JSON
                shown = repr(rows[:QUOTED]) if isinstance(rows, str) else type(rows).__name__
                raise self._malformed(f"with something that is no list of candles ({shown})")
            return rows, told_by(client.last_response_headers or {})

        where = without_credentials(self._base_url) if self._base_url else "its own address"
        return self._caller.call(attempt, client.session, where)

    def _malformed(self, how: str) -> MalformedResponseError:
        where = f" at {without_credentials(self._base_url)}" if self._base_url else ""
        return MalformedResponseError(f"{self.name}{where} answered {how}; check {self._cure}")

    def _refusal(self, symbol: Symbol, error: Exception) -> SourceError | RetryableError:
        if isinstance(error, self._ccxt.BadSymbol):
            return SourceRefusedError(
                f"{self.name} has no market {symbol.pair(self.quote, '/')}; correct `market` of {symbol.name} in the "
                "symbols file, or list another source in CRYPTO_PLATFORM_OHLCV_SOURCES"
            )
        if isinstance(error.__cause__, UnreadableError):
            return self._malformed(f"unreadably: {error.__cause__}")
        if isinstance(error.__cause__, requests.exceptions.SSLError):  # of which ccxt makes a refusal
            return RetryableError("SSLError")
        words = " ".join(word for word in str(error).split() if "://" not in word)  # ccxt's own quote the address
        # A refusal for who or where we are is one of all symbols.
        kind = RefusesAllError if isinstance(error, self._ccxt.AuthenticationError) else SourceRefusedError
        return kind(
            f"{self.name} refused {symbol.name} ({type(error).__name__}: {words[:QUOTED]}); check {self._cure}, "
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
        session = BoundedSession(self._caller.patience.deadline)
        # ccxt takes these for a passing fault of the network; asking again cannot help.
        refusals = dict.fromkeys(("400", "404"), self._ccxt.BadRequest) | dict.fromkeys(
            ("403", "451"), self._ccxt.PermissionDenied
        )
        client = getattr(self._ccxt, self._id)(
            {"session": session, "timeout": int(self._caller.patience.timeout * 1000), "httpExceptions": refusals}
        )
        # ccxt's own throttle knows one thread; it calls ours before each request, with the request's weight.
        client.throttle = lambda cost=None: self._caller.wait_turn(session, cost or 1.0)
        self._point_at_base(client)
        return client

    def _point_at_base(self, client: Any) -> None:
        if self._base_url:
            client.urls["api"] = dict.fromkeys(client.urls["api"], self._base_url)


class BinanceCandles(ExchangeCandles):
    """Hourly candles of Binance spot from its raw endpoint: ccxt's unified row has no quote volume.

    Needs no list of markets: one request a page.
    """

    def __init__(
        self,
        base_url: str = BINANCE_URL,
        patience: Patience | None = None,
        *,
        limits: Limits | None = None,
        gate: Gate | None = None,
    ) -> None:
        super().__init__(BINANCE, base_url, "CRYPTO_PLATFORM_BINANCE_URL", patience, limits=limits, gate=gate)

    def _page(self, symbol: Symbol, since: int, until: int) -> tuple[Page, int, Told]:
        client = self._client()
        request = {
            "symbol": symbol.pair(self.quote),
            "interval": "1h",
            "startTime": since,
            "endTime": until,
            "limit": BINANCE_PAGE,
        }
        rows, told = self._rows(symbol, lambda: client.public_get_klines(request))
        page = parse_klines(rows)
        # Binance goes on to the next candle there is, however far: a page that is not full is the last one.
        following = _following(page, since, until, BINANCE_PAGE) if len(rows) >= BINANCE_PAGE else until + 1
        return page, following, told

    def _point_at_base(self, client: Any) -> None:
        client.urls["api"]["public"] = f"{self._base_url}/api/v3"


def _following(page: Page, since: int, until: int, length: int) -> int:
    """Where (ms) the page after this one begins, which was asked for `length` hours from `since` on.

    An exchange that answers with later hours alone (Kraken keeps 720) has no older ones: it need not be asked again.
    A page without candles is a time before the listing or of an outage: what follows it may have some.
    """
    opened = [round(row[0] * 1000) for row in page.parsed]
    asked_for = [ms for ms in opened if since <= ms <= until]
    if asked_for:
        return max(asked_for) + STEP_MS
    return until + 1 if any(ms > until for ms in opened) else since + length * STEP_MS
