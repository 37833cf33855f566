"""Coinbase Exchange: candles of a product, the products and the currencies.

Quotes are in USD. Error texts are [unconfirmed], but for those that clients tell apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd

from crypto_platform.core.hours import HOUR
from crypto_platform.replay.wire.errors import VendorError
from crypto_platform.replay.wire.values import epoch_seconds, json_numbers
from crypto_platform.symbols import Symbol

MAX_ROWS: Final = 300
QUOTE: Final = "USD"
GRANULARITIES: Final = ("60", "300", "900", "3600", "21600", "86400")
_MESSAGES: Final = {404: "NotFound", 429: "Public rate limit exceeded"}


@dataclass(frozen=True, slots=True)
class CandlesQuery:
    """Bounds of the open time, both inclusive, or None: the newest `MAX_ROWS`."""

    start: datetime | None
    end: datetime | None


def parse_candles(params: Mapping[str, str]) -> CandlesQuery:
    """Read the parameters; a start or end that is given alone is ignored.

    Raises
    ------
    VendorError
        HTTP 400.
    """
    granularity = params.get("granularity", "60")
    if granularity not in GRANULARITIES:
        raise _error(400, "Unsupported granularity")
    if granularity != "3600":  # the history is hourly
        raise _error(400, f"granularity {granularity} is not replayed")
    if not params.get("start") or not params.get("end"):
        return CandlesQuery(None, None)
    start, end = _instant(params["start"], "start"), _instant(params["end"], "end")
    if end < start:
        raise _error(400, "End is before start")
    if (end - start) // HOUR + 1 > MAX_ROWS:
        raise _error(
            400,
            f"granularity too small for the requested time range. Count of aggregations requested exceeds {MAX_ROWS}",
        )
    return CandlesQuery(start, end)


def candles(frame: pd.DataFrame) -> list[list[float | int | None]]:
    """Body of `/products/{id}/candles`: [time, low, high, open, close, volume], newest first."""
    columns = (json_numbers(frame[name]) for name in ("low", "high", "open", "close", "volume_base"))
    return [list(row) for row in zip(epoch_seconds(frame["timestamp"]), *columns, strict=True)][::-1]


def product(symbol: Symbol, *, trading: bool) -> dict[str, Any]:
    """One item of `/products`, or the body of `/products/{id}`."""
    pair = symbol.pair(QUOTE, "-")
    return {
        "id": pair,
        "base_currency": symbol.market,
        "quote_currency": QUOTE,
        "quote_increment": "0.00000001",
        "base_increment": "0.00000001",
        "display_name": pair,
        "min_market_funds": "1",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "status": "online" if trading else "delisted",
        "status_message": "",
        "trading_disabled": not trading,
        "fx_stablecoin": False,
        "auction_mode": False,
    }


def currency(code: str, name: str) -> dict[str, Any]:
    """One item of `/currencies`."""
    return {
        "id": code,
        "name": name,
        "min_size": "0.00000001",
        "status": "online",
        "message": "",
        "max_precision": "0.00000001",
        "convertible_to": [],
        "details": {"type": "fiat" if code == QUOTE else "crypto"},
        "supported_networks": [],
    }


def not_found() -> VendorError:
    """The answer for a product that does not exist (yet)."""
    return _error(404, _MESSAGES[404])


def agent_required() -> VendorError:
    """The answer to a request without the header `User-Agent`."""
    return _error(400, "User-Agent header is required.")


def refusal(status: int) -> dict[str, str]:
    """Body of an HTTP error."""
    return {"message": _MESSAGES.get(status, f"HTTP {status}")}


def _instant(text: str, name: str) -> datetime:
    """An ISO time, or epoch seconds."""
    try:
        if text.isascii() and text.isdecimal():
            return datetime.fromtimestamp(int(text), UTC)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        raise _error(400, f"Invalid {name}") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _error(status: int, message: str) -> VendorError:
    return VendorError(status, {"message": message})
