"""Sets of features in a store: what is stored, what a bundle keeps of it, and what late records change."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from crypto_platform.core.features import FeatureSet, feature_set
from crypto_platform.core.hours import HOUR
from crypto_platform.core.laws import require_lawful
from crypto_platform.core.panel import Panel
from crypto_platform.errors import ConfigurationError, UnlawfulFeatureError
from crypto_platform.operations import build, drift, feature_rows, training_rows, verify
from crypto_platform.operations.collect import collect_sentiment
from crypto_platform.settings import load_own
from crypto_platform.storage import warehouse
from crypto_platform.tables import features, market_data, monitoring_metrics
from crypto_platform.tables.features import PARTS

Moment = Callable[[float], datetime]
EVERYTHING = feature_set(list(PARTS))


def reach(panel: Panel) -> dict[str, np.ndarray]:
    """A user's own: it is missing while nothing moves."""
    return {"reach": np.log(panel.high / panel.low)}


def stored(deployment: Any, chosen: FeatureSet) -> pd.DataFrame:
    rows = deployment.store.read(
        select(features)
        .where(features.c.feature_set_hash == chosen.hash)
        .order_by(features.c.symbol, features.c.timestamp)
    )
    return feature_rows.unpack(rows, chosen)


def snapshot(deployment: Any, symbol: str, at: datetime, volume: float = 1e9) -> None:
    with deployment.store.begin() as connection:
        row = {
            "symbol": symbol,
            "timestamp": at,
            "known_at": at + timedelta(minutes=3),
            "total_volume": volume,
            "market_cap": 1e10,
            "source": "simulated:fake",
        }
        warehouse.upsert(connection, market_data, warehouse.records([row]))


def test_parts_are_kept_up_hour_by_hour_as_one_build_gives_them(
    deployment: Any, deploy: Any, moment: Moment, blank: Callable[[], Any]
) -> None:
    fresh = deploy(blank())
    for each, ticks in ((deployment, range(400, 411)), (fresh, [410])):
        each.collect_sentiment(moment(411))
        for hour in range(396, 411):
            snapshot(each, "ETH", moment(hour), 1e9 + hour)
        for hour in ticks:
            each.collect(moment(hour))
            report = build.build_features(each.store, each.names, as_of=moment(hour), feature_set=EVERYTHING)
            assert not report.failed
    ours, theirs = stored(deployment, EVERYTHING), stored(fresh, EVERYTHING)
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-9, atol=1e-9, check_dtype=False)
    newest = ours[ours["timestamp"] >= moment(400)].set_index("symbol")
    assert newest.loc["ETH", [*PARTS["btc"], *PARTS["snapshots"]]].notna().all(axis=None)
    assert newest.loc["ETH", "is_valid"].all()
    assert newest.loc["BTC", list(PARTS["btc"])].isna().all(axis=None)
    fresh.store.close()


def test_a_late_candle_of_the_reference_changes_the_others_rows(
    deployment: Any, deploy: Any, moment: Moment, blank: Callable[[], Any]
) -> None:
    chosen = feature_set(["candles", "btc"])
    whole = deployment.candles.frames["BTC"]
    deployment.candles.frames["BTC"] = whole.drop(index=range(397, 400))
    deployment.collect(moment(400))
    build.build_features(deployment.store, deployment.names, as_of=moment(400), feature_set=chosen)
    held = stored(deployment, chosen).query("symbol == 'ETH'").set_index("timestamp")
    assert held.loc[moment(398) - timedelta(minutes=5) :, "btc_ret_1"].isna().all()
    deployment.candles.frames["BTC"] = whole
    deployment.collect(moment(400))
    for name in ("ETH", "BTC"):  # as two shards would, the reference last
        build.build_features(deployment.store, [name], as_of=moment(400), feature_set=chosen)
    fresh = deploy(blank())
    fresh.collect(moment(400))
    build.build_features(fresh.store, fresh.names, as_of=moment(400), feature_set=chosen)
    pd.testing.assert_frame_equal(
        stored(deployment, chosen), stored(fresh, chosen), rtol=1e-9, atol=1e-9, check_dtype=False
    )
    fresh.store.close()


def test_late_sentiment_changes_the_rows_that_may_know_it_and_no_earlier_one(deployment: Any, moment: Moment) -> None:
    moods = deployment.sentiment.rows
    day = pd.Timestamp(moment(384)).floor("D")
    deployment.sentiment.rows = moods[moods["timestamp"] < day]
    deployment.ingest(moment(400))
    before = deployment.features()
    deployment.sentiment.rows = moods
    collect_sentiment(deployment.store, deployment.sentiment, as_of=moment(400), history=timedelta(days=400))
    deployment.build(moment(400))
    now = deployment.features()
    known = day + HOUR  # loaded afterwards: a day is taken as known an hour after it began
    earlier = now["timestamp"] + HOUR < known
    pd.testing.assert_frame_equal(now[earlier], before[earlier])
    late = now[~earlier & now["fng"].notna()]
    expected = moods.set_index("timestamp")["fear_greed_value"] / 100
    wanted = (late["timestamp"]).dt.floor("D").map(expected)
    assert len(late) > 20
    np.testing.assert_allclose(late["fng"], wanted)


def test_a_part_that_is_not_there_for_the_whole_training_leaves_the_bundles_set(
    deployment: Any, moment: Moment
) -> None:
    deployment.collect_sentiment(moment(800))
    deployment.collect(moment(800))
    build.build_features(deployment.store, deployment.names, as_of=moment(800), feature_set=EVERYTHING)
    chosen = {}
    for name in deployment.names:
        rows = training_rows.resolved(deployment.store, name, 1, moment(800), 15, EVERYTHING)
        chosen[name] = training_rows.available(rows, EVERYTHING)
        assert len(training_rows.training_set(rows, chosen[name], 1)) > 300 or name == "BTC"  # whose hole begins anew
    assert chosen["BTC"] == feature_set(["candles", "sentiment"])
    assert not chosen["ETH"].has("snapshots")
    assert len({EVERYTHING.hash, chosen["BTC"].hash}) == 2


def test_a_users_own_feature_is_stored_learned_from_and_verified(deployment: Any, moment: Moment) -> None:
    own = feature_set(["candles"], require_lawful(reach, code="1"))
    for hour in (400, 401):
        deployment.collect(moment(hour))
        assert not build.build_features(deployment.store, deployment.names, as_of=moment(hour), feature_set=own).failed
    rows = stored(deployment, own)
    frames = pd.concat(deployment.candles.frames.values()).set_index(["symbol", "timestamp"])
    warm = rows[rows["segment_hours"] == 336].set_index(["symbol", "timestamp"])
    there = frames.loc[warm.index]
    np.testing.assert_allclose(warm["reach"], np.log(there["high"] / there["low"]), rtol=1e-15)
    assert rows.loc[rows["segment_hours"] < 336, "reach"].isna().all()
    learned = training_rows.resolved(deployment.store, "ETH", 1, moment(401), 15, own)
    assert training_rows.available(learned, own) == own
    assert training_rows.training_set(learned, own, 1).feature_names[-1] == "reach"
    verdict = verify.verify(deployment.store, deployment.artifacts, as_of=moment(401), feature_set=own)
    assert verdict.findings == ()
    with deployment.store.begin() as connection:
        changed = features.update().where(features.c.timestamp == moment(400) - timedelta(minutes=5))
        connection.execute(changed.values(extra={"reach": 0.5}))
    verdict = verify.verify(deployment.store, deployment.artifacts, as_of=moment(401), feature_set=own)
    assert "reach" in verdict.findings[0].message


def test_a_setting_names_the_function_and_a_breaker_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "mine_for_tests.py").write_text(
        "import numpy as np\n"
        "def good(panel):\n    return {'reach': np.log(panel.high / panel.low)}\n"
        "def bad(panel):\n    return {'leak': np.roll(panel.close, -1, axis=1) / panel.close}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert load_own("mine_for_tests:good").names == ("reach",)
    with pytest.raises(UnlawfulFeatureError, match=r"leak of mine_for_tests:bad.* later"):
        load_own("mine_for_tests:bad")
    for wrong in ("mine_for_tests:nobody", "nowhere_at_all:good", "mine_for_tests"):
        with pytest.raises(ConfigurationError, match="write it like package"):
            load_own(wrong)


def test_drift_watches_what_the_models_are_given(deployment: Any, moment: Moment) -> None:
    own = feature_set(["candles", "btc"], require_lawful(reach, code="1"))
    deployment.collect(moment(1400))
    assert not build.build_features(deployment.store, deployment.names, as_of=moment(1400), feature_set=own).failed
    drift.of_days(deployment.store, deployment.names, as_of=moment(1400), feature_set=own)
    rows = deployment.store.read(select(monitoring_metrics))
    measured = dict(zip(rows["symbol"], rows["metadata"], strict=True))
    for name, has_reference in (("ETH", True), ("BTC", False)):
        channels = measured[name]["channels"]
        compared = {channel for channel, found in channels.items() if found["distance"] is not None}
        assert {"reach", "ret_1"} <= compared
        assert ("btc_ret_1" in compared) is has_reference
        assert not {"hour_sin", "fng"} & set(channels)
