"""What a check is, and what several statements share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import pandas as pd
from sqlalchemy import Column, Select, String, Table, column, func, select, values

from crypto_platform.core.features import DEFAULT, FeatureSet
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import Symbol, ended

DAY: Final = timedelta(days=1)
RECENT: Final = timedelta(days=7)
SHOWN: Final = 3  # things named of a symbol; the rest are counted


@dataclass(frozen=True, slots=True)
class Scope:
    """What a check is evaluated for: the symbols of a run, the moment it stands for, and what is set.

    Parameters
    ----------
    symbols : tuple of Symbol
    as_of : datetime
    feature_set : FeatureSet
        The features in use.
    candle_sources : int
        How many can be used.
    """

    symbols: tuple[Symbol, ...]
    as_of: datetime
    feature_set: FeatureSet = DEFAULT
    candle_sources: int = 2

    @property
    def names(self) -> list[str]:
        """Tickers."""
        return [symbol.name for symbol in self.symbols]

    @property
    def listed(self) -> list[str]:
        """Tickers of the symbols that are still quoted: of the others nothing new is to come."""
        return [symbol.name for symbol in self.symbols if not ended(symbol, self.as_of)]


Failing = Mapping[str, str]
Statement = Callable[[Warehouse, Scope], Failing]


@dataclass(frozen=True, slots=True)
class Declared:
    """A check as a reader meets it.

    Parameters
    ----------
    asset, name : str
        `name` is a statement that should be true.
    says : str
        The statement as a sentence.
    means, do : str
        What it means where it fails, and what to do about it.
    is_error : bool
        ERROR: wrong data may be served. WARN: look at it.
    """

    asset: str
    name: str
    says: str
    means: str
    do: str
    is_error: bool = False

    @property
    def severity(self) -> str:
        """ERROR or WARN."""
        return "ERROR" if self.is_error else "WARN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Declared):
    """A check with its statement, which gives the symbols of which it is not true, with what is wrong."""

    statement: Statement


def check(table: Table | str, statement: Statement, says: str, means: str, do: str, *, is_error: bool = False) -> Check:
    """The check that a statement makes of an asset."""
    asset = table if isinstance(table, str) else table.name
    return Check(asset, statement.__name__, says, means, do, is_error, statement=statement)


def words(span: timedelta) -> str:
    """A span of time in its largest whole unit.

    Examples
    --------
    >>> words(timedelta(hours=26)), words(timedelta(days=1)), words(timedelta(minutes=5))
    ('26 hours', '1 day', '5 minutes')
    """
    for unit, name in ((DAY, "day"), (timedelta(hours=1), "hour"), (timedelta(minutes=1), "minute")):
        if span % unit == timedelta():
            return f"{span // unit} {name}{'s' if span // unit != 1 else ''}"
    return str(span)


def last(span: timedelta) -> str:
    """A span of time before now, with its article.

    Examples
    --------
    >>> last(timedelta(days=1)), last(timedelta(days=7))
    ('the last day', 'the last 7 days')
    """
    return f"the last {words(span).removeprefix('1 ')}"


def stamp(moment: datetime) -> str:
    """An instant to the minute."""
    return f"{moment:%Y-%m-%d %H:%M}"


def some(found: list[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def newest(instant: Column[datetime], scope: Scope, *where: Any) -> Select[Any]:
    """Newest instant of each symbol that has one: one seek in the key a symbol, however long the history is."""
    asked = values(column("symbol", String), name="asked").data([(name,) for name in scope.names]).cte()
    of_symbol = instant.table.c.symbol == asked.c.symbol
    found = select(func.max(instant)).where(of_symbol, *where).scalar_subquery()
    return select(asked.c.symbol, found.label("newest"))


def older_than(rows: pd.DataFrame, names: list[str], as_of: datetime, limit: timedelta) -> dict[str, str]:
    """Names whose newest instant is missing or too old."""
    held = dict(zip(rows["symbol"], rows["newest"], strict=True))
    failing = {}
    for name in names:
        if name not in held or pd.isna(held[name]):
            failing[name] = "there is none"
        elif as_of - held[name] > limit:
            failing[name] = f"the newest is of {stamp(held[name])} UTC"
    return failing
