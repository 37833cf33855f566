"""What an operation tells of its work: one result per symbol, errors included."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ParamSpec

from crypto_platform.errors import PlatformError, ProvenanceError

logger = logging.getLogger(__name__)
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class SymbolResult:
    """What was done for one symbol.

    Parameters
    ----------
    rows : int
        Rows inserted or changed.
    first, last : datetime or None
        Oldest and newest hour (or instant) the symbol's rows now speak of, where the operation knows.
    details : mapping
        Numbers and texts worth showing; plain JSON values.
    error : str or None
        One sentence where the symbol's part failed; its rows are then as they were before.
    """

    symbol: str
    rows: int = 0
    first: datetime | None = None
    last: datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Results of all symbols an operation was asked for, in the order asked."""

    subject: str
    results: tuple[SymbolResult, ...]
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows inserted or changed over all symbols."""
        return sum(result.rows for result in self.results)

    @property
    def failed(self) -> dict[str, str]:
        """Error of each symbol that failed."""
        return {result.symbol: result.error for result in self.results if result.error is not None}

    @property
    def all_failed(self) -> bool:
        """Whether nothing succeeded (false where nothing was asked)."""
        return bool(self.results) and len(self.failed) == len(self.results)


def joined(first: Report, second: Report) -> Report:
    """What two operations did for the same symbols; rows and times are of the first."""
    others = {result.symbol: result for result in second.results}

    def join(result: SymbolResult) -> SymbolResult:
        other = others.get(result.symbol, SymbolResult(result.symbol))
        errors = "; ".join(error for error in (result.error, other.error) if error)
        return replace(result, details={**result.details, **other.details}, error=errors or None)

    return replace(first, results=tuple(join(result) for result in first.results))


def together(symbols: Sequence[str], work: Callable[[Sequence[str]], Sequence[SymbolResult]]) -> Sequence[SymbolResult]:
    """Results of what is done for all symbols in one transaction; of each alone where that fails: one holds up none.

    Raises
    ------
    ProvenanceError
        See `attempted`.
    """
    if len(symbols) > 1:
        try:
            return work(symbols)
        except ProvenanceError:
            raise
        except Exception:
            logger.info("a run of %d symbols at once failed: each is done alone", len(symbols), exc_info=True)
    return [attempted(symbol, lambda one: work([one])[0], symbol) for symbol in symbols]


def attempted(symbol: str, work: Callable[P, SymbolResult], *args: P.args, **kwargs: P.kwargs) -> SymbolResult:
    """The result of one symbol's part of a run: whatever ends it is that symbol's error, and holds up no other.

    Raises
    ------
    ProvenanceError
        Which concerns the store, and so all symbols.
    """
    try:
        return work(*args, **kwargs)
    except ProvenanceError:
        raise
    except PlatformError as error:
        return SymbolResult(symbol, error=str(error))
    except Exception as error:
        logger.exception("the part of %s in a run ended unexpectedly", symbol)
        return SymbolResult(symbol, error=f"{type(error).__name__}: {error}; the log has where, please report it")
