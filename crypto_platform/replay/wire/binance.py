"""Binance spot REST: klines, exchangeInfo and error bodies."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from crypto_platform.replay.wire.errors import VendorError
from crypto_platform.replay.wire.values import decimals, epoch_microseconds, integer
from crypto_platform.symbols import Symbol

DEFAULT_LIMIT: Final = 500
MAX_LIMIT: Final = 1000  # a larger one is cut to it, not refused [unconfirmed]
QUOTE: Final = "USDT"
HOUR_MS: Final = 3_600_000
RETRY_AFTER: Final = {429: 30, 418: 120}  # seconds; a ban lasts from 2 minutes to 3 days
WEIGHTS: Final = {"binance.klines": 2, "binance.exchange_info": 20, "binance.ping": 1, "binance.time": 1}
_CODES: Final = {
    418: (-1003, "Way too much request weight used; IP banned."),
    429: (-1003, "Too much request weight used; please use WebSocket Streams to avoid polling the API."),
    451: (0, "Service unavailable from a restricted location."),
}


@dataclass(frozen=True, slots=True)
class KlinesQuery:
    """Parameters of one call, checked.

    Parameters
    ----------
    pair : str
        Such as BTCUSDT.
    start, end : int or None
        Bounds of the open time in epoch milliseconds, both inclusive [unconfirmed].
    limit : int
        Most rows of the answer: the oldest where `start` is given, else the newest.
    """

    pair: str
    start: int | None
    end: int | None
    limit: int


def parse_klines(params: Mapping[str, str]) -> KlinesQuery:
    """Read the parameters.

    Raises
    ------
    VendorError
        HTTP 400 with Binance's code.
    """
    for name in ("symbol", "interval"):
        if not params.get(name):
            raise _error(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    if params["interval"] != "1h":  # the history is hourly; the real service knows 15 more
        raise _error(-1120, "Invalid interval.")
    times = {name: integer(params, name, -1) for name in ("startTime", "endTime")}
    limit = integer(params, "limit", DEFAULT_LIMIT)
    if limit is None or limit < 1:
        raise _error(-1130, "Data sent for parameter 'limit' is not valid.")
    for name, time in times.items():
        if time is None or (params.get(name) and time < 0):
            raise _error(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    start, end = (None if time is None or time < 0 else time for time in times.values())
    return KlinesQuery(params["symbol"], start, end, min(limit, MAX_LIMIT))


def klines(candles: pd.DataFrame) -> list[list[int | str]]:
    """Body of `/api/v3/klines`.

    Parameters
    ----------
    candles : DataFrame
        Candle frame, the running hour last where it is asked for.

    Returns
    -------
    list of list
        Twelve items a row: times in ms, prices and volumes as strings of 8 decimals (Binance's resolution). What
        the history does not hold (NaN; the takers' share always) is an empty string.
    """
    starts = [value // 1000 for value in epoch_microseconds(candles["timestamp"])]
    prices = [decimals(candles[name]) for name in ("open", "high", "low", "close")]
    base, quote = decimals(candles["volume_base"]), decimals(candles["volume"])
    trades = [_count(value) for value in candles["trades"].tolist()]
    return [
        [start, opened, high, low, close, volume, start + HOUR_MS - 1, value, count, "", "", "0"]
        for start, opened, high, low, close, volume, value, count in zip(
            starts, *prices, base, quote, trades, strict=True
        )
    ]


def exchange_info(now_ms: int, markets: Iterable[tuple[Symbol, bool]]) -> dict[str, Any]:
    """Body of `/api/v3/exchangeInfo`.

    Parameters
    ----------
    now_ms : int
        Server time, epoch milliseconds.
    markets : iterable of (Symbol, bool)
        Listed symbols, and whether each is trading; a halted or delisted one is in state BREAK.
    """
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}],
        "exchangeFilters": [],
        "symbols": [_market(symbol, trading) for symbol, trading in markets],
    }


def invalid_symbol() -> VendorError:
    """The answer for a pair that does not exist (yet)."""
    return _error(-1121, "Invalid symbol.")


def refusal(status: int) -> dict[str, Any] | str:
    """Body of an HTTP error: Binance's own below 500, a page of the gateway before it from there on [unconfirmed]."""
    if status >= 500:
        return f"<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>"
    code, message = _CODES.get(status, (-1000, "An unknown error occurred while processing the request."))
    return {"code": code, "msg": message}


def _market(symbol: Symbol, trading: bool) -> dict[str, Any]:
    return {
        "symbol": symbol.pair(QUOTE),
        "status": "TRADING" if trading else "BREAK",
        "baseAsset": symbol.market,
        "baseAssetPrecision": 8,
        "quoteAsset": QUOTE,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": trading,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": "0.00000001",
                "maxPrice": "1000000.00",
                "tickSize": "0.00000001",
            },
            {"filterType": "LOT_SIZE", "minQty": "0.00000001", "maxQty": "9000000000.0", "stepSize": "0.00000001"},
        ],
        "permissions": ["SPOT"],
    }


def _count(value: float) -> int | str:
    return "" if value != value else round(value)  # noqa: PLR0124 - NaN


def _error(code: int, message: str) -> VendorError:
    return VendorError(400, {"code": code, "msg": message})
