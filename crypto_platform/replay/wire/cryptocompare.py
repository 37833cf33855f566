"""CryptoCompare's legacy min-api: `histohour` of the CCCAGG index, and the envelope of its errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from crypto_platform.replay.wire.errors import VendorError
from crypto_platform.replay.wire.unconfirmed import Unconfirmed
from crypto_platform.replay.wire.values import epoch_seconds, integer, json_numbers

DEFAULT_LIMIT: Final = 168
MAX_LIMIT: Final = 2000
INDEX: Final = "CCCAGG"
QUOTE: Final = "USD"
OVER_LIMIT: Final = "You are over your rate limit please upgrade your account!"
# the vendor's own example: https://github.com/CryptoCompareLTD/api-guides
_CALLS: Final = {
    "calls_made": {
        "second": 53,
        "minute": 915,
        "hour": 63_283,
        "day": 127_321,
        "month": 6_720_577,
        "total_calls": 29_374_377,
    },
    "max_calls": {"second": 50, "minute": 2_000, "hour": 100_000, "day": 1_500_000, "month": 15_000_000},
}
_KEY_REQUIRED: Final = "API key required, please refer to the documentation at https://developers.coindesk.com/"


@dataclass(frozen=True, slots=True)
class HistohourQuery:
    """Parameters of one call, checked.

    Parameters
    ----------
    market : str
        Base asset (`fsym`).
    limit : int
        The answer holds limit + 1 rows.
    to : int or None
        Epoch seconds inside the newest hour; None is now.
    """

    market: str
    limit: int
    to: int | None


def parse_histohour(params: Mapping[str, str], unconfirmed: Unconfirmed) -> HistohourQuery:
    """Read the parameters.

    Raises
    ------
    VendorError
        HTTP 200 with the vendor's error envelope.
    """
    for name in ("fsym", "tsym"):
        if not params.get(name):
            raise _error(2, f"{name} is a required param.", ParamWithError=name)
    limit = integer(params, "limit", DEFAULT_LIMIT)
    if limit is None or limit < 1 or limit > MAX_LIMIT:
        size = "larger than max" if limit is not None and limit > MAX_LIMIT else "not a valid"
        raise _error(unconfirmed.cryptocompare_limit_error_type, f"limit is {size} value.", ParamWithError="limit")
    to = integer(params, "toTs", -1)
    if to is None or ("toTs" in params and to < 0):
        raise _error(2, "toTs is not a valid value.", ParamWithError="toTs")
    # the real service also aggregates; nothing here asks for it, and its alignment is undocumented
    if params.get("aggregate", "1") != "1":
        raise _error(2, "aggregate other than 1 is not replayed.", ParamWithError="aggregate")
    market = params["fsym"].upper()
    if params["tsym"].upper() != QUOTE or params.get("e", INDEX).upper() != INDEX:
        raise no_market(market, params["tsym"], params.get("e", INDEX))
    return HistohourQuery(market, limit, None if to < 0 else to)


def histohour(hours: pd.DataFrame) -> dict[str, Any]:
    """Body of `/data/v2/histohour`.

    Parameters
    ----------
    hours : DataFrame, limit + 1 rows
        Candle frame without holes, ascending; all zero before the listing. A quote volume that is unknown (NaN) is
        null, which the real service never sends: a zero would be invented.
    """
    rows = _rows(hours, conversionType="direct", conversionSymbol="")
    return {
        "Response": "Success",
        "Message": "",
        "HasWarning": False,
        "Type": 100,
        "RateLimit": {},
        "Data": {"Aggregated": False, **_ends(rows), "Data": rows},
    }


def histohour_v1(hours: pd.DataFrame) -> dict[str, Any]:
    """Body of `/data/histohour`: rows stand directly in `Data`, without their conversion."""
    rows = _rows(hours)
    return {
        "Response": "Success",
        "Type": 100,
        "Aggregated": False,
        **_ends(rows),
        "FirstValueInArray": True,
        "ConversionType": {"type": "direct", "conversionSymbol": ""},
        "Data": rows,
        "RateLimit": {},
        "HasWarning": False,
    }


def no_market(market: str, quote: str = QUOTE, exchange: str = INDEX) -> VendorError:
    """The answer for a coin that exists without such a market (Type 1)."""
    return _error(1, f"{exchange} market does not exist for this coin pair ({market}-{quote})", Cooldown=0)


def unknown_symbol(market: str) -> VendorError:
    """The answer for a coin nobody knows (Type 2); the space before the dot is the vendor's."""
    return _error(2, f"There is no data for the symbol {market} .", ParamWithError="fsym")


def rate_limited(cooldown: int | None = None) -> VendorError:
    """The answer beyond the rate limit (Type 99): as documented, or as captured with the seconds to wait."""
    extra = {"RateLimit": _CALLS} if cooldown is None else {"Cooldown": cooldown}
    return _error(99, OVER_LIMIT, **extra)


def key_required() -> VendorError:
    """The answer without a valid key, the same on both of the vendor's APIs; it has no `Response`.

    That `frontend` repeats type and message is known, its exact keys are [unconfirmed].
    """
    return VendorError(
        401,
        {
            "Data": {},
            "Err": {
                "type": 2,
                "message": _KEY_REQUIRED,
                "http_status_code": 401,
                "frontend": {"type": 2, "message": _KEY_REQUIRED},
            },
        },
    )


def refusal(status: int) -> object:
    """Body of an HTTP error the gateway answers by itself; that of any but 401 is [unconfirmed]."""
    if status == 401:
        return key_required().payload
    message = OVER_LIMIT if status == 429 else f"HTTP {status}"
    return {"Data": {}, "Err": {"type": 99 if status == 429 else 1, "message": message, "http_status_code": status}}


def _ends(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Times of the first and last row; 0 where a page has none, which no document or capture shows."""
    return {"TimeFrom": rows[0]["time"] if rows else 0, "TimeTo": rows[-1]["time"] if rows else 0}


def _rows(hours: pd.DataFrame, **extra: str) -> list[dict[str, Any]]:
    columns = (json_numbers(hours[name]) for name in ("high", "low", "open", "volume_base", "volume", "close"))
    return [
        {"time": time, "high": high, "low": low, "open": opened, "volumefrom": base, "volumeto": quote, "close": close}
        | extra
        for time, high, low, opened, base, quote, close in zip(epoch_seconds(hours["timestamp"]), *columns, strict=True)
    ]


def _error(kind: int, message: str, **extra: object) -> VendorError:
    body = {"Response": "Error", "Message": message, "HasWarning": False, "Type": kind, "RateLimit": {}, "Data": {}}
    return VendorError(200, body | extra)
