"""Laws of the split and of what the paired hours say."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from crypto_platform.core.experiments import (
    A_BETTER,
    B_BETTER,
    COUNTS,
    INSUFFICIENT,
    METRICS,
    MIN_PAIRED_HOURS,
    NO_DIFFERENCE,
    Experiment,
    Variant,
    published_arm,
    summarize,
)
from crypto_platform.core.hours import HOUR
from crypto_platform.errors import ConfigurationError

START = datetime(2026, 1, 1, tzinfo=UTC)


def experiment(**values: Any) -> Experiment:
    given_ones = {"test_name": "t", "split": 0.5, "salt": "s"} | values
    return Experiment(
        variant_a="a", variant_b="b", horizon=1, alpha=0.05, publish=False, started_at=START, **given_ones
    )


@pytest.mark.parametrize("split", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_share_of_arm_a_is_the_split(split: float) -> None:
    n = 4000
    arms = [published_arm(experiment(split=split), "BTC", START + timedelta(hours=i)) for i in range(n)]
    assert abs(arms.count("A") / n - split) <= 4 * np.sqrt(split * (1 - split) / n)  # four standard errors


def test_the_arm_is_the_same_on_every_asking_and_differs_between_symbols_and_salts() -> None:
    def drawn(symbol: str, **values: Any) -> str:
        return "".join(published_arm(experiment(**values), symbol, START + timedelta(hours=i)) for i in range(64))

    assert drawn("BTC") == drawn("BTC")
    assert len({drawn("BTC"), drawn("ETH"), drawn("BTC", salt="other"), drawn("BTC", test_name="u")}) == 4


rights = st.lists(st.tuples(*[st.integers(0, 5)] * 4).filter(any), max_size=90)


def hourly(rows: list[tuple[int, ...]]) -> pd.DataFrame:
    """One row an hour with the counts both right, only A, only B, both wrong; losses by the counts."""
    counts = pd.DataFrame(rows, columns=list(COUNTS), dtype=float)
    wrong_a, wrong_b = counts["only_b_right"] + counts["both_wrong"], counts["only_a_right"] + counts["both_wrong"]
    losses = {"log_loss_a": 0.4 + wrong_a, "log_loss_b": 0.4 + wrong_b, "brier_a": wrong_a, "brier_b": wrong_b}
    hours = pd.date_range(START, periods=len(rows), freq="h", unit="us")
    return counts.assign(**losses, prediction_timestamp=hours)


def coins(p_a: float, p_b: float, n: int, seed: int = 5) -> pd.DataFrame:
    a, b = np.random.default_rng(seed).random((2, n)) < [[p_a], [p_b]]
    return hourly([(x & y, x & ~y, ~x & y, ~x & ~y) for x, y in zip(a, b, strict=True)])


@given(rights)
def test_the_four_counts_add_up_and_every_number_is_json(rows: list[tuple[int, ...]]) -> None:
    held = summarize(experiment(ends_at=START + timedelta(hours=80)), hourly(rows), START + timedelta(days=9))
    json.dumps(held, allow_nan=False)
    assert sum(held[part] for part in COUNTS) == held["n_pairs"] == sum(map(sum, rows))
    assert held["n_hours"] == len(rows)
    if rows:
        assert held["accuracy_a"] == pytest.approx((held["both_right"] + held["only_a_right"]) / held["n_pairs"])
        assert held["lower"] <= held["upper"]
    else:
        assert held["accuracy_a"] is held["mean_difference"] is None
    assert (held["verdict"] == INSUFFICIENT) == (len(rows) < MIN_PAIRED_HOURS)


def test_symbols_of_one_hour_are_one_observation() -> None:
    """Many copies of a symbol change neither the difference nor what is said of it."""
    one = coins(0.6, 0.5, 200)
    many = one.assign(**{name: one[name] * 7 for name in one.columns.drop("prediction_timestamp")})
    single, sevenfold = (summarize(experiment(), frame, START + timedelta(days=9)) for frame in (one, many))
    for name in ("mean_difference", "lower", "upper", "e_value", "verdict"):
        assert sevenfold[name] == pytest.approx(single[name]) if name != "verdict" else sevenfold[name] == single[name]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("p_a", "p_b", "verdict"), [(0.7, 0.4, A_BETTER), (0.4, 0.7, B_BETTER), (0.5, 0.5, NO_DIFFERENCE)]
)
def test_the_better_arm_is_named_and_no_other(metric: str, p_a: float, p_b: float, verdict: str) -> None:
    held = summarize(experiment(metric=metric), coins(p_a, p_b, 900), START + timedelta(days=90))
    assert held["verdict"] == verdict
    assert (held["max_e_value"] >= 1 / held["level"]) or verdict == NO_DIFFERENCE
    assert held["lower"] < held["mean_difference"] < held["upper"]


def test_thin_evidence_names_no_winner_however_clear_it_looks() -> None:
    always = hourly([(0, 1, 0, 0)] * (MIN_PAIRED_HOURS - 1))
    held = summarize(experiment(), always, START + timedelta(days=9))
    assert held["max_e_value"] > 20
    assert held["verdict"] == INSUFFICIENT


def test_the_classical_tests_come_once_the_planned_end_is_over() -> None:
    end = START + timedelta(hours=300)
    planned, rows = experiment(ends_at=end), coins(0.6, 0.5, 300)
    assert summarize(planned, rows, end - timedelta(hours=1))["fixed_horizon"] is None
    held = summarize(planned, rows, end + timedelta(days=5))["fixed_horizon"]
    assert held["note"] == "valid only once"
    assert summarize(experiment(ends_at=end, stopped_at=end - HOUR), rows, end)["fixed_horizon"] is None
    differences = (rows["only_a_right"] - rows["only_b_right"]).to_numpy()
    fitted = OLS(differences, np.ones(300)).fit(cov_type="HAC", cov_kwds={"maxlags": 25, "use_correction": False})
    assert held["diebold_mariano"] == pytest.approx(fitted.tvalues[0], rel=1e-9)
    assert held["diebold_mariano_p"] == pytest.approx(fitted.pvalues[0], rel=1e-6)
    table = rows[list(COUNTS)].sum().to_numpy().reshape(2, 2)
    assert held["mcnemar_p"] == pytest.approx(statsmodels_mcnemar(table, exact=True).pvalue)


@pytest.mark.parametrize(
    ("ends", "stopped", "status"), [(None, None, "running"), (9, None, "ended"), (9, 5, "stopped")]
)
def test_an_experiment_runs_until_its_end_or_somebody_stops_it(
    ends: int | None, stopped: int | None, status: str
) -> None:
    at = {name: START + timedelta(hours=h) for name, h in (("ends_at", ends), ("stopped_at", stopped)) if h}
    assert experiment(**at).status(START + timedelta(hours=10)) == status
    assert experiment(**at).status(START + timedelta(hours=1)) == "running"


@pytest.mark.parametrize("text", ["", "ridge_regression", "abc", "abc/", "abc/xyz"])
def test_a_variant_that_names_no_model_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="names no model"):
        Variant.parse(text)
