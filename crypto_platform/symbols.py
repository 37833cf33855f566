"""Symbols and their vendor identifiers: the only place where one is written.

Which of them a deployment follows is a setting (`settings.Settings.symbols`); this module only reads the file.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from crypto_platform.errors import ConfigurationError, UnknownSymbolError

ALL = "ALL"  # stands for "every symbol" in monitoring rows; never a symbol's name


@dataclass(frozen=True, slots=True)
class Symbol:
    """One asset and what its vendors call it.

    Parameters
    ----------
    name : str
        Upper-case ticker, unique in the file; the partition key.
    title : str
        What people call it.
    coinpaprika : str or None
        CoinPaprika coin id; None where it has none.
    market : str
        Base asset on exchanges and price indices; `name` unless the file says otherwise.
    default : bool
        Whether a new deployment follows it.
    """

    name: str
    title: str
    coinpaprika: str | None
    market: str
    default: bool

    def pair(self, quote: str, separator: str = "") -> str:
        """Name of its market against `quote`, such as BTCUSDT or BTC-USD."""
        return f"{self.market}{separator}{quote}"


SymbolBook = Mapping[str, Symbol]


def load_symbols(path: Path | None = None) -> SymbolBook:
    """Read a symbols file.

    Parameters
    ----------
    path : Path, optional
        A TOML file in the form of the shipped `symbols.toml`, which is read when none is given.

    Returns
    -------
    mapping of str to Symbol
        In file order, which is the order of partitions.

    Raises
    ------
    ConfigurationError
        The file is missing, not TOML, lacks a field, or names a symbol twice.
    """
    try:
        text = (
            path.read_text("utf-8")
            if path
            else resources.files("crypto_platform").joinpath("symbols.toml").read_text("utf-8")
        )
        entries = tomllib.loads(text)["symbol"]
        book: dict[str, Symbol] = {}
        for entry in entries:
            symbol = Symbol(
                name=entry["name"],
                title=entry.get("title", entry["name"]),
                coinpaprika=entry.get("coinpaprika"),
                market=entry.get("market", entry["name"]),
                default=entry.get("default", False),
            )
            if symbol.name in book or symbol.name == ALL or symbol.name != symbol.name.upper():
                raise ConfigurationError(
                    f"symbols file {path or '(shipped)'}: {symbol.name!r} must be a unique upper-case ticker, not {ALL}"
                )
            book[symbol.name] = symbol
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"symbols file {path or '(shipped)'} cannot be read: {error!r}; each [[symbol]] needs at least a name"
        ) from error
    return book


def select(book: SymbolBook, names: tuple[str, ...]) -> tuple[Symbol, ...]:
    """Symbols of the given names in the order of the file.

    Raises
    ------
    UnknownSymbolError
        A name that the file does not list.
    """
    for name in names:
        if name not in book:
            raise UnknownSymbolError(name, tuple(book))
    wanted = set(names)
    return tuple(symbol for symbol in book.values() if symbol.name in wanted)


def defaults(book: SymbolBook) -> tuple[Symbol, ...]:
    """The symbols a new deployment follows."""
    return tuple(symbol for symbol in book.values() if symbol.default)
