"""Laws of every feature and label in whatever world hypothesis draws, all optional parts and a user's own included.

`pytest --hypothesis-profile=thorough` draws forty times as many worlds, and others each time.
"""

import os
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.core.features import LOOKBACK_ROWS, WARM_UP_ROWS
from crypto_platform.core.joins import SENTIMENT_STALE, SNAPSHOT_STALE
from crypto_platform.core.panel import build_panel
from crypto_platform.tables.features import HORIZONS, PARTS, target_direction, target_return
from crypto_platform_tests.strategies import (
    EVERYTHING,
    HOUR,
    KEYS,
    LABELS,
    PRICES,
    STATE,
    SYMBOLS,
    World,
    assert_same,
    laws,
    worlds,
)

FEATURES = list(EVERYTHING.features)
ZONES = ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "UTC")


def scrambled(world: World, moment: pd.Timestamp, seed: int) -> World:
    """Everything that is known only after the hour `moment` is noise, and some of it is gone."""
    rng = np.random.default_rng(seed)

    def noise(frame: pd.DataFrame, known: pd.Series, columns: list[str], drop: float = 0.2) -> pd.DataFrame:
        later = known > moment + HOUR
        frame = frame.copy()
        frame.loc[later, columns] = np.exp(rng.normal(0, 3, (int(later.sum()), len(columns))))
        return frame[~later | (rng.random(len(frame)) > drop)]

    return World(
        noise(world.candles, world.candles["timestamp"] + HOUR, [*PRICES, "volume_base"]),
        noise(world.sentiment, world.sentiment["known_at"], ["fear_greed_value"]),
        noise(world.snapshots, world.snapshots["known_at"], ["total_volume", "market_cap"]),
    )


@laws
@given(
    world=worlds(),
    ahead=st.integers(WARM_UP_ROWS, 990),
    seed=st.integers(0, 1_000),
    missing=st.sampled_from((None, *SYMBOLS)),
)
def test_nothing_later_changes_a_row(world: World, ahead: int, seed: int, missing: str | None) -> None:
    """Neither that it is withheld, nor what it is: candles, the reference, sentiment and snapshots alike.

    Also where the last hour of a symbol is missing: whether it will be filled is not known yet.
    """
    moment = world.candles["timestamp"].min() + ahead * HOUR
    gone = (world.candles["symbol"] == missing) & (world.candles["timestamp"] == moment)
    world = world.having(candles=world.candles[~gone])
    whole = world.rows()
    past = world.known(moment)
    newest = past.candles.groupby("symbol")["timestamp"].max()  # an hour counts as filled once a candle came after it
    for trial in (past, scrambled(world, moment, seed)):
        seen = trial.rows()
        seen = seen[seen["timestamp"] <= seen["symbol"].map(newest)]
        assert_same(whole.merge(seen[KEYS]), seen, [*FEATURES, *STATE])
        for horizon in HORIZONS:
            resolved = seen[seen["timestamp"] + horizon * HOUR <= moment]
            columns = [target_return(horizon), target_direction(horizon)]
            assert_same(whole.merge(resolved[KEYS]), resolved, columns)


@laws
@given(world=worlds(), offset=st.integers(1, 1_000 - LOOKBACK_ROWS - 10))
def test_a_lookback_gives_what_the_whole_history_gives(world: World, offset: int) -> None:
    begin = world.candles["timestamp"].min() + offset * HOUR
    emit_from = begin + LOOKBACK_ROWS * HOUR
    recent = world.having(candles=world.candles[world.candles["timestamp"] >= begin])
    rows = recent.rows(dict.fromkeys(SYMBOLS, emit_from.to_pydatetime()))
    whole = world.rows()
    assert_same(whole[whole["timestamp"] >= emit_from], rows, [*FEATURES, *STATE, *LABELS])


@laws
@given(world=worlds(), price=st.floats(1e-6, 1e6), volume=st.floats(1e-6, 1e6))
def test_features_have_no_unit(world: World, price: float, volume: float) -> None:
    scaled = world.having(
        candles=world.candles.assign(
            **{name: world.candles[name] * price for name in PRICES}, volume_base=world.candles["volume_base"] * volume
        ),
        snapshots=world.snapshots.assign(
            **{name: world.snapshots[name] * price for name in ("total_volume", "market_cap")}
        ),
    )
    assert_same(world.rows(), scaled.rows(), [*FEATURES, *STATE])


@laws
@given(world=worlds())
def test_a_segment_knows_nothing_of_its_neighbors(world: World) -> None:
    whole, panel = world.rows(), build_panel(world.candles)
    for symbol, start, length in zip(panel.symbols, panel.starts, panel.lengths, strict=True):
        first = pd.Timestamp(int(start), unit="h", tz="UTC")
        span = (first, first + (length - 1) * HOUR)
        mine = world.candles[(world.candles["symbol"] == symbol) & world.candles["timestamp"].between(*span)]
        alone = world.having(candles=mine).beside(world.candles)
        beside = whole[(whole["symbol"] == symbol) & whole["timestamp"].between(*span)]
        assert_same(beside, alone, [*FEATURES, *STATE, *LABELS])


@pytest.fixture
def machine_zone() -> Iterator[None]:
    before = os.environ.get("TZ")
    yield
    os.environ.pop("TZ", None) if before is None else os.environ.update(TZ=before)
    time.tzset()


@laws
@given(world=worlds(), spoken=st.sampled_from(ZONES), lived=st.sampled_from(ZONES))
def test_no_time_zone_and_no_change_of_clocks_matters(
    machine_zone: None, world: World, spoken: str, lived: str
) -> None:
    """Instants in another zone, on a machine in a third one: the same rows, calendar features included."""
    whole = world.rows()
    os.environ["TZ"] = lived
    time.tzset()

    def told(frame: pd.DataFrame) -> pd.DataFrame:
        times = [name for name in ("timestamp", "known_at") if name in frame]
        return frame.assign(**{name: frame[name].dt.tz_convert(spoken) for name in times})

    there = World(told(world.candles), told(world.sentiment), told(world.snapshots)).rows()
    assert str(there["timestamp"].dt.tz) == "UTC"
    pd.testing.assert_frame_equal(whole, there, check_exact=True)
    ends = whole["timestamp"] + HOUR
    warm = whole["segment_hours"] == WARM_UP_ROWS
    np.testing.assert_allclose(whole["hour_sin"][warm], np.sin(2 * np.pi * ends.dt.hour / 24)[warm], atol=1e-12)
    assert (whole["is_weekend"] == (ends.dt.day_of_week >= 5))[warm].all()


@laws
@given(world=worlds())
def test_a_label_is_what_the_feature_of_its_last_hour_says_of_the_past(world: World) -> None:
    """The return over h hours at t + h, of the same segment, is the label of t; all others are missing."""
    rows = world.rows()
    panel = build_panel(world.candles)
    close = world.candles.set_index(KEYS)["close"].to_dict()
    segment = {
        (symbol, start + i): number
        for number, (symbol, start, length) in enumerate(zip(panel.symbols, panel.starts, panel.lengths, strict=True))
        for i in range(length)
    }
    hours = (rows["timestamp"].astype("int64") // 3_600_000_000).to_numpy()
    for horizon in HORIZONS:
        expected = np.full(len(rows), np.nan)
        for i, (symbol, at, hour) in enumerate(zip(rows["symbol"], rows["timestamp"], hours, strict=True)):
            here, there = close.get((symbol, at)), close.get((symbol, at + horizon * HOUR))
            if here and there and segment[symbol, hour] == segment[symbol, hour + horizon]:
                expected[i] = there / here - 1
        np.testing.assert_allclose(rows[target_return(horizon)], expected, rtol=1e-12, atol=1e-15)
        sides = np.where(expected > 0, 1.0, np.where(expected < 0, 0.0, np.nan))
        np.testing.assert_array_equal(rows[target_direction(horizon)], sides)
        if f"ret_{horizon}" in rows:
            later = rows.assign(timestamp=rows["timestamp"] - horizon * HOUR)[[*KEYS, f"ret_{horizon}"]]
            both = rows.drop(columns=f"ret_{horizon}").merge(later, on=KEYS)
            both = both[both[target_return(horizon)].notna() & both[f"ret_{horizon}"].notna()]
            np.testing.assert_allclose(np.log1p(both[target_return(horizon)]), both[f"ret_{horizon}"], atol=1e-12)


_later = {
    "hours": st.integers(WARM_UP_ROWS, 990),
    "late": st.integers(0, 60 * 100),
    "value": st.floats(1, 99),
}


@laws
@given(world=worlds(), **_later)
def test_late_sentiment_enters_no_row_of_before_it_was_known(world: World, hours: int, late: int, value: float) -> None:
    """And later ones only where it is the newest, is not stale, and in features made of it."""
    spoken = (world.candles["timestamp"].min() + hours * HOUR).floor("D")
    known = spoken + pd.Timedelta(minutes=late)
    record = {"timestamp": [spoken], "known_at": [known], "fear_greed_value": [value]}
    others = world.sentiment[world.sentiment["timestamp"] != spoken]
    before = world.having(sentiment=others).rows()
    after = world.having(sentiment=pd.concat([others, pd.DataFrame(record).astype(others.dtypes)])).rows()
    changed = _changed(before, after)
    assert set(changed["feature"]) <= set(PARTS["sentiment"])
    newer = others.loc[others["timestamp"] > spoken, "known_at"].min()  # from here on it is not the newest
    last = min(spoken + SENTIMENT_STALE, newer - pd.Timedelta(microseconds=1))
    for name, shift in (("fng", 0), ("fng_chg_1d", 24), ("fng_chg_7d", 168)):
        told = changed.loc[changed["feature"] == name, "timestamp"] + HOUR
        spans = {0, shift}  # the change of a day or a week looks at two moments
        allowed = [told.between(known + s * HOUR, last + s * HOUR) for s in spans]
        assert np.logical_or.reduce(allowed).all(), name
    fresh = (after["timestamp"] + HOUR).between(known, last) & (after["segment_hours"] == WARM_UP_ROWS)
    np.testing.assert_allclose(after.loc[fresh, "fng"], value / 100)


@laws
@given(world=worlds(), symbol=st.sampled_from(SYMBOLS), **_later)
def test_a_late_snapshot_enters_no_row_of_before_it_was_known(
    world: World, symbol: str, hours: int, late: int, value: float
) -> None:
    """And later ones of its symbol only, until it is stale, and in `turnover_24h` alone."""
    taken = world.candles["timestamp"].min() + hours * HOUR + pd.Timedelta(minutes=30)
    known = taken + pd.Timedelta(minutes=late % 200)
    record = pd.DataFrame(
        {"symbol": [symbol], "timestamp": [taken], "known_at": [known], "total_volume": [value], "market_cap": [1e3]}
    )
    before = world.rows()
    after = world.having(snapshots=pd.concat([world.snapshots, record.astype(world.snapshots.dtypes)])).rows()
    changed = _changed(before, after)
    assert set(changed["feature"]) <= {"turnover_24h"}
    assert set(changed["symbol"]) <= {symbol}
    of_symbol = world.snapshots[world.snapshots["symbol"] == symbol]
    newer = of_symbol.loc[of_symbol["timestamp"] > taken, "known_at"].min()
    assert (changed["timestamp"] + HOUR).between(known, taken + SNAPSHOT_STALE).all()
    assert (changed["timestamp"] + HOUR < newer).all() or pd.isna(newer)


def _changed(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Feature, symbol and hour of what is another number, bit by bit."""
    pd.testing.assert_frame_equal(before[[*KEYS, *LABELS]], after[[*KEYS, *LABELS]], check_exact=True)
    a, b = before[FEATURES].to_numpy(), after[FEATURES].to_numpy()
    row, column = np.nonzero((a != b) & ~(np.isnan(a) & np.isnan(b)))
    return before.iloc[row][KEYS].assign(feature=[FEATURES[j] for j in column])
