"""Changes of aliases, each in the caller's transaction: who serves, who waits, who served before."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select

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
    """
    before = holder(connection, symbol, horizon, CHAMPION, at)
    if before == version:
        return
    common = {"symbol": symbol, "horizon": horizon, "at": at, "actor": actor, "reason": reason[:REASON_LENGTH]}
    rows: list[Mapping[str, Any]] = [{**common, "alias": CHAMPION, "version_from": before, "version_to": version}]
    if before is not None:
        rows.append({**common, "alias": PREVIOUS, "version_from": None, "version_to": before})
    warehouse.upsert(connection, model_aliases, warehouse.records(rows))
    if holder(connection, symbol, horizon, CHALLENGER, at) == version:
        challenge(connection, symbol, horizon, None, at=at, actor=actor, reason=reason)


def challenge(
    connection: Connection, symbol: str, horizon: int, version: str | None, *, at: datetime, actor: str, reason: str
) -> None:
    """Make a version the challenger; with None there is none any more. Nothing happens where it is so already."""
    before = holder(connection, symbol, horizon, CHALLENGER, at)
    if before == version:
        return
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
    warehouse.upsert(connection, model_aliases, warehouse.records([row]))


def holder(connection: Connection, symbol: str, horizon: int, alias: str, at: datetime) -> str | None:
    """Version that an alias points to at a moment."""
    a = model_aliases.c
    held = warehouse.read(
        connection,
        select(a.version_to)
        .where(a.symbol == symbol, a.horizon == horizon, a.alias == alias, a["at"] <= at)
        .order_by(a["at"].desc())
        .limit(1),
    )["version_to"].tolist()
    return held[0] if held else None
