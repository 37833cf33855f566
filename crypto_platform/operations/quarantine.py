"""Refused upstream rows, kept with the reason."""

from datetime import datetime

from sqlalchemy import Connection

from crypto_platform.core.quarantine import rejection_id
from crypto_platform.sources.base import Fetched
from crypto_platform.storage import warehouse
from crypto_platform.tables import quarantine


def keep(connection: Connection, fetched: Fetched, seen_at: datetime) -> None:
    """Keep what a vendor's answer had to be refused of; the first sight of a row stays."""
    if not fetched.rejected:
        return
    rows = [
        {
            "id": rejection_id(r.source, r.dataset, r.symbol, r.reason, r.payload),
            "source": r.source,
            "dataset": r.dataset,
            "symbol": r.symbol,
            "reason": r.reason,
            "payload": r.payload,
            "seen_at": seen_at,
        }
        for r in fetched.rejected
    ]
    warehouse.insert_missing(connection, quarantine, warehouse.records(rows).drop_duplicates("id"))
