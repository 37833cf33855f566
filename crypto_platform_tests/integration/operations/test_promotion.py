"""Laws of promotion: the gate decides who serves, shadows are scored and never served, what was bad is taken back."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select, update

from crypto_platform.core import features as science
from crypto_platform.core import promotion as gate
from crypto_platform.core.calibrated import DriftDay
from crypto_platform.core.promotion import GATE, REVIEW, RULES, Outcome, Trial
from crypto_platform.core.retraining import Restraint
from crypto_platform.operations import aliases, decide, events, promotion, registry, train, training_rows, trials, watch
from crypto_platform.operations.checks.base import Scope
from crypto_platform.operations.checks.served import forecasts_are_fresh
from crypto_platform.operations.decide import Rules
from crypto_platform.operations.verify import verify
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import Symbol
from crypto_platform.tables import (
    latest_predictions,
    model_aliases,
    model_versions,
    prediction_outcomes,
    predictions,
    retrain_decisions,
)

Moment = Callable[[float], datetime]
FIRST, SECOND, NOW = 1210, 1230, 1320  # hours of the trainings and of the present
KEY = ("BTC", 1)
EXPIRY = timedelta(days=14)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def twice_trained(make_deployment: Any, moment: Moment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two bundles of each symbol and horizon, neither of which serves."""
    home = tmp_path_factory.mktemp("twice")
    deployment = make_deployment(Warehouse.open(f"sqlite:///{home / 'store.db'}"), home / "artifacts")
    deployment.ingest(moment(NOW))
    for at in (FIRST, SECOND):
        assert not deployment.train(moment(at), gated=True).failed
    with deployment.store.begin() as connection:
        connection.execute(model_aliases.delete())
    deployment.store.close()
    return home


@pytest.fixture
def served(make_deployment: Any, twice_trained: Path, tmp_path: Path) -> Iterator[Any]:
    """A copy of `twice_trained`, to be changed."""
    home = tmp_path / "served"
    shutil.copytree(twice_trained, home)
    deployment = make_deployment(Warehouse.open(f"sqlite:///{home / 'store.db'}"), home / "artifacts")
    yield deployment
    deployment.store.close()


def versions(store: Warehouse, key: tuple[str, int] = KEY) -> list[str]:
    """Of a key, oldest first."""
    m = model_versions.c
    rows = store.read(
        select(m.version).where(m.symbol == key[0], m.horizon == key[1]).order_by(m.trained_at, m.version)
    )
    return list(rows["version"])


def point(store: Warehouse, version: str | None, at: datetime, alias: str = "champion", actor: str = "ann") -> None:
    with store.begin() as connection:
        if alias == "champion" and version:
            aliases.point(connection, *KEY, version, at=at, actor=actor, reason="by hand")
        else:
            aliases.challenge(connection, *KEY, version, at=at, actor=actor, reason="by hand")


def rows(store: Warehouse, role: str | None = None) -> pd.DataFrame:
    p = predictions.c
    wanted = select(predictions).where(p.symbol == KEY[0], p.horizon == KEY[1])
    return store.read((wanted.where(p.role == role) if role else wanted).order_by(p.prediction_timestamp, p.version))


def changes(store: Warehouse) -> pd.DataFrame:
    return registry.aliases(store, [KEY[0]])


def review(deployment: Any, at: datetime, **options: Any) -> Any:
    given: dict[str, Any] = {"horizons": (1,), "expiry": EXPIRY, **options}
    return promotion.review(deployment.store, deployment.artifacts, [KEY[0]], as_of=at, **given)


def forecast(store: Warehouse, version: str, start: datetime, probabilities: Sequence[float], role: str) -> None:
    """Live rows of a version, one an hour from `start` on, beside directions that alternate; settled at once."""
    first = start.replace(minute=0) + HOUR
    made, came = [], []
    for i, p in enumerate(probabilities):
        at, direction = first + i * HOUR, i % 2
        key = {"symbol": KEY[0], "horizon": KEY[1], "prediction_timestamp": at, "version": version}
        made.append(
            {
                **key,
                "candle_timestamp": at - HOUR,
                "created_at": at,
                "role": role,
                "origin": "live",
                "current_price": 1.0,
                "prob_up": p,
                "prob_down": 1 - p,
                "predicted_direction": int(p > 0.5),
                "signal": "HOLD",
                "signal_before_costs": "HOLD",
                "reason": "low_confidence",
            }
        )
        came.append(
            {
                **key,
                "realized_return": 0.01 if direction else -0.01,
                "realized_direction": direction,
                "correct": (p > 0.5) == bool(direction),
                "log_loss": -np.log(p if direction else 1 - p),
                "resolved_at": at + HOUR,
            }
        )
    with store.begin() as connection:
        warehouse.insert_missing(connection, predictions, warehouse.records(made))
        warehouse.insert_missing(connection, prediction_outcomes, warehouse.records(came))


def wobble(n: int, right: float) -> list[float]:
    """Probabilities that give the alternating directions `right` on average, never twice the same."""
    return [(p if i % 2 else 1 - p) for i in range(n) for p in [right + 0.01 * ((i % 7) - 3)]]


# Training and the gate


def test_every_training_is_judged_and_the_judgement_is_kept(served: Any) -> None:
    held = served.store.read(select(model_versions))
    assert len(held) == 8
    for row in held.itertuples():
        said = row.details[GATE]
        assert said["outcome"] in set(Outcome)
        assert bool(said["reasons"]) is (said["outcome"] != Outcome.PROMOTED)
        assert said["hours"] <= RULES.window_hours
        assert 0 < row.details["base_rate"] < 1
        assert GATE not in served.artifacts.open(row.version, row.bundle_sha256).manifest


@pytest.mark.parametrize("outcome", list(Outcome))
def test_aliases_follow_the_gate_and_a_second_training_of_the_same_changes_nothing(
    deployment: Any, moment: Moment, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On both engines; what the gate says is planted."""
    real = gate.judge

    def planted(*given: Any, **options: Any) -> Any:
        return replace(real(*given, **options), outcome=outcome, reasons=("planted",))

    monkeypatch.setattr(gate, "judge", planted)
    deployment.names = ("BTC",)
    deployment.ingest(moment(FIRST))
    done = deployment.train(moment(FIRST), gated=True)
    assert not done.failed
    assert all(done.results[0].details[f"{i}.gate"].startswith(outcome) for i in (0, 1))
    held = registry.held(deployment.store, ["BTC"], moment(FIRST))
    expected = {Outcome.PROMOTED: {"champion"}, Outcome.CHALLENGER: {"challenger"}, Outcome.REFUSED: set()}[outcome]
    assert {alias for symbol, horizon, alias in held if horizon == 1} == expected
    before = [deployment.store.read(select(table)) for table in (model_versions, model_aliases)]
    again = deployment.train(moment(FIRST), gated=True)
    assert again.rows == 0
    assert again.results[0].details["0.status"] == "registered before"
    assert again.results[0].details["0.gate"].startswith(outcome)
    for frame, table in zip(before, (model_versions, model_aliases), strict=True):
        pd.testing.assert_frame_equal(deployment.store.read(select(table)), frame)


def test_a_kill_before_the_transaction_leaves_nothing_half_done(
    served: Any, moment: Moment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [served.store.read(select(table)) for table in (model_versions, model_aliases)]
    with monkeypatch.context() as patch:
        patch.setattr(warehouse, "insert_missing", _killed)
        with pytest.raises(KeyboardInterrupt):
            served.train(moment(NOW), gated=True)
    for frame, table in zip(before, (model_versions, model_aliases), strict=True):
        pd.testing.assert_frame_equal(served.store.read(select(table)), frame)
    assert not served.train(moment(NOW), gated=True).failed
    assert len(served.store.read(select(model_versions))) == 12


def _killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_a_champion_is_scored_only_on_hours_it_cannot_have_seen(served: Any, moment: Moment) -> None:
    """Its own training end, its labels and the pause after it; what it said when an hour was new counts too."""
    point(served.store, versions(served.store)[0], moment(FIRST))
    frame = training_rows.resolved(served.store, "BTC", 1, moment(NOW), 30)
    known = training_rows.training_set(frame, training_rows.available(frame, science.DEFAULT), 1)
    trial = Trial(known.hours[-168:], known.directions[-168:], np.full(168, 0.5), np.full(168, 0.5), 1)

    def beside() -> Any:
        past = registry.history(served.store, ["BTC"])
        return trials.of_champion(
            served.store, served.artifacts, past, frame, trial, embargo=12, feature_set=science.DEFAULT
        )

    champion, prob_up = beside()
    first = int(champion.train_end.timestamp()) // 3600 + 1 + 12
    assert (np.isfinite(prob_up) == (trial.hours >= first)).all()
    assert 72 < np.isfinite(prob_up).sum() < 168
    served.predict(moment(NOW), since=moment(FIRST + 1))
    _, with_logged = beside()
    assert np.isfinite(with_logged).sum() > np.isfinite(prob_up).sum()
    same = np.isfinite(prob_up)
    np.testing.assert_array_equal(with_logged[same], prob_up[same])


# Shadows


def test_shadows_are_forecast_and_scored_and_never_served(served: Any, moment: Moment) -> None:
    old, new = versions(served.store)
    point(served.store, old, moment(FIRST))
    point(served.store, new, moment(SECOND), alias="challenger")
    served.predict(moment(SECOND + 20), since=moment(FIRST + 1))
    served.settle(moment(SECOND + 20))
    mine = rows(served.store)
    assert not mine.duplicated(["prediction_timestamp", "version"]).any()
    champion, shadow = mine[mine["role"] == "champion"], mine[mine["role"] == "challenger"]
    assert set(champion["version"]) == {old}
    assert not champion.duplicated("prediction_timestamp").any()
    assert set(shadow["version"]) == {new}
    assert shadow["prediction_timestamp"].min() >= moment(SECOND) - 2 * HOUR
    assert len(shadow) == 20
    scored = served.store.read(select(prediction_outcomes))
    assert (scored["version"] == new).sum() >= 18
    latest = served.store.read(select(latest_predictions))
    assert new not in set(latest["version"])
    assert new not in set(watch.outcomes(served.store, ["BTC"], moment(FIRST), moment(NOW))["version"])
    before = mine
    served.predict(moment(SECOND + 20), since=moment(FIRST + 1))
    pd.testing.assert_frame_equal(rows(served.store), before)


def test_the_champion_before_is_in_the_shadow_for_three_days(served: Any, moment: Moment) -> None:
    old, new = versions(served.store)
    point(served.store, old, moment(FIRST))
    point(served.store, new, moment(SECOND))
    served.predict(moment(NOW), since=moment(FIRST + 1))
    shadow = rows(served.store, "previous")
    assert set(shadow["version"]) == {old}
    assert len(shadow) == RULES.shadow_hours
    assert shadow["prediction_timestamp"].max() < moment(SECOND + RULES.shadow_hours)
    assert set(rows(served.store, "challenger")["version"]) == set()


def test_a_version_with_two_aliases_has_one_row_an_hour_the_champions(served: Any, moment: Moment) -> None:
    old, new = versions(served.store)
    point(served.store, old, moment(FIRST))
    point(served.store, new, moment(SECOND))
    point(served.store, old, moment(SECOND) + timedelta(seconds=1), alias="challenger")  # and the previous one
    point(served.store, old, moment(SECOND + 10))
    served.predict(moment(SECOND + 20), since=moment(FIRST + 1))
    mine = rows(served.store)
    assert not mine.duplicated(["prediction_timestamp", "version"]).any()
    assert (mine[mine["role"] == "champion"].groupby("prediction_timestamp").size() == 1).all()
    assert set(mine["prediction_timestamp"]) == set(mine.loc[mine["role"] == "champion", "prediction_timestamp"])


def test_a_shadow_that_cannot_be_loaded_costs_nobody_a_forecast(served: Any, moment: Moment) -> None:
    old, new = versions(served.store)
    point(served.store, old, moment(FIRST))
    point(served.store, new, moment(SECOND), alias="challenger")
    shutil.rmtree(served.artifacts.folder(new))
    done = served.predict(moment(SECOND + 2), horizons=(1,), since=moment(SECOND + 1))
    result = next(result for result in done.results if result.symbol == "BTC")
    assert result.error is None
    assert new in result.details["shadow_refused"]
    assert set(rows(served.store)["role"]) == {"champion"}


def test_a_shadow_stands_in_for_nobody(served: Any, moment: Moment) -> None:
    """The champion's bundle is gone, and there was none before: the hour is a HOLD, whoever else could forecast it."""
    old, new = versions(served.store)
    point(served.store, old, moment(FIRST))
    point(served.store, new, moment(SECOND), alias="challenger")
    shutil.rmtree(served.artifacts.folder(old))
    served.predict(moment(SECOND + 2), horizons=(1,), created_at=moment(SECOND + 2))
    assert rows(served.store, "challenger")["prob_up"].notna().all()
    assert rows(served.store, "champion")["reason"].tolist() == ["model_refused"]
    scope = Scope([Symbol(name, name, None, name, default=True) for name in served.names], moment(SECOND + 2))
    assert "BTC" in forecasts_are_fresh(served.store, scope)


# Review


def test_a_challenger_is_promoted_when_it_has_been_tried_enough_and_no_worse(served: Any, moment: Moment) -> None:
    old, new = versions(served.store)
    point(served.store, old, moment(FIRST))
    point(served.store, new, moment(SECOND), alias="challenger")
    forecast(served.store, old, moment(SECOND), wobble(80, 0.5), "champion")
    forecast(served.store, new, moment(SECOND), wobble(80, 0.56), "challenger")
    assert review(served, moment(SECOND + 60)).rows == 0, "too few have an outcome"
    done = review(served, moment(SECOND + 80))
    assert done.results[0].details["challenger"].startswith(f"{new} promoted")
    held = registry.held(served.store, ["BTC"], moment(SECOND + 80))
    assert (held[*KEY, "champion"], held[*KEY, "previous"]) == (new, old)
    assert (*KEY, "challenger") not in held
    row = served.store.read(select(model_versions).where(model_versions.c.version == new)).iloc[0]
    assert row["details"][REVIEW]["outcome"] == "promoted"
    assert row["details"][REVIEW]["conditions"]["beside_the_champion"]["pairs"] == RULES.min_pairs
    before = changes(served.store)
    assert review(served, moment(SECOND + 81)).rows == 0
    pd.testing.assert_frame_equal(changes(served.store), before)


def test_a_challenger_that_is_worse_is_dropped_told_and_forgotten(served: Any, moment: Moment) -> None:
    old, new = versions(served.store)
    point(served.store, old, moment(FIRST))
    point(served.store, new, moment(SECOND), alias="challenger")
    forecast(served.store, old, moment(SECOND), wobble(80, 0.52), "champion")
    forecast(served.store, new, moment(SECOND), wobble(80, 0.42), "challenger")
    at = moment(SECOND + 80)
    review(served, at)
    last = changes(served.store).query("alias == 'challenger' and symbol == 'BTC'").iloc[-1]
    assert (last["version_from"], last["actor"]) == (new, "review")
    assert pd.isna(last["version_to"])
    assert "beside the champion's" in last["reason"]
    assert registry.held(served.store, ["BTC"], at)[*KEY, "champion"] == old
    told = [
        alert
        for alert in events.events(served.store, ["BTC"], as_of=at, horizons=(1,), signals=False)
        if alert.kind == "promotion_refused" and new in alert.summary
    ]
    assert len(told) == 1
    served.predict(moment(NOW), since=moment(NOW - 3))
    assert not (rows(served.store, "challenger")["prediction_timestamp"] > at).any()


def test_a_review_that_comes_late_says_what_one_in_time_would_have(
    served: Any, make_deployment: Any, moment: Moment, tmp_path: Path
) -> None:
    """The hours after the first 72 say the opposite: they are not looked at."""
    old, new = versions(served.store)
    point(served.store, old, moment(FIRST))
    point(served.store, new, moment(SECOND), alias="challenger")
    forecast(served.store, old, moment(SECOND), wobble(85, 0.5), "champion")
    forecast(served.store, new, moment(SECOND), [*wobble(72, 0.56), *wobble(85, 0.3)[72:]], "challenger")
    served.store.close()
    said = []
    for hours in (74, 88):
        home = tmp_path / f"copy{hours}"
        shutil.copytree(tmp_path / "served", home)
        copy = make_deployment(Warehouse.open(f"sqlite:///{home / 'store.db'}"), home / "artifacts")
        said.append(review(copy, moment(SECOND + hours)).results[0].details)
        copy.store.close()
    assert said[0] == said[1]
    assert "promoted" in said[0]["challenger"]


def test_a_bad_promotion_is_taken_back_once_with_its_numbers(served: Any, moment: Moment) -> None:
    old, new = versions(served.store)
    point(served.store, old, moment(FIRST))
    point(served.store, new, moment(SECOND))
    forecast(served.store, old, moment(SECOND), wobble(60, 0.55), "previous")
    forecast(served.store, new, moment(SECOND), wobble(60, 0.2), "champion")
    at = moment(SECOND + 62)
    done = review(served, at)
    assert "e-value" in done.results[0].details["rollback"]
    last = changes(served.store).query("alias == 'champion' and symbol == 'BTC'").iloc[-1]
    assert (last["version_from"], last["version_to"], last["actor"]) == (new, old, "review")
    assert "e-value" in last["reason"]
    (told,) = (
        alert
        for alert in events.events(served.store, ["BTC"], as_of=at, horizons=(1,), signals=False)
        if alert.kind == "rolled_back"
    )
    assert "by review" in told.summary
    before = changes(served.store)
    # The evidence of the other side, from now on: a return is taken back by nobody but a person.
    forecast(served.store, new, at, wobble(20, 0.9), "previous")
    forecast(served.store, old, at, wobble(20, 0.2), "champion")
    for hours in (0, 22):
        assert review(served, at + hours * HOUR).rows == 0
    pd.testing.assert_frame_equal(changes(served.store), before)
    done = served.train(moment(SECOND), gated=True)  # nor do the same rows bring it back
    assert registry.held(served.store, ["BTC"], at)[*KEY, "champion"] == old


def test_a_good_promotion_stays_and_so_does_one_whose_way_back_is_blocked(served: Any, moment: Moment) -> None:
    old, new = versions(served.store)
    point(served.store, old, moment(FIRST))
    point(served.store, new, moment(SECOND))
    forecast(served.store, old, moment(SECOND), wobble(60, 0.55), "previous")
    forecast(served.store, new, moment(SECOND), wobble(60, 0.6), "champion")
    assert review(served, moment(SECOND + 62)).rows == 0
    with served.store.begin() as connection:
        connection.execute(
            update(predictions).where(predictions.c.version == new).values(prob_up=1 - predictions.c.prob_up)
        )
    shutil.rmtree(served.artifacts.folder(old))
    done = review(served, moment(SECOND + 62))
    assert "cannot serve again" in done.failed["BTC"]
    assert registry.held(served.store, ["BTC"], moment(NOW))[*KEY, "champion"] == new


def test_evidence_after_three_days_takes_nothing_back(served: Any, moment: Moment) -> None:
    old, new = versions(served.store)
    point(served.store, old, moment(FIRST))
    point(served.store, new, moment(SECOND))
    forecast(served.store, old, moment(SECOND), wobble(88, 0.55), "previous")
    forecast(served.store, new, moment(SECOND), [*wobble(72, 0.6), *wobble(88, 0.05)[72:]], "champion")
    assert review(served, moment(NOW)).rows == 0


def test_a_challenger_without_a_champion_is_judged_by_itself(served: Any, moment: Moment) -> None:
    _, new = versions(served.store)
    point(served.store, new, moment(SECOND), alias="challenger")
    forecast(served.store, new, moment(SECOND), wobble(80, 0.56), "challenger")
    assert "promoted" in review(served, moment(SECOND + 80)).results[0].details["challenger"]
    assert registry.champions(served.store, ["BTC"], moment(NOW))[KEY].version == new


def test_a_challenger_that_grows_old_is_dropped(served: Any, moment: Moment) -> None:
    old, new = versions(served.store)
    point(served.store, old, moment(FIRST))
    point(served.store, new, moment(SECOND), alias="challenger")
    done = review(served, moment(SECOND + 30), expiry=HOUR)
    assert "older than" in done.results[0].details["challenger"]
    assert (*KEY, "challenger") not in registry.held(served.store, ["BTC"], moment(NOW))


# Stopping


def decided(deployment: Any, at: datetime, restraint: Restraint = Restraint()) -> Any:  # noqa: B008
    rules = Rules(restraint=restraint)
    decide.record(deployment.store, ["BTC"], as_of=at, horizons=(1,), rules=rules)
    d = retrain_decisions.c
    return deployment.store.read(select(retrain_decisions).where(d.decision_time == at)).iloc[0]


def test_after_three_trainings_in_vain_nothing_is_trained_and_somebody_is_told(served: Any, moment: Moment) -> None:
    """Two of them in the store, the third made of the second; a stop is told once, however often it is decided."""
    at = moment(SECOND + 48)
    assert decided(served, at)["should_retrain"]
    assert train.due(served.store, ["BTC"], (1,), at, Rules()) == ("BTC",)
    row = served.store.read(select(model_versions).where(model_versions.c.version == versions(served.store)[1]))
    third = row.assign(version="third", trained_at=pd.Timestamp(moment(SECOND + 20)))
    with served.store.begin() as connection:
        warehouse.insert_missing(connection, model_versions, third)
    for hours in (50, 56):
        decision = decided(served, moment(SECOND + hours))
        assert not decision["should_retrain"]
        assert decision["details"]["held_back"].startswith("stopped: 3 trainings")
        assert any("the newest candidate was" in reason for reason in decision["reasons"])
    assert train.due(served.store, ["BTC"], (1,), moment(SECOND + 50), Rules()) == ()
    told = [
        alert
        for alert in events.events(served.store, ["BTC"], as_of=moment(SECOND + 56), horizons=(1,), signals=False)
        if alert.kind == "retraining_stopped"
    ]
    assert len({alert.key for alert in told}) == 1
    point(served.store, versions(served.store)[0], moment(SECOND + 57))
    after = decided(served, moment(SECOND + 58))
    assert after["details"]["trainings"]["unpromoted"] == 0


def test_a_return_is_no_promotion_and_a_waiting_challenger_holds_trainings_back(served: Any, moment: Moment) -> None:
    old, new = versions(served.store)
    point(served.store, old, moment(FIRST))
    point(served.store, new, moment(FIRST) + timedelta(minutes=1))
    point(served.store, old, moment(SECOND + 5), actor="review")
    known = watch.trainings(served.store, [KEY], moment(SECOND + 6), Restraint())
    assert known[KEY].unpromoted == 1, "the second training came after the last promotion"
    point(served.store, new, moment(SECOND + 7), alias="challenger")
    known = watch.trainings(served.store, [KEY], moment(SECOND + 40), Restraint())
    assert known[KEY].challenger_since == moment(SECOND + 7)
    assert train.due(served.store, ["BTC"], (1,), moment(SECOND + 24 * 8), Rules()) == ()


def test_drift_counts_new_labels_from_a_refused_training(served: Any, moment: Moment) -> None:
    old, new = versions(served.store)
    point(served.store, old, moment(FIRST))
    at = moment(SECOND + 80)
    moved = DriftDay(0.9, n_channels=60)
    champion = registry.champions(served.store, ["BTC"], at)[KEY]
    known = watch.trainings(served.store, [KEY], at, Restraint())[KEY]
    nothing = watch.outcomes(served.store, ["BTC"], at, at)
    seen = watch.evidence(KEY, champion, {}, nothing, (moved, moved), {}, trained_until=known.data_end)
    assert champion.version == old
    rows = served.store.read(select(model_versions.c.train_end).where(model_versions.c.version == new))
    assert seen.labels_end == rows["train_end"][0] + 2 * HOUR  # the row's own hour, and one ahead


def test_the_store_keeps_its_rules_with_shadows_and_a_dropped_challenger(served: Any, moment: Moment) -> None:
    old, new = versions(served.store)
    point(served.store, old, moment(FIRST))
    point(served.store, new, moment(SECOND), alias="challenger")
    served.predict(moment(SECOND + 20), since=moment(FIRST + 1))
    served.settle(moment(SECOND + 20))
    point(served.store, None, moment(SECOND + 20), alias="challenger")
    findings = [str(finding) for finding in verify(served.store, served.artifacts, as_of=moment(NOW)).findings]
    assert not [text for text in findings if "alias" in text or "forecast" in text or "bundle" in text]
