"""The retrain sensor: every failed decision check leads to one training of its symbol a day, and nothing else does."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.partition_status_cache import AssetStatusCacheValue  # noqa: F401

from crypto_platform.defs import automation
from crypto_platform.defs.checks import decision_keys

SYMBOLS = ("BTC", "ETH", "ADA")
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
ACCURACY, DRIFT, FRESH = decision_keys()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened
