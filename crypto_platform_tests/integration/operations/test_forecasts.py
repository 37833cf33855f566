"""Laws of forecasts, outcomes, comparisons and decisions, by hand on small models."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from crypto_platform.core import features as science
from crypto_platform.core.experiments import Experiment
from crypto_platform.core.features import DEFAULT
from crypto_platform.core.hours import HOUR
from crypto_platform.core.novelty import NOVEL
from crypto_platform.core.retraining import ClassicRules
from crypto_platform.core.signals import CLASSIFIERS, SignalRules
from crypto_platform.errors import ConfigurationError, StoreError
from crypto_platform.operations import (
    compare,
    decide,
    drift,
    experiments,
    registry,
    settle,
    training_report,
    training_rows,
    watch,
)
from crypto_platform.operations.decide import Rules
from crypto_platform.operations.workers import Workers
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import (
    ab_test_results,
    features,
    model_aliases,
    model_metrics,
    model_versions,
    monitoring_metrics,
    ohlcv_data,
    prediction_outcomes,
    predictions,
    retrain_decisions,
)
from crypto_platform_tests.strategies import laws

Moment = Callable[[float], datetime]
KEY = ["symbol", "horizon", "prediction_timestamp", "version"]
TRAINED, NOW = 1210, 1250  # hours of the first training and of the present


def forecasts(store: Warehouse) -> pd.DataFrame:
    """What was served; shadows are none of these laws' business."""
    p = predictions.c
    return store.read(select(predictions).where(p.role == "champion").order_by(*(p[name] for name in KEY)))


def outcomes(store: Warehouse) -> pd.DataFrame:
    return store.read(select(prediction_outcomes).order_by(*(prediction_outcomes.c[name] for name in KEY)))


@pytest.fixture(scope="module")
def trained_home(make_deployment: Any, moment: Moment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store with candles until `NOW` and models trained at `TRAINED`, made once."""
    home = tmp_path_factory.mktemp("trained")
    deployment = make_deployment(Warehouse.open(f"sqlite:///{home / 'store.db'}"), home / "artifacts")
    deployment.ingest(moment(NOW))
    assert not deployment.train(moment(TRAINED)).failed
    deployment.store.close()
    return home


@pytest.fixture
def served(make_deployment: Any, trained_home: Path, tmp_path: Path) -> Iterator[Any]:
    """A copy of `trained_home`, to be changed. Tests that build from nothing run on both engines."""
    home = tmp_path / "served"
    shutil.copytree(trained_home, home)
    store = Warehouse.open(f"sqlite:///{home / 'store.db'}")
    yield make_deployment(store, home / "artifacts")
    store.close()


def test_training_uses_nothing_that_was_known_later(served: Any, moment: Moment) -> None:
    rows = served.store.read(select(model_versions))
    assert len(rows) == 4  # two symbols, two horizons
    for row in rows.itertuples():
        assert row.train_end + HOUR + row.horizon * HOUR <= moment(TRAINED)
        assert row.trained_at == moment(TRAINED)
        assert row.n_rows > 300
    scored = served.store.read(select(model_metrics))
    assert set(scored["version"]) == set(rows["version"])
    assert (scored["fold"] == -1).any()
    assert (scored["n"] > 0).all()


def test_a_bundle_says_how_it_was_validated_and_calibrated(served: Any) -> None:
    for row in served.store.read(select(model_versions)).itertuples():
        bundle = served.artifacts.open(row.version, row.bundle_sha256)
        manifest = bundle.manifest
        assert 0.5 <= manifest["p0"] < 1
        assert manifest["plan"] == {"train": 360, "test": 48, "embargo": 12, "holdout": 0}
        assert manifest["n_rows"] <= 360 < manifest["validation_rows"]
        assert set(manifest["calibrators"]) <= set(CLASSIFIERS)
        assert row.details["p0"] == manifest["p0"]
        importance = json.loads(bundle.read("feature_importance.json"))
        assert set(importance["models"]) == {*CLASSIFIERS, "ensemble", "ridge_regression"}
        for ranked in importance["models"].values():
            assert sorted(ranked) == sorted(manifest["features"])
            assert list(ranked.values()) == sorted(ranked.values(), reverse=True)


def test_the_training_report_counts_whoever_was_tested(served: Any, moment: Moment) -> None:
    statement, reports = training_report.report(served.store, ["BTC"], moment(NOW))
    assert "20 combinations" in statement  # two symbols, two horizons, five models
    assert set(reports) == {"BTC"}
    versions = served.store.read(select(model_versions).where(model_versions.c.symbol == "BTC"))
    assert all(version in reports["BTC"] for version in versions["version"])
    assert "Most important features" in reports["BTC"]
    assert training_report.report(served.store, ["BTC"], moment(TRAINED - 1)) == ("Nothing was tested.", {})


def test_training_again_on_the_same_moment_changes_nothing(served: Any, moment: Moment) -> None:
    tables = (model_versions, model_metrics, model_aliases)
    before = [served.store.read(select(table)) for table in tables]
    served.train(moment(TRAINED))
    for table, held in zip(tables, before, strict=True):
        pd.testing.assert_frame_equal(served.store.read(select(table)), held)


def test_training_nobody_is_no_failure_with_any_number_of_workers(served: Any, moment: Moment) -> None:
    served.names = ()
    assert served.train(moment(NOW), workers=Workers(2)).results == ()


def test_a_later_training_becomes_champion_and_keeps_the_way_back(served: Any, moment: Moment) -> None:
    served.train(moment(NOW - 10))
    aliases = served.store.read(
        select(model_aliases).where(model_aliases.c.symbol == "BTC", model_aliases.c.horizon == 1)
    )
    champions = aliases[aliases["alias"] == "champion"].sort_values("at")
    first, second = champions["version_to"]
    assert champions["version_from"].tolist() == [None, first]
    assert aliases.loc[aliases["alias"] == "previous", "version_to"].tolist() == [first]
    held = {at: registry.champions(served.store, ["BTC"], moment(at))["BTC", 1].version for at in (TRAINED, NOW)}
    assert held == {TRAINED: first, NOW: second}


def test_too_little_history_is_not_trainable_and_no_failure(deployment: Any, moment: Moment) -> None:
    deployment.ingest(moment(400))
    done = deployment.train(moment(400))
    assert not done.failed
    assert done.results[0].details["0.status"] == "not_trainable"
    assert deployment.store.read(select(model_versions)).empty


def test_no_forecast_is_by_a_model_trained_after_its_hour(served: Any, moment: Moment) -> None:
    served.train(moment(NOW - 10))
    served.predict(moment(NOW), since=moment(TRAINED - 20))
    rows = forecasts(served.store)
    versions = served.store.read(select(model_versions)).set_index("version")
    by_model = rows[rows["version"] != "none"]
    assert (versions.loc[by_model["version"], "trained_at"].to_numpy() <= by_model["created_at"].to_numpy()).all()
    assert by_model["version"].nunique() == 8
    none = rows[rows["version"] == "none"]
    assert set(none["reason"]) == {"no_model"}
    assert len(none) > 0
    # one forecast an hour: no hour has two champions
    assert not rows.duplicated(["symbol", "horizon", "prediction_timestamp"]).any()
    # candle t is forecast at t + 1 h, on the hour, and the newest closed one is among them
    assert (rows["prediction_timestamp"] == rows["candle_timestamp"] + pd.Timedelta(hours=1)).all()
    assert rows["prediction_timestamp"].max() == moment(NOW) - timedelta(minutes=5)


def test_a_forecast_is_written_once_and_stays(served: Any, moment: Moment) -> None:
    served.predict(moment(NOW))
    before = forecasts(served.store)
    assert set(before["symbol"]) == {"BTC", "ETH"}
    again = served.predict(moment(NOW), rules=SignalRules(buy=0.501, sell=0.499, fee_bps=0, slippage_bps=0))
    assert again.rows == 0
    pd.testing.assert_frame_equal(forecasts(served.store), before)


@laws
@given(
    hours=st.lists(st.integers(TRAINED + 1, NOW), min_size=1, max_size=5),
    whole=st.booleans(),
    buys=st.lists(st.floats(0.5, 0.6), min_size=5, max_size=5),
)
def test_however_often_and_in_whichever_order_a_forecast_is_unique_and_stays(
    make_deployment: Any, trained_home: Path, moment: Moment, hours: list[int], whole: bool, buys: list[float]
) -> None:
    """One a symbol, horizon, candle and version, whatever rules come later, in order or not, again or for a stretch."""
    with TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        shutil.copytree(trained_home, home)
        store = Warehouse.open(f"sqlite:///{home / 'store.db'}")
        served = make_deployment(store, home / "artifacts")
        before = forecasts(store)
        for hour, buy in zip(hours, buys, strict=False):
            since = {"since": moment(hour - 3)} if whole else {}
            served.predict(moment(hour), rules=SignalRules(buy=buy, sell=1 - buy, fee_bps=0, slippage_bps=0), **since)
            now = forecasts(store)
            assert not now.duplicated(["symbol", "horizon", "candle_timestamp", "version"]).any()
            kept = now.merge(before[KEY])[now.columns] if len(before) else now.iloc[:0]
            pd.testing.assert_frame_equal(kept, before.astype(kept.dtypes), check_exact=True)
            before = now
        assert len(before) >= 4
        store.close()


def test_numbers_of_a_forecast_agree_with_one_another(served: Any, moment: Moment) -> None:
    served.predict(moment(NOW), since=moment(TRAINED + 1))
    rows = forecasts(served.store)
    rows = rows[rows["prob_up"].notna()]
    assert len(rows) > 100
    models = rows[[f"prob_up_{name}" for name in ("logistic_regression", "random_forest", "gradient_boosting")]]
    np.testing.assert_allclose(rows["prob_up"], models.mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(rows["prob_up"] + rows["prob_down"], 1)
    np.testing.assert_allclose(rows["confidence"], np.maximum(rows["prob_up"], rows["prob_down"]))
    np.testing.assert_allclose(rows["predicted_price"], rows["current_price"] * (1 + rows["predicted_return"]))
    assert (rows["signal"].eq("HOLD") == rows["reason"].notna()).all()
    close = served.store.read(select(ohlcv_data)).set_index(["symbol", "timestamp"])["close"]
    assert [close[row.symbol, row.candle_timestamp] for row in rows.itertuples()] == rows["current_price"].tolist()


def test_the_expected_edge_uses_resolved_returns_only(served: Any, moment: Moment) -> None:
    served.predict(moment(NOW))
    closes = served.store.read(select(ohlcv_data).where(ohlcv_data.c.symbol == "ETH").order_by(ohlcv_data.c.timestamp))
    for row in forecasts(served.store).query("symbol == 'ETH'").itertuples():
        known = closes[closes["timestamp"] <= row.candle_timestamp]["close"].to_numpy()
        resolved = np.abs(known[row.horizon :] / known[: -row.horizon] - 1)[-168:]
        assert row.expected_edge == pytest.approx((2 * row.prob_up - 1) * resolved.mean(), rel=1e-9)


@pytest.mark.parametrize("minutes", [2, 5, 30])
def test_a_forecast_made_in_time_is_live_and_dated_now(served: Any, moment: Moment, minutes: float) -> None:
    now = moment(NOW) + timedelta(minutes=minutes - 5)
    served.predict(now, created_at=now)
    rows = forecasts(served.store)
    assert len(rows) == 4
    assert set(rows["origin"]) == {"live"}
    assert set(rows["created_at"]) == {pd.Timestamp(now)}


def test_nobody_forecasts_the_past_under_a_real_clock(served: Any, moment: Moment) -> None:
    with pytest.raises(ValueError, match="simulated clock only"):
        served.predict(moment(NOW), created_at=moment(NOW), since=moment(TRAINED))
    assert forecasts(served.store).empty


def test_after_half_an_hour_it_is_too_late_and_nothing_is_wrong(served: Any, moment: Moment) -> None:
    now = moment(NOW) + timedelta(minutes=26)  # the newest candle opened 91 minutes ago
    done = served.predict(now, created_at=now)
    assert forecasts(served.store).empty
    assert not done.failed
    assert all("too late" in result.details["status"] for result in done.results)


@pytest.mark.parametrize("hours", [2, 30])
def test_stale_candles_are_not_forecast(served: Any, moment: Moment, hours: float) -> None:
    now = moment(NOW + hours)
    done = served.predict(now, created_at=now)
    assert forecasts(served.store).empty
    assert set(done.failed) == {"BTC", "ETH"}
    assert all("stale_data" in why for why in done.failed.values())


def test_each_abstention_has_its_reason(deployment: Any, moment: Moment) -> None:
    deployment.ingest(moment(NOW))
    deployment.predict(moment(NOW))
    assert set(forecasts(deployment.store)["reason"]) == {"no_model"}
    deployment.train(moment(NOW))
    frame = deployment.candles.frames["BTC"]
    deployment.candles.frames["BTC"] = frame[
        (frame["timestamp"] < moment(NOW)) | (frame["timestamp"] > moment(NOW + 9))
    ]
    deployment.collect_sentiment(moment(NOW + 15))
    deployment.tick(moment(NOW + 15))
    rows = forecasts(deployment.store)
    late = rows[rows["prediction_timestamp"] > moment(NOW + 14)].set_index(["symbol", "horizon"])
    assert late.loc[("BTC", 1), "reason"] == "warming_up"  # a gap of ten hours begins a new stretch
    assert late.loc[("BTC", 1), "resumes_at"] == pd.Timestamp(moment(NOW + 11)).floor("h") + science.WARM_UP_ROWS * HOUR
    assert late.loc[("BTC", 1), ["signal", "version"]].tolist()[0] == "HOLD"
    assert pd.isna(late.loc[("ETH", 1), "resumes_at"])
    assert np.isnan(late.loc[("BTC", 1), "prob_up"])
    assert np.isfinite(late.loc[("ETH", 1), "prob_up"])


def test_missing_features_are_named(deployment: Any, moment: Moment) -> None:
    """Sentiment ends: a model that learned with it has nothing to say a few days later."""
    deployment.ingest(moment(TRAINED))
    deployment.train(moment(TRAINED))
    later = TRAINED + 160
    deployment.tick(moment(later))
    rows = forecasts(deployment.store)
    assert set(rows["reason"]) == {"features_missing"}
    assert all(names and set(names) <= {"fng", "fng_chg_1d", "fng_chg_7d"} for names in rows["missing_features"])


@pytest.mark.parametrize("is_simulated", [True, False], ids=["simulated clock", "real clock"])
def test_an_hour_that_a_fallback_stands_in_for_is_neither_forecast_nor_learned_from(
    served: Any, moment: Moment, is_simulated: bool
) -> None:
    """Nor does a forecast come of it later, when the primary is back without these hours."""
    other = type(served.candles)(dict(served.candles.frames), name="other")
    served.candles.broken = {"ETH"}
    for hour in (NOW + 1, NOW + 2):
        assert not served.collect(moment(hour), [served.candles, other]).failed
        served.collect_sentiment(moment(hour))
        assert not served.build(moment(hour)).failed
        done = served.predict(moment(hour), created_at=None if is_simulated else moment(hour))
        if not is_simulated:  # under a simulated clock the hour before is forecast now, if it was not
            candle = moment(hour - 1) - timedelta(minutes=5)
            why = f"its candle of {candle:%Y-%m-%d %H:%M} UTC stands in from a fallback source"
            assert done.failed == {"ETH": f"{why}, and no such hour is forecast"}
    rows = forecasts(served.store)
    first, second = (pd.Timestamp(moment(hour)).floor("h") for hour in (NOW, NOW + 1))
    assert {(r.symbol, r.candle_timestamp) for r in rows.itertuples()} >= {("BTC", first), ("BTC", second)}
    assert not (rows["symbol"].eq("ETH") & (rows["candle_timestamp"] >= first)).any()
    kept = served.features().query("symbol == 'ETH'").set_index("timestamp")
    assert kept.loc[[first, second], "is_filled"].all()
    assert kept.loc[first, "gap_fill_24"] == 0  # it has a price, unlike a carried hour
    assert kept.loc[first - HOUR, "target_return_1"] != kept.loc[first - HOUR, "target_return_1"]

    more = NOW + 40
    served.collect_sentiment(moment(more))
    frame = served.candles.frames["ETH"]
    served.candles.broken = set()
    served.candles.frames["ETH"] = frame[~frame["timestamp"].isin([first, second])]  # it never had these two
    served.tick(moment(more))
    learned = training_rows.resolved(served.store, "ETH", 1, moment(more), 30)["timestamp"]
    assert learned.max() == moment(more) - timedelta(minutes=5) - 2 * HOUR
    assert not learned.isin([first - HOUR, first, second]).any()  # the hour before ends in one
    assert not (forecasts(served.store).query("symbol == 'ETH'")["candle_timestamp"].isin([first, second])).any()


def test_an_expired_model_scores_but_signals_nothing(served: Any, moment: Moment) -> None:
    everything = SignalRules(buy=0.5000001, sell=0.4999999, agreement=0.5, fee_bps=0, slippage_bps=0)
    served.predict(moment(NOW), expiry=timedelta(hours=30), since=moment(TRAINED + 1), rules=everything)
    rows = forecasts(served.store)
    ends = served.store.read(select(model_versions)).set_index("version")["train_end"]
    age = rows["prediction_timestamp"] - (pd.DatetimeIndex(ends.loc[rows["version"]]) + pd.Timedelta(hours=1))
    old = age > pd.Timedelta(hours=30)
    assert old.any()
    assert (~old).any()
    assert rows.loc[old, "prob_up"].notna().all()
    assert set(rows.loc[old, "signal"]) == {"HOLD"}
    assert "model_expired" in set(rows.loc[old, "reason"])
    assert "model_expired" not in set(rows.loc[~old, "reason"])
    assert {"BUY", "SELL"} & set(rows.loc[~old, "signal"])


def test_an_hour_unlike_all_that_was_learned_scores_but_signals_nothing(served: Any, moment: Moment) -> None:
    everything = SignalRules(buy=0.5000001, sell=0.4999999, agreement=0.0, fee_bps=0, slippage_bps=0)
    newest = served.features().query("symbol == 'BTC'")["timestamp"].max()
    with served.store.begin() as connection:
        strange = update(features).where(features.c.symbol == "BTC", features.c.timestamp == newest)
        connection.execute(strange.values(rsi_14=40.0, vol_7=3.0))
    served.predict(moment(NOW), created_at=moment(NOW), rules=everything)
    rows = forecasts(served.store).query("symbol == 'BTC' and horizon == 1").set_index("candle_timestamp")
    assert rows["novelty"].notna().all()
    assert rows.loc[newest, "novelty"] > NOVEL
    assert 0 < rows.loc[newest, "prob_up"] < 1
    assert rows.loc[newest, ["signal", "reason"]].tolist() == ["HOLD", "novel"]


def test_a_refused_bundle_is_one_symbols_error(served: Any, moment: Moment) -> None:
    version = registry.champions(served.store, ["BTC"], moment(NOW))["BTC", 1].version
    manifest = served.artifacts.folder(version) / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    done = served.predict(moment(NOW), created_at=moment(NOW))
    assert set(done.failed) == {"BTC"}
    assert version in done.failed["BTC"]
    rows = forecasts(served.store).set_index(["symbol", "horizon"])
    assert rows.loc[("BTC", 1), ["version", "signal", "reason"]].tolist() == [version, "HOLD", "model_refused"]
    assert rows.drop(index=[("BTC", 1)])["prob_up"].notna().tolist() == [True] * 3


def test_outcomes_are_the_labels_worked_out_by_hand(served: Any, moment: Moment) -> None:
    served.predict(moment(NOW), since=moment(TRAINED + 1))
    served.settle(moment(NOW))
    made, came = forecasts(served.store).set_index(KEY), outcomes(served.store).set_index(KEY)
    made = made[made["prob_up"].notna()]
    now = pd.Timestamp(moment(NOW))
    resolved = [key for key in made.index if key[2] + key[1] * HOUR <= now]
    assert sorted(came.index) == sorted(resolved)
    close = served.store.read(select(ohlcv_data)).set_index(["symbol", "timestamp"])["close"]
    for key, row in came.iterrows():
        symbol, horizon, at, _ = key
        candle = at - pd.Timedelta(hours=1)
        realized = close[symbol, candle + pd.Timedelta(hours=horizon)] / close[symbol, candle] - 1
        p = made.loc[key, "prob_up"]
        assert row["realized_return"] == pytest.approx(realized, rel=1e-12)
        assert row["realized_direction"] == float(realized > 0)
        assert row["correct"] == ((p > 0.5) == (realized > 0))
        assert row["log_loss"] == pytest.approx(-np.log(p if realized > 0 else 1 - p), rel=1e-12)
        assert row["resolved_at"] == at + pd.Timedelta(hours=horizon) <= now


def test_each_forecast_is_settled_once_and_not_before_it_resolves(served: Any, moment: Moment) -> None:
    settled = []
    for hour in range(NOW, NOW + 12):
        served.collect_sentiment(moment(hour))
        served.tick(moment(hour))
        rows = outcomes(served.store)
        assert (rows["resolved_at"] <= moment(hour)).all()
        settled.append(len(rows))
        assert served.settle(moment(hour)).rows == 0
    made = forecasts(served.store)
    assert made["prob_up"].notna().all()
    resolved = made["prediction_timestamp"] + pd.to_timedelta(made["horizon"], unit="h") <= moment(NOW + 11)
    assert settled[-1] == resolved.sum() > 40
    assert not outcomes(served.store).duplicated(KEY).any()


def test_rows_that_are_refused_keep_no_other_symbol_from_its_forecasts_and_outcomes(
    served: Any, moment: Moment, refusing: Callable[..., Any]
) -> None:
    """All symbols are written at once; where one's rows end that, the others' are written all the same."""
    error = StoreError("the page is damaged")
    since = moment(NOW - 20)
    with refusing(error, predictions):
        made = served.predict(moment(NOW), since=since)
    assert made.failed == {"BTC": "the page is damaged"}
    assert set(forecasts(served.store)["symbol"]) == {"ETH"}
    assert not served.predict(moment(NOW), since=since).failed
    with refusing(error, prediction_outcomes):
        settled = served.settle(moment(NOW))
    assert settled.failed == {"BTC": "the page is damaged"}
    assert set(outcomes(served.store)["symbol"]) == {"ETH"}
    again = served.settle(moment(NOW))
    assert {result.symbol: result.rows for result in again.results if result.rows} == {"BTC": settled.rows}
    counts = outcomes(served.store)["symbol"].value_counts()
    assert counts["BTC"] == counts["ETH"] == settled.rows


def test_settling_late_gives_the_same_outcomes(served: Any, moment: Moment) -> None:
    served.predict(moment(NOW - 5), since=moment(TRAINED + 1))
    for hour in range(TRAINED + 2, NOW, 7):
        served.settle(moment(hour))
        assert (outcomes(served.store)["resolved_at"] <= moment(hour)).all()  # later labels are in the store already
    served.settle(moment(NOW))
    step_by_step = outcomes(served.store)
    with served.store.begin() as connection:
        connection.execute(prediction_outcomes.delete())
        connection.exec_driver_sql("DELETE FROM watermarks WHERE dataset = 'prediction_outcomes'")
    served.settle(moment(NOW))
    pd.testing.assert_frame_equal(outcomes(served.store), step_by_step)


def test_both_arms_are_compared_on_every_hour(served: Any, moment: Moment) -> None:
    served.predict(moment(NOW), since=moment(TRAINED + 1))
    served.settle(moment(NOW - 10))
    for at in (NOW - 10, NOW, NOW):
        served.settle(moment(at))
        done = compare.compare(served.store, served.names, as_of=moment(at), horizons=(1, 3))
        assert not done.failed
    assert done.rows == 0  # the third time, nothing is new
    arms = served.store.read(select(ab_test_results))
    made = forecasts(served.store)
    made = made[made["prob_up"].notna()]
    assert len(arms) == 2 * len(made)
    pairs = arms.groupby(["test_name", "symbol", "horizon", "prediction_timestamp"])
    assert set(pairs["arm"].agg(lambda arm: "".join(sorted(arm)))) == {"AB"}
    assert set(pairs["published_arm"].agg(lambda arm: len(set(arm)))) == {1}
    known = arms["realized_return"].notna()
    assert known.sum() == 2 * len(outcomes(served.store))
    assert (arms["correct"].notna() == known).all()
    assert (arms["log_loss"].notna() == known).all()
    joined = arms.merge(made, on=["symbol", "horizon", "prediction_timestamp"], suffixes=("", "_made"))
    expected = joined["prob_up_random_forest"].where(joined["arm"] == "A", joined["prob_up_gradient_boosting"])
    assert joined["prob_up"].tolist() == expected.tolist()


def fields(**values: Any) -> Experiment:
    start = {"started_at": values.pop("started_at"), "publish": False, "alpha": 0.05, "split": 0.5, "salt": "s"}
    return Experiment(test_name="mine", horizon=1, **(start | values))


def test_a_bundle_that_serves_no_more_is_scored_beside_the_champion(served: Any, moment: Moment) -> None:
    """From the features of each hour, only after its training; hours that one arm lacks are no pairs."""
    old = registry.champions(served.store, ["BTC"], moment(TRAINED))["BTC", 1].version
    served.train(moment(NOW - 20))
    served.predict(moment(NOW), since=moment(TRAINED + 1))
    served.settle(moment(NOW))
    new = registry.champions(served.store, ["BTC"], moment(NOW))["BTC", 1].version
    assert new != old
    begun = fields(started_at=moment(TRAINED), variant_a=f"{old}/random_forest", variant_b=f"{new}/ensemble")
    experiments.create(served.store, begun)
    compare.compare(served.store, served.names, as_of=moment(NOW), horizons=(1,), artifacts=served.artifacts)
    arms = served.store.read(select(ab_test_results).where(ab_test_results.c.test_name == "mine"))
    assert set(arms["symbol"]) == {"BTC"}
    assert arms["prediction_timestamp"].min() >= pd.Timestamp(moment(NOW - 20))
    assert (arms.groupby("prediction_timestamp")["arm"].nunique() == 2).all()
    made = forecasts(served.store)
    b = arms[arms["arm"] == "B"].merge(made, on=["symbol", "horizon", "prediction_timestamp"], suffixes=("", "_made"))
    assert len(b) >= 15
    assert b["prob_up"].tolist() == pytest.approx(b["prob_up_made"].tolist())
    assert set(arms["model_version"]) == {old, new}
    summary = compare.paired_summary(served.store, experiments.named(served.store, "mine"), moment(NOW))
    assert summary["retrained"] == []
    default = experiments.named(served.store, "forest_against_boosting_1h")
    events = compare.paired_summary(served.store, default, moment(NOW))["retrained"]
    assert {event["symbol"] for event in events} == {"BTC", "ETH"}


def test_an_experiment_is_made_once_and_counts_nothing_after_its_end(served: Any, moment: Moment) -> None:
    served.predict(moment(NOW), since=moment(TRAINED + 1))
    served.settle(moment(NOW))
    recipes = {"variant_a": "ensemble", "variant_b": "random_forest"}
    begun = experiments.create(served.store, fields(started_at=moment(TRAINED), metric="brier", **recipes))
    with pytest.raises(ConfigurationError, match="none is ever changed"):
        experiments.create(served.store, fields(started_at=moment(NOW), **recipes))
    assert experiments.named(served.store, "mine") == begun
    stopped = experiments.stop(served.store, "mine", as_of=moment(NOW - 10))
    assert experiments.stop(served.store, "mine", as_of=moment(NOW)) == stopped
    compare.compare(served.store, served.names, as_of=moment(NOW), horizons=(1,))
    arms = served.store.read(select(ab_test_results).where(ab_test_results.c.test_name == "mine"))
    assert arms["prediction_timestamp"].max() == pd.Timestamp(moment(NOW - 10)).floor("h")
    summary = compare.paired_summary(served.store, stopped, moment(NOW))
    assert summary["status"] == "stopped"
    assert summary["n_pairs"] == len(arms) / 2
    brier = (arms["prob_up"] - (arms["realized_return"] > 0)) ** 2
    assert summary["brier_a"] == pytest.approx(brier[arms["arm"] == "A"].mean())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variant_a": "random_forest"}, "compare two different"),
        ({"variant_a": "nobody/ensemble"}, "no bundle 'nobody'"),
        ({"metric": "sharpe"}, "metric 'sharpe' is unknown"),
        ({"ends_at": "start"}, "would end before it starts"),
        ({"publish": True}, "what is served is always the champion's"),
    ],
)
def test_an_experiment_that_compares_nothing_is_refused(
    served: Any, moment: Moment, changes: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {
        "started_at": moment(NOW),
        "variant_a": "ensemble",
        "variant_b": "random_forest",
        **changes,
    }
    if "ends_at" in given:
        given["ends_at"] = moment(NOW)
    with pytest.raises(ConfigurationError, match=message):
        experiments.create(served.store, fields(**given))


def forecast_rows(moment: Moment, hours: range, version: str = "a") -> pd.DataFrame:
    """Forecasts of a champion, written a minute after their hour, in no need of a model."""
    rows = [
        {
            "symbol": "BTC",
            "horizon": 1,
            "prediction_timestamp": moment(hour).replace(minute=0),
            "version": version,
            "candle_timestamp": moment(hour - 1).replace(minute=0),
            "created_at": moment(hour) + timedelta(minutes=ord(version)),
            "role": "champion",
            "origin": "live",
            "current_price": 1.0,
            **dict.fromkeys(
                ("prob_up", *(f"prob_up_{model}" for model in CLASSIFIERS)), 0.6 if version == "a" else 0.4
            ),
            "signal": "HOLD",
            "signal_before_costs": "HOLD",
        }
        for hour in hours
    ]
    return pd.DataFrame(rows)


def test_an_hour_of_two_champions_is_compared_by_the_forecast_that_was_made_first(
    deployment: Any, moment: Moment
) -> None:
    """As where a training that began before an hour ends after its forecast."""
    store = deployment.store
    for version, hours in (("b", range(5, 6)), ("a", range(10))):
        store.upsert(predictions, forecast_rows(moment, hours, version))
    done = compare.compare(store, ["BTC"], as_of=moment(10), horizons=(1,))
    assert not done.failed
    arms = store.read(select(ab_test_results))
    assert (arms.groupby("prediction_timestamp")["arm"].nunique() == 2).all()
    assert len(arms) == 20
    assert set(arms["model_version"]) == {"a"}


def test_an_hour_whose_outcome_nobody_will_know_is_not_read_for_ever(deployment: Any, moment: Moment) -> None:
    store = deployment.store
    store.upsert(predictions, forecast_rows(moment, range(10)))
    read = []
    for at in (moment(10), moment(11), moment(10) + settle.GIVE_UP, moment(11) + settle.GIVE_UP):
        done = compare.compare(store, ["BTC"], as_of=at, horizons=(1,))
        read.append(done.results[0].details["hours"])
    assert read == [10, 10, 10, 0]


def test_the_sums_of_hours_are_alike_on_both_engines(deployment: Any, moment: Moment) -> None:
    """An empty store has no experiment, and its report is JSON all the same."""
    experiments.create(deployment.store, fields(started_at=moment(0), variant_a="ensemble", variant_b="random_forest"))
    rows = [
        {
            "test_name": "mine",
            "symbol": symbol,
            "horizon": 1,
            "prediction_timestamp": moment(hour).replace(minute=0),
            "arm": arm,
            "model_version": "v",
            "model_name": "m",
            "predicted_direction": int(p > 0.5),
            "prob_up": p,
            "confidence": max(p, 1 - p),
            "published_arm": "A",
            "realized_return": 0.01 if hour % 2 else -0.01,
            "correct": (p > 0.5) == bool(hour % 2),
            "log_loss": -np.log(p if hour % 2 else 1 - p),
        }
        for hour in range(1, 81)
        for symbol, p_a in (("BTC", 0.6), ("ETH", 0.3))
        for arm, p in (("A", p_a), ("B", 0.8 if hour % 4 == 1 else 0.1))
    ]
    deployment.store.upsert(ab_test_results, pd.DataFrame(rows))
    summary = compare.paired_summary(deployment.store, experiments.named(deployment.store, "mine"), moment(90))
    frame = pd.DataFrame(rows)
    a, b = (frame.loc[frame["arm"] == arm, "correct"].to_numpy() for arm in "AB")
    assert summary["n_pairs"] == 160
    assert summary["only_a_right"] == (a & ~b).sum()
    assert summary["both_wrong"] == (~a & ~b).sum()
    brier = (frame["prob_up"] - (frame["realized_return"] > 0)) ** 2
    assert summary["brier_b"] == pytest.approx(brier[frame["arm"] == "B"].mean())
    assert summary["log_loss_a"] == pytest.approx(frame.loc[frame["arm"] == "A", "log_loss"].mean())


def test_decisions_are_written_also_when_they_say_no(served: Any, moment: Moment) -> None:
    """With both policies' verdicts, statistics and thresholds."""
    served.predict(moment(NOW), since=moment(TRAINED + 1))
    served.settle(moment(NOW))
    never, always = ClassicRules(max_drift=99, min_accuracy=0), ClassicRules(max_age_days=0.1)
    for classic, policy, verdict in (
        (never, "classic", False),
        (always, "classic", True),
        (always, "calibrated", False),
    ):
        at = moment(NOW) + timedelta(seconds=len(policy) + verdict)
        rules = Rules(policy=policy, classic=classic)
        done = decide.record(served.store, served.names, as_of=at, horizons=(1, 3), rules=rules)
        assert not done.failed
        rows = served.store.read(select(retrain_decisions).where(retrain_decisions.c.decision_time == at))
        assert len(rows) == 4
        assert set(rows["should_retrain"]) == {verdict}
        assert set(rows["policy"]) == {policy}
        assert all(bool(reasons) is verdict for reasons in rows["reasons"])
        for details in rows["details"]:
            assert set(details["verdicts"]) == {"calibrated", "classic"}
            assert details["verdicts"]["classic"]["should_retrain"] is (classic is always)
            assert details["verdicts"]["calibrated"]["findings"]["accuracy_holds"]["cusum_threshold"] == 4.0
            assert details["trainings"] == {"last_at": moment(TRAINED).isoformat(), "unpromoted": 0}
        assert decide.record(served.store, served.names, as_of=at, horizons=(1, 3), rules=rules).rows == 0


def test_within_the_cooldown_reasons_are_recorded_and_nobody_is_trained(served: Any, moment: Moment) -> None:
    rules = Rules(policy="classic", classic=ClassicRules(max_age_days=0.01))
    soon, later = moment(TRAINED + 1), moment(TRAINED + 24)
    for at, verdict in ((soon, False), (later, True)):
        judged = decide.judge(served.store, served.names, as_of=at, horizons=(1,), rules=rules)["BTC", 1].decision
        assert judged.should_retrain is verdict
        assert judged.reasons
        assert bool(judged.held_back) is not verdict


def test_a_run_is_written_on_the_decision_it_answers_and_so_is_its_result(served: Any, moment: Moment) -> None:
    rules = Rules(policy="classic", classic=ClassicRules(max_age_days=0.1))
    for hour in (NOW - 40, NOW):
        decide.record(served.store, served.names, as_of=moment(hour), horizons=(1, 3), rules=rules)
    decide.note_run(served.store, ["BTC"], "run-1", as_of=moment(NOW))
    decide.note_results(served.store, served.train(moment(NOW)), "run-1")
    rows = served.store.read(select(retrain_decisions)).set_index(["symbol", "horizon", "decision_time"])
    named = rows[rows["run_id"].notna()]
    answered = {("BTC", h, pd.Timestamp(moment(NOW))) for h in (1, 3)}
    assert set(named.index) == answered
    assert all("trained" in result for result in named["result"])
    assert rows.loc[~rows.index.isin(answered), "result"].isna().all()


def test_a_run_answers_the_newest_decision_and_counts_as_a_training_also_without_a_bundle(
    deployment: Any, moment: Moment
) -> None:
    """Otherwise a symbol without rows is asked for every six hours, and a later run is written on old decisions."""
    store, at = deployment.store, moment(NOW)

    def decided(hours: float) -> pd.Series:
        decide.record(store, ["BTC"], as_of=at + hours * HOUR, horizons=(1,), rules=Rules())
        rows = store.read(select(retrain_decisions).order_by(retrain_decisions.c.decision_time))
        return rows.set_index("decision_time")

    nobody_looked, answered = decided(0), decided(6)
    assert nobody_looked["should_retrain"].all()
    assert answered["should_retrain"].all()
    for _ in range(2):  # as the sensor does at every tick, where the run died
        decide.note_run(store, ["BTC"], "run-1", as_of=at + 6.1 * HOUR)
    for hours in (12, 18, 24):
        assert not decided(hours)["should_retrain"].iloc[-1]
    last = decided(36)
    decide.note_run(store, ["BTC"], "run-2", as_of=at + 36.1 * HOUR)
    assert last["should_retrain"].tolist() == [True, True, False, False, False, True]
    assert last["details"].iloc[2]["held_back"].startswith("cooldown until")
    runs = store.read(select(retrain_decisions).order_by(retrain_decisions.c.decision_time))["run_id"]
    assert runs.tolist() == [None, "run-1", None, None, None, "run-2"]


def test_drift_that_other_processes_measure_is_the_same(served: Any, moment: Moment) -> None:
    found = []
    with closing(Workers(2)) as workers:
        for each in (map, workers.each):
            days = drift.of_days(served.store, served.names, as_of=moment(NOW), each=each)
            rows = served.store.read(select(monitoring_metrics).order_by(monitoring_metrics.c.symbol))
            assert rows["symbol"].tolist() == sorted(served.names)
            found.append((days, rows))
            with served.store.begin() as connection:
                connection.execute(monitoring_metrics.delete())
    (alone, ours), (shared, theirs) = found
    assert alone == shared
    pd.testing.assert_frame_equal(ours, theirs)


def test_drift_is_measured_once_a_day_and_compared_with_the_day_before(served: Any, moment: Moment) -> None:
    first, same_day, next_day = moment(NOW - 24), moment(NOW - 23), moment(NOW)
    assert first.date() == same_day.date()
    assert drift.of_days(served.store, ["BTC"], as_of=first)["BTC"][1] is None
    held = drift.of_days(served.store, ["BTC"], as_of=same_day)["BTC"][0]
    today, before = drift.of_days(served.store, ["BTC"], as_of=next_day)["BTC"]
    assert held == before
    assert today is not None
    rows = served.store.read(select(monitoring_metrics).where(monitoring_metrics.c.metric_name == drift.METRIC_NAME))
    assert rows["timestamp"].tolist() == [pd.Timestamp(first), pd.Timestamp(next_day)]
    (metadata,) = rows["metadata"].tail(1)
    assert set(metadata["channels"]) == {*drift.channels_of(DEFAULT), *drift.RATES, drift.LN_VOLUME}
    assert "hour_sin" not in metadata["channels"]
    ret = metadata["channels"]["ret_1"]
    assert {"distance", "p_value", "psi", "ks", "shift"} <= {name for name, value in ret.items() if value is not None}


def test_all_symbols_together_are_watched_in_one_view(served: Any, moment: Moment) -> None:
    served.predict(moment(NOW), since=moment(TRAINED + 1))
    served.settle(moment(NOW))
    calm = watch.pooled(served.store, served.names, as_of=moment(NOW), horizon=1)
    assert not calm.raised
    with served.store.begin() as connection:
        connection.execute(prediction_outcomes.update().values(correct=False))
    assert watch.pooled(served.store, served.names, as_of=moment(NOW), horizon=1).raised


def test_a_symbol_without_a_champion_is_to_be_trained(deployment: Any, moment: Moment) -> None:
    deployment.ingest(moment(NOW))
    verdicts = decide.judge(deployment.store, ["BTC"], as_of=moment(NOW), horizons=(1,), rules=Rules())
    for policy in ("calibrated", "classic"):
        decision = verdicts["BTC", 1].by_policy[policy]
        assert any("there is no champion" in reason for reason in decision.reasons)
        assert decision.should_retrain
    assert deployment.store.read(select(retrain_decisions)).empty  # judging writes no decision
