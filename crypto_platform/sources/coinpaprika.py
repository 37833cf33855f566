"""CoinPaprika: market snapshots."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd

from crypto_platform.core.bars import TIMESTAMP_DTYPE
from crypto_platform.core.politeness import Limits
from crypto_platform.core.provenance import Provenance, source_label
from crypto_platform.errors import MalformedResponseError
from crypto_platform.sources.base import SNAPSHOT_COLUMNS, Fetched, Rejected
from crypto_platform.sources.calls import Patience
from crypto_platform.sources.gate import Gate
from crypto_platform.sources.http import HttpClient, NotFoundError
from crypto_platform.sources.rows import (
    AHEAD,
    DUPLICATE,
    FUTURE,
    MALFORMED,
    UNKNOWN_COIN,
    epoch_seconds,
    number,
    payload_text,
)
from crypto_platform.sources.transport import Told
from crypto_platform.symbols import Symbol
from crypto_platform.tables import market_data
from crypto_platform.tables.render.frames import broken_rules

NAME: Final = "coinpaprika"
DEFAULT_URL: Final = "https://api.coinpaprika.com/v1"
BATCH_FROM: Final = 3  # from so many coins on, one call for all costs less of the monthly quota


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin as CoinPaprika lists it; `rank` is by capitalization, None where it gives none."""

    id: str
    name: str
    symbol: str
    rank: int | None


class CoinPaprika:
    """Snapshots from `/tickers`; keyless on the free plan."""

    name = NAME

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        key: str | None = None,
        patience: Patience | None = None,
        *,
        limits: Limits | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._http = HttpClient(
            provider=NAME,
            base_url=base_url,
            url_setting="CRYPTO_PLATFORM_COINPAPRIKA_URL",
            key_setting="CRYPTO_PLATFORM_COINPAPRIKA_API_KEY",
            key=key,
            limits=limits,
            gate=gate,
            patience=patience,
        )

    def fetch_snapshots(self, symbols: Sequence[Symbol]) -> Fetched:
        """See `sources.base.SnapshotSource`. A symbol without a coin id is left out, one with a wrong id rejected."""
        wanted = {symbol.coinpaprika: symbol.name for symbol in symbols if symbol.coinpaprika}
        if len(wanted) >= BATCH_FROM:
            listed, told = self._all_tickers()
            return parse_tickers(listed, wanted, told.provenance, told.clock)
        told = Told(Provenance.LIVE, None)
        tickers: list[Any] = []
        unknown: list[Rejected] = []
        for coin, name in wanted.items():
            try:
                ticker, told = self._http.get_json(f"/tickers/{coin}")
                tickers.append(ticker)
            except NotFoundError as error:  # one wrong id must not cost the other symbols their snapshot
                if error.payload is None:  # no word of CoinPaprika: the address is wrong, not the coin
                    raise
                told = error.told
                label = source_label(NAME, told.provenance)
                unknown.append(Rejected(label, market_data.name, name, UNKNOWN_COIN, payload_text({"id": coin})))
        fetched = parse_tickers(tickers, wanted, told.provenance, told.clock)
        return replace(fetched, rejected=(*fetched.rejected, *unknown))

    def fetch_coins(self) -> tuple[Coin, ...]:
        """Every coin it lists: 2,000 on the free plan."""
        return parse_coins(self._all_tickers()[0])

    def _all_tickers(self) -> tuple[list[Any], Told]:
        payload, told = self._http.get_json("/tickers")
        if not isinstance(payload, list):
            raise MalformedResponseError(f"{NAME} answered /tickers with {type(payload).__name__}, not a list")
        return payload, told


def parse_coins(tickers: Sequence[Any]) -> tuple[Coin, ...]:
    """Coins of `/tickers` by rank, those without one last; an item without id, name or symbol is left out."""
    coins = []
    for ticker in tickers:
        match ticker:
            case {"id": str(coin), "name": str(name), "symbol": str(symbol)} if coin and name and symbol:
                rank = ticker.get("rank")  # 0 or null: not ranked
                coins.append(Coin(coin, name, symbol, rank if isinstance(rank, int) and rank > 0 else None))
    return tuple(sorted(coins, key=lambda coin: (coin.rank is None, coin.rank or 0)))


def parse_tickers(
    tickers: Sequence[Any], wanted: Mapping[str, str], provenance: Provenance, clock: datetime | None = None
) -> Fetched:
    """Snapshots of the wanted coins.

    Parameters
    ----------
    tickers : sequence
        Items of `/tickers`.
    wanted : mapping of str to str
        Coin id to symbol name; other coins are left out.
    provenance : Provenance
    clock : datetime, optional
        The vendor's own time: a snapshot of more than five minutes later is ``future``.

    Returns
    -------
    Fetched
        Rows of `SNAPSHOT_COLUMNS`, the first sound one of each coin; NaN where the vendor gives null, an empty text,
        or no such field (the free plan has no circulating supply). A ticker without a readable price or time is
        rejected, and one that breaks a rule of `market_data`.
    """
    label = source_label(NAME, provenance)
    read: list[tuple[Any, dict[str, Any]]] = []
    rejected: list[Rejected] = []

    def reject(symbol: str, reason: str, ticker: Any) -> None:
        rejected.append(Rejected(label, market_data.name, symbol, reason, payload_text(ticker)))

    for ticker in tickers:
        coin = ticker.get("id") if isinstance(ticker, dict) else None
        if not isinstance(coin, str) or coin not in wanted:
            continue
        try:
            read.append((ticker, _snapshot(wanted[coin], ticker)))
        except (AttributeError, LookupError, TypeError, ValueError, OverflowError):
            reject(wanted[coin], MALFORMED, ticker)
    frame = pd.DataFrame([row for _, row in read], columns=list(SNAPSHOT_COLUMNS))
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True).astype(TIMESTAMP_DTYPE)
    frame = frame.astype(dict.fromkeys(SNAPSHOT_COLUMNS[2:], float))
    reasons = broken_rules(market_data, frame)
    if clock:
        reasons[(frame["timestamp"] > clock + AHEAD).to_numpy()] = FUTURE
    reasons[(frame["symbol"].where(reasons == "").duplicated() & (reasons == "")).to_numpy()] = DUPLICATE
    for (ticker, row), reason in zip(read, reasons, strict=True):
        if reason:
            reject(row["symbol"], reason, ticker)
    return Fetched(frame[reasons == ""].reset_index(drop=True), NAME, provenance, tuple(rejected), clock)


def _instant(value: str) -> datetime:
    """A time with its zone, in UTC."""
    read = datetime.fromisoformat(value)
    if read.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    epoch_seconds(read.timestamp())  # refuses years that no snapshot is of
    return read.astimezone(UTC)


def _price(value: Any) -> float:
    """A price that must be there: the table would take a NULL."""
    price = number(value)
    if math.isnan(price):
        raise ValueError("no price")
    return price


def _snapshot(symbol: str, ticker: Mapping[str, Any]) -> dict[str, Any]:
    usd = ticker["quotes"]["USD"]
    return {
        "symbol": symbol,
        "timestamp": _instant(ticker["last_updated"]),
        "price_usd": _price(usd["price"]),
        "market_cap": number(usd.get("market_cap")),
        "total_volume": number(usd.get("volume_24h")),
        "price_change_24h": number(usd.get("percent_change_24h")),
        "price_change_7d": number(usd.get("percent_change_7d")),
        "price_change_30d": number(usd.get("percent_change_30d")),
        "circulating_supply": number(ticker.get("circulating_supply")),
        "total_supply": number(ticker.get("total_supply")),
    }
