"""Laws of the split and of the paired counts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.core.experiments import (
    INSUFFICIENT,
    MIN_PAIRED_HOURS,
    UNDECIDED,
    Experiment,
    paired_counts,
    published_arm,
)

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


rights = st.sampled_from([True, False, None])


@given(st.lists(st.tuples(st.integers(0, 100), rights, rights), max_size=60))
def test_the_four_counts_add_up_and_the_unknown_is_not_counted(rows: list[tuple[int, Any, Any]]) -> None:
    pairs = pd.DataFrame(
        {
            "prediction_timestamp": pd.to_datetime([START + timedelta(hours=hour) for hour, *_ in rows], utc=True),
            "correct_a": pd.Series([a for _, a, _ in rows], dtype=object),
            "correct_b": pd.Series([b for *_, b in rows], dtype=object),
            "log_loss_a": 0.6,
            "log_loss_b": 0.7,
        }
    )
    counts = paired_counts(pairs)
    known = [(hour, a, b) for hour, a, b in rows if a is not None and b is not None]
    parts = ("both_right", "only_a_right", "only_b_right", "both_wrong")
    assert sum(counts[part] for part in parts) == counts["n_pairs"] == len(known)
    assert counts["n_hours"] == len({hour for hour, *_ in known})
    if known:
        assert counts["accuracy_a"] == pytest.approx((counts["both_right"] + counts["only_a_right"]) / len(known))
        assert -1 <= counts["mean_difference"] <= 1
    else:
        assert counts["accuracy_a"] is counts["mean_difference"] is None
    assert (counts["standard_error"] is None) == (counts["n_hours"] < 2)
    assert counts["verdict"] == (UNDECIDED if counts["n_hours"] >= MIN_PAIRED_HOURS else INSUFFICIENT)


def test_symbols_of_one_hour_are_one_observation() -> None:
    """Many copies of a symbol change neither the mean difference nor its standard error."""
    rng = np.random.default_rng(5)
    one = pd.DataFrame(
        {
            "prediction_timestamp": pd.date_range(START, periods=100, freq="h"),
            "correct_a": rng.random(100) < 0.6,
            "correct_b": rng.random(100) < 0.5,
            "log_loss_a": 0.6,
            "log_loss_b": 0.7,
        }
    )
    single, many = paired_counts(one), paired_counts(pd.concat([one] * 7))
    assert many["mean_difference"] == pytest.approx(single["mean_difference"])
    assert many["standard_error"] == pytest.approx(single["standard_error"])
