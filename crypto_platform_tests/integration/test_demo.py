"""The demo is one and the same on both engines, on every home, and when it is run again."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import select

from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import metadata

pytestmark = pytest.mark.slow

NOW = "2026-11-20T12:30:00Z"
WRITTEN_AT = {"created_at", "seen_at", "run_id"}  # of the machine's clock, where any column is
Tables = dict[str, pd.DataFrame]


def run(home: Path, database: str | None = None) -> Tables:
    """Run the demo and read every table, in key order."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CRYPTO_PLATFORM_")}
    environment |= {"CRYPTO_PLATFORM_HOME": str(home), "CRYPTO_PLATFORM_SYMBOLS": "BTC,ETH"}
    if database:
        environment["CRYPTO_PLATFORM_DATABASE_URL"] = database
    done = subprocess.run(
        [sys.executable, "-m", "crypto_platform", "demo", "--days", "60", "--now", NOW],
        env=environment, cwd=home, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "SIMULATED" in done.stdout
    url = database or f"sqlite:///{next(home.rglob('crypto_platform.db'))}"
    store = Warehouse.open(url)
    tables = {table.name: store.read(select(table).order_by(*table.primary_key)) for table in metadata.sorted_tables}
    store.close()
    return tables


@pytest.fixture(scope="module")
def first_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("first")


@pytest.fixture(scope="module")
def first(first_home: Path) -> Tables:
    return run(first_home)


def assert_same(ours: Tables, theirs: Tables, ignored: set[str] = WRITTEN_AT) -> None:
    assert set(ours) == set(theirs)
    for name, frame in ours.items():
        kept = [column for column in frame if column not in ignored]
        keys = [column.name for column in metadata.tables[name].primary_key]
        sort: Callable[[pd.DataFrame], pd.DataFrame] = lambda f, by=keys: f.sort_values(by).reset_index(drop=True)  # noqa: E731
        pd.testing.assert_frame_equal(
            sort(frame)[kept], sort(theirs[name])[kept], rtol=0, atol=1e-12, check_dtype=False, obj=name
        )


# nothing simulated need be refused, restated, imported or missing, and one source has none to be compared with
MAY_BE_EMPTY = {
    "alerts",
    "alert_deliveries",
    "imported_files",
    "ohlcv_crosschecks",
    "ohlcv_gaps",
    "ohlcv_revisions",
    "quarantine",
    "vendor_states",
}


def test_every_table_of_the_demo_has_rows(first: Tables) -> None:
    assert {name for name, frame in first.items() if frame.empty} <= MAY_BE_EMPTY
    assert len(first["predictions"]) > 300
    assert first["predictions"]["prob_up"].notna().mean() > 0.9
    reasons = [reason for row in first["retrain_decisions"]["reasons"] for reason in row]
    assert reasons, "models of a week ago are old"
    assert not any("no champion" in reason for reason in reasons), "what decides knows what served"


def test_postgres_holds_what_sqlite_holds(first: Tables, tmp_path: Path, postgres_database: str) -> None:
    assert_same(first, run(tmp_path, postgres_database))


def test_another_home_gets_the_same_bundles_and_rows(first: Tables, tmp_path: Path) -> None:
    again = run(tmp_path)
    assert again["model_versions"]["bundle_sha256"].tolist() == first["model_versions"]["bundle_sha256"].tolist()
    assert_same(first, again)


def test_running_again_in_the_same_home_changes_no_forecast(first: Tables, first_home: Path) -> None:
    again = run(first_home)
    for name in ("ohlcv_data", "features", "predictions", "prediction_outcomes", "model_versions", "ab_test_results"):
        pd.testing.assert_frame_equal(first[name], again[name], obj=name)
