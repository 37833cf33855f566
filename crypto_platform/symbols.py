"""Symbols and their vendor identifiers: the only place where one is written.

Two files make the book: the shipped one (or an operator's own), and what `crypto-platform symbols` wrote in HOME. Which
symbols a deployment follows is theirs to say, or a setting's (`settings.Settings.symbols`).
"""

import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final

from crypto_platform.errors import ConfigurationError, UnknownSymbolError

ALL: Final = "ALL"  # stands for "every symbol" in monitoring rows; never a symbol's name

_TEXTS: Final = ("name", "title", "coinpaprika", "market")
_FILE_KEYS: Final = (*_TEXTS, "listings", "default")
_CHOICE_KEYS: Final = (*_TEXTS, "listings", "follow")
_LISTING_KEYS: Final = ("market", "since", "until", "units")


@dataclass(frozen=True, slots=True)
class Listing:
    """A period in which vendors quoted an asset under one name: one ticker is not one asset for ever.

    Parameters
    ----------
    market : str
        Base asset on exchanges and price indices in that period.
    since, until : datetime or None
        `[since, until)`, whole hours in UTC; None = open on that side.
    units : float
        Today's coins that one coin of that period became. Prices of the period are divided by it and base volumes
        multiplied by it; quote volumes and trades stay. 1000 for a redenomination of one old coin into 1000 new ones.
    """

    market: str
    since: datetime | None = None
    until: datetime | None = None
    units: float = 1.0


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
        Base asset on exchanges and price indices today; that of the last listing, or `name`, unless the file says so.
    default : bool
        Whether a deployment follows it that lists no symbols of its own.
    listings : tuple of Listing
        Ascending and disjoint; empty = `market` from the beginning, without an end.
    """

    name: str
    title: str
    coinpaprika: str | None
    market: str
    default: bool
    listings: tuple[Listing, ...] = ()

    def pair(self, quote: str, separator: str = "") -> str:
        """Name of its market against `quote`, such as BTCUSDT or BTC-USD."""
        return f"{self.market}{separator}{quote}"


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of an interval with one name in it: `[start, end)`, the symbol under that name, and `Listing.units`."""

    start: datetime
    end: datetime
    symbol: Symbol
    units: float


SymbolBook = Mapping[str, Symbol]


def pieces(symbol: Symbol, start: datetime, end: datetime) -> tuple[Piece, ...]:
    """What to ask the vendors for, to get a symbol's candles of an interval.

    Parameters
    ----------
    symbol : Symbol
    start, end : datetime
        `[start, end)`, whole hours in UTC.

    Returns
    -------
    tuple of Piece
        Ascending and disjoint, inside the interval. Hours outside all listings are in none of them.

    Examples
    --------
    >>> swap = datetime(2024, 9, 10, 3, tzinfo=UTC)
    >>> coin = Symbol("NEW", "", None, "NEW", False, (Listing("OLD", until=swap, units=10.0), Listing("NEW", swap)))
    >>> [(p.symbol.market, p.units) for p in pieces(coin, swap.replace(hour=0), swap.replace(hour=6))]
    [('OLD', 10.0), ('NEW', 1.0)]
    """
    found = []
    for listing in symbol.listings or (Listing(symbol.market),):
        first = max(start, listing.since) if listing.since else start
        last = min(end, listing.until) if listing.until else end
        if first < last:
            named = replace(symbol, market=listing.market, listings=())
            found.append(Piece(first, last, named, listing.units))
    return tuple(found)


def ended(symbol: Symbol, as_of: datetime) -> datetime | None:
    """End of a symbol's last listing where that is over by `as_of`: its series has stopped, it is not late."""
    until = symbol.listings[-1].until if symbol.listings else None
    return until if until is not None and until <= as_of else None


def load_symbols(path: Path | None = None, choices: Path | None = None) -> SymbolBook:
    """Read the symbols.

    Parameters
    ----------
    path : Path, optional
        A TOML file in the form of the shipped `symbols.toml`, which is read when none is given.
    choices : Path, optional
        What the operator chose and added, see `merge`; may be missing.

    Returns
    -------
    mapping of str to Symbol
        In file order, newly followed ones last, which is the order of partitions.

    Raises
    ------
    ConfigurationError
        A file cannot be read, is not TOML, or has an entry that is wrong: with file, symbol and key.
    """
    where = str(path or "(shipped)")
    with _naming(where):
        text = (path or resources.files("crypto_platform").joinpath("symbols.toml")).read_text("utf-8")
        entries = tomllib.loads(text)
        if "symbol" not in entries:
            raise ValueError("it has no [[symbol]]")
        book: dict[str, Symbol] = {}
        for entry in _entries(entries, _FILE_KEYS):
            symbol = _symbol(entry, None)
            if symbol.name in book:
                raise ValueError(f"symbol {symbol.name!r} is there twice; a name must be unique")
            book[symbol.name] = symbol
    if choices is None:
        return book
    with _naming(str(choices)):
        chosen = choices.read_text("utf-8") if choices.exists() else ""
    return merge(book, chosen, str(choices))


def merge(book: SymbolBook, text: str, where: str) -> SymbolBook:
    """A book with an operator's choices.

    Parameters
    ----------
    book : mapping of str to Symbol
    text : str
        TOML. Each [[symbol]] changes the fields it names; a name the book lacks is a new symbol, at the end. Later
        entries change earlier ones. `follow = true` moves a symbol that was not followed to the end, so that the order
        of those followed before it stays as it is.
    where : str
        The file, for messages.

    Raises
    ------
    ConfigurationError
        As `load_symbols`.
    """
    with _naming(where):
        merged = dict(book)
        for entry in _entries(tomllib.loads(text), _CHOICE_KEYS):
            old = merged.get(entry["name"])
            symbol = _symbol(entry, old)
            if symbol.default and not (old and old.default):
                merged.pop(symbol.name, None)
            merged[symbol.name] = symbol
    return merged


def choice_text(fields: Mapping[str, str | bool]) -> str:
    """One [[symbol]] as `merge` reads it."""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    return "\n".join(["[[symbol]]", *lines, ""])


def select(book: SymbolBook, names: tuple[str, ...]) -> tuple[Symbol, ...]:
    """Symbols of the given names in the order of the book.

    Raises
    ------
    UnknownSymbolError
        A name that the book does not list.
    """
    for name in names:
        if name not in book:
            raise UnknownSymbolError(name, tuple(book))
    wanted = set(names)
    return tuple(symbol for symbol in book.values() if symbol.name in wanted)


def defaults(book: SymbolBook) -> tuple[Symbol, ...]:
    """The symbols that are followed where no setting lists any."""
    return tuple(symbol for symbol in book.values() if symbol.default)


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Turn every mistake in a file into one sentence that names it."""
    try:
        yield
    except (OSError, ValueError) as error:  # TOML and Unicode errors are of the latter family
        raise ConfigurationError(f"symbols file {where} cannot be read: {error}") from error


def _entries(document: Mapping[str, Any], keys: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    _only(document, ("symbol",), "the file")
    entries = document.get("symbol", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("symbols are written as [[symbol]], one each")
    for entry in entries:
        name = entry.get("name")
        if name is None:
            raise ValueError("a [[symbol]] has no name")
        if not isinstance(name, str) or not name.isalnum() or name != name.upper() or name == ALL:
            raise ValueError(f"{name!r} must be an upper-case ticker of letters and digits, not {ALL}")
        _only(entry, keys, name)
        for key in keys:
            kind = list if key == "listings" else str if key in _TEXTS else bool
            if key in entry and (not isinstance(entry[key], kind) or entry[key] == ""):
                raise ValueError(f"{name}: {key} = {entry[key]!r} is no {_KINDS[kind]}")
        yield entry


_KINDS: Final = {str: "text", bool: "true or false", list: "list"}


def _only(table: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    for key in table:
        if key not in known:
            raise ValueError(f"{what}: unknown key {key!r}; known are {', '.join(known)}")


def _symbol(entry: Mapping[str, Any], old: Symbol | None) -> Symbol:
    """Symbol of an entry; what it does not say is as in `old`."""
    name = entry["name"]
    base = old or Symbol(name, name, None, name, default=False)
    listings = _listings(name, entry["listings"]) if "listings" in entry else base.listings
    market = entry.get("market", listings[-1].market if listings else base.market)
    if listings and listings[-1].market != market:
        raise ValueError(f"{name}: market {market!r} is not that of the last of its listings, {listings[-1].market!r}")
    return Symbol(
        name=name,
        title=entry.get("title", base.title),
        coinpaprika=entry.get("coinpaprika", base.coinpaprika),
        market=market,
        default=entry.get("follow", entry.get("default", base.default)),
        listings=listings,
    )


def _listings(name: str, tables: Sequence[Any]) -> tuple[Listing, ...]:
    read: list[Listing] = []
    for table in tables:
        if not isinstance(table, dict):
            raise ValueError(f"{name}: listing {table!r} is no table")  # noqa: TRY004 - of the file, not of the code
        _only(table, _LISTING_KEYS, f"{name}: listings")
        market, units = table.get("market"), table.get("units", 1)
        if not isinstance(market, str) or not market:
            raise ValueError(f"{name}: a listing has no market")
        if isinstance(units, bool) or not isinstance(units, int | float) or not 0 < units < math.inf:
            raise ValueError(f"{name}: units = {units!r} is no positive number")
        since, until = (_hour(name, key, table.get(key)) for key in ("since", "until"))
        if since and until and since >= until:
            raise ValueError(f"{name}: a listing of {market} ends at {until}, not after its beginning at {since}")
        if read and (since is None or read[-1].until is None or since < read[-1].until):
            raise ValueError(f"{name}: the listings of {read[-1].market} and {market} overlap, or are not in order")
        read.append(Listing(market, since, until, float(units)))
    return tuple(read)


def _hour(name: str, key: str, value: Any) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"{name}: {key} = {value} is no instant with a time zone, such as 2024-09-10T03:00:00Z")
    at = value.astimezone(UTC)
    if at.minute or at.second or at.microsecond:
        raise ValueError(f"{name}: {key} = {value} is no whole hour in UTC")
    return at
