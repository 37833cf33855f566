"""CoinPaprika's tickers as the free plan answers them, and its error bodies."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from crypto_platform.replay.history import Supply
from crypto_platform.replay.tape import Tape
from crypto_platform.replay.wire.errors import VendorError
from crypto_platform.replay.wire.values import json_number, rfc3339
from crypto_platform.symbols import Symbol

UPDATE_EVERY: Final = timedelta(minutes=5)  # the free plan's rhythm
MAX_COINS: Final = 2000  # most coins that the free plan lists in one answer
DAY: Final = timedelta(days=1)
NO_PAGE: Final = "404 page not found"  # plain text, for a path that its host does not have
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WINDOWS: Final = {
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "12h": timedelta(hours=12),
    "24h": DAY,
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "1y": timedelta(days=365),
}
_ERRORS: Final = {
    400: "Invalid parameters",
    402: "Getting historical OHLCV data before 2026-09-17 03:59:32.385856048 +0000 UTC is not allowed in this plan. "
    "Check plans on coinpaprika.com/api",
    403: "wrong API key",
    404: "id not found",
    429: "you have reached maximum request limit",
}


def check_quotes(params: Mapping[str, str]) -> None:
    """Refuse what cannot be answered: the history is quoted in USD alone.

    Raises
    ------
    VendorError
        HTTP 400.
    """
    quotes = params.get("quotes", "USD").upper().split(",")
    if len(quotes) > 3:
        raise VendorError(400, {"error": "Max number of quotes is 3"})
    if quotes != ["USD"]:
        raise VendorError(400, {"error": "Invalid parameters"})


def ticker(symbol: Symbol, tape: Tape, supply: Supply, now: datetime) -> dict[str, Any]:
    """One coin of `/tickers` (an object of the list) or `/tickers/{coin_id}` (the whole body).

    Parameters
    ----------
    symbol : Symbol
        With a CoinPaprika id.
    tape : Tape
        Its history from the listing on; the ticker uses nothing after `now`.
    supply : Supply
        Coins in existence; an unknown figure is null and so is what follows from it.
    now : datetime
        Not before the listing. The answer is as of the last full 5 minutes; where the candles stopped before that
        (outage, delisting) it stays as of their end, which `last_updated` tells.

    Returns
    -------
    dict
        JSON object. Without `circulating_supply`, as on the free plan; rank, beta and maximum supply are null: the
        history holds neither the whole market nor a cap (the vendor writes 0 for "no cap").
    """
    as_of = min(now - (now - _EPOCH) % UPDATE_EVERY, tape.end)
    price = tape.price(as_of)
    assert price is not None
    return {
        "id": symbol.coinpaprika,
        "name": symbol.title,
        "symbol": symbol.market,
        "rank": None,
        "total_supply": None if supply.total is None else round(supply.total),
        "max_supply": None,
        "beta_value": None,
        "first_data_at": rfc3339(tape.first),
        "last_updated": rfc3339(as_of),
        "quotes": {"USD": _quote(tape, price, supply, as_of)},
    }


def unknown_id() -> VendorError:
    """The answer for a coin id that does not exist (yet)."""
    return VendorError(404, {"error": _ERRORS[404]})


def refusal(status: int) -> dict[str, str]:
    """Body of an HTTP error; 402 covers both the plan and the keyless monthly quota."""
    return {"error": _ERRORS.get(status, "internal error")}


def _quote(tape: Tape, price: float, supply: Supply, as_of: datetime) -> dict[str, Any]:
    volume = tape.turnover(as_of - DAY, as_of)
    full_days = as_of - 2 * DAY >= tape.first
    volume_before = tape.turnover(as_of - 2 * DAY, as_of - DAY) if full_days else None
    day_change = _change(price, tape.price(as_of - DAY))
    peak = tape.peak(as_of)
    known = supply.circulating is not None
    return {
        "price": json_number(price),
        "volume_24h": json_number(volume),
        "volume_24h_change_24h": _change(volume, volume_before),
        "market_cap": None if supply.circulating is None else round(supply.circulating * price),
        "market_cap_change_24h": day_change if known else None,  # the history's supply is one constant
        **{f"percent_change_{name}": _change(price, tape.price(as_of - span)) for name, span in _WINDOWS.items()},
        "ath_price": json_number(peak.price),
        "ath_date": rfc3339(peak.hour),
        "percent_from_price_ath": _change(price, peak.price),
    }


def _change(now: float, before: float | None) -> float | int | None:
    """Change in percent, two decimals; null where either value is unknown or the base is 0."""
    if before is None or before == 0:
        return None
    return json_number(round((now / before - 1) * 100, 2))
