"""The report's numbers and verdicts, computed from frames; no HTML, no SQL, no files.

Everything is as of one moment: rows of frames that were known later are the caller's to leave out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd

from crypto_platform.core.accuracy import COIN, NO_EDGE, TOO_FEW, WORSE, Accuracy, score
from crypto_platform.core.cusum import Alarm
from crypto_platform.core.hours import HOUR, closed_until
from crypto_platform.core.metrics import BASELINE_PERSISTENCE, BASELINE_RATE
from crypto_platform.core.provenance import Provenance
from crypto_platform.core.retraining import ACCURACY_HOLDS, FEATURES_HAVE_NOT_DRIFTED, MODEL_IS_FRESH
from crypto_platform.core.signals import CLASSIFIERS, ENSEMBLE, REGRESSOR, Reason, Signal

Key = tuple[str, int]  # symbol, horizon in hours

WINDOWS: Final[Mapping[str, timedelta]] = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
WEEK: Final = WINDOWS["7d"]
REASONS: Final[Mapping[str, str]] = {
    Reason.LOW_CONFIDENCE: "The probability is too close to one half.",
    Reason.DISAGREEMENT: "The models disagree on the direction.",
    Reason.EDGE_BELOW_COST: "The expected move does not pay the cost of the trade.",
    Reason.MODEL_EXPIRED: "The model is too old to act on.",
    Reason.NOVEL: "The model has seen nothing like this hour.",
    Reason.STALE_DATA: "The newest candle is too old.",
    Reason.FEATURES_MISSING: "Some model inputs have no value.",
    Reason.WARMING_UP: "Not enough unbroken history yet.",
    Reason.NO_MODEL: "No model has been trained yet.",
    Reason.MODEL_REFUSED: "Its model files are damaged, and so are those of every earlier model.",
}

# A reason of a retrain decision opens with the statement that failed; people read what failed instead.
FAILED: Final[Mapping[str, str]] = {
    ACCURACY_HOLDS: "Accuracy",
    FEATURES_HAVE_NOT_DRIFTED: "Drift",
    MODEL_IS_FRESH: "Model age",
}


# what each single model forecast, in `predictions`
MODEL_COLUMNS: Final[Mapping[str, str]] = {
    **{name: f"prob_up_{name}" for name in CLASSIFIERS},
    REGRESSOR: f"return_{REGRESSOR}",
}
Shares = Mapping[str, Mapping[str, Mapping[str, float | None]]]


@dataclass(frozen=True, slots=True)
class Serving:
    """What one symbol and horizon serves, and how it did of late.

    Attributes
    ----------
    version : str or None
        The champion; None without one.
    model_age_days : float or None
        Since the as_of of its training.
    n_forecasts, n_abstained, n_hold : int
        Served hours of the last 7 days; of those without a probability; of those whose signal was HOLD.
    accuracy : mapping of str to Accuracy
        By the names of `WINDOWS`.
    shares : mapping of str to Shares
        By the names of `WINDOWS`: what that accuracy is made of, see `shares`.
    """

    symbol: str
    horizon: int
    version: str | None
    model_age_days: float | None
    n_forecasts: int
    n_abstained: int
    n_hold: int
    accuracy: Mapping[str, Accuracy]
    shares: Mapping[str, Shares]

    @property
    def abstention_share(self) -> float | None:
        """Share of the served hours that had no probability; None where none was served."""
        return self.n_abstained / self.n_forecasts if self.n_forecasts else None

    @property
    def hold_share(self) -> float | None:
        """Share of the served hours whose signal was HOLD; None where none was served."""
        return self.n_hold / self.n_forecasts if self.n_forecasts else None


@dataclass(frozen=True, slots=True)
class DataQuality:
    """State of one symbol's candles at a moment.

    Attributes
    ----------
    newest : datetime or None
        Open time of the newest closed candle; None without candles.
    age_minutes : float or None
        Since that open time.
    gap_hours : int or None
        Closed hours of the last 7 days (from the symbol's first candle on) without a candle.
    quarantined : int
        Upstream rows refused in the last 7 days.
    """

    symbol: str
    newest: datetime | None
    age_minutes: float | None
    gap_hours: int | None
    quarantined: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """The newest forecast of one symbol and horizon, None in every number where there is none."""

    symbol: str
    horizon: int
    reason: str
    hour: datetime | None = None
    age_minutes: float | None = None
    price: float | None = None
    prob_up: float | None = None
    signal: str | None = None
    before_costs: str | None = None
    break_even: float | None = None
    version: str | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class RetrainVerdict:
    """The newest retrain decision of one symbol and horizon."""

    symbol: str
    horizon: int
    decided_at: datetime
    should_retrain: bool
    policy: str
    reasons: tuple[str, ...]
    result: str | None


@dataclass(frozen=True, slots=True)
class ModelScore:
    """One pooled walk-forward score of a serving bundle; the interval is None where none is defined."""

    value: float
    n: int
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class WalkForwardScores:
    """Walk-forward scores of one serving bundle by model (baselines included) and metric."""

    symbol: str
    horizon: int
    version: str
    scores: Mapping[str, Mapping[str, ModelScore]]

    def score(self, model: str, metric: str) -> ModelScore | None:
        """One score; None where it was not computed."""
        return self.scores.get(model, {}).get(metric)

    def verdict(self, model: str) -> str:
        """What the accuracy interval of a model says beside the best constant and persistence."""
        mine = self.score(model, "accuracy")
        if mine is None or mine.lower is None or mine.upper is None:
            return TOO_FEW
        baselines = [self.score(name, "accuracy") for name in (BASELINE_RATE, BASELINE_PERSISTENCE)]
        bar = max([COIN, *(score.value for score in baselines if score is not None)])
        if mine.upper < COIN:
            return WORSE
        return "better than the baselines" if mine.lower > bar else NO_EDGE


@dataclass(frozen=True, slots=True)
class Sentiment:
    """The newest fear and greed index."""

    day: datetime
    value: int
    classification: str


@dataclass(frozen=True, slots=True)
class Health:
    """What is measured at a moment: per symbol and horizon, per symbol, and over all symbols."""

    as_of: datetime
    serving: tuple[Serving, ...]
    data: tuple[DataQuality, ...]
    refused_elsewhere: int  # upstream rows of datasets without symbols, last 7 days
    overall: Mapping[int, Mapping[str, Accuracy]]  # horizon, window


@dataclass(frozen=True, slots=True)
class MonitoringReport:
    """Everything the report shows, bar the drawn series."""

    as_of: datetime
    provenance: Provenance | None
    symbols: tuple[str, ...]
    health: Health
    forecasts: tuple[Forecast, ...]
    walk_forward: tuple[WalkForwardScores, ...]
    experiments: tuple[Mapping[str, Any], ...]
    decisions: tuple[RetrainVerdict, ...]
    sentiment: Sentiment | None
    pooled: Mapping[int, Alarm] = field(default_factory=dict)  # horizon; of all symbols' accuracy together


def accuracy_by_window(outcomes: pd.DataFrame, as_of: datetime) -> dict[str, Accuracy]:
    """Accuracy over each of `WINDOWS`, of forecasts made in `(as_of - window, as_of]`; see `accuracy.score`."""
    age = pd.Timestamp(as_of) - outcomes["prediction_timestamp"]
    return {name: score(outcomes[age < pd.Timedelta(window)]) for name, window in WINDOWS.items()}


def shares(outcomes: pd.DataFrame) -> Shares:
    """Right directions by model, by bundle and by signal, without intervals: to see where an accuracy comes from.

    Parameters
    ----------
    outcomes : DataFrame
        Settled forecasts: `correct`, `realized_direction`, `version`, `signal` and the columns of `MODEL_COLUMNS`.

    Returns
    -------
    mapping
        `by_model`, `by_version` and `by_signal`; of each name `n` and `share`, None without a scored side.
    """
    correct, up = outcomes["correct"].astype(float), outcomes["realized_direction"].astype(float)
    by_model = {ENSEMBLE: correct}
    for name, column in MODEL_COLUMNS.items():
        side = np.sign(outcomes[column].astype(float) - (0.5 if name in CLASSIFIERS else 0.0))
        by_model[name] = (side == np.where(up == 1, 1.0, -1.0)).astype(float).where(side.abs() == 1)
    grouped = {f"by_{name}": dict(iter(correct.groupby(outcomes[name]))) for name in ("version", "signal")}
    return {
        by: {str(name): {"n": int(right.count()), "share": _known(right.mean())} for name, right in parts.items()}
        for by, parts in {"by_model": by_model, **grouped}.items()
    }


def serving(
    key: Key, trained: tuple[str, datetime] | None, forecasts: pd.DataFrame, outcomes: pd.DataFrame, as_of: datetime
) -> Serving:
    """What a key serves.

    Parameters
    ----------
    key : tuple
        Symbol and horizon.
    trained : tuple of str and datetime, or None
        Version of its champion and the as_of of its training.
    forecasts : DataFrame
        Its served forecasts with `prediction_timestamp`, `prob_up` and `signal`.
    outcomes : DataFrame
        Those of them that are settled, as `accuracy.score` takes them.
    as_of : datetime
    """
    age = pd.Timestamp(as_of) - outcomes["prediction_timestamp"]
    recent = forecasts[pd.Timestamp(as_of) - forecasts["prediction_timestamp"] < pd.Timedelta(WEEK)]
    return Serving(
        *key,
        version=trained[0] if trained else None,
        model_age_days=(as_of - trained[1]) / timedelta(days=1) if trained else None,
        n_forecasts=len(recent),
        n_abstained=int(recent["prob_up"].isna().sum()),
        n_hold=int((recent["signal"] == Signal.HOLD.value).sum()),
        accuracy=accuracy_by_window(outcomes, as_of),
        shares={name: shares(outcomes[age < pd.Timedelta(window)]) for name, window in WINDOWS.items()},
    )


def data_quality(
    symbol: str, first: datetime | None, newest: datetime | None, n_candles: int, quarantined: int, as_of: datetime
) -> DataQuality:
    """State of a symbol's candles.

    Parameters
    ----------
    symbol : str
    first, newest : datetime or None
        Open times of its oldest and newest candle.
    n_candles : int
        Candles that open in the 7 days before the end of the newest closed hour.
    quarantined : int
    as_of : datetime
    """
    if first is None or newest is None:
        return DataQuality(symbol, None, None, None, quarantined)
    end = closed_until(as_of)
    expected = (end - max(first, end - WEEK)) // HOUR
    return DataQuality(
        symbol, newest, (as_of - newest) / timedelta(minutes=1), max(0, expected - n_candles), quarantined
    )


def latest_forecast(key: Key, forecasts: pd.DataFrame, as_of: datetime) -> Forecast:
    """The newest row of a key's forecasts (`predictions` columns), or words for there being none."""
    if forecasts.empty:
        return Forecast(*key, reason="No forecast in the last 30 days.")
    row = forecasts.sort_values(["prediction_timestamp", "created_at"]).iloc[-1]
    made = row["prediction_timestamp"].to_pydatetime()
    return Forecast(
        *key,
        reason=_words(row["reason"], row["resumes_at"]),
        hour=made,
        age_minutes=(as_of - made) / timedelta(minutes=1),
        price=_known(row["current_price"]),
        prob_up=_known(row["prob_up"]),
        signal=row["signal"],
        before_costs=row["signal_before_costs"],
        break_even=_known(row["break_even_probability"]),
        version=row["version"],
        late=row["origin"] == "late",
    )


def retrain_verdicts(decisions: pd.DataFrame, keys: Sequence[Key]) -> tuple[RetrainVerdict, ...]:
    """The newest decision (`retrain_decisions` columns) of each key that has one, in the keys' order."""
    newest: dict[Key, Any] = {
        (row.symbol, int(row.horizon)): row for row in decisions.sort_values("decision_time").itertuples()
    }
    return tuple(
        RetrainVerdict(
            *key,
            decided_at=newest[key].decision_time.to_pydatetime(),
            should_retrain=bool(newest[key].should_retrain),
            policy=newest[key].policy,
            reasons=tuple(_failure(reason) for reason in newest[key].reasons),
            result=newest[key].result,
        )
        for key in keys
        if key in newest
    )


def walk_forward_scores(key: Key, version: str, metrics: pd.DataFrame) -> WalkForwardScores:
    """Scores of a bundle from its pooled `model_metrics` rows."""
    scores: dict[str, dict[str, ModelScore]] = {}
    for row in metrics.itertuples():
        scores.setdefault(row.model_name, {})[row.metric_name] = ModelScore(
            float(row.metric_value), int(row.n), _known(row.lower), _known(row.upper)
        )
    return WalkForwardScores(*key, version, scores)


def _known(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _words(reason: str | None, resumes_at: datetime | None = None) -> str:
    if reason is None:
        return ""
    said = REASONS.get(reason, reason.replace("_", " "))
    return said if pd.isna(resumes_at) else f"{said} Forecasts resume at {resumes_at:%Y-%m-%d %H:%M} UTC."


def _failure(reason: str) -> str:
    statement, separator, message = reason.partition(": ")
    return f"{FAILED[statement]}: {message}" if separator and statement in FAILED else reason
