"""The random processes of a simulated market, drawn block by block.

A block is drawn whole or not at all, from streams of its own (seed, block, symbol), and continues from the state
in which the block before it ended. So a value depends on the scenario and its hour only, never on how far the market
has been drawn. Arrays have the hours of the block along the first axis, the symbols of the scenario along the second.
"""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from crypto_platform.core.hours import HOUR
from crypto_platform.replay.coins import coin, name_words
from crypto_platform.replay.scenario import Scenario

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

BLOCK_HOURS: Final = 28 * 24  # whole weeks, and days that do not straddle blocks
_MARKET: Final = ""  # name of the streams that all symbols share

# Variance shares and persistence were chosen so that the stylized facts lie within their measured ranges.
_COMMON: Final = 0.66  # share of the market in a return's variance: the cross-correlation of returns
_TAIL: Final = 4.5  # degrees of freedom of the shocks
_JUMP_CHANCE: Final = 0.002
_JUMP_SIZE: Final = 4.0
_MARKET_VOLATILITY: Final = 0.006
_SIGNIFICANT: Final = 8
_OUTAGES: Final = (0.65, 0.30, 0.05)  # chances of none, one and two in a block
_OUTAGE_HOURS: Final = (0.46, 0.22, 0.14, 0.12, 0.03, 0.03)  # chances of 1 to 6 hours


class Component(NamedTuple):
    """An autoregressive component: stationary standard deviation and hourly persistence."""

    deviation: float
    persistence: float


_SLOW: Final = Component(0.46, 0.997)  # log-volatility of the market, over weeks
_FAST: Final = Component(0.40, 0.88)  # the same, over hours
_OWN: Final = Component(0.22, 0.97)  # log-volatility of one symbol
_CROWD: Final = Component(0.25, 0.97)  # log-volume of the market
_INTEREST: Final = Component(0.30, 0.92)  # log-volume of one symbol


@dataclass(frozen=True, slots=True)
class Block:
    """`BLOCK_HOURS` consecutive hours; see `core.bars` for the columns.

    Parameters
    ----------
    columns : dict of str to array, shape (hours, symbols)
        Candles without their times.
    traded : array of bool, shape (hours,)
        False in the hours of an outage, whose candles do not exist.
    market_return : array, shape (hours,)
        Log return of the market factor.
    mood_noise, mood_seen : array, shape (days,)
        Noise of the daily sentiment, in points; whether the day was published.
    """

    columns: dict[str, Array]
    traded: Mask
    market_return: Array
    mood_noise: Array
    mood_seen: Mask


@dataclass(frozen=True, slots=True)
class _Draws:
    """Innovations of one stream in one block, each of shape (hours,)."""

    shock: Array  # heavy-tailed, unit variance but for jumps, symmetric
    jump: Array  # factor of the market's shock; only the market's own is used
    normal: dict[str, Array]
    uniform: dict[str, Array]


def _draw(generator: np.random.Generator) -> _Draws:
    # one fixed order of draws: a new one goes to the end, or every market changes
    shock = generator.standard_t(_TAIL, BLOCK_HOURS) * math.sqrt((_TAIL - 2) / _TAIL)
    jump = np.where(generator.random(BLOCK_HOURS) < _JUMP_CHANCE, _JUMP_SIZE, 1.0)
    normal = {name: generator.standard_normal(BLOCK_HOURS) for name in ("slow", "fast", "volume", "size", "trades")}
    uniform = {name: generator.random(BLOCK_HOURS) for name in ("high", "low", "copy")}
    return _Draws(shock, jump, normal, uniform)


class MarketProcess:
    """Draws a scenario's blocks in their order.

    Parameters
    ----------
    scenario : Scenario
        What to draw. Nothing else enters.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._coins = [coin(symbol) for symbol in scenario.symbols]
        self._levels: dict[str, Array] = {}  # last values of the autoregressive components
        self._log_price = np.log([each.price for each in self._coins])
        self._signs = np.ones(1 + len(self._coins))
        self.n_blocks = 0

    def next_block(self) -> Block:
        """The block after the last one drawn."""
        shared, own = self._streams()
        market = _draw(shared)
        draws = [_draw(np.random.Generator(np.random.Philox(stream))) for stream in own]
        hours = self.n_blocks * BLOCK_HOURS + np.arange(BLOCK_HOURS, dtype=float)
        deviation, volatility = self._volatility(market, draws, hours)
        shocks = _shocks(market, draws)
        returns = np.abs(shocks) * volatility * self._directions(np.sign(shocks), market.uniform["copy"])
        traded, closing = _outages(shared)
        columns = self._prices(returns[:, 1:], volatility[:, 1:], draws)
        volume = self._volume(market, draws, deviation[:, 1:], np.abs(shocks[:, 1:]), hours)
        columns |= self._traded(columns, volume, draws)
        _flatten(columns, closing)
        days = BLOCK_HOURS // 24
        noise, seen = shared.standard_normal(days), shared.random(days) > 1 / 150
        self.n_blocks += 1
        return Block(columns, traded, returns[:, 0], 3.0 * noise, seen)

    def _streams(self) -> tuple[np.random.Generator, list[np.random.SeedSequence]]:
        seed, block = self._scenario.seed, self.n_blocks
        shared, *own = (
            np.random.SeedSequence([seed, block, *name_words(name)]) for name in (_MARKET, *self._scenario.symbols)
        )
        return np.random.Generator(np.random.Philox(shared)), own

    def _autoregressive(self, name: str, component: Component, innovations: Array) -> Array:
        """Continue an AR(1) with zero mean from the end of the block before; it starts at its mean."""
        weight = component.deviation * math.sqrt(1 - component.persistence**2)
        last = self._levels.get(name, np.zeros(innovations.shape[1]))
        path, _ = lfilter(
            [weight], [1, -component.persistence], innovations, axis=0, zi=component.persistence * last[None]
        )
        path = np.asarray(path)
        self._levels[name] = path[-1]
        return path

    def _since_change(self, hours: Array, factor: str) -> Array:
        """Logarithm of a factor of the regime, shape (hours, 1)."""
        change = self._scenario.regime_change
        if change is None:
            return np.zeros((len(hours), 1))
        first = (change.hour - self._scenario.epoch) / HOUR
        return np.where(hours >= first, math.log(getattr(change, factor)), 0.0)[:, None]

    def _rhythm(self, hours: Array) -> Array:
        """Log-volume by hour of the day (busiest at 15:00 UTC) and weekend, zero on average, shape (hours, 1)."""
        clock = 2 * np.pi * (hours % 24 - 15) / 24
        weekend = (self._scenario.epoch.weekday() + hours // 24) % 7 >= 5
        return (0.27 * np.cos(clock) + 0.06 * np.cos(2 * clock) + np.where(weekend, -0.2, 0.08))[:, None]

    def _volatility(self, market: _Draws, draws: list[_Draws], hours: Array) -> tuple[Array, Array]:
        """Log-volatility around its mean without the regime's part, and volatility; the market's own in column 0."""
        common = self._autoregressive("slow", _SLOW, market.normal["slow"][:, None])
        common = common + self._autoregressive("fast", _FAST, market.normal["fast"][:, None])
        own = self._autoregressive("own", _OWN, np.stack([each.normal["slow"] for each in draws], axis=1))
        deviation = common + 0.4 * self._rhythm(hours) + np.concatenate([np.zeros((len(hours), 1)), own], axis=1)
        levels = np.log([_MARKET_VOLATILITY, *(each.volatility for each in self._coins)])
        return deviation, np.exp(levels + deviation + self._since_change(hours, "volatility_factor"))

    def _directions(self, fresh: Array, copy: Array) -> Array:
        """Signs of the returns from fair fresh ones: with probability 2 |edge| the last sign is kept (or turned).

        The rest of the time the fresh sign agrees with the last one by a half, which makes 1/2 + edge in all. The
        hours of copying are common to all symbols, so signs stay as correlated across them as before, and they are
        drawn apart from the sizes of the moves.
        """
        edge = self._scenario.edge
        rows = np.arange(len(fresh))
        copied = (copy < 2 * abs(edge)) & ((rows > 0) | (self.n_blocks > 0))  # nothing is before the first hour
        source = np.maximum.accumulate(np.where(copied, -1, rows))
        signs = np.concatenate([fresh, self._signs[None]])[source]  # row −1: the end of the block before
        if edge < 0:
            signs = signs * np.where((rows - source) % 2, -1.0, 1.0)[:, None]
        self._signs = signs[-1]
        return np.asarray(signs)

    def _prices(self, returns: Array, volatility: Array, draws: list[_Draws]) -> dict[str, Array]:
        """Open to close by the return; the extremes are those of a Brownian bridge of the hour's volatility."""
        closes = self._log_price + np.cumsum(returns, axis=0)
        opens = np.concatenate([self._log_price[None], closes[:-1]])
        self._log_price = closes[-1]
        up, down = (
            -2 * volatility**2 * np.log1p(-np.stack([each.uniform[side] for each in draws], axis=1))
            for side in ("high", "low")
        )
        reach = {
            "open": opens,
            "high": opens + (returns + np.sqrt(returns**2 + up)) / 2,
            "low": opens + (returns - np.sqrt(returns**2 + down)) / 2,
            "close": closes,
        }
        return {name: _significant(np.exp(values)) for name, values in reach.items()}

    def _volume(self, market: _Draws, draws: list[_Draws], deviation: Array, size: Array, hours: Array) -> Array:
        """Units traded: rhythm, volatility and the size of the hour's own move, and interest that comes and goes."""
        crowd = self._autoregressive("crowd", _CROWD, market.normal["volume"][:, None])
        interest = self._autoregressive(
            "interest", _INTEREST, np.stack([each.normal["volume"] for each in draws], axis=1)
        )
        noise = 0.2 * np.stack([each.normal["size"] for each in draws], axis=1)
        level = np.log([each.turnover / each.price for each in self._coins])
        tide = crowd + interest + self._rhythm(hours) + self._since_change(hours, "volume_factor")
        return _significant(np.exp(level + tide + 0.5 * deviation + 0.5 * np.log1p(size) - 0.3 + noise))

    def _traded(self, prices: dict[str, Array], volume: Array, draws: list[_Draws]) -> dict[str, Array]:
        """Volumes and trades; the average price paid is the mean of open, high, low and close."""
        paid = sum(prices.values(), np.zeros(1)) / 4
        typical = 700.0 * np.exp(0.15 * np.stack([each.normal["trades"] for each in draws], axis=1))
        trades = np.maximum(np.round(volume * paid / typical), 1.0)
        return {"volume_base": volume, "volume": volume * paid, "trades": trades}


def _shocks(market: _Draws, draws: list[_Draws]) -> Array:
    """Shocks of unit variance (but for jumps) with a common factor; the market's own in column 0."""
    factor = (market.shock * market.jump)[:, None]
    own = np.stack([each.shock for each in draws], axis=1)
    return np.concatenate([factor, math.sqrt(_COMMON) * factor + math.sqrt(1 - _COMMON) * own], axis=1)


def _outages(generator: np.random.Generator) -> tuple[Mask, Mask]:
    """Hours that were traded, and those right before an outage, when trading had stopped already.

    About one outage in ten weeks, of 1 to 6 hours within a day, mostly short and at the hours of maintenance: as often
    and as long as those of a large exchange since 2020.
    """
    traded = np.ones(BLOCK_HOURS, dtype=bool)
    for _ in range(generator.choice(3, p=_OUTAGES)):
        day = 24 * int(generator.integers(0, BLOCK_HOURS // 24))
        first = day + int(generator.integers(2, 6) if generator.random() < 0.6 else generator.integers(1, 18))
        traded[first : first + 1 + int(generator.choice(6, p=_OUTAGE_HOURS))] = False
    return traded, traded & np.append(~traded[1:], False)


def _flatten(columns: dict[str, Array], closing: Mask) -> None:
    """Hours without a trade stay at their open; the price outside goes on and is met again at the reopening."""
    for name in ("high", "low", "close"):
        columns[name][closing] = columns["open"][closing]
    for name in ("volume_base", "volume", "trades"):
        columns[name][closing] = 0.0


def _significant(values: Array) -> Array:
    """Values to 8 significant digits, as exchanges have ticks."""
    scale = 10.0 ** (_SIGNIFICANT - 1 - np.floor(np.log10(values)))
    return np.asarray(np.round(values * scale) / scale)
