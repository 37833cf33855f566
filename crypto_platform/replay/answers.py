"""Faults that only one vendor has: its own refusals where the HTTP status does not say them, and its odd values.

What changes values leaves an answer alone that is not a success of the vendor's.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from crypto_platform.replay.damage import Answer
from crypto_platform.replay.effects import ARCHIVE, Argument, Effect, read_shift
from crypto_platform.replay.wire import (
    binance,
    binance_archive,
    coindesk,
    coinpaprika,
    cryptocompare,
    fear_greed,
    kraken,
)
from crypto_platform.replay.wire.errors import VendorError
from crypto_platform.replay.wire.values import rfc3339

SECONDS: Final = Argument("SECONDS", read_shift)
_LEGACY: Final = ("cryptocompare.histohour",)
_TICKERS: Final = ("coinpaprika.tickers",)
_FNG: Final = ("fear_greed.fng",)
_KRAKEN: Final = ("kraken.*",)

Coin = dict[str, Any]


def _says(what: str, refusal: Callable[[], VendorError], *endpoints: str) -> Effect:
    """A refusal in the vendor's own words instead of the answer."""

    def apply(answer: Answer, _argument: None, _now: datetime) -> Answer:
        said = refusal()
        return replace(answer, status=said.status, body=_dumped(said.payload))

    return Effect(what, apply, endpoints)


def _of_coins(what: str, change: Callable[[Coin, Any], None], argument: Argument | None = None) -> Effect:
    """Another value in each coin of an answer of CoinPaprika."""

    def apply(answer: Answer, value: Any, _now: datetime) -> Answer:
        if answer.status != 200:
            return answer
        body = json.loads(answer.body)
        for coin in body if isinstance(body, list) else [body]:
            change(coin, value)
        return replace(answer, body=_dumped(body))

    return Effect(what, apply, _TICKERS, argument)


def _of_days(what: str, change: Callable[[list[Coin]], list[Coin]]) -> Effect:
    """Other rows in an answer of the fear and greed index that has any."""

    def apply(answer: Answer, _argument: None, _now: datetime) -> Answer:
        if answer.status != 200 or not answer.body.startswith(b'{"name"'):
            return answer
        body = json.loads(answer.body)
        body["data"] = change(body["data"]) if body["data"] else body["data"]
        return replace(answer, body=_dumped(body))

    return Effect(what, apply, _FNG)


def _cooldown(answer: Answer, seconds: float, _now: datetime) -> Answer:
    return replace(answer, status=200, body=_dumped(cryptocompare.rate_limited(round(seconds)).payload))


def _warning(answer: Answer, _argument: None, _now: datetime) -> Answer:
    body = json.loads(answer.body)
    if body.get("Response") != "Success":
        return answer
    body |= {"HasWarning": True, "Type": 101, "Message": cryptocompare.OVER_LIMIT}
    return replace(answer, body=_dumped(body))


def _without_numbers(value: object) -> Callable[[Coin, Any], None]:
    """All numbers of a coin but its price become `value`."""

    def change(coin: Coin, _argument: None) -> None:
        coin.update(dict.fromkeys(("rank", "total_supply", "max_supply", "beta_value"), value))
        quote = coin["quotes"]["USD"]
        quote.update({name: value for name in quote if name != "price"})

    return change


def _set_stale(coin: Coin, seconds: float) -> None:
    updated = datetime.fromisoformat(coin["last_updated"])
    coin["last_updated"] = rfc3339(updated - timedelta(seconds=seconds))


def _set_price(value: object) -> Callable[[Coin, Any], None]:
    return lambda coin, _: coin["quotes"]["USD"].update(price=value, market_cap=0)


def _no_page(answer: Answer, _argument: None, _now: datetime) -> Answer:
    return replace(answer, status=404, body=coinpaprika.NO_PAGE.encode(), media_type="text/plain")


def _as_csv(answer: Answer, _argument: None, _now: datetime) -> Answer:
    if answer.status != 200 or not answer.body.startswith(b'{"name"'):
        return answer
    rows = json.loads(answer.body)["data"] or []
    columns = ([row[name] for row in rows] for name in ("timestamp", "value", "value_classification"))
    return replace(answer, body=fear_greed.csv_in_json(*columns))


def _corrupted(answer: Answer, _argument: None, _now: datetime) -> Answer:
    return replace(answer, body=binance_archive.corrupted(answer.body)) if answer.status == 200 else answer


def _wrong_checksum(answer: Answer, _argument: None, _now: datetime) -> Answer:
    if answer.status != 200:
        return answer
    digest, _, name = answer.body.partition(b" ")
    return replace(answer, body=digest[::-1] + b" " + name)


def _dumped(body: object) -> bytes:
    return json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


# CSV text of the archive to CSV text, before it is packed
CSV: Final[Mapping[str, Effect]] = {
    "header": Effect("a header line before the rows", lambda text, _, __: binance_archive.HEADER + text, ARCHIVE),
    "seconds": Effect("times in seconds", lambda text, _, __: binance_archive.in_seconds(text), ARCHIVE),
}
ANSWERS: Final[Mapping[str, Effect]] = {
    "type1": _says("HTTP 200, Type 1: no such market", lambda: cryptocompare.no_market("BTC"), *_LEGACY),
    "type2": _says("HTTP 200, Type 2: no such symbol", lambda: cryptocompare.unknown_symbol("BTC"), *_LEGACY),
    "type99": _says("HTTP 200, Type 99: rate limit, without Cooldown", cryptocompare.rate_limited, *_LEGACY),
    "cooldown": Effect("HTTP 200, Type 99: rate limit, with Cooldown", _cooldown, _LEGACY, SECONDS),
    "type101": Effect("the data with a warning of Type 101", _warning, _LEGACY),
    "err": _says("HTTP 200 with an error in `Err`", coindesk.failed, "coindesk.hours"),
    "invalid_symbol": _says("HTTP 400, code -1121", binance.invalid_symbol, "binance.klines"),
    "too_many": _says("HTTP 200, EGeneral:Too many requests", kraken.too_many_requests, *_KRAKEN),
    "unavailable": _says("HTTP 200, EService:Unavailable", kraken.unavailable, *_KRAKEN),
    "unknown_pair": _says("HTTP 200, EQuery:Unknown asset pair", kraken.unknown_pair, "kraken.ohlc"),
    "no_page": Effect("404 as plain text, as for a path that does not exist", _no_page, _TICKERS),
    "null_numbers": _of_coins("null for every number but the price", _without_numbers(None)),
    "empty_numbers": _of_coins("an empty text for every number but the price", _without_numbers("")),
    "null_price": _of_coins("price null, market_cap 0, as of a dead coin", _set_price(None)),
    "zero_price": _of_coins("price and market_cap 0", _set_price(0)),
    "no_cap": _of_coins("max_supply 0: no cap", lambda coin, _: coin.update(max_supply=0)),
    "stale": _of_coins("last_updated SECONDS before what it was", _set_stale, SECONDS),
    "metadata_error": _says("a text in metadata.error, data null", fear_greed.failed, *_FNG),
    "no_data": _of_days("an empty list of days", lambda _: []),
    "as_csv": Effect("CSV lines in the JSON shell, whatever was asked", _as_csv, _FNG),
    "late_day": _of_days("the newest day not yet there", lambda days: days[1:]),
    "two_values": _of_days(
        "the newest day twice, with values 1 apart",
        lambda days: [{**days[0], "value": str((int(days[0]["value"]) + 1) % 100)}, *days],
    ),
    "bad_value": _of_days("a value of 999 for the newest day", lambda days: [{**days[0], "value": "999"}, *days[1:]]),
    "corrupt_zip": Effect(
        "a ZIP file with damaged content", _corrupted, ("binance_archive.monthly", "binance_archive.daily")
    ),
    "wrong_checksum": Effect("the checksum of something else", _wrong_checksum, ("binance_archive.checksum",)),
}
