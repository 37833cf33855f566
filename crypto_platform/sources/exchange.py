"""Exchanges through ccxt: keyless hourly candles. An hour of an outage has no candle there.

ccxt is imported when a client is built: it costs most of a second.
"""

from collections.abc import Callable
from datetime import datetime
from threading import local
from typing import Any, Final

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
from crypto_platform.sources.http import Patience, provenance_from
from crypto_platform.sources.rows import candles_from, number
from crypto_platform.symbols import Symbol

BINANCE: Final = "binance"
BINANCE_URL: Final = "https://api.binance.com"
BINANCE_PAGE: Final = 1000
QUOTES: Final = {"binance": "USDT", "coinbase": "USD", "kraken": "USD"}  # any other exchange: USDT
CCXT_IDS: Final = {"coinbase": "coinbaseexchange"}  # where ours differs: the keyless API of Coinbase Exchange
DEFAULT_QUOTE: Final = "USDT"
STEP_MS: Final = int(HOUR.total_seconds() * 1000)

Parsed = tuple[float, ...]


def parse_klines(rows: Any) -> tuple[list[Parsed], list[Any], list[Any]]:
    """Rows of Binance's klines: parsed, raw, and those that could not be read.

    A missing quote volume is an empty text there, and NaN here.
    """
    parsed: list[Parsed] = []
    raw: list[Any] = []
    malformed: list[Any] = []
    for row in rows:
        try:
            opened_ms, o, h, low, c, base, _, quote, trades, *_ = row
            parsed.append((number(opened_ms) / 1000, *map(number, (o, h, low, c, base, quote, trades))))
            raw.append(row)
        except (TypeError, ValueError):
            malformed.append(row)
    return parsed, raw, malformed


def parse_unified(rows: Any) -> tuple[list[Parsed], list[Any], list[Any]]:
    """Rows of ccxt's `fetch_ohlcv`, which have neither quote volume nor trades."""
    parsed: list[Parsed] = []
    raw: list[Any] = []
    malformed: list[Any] = []
    for row in rows:
        try:
            opened_ms, o, h, low, c, base = row[:6]
            values = tuple(map(number, (o, h, low, c, base)))
            parsed.append((number(opened_ms) / 1000, *values, float("nan"), float("nan")))
            raw.append(row)
        except (TypeError, ValueError):
            malformed.append(row)
    return parsed, raw, malformed


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
        ccxt has no such exchange.

    Notes
    -----
    Each thread has a ccxt client of its own: its throttle and last headers are not safe to share.
    """

    def __init__(
        self, name: str, base_url: str | None = None, url_setting: str = "", patience: Patience | None = None
    ) -> None:
        import ccxt  # noqa: PLC0415

        self.name = name
        self._ccxt = ccxt
        self._id = CCXT_IDS.get(name, name)
        if self._id not in ccxt.exchanges:
            raise ConfigurationError(
                f"CRYPTO_PLATFORM_OHLCV_SOURCES names {name!r}, which is neither a known index nor an exchange of ccxt"
            )
        self._base_url = base_url.rstrip("/") if base_url else None
        self._url_setting = url_setting or "the network"
        self._patience = patience or Patience()
        self._threads = local()

    @property
    def quote(self) -> str:
        """Currency its prices are in."""
        return QUOTES.get(self.name, DEFAULT_QUOTE)

    def fetch_candles(self, symbol: Symbol, start: datetime, end: datetime) -> Fetched:
        """See `sources.base.CandleSource`. An exchange that keeps less history gives what it has."""
        rows: list[Parsed] = []
        raw: list[Any] = []
        malformed: list[Any] = []
        provenance = Provenance.LIVE
        since, end_ms = int(start.timestamp() * 1000), int(end.timestamp() * 1000)
        while since < end_ms:
            page, provenance = self._page(symbol, since, end_ms - STEP_MS)
            if not isinstance(page, list):
                raise MalformedResponseError(f"{self.name} answered with {type(page).__name__}, not a list of candles")
            parsed, raw_rows, unreadable = self._parse(page)
            rows, raw, malformed = rows + parsed, raw + raw_rows, malformed + unreadable
            newest = max((int(row[0] * 1000) for row in parsed), default=None)
            if newest is None or newest < since:
                break
            since = newest + STEP_MS
        return candles_from(
            rows,
            raw,
            malformed,
            symbol=symbol.name,
            vendor=self.name,
            provenance=provenance,
            start=start,
            end=end,
        )

    def _page(self, symbol: Symbol, since: int, until: int) -> tuple[Any, Provenance]:
        client = self._client()
        if self.name == BINANCE:  # the raw endpoint, because the unified row has no quote volume
            request = {
                "symbol": symbol.pair(self.quote),
                "interval": "1h",
                "startTime": since,
                "endTime": until,
                "limit": BINANCE_PAGE,
            }
            answer = self._ask(symbol, lambda: client.public_get_klines(request))
        else:
            market = symbol.pair(self.quote, "/")
            answer = self._ask(symbol, lambda: client.fetch_ohlcv(market, "1h", since))
        return answer, provenance_from(client.last_response_headers or {})

    def _parse(self, page: Any) -> tuple[list[Parsed], list[Any], list[Any]]:
        return parse_klines(page) if self.name == BINANCE else parse_unified(page)

    def _ask(self, symbol: Symbol, call: Callable[[], Any]) -> Any:
        for attempt in range(self._patience.attempts):
            try:
                return call()
            except self._ccxt.NetworkError as error:
                if attempt + 1 == self._patience.attempts:
                    where = f" at {self._base_url}" if self._base_url else ""
                    raise SourceUnavailableError(
                        f"{self.name}{where} did not answer ({type(error).__name__}) in {self._patience.attempts} "
                        f"attempts; check {self._url_setting}, or try later"
                    ) from error
                self._patience.wait(attempt, None)
            except self._ccxt.BaseError as error:
                raise self._refusal(symbol, error) from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _refusal(self, symbol: Symbol, error: Exception) -> SourceError:
        if isinstance(error, self._ccxt.BadSymbol):
            return SourceRefusedError(
                f"{self.name} has no market {symbol.pair(self.quote, '/')}; correct `market` of {symbol.name} in the "
                "symbols file, or list another source in CRYPTO_PLATFORM_OHLCV_SOURCES"
            )
        if isinstance(error, self._ccxt.BadResponse):
            return MalformedResponseError(f"{self.name} answered outside its contract; check {self._url_setting}")
        return SourceRefusedError(f"{self.name} refused {symbol.name} ({type(error).__name__}); see its status page")

    def _client(self) -> Any:
        if not hasattr(self._threads, "client"):
            milliseconds = int(self._patience.timeout * 1000)
            client = getattr(self._ccxt, self._id)({"enableRateLimit": True, "timeout": milliseconds})
            if self._base_url and self.name == BINANCE:
                client.urls["api"]["public"] = f"{self._base_url}/api/v3"
            elif self._base_url:
                client.urls["api"] = dict.fromkeys(client.urls["api"], self._base_url)
            self._threads.client = client
        return self._threads.client
