"""Statements that should be true of the tables: each gives the symbols of which it is not, and why.

All are bounded: one query each for all symbols, over the last days or the newest row, however long the history is.
"""

from typing import Final

from crypto_platform.operations.checks import candles, collected, prices, served
from crypto_platform.operations.checks.base import Check, Declared, Scope

__all__ = ["CHECKS", "Check", "Declared", "Scope"]

CHECKS: Final[tuple[Check, ...]] = (*candles.CHECKS, *prices.CHECKS, *collected.CHECKS, *served.CHECKS)
