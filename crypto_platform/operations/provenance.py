"""A store holds live, recorded or simulated data, never two of them."""

from sqlalchemy import Connection, select

from crypto_platform.core.provenance import Provenance, provenance_of
from crypto_platform.errors import ProvenanceError
from crypto_platform.sources.base import Fetched
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import market_data, ohlcv_data, sentiment_data

TABLES = (ohlcv_data, market_data, sentiment_data)


def store_provenance(connection: Connection) -> Provenance | None:
    """Provenance of what a store holds; None while it holds nothing."""
    for table in TABLES:
        source = connection.execute(select(table.c.source).limit(1)).scalar()
        if source is not None:
            return provenance_of(source)
    return None


def provenance_of_store(store: Warehouse) -> Provenance | None:
    """`store_provenance` in a transaction of its own."""
    with store.reading() as connection:
        return store_provenance(connection)


def require_same(connection: Connection, fetched: Fetched) -> None:
    """Refuse data of another provenance than what the store holds; nothing fetched has none.

    Raises
    ------
    ProvenanceError
        Naming both, and how to go on.
    """
    if fetched.rows.empty and not fetched.rejected:
        return
    held = store_provenance(connection)
    if held is not None and held is not fetched.provenance:
        raise ProvenanceError(
            f"this store holds {held} data and {fetched.provenance} data arrived: set CRYPTO_PLATFORM_HOME "
            "(or DATABASE_URL) to another place, or the vendors' *_URL settings back"
        )
