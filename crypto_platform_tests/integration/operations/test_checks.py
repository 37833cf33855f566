"""Every check passes on a sound store, and each kind of damage fails the check that is there for it, by name."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Boolean, Double, Integer, Table, delete, insert, text, update
from sqlalchemy.types import JSON

from crypto_platform.core.features import DEFAULT
from crypto_platform.core.hours import HOUR
from crypto_platform.operations.checks import CHECKS, Check, Scope, candles, collected, prices
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import ALL, Listing, Symbol
from crypto_platform.tables import (
    ab_test_config,
    ab_test_results,
    features,
    market_data,
    model_aliases,
    model_metrics,
    model_versions,
    monitoring_metrics,
    ohlcv_crosschecks,
    ohlcv_data,
    ohlcv_gaps,
    ohlcv_revisions,
    prediction_outcomes,
    predictions,
    quarantine,
    retrain_decisions,
    sentiment_data,
    vendor_states,
    watermarks,
)
from crypto_platform.tables.columns import UTCDateTime

NOW = datetime(2026, 3, 4, 12, 5, tzinfo=UTC)
CLOSED = NOW.replace(minute=0)  # end of the newest closed candle
NAMES = ("BTC", "ETH")
SCOPE = Scope(tuple(Symbol(name, name, f"{name.lower()}-coin", name, default=True) for name in NAMES), NOW)
WEEKS = 24 * 28
KINDS = ((UTCDateTime, NOW), (Boolean, False), (Double, 1.0), (Integer, 1), (JSON, {}))


def at(hours: float) -> datetime:
    """Open time of the candle so many hours before the newest."""
    return CLOSED - HOUR * (1 + hours)


def put(store: Warehouse, table: Table, **given: Any) -> None:
    """A row with what is given, and something plain in every other column that must not be NULL."""
    row = dict(given)
    for column in table.columns:
        if not column.nullable and column.name not in row and column.server_default is None:
            row[column.name] = next((value for kind, value in KINDS if isinstance(column.type, kind)), "x")
    with store.begin() as connection:
        connection.execute(insert(table), row)


def change(store: Warehouse, table: Table, symbol: str, when: Any = None, **values: Any) -> None:
    with store.begin() as connection:
        found = [] if when is None else [when]
        connection.execute(update(table).where(table.c.symbol == symbol, *found).values(**values))


def remove(store: Warehouse, table: Table, *where: Any) -> None:
    with store.begin() as connection:
        connection.execute(delete(table).where(*where))


def candle_rows(walk: Callable[..., pd.DataFrame], name: str, seed: int) -> pd.DataFrame:
    rows = walk(name, WEEKS, seed, start=f"{CLOSED - WEEKS * HOUR:%Y-%m-%d %H:%M}")
    known = rows["timestamp"] + pd.Timedelta(hours=1)
    return rows.assign(source="binance", known_at=known, known_at_estimated=known < pd.Timestamp(NOW - 3 * 24 * HOUR))


def put_served(store: Warehouse, name: str) -> None:
    """Model, forecast, outcome, experiment and decision of one symbol."""
    served = {"symbol": name, "horizon": 1, "version": f"v{name}"}
    hour = {"prediction_timestamp": at(8), "candle_timestamp": at(9)}
    put(store, model_versions, **served)
    put(store, model_aliases, symbol=name, horizon=1, alias="champion", at=at(99), version_to=f"v{name}")
    put(store, model_metrics, **served, model_name="ensemble", metric_name="accuracy", fold=-1)
    put(store, features, symbol=name, timestamp=at(9), feature_set_hash=DEFAULT.hash, target_return_1=0.1)
    put(store, features, symbol=name, timestamp=at(0), feature_set_hash=DEFAULT.hash)
    made = {"prob_up": 0.5, "prob_down": 0.5, "role": "champion", "origin": "live", "signal": "HOLD"}
    made["signal_before_costs"] = "HOLD"
    put(store, predictions, **served, **hour, **made)
    newest = {"prediction_timestamp": CLOSED, "candle_timestamp": at(0)}
    put(store, predictions, **served, **newest, **made)
    put(store, prediction_outcomes, **served, prediction_timestamp=at(8))
    for arm in ("A", "B"):
        put(
            store,
            ab_test_results,
            test_name="t",
            symbol=name,
            horizon=1,
            prediction_timestamp=at(8),
            arm=arm,
            published_arm="A",
        )
    put(store, retrain_decisions, symbol=name, horizon=1, decision_time=at(2))


@pytest.fixture
def sound(store: Warehouse, walk: Callable[..., pd.DataFrame]) -> Warehouse:
    """A store of which every check holds."""
    put(store, ab_test_config, test_name="t", published_arm="A")
    for seed, name in enumerate(NAMES):
        store.upsert(ohlcv_data, candle_rows(walk, name, seed))
        noted = {"asked_at": NOW.isoformat(), "vendor_clock": (NOW + timedelta(seconds=40)).isoformat()}
        put(store, watermarks, dataset="ohlcv_data", symbol=name, watermark=CLOSED, source="binance", details=noted)
        put(store, market_data, symbol=name, timestamp=NOW, market_cap=1.0, total_volume=1.0, price_usd=1.0)
        compare(store, name, 1.001)
        put_served(store, name)
    days = pd.date_range("2026-01-01", "2026-03-04", freq="D", tz="UTC", unit="us")
    rows = {"timestamp": days, "fear_greed_value": 50, "fear_greed_classification": "Neutral"}
    store.upsert(sentiment_data, pd.DataFrame({**rows, "known_at": days, "source": "alternative_me"}))
    put(store, monitoring_metrics, timestamp=at(0), metric_type="t", metric_name="m", symbol=ALL)
    put(store, vendor_states, vendor="coinpaprika", calls=100, month="2026-03", failures=0)
    return store


def compare(store: Warehouse, name: str, ratio: float, hours: int = 24, age: float = 1) -> None:
    """A second opinion that is `ratio` times ours for the newest `hours` of a day."""
    stamps = pd.DatetimeIndex([at(age + i) for i in range(24)])
    close = np.where(np.arange(24) < hours, 100.0 * ratio, 100.0)
    rows = {"symbol": name, "timestamp": stamps, "source": "kraken", "close": close, "own_close": 100.0}
    store.upsert(ohlcv_crosschecks, pd.DataFrame({**rows, "checked_at": NOW - age * HOUR}))


def put_quarantined(store: Warehouse, reason: str) -> None:
    put(store, quarantine, id="1", symbol="ETH", reason=reason, dataset="ohlcv_data", seen_at=NOW - HOUR)


def jump(store: Warehouse, hours: float, factor: float) -> None:
    """ETH's close of one hour times `factor`, and the range with it."""
    held = ohlcv_data.c
    values = {
        "close": held.close * factor,
        "high": held.high * max(factor, 1),
        "low": held.low * min(factor, 1),
    }
    change(store, ohlcv_data, "ETH", held.timestamp == at(hours), **values)


def freeze(store: Warehouse, hours: int) -> None:
    values = dict.fromkeys(("open", "high", "low", "close"), 100.0) | {"volume_base": 0.0}
    change(store, ohlcv_data, "ETH", ohlcv_data.c.timestamp > at(hours), **values)


def restate(store: Warehouse, hours: int, **given: Any) -> None:
    for hour in range(hours):
        put(store, ohlcv_revisions, symbol="ETH", timestamp=at(hour), seen_at=NOW - HOUR, **given)


def put_infinity(store: Warehouse, table: Table, column: str) -> None:
    """As a hand on the database may write it."""
    infinite = "9e999" if store.dialect == "sqlite" else "'Infinity'"
    with store.begin() as connection:
        newest = f"(SELECT max(timestamp) FROM {table.name})"
        connection.execute(
            text(f"UPDATE {table.name} SET {column} = {infinite} WHERE symbol = 'ETH' AND timestamp = {newest}")
        )


def drop_column(store: Warehouse) -> None:
    with store.begin() as connection:
        connection.execute(text("ALTER TABLE ohlcv_revisions DROP COLUMN old_source"))


def notes(store: Warehouse, **changed: Any) -> None:
    noted = {"asked_at": NOW.isoformat(), "vendor_clock": NOW.isoformat()} | changed
    change(store, watermarks, "ETH", details=noted)


def _of_eth(table: Table) -> Callable[[Warehouse], None]:
    return lambda store: remove(store, table, table.c.symbol == "ETH")


def _newest_gone(table: Table, column: str, since: datetime) -> Callable[[Warehouse], None]:
    return lambda store: remove(store, table, table.c.symbol == "ETH", table.c[column] > since)


Damage = Callable[[Warehouse], None]
DAMAGE: dict[str, Damage] = {
    "candles_are_fresh": _newest_gone(ohlcv_data, "timestamp", at(3)),
    "symbols_are_asked_for": lambda s: notes(s, asked_at=(NOW - 3 * HOUR).isoformat(), vendor_clock=None),
    "clocks_agree": lambda s: notes(s, vendor_clock=(NOW - timedelta(minutes=3)).isoformat()),
    "candles_have_no_gaps": lambda s: put(s, ohlcv_gaps, symbol="ETH", gap_start=at(9), gap_end=at(7)),
    "gaps_are_recorded": lambda s: remove(s, ohlcv_data, ohlcv_data.c.symbol == "ETH", ohlcv_data.c.timestamp == at(9)),
    "primaries_deliver": lambda s: change(s, ohlcv_data, "ETH", ohlcv_data.c.timestamp == at(9), source="kraken"),
    "nothing_was_quarantined": lambda s: put_quarantined(s, "negative_volume"),
    "an_hour_has_one_candle": lambda s: put_quarantined(s, "duplicate"),
    "candles_are_not_restated": lambda s: restate(s, candles.RESTATED + 1),
    "candles_have_volumes": lambda s: change(s, ohlcv_data, "ETH", ohlcv_data.c.timestamp > at(5), volume=None),
    "prices_do_not_jump": lambda s: jump(s, 5, 1.3),
    "prices_move": lambda s: freeze(s, prices.FROZEN_HOURS),
    "second_opinions_are_had": lambda s: remove(s, ohlcv_crosschecks, ohlcv_crosschecks.c.symbol == "ETH"),
    "sources_agree": lambda s: compare(s, "ETH", 1.03),
    "snapshots_are_fresh": lambda s: change(s, market_data, "ETH", timestamp=NOW - timedelta(minutes=61)),
    "snapshots_are_complete": lambda s: change(s, market_data, "ETH", market_cap=None),
    "snapshots_keep_their_rules": lambda s: put_infinity(s, market_data, "market_cap"),
    "symbols_are_covered": _of_eth(ohlcv_data),
    "vendors_answer": lambda s: put(s, vendor_states, vendor="kraken", open_until=NOW + HOUR, failures=5),
    "candles_keep_their_rules": lambda s: put_infinity(s, ohlcv_data, "volume"),
    "the_store_has_every_column": drop_column,
    "sentiment_is_recent": lambda s: remove(s, sentiment_data, sentiment_data.c.timestamp > NOW - timedelta(days=2)),
    "sentiment_has_no_holes": lambda s: remove(
        s, sentiment_data, sentiment_data.c.timestamp == datetime(2026, 3, 1, tzinfo=UTC)
    ),
    "features_follow_candles": _newest_gone(features, "timestamp", at(1)),
    "labels_are_known_facts": lambda s: change(s, features, "ETH", features.c.timestamp == at(0), target_return_1=0.1),
    "every_symbol_has_a_champion": _of_eth(model_aliases),
    "metrics_are_out_of_sample": _of_eth(model_metrics),
    "champions_serve_themselves": lambda s: change(
        s, model_aliases, "ETH", model_aliases.c.alias == "champion", actor="predict"
    ),
    "forecasts_are_fresh": _newest_gone(predictions, "prediction_timestamp", at(3)),
    "outcomes_are_settled": _of_eth(prediction_outcomes),
    "arms_are_paired": lambda s: remove(
        s, ab_test_results, ab_test_results.c.symbol == "ETH", ab_test_results.c.arm == "B"
    ),
    "decisions_are_recent": _of_eth(retrain_decisions),
    "metrics_are_recent": lambda s: remove(s, monitoring_metrics),
    "symbols_together_hold_their_accuracy": lambda s: put(
        s,
        monitoring_metrics,
        timestamp=NOW,
        symbol=ALL,
        metric_name="e_detector_90d",
        metric_value=7.0,
        metadata={"horizon": 1, "highest": 2161.0, "threshold": 2160.0},
    ),
}
NAMED = {  # where it is not the symbol that is named
    "vendors_answer": "kraken",
    "the_store_has_every_column": ALL,
    "sentiment_is_recent": ALL,
    "sentiment_has_no_holes": ALL,
    "metrics_are_recent": ALL,
    "symbols_together_hold_their_accuracy": ALL,
}
BY_NAME = {check.name: check for check in CHECKS}


def failing(store: Warehouse, name: str) -> dict[str, str]:
    return dict(BY_NAME[name].statement(store, SCOPE))


def test_every_check_has_a_kind_of_damage() -> None:
    assert DAMAGE.keys() == BY_NAME.keys()
    assert len(BY_NAME) == len(CHECKS)


def test_all_hold_on_a_sound_store(sound: Warehouse) -> None:
    assert {name: why for name in BY_NAME if (why := failing(sound, name))} == {}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_fails_on_its_damage_and_names_who_has_it(sound: Warehouse, check: Check) -> None:
    DAMAGE[check.name](sound)
    found = failing(sound, check.name)
    assert list(found) == [NAMED.get(check.name, "ETH")]
    assert all(found.values())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_of_an_empty_store_says_what_is_missing_and_no_more(store: Warehouse, check: Check) -> None:
    """A new deployment: nothing breaks, and only what is about presence fails."""
    found = dict(check.statement(store, SCOPE))
    assert set(found) <= {*NAMES, ALL}
    assert bool(found) == (check.name in ABSENT)


ABSENT = {
    "candles_are_fresh",
    "symbols_are_asked_for",
    "symbols_are_covered",
    "snapshots_are_fresh",
    "sentiment_is_recent",
    "every_symbol_has_a_champion",
    "forecasts_are_fresh",
    "decisions_are_recent",
    "metrics_are_recent",
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_says_what_is_true_what_its_failure_means_and_what_to_do(check: Check) -> None:
    for sentence in (check.says, check.means, check.do):
        assert sentence[0].isupper() or sentence.startswith("alternative.me")
        assert sentence.endswith(".")
    assert check.severity == ("ERROR" if check.is_error else "WARN")


def test_gaps_are_named_with_both_ends_and_older_ones_counted(sound: Warehouse) -> None:
    for start in (9, 400, 500):
        put(sound, ohlcv_gaps, symbol="ETH", gap_start=at(start), gap_end=at(start - 2))
    said = "2026-03-04 02:00 to 2026-03-04 04:00 UTC; 2 older"
    assert failing(sound, "candles_have_no_gaps") == {"ETH": said}


def test_an_old_gap_alone_is_an_outage_of_long_ago(sound: Warehouse) -> None:
    put(sound, ohlcv_gaps, symbol="ETH", gap_start=at(400), gap_end=at(398))
    assert failing(sound, "candles_have_no_gaps") == {}


def test_a_recorded_gap_accounts_for_its_hours_and_for_no_others(sound: Warehouse) -> None:
    """Also one that began before the week that is looked at."""
    gone = (ohlcv_data.c.timestamp >= at(170), ohlcv_data.c.timestamp < at(160))
    remove(sound, ohlcv_data, ohlcv_data.c.symbol == "ETH", *gone)
    remove(sound, ohlcv_data, ohlcv_data.c.symbol == "ETH", ohlcv_data.c.timestamp == at(9))
    put(sound, ohlcv_gaps, symbol="ETH", gap_start=at(170), gap_end=at(160))
    assert failing(sound, "gaps_are_recorded") == {"ETH": "1 hours of the last week have neither candle nor gap"}
    put(sound, ohlcv_gaps, symbol="ETH", gap_start=at(9), gap_end=at(8))
    assert failing(sound, "gaps_are_recorded") == {}
    put(sound, ohlcv_gaps, symbol="ETH", gap_start=at(7), gap_end=at(6))
    assert failing(sound, "gaps_are_recorded") == {"ETH": "1 hours of recorded gaps have a candle"}


def test_hours_of_a_fallback_are_no_gap_and_the_source_that_gave_them_is_named(sound: Warehouse) -> None:
    change(sound, ohlcv_data, "ETH", ohlcv_data.c.timestamp.between(at(9), at(8)), source="kraken")
    put(sound, ohlcv_gaps, symbol="ETH", gap_start=at(9), gap_end=at(7), filled_from="kraken")
    assert failing(sound, "candles_have_no_gaps") == failing(sound, "gaps_are_recorded") == {}
    assert failing(sound, "primaries_deliver") == {"ETH": "2 hours came from kraken, not from binance"}


def test_nothing_new_is_asked_of_a_coin_that_is_no_longer_quoted(store: Warehouse) -> None:
    over = replace(SCOPE.symbols[0], listings=(Listing("BTC", until=at(500)),))
    scope = Scope((over,), NOW)
    found = {check.name: dict(check.statement(store, scope)) for check in CHECKS}
    assert {name for name, why in found.items() if "BTC" in why} == {"symbols_are_covered"}


def test_a_gap_beyond_the_newest_candle_accounts_for_nothing(sound: Warehouse) -> None:
    """It is none any more where candles were taken away; no other gap is counted for it."""
    put(sound, ohlcv_gaps, symbol="ETH", gap_start=at(7), gap_end=at(6))
    remove(sound, ohlcv_data, ohlcv_data.c.symbol == "ETH", ohlcv_data.c.timestamp > at(9))
    assert failing(sound, "gaps_are_recorded") == {}


def test_a_source_that_never_gives_quote_volumes_is_left_alone(sound: Warehouse) -> None:
    change(sound, ohlcv_data, "ETH", volume=None)
    assert failing(sound, "candles_have_volumes") == {}


def test_the_primary_source_taking_back_a_filled_hour_is_no_restatement(sound: Warehouse) -> None:
    restate(sound, candles.RESTATED + 5, old_source="kraken")
    assert failing(sound, "candles_are_not_restated") == {}


def test_a_few_restated_candles_are_late_trades(sound: Warehouse) -> None:
    restate(sound, candles.RESTATED)
    assert failing(sound, "candles_are_not_restated") == {}


def test_a_jump_is_named_with_hour_and_size_and_the_candle_stays(sound: Warehouse) -> None:
    jump(sound, 5, 1.3)
    before = sound.read(ohlcv_data.select())
    found = failing(sound, "prices_do_not_jump")["ETH"]
    assert found.startswith("2026-03-04 06:00 close +")
    pd.testing.assert_frame_equal(sound.read(ohlcv_data.select()), before)


def test_a_jump_of_the_day_before_is_yesterday_s_news(sound: Warehouse) -> None:
    jump(sound, 30, 1.3)
    assert failing(sound, "prices_do_not_jump") == {}


def test_fewer_flat_hours_than_that_are_a_quiet_night(sound: Warehouse) -> None:
    freeze(sound, prices.FROZEN_HOURS - 1)
    assert failing(sound, "prices_move") == {}


def test_the_newest_comparison_counts_not_the_one_before(sound: Warehouse) -> None:
    compare(sound, "ETH", 1.03, age=25)
    assert failing(sound, "sources_agree") == {}
    compare(sound, "ETH", 1.03, age=0)
    assert "3.0% away in the median" in failing(sound, "sources_agree")["ETH"]


def test_a_few_hours_far_apart_fail_though_the_median_is_fine(sound: Warehouse) -> None:
    compare(sound, "ETH", 10, hours=2)
    assert failing(sound, "sources_agree") == {}
    compare(sound, "ETH", 10, hours=3)
    assert "more than 5% in 12% of them" in failing(sound, "sources_agree")["ETH"]


@pytest.mark.parametrize(("calls", "month", "fails"), [(18_001, "2026-03", True), (18_000, "2026-03", False)])
def test_the_quota_warns_at_nine_tenths_of_this_month(sound: Warehouse, calls: int, month: str, fails: bool) -> None:
    with sound.begin() as connection:
        connection.execute(update(vendor_states).values(calls=calls, month=month))
    assert bool(failing(sound, "vendors_answer")) == fails
    with sound.begin() as connection:
        connection.execute(update(vendor_states).values(month="2026-02"))
    assert failing(sound, "vendors_answer") == {}


def test_a_symbol_without_coinpaprika_id_is_said_once(sound: Warehouse) -> None:
    unknown = Scope((*SCOPE.symbols[:1], Symbol("ETH", "Ethereum", None, "ETH", default=True)), NOW)
    remove(sound, market_data, market_data.c.symbol == "ETH")
    found = collected.symbols_are_covered(sound, unknown)
    assert found == {"ETH": "the symbols file gives no CoinPaprika id, so it has no snapshots"}
    assert collected.snapshots_are_fresh(sound, unknown) == {}


def test_only_the_run_s_own_symbols_are_judged(sound: Warehouse) -> None:
    """A shard says nothing of its neighbors' symbols."""
    alone = Scope(SCOPE.symbols[:1], NOW)
    for name, damage in _damage_of_eth():
        damage(sound)
        assert dict(BY_NAME[name].statement(sound, alone)) == {}, name


def _damage_of_eth() -> Iterator[tuple[str, Damage]]:
    last = {"symbols_are_covered", "candles_are_fresh"}  # they take away what others would damage
    names = sorted(BY_NAME.keys() - NAMED.keys(), key=lambda name: name in last)
    ids = {"an_hour_has_one_candle"}  # its row has the key of another's
    return ((name, DAMAGE[name]) for name in names if name not in ids)
