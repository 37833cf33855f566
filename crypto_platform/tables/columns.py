"""The one MetaData, the column types of our own, and columns that several tables share."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Dialect, Double, Integer, MetaData, String, Table
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.types import JSON, TypeDecorator, TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
SYMBOL_LENGTH: Final = 32
VERSION_LENGTH: Final = 64


class UTCDateTime(TypeDecorator[datetime]):
    """An aware UTC instant: TIMESTAMPTZ on Postgres, microseconds since 1970 on SQLite.

    SQLite has no type for instants and gives naive ones back; an integer is exact, sorts right and loads fast.
    """

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """TIMESTAMPTZ where there is one."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse naive instants; SQLite gets microseconds."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} is naive; every stored instant carries a time zone")
        return value if dialect.name == "postgresql" else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Aware UTC on both engines."""
        if value is None:
            return None
        value = value.astimezone(UTC) if dialect.name == "postgresql" else EPOCH + value * MICROSECOND
        assert isinstance(value, datetime)
        return value


_TYPE_NAMES: Final[tuple[tuple[type[Any], str], ...]] = (
    (UTCDateTime, "instant"),
    (Double, "double"),
    (Boolean, "boolean"),
    (Integer, "integer"),
    (JSON, "document"),
    (String, "text"),
)


def type_name(column: Column[Any]) -> str:
    """Type of a column in words that hold on every engine."""
    return next(name for kind, name in _TYPE_NAMES if isinstance(column.type, kind))


def check_constraints(table: Table) -> list[CheckConstraint]:
    """All CHECK constraints of a table by name, those of single columns among them."""
    found = {c for part in (table, *table.columns) for c in part.constraints if isinstance(c, CheckConstraint)}
    return sorted(found, key=lambda check: str(check.name))


Json = JSON().with_variant(JSONB(), "postgresql")


def symbol(*, comment: str = "Ticker, as the symbols file names it") -> Column[str]:
    """Key column of per-symbol tables."""
    return Column("symbol", String(SYMBOL_LENGTH), primary_key=True, comment=comment, info={"unit": "ticker"})


def horizon() -> Column[int]:
    """Key column of tables about forecasts."""
    return Column(
        "horizon",
        Integer,
        CheckConstraint("horizon > 0", name="horizon_positive"),
        primary_key=True,
        autoincrement=False,
        comment="Hours ahead that are forecast",
        info={"unit": "hours"},
    )


def version(*, primary_key: bool = False) -> Column[str]:
    """The model bundle a row speaks of."""
    return Column(
        "version",
        String(VERSION_LENGTH),
        primary_key=primary_key,
        nullable=False,
        comment="Model bundle: a prefix of the SHA-256 of its manifest",
        info={"unit": "hash"},
    )


def instant(name: str, comment: str, *, primary_key: bool = False, nullable: bool = False) -> Column[datetime]:
    """A column holding an aware UTC instant."""
    return Column(
        name,
        UTCDateTime,
        primary_key=primary_key,
        autoincrement=False,  # a lone key of integer affinity would become Postgres' SERIAL
        nullable=nullable and not primary_key,
        comment=comment,
        info={"unit": "UTC instant"},
    )


def number(
    name: str, unit: str, comment: str, *, check: str | None = None, nullable: bool = True, quantity: str = ""
) -> Column[float]:
    """A double precision column; `check` is an SQL condition on it, such as ``> 0``.

    `quantity` is what refused rows call it (`render.frames`), where several columns are one kind of thing.
    """
    constraints = [CheckConstraint(f"{name} {check}", name=f"{name}_range")] if check else []
    info = {"unit": unit, "quantity": quantity or name}
    return Column(name, Double, *constraints, nullable=nullable, comment=comment, info=info)


def probability(name: str, comment: str, *, nullable: bool = True) -> Column[float]:
    """A double in [0, 1]."""
    return Column(
        name,
        Double,
        CheckConstraint(f"{name} >= 0 AND {name} <= 1", name=f"{name}_range"),
        nullable=nullable,
        comment=comment,
        info={"unit": "probability"},
    )


def text(name: str, comment: str, *, nullable: bool = False, unit: str = "text", length: int = 200) -> Column[str]:
    """A short text column."""
    return Column(name, String(length), nullable=nullable, comment=comment, info={"unit": unit})


def count(name: str, comment: str, *, nullable: bool = False, server_default: str | None = None) -> Column[int]:
    """A number of things, never negative."""
    return Column(
        name,
        Integer,
        CheckConstraint(f"{name} >= 0", name=f"{name}_range"),
        nullable=nullable,
        server_default=server_default,
        comment=comment,
        info={"unit": "count"},
    )


def document(name: str, comment: str, *, nullable: bool = True) -> Column[Any]:
    """A JSON column."""
    return Column(name, Json, nullable=nullable, comment=comment, info={"unit": "JSON"})
