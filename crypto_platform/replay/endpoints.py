"""What each endpoint answers: parameters read, the visible market looked up, the vendor's bytes rendered."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from crypto_platform.core.hours import HOUR, floor_hour
from crypto_platform.replay.damage import Answer
from crypto_platform.replay.market import Market
from crypto_platform.replay.wire import binance, coindesk, coinpaprika, cryptocompare, fear_greed
from crypto_platform.replay.wire.errors import VendorError
from crypto_platform.replay.wire.unconfirmed import Unconfirmed
from crypto_platform.symbols import Symbol

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, without its transport.

    Parameters
    ----------
    params, headers, path : mapping of str to str
        Query parameters, headers (any case) and parameters of the path.
    now : datetime
        The server's clock, read once for the whole answer.
    """

    params: Mapping[str, str]
    headers: Mapping[str, str]
    path: Mapping[str, str]
    now: datetime


@dataclass(slots=True)
class UsedWeight:
    """Binance's request weight in the running minute (of real time, as replayed minutes may never end)."""

    monotonic: Callable[[], float] = time.monotonic
    _minute: int = -1
    _used: int = 0

    def add(self, weight: int) -> int:
        """Weight used so far, this call included."""
        minute = int(self.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._used = minute, 0
        self._used += weight
        return self._used


@dataclass(frozen=True, slots=True)
class Service:
    """What the endpoints answer from.

    Parameters
    ----------
    market : Market
        The replayed history.
    keys : frozenset of str
        Keys that CryptoCompare and CoinDesk accept.
    unconfirmed : Unconfirmed
        Choices where the contracts are silent.
    used_weight : UsedWeight
        Counter behind Binance's header.
    """

    market: Market
    keys: frozenset[str]
    unconfirmed: Unconfirmed
    used_weight: UsedWeight = field(default_factory=UsedWeight)


def list_tickers(service: Service, call: Call) -> Answer:
    """All listed coins that have a CoinPaprika id."""
    coinpaprika.check_quotes(call.params)
    market = service.market
    listed = [symbol for symbol in market.symbols if symbol.coinpaprika and market.listed(symbol, call.now)]
    return _json([_ticker(market, symbol, call.now) for symbol in listed[: coinpaprika.MAX_COINS]])


def get_ticker(service: Service, call: Call) -> Answer:
    """One coin."""
    coinpaprika.check_quotes(call.params)
    symbol = service.market.find("coinpaprika", call.path["coin_id"], call.now)
    if symbol is None:
        raise coinpaprika.unknown_id()
    return _json(_ticker(service.market, symbol, call.now))


def histohour(service: Service, call: Call) -> Answer:
    """The legacy index, `limit` + 1 hours."""
    return _legacy_hours(service, call, cryptocompare.histohour)


def histohour_v1(service: Service, call: Call) -> Answer:
    """As `histohour`, in the older envelope."""
    return _legacy_hours(service, call, cryptocompare.histohour_v1)


def coindesk_hours(service: Service, call: Call) -> Answer:
    """At most `limit` hours of the index, none before the listing.

    Without `fill`, the empty ones among `limit` hours are left out rather than made up for [unconfirmed].
    """
    _authorize(service, call)
    query = coindesk.parse_hours(call.params, service.unconfirmed)
    base, _, quote = query.instrument.partition("-")
    symbol = service.market.find("market", base, call.now) if quote == coindesk.QUOTE else None
    if symbol is None:
        raise coindesk.unknown_instrument(query)
    listed = service.market.listed(symbol, call.now)
    assert listed is not None
    last = _hour_of(query.to, call.now)
    if last < listed and service.unconfirmed.coindesk_before_listing == "not_found":
        raise coindesk.before_listing(listed)
    hours = service.market.hours(symbol, last, query.limit, call.now)
    hours = hours[(hours["timestamp"] >= listed) & (query.fill | ~hours["carried"])]
    return _json(coindesk.hours(query, hours, call.now, service.unconfirmed))


def klines(service: Service, call: Call) -> Answer:
    """Candles of one pair: from `startTime` on the oldest, else the newest."""
    query = binance.parse_klines(call.params)
    base = query.pair.removesuffix(binance.QUOTE)
    symbol = service.market.find("market", base, call.now) if base != query.pair else None
    if symbol is None:
        raise binance.invalid_symbol()
    horizon = call.now + HOUR
    end = horizon if query.end is None else _instant(query.end + 1, horizon)
    if query.start is None:
        candles = service.market.newest(symbol, end, query.limit, call.now)
    else:
        candles = service.market.oldest(symbol, _instant(query.start, horizon), end, query.limit, call.now)
    return _json(binance.klines(candles), _weight(service, "binance.klines"))


def exchange_info(service: Service, call: Call) -> Answer:
    """The pairs listed so far."""
    market = service.market
    listed = [symbol for symbol in market.symbols if market.listed(symbol, call.now)]
    pairs = [(symbol, market.is_trading(symbol, call.now)) for symbol in listed]
    return _json(binance.exchange_info(_milliseconds(call.now), pairs), _weight(service, "binance.exchange_info"))


def ping(service: Service, _: Call) -> Answer:
    """An empty object."""
    return _json({}, _weight(service, "binance.ping"))


def server_time(service: Service, call: Call) -> Answer:
    """The replay clock in milliseconds."""
    return _json({"serverTime": _milliseconds(call.now)}, _weight(service, "binance.time"))


def fng(service: Service, call: Call) -> Answer:
    """Fear & Greed, newest day first."""
    query = fear_greed.parse_fng(call.params)
    days = service.market.sentiment(call.now, service.unconfirmed.fear_greed_delay)
    return Answer(200, fear_greed.fng(query, days, call.now), headers={"access-control-allow-origin": "*"})


_REFUSALS: Final[Mapping[str, Callable[[int], object]]] = {
    "coinpaprika": coinpaprika.refusal,
    "cryptocompare": cryptocompare.refusal,
    "coindesk": coindesk.refusal,
    "binance": binance.refusal,
    "fear_greed": fear_greed.refusal,
}


def refuse(endpoint: str, status: int) -> Answer:
    """The vendor's own answer of an HTTP error, for faults."""
    body = _REFUSALS[endpoint.partition(".")[0]](status)
    return Answer(status, body.encode(), "text/html") if isinstance(body, str) else _json(body, status=status)


def answer(handler: Callable[[Service, Call], Answer], service: Service, call: Call) -> Answer:
    """What the handler answers, a vendor's refusal included."""
    try:
        return handler(service, call)
    except VendorError as refusal:
        return _json(refusal.payload, status=refusal.status)


def _legacy_hours(service: Service, call: Call, render: Callable[..., dict[str, Any]]) -> Answer:
    _authorize(service, call)
    query = cryptocompare.parse_histohour(call.params, service.unconfirmed)
    symbol = service.market.find("market", query.market, call.now)
    if symbol is None and query.market in service.market.known_markets:
        raise cryptocompare.no_market(query.market)
    if symbol is None:
        raise cryptocompare.unknown_symbol(query.market)
    return _json(render(service.market.hours(symbol, _hour_of(query.to, call.now), query.limit + 1, call.now)))


def _authorize(service: Service, call: Call) -> None:
    """Accept `Authorization: Apikey <key>` or `api_key=<key>`; the `x-api-key` some clients send is [unconfirmed]."""
    scheme, _, key = call.headers.get("authorization", "").partition(" ")
    given = key.strip() if scheme.lower() == "apikey" else call.params.get("api_key", "")
    if given not in service.keys:
        raise cryptocompare.key_required()


def _ticker(market: Market, symbol: Symbol, now: datetime) -> dict[str, Any]:
    return coinpaprika.ticker(symbol, market.tape(symbol, now), market.history.supply(symbol.name), now)


def _hour_of(seconds: int | None, now: datetime) -> datetime:
    """The hour that holds an epoch time; the running one where none is given or it lies ahead."""
    newest = floor_hour(now)
    if seconds is None or seconds >= newest.timestamp():
        return newest
    return floor_hour(_EPOCH + timedelta(seconds=seconds))


def _instant(milliseconds: int, latest: datetime) -> datetime:
    return latest if milliseconds > _milliseconds(latest) else _EPOCH + milliseconds * _MILLISECOND


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _weight(service: Service, endpoint: str) -> dict[str, str]:
    return {"X-MBX-USED-WEIGHT-1M": str(service.used_weight.add(binance.WEIGHTS[endpoint]))}


def _json(body: object, headers: Mapping[str, str] | None = None, *, status: int = 200) -> Answer:
    content = json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, content, headers=headers or {})
