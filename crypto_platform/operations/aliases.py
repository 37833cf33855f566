"""Changes of aliases, each in the caller's transaction: who serves, who waits, who served before."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, select

from crypto_platform.errors import ConfigurationError
from crypto_platform.storage import warehouse
from crypto_platform.tables import model_aliases

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
PREVIOUS: Final = "previous"
REASON_LENGTH: Final = 200  # of the column


def point(
    connection: Connection, symbol: str, horizon: int, version: str, *, at: datetime, actor: str, reason: str
) -> None:
    """Make a version the champion and its predecessor the previous one; a challenger that it was, it is no more.

    Nothing happens where it is the champion already.

    Raises
    ------
    ConfigurationError
        The champion was chosen later than `at`: what served when is not changed afterwards.
    """
    before = holder(connection, symbol, horizon, CHAMPION)
    if before == version:
        return
    at = _after_last(connection, symbol, horizon, CHAMPION, at)
    common = {"symbol": symbol, "horizon": horizon, "at": at, "actor": actor, "reason": reason[:REASON_LENGTH]}
    rows: list[Mapping[str, Any]] = [{**common, "alias": CHAMPION, "version_from": before, "version_to": version}]
    if before is not None:
        rows.append({**common, "alias": PREVIOUS, "version_from": None, "version_to": before})
    warehouse.insert_missing(connection, model_aliases, warehouse.records(rows))
    if holder(connection, symbol, horizon, CHALLENGER) == version:
        challenge(connection, symbol, horizon, None, at=at, actor=actor, reason=reason)


def challenge(
    connection: Connection, symbol: str, horizon: int, version: str | None, *, at: datetime, actor: str, reason: str
) -> None:
    """Make a version the challenger; with None there is none any more. Nothing happens where it is so already.

    Raises as `point` does.
    """
    before = holder(connection, symbol, horizon, CHALLENGER)
    if before == version:
        return
    at = _after_last(connection, symbol, horizon, CHALLENGER, at)
    row = {
        "symbol": symbol,
        "horizon": horizon,
        "alias": CHALLENGER,
        "at": at,
        "version_from": before,
        "version_to": version,
        "actor": actor,
        "reason": reason[:REASON_LENGTH],
    }
    warehouse.insert_missing(connection, model_aliases, warehouse.records([row]))


def holder(connection: Connection, symbol: str, horizon: int, alias: str) -> str | None:
    """Version that an alias points to, whenever it began to."""
    _, version = _last(connection, symbol, horizon, alias)
    return version


def _after_last(connection: Connection, symbol: str, horizon: int, alias: str, at: datetime) -> datetime:
    """`at`, or just after a change of the same moment."""
    last, _ = _last(connection, symbol, horizon, alias)
    if last is not None and last > at:
        raise ConfigurationError(
            f"the {alias} of {symbol}, {horizon} h was chosen at {last:%Y-%m-%d %H:%M} UTC, later than "
            f"{at:%Y-%m-%d %H:%M} UTC; name a later moment by --now"
        )
    return at if last is None else max(at, last + timedelta(microseconds=1))


def _last(connection: Connection, symbol: str, horizon: int, alias: str) -> tuple[datetime | None, str | None]:
    """Moment and version of an alias' newest change."""
    a = model_aliases.c
    change = connection.execute(
        select(a["at"], a.version_to)
        .where(a.symbol == symbol, a.horizon == horizon, a.alias == alias)
        .order_by(a["at"].desc())
        .limit(1)
    ).first()
    return (None, None) if change is None else (change[0], change[1])
