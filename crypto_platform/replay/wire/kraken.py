"""Kraken's public API: OHLC, asset pairs and assets. It reports errors with HTTP 200."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from crypto_platform.replay.wire.errors import VendorError
from crypto_platform.replay.wire.values import decimals, epoch_seconds, integer
from crypto_platform.symbols import Symbol

MAX_ROWS: Final = 720
QUOTE: Final = "USD"
INTERVALS: Final = ("1", "5", "15", "30", "60", "240", "1440", "10080", "21600")
_ALTNAMES: Final = {"BTC": "XBT", "DOGE": "XDG"}
# the oldest coins keep a prefix of their class, X for a coin as Z for a currency
_PREFIXED: Final = frozenset({"XBT", "XDG", "ETC", "ETH", "LTC", "MLN", "REP", "XLM", "XMR", "XRP", "ZEC"})
_ERRORS: Final = {
    404: "EGeneral:Unknown method",
    429: "EGeneral:Too many requests",
    503: "EService:Unavailable",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """What Kraken calls the market of a symbol.

    Parameters
    ----------
    asset, altname : str
        Key of the base asset and its short form, such as XXBT and XBT.
    """

    asset: str
    altname: str

    @property
    def key(self) -> str:
        """Key of the pair in answers, such as XXBTZUSD."""
        prefixed = self.altname not in {self.asset, "XDG"}  # a class of its own: XDGUSD
        return f"{self.asset}Z{QUOTE}" if prefixed else f"{self.altname}{QUOTE}"

    @property
    def names(self) -> tuple[str, ...]:
        """All names under which the pair can be asked for."""
        return (self.key, f"{self.altname}{QUOTE}", f"{self.altname}/{QUOTE}")


@dataclass(frozen=True, slots=True)
class OhlcQuery:
    """Parameters of one call, checked: the pair as the caller wrote it, and rows after `since` (epoch s)."""

    pair: str
    since: int


def pair(symbol: Symbol) -> Pair:
    """Kraken's names of a symbol's market."""
    altname = _ALTNAMES.get(symbol.market, symbol.market)
    return Pair(f"X{altname}" if altname in _PREFIXED else altname, altname)


def parse_ohlc(params: Mapping[str, str]) -> OhlcQuery:
    """Read the parameters.

    Raises
    ------
    VendorError
        HTTP 200 with a text in `error`.
    """
    interval = params.get("interval", "1")
    since = integer(params, "since", 0)
    # the history is hourly: other intervals of the vendor are refused, too
    if not params.get("pair") or interval not in INTERVALS or interval != "60" or since is None:
        raise _error("EGeneral:Invalid arguments")
    return OhlcQuery(params["pair"].upper(), since)


def ohlc(key: str, candles: pd.DataFrame) -> dict[str, Any]:
    """Body of `/0/public/OHLC`.

    Parameters
    ----------
    key : str
        Name of the pair in the answer.
    candles : DataFrame
        Candle frame, the running hour last. What the history does not hold (NaN) is an empty text, or null.

    Returns
    -------
    dict
        Rows [time, open, high, low, close, vwap, volume, count]; `last` is the time of the newest closed one.
    """
    times = epoch_seconds(candles["timestamp"])
    vwap = (candles["volume"] / candles["volume_base"]).where(candles["volume_base"] != 0, 0.0)
    columns = (decimals(candles[name]) for name in ("open", "high", "low", "close"))
    trades = [None if value != value else round(value) for value in candles["trades"].tolist()]  # noqa: PLR0124 - NaN
    rows = zip(times, *columns, decimals(vwap), decimals(candles["volume_base"]), trades, strict=True)
    return _result({key: [list(row) for row in rows], "last": times[-2] if len(times) > 1 else 0})


def asset_pairs(markets: Iterable[tuple[Symbol, bool]]) -> dict[str, Any]:
    """Body of `/0/public/AssetPairs`: the listed symbols, and whether each is trading."""
    return _result({pair(symbol).key: _market(pair(symbol), trading=trading) for symbol, trading in markets})


def assets(symbols: Iterable[Symbol]) -> dict[str, Any]:
    """Body of `/0/public/Assets`."""
    names = [(pair(symbol).asset, pair(symbol).altname) for symbol in symbols]
    return _result(
        {
            asset: {
                "aclass": "currency",
                "altname": altname,
                "decimals": 10,
                "display_decimals": 5,
                "status": "enabled",
            }
            for asset, altname in [*names, (f"Z{QUOTE}", QUOTE)]
        }
    )


def unknown_pair() -> VendorError:
    """The answer for a pair that does not exist (yet)."""
    return _error("EQuery:Unknown asset pair")


def too_many_requests() -> VendorError:
    """The answer beyond the rate limit."""
    return _error(_ERRORS[429])


def unavailable() -> VendorError:
    """The answer while the exchange is down."""
    return _error(_ERRORS[503])


def refusal(status: int) -> dict[str, Any] | str:
    """Body of an HTTP error: a page of the gateway before the API from 500 on [unconfirmed]."""
    if status >= 500:
        return f"<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>"
    return {"error": [_ERRORS.get(status, "EGeneral:Permission denied")]}


def _market(names: Pair, *, trading: bool) -> dict[str, Any]:
    return {
        "altname": f"{names.altname}{QUOTE}",
        "wsname": f"{names.altname}/{QUOTE}",
        "aclass_base": "currency",
        "base": names.asset,
        "aclass_quote": "currency",
        "quote": f"Z{QUOTE}",
        "pair_decimals": 8,
        "cost_decimals": 8,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "fee_volume_currency": f"Z{QUOTE}",
        "ordermin": "0.00000001",
        "costmin": "0.5",
        "tick_size": "0.00000001",
        "status": "online" if trading else "cancel_only",
    }


def _result(result: Mapping[str, Any]) -> dict[str, Any]:
    return {"error": [], "result": dict(result)}


def _error(text: str) -> VendorError:
    return VendorError(200, {"error": [text]})
