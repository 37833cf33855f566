"""A recorded folder moves in time by whole weeks and nothing else about it changes."""

import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.cli.simulate import Market
from crypto_platform.core.bars import CANDLE_COLUMNS, TIMESTAMP_DTYPE, empty_candles
from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import ConfigurationError
from crypto_platform.replay.history import Supply
from crypto_platform.replay.recorded import RecordedHistory

NOW = datetime(2026, 3, 4, 10, 20, tzinfo=UTC)
WEEK = timedelta(weeks=1)
EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def raw(walk):
    """BTC has an outage and hours without quote volume; ETH ends a day before it."""
    btc = walk("BTC", 300, seed=1).drop(index=[50, 51])
    btc.loc[100:119, "volume"] = np.nan
    frames = {"BTC": btc, "ETH": walk("ETH", 276, seed=2)}
    return {
        name: frame.rename(columns={"volume": "volume_quote"}).drop(columns=["symbol", "trades"])
        for name, frame in frames.items()
    }


@pytest.fixture(scope="module")
def folder(raw, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "ohlcv_1h").mkdir()
    for name, frame in raw.items():
        stamps = frame["timestamp"].dt.as_unit("ms")
        frame.assign(timestamp=stamps).to_parquet(folder / "ohlcv_1h" / f"{name}.parquet")
    days = pd.date_range("2026-01-05", periods=12).date
    sentiment = pd.DataFrame({"date": days, "value": range(20, 32), "classification": "Fear"})
    sentiment.to_parquet(folder / "fear_greed.parquet")
    return folder


@given(st.datetimes(pd.Timestamp("2020-01-01"), pd.Timestamp("2032-01-01"), timezones=st.just(UTC)))
def test_the_newest_candle_ends_within_a_week_after_now(folder, now):
    history = RecordedHistory(folder, now)
    end = history.candles("BTC", *EVER)["timestamp"].iloc[-1].to_pydatetime() + timedelta(hours=1)
    assert timedelta(0) < end - now <= WEEK


def test_an_end_at_now_is_not_after_it(folder, raw):
    end = raw["BTC"]["timestamp"].iloc[-1].to_pydatetime() + timedelta(hours=1)
    candles = RecordedHistory(folder, end).candles("BTC", *EVER)
    assert candles["timestamp"].iloc[-1] + timedelta(hours=1) == end + WEEK


@pytest.mark.parametrize("symbol", ["BTC", "ETH"])
def test_only_time_changes_and_by_whole_weeks_for_all_alike(folder, raw, symbol):
    candles = RecordedHistory(folder, NOW).candles(symbol, *EVER)
    given_rows = raw[symbol].reset_index(drop=True).rename(columns={"volume_quote": "volume"})
    assert set(candles["timestamp"] - given_rows["timestamp"]) == {pd.Timedelta(weeks=7)}
    values = ["open", "high", "low", "close", "volume_base", "volume"]
    pd.testing.assert_frame_equal(candles[values], given_rows[values])


def test_a_candle_frame_has_the_declared_form(folder):
    candles = RecordedHistory(folder, NOW).candles("BTC", *EVER)
    assert tuple(candles.columns) == CANDLE_COLUMNS
    assert str(candles["timestamp"].dtype) == TIMESTAMP_DTYPE
    assert candles["timestamp"].is_monotonic_increasing
    pd.testing.assert_frame_equal(candles.iloc[:0], empty_candles())


def test_what_the_folder_does_not_hold_is_not_invented(folder):
    history = RecordedHistory(folder, NOW)
    candles = history.candles("BTC", *EVER)
    assert candles["volume"].isna().sum() == 20
    assert candles["trades"].isna().all()
    assert len(candles) == 298
    assert history.supply("BTC") == Supply(None, None)


def test_a_range_holds_its_start_and_not_its_end(folder):
    history = RecordedHistory(folder, NOW)
    hours = history.candles("BTC", *EVER)["timestamp"]
    part = history.candles("BTC", hours[10].to_pydatetime(), hours[20].to_pydatetime())
    assert list(part["timestamp"]) == list(hours[10:20])


def test_sentiment_moves_by_the_same_weeks(folder):
    days = RecordedHistory(folder, NOW).sentiment(*EVER)
    assert days["timestamp"].iloc[0] == pd.Timestamp("2026-01-05", tz=UTC) + 7 * WEEK
    assert str(days["timestamp"].dtype) == TIMESTAMP_DTYPE
    assert list(days["value"]) == list(range(20, 32))
    assert set(days["classification"]) == {"Fear"}


def test_it_says_what_it_is(folder):
    history = RecordedHistory(folder, NOW)
    assert history.provenance is Provenance.RECORDED
    assert history.symbols == ("BTC", "ETH")
    assert all(part in history.title for part in ("RECORDED", folder.name, "7 weeks", "2026-01-17 12:00"))


def test_folders_of_one_name_are_told_apart_by_what_they_hold(folder, tmp_path):
    """Of the symbols that count: a simulation of others is none of their business."""
    other = tmp_path / folder.name
    shutil.copytree(folder, other)
    assert Market(other, 0).identity(["BTC"]) == Market(folder, 0).identity(["BTC"])
    pd.read_parquet(other / "ohlcv_1h" / "BTC.parquet").iloc[:-1].to_parquet(other / "ohlcv_1h" / "BTC.parquet")
    assert Market(other, 0).identity(["BTC"]) != Market(folder, 0).identity(["BTC"])
    assert Market(other, 0).identity(["ETH"]) == Market(folder, 0).identity(["ETH"])
    assert Market(folder, 0).identity(["BTC"]).startswith(f"recorded-{folder.name}-")
    with pytest.raises(ConfigurationError, match="no recorded history"):
        Market(tmp_path / "gone", 0).identity(["BTC"])


def test_an_unknown_symbol_is_a_key_error(folder):
    history = RecordedHistory(folder, NOW)
    with pytest.raises(KeyError):
        history.candles("XYZ", *EVER)
    with pytest.raises(KeyError):
        history.supply("XYZ")


def _spoil(folder, name, frame=None):
    path = folder / name
    path.unlink()
    if frame is not None:
        frame.to_parquet(path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: _spoil(folder, "fear_greed.parquet"), ("fear_greed.parquet", "missing")),
        (lambda folder: (folder / "fear_greed.parquet").write_text("no"), ("fear_greed.parquet", "not readable")),
        (lambda folder: (folder / "ohlcv_1h/A.parquet").write_text("no"), ("A.parquet", "not readable")),
        (lambda folder: _spoil(folder, "ohlcv_1h/A.parquet"), ("ohlcv_1h", "name a folder")),
        (
            lambda folder: _spoil(folder, "ohlcv_1h/A.parquet", pd.DataFrame({"timestamp": [1], "open": [1.0]})),
            ("A.parquet", "volume_quote"),
        ),
    ],
)
def test_a_bad_folder_is_refused_with_the_file_and_the_cure(folder, raw, tmp_path, spoil, words):
    (tmp_path / "ohlcv_1h").mkdir()
    raw["BTC"].to_parquet(tmp_path / "ohlcv_1h" / "A.parquet")
    (tmp_path / "fear_greed.parquet").write_bytes((folder / "fear_greed.parquet").read_bytes())
    RecordedHistory(tmp_path, NOW)
    spoil(tmp_path)
    with pytest.raises(ConfigurationError) as refusal:
        RecordedHistory(tmp_path, NOW).sentiment(*EVER)
    assert all(word in str(refusal.value) for word in words)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda stamps: stamps.dt.tz_localize(None), "UTC"),
        (lambda stamps: stamps[::-1].to_numpy(), "ascending"),
        (lambda stamps: stamps.where(stamps.index != 7, stamps[6]), "each once"),
        (lambda stamps: stamps + timedelta(minutes=1), "full hours"),
    ],
)
def test_candles_without_a_clean_time_axis_are_refused(folder, raw, tmp_path, spoil, word):
    (tmp_path / "ohlcv_1h").mkdir()
    frame = raw["ETH"].assign(timestamp=spoil(raw["ETH"]["timestamp"]))
    frame.to_parquet(tmp_path / "ohlcv_1h" / "ETH.parquet")
    (tmp_path / "fear_greed.parquet").write_bytes((folder / "fear_greed.parquet").read_bytes())
    with pytest.raises(ConfigurationError, match=word) as refusal:
        RecordedHistory(tmp_path, NOW).candles("ETH", *EVER)
    assert "ETH.parquet" in str(refusal.value)


def test_the_real_folder_keeps_its_outages(recorded_data):
    candles = RecordedHistory(recorded_data, NOW).candles("BTC", *EVER)
    missing = candles["timestamp"].diff().div(pd.Timedelta(hours=1)).sub(1).dropna()
    assert len(candles) == 55_740
    assert (missing.sum(), (missing > 0).sum(), missing.max()) == (128, 28, 33)
