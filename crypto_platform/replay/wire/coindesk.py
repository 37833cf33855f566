"""CoinDesk's Data API: hours of a price index."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pandas as pd

from crypto_platform.replay.wire.cryptocompare import OVER_LIMIT, key_required
from crypto_platform.replay.wire.errors import VendorError
from crypto_platform.replay.wire.unconfirmed import Unconfirmed
from crypto_platform.replay.wire.values import epoch_seconds, integer, json_numbers

MAX_LIMIT: Final = 2000
MARKETS: Final = ("cadli", "ccix", "ccixbe")
QUOTE: Final = "USD"
GROUPS: Final = ("ID", "OHLC", "OHLC_MESSAGE", "MESSAGE", "VOLUME")
# The history knows no venue tiers: null, not the zeros that the vendor gives for markets without any.
_VOLUMES: Final = {
    "VOLUME_TOP_TIER": None,
    "QUOTE_VOLUME_TOP_TIER": None,
    "VOLUME_DIRECT": None,
    "QUOTE_VOLUME_DIRECT": None,
    "VOLUME_TOP_TIER_DIRECT": None,
    "QUOTE_VOLUME_TOP_TIER_DIRECT": None,
}


@dataclass(frozen=True, slots=True)
class HoursQuery:
    """Parameters of one call, checked.

    Parameters
    ----------
    market, instrument : str
        Index and pair as the caller wrote them, upper case for the pair.
    limit : int
        Rows of the answer.
    to : int or None
        Epoch seconds inside the newest hour; None is now.
    fill : bool
        Whether hours without trades are answered.
    groups : frozenset of str
        Members of `GROUPS`.
    """

    market: str
    instrument: str
    limit: int
    to: int | None
    fill: bool
    groups: frozenset[str]


def parse_hours(params: Mapping[str, str], unconfirmed: Unconfirmed) -> HoursQuery:
    """Read the parameters.

    Raises
    ------
    VendorError
        HTTP 400 naming the parameter. Its texts are [unconfirmed].
    """
    for name in ("market", "instrument"):
        if not params.get(name):
            raise _error(400, 2, f"Missing required parameter {name}.", param=name, values=[])
    market, instrument = params["market"], params["instrument"].upper()
    if market not in MARKETS:
        raise _error(400, 2, f"Unknown market {market}.", param="market", values=[market])
    limit = integer(params, "limit", unconfirmed.coindesk_default_limit)
    if limit is None or not 1 <= limit <= MAX_LIMIT:
        raise _error(400, 2, f"limit must lie in 1…{MAX_LIMIT}.", param="limit", values=[params["limit"]])
    to = integer(params, "to_ts", -1)
    if to is None or ("to_ts" in params and to < 0):
        raise _error(400, 2, "to_ts must be a time in seconds.", param="to_ts", values=[params["to_ts"]])
    for name, served in (("aggregate", "1"), ("response_format", "JSON")):
        if params.get(name, served).upper() != served:
            raise _error(400, 2, f"{name} other than {served} is not replayed.", param=name, values=[params[name]])
    groups = frozenset(params.get("groups", ",".join(GROUPS)).upper().split(","))
    if not groups <= set(GROUPS):
        raise _error(400, 2, "Unknown group.", param="groups", values=sorted(groups - set(GROUPS)))
    fill = params.get("fill", "true").lower() != "false"
    return HoursQuery(market, instrument, limit, None if to < 0 else to, fill, groups)


def hours(query: HoursQuery, candles: pd.DataFrame, now: datetime, unconfirmed: Unconfirmed) -> dict[str, Any]:
    """Body of `/index/cc/v1/historical/hours`.

    Parameters
    ----------
    query : HoursQuery
        What was asked.
    candles : DataFrame
        Candle frame plus `carried` (bool): an hour without trades, its price carried forward. Such a row has no
        messages; that their fields are absent then is documented for spot markets and [unconfirmed] here.
    now : datetime
        Ends the messages of the running hour.
    unconfirmed : Unconfirmed
        Gives `TYPE`.
    """
    newest = int(now.timestamp())
    names = ("open", "high", "low", "close", "volume_base", "volume")
    columns = zip(
        epoch_seconds(candles["timestamp"]),
        candles["carried"].tolist(),
        *(json_numbers(candles[name]) for name in names),
        strict=True,
    )
    rows: list[dict[str, Any]] = []
    for start, carried, opened, high, low, close, base, quote in columns:
        row: dict[str, Any] = {"UNIT": "HOUR", "TIMESTAMP": start, "TYPE": unconfirmed.coindesk_hour_type}
        if "ID" in query.groups:
            row |= {"MARKET": query.market, "INSTRUMENT": query.instrument}
        if "OHLC" in query.groups:
            row |= {"OPEN": opened, "HIGH": high, "LOW": low, "CLOSE": close}
        if not carried:
            row |= _messages(query.groups, start, newest, (opened, high, low, close))
        if "MESSAGE" in query.groups:
            row["TOTAL_INDEX_UPDATES"] = 0
        if "VOLUME" in query.groups:
            row |= {"VOLUME": base, "QUOTE_VOLUME": quote, **_VOLUMES}
        rows.append(row)
    return {"Data": rows, "Err": {}}


def unknown_instrument(query: HoursQuery) -> VendorError:
    """The answer for an instrument that the index does not hold; its text is [unconfirmed]."""
    message = f"Instrument {query.instrument} is not on market {query.market}."
    return _error(400, 2, message, param="instrument", values=[query.instrument])


def before_listing(listed: datetime) -> VendorError:
    """The answer for a page before the first hour, where 404 is chosen for that."""
    first = int(listed.timestamp())
    return _error(404, 1, "There is no data for the requested period.", first=first, first_bucket=first)


def failed() -> VendorError:
    """An error that only the body tells [unconfirmed]."""
    return _error(200, 1, "There was an internal error.")


def refusal(status: int) -> object:
    """Body of an HTTP error, its status mirrored; 401 is the same on both of the vendor's APIs."""
    if status == 401:
        return key_required().payload
    message = OVER_LIMIT if status == 429 else f"HTTP {status}"
    return {"Data": {}, "Err": {"type": 99 if status == 429 else 1, "message": message, "other_info": {}}}


def _messages(
    groups: frozenset[str], start: int, newest: int, prices: tuple[float | int | None, ...]
) -> dict[str, Any]:
    """Fields of the index values inside an hour; when high and low were reached is not in the history."""
    opened, high, low, close = prices
    fields: dict[str, Any] = {}
    if "MESSAGE" in groups:
        last = min(start + 3599, newest)  # before the hour's end: the candle is still running
        fields |= {"FIRST_MESSAGE_TIMESTAMP": start, "LAST_MESSAGE_TIMESTAMP": last}
    if "OHLC_MESSAGE" in groups:
        fields |= {
            "FIRST_MESSAGE_VALUE": opened,
            "HIGH_MESSAGE_VALUE": high,
            "HIGH_MESSAGE_TIMESTAMP": None,
            "LOW_MESSAGE_VALUE": low,
            "LOW_MESSAGE_TIMESTAMP": None,
            "LAST_MESSAGE_VALUE": close,
        }
    return fields


def _error(status: int, kind: int, message: str, **other_info: object) -> VendorError:
    return VendorError(status, {"Data": {}, "Err": {"type": kind, "message": message, "other_info": other_info}})
