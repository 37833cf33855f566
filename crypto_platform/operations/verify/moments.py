"""Arithmetic of instants in SQL that both engines understand."""

from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import BigInteger, ColumnElement, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from crypto_platform.tables.columns import MICROSECOND, UTCDateTime

_LENGTHS: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1)}


class Later(FunctionElement[datetime]):
    """An instant and a time span after it, taken `times` times."""

    type = UTCDateTime()
    inherit_cache = True

    def __init__(self, moment: ColumnElement[Any], span: timedelta, times: ColumnElement[int] | None = None) -> None:
        length = literal(span // MICROSECOND, BigInteger)
        super().__init__(moment, length if times is None else length * times)


class Floored(FunctionElement[datetime]):
    """Start of the hour or day (UTC) that holds an instant."""

    type = UTCDateTime()
    inherit_cache = True

    def __init__(self, moment: ColumnElement[Any], unit: Literal["hour", "day"]) -> None:
        super().__init__(moment, literal(unit), literal(_LENGTHS[unit] // MICROSECOND, BigInteger))


@compiles(Later)
def _add_microseconds(element: Later, compiler: SQLCompiler, **options: Any) -> str:
    moment, span = (compiler.process(part, **options) for part in element.clauses)
    return f"({moment} + {span})"


@compiles(Later, "postgresql")
def _add_interval(element: Later, compiler: SQLCompiler, **options: Any) -> str:
    moment, span = (compiler.process(part, **options) for part in element.clauses)
    return f"({moment} + {span} * INTERVAL '1 microsecond')"


@compiles(Floored)
def _subtract_remainder(element: Floored, compiler: SQLCompiler, **options: Any) -> str:
    moment, _, length = (compiler.process(part, **options) for part in element.clauses)
    return f"({moment} - {moment} % {length})"


@compiles(Floored, "postgresql")
def _truncate(element: Floored, compiler: SQLCompiler, **options: Any) -> str:
    moment, unit, _ = (compiler.process(part, **options) for part in element.clauses)
    return f"date_trunc({unit}, {moment})"
