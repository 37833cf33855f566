"""What each endpoint answers: parameters read, the visible market looked up, the vendor's bytes rendered."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from crypto_platform.core.hours import HOUR, floor_hour
from crypto_platform.replay.damage import Answer
from crypto_platform.replay.market import Market
from crypto_platform.replay.service import Call, Service, json_answer
from crypto_platform.replay.wire import (
    binance,
    binance_archive,
    coinbase,
    coindesk,
    coinpaprika,
    cryptocompare,
    fear_greed,
    kraken,
)
from crypto_platform.replay.wire.errors import VendorError
from crypto_platform.symbols import Symbol

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def list_tickers(service: Service, call: Call) -> Answer:
    """All listed coins that have a CoinPaprika id."""
    coinpaprika.check_quotes(call.params)
    market = service.market
    listed = [symbol for symbol in market.symbols if symbol.coinpaprika and market.listed(symbol, call.now)]
    return json_answer([_ticker(market, symbol, call.now) for symbol in listed[: coinpaprika.MAX_COINS]])


def get_ticker(service: Service, call: Call) -> Answer:
    """One coin."""
    coinpaprika.check_quotes(call.params)
    symbol = service.market.find("coinpaprika", call.path["coin_id"], call.now)
    if symbol is None:
        raise coinpaprika.unknown_id()
    return json_answer(_ticker(service.market, symbol, call.now))


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
    return json_answer(coindesk.hours(query, call.touched(hours), call.now, service.unconfirmed))


def klines(service: Service, call: Call) -> Answer:
    """Candles of one pair: from `startTime` on the oldest, else the newest."""
    query = binance.parse_klines(call.params)
    symbol = service.market.traded(query.pair, binance.QUOTE, call.now)
    if symbol is None:
        raise binance.invalid_symbol()
    horizon = call.now + HOUR
    end = horizon if query.end is None else _instant(query.end + 1, horizon)
    if query.start is None:
        candles = service.market.newest(symbol, end, query.limit, call.now)
    else:
        candles = service.market.oldest(symbol, _instant(query.start, horizon), end, query.limit, call.now)
    return json_answer(binance.klines(call.touched(candles)))


def exchange_info(service: Service, call: Call) -> Answer:
    """The pairs listed so far."""
    pairs = service.market.pairs(call.now)
    return json_answer(binance.exchange_info(_milliseconds(call.now), pairs))


def ping(_service: Service, _call: Call) -> Answer:
    """An empty object."""
    return json_answer({})


def server_time(_service: Service, call: Call) -> Answer:
    """The replay clock in milliseconds."""
    return json_answer({"serverTime": _milliseconds(call.now)})


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
    "binance_archive": binance_archive.refusal,
    "coinbase": coinbase.refusal,
    "kraken": kraken.refusal,
    "fear_greed": fear_greed.refusal,
}


def refuse(endpoint: str, status: int) -> Answer:
    """The vendor's own answer of an HTTP error, for faults."""
    vendor = endpoint.partition(".")[0]
    headers = {}
    if vendor == "binance" and status in binance.RETRY_AFTER:
        headers["Retry-After"] = str(binance.RETRY_AFTER[status])
    return json_answer(_REFUSALS[vendor](status), headers, status=status)


def usual_headers(service: Service, endpoint: str) -> dict[str, str]:
    """What stands on each answer of an endpoint, an error's too: Binance's request weight so far."""
    if endpoint not in binance.WEIGHTS:
        return {}
    return {"X-MBX-USED-WEIGHT-1M": str(service.used_weight.add(binance.WEIGHTS[endpoint]))}


def answer(handler: Callable[[Service, Call], Answer], service: Service, call: Call) -> Answer:
    """What the handler answers, a vendor's refusal included."""
    try:
        return handler(service, call)
    except VendorError as refusal:
        return json_answer(refusal.payload, status=refusal.status)


def _legacy_hours(service: Service, call: Call, render: Callable[..., dict[str, Any]]) -> Answer:
    _authorize(service, call)
    query = cryptocompare.parse_histohour(call.params, service.unconfirmed)
    symbol = service.market.find("market", query.market, call.now)
    if symbol is None and query.market in service.market.known_markets:
        raise cryptocompare.no_market(query.market)
    if symbol is None:
        raise cryptocompare.unknown_symbol(query.market)
    hours = service.market.hours(symbol, _hour_of(query.to, call.now), query.limit + 1, call.now)
    return json_answer(render(call.touched(hours)))


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
