"""What single features mean, on candles small enough to check by hand."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from crypto_platform.core.features import DEFAULT, WITHOUT_SENTIMENT, FeatureSet, compute
from crypto_platform.core.formulas import REGISTRY, Inputs
from crypto_platform.core.panel import build_panel

HOUR = pd.Timedelta(hours=1)


def values(frame: pd.DataFrame, name: str) -> np.ndarray:
    """One feature of the only segment of a frame, warm-up included."""
    panel = build_panel(frame)
    return REGISTRY[name].formula(Inputs(panel))[0]


@pytest.fixture
def candles(walk: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return walk("BTC", 260, seed=7)


def halted(candles: pd.DataFrame, price: float) -> pd.DataFrame:
    """Nothing moves from hour 100 to 160."""
    still = candles.index.isin(range(100, 161))
    return candles.assign(**{c: candles[c].where(~still, price) for c in ("open", "high", "low", "close")})


@pytest.fixture
def flat(candles: pd.DataFrame) -> pd.DataFrame:
    return halted(candles, candles.loc[99, "close"])


@pytest.mark.parametrize(
    "name", ["cci_20", "stoch_k", "willr_14", "zscore_30", "autocorr_24", "mfi_14", "vol_ratio_7_30"]
)
def test_a_flat_window_has_no_value_rather_than_a_quotient_of_rounding_errors(candles: pd.DataFrame, name: str) -> None:
    for price in np.random.default_rng(4).uniform(50, 200, 20):
        assert np.isnan(values(halted(candles, price), name)[150])


@pytest.mark.parametrize(
    ("name", "value"),
    [("bb_pctb_20", 0.5), ("bb_width_20", 0.0), ("close_pos", 0.5), ("vol_14", 0.0), ("slope_24", 0.0)],
)
def test_a_flat_window_has_the_value_that_the_definition_names(flat: pd.DataFrame, name: str, value: float) -> None:
    assert values(flat, name)[150] == pytest.approx(value, abs=1e-15)


def test_a_series_that_never_moved_has_an_rsi_of_one_half(candles: pd.DataFrame) -> None:
    still = candles.assign(open=2.0, high=2.0, low=2.0, close=2.0)
    np.testing.assert_array_equal(values(still, "rsi_14")[14:], 0.5)
    assert np.isnan(values(still, "adx_14")).all()


def test_untraded_hours_are_left_out_of_volume_windows(candles: pd.DataFrame) -> None:
    candles.loc[100, "volume_base"] = 0.0
    volume = candles["volume_base"].to_numpy()
    ratio, z = values(candles, "volume_sma_ratio_7"), values(candles, "volume_z_24")
    rest = np.delete(volume[97:104], 3)
    assert ratio[103] == pytest.approx(np.log(volume[103] / rest.mean()), abs=1e-12)
    logs = np.log(np.delete(volume[85:109], 15))
    assert z[108] == pytest.approx((np.log(volume[108]) - logs.mean()) / logs.std(ddof=1), abs=1e-12)
    for name in ("volume_sma_ratio_7", "volume_z_24", "volume_z_168", "vwap_ratio_24", "mfi_14"):
        assert np.isnan(values(candles, name)[100])
        assert np.isfinite(values(candles, name)[101 if name != "volume_z_168" else 200])


@pytest.mark.parametrize(
    ("name", "n", "tolerated"), [("volume_sma_ratio_7", 7, 1), ("volume_z_24", 24, 4), ("mfi_14", 14, 2)]
)
def test_four_fifths_of_a_volume_window_must_have_traded(
    candles: pd.DataFrame, name: str, n: int, tolerated: int
) -> None:
    for untraded, missing in ((tolerated, False), (tolerated + 1, True)):
        candles["volume_base"] = 5.0 + candles.index % 3
        candles.loc[99 : 98 + untraded, "volume_base"] = 0.0
        last = 98 + n  # the window 99 … 98 + n
        assert np.isnan(values(candles, name)[last]) == missing


def test_constant_volume_has_no_zscore(candles: pd.DataFrame) -> None:
    candles["volume_base"] = 17.3
    candles.loc[::7, "volume_base"] = 0.0
    assert np.isnan(values(candles, "volume_z_24")).all()


def test_money_flow_counts_rising_hours(candles: pd.DataFrame) -> None:
    typical = candles[["high", "low", "close"]].mean(axis=1).to_numpy()
    flow = typical * candles["volume_base"].to_numpy()
    rises = np.diff(typical, prepend=np.nan) > 0
    window = slice(87, 101)
    expected = flow[window][rises[window]].sum() / flow[window].sum()
    assert values(candles, "mfi_14")[100] == pytest.approx(expected, abs=1e-12)


def test_calendar_is_that_of_the_moment_of_use_in_utc(candles: pd.DataFrame) -> None:
    """The candle of Sunday 23:00 is used on Monday at 00:00; clock changes anywhere move nothing."""
    for start in ("2026-03-22", "2026-10-18"):  # daylight saving begins and ends within the span
        frame = candles.assign(timestamp=pd.date_range(start, periods=len(candles), freq="h", tz="UTC", unit="us"))
        used = frame["timestamp"] + HOUR
        np.testing.assert_allclose(values(frame, "hour_sin"), np.sin(2 * np.pi * used.dt.hour / 24), atol=1e-12)
        np.testing.assert_allclose(values(frame, "hour_cos"), np.cos(2 * np.pi * used.dt.hour / 24), atol=1e-12)
        np.testing.assert_allclose(values(frame, "dow_sin"), np.sin(2 * np.pi * used.dt.day_of_week / 7), atol=1e-12)
        np.testing.assert_allclose(values(frame, "dow_cos"), np.cos(2 * np.pi * used.dt.day_of_week / 7), atol=1e-12)
        np.testing.assert_array_equal(values(frame, "is_weekend"), used.dt.day_of_week >= 5)


def test_share_of_filled_hours(candles: pd.DataFrame) -> None:
    share = values(candles.drop(index=[50, 51, 60]), "gap_fill_24")
    assert share[[49, 52, 62, 73, 74, 84]] == pytest.approx(np.array([0, 2, 3, 3, 2, 0]) / 24)


def _sentiment(rows: list[tuple[str, str, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["timestamp", "known_at", "fear_greed_value"])
    return frame.assign(**{name: pd.to_datetime(frame[name], utc=True) for name in ("timestamp", "known_at")})


def _fng_at(walk: Callable[..., pd.DataFrame], sentiment: pd.DataFrame, hour: str) -> float:
    """The index joined to the candle of `hour`."""
    rows = compute(walk("BTC", 600, seed=9), sentiment, FeatureSet("fng", ("fng",)))
    return float(rows.set_index("timestamp").loc[pd.Timestamp(hour, tz="UTC"), "fng"])


@pytest.mark.parametrize(
    ("hour", "expected"),
    [
        ("2026-01-26 00:00", 0.40),  # used at 01:00, when the new day is not known yet
        ("2026-01-26 01:00", 0.60),  # used at 02:00, known since 01:30
        ("2026-01-27 23:00", 0.60),  # 48 hours old
        ("2026-01-28 00:00", np.nan),  # stale
        ("2026-01-28 08:00", 0.70),  # the day that came late
        ("2026-01-28 12:00", 0.70),  # an older day that came later still does not replace it
        ("2026-01-28 20:00", 0.75),  # but a restatement does
    ],
)
def test_sentiment_is_the_newest_day_known_then(walk: Callable[..., pd.DataFrame], hour: str, expected: float) -> None:
    sentiment = _sentiment(
        [
            ("2026-01-25", "2026-01-25 01:00", 40),
            ("2026-01-26", "2026-01-26 01:30", 60),
            ("2026-01-28", "2026-01-28 07:00", 70),
            ("2026-01-27", "2026-01-28 11:00", 10),
            ("2026-01-28", "2026-01-28 19:00", 75),
        ]
    )
    assert _fng_at(walk, sentiment, hour) == pytest.approx(expected, nan_ok=True)


def test_order_of_sentiment_rows_does_not_matter(
    walk: Callable[..., pd.DataFrame], daily_sentiment: pd.DataFrame
) -> None:
    candles = walk("BTC", 600, seed=9)
    shuffled = daily_sentiment.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(compute(candles, daily_sentiment), compute(candles, shuffled))


def test_an_hour_from_a_fallback_source_is_computed_but_never_valid(walk: Callable[..., pd.DataFrame]) -> None:
    candles = walk("BTC", 400, seed=9)
    own = compute(candles, _sentiment([]), WITHOUT_SENTIMENT)
    mixed = compute(candles.assign(is_fallback=candles.index == 380), _sentiment([]), WITHOUT_SENTIMENT)
    assert own["is_valid"].iloc[336:].all()
    assert np.flatnonzero(own["is_valid"] != mixed["is_valid"]).tolist() == [380]
    names = list(WITHOUT_SENTIMENT.features)
    pd.testing.assert_frame_equal(own[names], mixed[names])


def test_no_candles_give_no_rows(walk: Callable[..., pd.DataFrame], daily_sentiment: pd.DataFrame) -> None:
    assert compute(walk("BTC", 1, seed=1).iloc[:0], daily_sentiment).empty


def test_a_set_is_told_by_its_features_and_their_order() -> None:
    other = FeatureSet(DEFAULT.name, DEFAULT.features[::-1])
    assert DEFAULT.hash == FeatureSet("another name", DEFAULT.features).hash
    assert DEFAULT.hash != other.hash
    assert len(DEFAULT.hash) == 16
