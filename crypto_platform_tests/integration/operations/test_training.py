"""What a training process makes of rows: repeatable, with a holdout where the history is long."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from crypto_platform.core import features as science
from crypto_platform.core import metrics
from crypto_platform.core.estimators import ModelParameters
from crypto_platform.operations.registration import Trained
from crypto_platform.operations.train import IMPORTANCE, _run, _train_one
from crypto_platform.operations.workers import ALONE, Workers
from crypto_platform.tables.features import target_direction, target_return

TINY = ModelParameters(forest_trees=3, boosting_iterations=3)
SIGNAL = "rsi_14"


def rows(hours: int, seed: int = 1) -> pd.DataFrame:
    """Features of noise, one of which leads the return."""
    rng = np.random.default_rng(seed)
    inputs = pd.DataFrame(rng.normal(size=(hours, len(science.DEFAULT.features))), columns=science.DEFAULT.features)
    inputs["vol_30"] = 0.01
    returns = 0.01 * (inputs[SIGNAL] + rng.normal(size=hours))
    timestamps = pd.date_range("2026-01-05", periods=hours, freq="h", tz="UTC", unit="us")
    labels = {target_return(1): returns, target_direction(1): (returns > 0).astype(float)}
    return inputs.assign(timestamp=timestamps, **labels)


@pytest.fixture
def shared() -> Iterator[Workers]:
    with closing(Workers(2)) as workers:
        yield workers


def job(frame: pd.DataFrame, importance_rows: int = 0) -> tuple[Any, ...]:
    return "BTC", 1, frame, science.DEFAULT, TINY, 90, importance_rows


def trained(frame: pd.DataFrame, importance_rows: int = 0) -> Trained:
    return _train_one(*job(frame, importance_rows))


@pytest.fixture(scope="module")
def quarter() -> Trained:
    return trained(rows(2160), importance_rows=200)


def test_ninety_days_have_a_holdout_scored_apart(quarter: Trained) -> None:
    held = metrics.pooled(quarter.scores, "ensemble", "accuracy", metrics.HOLDOUT)
    folds = metrics.pooled(quarter.scores, "ensemble", "accuracy")
    assert held is not None
    assert folds is not None
    assert (held.n, folds.n) == (216, 840)
    assert quarter.said["plan"]["holdout"] == 216
    assert held.value > 0.6  # the signal was planted there too


def test_the_newest_hours_do_not_change_what_the_folds_say(quarter: Trained) -> None:
    """The holdout's labels turned around: all that was validated before stays, the refit alone has seen them."""
    frame = rows(2160)
    newest = frame.index[-216:]
    frame.loc[newest, target_return(1)] *= -1
    frame.loc[newest, target_direction(1)] = 1 - frame.loc[newest, target_direction(1)]
    other = trained(frame)
    mine, theirs = ([m for m in t.scores if m.fold != metrics.HOLDOUT] for t in (quarter, other))
    assert mine == theirs
    assert quarter.said["calibrators"] == other.said["calibrators"]
    assert quarter.files["models/random_forest.skops"] != other.files["models/random_forest.skops"]


def test_the_bundle_is_fitted_on_a_window_as_long_as_a_folds(quarter: Trained) -> None:
    assert quarter.n_rows == quarter.said["plan"]["train"] == 1080
    assert quarter.train_hours[1] - quarter.train_hours[0] == 1079


def test_a_gap_leaves_the_plan_and_too_few_rows_after_one_make_no_bundle() -> None:
    """Two weeks of warm-up have no rows: a history of 90 days stays one, and no model is fitted on what is left."""
    frame = rows(2160)
    found = trained(frame.drop(frame.index[1800:2139]))
    assert found.refusal is None
    assert found.said["plan"]["train"] == 1080
    assert found.n_rows == 1080 - 339
    short = rows(720)
    refused = trained(short.drop(short.index[360:699]))
    assert refused.files == {}
    assert "21 valid rows" in str(refused.refusal)


def test_equal_rows_make_equal_bundles(quarter: Trained) -> None:
    again = trained(rows(2160), importance_rows=200)
    assert again.files == quarter.files
    assert again.said == quarter.said
    assert again.scores == quarter.scores
    json.dumps(again.said, allow_nan=False)  # the manifest takes no other


def test_processes_that_share_the_fits_make_the_same_of_them(quarter: Trained, shared: Workers) -> None:
    [again] = _run([job(rows(2160), importance_rows=200)], shared)
    assert again.files == quarter.files
    assert again.said == quarter.said
    assert again.scores == quarter.scores
    assert np.array_equal(again.trial.candidate, quarter.trial.candidate)


def test_what_is_trained_side_by_side_comes_in_order(shared: Workers) -> None:
    jobs = [job(rows(hours, seed)) for seed, hours in enumerate((720, 100, 800, 720))]  # the second is refused
    alone, together = (list(_run(jobs, workers)) for workers in (ALONE, shared))
    assert [made.n_rows for made in alone] == [made.n_rows for made in together]
    assert [made.refusal for made in alone] == [made.refusal for made in together]
    assert [made.files for made in alone] == [made.files for made in together]
    assert [made.scores for made in alone] == [made.scores for made in together]


def test_the_number_of_threads_changes_nothing(quarter: Trained) -> None:
    """No bit of what is in a manifest: an equal bundle has an equal hash on any machine."""
    for n in (1, 2):
        with threadpool_limits(n):
            again = trained(rows(2160), importance_rows=200)
        assert again.scores == quarter.scores
        assert again.said == quarter.said
        assert again.files == quarter.files


def test_importance_finds_what_leads(quarter: Trained) -> None:
    said = json.loads(quarter.files[IMPORTANCE])
    assert said["rows"] <= 200
    assert next(iter(said["models"]["logistic_regression"])) == SIGNAL


def test_thirty_days_have_none_and_too_few_are_refused() -> None:
    month = trained(rows(720))
    assert all(m.fold != metrics.HOLDOUT for m in month.scores)
    assert IMPORTANCE not in month.files
    assert "needed" in str(trained(rows(200)).refusal)
    assert "too short" in str(trained(rows(400)).refusal)
