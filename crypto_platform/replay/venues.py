"""As `endpoints`, for what stands in when the first vendors fail: Binance's archive, Coinbase Exchange and Kraken.

All serve the one history there is; they differ in what they leave out.
"""

from collections.abc import Callable
from datetime import timedelta

from crypto_platform.core.hours import HOUR
from crypto_platform.replay.damage import Answer
from crypto_platform.replay.service import Call, Service, json_answer
from crypto_platform.replay.wire import binance, binance_archive, coinbase, kraken
from crypto_platform.replay.wire.binance_archive import ArchiveFile, daily_file, monthly_file

_BEYOND = timedelta(microseconds=1)


def archive_month(service: Service, call: Call) -> Answer:
    """The ZIP file of a month."""
    return _zip(service, call, monthly_file)


def archive_day(service: Service, call: Call) -> Answer:
    """The ZIP file of a day."""
    return _zip(service, call, daily_file)


def archive_month_checksum(service: Service, call: Call) -> Answer:
    """The checksum of a month's file."""
    return _checksum(service, call, monthly_file)


def archive_day_checksum(service: Service, call: Call) -> Answer:
    """The checksum of a day's file."""
    return _checksum(service, call, daily_file)


def coinbase_candles(service: Service, call: Call) -> Answer:
    """Candles of one product, none for an hour without a trade."""
    _identify(call)
    query = coinbase.parse_candles(call.params)
    symbol = service.market.traded(call.path["product"], f"-{coinbase.QUOTE}", call.now)
    if symbol is None:
        raise coinbase.not_found()
    if query.start is None or query.end is None:
        candles = service.market.newest(symbol, call.now + HOUR, coinbase.MAX_ROWS, call.now)
    else:
        candles = service.market.candles(symbol, query.start, query.end + _BEYOND, call.now)
    return json_answer(coinbase.candles(call.touched(candles[candles["volume_base"] != 0])))


def coinbase_products(service: Service, call: Call) -> Answer:
    """The products listed so far."""
    _identify(call)
    return json_answer(
        [coinbase.product(symbol, trading=trading) for symbol, trading in service.market.pairs(call.now)]
    )


def coinbase_product(service: Service, call: Call) -> Answer:
    """One product."""
    _identify(call)
    symbol = service.market.traded(call.path["product"], f"-{coinbase.QUOTE}", call.now)
    if symbol is None:
        raise coinbase.not_found()
    return json_answer(coinbase.product(symbol, trading=service.market.is_trading(symbol, call.now)))


def coinbase_currencies(service: Service, call: Call) -> Answer:
    """The coins listed so far, and the currency they are quoted in."""
    _identify(call)
    coins = [coinbase.currency(symbol.market, symbol.title) for symbol, _ in service.market.pairs(call.now)]
    return json_answer([*coins, coinbase.currency(coinbase.QUOTE, "US Dollar")])


def kraken_ohlc(service: Service, call: Call) -> Answer:
    """The newest rows of one pair, those after `since` among them; the running hour last."""
    query = kraken.parse_ohlc(call.params)
    found = [symbol for symbol, _ in service.market.pairs(call.now) if query.pair in kraken.pair(symbol).names]
    if not found:
        raise kraken.unknown_pair()
    candles = service.market.newest(found[0], call.now + HOUR, kraken.MAX_ROWS, call.now)
    candles = candles[candles["timestamp"].map(lambda stamp: stamp.timestamp()) > query.since]
    return json_answer(kraken.ohlc(kraken.pair(found[0]).key, call.touched(candles)))


def kraken_asset_pairs(service: Service, call: Call) -> Answer:
    """The pairs listed so far."""
    return json_answer(kraken.asset_pairs(service.market.pairs(call.now)))


def kraken_assets(service: Service, call: Call) -> Answer:
    """The coins listed so far, and the currency they are quoted in."""
    return json_answer(kraken.assets(symbol for symbol, _ in service.market.pairs(call.now)))


def _zip(service: Service, call: Call, find: Callable[[str, str], ArchiveFile]) -> Answer:
    return Answer(200, _archived(service, call, find), "application/zip")


def _checksum(service: Service, call: Call, find: Callable[[str, str], ArchiveFile]) -> Answer:
    content = _archived(service, call, find)
    return Answer(200, binance_archive.checksum(call.path["stem"], content), "binary/octet-stream")


def _archived(service: Service, call: Call, find: Callable[[str, str], ArchiveFile]) -> bytes:
    """Bytes of the file that a path names, the same for the file and for its checksum."""
    file = find(call.path["pair"], call.path["stem"])
    symbol = service.market.traded(file.pair, binance.QUOTE, call.now)
    if symbol is None or file.available > call.now:
        raise binance_archive.missing(file.stem)
    candles = service.market.candles(symbol, file.start, file.end, call.now)
    if candles.empty:
        raise binance_archive.missing(file.stem)
    text = binance_archive.csv_text(call.touched(candles))
    return binance_archive.packed(file.stem, call.fault.on_csv(text, call.now))


def _identify(call: Call) -> None:
    """Coinbase refuses callers that do not say who they are [unconfirmed]."""
    if not call.headers.get("user-agent"):
        raise coinbase.agent_required()
