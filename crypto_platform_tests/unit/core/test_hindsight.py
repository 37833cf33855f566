"""Laws of looking back: who forecast better is found, who did not is not, and no difference is called so."""

import numpy as np
import pandas as pd
import pytest

from crypto_platform.core import hindsight
from crypto_platform.core.accuracy import Accuracy
from crypto_platform.core.hindsight import Gain, Retrain

HOURS = pd.date_range("2026-01-01", periods=720, freq="h", tz="UTC")


def forecasts(skill: float, noise: int, symbols: tuple[str, ...] = ("BTC", "ETH")) -> pd.DataFrame:
    """Up-probabilities that lean by `skill` to what came."""
    up = np.random.default_rng(1).integers(0, 2, (len(symbols), len(HOURS)))
    own = np.random.default_rng(noise).normal(0, 0.05, up.shape)
    prob = np.clip(0.5 + skill * (2 * up - 1) + own, 0.02, 0.98)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "symbol": symbol,
                    "hour": HOURS,
                    "up": up[i],
                    "right": ((prob[i] > 0.5) == (up[i] == 1)).astype(float),
                    "loss": -np.log(np.where(up[i] == 1, prob[i], 1 - prob[i])),
                }
            )
            for i, symbol in enumerate(symbols)
        ],
        ignore_index=True,
    )


def test_a_better_and_a_worse_schedule_are_called_so_and_an_equal_one_is_not() -> None:
    reference = forecasts(0.02, 2)
    better, worse, equal = forecasts(0.06, 3), forecasts(-0.03, 4), forecasts(0.02, 5)
    verdicts = [
        hindsight.arm("x", rows, reference, 1, 1, seed=1, level=0.99).verdict for rows in (better, worse, equal)
    ]
    assert verdicts == [hindsight.BETTER, hindsight.WORSE, hindsight.NO_DIFFERENCE]


def test_an_accuracy_lies_in_its_interval_and_counts_forecasts() -> None:
    rows = forecasts(0.05, 2)
    scored = hindsight.arm("x", rows, None, 1, 1, seed=1, level=0.95)
    assert (scored.n, scored.n_hours) == (len(rows), len(HOURS))
    assert scored.accuracy == pytest.approx(rows["right"].mean())
    assert scored.lower is not None
    assert scored.upper is not None
    assert scored.lower < scored.accuracy < scored.upper


def test_only_hours_that_both_forecast_are_compared() -> None:
    mine, other = forecasts(0.02, 2), forecasts(0.02, 2)
    other.loc[other["hour"] < HOURS[360], "loss"] += 10
    found = hindsight.gain(mine[mine["hour"] >= HOURS[360]], other, 1, seed=1)
    assert found.n_hours == 360
    assert found.mean == pytest.approx(0)


def test_few_hours_say_nothing() -> None:
    few = forecasts(0.4, 2).query("hour < @HOURS[40]")
    assert hindsight.gain(few, few, 1, seed=1).words(worse="w", better="b") == hindsight.TOO_FEW
    assert hindsight.arm("x", few.iloc[:0], few, 1, 1, seed=1, level=0.95).verdict == hindsight.TOO_FEW


def retrain(mean: float | None, *, alarm: bool = True, day: str = "2026-01-01") -> Retrain:
    nobody = Accuracy(0)
    return Retrain("BTC", 1, f"{day}T00:41:00+00:00", (), alarm, nobody, nobody, nobody, Gain(168, mean))


def test_an_alarm_is_false_where_the_replaced_model_lost_no_more() -> None:
    found = hindsight.alarms(
        "calibrated", [retrain(0.01), retrain(0.0), retrain(-0.02), retrain(None), retrain(-1.0, alarm=False)]
    )
    assert (found.n, found.n_judged, found.n_false) == (4, 3, 2)
    assert found.share == pytest.approx(2 / 3)


def test_alarms_of_one_day_count_as_one_in_the_mean_gain() -> None:
    days = [retrain(1.0, day="2026-01-01")] * 10 + [retrain(0.0, day=f"2026-01-0{n}") for n in (2, 3, 4)]
    found = hindsight.alarms("classic", days)
    assert found.gain == pytest.approx(0.25)
    assert found.gain_lower is not None
    assert found.gain_upper is not None
    assert found.gain_lower < 0.25 < found.gain_upper


def test_no_alarm_has_no_share() -> None:
    assert hindsight.alarms("calibrated", []).share is None
