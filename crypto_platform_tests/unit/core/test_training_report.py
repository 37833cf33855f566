"""The report says what was shown, and that the rest was not."""

import numpy as np

from crypto_platform.core import metrics, training_report
from crypto_platform.core.estimators import TrainingSet
from crypto_platform.core.signals import ENSEMBLE
from crypto_platform.core.training_report import Trained
from crypto_platform.core.validation import OutOfSample


def bundle(symbol: str, strength: float, seed: int = 3) -> Trained:
    rng = np.random.default_rng(seed)
    n, last = 600, 400
    returns = rng.normal(0, 0.01, n)
    known = TrainingSet(np.arange(n), np.zeros((n, 1)), returns, (returns > 0).astype(np.int64), ("vol_30",), 1)
    rows = np.arange(n - last, n)
    knows = strength * 100 * returns[rows] + rng.normal(0, 0.3, last)
    half = np.full(last, 0.5)
    prob_up = {ENSEMBLE: 1 / (1 + np.exp(-knows))}
    result = OutOfSample(rows, 0 * rows, prob_up, knows / 300, half, 0 * half, last)
    scores = metrics.evaluate(result, known, 1) + metrics.evaluate(result, known, 1, metrics.HOLDOUT)
    return Trained(symbol, "v1", 1, scores, ("random_forest",), 0.52, {"rsi_14": 0.01, "ret_1": 0.002})


def test_what_was_shown_is_named_and_the_rest_is_not() -> None:
    bundles = [bundle("BTC", 1.0), bundle("ETH", 0.0)]
    p_values = training_report.adjusted(bundles)
    said = training_report.statement(p_values)
    assert "BTC ensemble 1 h" in said
    assert "ETH" not in said
    assert "4 combinations" in said
    strong, nothing = (training_report.markdown(one, p_values) for one in bundles)
    assert "**demonstrated**" in strong
    assert "whether it pays is a backtest's question" in strong
    assert "**not demonstrated**" in nothing
    assert "read as no edge" in nothing


def test_a_report_has_intervals_baselines_the_holdout_and_what_matters() -> None:
    one = bundle("BTC", 1.0)
    text = training_report.markdown(one, training_report.adjusted([one]))
    for word in (
        "baseline persistence",
        "baseline coin",
        "Holdout, 400 hours",
        "random forest",
        "52.0%",
        "rsi_14 +10.0",
    ):
        assert word in text
    accuracy = metrics.pooled(one.scores, ENSEMBLE, "accuracy")
    assert accuracy is not None
    assert f"{accuracy.value:.1%} [{accuracy.lower:.1%}, {accuracy.upper:.1%}]" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1  # a table that renders


def test_nothing_trained_is_nothing_tested() -> None:
    assert training_report.statement({}) == "Nothing was tested."
    assert "not scored" in training_report.markdown(Trained("BTC", "v", 1, ()), {})
