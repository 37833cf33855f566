"""The report model: numbers from frames, words for reasons, nothing invented where nothing is known."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from crypto_platform.core import reporting
from crypto_platform.core.accuracy import NO_EDGE, TOO_FEW, WORSE
from crypto_platform.core.metrics import BASELINE_RATE
from crypto_platform.core.reporting import ModelScore, WalkForwardScores
from crypto_platform.core.retraining import FINDINGS
from crypto_platform.core.signals import ENSEMBLE, Reason

AS_OF = datetime(2026, 3, 2, 12, 10, tzinfo=UTC)
KEY = ("BTC", 1)


def forecasts(hours: int, **columns: object) -> pd.DataFrame:
    made = pd.date_range(end=AS_OF.replace(minute=0), periods=hours, freq="h")
    row = {
        "created_at": made,
        "origin": "live",
        "current_price": 100.0,
        "prob_up": 0.5,
        "signal": "HOLD",
        "signal_before_costs": "HOLD",
        "reason": "low_confidence",
        "resumes_at": None,
        **dict.fromkeys(reporting.MODEL_COLUMNS.values()),
        "break_even_probability": None,
        "version": "v",
        "horizon": 1,
        "correct": True,
        "realized_direction": 1.0,
    }
    return pd.DataFrame({"prediction_timestamp": made, **row, **columns})


def test_every_reason_has_words() -> None:
    assert set(reporting.REASONS) == set(Reason)
    assert all(words.endswith(".") and "_" not in words for words in reporting.REASONS.values())


def test_every_failed_statement_is_named_by_what_failed() -> None:
    assert set(reporting.FAILED) == set(FINDINGS)


def test_windows_count_the_hours_they_name() -> None:
    rows = forecasts(800)
    counted = {name: accuracy.n for name, accuracy in reporting.accuracy_by_window(rows, AS_OF).items()}
    assert counted == {"24h": 24, "7d": 168, "30d": 720}


def test_serving_counts_abstentions_and_holds_of_the_week() -> None:
    rows = forecasts(200)
    rows.loc[rows.index[-10:], "prob_up"] = None
    rows.loc[rows.index[-20:-10], "signal"] = "BUY"
    served = reporting.serving(KEY, ("v", AS_OF - timedelta(days=2)), rows, rows.iloc[:0], AS_OF)
    assert (served.n_forecasts, served.n_abstained, served.n_hold) == (168, 10, 158)
    assert served.model_age_days == 2.0
    assert served.abstention_share == pytest.approx(10 / 168)


def test_without_forecasts_shares_are_unknown() -> None:
    rows = forecasts(0)
    served = reporting.serving(KEY, None, rows, rows, AS_OF)
    assert (served.version, served.model_age_days, served.abstention_share, served.hold_share) == (None,) * 4


def test_latest_forecast_is_the_newest_and_speaks_plainly() -> None:
    latest = reporting.latest_forecast(KEY, forecasts(5), AS_OF)
    assert latest.hour == AS_OF.replace(minute=0)
    assert latest.age_minutes == 10
    assert latest.break_even is None
    assert latest.reason == reporting.REASONS[Reason.LOW_CONFIDENCE]
    assert reporting.latest_forecast(KEY, forecasts(2, reason=None), AS_OF).reason == ""
    assert reporting.latest_forecast(KEY, forecasts(2, reason="of_a_later_release"), AS_OF).reason == (
        "of a later release"
    )


def test_a_warm_up_says_when_it_ends() -> None:
    cold = forecasts(2, reason=Reason.WARMING_UP.value, resumes_at=pd.Timestamp("2026-03-09T05:00:00Z"))
    assert reporting.latest_forecast(KEY, cold, AS_OF).reason.endswith("resume at 2026-03-09 05:00 UTC.")


def test_shares_tell_models_bundles_and_signals_apart() -> None:
    rows = forecasts(4).assign(
        correct=[True, True, False, True],
        realized_direction=[1.0, 0.0, 1.0, 1.0],
        prob_up_random_forest=[0.6, 0.6, 0.5, np.nan],
        return_ridge_regression=[-0.1, -0.1, 0.0, 0.2],
        version=["a", "b", "b", "b"],
        signal=["BUY", "HOLD", "HOLD", "HOLD"],
    )
    found = reporting.shares(rows)
    assert found["by_model"]["ensemble"] == {"n": 4, "share": 0.75}
    assert found["by_model"]["random_forest"] == {"n": 2, "share": 0.5}  # one half has no side
    assert found["by_model"]["ridge_regression"] == {"n": 3, "share": pytest.approx(2 / 3)}
    assert found["by_model"]["gradient_boosting"] == {"n": 0, "share": None}
    assert found["by_version"] == {"a": {"n": 1, "share": 1.0}, "b": {"n": 3, "share": pytest.approx(2 / 3)}}
    assert found["by_signal"] == {"BUY": {"n": 1, "share": 1.0}, "HOLD": {"n": 3, "share": pytest.approx(2 / 3)}}
    assert reporting.shares(rows.iloc[:0])["by_signal"] == {}


def test_no_forecast_is_said_in_words() -> None:
    latest = reporting.latest_forecast(KEY, forecasts(0), AS_OF)
    assert (latest.price, latest.prob_up, latest.signal) == (None, None, None)
    assert latest.reason


@pytest.mark.parametrize(
    ("age_of_first", "n_candles", "gaps"),
    [(timedelta(days=60), 168, 0), (timedelta(days=60), 160, 8), (timedelta(hours=24), 24, 0)],
)
def test_gaps_count_from_the_first_candle_on(age_of_first: timedelta, n_candles: int, gaps: int) -> None:
    end = AS_OF.replace(minute=0)
    quality = reporting.data_quality("BTC", end - age_of_first, end - timedelta(hours=1), n_candles, 0, AS_OF)
    assert (quality.gap_hours, quality.age_minutes) == (gaps, 70)


def test_without_candles_the_gap_is_unknown() -> None:
    quality = reporting.data_quality("BTC", None, None, 0, 3, AS_OF)
    assert (quality.newest, quality.age_minutes, quality.gap_hours, quality.quarantined) == (None, None, None, 3)


def test_newest_decision_of_each_key_in_the_order_asked() -> None:
    row = {"horizon": 1, "policy": "classic", "reasons": ["r"], "result": None}
    rows = pd.DataFrame(
        [
            {**row, "symbol": "ETH", "decision_time": pd.Timestamp(AS_OF), "should_retrain": True},
            {**row, "symbol": "BTC", "decision_time": pd.Timestamp(AS_OF), "should_retrain": False},
            {**row, "symbol": "BTC", "decision_time": pd.Timestamp(AS_OF) - pd.Timedelta("6h"), "should_retrain": True},
        ]
    )
    verdicts = reporting.retrain_verdicts(rows, [("BTC", 1), ("ETH", 1), ("SOL", 1)])
    assert [(v.symbol, v.should_retrain) for v in verdicts] == [("BTC", False), ("ETH", True)]


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"),
    [(0.56, 0.6, "better than the baselines"), (0.51, 0.6, NO_EDGE), (0.4, 0.48, WORSE), (None, None, TOO_FEW)],
)
def test_walk_forward_words_need_the_interval_above_the_best_baseline(
    lower: float | None, upper: float | None, verdict: str
) -> None:
    scores = {
        ENSEMBLE: {"accuracy": ModelScore(0.58, 1000, lower, upper)},
        BASELINE_RATE: {"accuracy": ModelScore(0.55, 1000)},
    }
    assert WalkForwardScores(*KEY, "v", scores).verdict(ENSEMBLE) == verdict
