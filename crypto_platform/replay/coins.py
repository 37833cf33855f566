"""What a simulated coin starts from. The magnitudes are plausible, not quotes; nothing here is market data."""

import hashlib
from dataclasses import dataclass
from typing import Final

from crypto_platform.replay.history import Supply


@dataclass(frozen=True, slots=True)
class Coin:
    """Constants of one simulated coin.

    Parameters
    ----------
    price : float
        Price at the epoch, in quote currency.
    turnover : float
        Typical quote volume of an hour.
    volatility : float
        Typical standard deviation of an hourly log return.
    supply : Supply
        Units of the coin.
    """

    price: float
    turnover: float
    volatility: float
    supply: Supply


_KNOWN: Final = {
    "BTC": Coin(60_000.0, 6e7, 0.0055, Supply(19.8e6, 19.8e6)),
    "ETH": Coin(3_000.0, 3e7, 0.0066, Supply(120.5e6, 120.5e6)),
    "ADA": Coin(0.6, 3e6, 0.0082, Supply(35.5e9, 45e9)),
    "SOL": Coin(150.0, 9e6, 0.0098, Supply(480e6, 590e6)),
    "DOT": Coin(7.0, 1.5e6, 0.0086, Supply(1.5e9, 1.5e9)),
    "XRP": Coin(0.6, 6e6, 0.0080, Supply(56e9, 100e9)),
    "BNB": Coin(500.0, 5e6, 0.0065, Supply(146e6, 146e6)),
    "DOGE": Coin(0.15, 4e6, 0.0088, Supply(145e9, 145e9)),
}


def coin(symbol: str) -> Coin:
    """Constants of a ticker; those of an unknown one follow from its name alone.

    Examples
    --------
    >>> coin("BTC").price
    60000.0
    >>> coin("ZZZ") == coin("ZZZ") != coin("YYY")
    True
    """
    if symbol in _KNOWN:
        return _KNOWN[symbol]
    words = name_words(symbol)
    price, capitalization, circulating, volatility = (word / 2**32 for word in words)
    price = float(f"{10 ** (4 * price - 2):.4g}")
    total = float(f"{10 ** (8 + 2 * capitalization) / price:.3g}")
    supply = Supply(float(f"{total * (0.4 + 0.6 * circulating):.3g}"), total)
    return Coin(price, float(f"{total * price / 2_000:.3g}"), 0.006 + 0.004 * volatility, supply)


def name_words(name: str) -> list[int]:
    """Four 32-bit numbers that follow from a name, the same on every machine."""
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
