"""What names a refused row: equal rows, refused for the same reason, are one."""

import hashlib


def rejection_id(source: str, dataset: str, symbol: str | None, reason: str, payload: str) -> str:
    """Key of a row of `quarantine`: the SHA-256 of its content, 64 hex digits.

    Examples
    --------
    >>> rejection_id("binance", "ohlcv_data", "BTC", "off_grid", "[1]")[:8]
    '849f6c2a'
    """
    return hashlib.sha256(f"{source}|{dataset}|{symbol}|{reason}|{payload}".encode()).hexdigest()
