"""The simulated market: equal scenarios are equal markets, candles are sound, and what was planted is there."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.core.bars import CANDLE_COLUMNS, empty_candles, rejection_reasons
from crypto_platform.core.provenance import Provenance
from crypto_platform.replay.scenario import RegimeChange, Scenario
from crypto_platform.replay.simulated import SimulatedMarket, classify

EPOCH = datetime(2026, 1, 5, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 20, tzinfo=UTC)
SYMBOLS = ("BTC", "ETH", "SOL")
HOUR = pd.Timedelta(hours=1)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def days(n: float) -> datetime:
    return EPOCH + timedelta(days=n)


def year(scenario: Scenario, symbol: str = "BTC") -> pd.DataFrame:
    return SimulatedMarket(scenario).candles(symbol, EPOCH, days(364))


def agreement(candles: pd.DataFrame) -> tuple[int, int]:
    """Pairs of adjacent moves in one direction, and all pairs of adjacent moves."""
    hourly = candles.set_index("timestamp")["close"].asfreq("h")
    sign = np.sign(hourly.diff())
    product = (sign * sign.shift()).dropna()
    return int((product > 0).sum()), int((product != 0).sum())


@pytest.fixture(scope="module")
def plain():
    return SimulatedMarket(Scenario(1, EPOCH, SYMBOLS))


@pytest.fixture(scope="module")
def btc(plain):
    return plain.candles("BTC", EPOCH, days(364))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**70), st.lists(st.floats(1, 120), min_size=1, max_size=4))
def test_an_hour_does_not_depend_on_how_far_the_market_was_drawn(seed, steps):
    scenario = Scenario(seed, EPOCH, SYMBOLS)
    at_once, by_and_by = SimulatedMarket(scenario), SimulatedMarket(scenario)
    for step in steps:
        by_and_by.candles("ETH", EPOCH, days(step))
    whole = at_once.candles("ETH", EPOCH, days(120))
    for step in steps:
        part = by_and_by.candles("ETH", EPOCH, days(step))
        pd.testing.assert_frame_equal(part, whole[whole["timestamp"] < days(step)], check_exact=True)
        mood = by_and_by.sentiment(EPOCH, days(step))
        pd.testing.assert_frame_equal(mood, at_once.sentiment(EPOCH, days(120)).iloc[: len(mood)])


def test_threads_that_read_at_once_see_the_same_market(btc):
    market = SimulatedMarket(Scenario(1, EPOCH, SYMBOLS))
    with ThreadPoolExecutor(8) as threads:
        read = [threads.submit(market.candles, "BTC", EPOCH, days(364)) for _ in range(8)]
    for candles in read:
        pd.testing.assert_frame_equal(candles.result(), btc, check_exact=True)


def test_a_symbol_does_not_depend_on_the_others(btc):
    alone = year(Scenario(1, EPOCH, ("BTC",)))
    pd.testing.assert_frame_equal(alone, btc, check_exact=True)


def test_seeds_and_symbols_differ(plain, btc):
    other = year(Scenario(2, EPOCH, SYMBOLS))
    eth = plain.candles("ETH", EPOCH, days(364))
    for close in (other["close"], eth["close"]):
        assert abs(np.log(close).diff().corr(np.log(btc["close"]).diff())) < 0.9


@pytest.mark.parametrize("symbol", ["BTC", "ADA", "NOBODY-KNOWS", "Ω"])
def test_candles_are_sound(symbol):
    scenario = Scenario.around(NOW, 200, (symbol, "ETH"), seed=3, edge=0.1)
    candles = SimulatedMarket(scenario).candles(symbol, BEGINNING, NOW)
    assert tuple(candles.columns) == CANDLE_COLUMNS
    pd.testing.assert_frame_equal(candles.iloc[:0], empty_candles())
    assert not rejection_reasons(candles).any()
    traded = candles[candles["volume_base"] > 0]
    paid = traded["volume"] / traded["volume_base"]
    assert paid.between(traded["low"] * (1 - 1e-12), traded["high"] * (1 + 1e-12)).all()
    assert (traded["trades"] >= 1).all()
    assert (traded["trades"] % 1 == 0).all()


def test_the_close_hardly_ever_stands_still(btc):
    assert (btc["close"] == btc["open"]).mean() < 0.01


def test_a_range_holds_its_start_and_not_its_end(plain, btc):
    hours = btc["timestamp"]
    part = plain.candles("BTC", hours[1000].to_pydatetime(), hours[1010].to_pydatetime())
    assert list(part["timestamp"]) == list(hours[1000:1010])
    assert plain.candles("BTC", days(9), days(8)).empty
    assert plain.candles("BTC", BEGINNING, EPOCH).empty


def test_prices_are_continuous_but_over_outages(btc):
    follows = btc["timestamp"].diff() == HOUR
    stopped = btc["volume_base"].shift() == 0
    jump = (btc["open"] - btc["close"].shift()).abs()
    assert (jump[follows & ~stopped] == 0).all()


def test_outages_are_common_absent_hours_after_a_flat_candle(plain, btc):
    gaps = btc["timestamp"].diff().div(HOUR).sub(1).fillna(0).astype(int)
    before = btc.index[gaps.shift(-1, fill_value=0) > 0]
    assert 4 <= (gaps > 0).sum() <= 26
    assert gaps[gaps > 0].between(1, 12).all()  # two may meet
    edges = btc.loc[before]
    assert (edges["volume_base"] == 0).all()
    assert (edges[["open", "high", "low"]].sub(edges["close"], axis=0) == 0).all(axis=None)
    assert (btc["volume_base"] == 0).sum() == len(edges)
    for symbol in SYMBOLS[1:]:
        pd.testing.assert_series_equal(plain.candles(symbol, EPOCH, days(364))["timestamp"], btc["timestamp"])


@pytest.mark.parametrize(("edge", "seed"), [(0.0, 5), (0.05, 6), (0.2, 7), (-0.1, 8), (0.5, 9)])
def test_the_direction_is_kept_with_the_planted_probability(edge, seed):
    agree, pairs = agreement(year(Scenario(seed, EPOCH, ("BTC",), edge=edge)))
    error = np.sqrt(0.25 / pairs)
    assert abs(agree / pairs - 0.5 - edge) < 4 * error


@pytest.mark.parametrize("edge", [0.0, 0.2])
def test_the_edge_does_not_depend_on_the_size_of_the_moves(edge):
    candles = year(Scenario(10, EPOCH, ("BTC",), edge=edge))
    change = np.log(candles["close"]).diff().iloc[1:]
    agree = np.sign(change) == np.sign(change.shift())
    for size in (change.abs(), change.abs().shift()):
        large = size > size.median()
        error = np.sqrt(2 * 0.25 / large.sum())
        assert abs(agree[large].mean() - agree[~large].mean()) < 4 * error


@pytest.mark.parametrize("seed", range(4))
def test_a_certain_edge_keeps_the_first_direction_for_good(seed):
    """Over the borders of blocks, too."""
    close = SimulatedMarket(Scenario(seed, EPOCH, ("BTC",), edge=0.5)).candles("BTC", EPOCH, days(90))["close"]
    assert len(set(np.sign(close.diff().dropna())) - {0.0}) == 1


def test_an_edge_leaves_symbols_correlated():
    def correlation(edge: float) -> float:
        market = SimulatedMarket(Scenario(11, EPOCH, SYMBOLS, edge=edge))
        changes = [np.log(market.candles(name, EPOCH, days(200))["close"]).diff() for name in SYMBOLS[:2]]
        return float(changes[0].corr(changes[1]))

    assert correlation(0.2) > correlation(0.0) - 0.15


def test_without_an_edge_the_past_says_nothing_of_the_direction(btc):
    """Up and down are equally likely, after calm and turmoil, up and down, at all hours."""
    change = np.log(btc["close"]).diff().iloc[2:]
    up = (change > 0)[change != 0]
    past = change.shift().reindex(up.index)
    hour = btc["timestamp"].dt.hour.reindex(up.index)
    groups = [up.index == up.index, past > 0, past < 0, past.abs() > past.abs().quantile(0.8), hour < 8, hour >= 16]
    for group in groups:
        assert abs(up[group].mean() - 0.5) < 4 * np.sqrt(0.25 / np.sum(group))


def test_the_regime_changes_at_its_hour_and_not_before(btc):
    at = days(200)
    changed = year(Scenario(1, EPOCH, SYMBOLS, regime_change=RegimeChange(at, 2.0, 3.0)))
    calm = btc["timestamp"] < at
    pd.testing.assert_frame_equal(changed[calm], btc[calm], check_exact=True)
    moves = [np.log(frame["close"]).diff()[~calm].iloc[1:] for frame in (changed, btc)]
    assert moves[0].std() / moves[1].std() == pytest.approx(2.0, rel=1e-3)
    ratio = changed["volume_base"][~calm] / btc["volume_base"][~calm]
    assert ratio.median() == pytest.approx(3.0, rel=1e-6)


def test_a_listing_hides_what_was_before_it(btc):
    at = days(100) + timedelta(hours=5)
    listed = year(Scenario(1, EPOCH, SYMBOLS, listings={"BTC": at}))
    pd.testing.assert_frame_equal(listed, btc[btc["timestamp"] >= at].reset_index(drop=True), check_exact=True)


def test_sentiment_is_daily_banded_and_follows_past_returns(plain, btc):
    mood = plain.sentiment(EPOCH, days(364))
    steps = mood["timestamp"].diff().dropna()
    assert 340 <= len(mood) < 364
    assert (steps >= pd.Timedelta(days=1)).all()
    assert (mood["timestamp"] == mood["timestamp"].dt.floor("D")).all()
    assert mood["value"].between(0, 100).all()
    assert list(mood["classification"]) == [classify(value) for value in mood["value"]]
    daily = np.log(btc.set_index("timestamp")["close"].resample("D").first().ffill())
    value = mood.set_index("timestamp")["value"]
    assert value.corr(daily.diff(10)) > 0.5


@pytest.mark.parametrize("day", [28, 40])
def test_sentiment_knows_nothing_of_its_own_day(plain, day):
    """A market turned wild at midnight shows in the next day's value at the earliest."""
    wild = SimulatedMarket(Scenario(1, EPOCH, SYMBOLS, regime_change=RegimeChange(days(day), 40.0, 1.0)))
    until = days(day + 0.5)
    pd.testing.assert_frame_equal(wild.sentiment(EPOCH, until), plain.sentiment(EPOCH, until))
    assert not wild.sentiment(until, days(60)).equals(plain.sentiment(until, days(60)))


def test_it_says_what_it_is(plain):
    assert plain.provenance is Provenance.SIMULATED
    assert plain.title == "SIMULATED market, seed 1"
    assert plain.symbols == SYMBOLS


def test_an_unknown_symbol_is_a_key_error(plain):
    with pytest.raises(KeyError):
        plain.candles("XYZ", EPOCH, days(1))
    with pytest.raises(KeyError):
        plain.supply("XYZ")
