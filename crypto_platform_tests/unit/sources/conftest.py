"""Payloads in the vendors' own form."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crypto_platform.symbols import Symbol

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="session")
def payload() -> Callable[[str, str], Any]:
    """Reader of `data/<source>/<name>.json`: a fresh copy each time."""
    return lambda source, name: json.loads((DATA / source / f"{name}.json").read_text("utf-8"))


@pytest.fixture(scope="session")
def btc() -> Symbol:
    return Symbol("BTC", "Bitcoin", "btc-bitcoin", "BTC", default=True)
