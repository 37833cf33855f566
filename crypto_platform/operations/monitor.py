"""The platform's vital signs, written down at every measurement."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select

from crypto_platform.core.accuracy import Accuracy
from crypto_platform.core.cusum import Alarm
from crypto_platform.core.reporting import DataQuality, Health, Serving
from crypto_platform.operations import observe, registry, watch
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import ALL
from crypto_platform.tables import monitoring_metrics

Row = dict[str, Any]
E_DETECTOR: Final = "e_detector_90d"
MEASURED: Final = timedelta(days=1)
SHOWN = ("accuracy_24h", "accuracy_7d", "candle_age_minutes", "model_age_days", "gap_hours_7d")


def collect_metrics(store: Warehouse, symbols: Sequence[str], *, as_of: datetime) -> Report:
    """Measure every symbol and the platform as a whole, and write `monitoring_metrics`.

    Names of forecast metrics are those of the 1-hour horizon; other horizons carry theirs, as in
    `accuracy_7d_3h_ahead`. What cannot be known is written as NULL, never left out or guessed.

    Returns
    -------
    Report
        One result per symbol, and one for `ALL`; details are the metrics most looked at.
    """
    forecasts = observe.forecasts_with_outcomes(store, symbols, as_of)
    champions = registry.champions(store, symbols, as_of)
    health = observe.health(store, symbols, as_of=as_of, champions=champions, forecasts=forecasts)
    data = {quality.symbol: quality for quality in health.data}
    results = []
    for symbol in symbols:
        rows = list(_data_rows(data[symbol]))
        for serving in health.serving:
            if serving.symbol == symbol:
                rows += _serving_rows(serving)
        results.append(_write(store, symbol, rows, as_of))
    pooled = [_pooled_row(h, watch.pooled(store, symbols, as_of=as_of, horizon=h)) for h in health.overall]
    results.append(_write(store, ALL, [*_overall_rows(health), *pooled], as_of))
    return Report(monitoring_metrics.name, tuple(results))


def _write(store: Warehouse, symbol: str, rows: Sequence[Row], as_of: datetime) -> SymbolResult:
    frame = warehouse.records({"timestamp": as_of, "symbol": symbol, **row} for row in rows)
    with store.begin() as connection:
        written = warehouse.upsert(connection, monitoring_metrics, frame)
    details = {row["metric_name"]: row["metric_value"] for row in rows if row["metric_name"] in SHOWN}
    return SymbolResult(symbol, written, last=as_of, details=details)


def _row(kind: str, name: str, value: float | None, **metadata: Any) -> Row:
    return {
        "metric_type": kind,
        "metric_name": name,
        "metric_value": None if value is None else float(value),
        "metadata": metadata or None,
    }


def _named(name: str, horizon: int) -> str:
    return name if horizon == observe.SHORTEST else f"{name}_{horizon}h_ahead"


def _accuracy_row(window: str, horizon: int, accuracy: Accuracy, **more: Any) -> Row:
    return _row(
        "accuracy",
        _named(f"accuracy_{window}", horizon),
        accuracy.share,
        horizon=horizon,
        n=accuracy.n,
        n_separate=round(accuracy.n_separate, 3),
        lower=accuracy.lower,
        upper=accuracy.upper,
        base_rate=accuracy.base_rate,
        verdict=accuracy.verdict,
        **more,
    )


def pooled_alarms(store: Warehouse, as_of: datetime) -> dict[int, Alarm]:
    """The pooled view of accuracy as it was measured last, by horizon; absent where it was not within the last day."""
    m = monitoring_metrics.c
    rows = store.read(
        select(m.metric_value, m.metadata)
        .where(
            m.timestamp > as_of - MEASURED,
            m.timestamp <= as_of,
            m.symbol == ALL,
            m.metric_name.startswith(E_DETECTOR, autoescape=True),
        )
        .order_by(m.timestamp)
    )
    return {
        int(row.metadata["horizon"]): Alarm(row.metric_value, row.metadata["highest"], row.metadata["threshold"])
        for row in rows.itertuples()
    }


def _pooled_row(horizon: int, alarm: Alarm) -> Row:
    return _row(
        "accuracy",
        _named(E_DETECTOR, horizon),
        alarm.statistic,
        horizon=horizon,
        highest=alarm.highest,
        threshold=alarm.threshold,
        alarm=alarm.raised,
    )


def _serving_rows(serving: Serving) -> Iterator[Row]:
    h = serving.horizon
    for window, accuracy in serving.accuracy.items():
        yield _accuracy_row(window, h, accuracy, **serving.shares[window])
    yield _row("models", _named("model_age_days", h), serving.model_age_days, horizon=h, version=serving.version)
    yield _row("forecasts", _named("forecasts_7d", h), serving.n_forecasts, horizon=h)
    yield _row(
        "forecasts", _named("abstention_share_7d", h), serving.abstention_share, horizon=h, n=serving.n_forecasts
    )
    yield _row("forecasts", _named("hold_share_7d", h), serving.hold_share, horizon=h, n=serving.n_forecasts)


def _data_rows(data: DataQuality) -> Iterator[Row]:
    newest = data.newest.isoformat() if data.newest else None
    yield _row("freshness", "candle_age_minutes", data.age_minutes, newest_candle=newest)
    yield _row("data", "gap_hours_7d", data.gap_hours)
    yield _row("data", "quarantined_7d", data.quarantined)


def _overall_rows(health: Health) -> Iterator[Row]:
    for horizon, windows in health.overall.items():
        for window, accuracy in windows.items():
            yield _accuracy_row(window, horizon, accuracy)
        mine = [serving for serving in health.serving if serving.horizon == horizon]
        ages = [serving.model_age_days for serving in mine if serving.model_age_days is not None]
        made, abstained, held = (
            sum(getattr(serving, name) for serving in mine) for name in ("n_forecasts", "n_abstained", "n_hold")
        )
        yield _row("models", _named("model_age_days", horizon), max(ages, default=None), horizon=horizon, n=len(ages))
        yield _row("forecasts", _named("forecasts_7d", horizon), made, horizon=horizon)
        for name, count in (("abstention_share_7d", abstained), ("hold_share_7d", held)):
            share = count / made if made else None
            yield _row("forecasts", _named(name, horizon), share, horizon=horizon, n=made)
    stalest = [data.age_minutes for data in health.data if data.age_minutes is not None]
    gaps = [data.gap_hours for data in health.data if data.gap_hours is not None]
    yield _row("freshness", "candle_age_minutes", max(stalest, default=None), n=len(stalest))
    yield _row("data", "gap_hours_7d", sum(gaps) if gaps else None, n=len(gaps))
    yield _row("data", "quarantined_7d", sum(d.quarantined for d in health.data) + health.refused_elsewhere)
