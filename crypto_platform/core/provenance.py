"""Where data comes from, said in every row's `source`: `binance`, `simulated:binance`, `recorded:binance`.

The prefix makes a store speak for itself: simulated data is called so wherever it is shown.
"""

from enum import StrEnum


class Provenance(StrEnum):
    """What stands behind an API's answers."""

    LIVE = "live"
    RECORDED = "recorded"
    SIMULATED = "simulated"


def source_label(vendor: str, provenance: Provenance) -> str:
    """Value of a row's `source` column.

    Examples
    --------
    >>> source_label("binance", Provenance.LIVE), source_label("binance", Provenance.SIMULATED)
    ('binance', 'simulated:binance')
    """
    return vendor if provenance is Provenance.LIVE else f"{provenance}:{vendor}"


def provenance_of(source: str) -> Provenance:
    """Provenance that a `source` value states.

    Examples
    --------
    >>> provenance_of("recorded:binance"), provenance_of("kraken")
    (<Provenance.RECORDED: 'recorded'>, <Provenance.LIVE: 'live'>)
    """
    prefix, separator, _ = source.partition(":")
    return Provenance(prefix) if separator else Provenance.LIVE


def vendor_of(source: str) -> str:
    """Vendor that a `source` value names.

    Examples
    --------
    >>> vendor_of("recorded:binance"), vendor_of("kraken")
    ('binance', 'kraken')
    """
    return source.rpartition(":")[2]
