"""Bulk history: each file once and whole, attributed, and never against what a vendor said itself."""

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from crypto_platform.core.hours import HOUR, SETTLE, closed_until
from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import ProvenanceError
from crypto_platform.operations import build, candles, series, watermarks
from crypto_platform.operations.imports import import_archive, import_files
from crypto_platform.operations.results import Report
from crypto_platform.operations.verify import verify
from crypto_platform.sources.base import Fetched
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import Symbol
from crypto_platform.tables import features, imported_files, metadata, ohlcv_data, ohlcv_revisions, quarantine

BTC = Symbol("BTC", "Bitcoin", "btc-bitcoin", "BTC", default=True)
JANUARY, FEBRUARY, MARCH = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))
NOW = datetime(2026, 3, 3, 10, 30, tzinfo=UTC)
COLUMNS = ["timestamp", "open", "high", "low", "close", "volume_base", "volume", "trades"]


class Vendor:
    """A live vendor with one frame for an answer."""

    def __init__(self, name: str, frame: pd.DataFrame) -> None:
        self.name, self.frame = name, frame

    def fetch_candles(self, symbol: Symbol, start: datetime, end: datetime) -> Fetched:
        rows = self.frame[(self.frame["timestamp"] >= start) & (self.frame["timestamp"] < end)]
        return Fetched(rows[COLUMNS].reset_index(drop=True), self.name, Provenance.LIVE)


class Mirror:
    """An archive in memory that remembers what was asked of it."""

    def __init__(self, frame: pd.DataFrame, provenance: Provenance = Provenance.LIVE) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.provenance = provenance
        for month, part in frame.groupby(frame["timestamp"].dt.strftime("%Y-%m")):
            self.put(f"BTCUSDT-1h-{month}", part, "monthly")
        for day, part in frame.groupby(frame["timestamp"].dt.strftime("%Y-%m-%d")):
            self.put(f"BTCUSDT-1h-{day}", part, "daily")

    def put(self, stem: str, frame: pd.DataFrame, kind: str) -> None:
        at = frame["timestamp"].astype("int64")
        table = pd.concat([at, frame[COLUMNS[1:6]], at + 3_599_999_999, frame[["volume", "trades"]]], axis=1)
        body = BytesIO()
        with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{stem}.csv", table.assign(a=0, b=0, c=0).to_csv(index=False, header=False))
        self.write(f"data/spot/{kind}/klines/BTCUSDT/1h/{stem}.zip", body.getvalue())

    def write(self, path: str, content: bytes) -> None:
        self.files[path] = content
        self.files[f"{path}.CHECKSUM"] = f"{hashlib.sha256(content).hexdigest()}  {Path(path).name}\n".encode()

    def read(self, path: str) -> tuple[bytes, Provenance] | None:
        self.asked.append(Path(path).name)
        return (self.files[path], self.provenance) if path in self.files else None

    def load(self, store: Warehouse, start: datetime = JANUARY, end: datetime = MARCH, **options: Any) -> Report:
        return import_archive(store, self, [BTC], start, end, **{"as_of": NOW, **options})


JANUARYS = "data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2026-01.zip"


@pytest.fixture(scope="module")
def history(walk: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """January to the 3rd of March, opens of their own, a hole of 5 hours."""
    frame = walk("BTC", 62 * 24, seed=11, start="2026-01-01", price=40_000.0)
    frame["open"] = (frame["low"] + frame["high"]) / 2
    return frame.drop(index=range(900, 905)).reset_index(drop=True)


def stored(store: Warehouse) -> pd.DataFrame:
    return store.read(select(ohlcv_data).order_by(ohlcv_data.c.timestamp))


def everything(store: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: sorted(map(repr, store.read(select(table)).itertuples(index=False)))
        for name, table in metadata.tables.items()
        if name != "latest_predictions"
    }


def csv(frame: pd.DataFrame, path: Path) -> Path:
    table = frame[COLUMNS[:6]].rename(columns={"volume_base": "volume"})
    path.write_text(table.assign(timestamp=table["timestamp"].astype("int64") // 1000).to_csv(index=False))
    return path


def files(store: Warehouse, *paths: Path, source: str = "binance", **options: Any) -> Report:
    return import_files(store, paths, BTC, **{"as_of": NOW, "source": source, "complete": True, **options})


def mark(store: Warehouse) -> watermarks.Mark:
    return watermarks.read_marks(store, ohlcv_data.name, ["BTC"])["BTC"]


def collect_from(store: Warehouse, vendor: Vendor) -> None:
    candles.collect_candles(store, [vendor], [BTC], as_of=NOW, history=timedelta(days=20))


def test_an_archive_is_stored_as_it_is(store: Warehouse, history: pd.DataFrame) -> None:
    """All months, the running one by its days, each row attributed and said to be loaded afterwards."""
    report = Mirror(history).load(store, end=datetime(2026, 4, 1, tzinfo=UTC))
    rows = stored(store)
    pd.testing.assert_frame_equal(
        rows[COLUMNS], history[history["timestamp"] < "2026-03-03"][COLUMNS], check_exact=True
    )
    assert set(rows["source"]) == {"binance"}
    assert rows["known_at_estimated"].all()
    assert (rows["known_at"] == rows["timestamp"] + HOUR + SETTLE).all()
    assert [r.details["file"][11:-4] for r in report.results] == ["2026-01", "2026-02", "2026-03-01", "2026-03-02"]
    assert [r.rows for r in report.results] == [744, 667, 24, 24]
    assert (report.results[0].first, report.results[0].last) == (JANUARY, FEBRUARY - HOUR)
    end = datetime(2026, 3, 3, tzinfo=UTC)
    edges = {"first_own": JANUARY.isoformat(), "last_own": (end - HOUR).isoformat()}
    assert mark(store) == watermarks.Mark(end, "binance", JANUARY, edges)


def test_an_unchanged_archive_is_not_downloaded_again_and_writes_nothing(
    store: Warehouse, history: pd.DataFrame
) -> None:
    mirror = Mirror(history)
    mirror.load(store)
    before = everything(store)
    mirror.asked.clear()
    report = mirror.load(store, as_of=NOW + HOUR)
    assert all(name.endswith(".CHECKSUM") for name in mirror.asked)
    assert [r.details["unchanged"] for r in report.results] == [True, True]
    assert everything(store) == before


def test_a_reissued_month_is_read_again_and_what_it_restates_is_kept(store: Warehouse, history: pd.DataFrame) -> None:
    mirror = Mirror(history)
    mirror.load(store)
    restated = history[:744].copy()
    restated.loc[100, "high"] *= 1.5
    mirror.put("BTCUSDT-1h-2026-01", restated, "monthly")
    report = mirror.load(store)
    assert [(r.rows, r.details.get("restated"), r.details.get("unchanged")) for r in report.results] == [
        (1, 1, None),
        (0, None, True),
    ]
    revision = store.read(select(ohlcv_revisions))
    assert (revision["old_high"] * 1.5).tolist() == pytest.approx(revision["new_high"].tolist())
    assert mark(store).watermark == MARCH


def test_a_month_that_is_not_there_is_said_and_the_others_are_stored(store: Warehouse, history: pd.DataFrame) -> None:
    report = Mirror(history).load(store, datetime(2025, 11, 1, tzinfo=UTC), FEBRUARY)
    assert [(bool(r.details.get("missing")), r.rows, r.error) for r in report.results] == [
        (True, 0, None),
        (True, 0, None),
        (False, 744, None),
    ]


def test_the_last_month_comes_by_days_while_its_file_is_not_out(store: Warehouse, history: pd.DataFrame) -> None:
    mirror = Mirror(history)
    del mirror.files[JANUARYS.replace("-01.zip", "-02.zip")]
    report = mirror.load(store)
    assert len(report.results) == 2 + 28
    pd.testing.assert_frame_equal(stored(store)[COLUMNS], history[history["timestamp"] < MARCH][COLUMNS])


def broken(change: Callable[[bytes], bytes], checksum: bool = True) -> Callable[[Mirror], None]:
    def spoil(mirror: Mirror) -> None:
        content = change(mirror.files[JANUARYS])
        if checksum:
            mirror.write(JANUARYS, content)
        else:
            mirror.files[JANUARYS] = content

    return spoil


def without_checksum(mirror: Mirror) -> None:
    del mirror.files[f"{JANUARYS}.CHECKSUM"]


def html_checksum(mirror: Mirror) -> None:
    mirror.files[f"{JANUARYS}.CHECKSUM"] = b"<html>"


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (broken(lambda content: content + b" ", checksum=False), "its checksum file says"),
        (broken(lambda content: content[:-100]), "is damaged"),
        (broken(lambda content: b"not a zip"), "is damaged"),
        (without_checksum, "has no BTCUSDT-1h-2026-01.zip.CHECKSUM beside it; get that too, or give --no-checksum"),
        (html_checksum, "not a SHA-256"),
    ],
)
def test_a_bad_month_is_its_own_error_and_leaves_the_store_as_it_was(
    store: Warehouse, history: pd.DataFrame, spoil: Callable[[Mirror], None], why: str
) -> None:
    mirror = Mirror(history)
    mirror.load(store, FEBRUARY)
    before = everything(store)
    spoil(mirror)
    report = mirror.load(store)
    assert [bool(r.error) for r in report.results] == [True, False]
    assert report.results[0].error is not None
    assert why in report.results[0].error
    assert everything(store) == before


def test_without_a_checksum_a_zip_is_taken_on_request_and_a_wrong_checksum_never(
    store: Warehouse, history: pd.DataFrame
) -> None:
    mirror = Mirror(history)
    without_checksum(mirror)
    mirror.files[JANUARYS.replace("-01.zip", "-02.zip")] += b" "
    report = mirror.load(store, require_checksum=False)
    assert [(r.rows, bool(r.error)) for r in report.results] == [(744, False), (0, True)]
    assert mirror.load(store, require_checksum=False).results[0].rows == 0


def test_recorded_archives_do_not_enter_a_live_store(store: Warehouse, history: pd.DataFrame) -> None:
    collect_from(store, Vendor("binance", history))
    before = everything(store)
    with pytest.raises(ProvenanceError, match="recorded data arrived"):
        Mirror(history, Provenance.RECORDED).load(store)
    assert everything(store) == before


def test_a_recorded_archive_is_said_to_be_recorded_in_every_row(
    store: Warehouse, history: pd.DataFrame, tmp_path: Path
) -> None:
    """The record of its files among them: verify calls two provenances in one store a breach."""
    mirror = Mirror(history, Provenance.RECORDED)
    mirror.load(store)
    assert set(store.read(select(imported_files.c.source))["source"]) == {"recorded:binance"}
    assert verify(store, ArtifactStore(tmp_path), as_of=NOW).findings == ()
    before = everything(store)
    mirror.load(store)
    assert everything(store) == before


def test_older_history_does_not_take_the_mark_back_but_the_features(store: Warehouse, history: pd.DataFrame) -> None:
    """Features are then computed as if all candles had been there from the start."""
    collect_from(store, Vendor("binance", history))
    build.build_features(store, ["BTC"], as_of=NOW)
    reached = mark(store)
    Mirror(history).load(store)
    details = {**reached.details, "first_own": JANUARY.isoformat()}
    assert mark(store) == replace(reached, since=JANUARY, details=details)
    build.build_features(store, ["BTC"], as_of=NOW)
    built = store.read(select(features).order_by(features.c.timestamp))
    assert built["timestamp"].iloc[0] == pd.Timestamp(JANUARY)
    with store.begin() as connection:
        watermarks.lower_marks(connection, series.FEATURES_MARK, "BTC", JANUARY)
    build.build_features(store, ["BTC"], as_of=NOW)
    pd.testing.assert_frame_equal(store.read(select(features).order_by(features.c.timestamp)), built)


def test_a_file_of_the_series_own_vendor_fills_hours_and_restates_none(
    store: Warehouse, history: pd.DataFrame, tmp_path: Path
) -> None:
    """A kept file is older than what the vendor said since."""
    collect_from(store, Vendor("binance", history.drop(index=[1300, 1301])))
    old = history.assign(close=history["open"])
    report = files(store, csv(old, tmp_path / "old.csv"))
    rows = stored(store)
    fresh = (rows["timestamp"] < closed_until(NOW) - timedelta(days=20)) | rows["timestamp"].isin(
        history["timestamp"][1300:1302]
    )
    assert (rows["close"] == rows["open"])[fresh].all()
    assert (rows["close"] != rows["open"])[~fresh].all()
    assert set(rows["source"]) == {"binance"}
    result = report.results[0]
    assert result.rows == int(fresh.sum())
    assert result.details["kept"] == len(rows) - result.rows
    assert store.read(select(ohlcv_revisions)).empty


def test_a_file_of_another_vendor_only_fills_hours_that_have_none(
    store: Warehouse, history: pd.DataFrame, tmp_path: Path
) -> None:
    collect_from(store, Vendor("kraken", history.drop(index=[1300, 1301])))
    reached = mark(store)
    before = stored(store)
    files(store, csv(history.assign(close=history["open"]), tmp_path / "other.csv"))
    rows = stored(store)
    pd.testing.assert_frame_equal(rows[rows["source"] == "kraken"].reset_index(drop=True), before)
    assert set(rows["source"]) == {"kraken", "binance"}
    assert len(rows) == (history["timestamp"] < closed_until(NOW)).sum()
    assert mark(store) == reached


def test_the_archive_of_another_vendor_than_the_series_only_fills_hours_too(
    store: Warehouse, history: pd.DataFrame
) -> None:
    collect_from(store, Vendor("kraken", history.assign(close=history["open"])))
    before = stored(store)
    Mirror(history).load(store)
    rows = stored(store)
    pd.testing.assert_frame_equal(rows[rows["source"] == "kraken"].reset_index(drop=True), before)
    assert mark(store).source == "kraken"


def derived(history: pd.DataFrame, path: Path) -> Path:
    """As CryptoDataDownload derives candles: opens copied from the closes before."""
    opened = history["close"].shift().fillna(history["open"])
    table = pd.DataFrame(
        {
            "unix": history["timestamp"].astype("int64") // 1_000_000,
            "symbol": "BTC/USDT",
            "open": opened,
            "high": np.maximum(history["high"], opened),
            "low": np.minimum(history["low"], opened),
            "close": history["close"],
            "Volume BTC": history["volume_base"].round(2),
            "Volume USDT": history["volume"].round(2),
        }
    )
    path.write_text(table[::-1].to_csv(index=False))
    return path


def test_derived_candles_stand_in_until_the_vendors_own_come(
    store: Warehouse, history: pd.DataFrame, tmp_path: Path
) -> None:
    """They are nobody's series: the vendor's own take their place, and both values are kept."""
    files(store, derived(history[:744], tmp_path / "cdd.csv"))
    assert set(stored(store)["source"]) == {"cryptodatadownload"}
    assert mark(store).source is None
    files(store, csv(history[:744], tmp_path / "own.csv"))
    rows = stored(store)
    pd.testing.assert_series_equal(rows["close"], history["close"][:744])
    assert set(rows["source"]) == {"binance"}
    assert mark(store).source == "binance"
    files(store, derived(history[:744], tmp_path / "again.csv"))
    pd.testing.assert_frame_equal(stored(store), rows)


def test_stand_ins_alone_and_before_a_series_leave_the_store_sound(
    store: Warehouse, history: pd.DataFrame, tmp_path: Path
) -> None:
    """Nobody has been asked for those hours: no coverage is claimed, and none is missed."""
    files(store, derived(history[:744], tmp_path / "cdd.csv"))
    assert verify(store, ArtifactStore(tmp_path), as_of=NOW).findings == ()
    files(store, csv(history[400:800], tmp_path / "own.csv"))
    assert mark(store).since == history["timestamp"][400]
    assert verify(store, ArtifactStore(tmp_path), as_of=NOW).findings == ()


def test_a_file_whose_newest_candle_is_now_said_to_be_closed_is_read_again(
    store: Warehouse, history: pd.DataFrame, tmp_path: Path
) -> None:
    path = csv(history[:50], tmp_path / "a.csv")
    assert files(store, path, complete=False).rows == 49
    report = files(store, path, complete=True)
    assert (report.rows, report.results[0].details.get("unchanged")) == (1, None)
    assert files(store, path, complete=True).results[0].details["unchanged"]
    assert "unchanged" not in files(store, path, complete=True, again=True).results[0].details


def test_an_unchanged_file_writes_nothing_and_a_changed_one_is_read(
    store: Warehouse, history: pd.DataFrame, tmp_path: Path
) -> None:
    path = csv(history[:100], tmp_path / "a.csv")
    files(store, path)
    before = everything(store)
    assert files(store, path, as_of=NOW + HOUR).results[0].details["unchanged"]
    assert everything(store) == before
    report = files(store, csv(history[:101], path))
    assert report.results[0].rows == 1
    assert store.read(select(imported_files))["candles"].tolist() == [101]


def test_refused_rows_are_kept_with_their_reason_and_a_bad_file_is_its_own_error(
    store: Warehouse, history: pd.DataFrame, tmp_path: Path
) -> None:
    bad = csv(history[:3].assign(low=[1.0, -1.0, 1.0]), tmp_path / "bad.csv")
    worse = tmp_path / "worse.csv"
    worse.write_text("when,what\n1,2\n")
    report = files(store, worse, tmp_path / "gone.csv", bad)
    assert [bool(r.error) for r in report.results] == [True, True, False]
    kept = store.read(select(quarantine))
    assert kept["reason"].tolist() == ["non_positive_price"]
    assert kept["source"].tolist() == ["binance"]
    assert len(stored(store)) == 2
    assert store.read(select(imported_files))["file"].tolist() == ["bad.csv"]
