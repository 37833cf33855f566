"""The tables' own constraints, applied to frames: what a database would refuse is named before it gets there."""

import operator
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import CheckConstraint, Constraint, Double, Table

_OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_COMPARISON: Final = re.compile(r"(\w+) (>=|<=|>|<) (\w+)")

Columns = dict[str, NDArray[np.float64]]
Rule = tuple[str, Callable[[Columns], NDArray[np.bool_]]]


def broken_rules(table: Table, frame: pd.DataFrame) -> NDArray[np.object_]:
    """First rule of its table that each row breaks.

    Parameters
    ----------
    table : Table
        Declares the rules: CHECK constraints on doubles, and doubles that must not be NULL.
    frame : DataFrame
        Holds all doubles of the table that a rule reads; values may be anything a float can hold. NaN stands for NULL.

    Returns
    -------
    array of str, shape (n_rows,)
        Empty where the row is sound. ``non_finite_<quantity>`` where a number is missing or infinite that must not
        be; ``non_positive_<quantity>`` or ``negative_<quantity>`` where one is too small; else the constraint's name.
    """
    columns = {
        c.name: frame[c.name].to_numpy(float) for c in table.columns if isinstance(c.type, Double) and c.name in frame
    }
    reasons = np.full(len(frame), "", dtype=object)
    with np.errstate(invalid="ignore"):
        for reason, breaks in reversed(_rules(table, frozenset(columns))):
            reasons[breaks(columns)] = reason
    return reasons


@lru_cache(maxsize=64)
def _rules(table: Table, given: frozenset[str]) -> tuple[Rule, ...]:
    """Rules on the given columns, the ones about single numbers first."""
    doubles = [c for c in table.columns if c.name in given]
    finite = [_finite(c.name, f"non_finite_{c.info['quantity']}", nullable=bool(c.nullable)) for c in doubles]
    ranges = [
        _condition(str(check.sqltext), _too_small(str(check.sqltext), c.info["quantity"]))
        for c in doubles
        for check in c.constraints
        if isinstance(check, CheckConstraint)
    ]
    own = {id(check) for c in table.columns for check in c.constraints}
    relations = [
        _condition(str(check.sqltext), str(check.name).removeprefix(f"ck_{table.name}_"))
        for check in sorted(table.constraints, key=_simplest_first)
        if isinstance(check, CheckConstraint) and id(check) not in own and _names(str(check.sqltext)) <= given
    ]
    return (*finite, *ranges, *relations)


def _simplest_first(constraint: Constraint) -> tuple[int, str]:
    """A table's constraints have no order of their own."""
    return len(str(getattr(constraint, "sqltext", ""))), str(constraint.name)


def _finite(name: str, reason: str, *, nullable: bool) -> Rule:
    return reason, lambda columns: np.isinf(columns[name]) if nullable else ~np.isfinite(columns[name])


def _too_small(condition: str, quantity: str) -> str:
    return f"non_positive_{quantity}" if " > " in condition else f"negative_{quantity}"


def _condition(text: str, reason: str) -> Rule:
    """Rule that a row breaks where one of the comparisons is false; one with a NULL is not, as in SQL."""
    comparisons = list(_comparisons(text))

    def breaks(columns: Columns) -> NDArray[np.bool_]:
        broken = np.zeros(len(next(iter(columns.values()))), dtype=bool)
        for left, compare, right in comparisons:
            a, b = (columns[side] if side in columns else float(side) for side in (left, right))
            broken |= ~compare(a, b) & ~np.isnan(a) & ~np.isnan(b)
        return broken

    return reason, breaks


def _comparisons(text: str) -> Iterator[tuple[str, Callable[[Any, Any], Any], str]]:
    """Parts of a condition; a constraint of another form must be written so, or be no rule on doubles."""
    for part in text.split(" AND "):
        match = _COMPARISON.fullmatch(part.strip())
        assert match, f"constraint {text!r} is no conjunction of comparisons"
        yield match[1], _OPERATORS[match[2]], match[3]


def _names(text: str) -> set[str]:
    return {side for left, _, right in _comparisons(text) for side in (left, right) if not side.isdecimal()}
