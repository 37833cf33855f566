"""A history as it can be seen at an instant: nothing later, the running hour unfinished, no coin before its listing."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pandas as pd

from crypto_platform.core.bars import empty_candles
from crypto_platform.core.hours import HOUR, floor_hour
from crypto_platform.replay.history import History
from crypto_platform.replay.running import running_candle
from crypto_platform.replay.tape import Tape
from crypto_platform.symbols import Symbol, SymbolBook

_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_VALUES: Final = ("open", "high", "low", "close", "volume_base", "volume", "trades")


class Market:
    """The server's side of a history: vendors' names resolved, the future hidden.

    Parameters
    ----------
    history : History
        What is replayed.
    book : mapping of str to Symbol
        Vendor identifiers. A symbol that it lacks is served under its own name, without a CoinPaprika id.
    """

    def __init__(self, history: History, book: SymbolBook) -> None:
        self.history = history
        self.symbols = tuple(book.get(name, _unlisted(name)) for name in history.symbols)
        self.known_markets = frozenset(symbol.market for symbol in book.values())
        self._listed: dict[str, datetime | None] = {}

    def find(self, attribute: str, value: str, now: datetime) -> Symbol | None:
        """Symbol whose `market` or `coinpaprika` is `value`, None where it is unknown or not listed by `now`."""
        for symbol in self.symbols:
            if getattr(symbol, attribute) == value and self.listed(symbol, now) is not None:
                return symbol
        return None

    def traded(self, pair: str, quote: str, now: datetime) -> Symbol | None:
        """Symbol of a pair such as BTCUSDT or BTC-USD, as `find`; `quote` with its separator."""
        base = pair.removesuffix(quote)
        return self.find("market", base, now) if base != pair else None

    def pairs(self, now: datetime) -> list[tuple[Symbol, bool]]:
        """Symbols listed by `now`, and whether each is trading."""
        listed = [symbol for symbol in self.symbols if self.listed(symbol, now)]
        return [(symbol, self.is_trading(symbol, now)) for symbol in listed]

    def listed(self, symbol: Symbol, now: datetime) -> datetime | None:
        """Open time of the first candle, None where that lies after `now`."""
        if self._listed.get(symbol.name) is None:  # asked no further than the clock: a history may have no end
            candles = self.history.candles(symbol.name, _BEGINNING, now + HOUR)
            self._listed[symbol.name] = None if candles.empty else candles["timestamp"].iloc[0].to_pydatetime()
        first = self._listed[symbol.name]
        return first if first is not None and first <= now else None

    def candles(self, symbol: Symbol, start: datetime, end: datetime, now: datetime) -> pd.DataFrame:
        """Candle frame of start ≤ open time < end as far as it is visible; outages have no row.

        The row of the hour that holds `now` is what had been seen of it by then.
        """
        hour = floor_hour(now)
        end = min(end, hour + HOUR)
        if start >= end:
            return empty_candles()
        candles = self.history.candles(symbol.name, start, end)
        if candles.empty or candles["timestamp"].iloc[-1] < hour:
            return candles
        candles = candles.copy()
        last = candles.iloc[-1]
        seen = running_candle({name: float(last[name]) for name in _VALUES}, (now - hour) / HOUR)
        candles.loc[candles.index[-1], list(_VALUES)] = [seen[name] for name in _VALUES]
        return candles

    def newest(self, symbol: Symbol, end: datetime, limit: int, now: datetime) -> pd.DataFrame:
        """The last `limit` visible candles with open time < end, however many hours are missing among them."""
        span = limit * HOUR
        while True:
            start = max(min(end, now + HOUR) - span, _BEGINNING)
            candles = self.candles(symbol, start, end, now)
            if len(candles) >= limit or start <= (self.listed(symbol, now) or start):
                return candles.tail(limit)
            span *= 4

    def oldest(self, symbol: Symbol, start: datetime, end: datetime, limit: int, now: datetime) -> pd.DataFrame:
        """The first `limit` visible candles of start ≤ open time < end."""
        start = max(start, self.listed(symbol, now) or start)
        span = limit * HOUR
        while True:
            reach = min(end, start + span)
            candles = self.candles(symbol, start, reach, now)
            if len(candles) >= limit or reach >= min(end, now + HOUR):
                return candles.head(limit)
            span *= 4

    def hours(self, symbol: Symbol, last: datetime, count: int, now: datetime) -> pd.DataFrame:
        """The `count` hours up to and including the one that opens at `last`, none missing.

        Returns
        -------
        DataFrame, `count` rows
            Candle frame plus `carried` (bool). A price index goes on while one exchange is down; with no other
            venue in the history an hour without a candle (after the end of the series too) carries the last price
            flat with zero volume. Before the listing all values are 0.
        """
        first = last - (count - 1) * HOUR
        candles = self.candles(symbol, first, last + HOUR, now)
        if len(candles) == count:
            return candles.assign(carried=False)
        candles = candles.set_index("timestamp")
        grid = pd.date_range(first, periods=count, freq="h", unit="us", name="timestamp")
        hours = candles.reindex(grid)
        carried = ~grid.isin(candles.index)
        before = self._last_close(symbol, first, now) if carried[0] else 0.0
        close = hours["close"].ffill().fillna(before)
        for name in ("open", "high", "low", "close"):
            hours[name] = hours[name].mask(carried, close)
        hours.loc[carried, ["volume_base", "volume", "trades"]] = 0.0
        return hours.assign(carried=carried).reset_index()

    def tape(self, symbol: Symbol, now: datetime) -> Tape:
        """Its record from the listing to the hour that holds `now`; that hour is whole, the tape cuts it."""
        first = self.listed(symbol, now)
        assert first is not None, f"{symbol.name} is not listed yet"
        return Tape(self.history.candles(symbol.name, first, floor_hour(now) + HOUR))

    def is_trading(self, symbol: Symbol, now: datetime) -> bool:
        """Whether the running hour has a candle."""
        return not self.candles(symbol, floor_hour(now), now + HOUR, now).empty

    def sentiment(self, now: datetime, delay: timedelta) -> pd.DataFrame:
        """Daily rows whose day began at least `delay` before `now`."""
        return self.history.sentiment(_BEGINNING, now - delay + timedelta(microseconds=1))

    def _last_close(self, symbol: Symbol, before: datetime, now: datetime) -> float:
        newest = self.newest(symbol, before, 1, now)
        return 0.0 if newest.empty else float(newest["close"].iloc[-1])


def _unlisted(name: str) -> Symbol:
    return Symbol(name=name, title=name, coinpaprika=None, market=name, default=False)
