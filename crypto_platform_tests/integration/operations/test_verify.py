"""Laws of verification: a sound store is found sound, each thing done to it by hand is found by its own rule."""

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, delete, insert, inspect, make_url, select, text, update
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from crypto_platform.cli.app import app
from crypto_platform.core.features import DEFAULT
from crypto_platform.core.hours import HOUR
from crypto_platform.core.quarantine import rejection_id
from crypto_platform.errors import PlatformError
from crypto_platform.operations import compare, decide
from crypto_platform.operations.decide import Rules
from crypto_platform.operations.verify import Rule, Verdict, findings, verify
from crypto_platform.sources.catalog import is_candle_vendor
from crypto_platform.storage import warehouse
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import (
    features,
    imported_files,
    market_data,
    metadata,
    model_aliases,
    model_versions,
    ohlcv_crosschecks,
    ohlcv_data,
    ohlcv_gaps,
    ohlcv_revisions,
    prediction_outcomes,
    predictions,
    quarantine,
    sentiment_data,
    vendor_states,
    watermarks,
)

Moment = Callable[[float], datetime]
START = datetime.fromisoformat("2026-01-05T00:00:00+00:00")
TRAINED, NOW = 1210, 1250  # hours of the training and of the present
PRESENT = START + NOW * HOUR + timedelta(minutes=5)
OLD, NEW = START + 100 * HOUR, START + (NOW - 20) * HOUR  # candles outside and inside of what is computed again
FEATURES = f"features:{DEFAULT.hash}"


def add_what_else_there_is(store: Warehouse) -> None:
    """A row of each table that the fixtures' collection does not fill."""
    restated = store.read(select(ohlcv_data).where(ohlcv_data.c.symbol == "ETH", ohlcv_data.c.timestamp == OLD)).iloc[0]
    values = ("open", "high", "low", "close", "volume_base", "volume", "trades")
    seen = OLD + timedelta(hours=3)
    revision = {"symbol": "ETH", "timestamp": OLD, "source": restated["source"]}
    revision |= {f"{age}_{name}": restated[name] for age in ("old", "new") for name in values}
    refused = ("simulated:binance", "ohlcv_data", "BTC", "off_grid", '["2026-01-05T00:30:00Z", 1]')
    rows: dict[Any, list[dict[str, Any]]] = {
        ohlcv_revisions: [
            {**revision, "seen_at": seen, "old_close": 1.0, "new_close": 2.0},
            {**revision, "seen_at": seen + HOUR, "old_close": 2.0},
        ],
        quarantine: [
            {"id": rejection_id(*refused), "source": refused[0], "dataset": refused[1], "symbol": refused[2]}
            | {"reason": refused[3], "payload": refused[4], "seen_at": OLD}
        ],
        market_data: [
            {"symbol": "ETH", "timestamp": OLD, "price_usd": 1.0, "known_at": OLD, "source": "simulated:coinpaprika"}
        ],
        ohlcv_crosschecks: [
            {"symbol": "ETH", "timestamp": OLD, "source": "kraken", "close": 1.0, "own_close": 1.0, "checked_at": seen}
        ],
        imported_files: [
            {"file": "ETHUSDT-1h-2026-01.zip", "symbol": "ETH", "sha256": "0a" * 32, "source": "simulated:binance"}
            | {"candles": 3, "rejected": 0, "imported_at": seen}
        ],
        vendor_states: [
            {"vendor": "binance", "month": "2026-01", "calls": 3, "failures": 0, "free_at": PRESENT + HOUR}
        ],
    }
    for table, some in rows.items():
        store.upsert(table, warehouse.records(some))


@pytest.fixture(scope="module")
def sound_home(make_deployment: Any, moment: Moment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store with rows in every table and its bundles, made once."""
    home = tmp_path_factory.mktemp("sound")
    store = Warehouse.open(f"sqlite:///{home / 'crypto_platform.db'}")
    deployment = make_deployment(store, home / "artifacts")
    deployment.candles.name = "binance"
    deployment.ingest(moment(NOW))
    assert not deployment.train(moment(TRAINED)).failed
    deployment.predict(moment(NOW), since=moment(TRAINED - 3))
    deployment.settle(moment(NOW))
    compare.compare(store, deployment.names, as_of=moment(NOW), horizons=(1, 3))
    decide.record(store, deployment.names, as_of=moment(NOW), horizons=(1, 3), rules=Rules())
    add_what_else_there_is(store)
    counts = {t.name: len(store.read(select(*t.primary_key))) for t in metadata.sorted_tables}
    assert [name for name, n in counts.items() if n == 0] == ["alerts", "alert_deliveries"]
    store.close()
    return home


@pytest.fixture(scope="module")
def sound_database(sound_home: Path, postgres_url: str) -> Iterator[str]:
    """The same rows in a Postgres database that serves as a template."""
    admin = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    name = f"sound_{uuid.uuid4().hex}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    source = Warehouse.open(f"sqlite:///{sound_home / 'crypto_platform.db'}")
    target = Warehouse.open(make_url(postgres_url).set(database=name).render_as_string(hide_password=False))
    for table in metadata.sorted_tables:
        target.upsert(table, source.read(select(table)))
    for store in (source, target):
        store.close()
    yield name
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@dataclass
class Copy:
    """A copy of the sound store, to be spoilt."""

    store: Warehouse
    home: Path

    def verify(self, **options: Any) -> Verdict:
        artifacts = ArtifactStore(self.home / "artifacts")
        return verify(self.store, artifacts, as_of=PRESENT, is_vendor=is_candle_vendor, **options)


@pytest.fixture(params=["sqlite", "postgresql"])
def copy(request: pytest.FixtureRequest, sound_home: Path, tmp_path: Path) -> Iterator[Copy]:
    """A copy of the sound store on each engine in turn."""
    home = tmp_path / "home"
    shutil.copytree(sound_home, home)
    if request.param == "sqlite":
        opened = Warehouse.open(f"sqlite:///{home / 'crypto_platform.db'}")
        yield Copy(opened, home)
        opened.close()
        return
    template, url = request.getfixturevalue("sound_database"), make_url(request.getfixturevalue("postgres_url"))
    admin = create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    name = f"copy_{uuid.uuid4().hex}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    opened = Warehouse.open(url.set(database=name).render_as_string(hide_password=False))
    yield Copy(opened, home)
    opened.close()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


class Hand:
    """Somebody with a database tool: nothing is enforced on what they write."""

    def __init__(self, connection: Connection, home: Path) -> None:
        self.connection = connection
        self.home = home
        self.is_sqlite = connection.dialect.name == "sqlite"
        self.broke_schema = False
        if self.is_sqlite:  # foreign keys are off there, as in any tool
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        else:
            connection.exec_driver_sql("SET session_replication_role = replica")

    def do(self, statement: Any) -> None:
        """A statement that must meet a row."""
        assert self.connection.execute(statement).rowcount != 0

    def without(self, table: Any, constraint: str) -> None:
        """Drop a constraint that stands in the way: Postgres has no switch for CHECKs."""
        if not self.is_sqlite:
            self.connection.exec_driver_sql(f"ALTER TABLE {table.name} DROP CONSTRAINT {constraint}")
            self.broke_schema = True

    def without_key(self, table: Any) -> None:
        """Rebuild a table without its primary key."""
        self.broke_schema = True
        if not self.is_sqlite:
            self.connection.exec_driver_sql(f"ALTER TABLE {table.name} DROP CONSTRAINT pk_{table.name}")
            return
        query = text("SELECT sql FROM sqlite_master WHERE name = :name")
        made = str(self.connection.scalar(query, {"name": table.name}))
        keyless = re.sub(r",\s*CONSTRAINT pk_\w+ PRIMARY KEY \([^)]*\)", "", made)
        assert keyless != made
        for step in (
            re.sub(rf'CREATE TABLE "?{table.name}"?', "CREATE TABLE rebuilt", keyless),
            f"INSERT INTO rebuilt SELECT * FROM {table.name}",
            f"DROP TABLE {table.name}",
            f"ALTER TABLE rebuilt RENAME TO {table.name}",
        ):
            self.connection.exec_driver_sql(step)

    def candle(self, symbol: str, hour: datetime, **changes: Any) -> None:
        """Change a candle."""
        self.do(
            update(ohlcv_data).where(ohlcv_data.c.symbol == symbol, ohlcv_data.c.timestamp == hour).values(**changes)
        )

    def another_candle(self, symbol: str, hour: datetime, **changes: Any) -> None:
        """Add a candle like that of an hour."""
        statement = select(ohlcv_data).where(ohlcv_data.c.symbol == symbol, ohlcv_data.c.timestamp == hour)
        row = self.connection.execute(statement).mappings().one()
        self.do(insert(ohlcv_data).values({**row, **changes}))

    def forecast(self, **changes: Any) -> None:
        """Change the newest forecast of ETH, which has no outcome yet."""
        mine = (predictions.c.symbol == "ETH") & (predictions.c.horizon == 3)
        at = START + NOW * HOUR
        self.do(update(predictions).where(mine, predictions.c.prediction_timestamp == at).values(**changes))

    def mark(self, dataset: str, **changes: Any) -> None:
        """Change a watermark of ETH."""
        mine = (watermarks.c.dataset == dataset) & (watermarks.c.symbol == "ETH")
        self.do(update(watermarks).where(mine).values(**changes))

    def version(self, symbol: str, horizon: int = 1) -> str:
        """The bundle of a symbol."""
        mine = (model_versions.c.symbol == symbol) & (model_versions.c.horizon == horizon)
        return str(self.connection.scalar(select(model_versions.c.version).where(mine)))

    def bundle_file(self, name: str) -> Path:
        """A file of ETH's bundle."""
        return self.home / "artifacts" / "bundles" / self.version("ETH") / name


def _key_is_lost_and_a_candle_twice(hand: Hand) -> None:
    hand.without_key(ohlcv_data)
    hand.another_candle("ETH", OLD + HOUR, trades=1.0)


def _volume_is_negative(hand: Hand) -> None:
    hand.without(ohlcv_data, "ck_ohlcv_data_volume_base_range")
    hand.candle("ETH", OLD + HOUR, volume_base=-1.0)


def _high_is_below_low(hand: Hand) -> None:
    for name in ("high_below_low", "open_outside_range", "close_outside_range"):
        hand.without(ohlcv_data, f"ck_ohlcv_data_{name}")
    hand.candle("ETH", OLD + HOUR, high=1.0, low=2.0, open=1.5, close=1.5)


def _outcome_is_of_no_forecast(hand: Hand) -> None:
    settled = select(prediction_outcomes.c.prediction_timestamp).where(prediction_outcomes.c.symbol == "ETH")
    first = hand.connection.scalar(settled.order_by(prediction_outcomes.c.prediction_timestamp).limit(1))
    mine = (predictions.c.symbol == "ETH") & (predictions.c.prediction_timestamp == first)
    hand.do(delete(predictions).where(mine, predictions.c.horizon == 1))


def _model_file_has_another_byte(hand: Hand) -> None:
    file = hand.bundle_file("models/random_forest.skops")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _manifest_is_another(hand: Hand) -> None:
    file = hand.bundle_file("manifest.json")
    file.write_bytes(file.read_bytes() + b" ")


def _close_moved_within_its_range(hand: Hand) -> None:
    high = hand.connection.scalar(
        select(ohlcv_data.c.high).where(ohlcv_data.c.symbol == "ETH", ohlcv_data.c.timestamp == NEW)
    )
    hand.candle("ETH", NEW, close=high)


def _feature(hour: datetime, **changes: Any) -> Callable[[Hand], None]:
    mine = (features.c.symbol == "ETH") & (features.c.timestamp == hour)
    return lambda hand: hand.do(update(features).where(mine).values(**changes))


def _gap(change: Any) -> Callable[[Hand], None]:
    return lambda hand: hand.do(change.where(ohlcv_gaps.c.gap_start == START + 410 * HOUR))


def _candles_are_gone(which: Any) -> Callable[[Hand], None]:
    return lambda hand: hand.do(delete(ohlcv_data).where(ohlcv_data.c.symbol == "ETH", which))


def _all_candles_are_gone(hand: Hand) -> None:
    for table in (ohlcv_revisions, ohlcv_crosschecks):  # which speak of candles
        hand.do(delete(table))
    hand.do(delete(ohlcv_data).where(ohlcv_data.c.symbol == "ETH"))


NO_GAP = {
    "symbol": "ETH",
    "gap_start": OLD,
    "gap_end": OLD + HOUR,
    "found_at": PRESENT,
    "attempts": 1,
    "next_attempt_at": PRESENT,
    "asked": [],
}
OLDEST_MOOD = datetime.fromisoformat("2025-11-29T05:00:00+00:00")

Spoil = Callable[[Hand], None]
CORRUPTIONS: dict[str, tuple[Rule, str, Spoil]] = {
    "a candle twice": (Rule.KEYS, "ohlcv_data", _key_is_lost_and_a_candle_twice),
    "a table without its key": (
        Rule.SCHEMA,
        "model_metrics",
        lambda h: h.without_key(metadata.tables["model_metrics"]),
    ),
    "an older schema": (
        Rule.SCHEMA,
        "alembic_version",
        lambda h: h.do(text("UPDATE alembic_version SET version_num = '0001'")),
    ),
    "a lost column": (
        Rule.SCHEMA,
        "ohlcv_revisions",
        lambda h: h.connection.exec_driver_sql("ALTER TABLE ohlcv_revisions DROP COLUMN old_source"),
    ),
    "a lost table": (
        Rule.SCHEMA,
        "ohlcv_crosschecks",
        lambda h: h.connection.exec_driver_sql("DROP TABLE ohlcv_crosschecks"),
    ),
    "a lost index": (
        Rule.SCHEMA,
        "features",
        lambda h: h.connection.exec_driver_sql("DROP INDEX ix_features_timestamp"),
    ),
    "a lost view": (
        Rule.SCHEMA,
        "latest_predictions",
        lambda h: h.connection.exec_driver_sql("DROP VIEW latest_predictions"),
    ),
    "a negative volume": (Rule.ROWS, "ohlcv_data", _volume_is_negative),
    "a high below the low": (Rule.ROWS, "ohlcv_data", _high_is_below_low),
    "an infinite volume": (Rule.ROWS, "ohlcv_data", lambda h: h.candle("ETH", OLD + HOUR, volume=float("inf"))),
    "a candle at half past": (
        Rule.GRID,
        "ohlcv_data",
        lambda h: h.another_candle("ETH", OLD, timestamp=OLD + HOUR / 2, known_at=OLD + 2 * HOUR),
    ),
    "a day that begins at five": (
        Rule.GRID,
        "sentiment_data",
        lambda h: h.do(
            insert(sentiment_data).values(
                timestamp=OLDEST_MOOD,
                fear_greed_value=1,
                fear_greed_classification="",
                known_at=OLDEST_MOOD,
                source="simulated:mood",
            )
        ),
    ),
    "a candle known before its end": (
        Rule.CLOSED,
        "ohlcv_data",
        lambda h: h.candle("ETH", OLD, known_at=OLD + timedelta(minutes=59)),
    ),
    "a candle known tomorrow": (
        Rule.PAST,
        "ohlcv_data",
        lambda h: h.candle("ETH", OLD, known_at=PRESENT + timedelta(days=1)),
    ),
    "a lost candle": (
        Rule.GAPS,
        "ohlcv_data",
        lambda h: h.do(delete(ohlcv_data).where(ohlcv_data.c.symbol == "ETH", ohlcv_data.c.timestamp == OLD + HOUR)),
    ),
    "a candle in a gap": (
        Rule.GAPS,
        "ohlcv_gaps",
        lambda h: h.another_candle(
            "BTC", START + 429 * HOUR, timestamp=START + 430 * HOUR, known_at=START + 432 * HOUR
        ),
    ),
    "a gap that nobody recorded": (Rule.GAPS, "ohlcv_data", _gap(delete(ohlcv_gaps))),
    "a gap recorded too short": (
        Rule.GAPS,
        "ohlcv_gaps",
        _gap(update(ohlcv_gaps).values(gap_end=START + 411 * HOUR)),
    ),
    "a gap where candles are": (Rule.GAPS, "ohlcv_gaps", lambda h: h.do(insert(ohlcv_gaps).values(NO_GAP))),
    "a watermark before candles": (
        Rule.COVERAGE,
        "ohlcv_data",
        lambda h: h.mark("ohlcv_data", watermark=PRESENT - 10 * HOUR),
    ),
    "a beginning after candles": (Rule.COVERAGE, "ohlcv_data", lambda h: h.mark("ohlcv_data", since=OLD)),
    "a watermark without a beginning": (Rule.COVERAGE, "watermarks", lambda h: h.mark("ohlcv_data", since=None)),
    "the oldest candles are gone": (Rule.COVERAGE, "ohlcv_data", _candles_are_gone(ohlcv_data.c.timestamp < OLD)),
    "the newest candles are gone": (Rule.COVERAGE, "ohlcv_data", _candles_are_gone(ohlcv_data.c.timestamp > NEW)),
    "all candles of a symbol are gone": (Rule.COVERAGE, "ohlcv_data", _all_candles_are_gone),
    "a lost watermark": (
        Rule.COVERAGE,
        "watermarks",
        lambda h: h.do(delete(watermarks).where(watermarks.c.dataset == "ohlcv_data", watermarks.c.symbol == "ETH")),
    ),
    "features marked beyond the candles": (
        Rule.COVERAGE,
        "watermarks",
        lambda h: h.mark(FEATURES, watermark=START + (NOW + 0.05) * HOUR),
    ),
    "a live candle among simulated ones": (
        Rule.PROVENANCE,
        "ohlcv_data",
        lambda h: h.candle("ETH", OLD + HOUR, source="binance"),
    ),
    "a vendor nobody knows": (
        Rule.VENDORS,
        "ohlcv_data",
        lambda h: h.candle("ETH", OLD + HOUR, source="simulated:uncle_bob"),
    ),
    "a source that is no source": (
        Rule.VENDORS,
        "ohlcv_data",
        lambda h: h.candle("ETH", OLD + HOUR, source="dreamt:binance"),
    ),
    "an outcome of no forecast": (Rule.REFERENCES, "prediction_outcomes", _outcome_is_of_no_forecast),
    "a forecast by no bundle": (Rule.REFERENCES, "predictions", lambda h: h.forecast(version="feed" * 4)),
    "a revision of no candle": (
        Rule.REFERENCES,
        "ohlcv_revisions",
        lambda h: h.do(update(ohlcv_revisions).values(timestamp=START - HOUR)),
    ),
    "a bundle's changed byte": (Rule.BUNDLES, "model_versions", _model_file_has_another_byte),
    "a bundle's changed manifest": (Rule.BUNDLES, "model_versions", _manifest_is_another),
    "a bundle's lost file": (
        Rule.BUNDLES,
        "model_versions",
        lambda h: h.bundle_file("scaling_params.json").unlink(),
    ),
    "a lost bundle": (Rule.BUNDLES, "model_versions", lambda h: shutil.rmtree(h.bundle_file(""))),
    "a refused row that was edited": (
        Rule.QUARANTINE,
        "quarantine",
        lambda h: h.do(update(quarantine).values(payload="nothing to see here")),
    ),
    "a feature that was edited": (Rule.FEATURES, "features", _feature(NEW, rsi_14=0.5)),
    "a label that was edited": (Rule.FEATURES, "features", _feature(NEW, target_return_1=0.5)),
    "a label of the future": (
        Rule.FEATURES,
        "features",
        _feature(START + (NOW - 1) * HOUR, target_return_7=0.5),
    ),
    "a lost row of features": (
        Rule.FEATURES,
        "features",
        lambda h: h.do(delete(features).where(features.c.symbol == "ETH", features.c.timestamp == NEW)),
    ),
    "a candle that was edited": (Rule.FEATURES, "features", _close_moved_within_its_range),
    "a candle beside its revision": (Rule.REVISIONS, "ohlcv_data", lambda h: h.candle("ETH", OLD, trades=1.0)),
    "a revision of nothing": (
        Rule.REVISIONS,
        "ohlcv_revisions",
        lambda h: h.do(update(ohlcv_revisions).where(ohlcv_revisions.c.old_close == 1.0).values(old_close=2.0)),
    ),
    "probabilities beyond 1": (Rule.FORECASTS, "predictions", lambda h: h.forecast(prob_up=0.7, prob_down=0.7)),
    "a forecast of another candle": (
        Rule.FORECASTS,
        "predictions",
        lambda h: h.forecast(candle_timestamp=START + (NOW - 2) * HOUR),
    ),
    "a forecast before its candle's end": (
        Rule.FORECASTS,
        "predictions",
        lambda h: h.forecast(created_at=START + (NOW - 1) * HOUR),
    ),
    "an outcome before its hour": (
        Rule.OUTCOMES,
        "prediction_outcomes",
        lambda h: h.do(
            update(prediction_outcomes)
            .where(prediction_outcomes.c.symbol == "ETH")
            .values(resolved_at=prediction_outcomes.c.prediction_timestamp)
        ),
    ),
    "an outcome called right that was wrong": (
        Rule.OUTCOMES,
        "prediction_outcomes",
        lambda h: h.do(
            update(prediction_outcomes).where(prediction_outcomes.c.correct.is_(False)).values(correct=True)
        ),
    ),
    "a model that saw its labels early": (
        Rule.MODELS,
        "model_versions",
        lambda h: h.do(
            update(model_versions).where(model_versions.c.symbol == "ETH").values(trained_at=model_versions.c.train_end)
        ),
    ),
    "a model trained after its forecasts": (
        Rule.MODELS,
        "predictions",
        lambda h: h.do(update(model_versions).where(model_versions.c.symbol == "ETH").values(trained_at=PRESENT)),
    ),
    "an alias of another symbol": (
        Rule.MODELS,
        "model_aliases",
        lambda h: h.do(
            update(model_aliases).where(model_aliases.c.symbol == "ETH").values(version_to=h.version("BTC"))
        ),
    ),
    "an import without its hash": (
        Rule.RECORDS,
        "imported_files",
        lambda h: h.do(update(imported_files).values(sha256="0A" * 32)),
    ),
    "a month that is none": (Rule.RECORDS, "vendor_states", lambda h: h.do(update(vendor_states).values(month="May"))),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_corruption_is_found_by_its_rule_and_no_other(copy: Copy, name: str) -> None:
    rule, table, spoil = CORRUPTIONS[name]
    plain = create_engine(copy.store.raw_engine.url)
    with plain.begin() as connection:
        hand = Hand(connection, copy.home)
        spoil(hand)
    plain.dispose()
    verdict = copy.verify()
    assert set(verdict.broken) == {rule} | ({Rule.SCHEMA} if hand.broke_schema else set()), verdict.findings
    found = [finding for finding in verdict.findings if finding.rule == rule]
    assert table in {finding.table for finding in found}
    assert all(finding.message and finding.cure for finding in found)
    if "symbol" in metadata.tables.get(table, predictions).c and rule is not Rule.SCHEMA:
        assert {finding.symbol for finding in found} <= {"BTC", "ETH"}


def test_a_store_with_rows_in_every_table_is_sound(copy: Copy) -> None:
    for deep in (False, True):
        verdict = copy.verify(deep=deep)
        assert verdict.findings == ()
        assert verdict.rules == len(Rule)
        rows = sum(len(copy.store.read(select(*table.primary_key))) for table in metadata.sorted_tables)
        assert verdict.rows == rows > 5000


def test_an_edited_feature_of_long_ago_is_found_by_looking_deep(copy: Copy) -> None:
    with copy.store.begin() as connection:
        mine = (features.c.symbol == "ETH") & (features.c.timestamp == START + 700 * HOUR)
        connection.execute(update(features).where(mine).values(vol_30=0.5))
    assert copy.verify().findings == ()
    (finding,) = copy.verify(deep=True).findings
    assert (finding.rule, finding.symbol) == (Rule.FEATURES, "ETH")
    assert "vol_30" in finding.message
    assert "2026-02-03 04:00" in finding.message


def test_rows_that_wait_to_be_built_again_break_nothing(copy: Copy) -> None:
    """A restated candle takes the mark of the features back until the next tick."""
    with copy.store.begin() as connection:
        mine = (watermarks.c.dataset == FEATURES) & (watermarks.c.symbol == "ETH")
        connection.execute(update(watermarks).where(mine).values(watermark=NEW))
        connection.execute(
            update(ohlcv_data)
            .where(ohlcv_data.c.symbol == "ETH", ohlcv_data.c.timestamp == NEW)
            .values(close=ohlcv_data.c.high)
        )
    assert copy.verify(deep=True).findings == ()


def test_a_mark_of_before_edges_were_remembered_breaks_nothing(copy: Copy) -> None:
    with copy.store.begin() as connection:
        connection.execute(update(watermarks).where(watermarks.c.dataset == "ohlcv_data").values(details=None))
    assert copy.verify().findings == ()


def test_marks_beyond_all_candles_do_not_end_the_verification(copy: Copy) -> None:
    with copy.store.begin() as connection:
        mine = watermarks.c.dataset == FEATURES
        connection.execute(update(watermarks).where(mine).values(watermark=PRESENT + 100 * HOUR))
    assert set(copy.verify().broken) == {Rule.COVERAGE, Rule.PAST}


def test_candles_that_no_feature_can_be_computed_of_are_named(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more symbols are broken than findings name."""
    monkeypatch.setattr(findings, "SYMBOLS_SHOWN", 0)
    with copy.store.begin() as connection:
        later = {"timestamp": NEW + HOUR / 2, "known_at": NEW + 2 * HOUR}
        Hand(connection, copy.home).another_candle("ETH", NEW, **later)
    (finding,) = copy.verify().findings
    assert finding.rule is Rule.FEATURES
    assert "ETH at 2026-02-25 06:30:00+00:00 is not on the hour" in finding.message


def test_findings_name_the_hours_and_are_bounded(copy: Copy) -> None:
    with copy.store.begin() as connection:
        connection.execute(update(ohlcv_data).values(known_at=ohlcv_data.c.timestamp))
    btc, eth = [finding for finding in copy.verify().findings if finding.rule is Rule.CLOSED]
    assert (btc.symbol, eth.symbol) == ("BTC", "ETH")
    assert eth.message.endswith("(1250 rows: 2026-01-05 00:00:00, 2026-01-05 01:00:00, 2026-01-05 02:00:00, …)")


def test_a_time_written_as_text_is_found_and_shown(sound_home: Path, tmp_path: Path) -> None:
    """SQLite takes it; whoever reads candles then cannot."""
    shutil.copytree(sound_home, tmp_path / "home")
    spoilt = Copy(Warehouse.open(f"sqlite:///{tmp_path / 'home' / 'crypto_platform.db'}"), tmp_path / "home")
    with spoilt.store.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE sentiment_data SET known_at = '2026-01-05 00:00' WHERE fear_greed_value = 20"
        )
    broken = spoilt.verify().findings
    spoilt.store.close()
    assert "known_at is no number of microseconds" in {finding.message.partition(" (")[0] for finding in broken}


def test_an_empty_store_is_sound_and_one_without_tables_is_not(store: Warehouse, tmp_path: Path) -> None:
    artifacts = ArtifactStore(tmp_path / "none")
    (finding,) = verify(store, artifacts, as_of=PRESENT).findings
    assert finding.rule is Rule.SCHEMA
    assert "db upgrade" in finding.cure
    assert inspect(store.raw_engine).get_table_names() == []  # nothing was begun
    assert store.engine
    verdict = verify(store, artifacts, as_of=PRESENT, deep=True)
    assert (verdict.findings, verdict.rows) == ((), 0)


def test_verifying_changes_no_byte(sound_home: Path) -> None:
    def fingerprint() -> dict[str, str]:
        files = sorted(path for path in sound_home.rglob("*") if path.is_file())
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = fingerprint()
    store = Warehouse.open(f"sqlite:///{sound_home / 'crypto_platform.db'}")
    assert Copy(store, sound_home).verify(deep=True).findings == ()
    store.close()
    assert fingerprint() == before


def test_what_verifies_cannot_write_and_sees_one_state(copy: Copy) -> None:
    with copy.store.snapshot() as connection:
        before = connection.scalar(select(watermarks.c.watermark).limit(1))
        with copy.store.begin() as writer:
            writer.execute(update(watermarks).values(watermark=START))
        assert connection.scalar(select(watermarks.c.watermark).limit(1)) == before
    with copy.store.snapshot() as connection, pytest.raises(DBAPIError):
        connection.execute(delete(watermarks))
    with copy.store.begin() as connection:  # the next user of the connection can
        connection.execute(delete(watermarks))


@pytest.fixture
def command(sound_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`crypto-platform verify` on a copy of the sound home."""
    shutil.copytree(sound_home, tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CRYPTO_PLATFORM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CRYPTO_PLATFORM_HOME", str(tmp_path / "home"))
    return lambda *arguments: CliRunner().invoke(app, ["verify", *arguments])


def test_the_command_praises_a_sound_store(command: Callable[..., Any]) -> None:
    done = command("--now", PRESENT.isoformat())
    assert done.exit_code == 0, done.output
    assert re.fullmatch(rf"{len(Rule)} rules over [\d,]+ rows: sound\n", done.output)


def test_the_command_names_culprit_and_cure_and_fails(command: Callable[..., Any], tmp_path: Path) -> None:
    store = Warehouse.open(f"sqlite:///{tmp_path / 'home' / 'crypto_platform.db'}")
    with store.begin() as connection:
        connection.execute(delete(ohlcv_data).where(ohlcv_data.c.symbol == "ETH", ohlcv_data.c.timestamp == OLD + HOUR))
    store.close()
    shown, told = command(), command("--json")
    assert "ETH" in shown.output
    assert "2026-01-09" in shown.output
    for done in (shown, told):
        assert isinstance(done.exception, PlatformError)
        assert done.exception.exit_code == 1
        assert f"breaks 1 of {len(Rule)} rules (gaps_are_recorded)" in str(done.exception)
    (finding,) = json.loads(told.output)["findings"]
    assert finding == {
        "rule": "gaps_are_recorded",
        "table": "ohlcv_data",
        "symbol": "ETH",
        "message": "hours from here on are missing and recorded as no gap (1 row: 2026-01-09 05:00:00)",
        "cure": "run `crypto-platform backfill`",
    }


def test_the_command_begins_no_store_where_there_is_none(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTO_PLATFORM_HOME", str(tmp_path / "elsewhere"))
    done = command()
    assert isinstance(done.exception, PlatformError)
    assert "there is no store at" in str(done.exception)
    assert not (tmp_path / "elsewhere").exists()
