"""Laws of features on histories made for them; `test_feature_properties.py` has those that hold in any world."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crypto_platform.core.features import (
    DEFAULT,
    LOOKBACK_ROWS,
    WARM_UP_ROWS,
    WITHOUT_SENTIMENT,
    compute,
    feature_set,
)
from crypto_platform.core.formulas import REGISTRY, Inputs
from crypto_platform.core.joins import REFERENCE, REFERENCE_1, REFERENCE_24, REFERENCE_SEEN, SENTIMENT, TURNOVER
from crypto_platform.core.panel import build_panel
from crypto_platform.tables.features import FEATURE_COLUMNS, HORIZONS, PARTS, target_direction, target_return
from crypto_platform_tests.strategies import HOUR, KEYS, LABELS, PRICES, STATE, assert_same

JOINED = (TURNOVER, REFERENCE_1, REFERENCE_24, REFERENCE_SEEN)


def scrambled(candles: pd.DataFrame, after: pd.Timestamp, seed: int) -> pd.DataFrame:
    """The candles with everything later than `after` replaced by noise, and some of it removed."""
    rng = np.random.default_rng(seed)
    later = np.flatnonzero(candles["timestamp"] > after)
    noise = candles.copy()
    columns = [*PRICES, "volume_base"]
    noise.iloc[later, [noise.columns.get_loc(c) for c in columns]] = np.exp(
        rng.normal(0, 3, (len(later), len(columns)))
    )
    return noise.drop(index=noise.index[rng.choice(later, len(later) // 5, replace=False)])


def assert_truncation_law(candles: pd.DataFrame, sentiment: pd.DataFrame, n_hours: int, seed: int) -> None:
    """Rows are the same when everything later is withheld, and when it is noise; labels, once they are resolved."""
    whole = compute(candles, sentiment)
    assert whole["is_valid"].any()
    rng = np.random.default_rng(seed)
    hours = whole.loc[whole["segment_hours"] == WARM_UP_ROWS, "timestamp"].drop_duplicates()
    for moment in pd.DatetimeIndex(rng.choice(hours, n_hours, replace=False)):
        past = candles[candles["timestamp"] <= moment]
        newest = past.groupby("symbol")[
            "timestamp"
        ].max()  # an hour counts as filled only once a candle has come after it
        emit_from = dict.fromkeys(newest.index, (moment - 60 * HOUR).to_pydatetime())
        for trial in (past, scrambled(candles, moment, seed)):
            seen = compute(trial, sentiment[sentiment["known_at"] <= moment + HOUR], emit_from=emit_from)
            seen = seen[seen["timestamp"] <= seen["symbol"].map(newest)]
            assert len(seen)
            assert_same(whole.merge(seen[KEYS]), seen, [*DEFAULT.features, *STATE])
            for horizon in HORIZONS:
                resolved = seen[seen["timestamp"] + horizon * HOUR <= moment]
                columns = [target_return(horizon), target_direction(horizon)]
                assert_same(whole.merge(resolved[KEYS]), resolved, columns)


@pytest.mark.parametrize(
    ("symbol", "since", "until"),
    [("BTC", "2020-11-01", "2021-03-15"), ("SOL", "2021-01-01", "2021-05-15"), ("FTT", "2022-09-15", "2023-10-31")],
)
def test_nothing_later_changes_a_row_of_recorded_history(
    recorded_data: Path, symbol: str, since: str, until: str
) -> None:
    """Spans with outages of one to four hours, and FTT's hole of ten months."""
    candles = pd.read_parquet(recorded_data / "ohlcv_1h" / f"{symbol}.parquet").assign(symbol=symbol)
    candles = candles[candles["timestamp"].between(pd.Timestamp(since, tz="UTC"), pd.Timestamp(until, tz="UTC"))]
    index = pd.read_parquet(recorded_data / "fear_greed.parquet")
    day = pd.to_datetime(index["date"], utc=True)
    sentiment = pd.DataFrame(
        {"timestamp": day, "known_at": day + HOUR, "fear_greed_value": index["value"].astype(float)}
    )
    sentiment = sentiment[
        sentiment["timestamp"].between(candles["timestamp"].min() - pd.Timedelta(days=12), candles["timestamp"].max())
    ]
    assert_truncation_law(candles.reset_index(drop=True), sentiment.reset_index(drop=True), n_hours=50, seed=2)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def _crash(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(**{c: frame[c].where(frame.index < 800, frame[c] * 1e-7) for c in PRICES})


def _burst(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(volume_base=frame["volume_base"].where(frame.index != 800, frame["volume_base"] * 1e9))


def _halt(frame: pd.DataFrame) -> pd.DataFrame:
    still = (frame.index > 800) & (frame.index < 1490)
    return frame.assign(**{c: frame[c].where(~still, frame.loc[800, "close"]) for c in PRICES})


def _crowded(frame: pd.DataFrame) -> pd.DataFrame:
    gone = np.random.default_rng(3).choice(np.arange(100, 1600), 55, replace=False)
    return frame.drop(index=gone)


@pytest.mark.parametrize("change", [_plain, _crash, _burst, _halt, _crowded])
def test_rows_computed_from_the_lookback_alone_equal_those_of_the_whole_history(
    walk: Callable[..., pd.DataFrame], daily_sentiment: pd.DataFrame, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    """Also after a price lost seven digits, a burst of volume, a month without movement, among many outages."""
    history = change(walk("BTC", 1700, seed=5, price=50_000))
    whole = compute(history, daily_sentiment)
    begin = history["timestamp"].iloc[0]
    for offset in (690, 750, 820, 975):
        emit_from = begin + (offset + LOOKBACK_ROWS) * HOUR
        recent = history[history["timestamp"] >= begin + offset * HOUR]
        rows = compute(recent, daily_sentiment, emit_from={"BTC": emit_from.to_pydatetime()})
        assert rows["timestamp"].min() >= emit_from
        assert_same(whole[whole["timestamp"] >= emit_from], rows, [*DEFAULT.features, *STATE, *LABELS])


def test_rows_do_not_depend_on_which_are_asked_for(dirty_candles: pd.DataFrame, daily_sentiment: pd.DataFrame) -> None:
    whole = compute(dirty_candles, daily_sentiment)
    start = pd.Timestamp("2026-02-14 05:00", tz="UTC")
    some = compute(dirty_candles, daily_sentiment, emit_from={"ETH": start.to_pydatetime()})
    expected = whole[(whole["symbol"] != "ETH") | (whole["timestamp"] >= start)].reset_index(drop=True)
    pd.testing.assert_frame_equal(some, expected, check_exact=True)


@pytest.mark.parametrize("name", [n for n, f in REGISTRY.items() if not f.recursive and n not in PARTS["sentiment"]])
def test_a_feature_that_claims_a_finite_memory_has_it(walk: Callable[..., pd.DataFrame], name: str) -> None:
    panel = build_panel(walk("BTC", 400, seed=6))
    feature, cut = REGISTRY[name], 150
    rng = np.random.default_rng(6)
    inputs = Inputs(panel, {name: rng.normal(size=panel.shape) for name in JOINED})
    whole, part = feature.formula(inputs), feature.formula(inputs.since(cut))
    np.testing.assert_array_equal(whole[:, cut + feature.first_row :], part[:, feature.first_row :])


def test_inputs_are_left_as_they_were(dirty_candles: pd.DataFrame, daily_sentiment: pd.DataFrame) -> None:
    candles, sentiment = dirty_candles.copy(deep=True), daily_sentiment.copy(deep=True)
    compute(dirty_candles, daily_sentiment)
    pd.testing.assert_frame_equal(dirty_candles, candles, check_exact=True)
    pd.testing.assert_frame_equal(daily_sentiment, sentiment, check_exact=True)


def test_panels_are_left_as_they_were(dirty_candles: pd.DataFrame) -> None:
    panel = build_panel(dirty_candles)
    for values in (panel.open, panel.high, panel.low, panel.close, panel.volume, panel.is_filled):
        values.setflags(write=False)
    inputs = Inputs(panel, {SENTIMENT: np.full(panel.shape, 0.5)})
    for feature in REGISTRY.values():
        assert feature.formula(inputs).shape == panel.shape


def test_valid_rows_are_warm_complete_and_not_filled(
    dirty_candles: pd.DataFrame, daily_sentiment: pd.DataFrame
) -> None:
    rows = compute(dirty_candles, daily_sentiment)
    features = rows[list(DEFAULT.features)]
    cold = rows["segment_hours"] < WARM_UP_ROWS
    assert features[cold].isna().all(axis=None)
    expected = np.isfinite(features).all(axis=1) & ~rows["is_filled"]
    pd.testing.assert_series_equal(rows["is_valid"], expected, check_names=False)
    assert 0 < rows["is_valid"].sum() < (~cold).sum()
    assert not rows.duplicated(KEYS).any()
    assert not np.isinf(features.to_numpy()).any()


def test_bounded_features_stay_in_their_bounds(dirty_candles: pd.DataFrame, daily_sentiment: pd.DataFrame) -> None:
    rows = compute(dirty_candles, daily_sentiment)
    bounds = {
        **dict.fromkeys(
            ("rsi_7", "rsi_14", "adx_14", "stoch_k", "stoch_d", "mfi_14", "close_pos", "gap_fill_24"), (0, 1)
        ),
        **dict.fromkeys(("di_diff_14", "aroonosc_25", "autocorr_24", "hour_sin", "dow_cos"), (-1, 1)),
        "willr_14": (-1, 0),
        **{f"dist_max_{n}": (-1, 0) for n in (7, 30, 168)},
        **{f"dist_min_{n}": (0, np.inf) for n in (7, 30, 168)},
    }
    for name, (low, high) in bounds.items():
        values = rows[name].dropna()
        assert values.between(low - 1e-12, high + 1e-12).all(), name


def test_every_feature_is_a_column_of_the_table_and_the_sets_are_what_they_say() -> None:
    assert set(REGISTRY) == set(FEATURE_COLUMNS)
    assert [name for part in PARTS.values() for name in part] == list(REGISTRY)
    assert set(DEFAULT.features) - set(WITHOUT_SENTIMENT.features) == set(PARTS["sentiment"])
    assert DEFAULT.hash != WITHOUT_SENTIMENT.hash


ALL_PARTS = feature_set(list(PARTS))


@pytest.fixture
def snapshots(dirty_candles: pd.DataFrame) -> pd.DataFrame:
    """One a symbol and hour, some late, some without a market capitalization, and a hole of five hours."""
    rng = np.random.default_rng(8)
    frame = dirty_candles[["symbol", "timestamp"]].copy()
    frame["timestamp"] += pd.to_timedelta(rng.integers(0, 60, len(frame)), unit="min")
    frame["known_at"] = frame["timestamp"] + pd.to_timedelta(rng.choice([2, 20, 150], len(frame)), unit="min")
    frame["total_volume"] = np.exp(rng.normal(18, 1, len(frame)))
    frame["market_cap"] = np.where(rng.random(len(frame)) < 0.05, np.nan, 1e10)
    return frame.drop(index=range(700, 705)).sample(frac=1, random_state=1)


def _all_parts(candles: pd.DataFrame, sentiment: pd.DataFrame, snapshots: pd.DataFrame, **more: Any) -> pd.DataFrame:
    reference = candles[candles["symbol"] == REFERENCE]
    return compute(candles, sentiment, ALL_PARTS, snapshots=snapshots, reference=reference, **more)


def test_the_group_of_the_reference_is_missing_where_the_reference_is(
    dirty_candles: pd.DataFrame, daily_sentiment: pd.DataFrame, snapshots: pd.DataFrame
) -> None:
    whole = _all_parts(dirty_candles, daily_sentiment, snapshots)
    group = list(PARTS["btc"])
    assert whole.loc[whole["symbol"] == REFERENCE, group].isna().all(axis=None)
    assert whole.loc[whole["symbol"] == REFERENCE, "is_valid"].any()
    gone = dirty_candles["timestamp"].iloc[0] + 1000 * HOUR
    holes = (dirty_candles["symbol"] == REFERENCE) & dirty_candles["timestamp"].between(gone, gone + 4 * HOUR)
    rows = _all_parts(dirty_candles[~holes], daily_sentiment, snapshots).query("symbol == 'ETH'")
    rows = rows.set_index("timestamp")
    assert rows.loc[gone : gone + 5 * HOUR, "btc_ret_1"].isna().all()  # the first hour after the hole has no return
    assert np.isfinite(rows.loc[gone + 6 * HOUR, "btc_ret_1"])
    assert rows.loc[gone : gone + 28 * HOUR, "btc_ret_24"].isna().all()
    assert rows.loc[gone : gone + 76 * HOUR, "btc_corr_72"].isna().all()
    assert np.isfinite(rows.loc[gone + 77 * HOUR, "btc_corr_72"])
    assert not rows.loc[gone : gone + 76 * HOUR, "is_valid"].any()
