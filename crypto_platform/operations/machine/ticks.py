"""What each job of the timetable does at a moment, as the assets and the retrain sensor do it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import pandas as pd
from sqlalchemy import select

from crypto_platform.core.estimators import ModelParameters
from crypto_platform.core.timetable import (
    COLLECT,
    EXPERIMENT,
    HOURLY,
    RETRAIN_DECISION,
    RETRAIN_SENSOR,
    SENSOR_INTERVAL,
    TRAIN,
)
from crypto_platform.errors import PlatformError
from crypto_platform.operations import (
    build,
    collect,
    compare,
    crosscheck,
    decide,
    predict,
    prune,
    settle,
    train,
    watermarks,
)
from crypto_platform.operations.candles import TICK_CHUNKS, collect_candles
from crypto_platform.operations.decide import Rules
from crypto_platform.operations.registration import REGISTERED_BEFORE
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.operations.watermarks import Mark
from crypto_platform.operations.workers import ALONE, Workers
from crypto_platform.settings import Settings
from crypto_platform.sources.base import CandleSource, SentimentSource, SnapshotSource
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import ALL
from crypto_platform.tables import model_versions, retrain_decisions

FIRST_TRAINING: Final = "first training"
DUE: Final = "simulation:due"  # of the watermark that says whom the last daily tick trains


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a simulated deployment consists of.

    Parameters
    ----------
    store, artifacts
        Its own.
    candle_sources, snapshot_source, sentiment_source
        Of a replay server.
    set_clock : callable
        Sets the replay server's clock.
    settings, parameters, rules, workers
        As the graph would have them.
    """

    store: Warehouse
    artifacts: ArtifactStore
    candle_sources: Sequence[CandleSource]
    snapshot_source: SnapshotSource
    sentiment_source: SentimentSource
    set_clock: Callable[[datetime], None]
    settings: Settings
    parameters: ModelParameters
    rules: Rules
    workers: Workers = ALONE

    @property
    def names(self) -> list[str]:
        """Symbols that are followed."""
        return [symbol.name for symbol in self.settings.followed]

    @property
    def history(self) -> timedelta:
        """How far before a moment the series are to reach."""
        return timedelta(days=self.settings.history_days)


def begin(deployment: Deployment, at: datetime) -> None:
    """What a new deployment does first: the history is loaded, and every symbol trained.

    Raises
    ------
    PlatformError
        A symbol's history or training failed.
    """
    d = deployment
    d.set_clock(at)
    _candles(d, at, most_chunks=None)
    collect.collect_sentiment(d.store, d.sentiment_source, as_of=at, history=d.history)
    _build(d, at)
    _train(d, d.names, at, reason=FIRST_TRAINING)


def do(deployment: Deployment, job: str, at: datetime, since: datetime | None, *, everything: bool) -> None:
    """One tick.

    Parameters
    ----------
    deployment : Deployment
    job : str
        Of `core.timetable`, or `RETRAIN_SENSOR`.
    at : datetime
    since : datetime or None
        First hour that is not forecast yet, where more than the newest may be.
    everything : bool
        Collect what enters neither features nor decisions, too: snapshots and second opinions.

    Raises
    ------
    PlatformError
        A step failed that cannot fail of recorded history's own account.
    """
    deployment.set_clock(at)
    if job == COLLECT:
        _collect(deployment, at, everything=everything)
    elif job == HOURLY:
        _hour(deployment, at, since)
    elif job == TRAIN:
        _due(deployment, at)
    elif job == EXPERIMENT:
        _compare(deployment, at)
    elif job == RETRAIN_DECISION:
        _decide(deployment, at)
    elif job == RETRAIN_SENSOR:
        _answer(deployment, at)
    else:
        raise ValueError(f"the time machine has no job {job!r}")


def _collect(d: Deployment, at: datetime, *, everything: bool) -> None:
    collect.collect_sentiment(d.store, d.sentiment_source, as_of=at, history=d.history)
    if not everything:  # candles come with the hour
        return
    symbols, wait = d.settings.followed, d.settings.settle
    collect.collect_market_data(d.store, d.snapshot_source, symbols, as_of=at, settle=wait)
    _candles(d, at)
    crosscheck.crosscheck(d.store, d.candle_sources, symbols, as_of=at, settle=wait)


def _candles(d: Deployment, at: datetime, most_chunks: int | None = TICK_CHUNKS) -> None:
    report = collect_candles(
        d.store,
        d.candle_sources,
        d.settings.followed,
        as_of=at,
        history=d.history,
        settle=d.settings.settle,
        most_chunks=most_chunks,
    )
    _require(report)


def _build(d: Deployment, at: datetime) -> None:
    s = d.settings
    _require(build.build_features(d.store, d.names, as_of=at, settle=s.settle, feature_set=s.feature_set))


def _hour(d: Deployment, at: datetime, since: datetime | None) -> None:
    s = d.settings
    _candles(d, at)
    _build(d, at)
    predict.predict(  # an hour that the market was closed has no forecast, which is that symbol's error
        d.store,
        d.artifacts,
        d.names,
        as_of=at,
        created_at=None,
        horizons=s.horizons,
        rules=s.signal_rules,
        expiry=timedelta(days=s.expiry_days),
        since=since,
        settle=s.settle,
        feature_set=s.feature_set,
    )
    _require(settle.settle(d.store, d.names, as_of=at, feature_set=s.feature_set))


def _compare(d: Deployment, at: datetime) -> None:
    s = d.settings
    report = compare.compare(
        d.store, d.names, as_of=at, horizons=s.horizons, artifacts=d.artifacts, feature_set=s.feature_set
    )
    _require(report)


def _decide(d: Deployment, at: datetime) -> None:
    s = d.settings
    decide.review_and_record(  # a champion before that cannot be loaded is that symbol's error, as it would be then
        d.store,
        d.artifacts,
        d.names,
        as_of=at,
        horizons=s.horizons,
        rules=d.rules,
        expiry=timedelta(days=s.expiry_days),
        feature_set=s.feature_set,
        each=d.workers.for_many(len(d.names)),
    )


def _due(d: Deployment, at: datetime) -> None:
    """The daily tick: what is due, or everything.

    Written down before anything is trained, for a training that was killed: what it did is not due any more.
    """
    held = watermarks.read_marks(d.store, DUE, [ALL]).get(ALL)
    if held is None or held.watermark != at:
        due = train.due(d.store, d.names, d.settings.horizons, at, d.rules)
        chosen = due if d.settings.training == "when_due" else tuple(d.names)
        held = Mark(at, details={"symbols": list(chosen)})
        with d.store.begin() as connection:
            watermarks.write_mark(connection, DUE, ALL, held)
    _train(d, held.details["symbols"], at, reason="schedule")


def _answer(d: Deployment, at: datetime) -> None:
    """The sensor: symbols of which the decision just made asks for training, once in a cooldown."""
    asked = _asked(d, at - SENSOR_INTERVAL)
    by_reason: dict[str, list[str]] = {}
    for symbol, reason in asked.items():
        by_reason.setdefault(reason, []).append(symbol)
    for reason, symbols in by_reason.items():
        _train(d, symbols, at, reason=reason)


def _asked(d: Deployment, decided_at: datetime) -> dict[str, str]:
    """Reason of each symbol to train, in the order followed."""
    rows = d.store.read(decide.recorded(d.names, decided_at))
    rows = rows[rows["should_retrain"].astype(bool)]
    c, cooldown = retrain_decisions.c, timedelta(hours=d.rules.restraint.cooldown_hours)
    answered = d.store.read(
        select(c.symbol).where(
            c.symbol.in_(d.names),
            c.decision_time > decided_at - cooldown,
            c.decision_time < decided_at,
            c.run_id.is_not(None),
        )
    )
    by_symbol = dict(iter(rows[~rows["symbol"].isin(answered["symbol"])].groupby("symbol")))
    return {name: f"checks failed: {', '.join(causes(by_symbol[name]))}" for name in d.names if name in by_symbol}


def causes(decisions: pd.DataFrame) -> list[str]:
    """Names of the findings that ask for training in some decisions that do, in alphabetical order."""
    return sorted({name for row in decisions.itertuples() for name in triggers(row.details, row.policy)})


def triggers(details: Mapping[str, Any], policy: str) -> list[str]:
    """Names of the findings of a policy that ask for training, cooldown or not."""
    findings = details["verdicts"][policy]["findings"]
    return [name for name, said in findings.items() if said["holds"] is False and said["waits"] is None]


def _train(d: Deployment, symbols: Sequence[str], at: datetime, reason: str) -> None:
    s = d.settings
    if symbols:
        for symbol in symbols:
            decide.note_run(d.store, [symbol], _run(symbol, at), as_of=at)
        report = train.train(
            d.store,
            d.artifacts,
            symbols,
            as_of=at,
            horizons=s.horizons,
            train_days=s.train_days,
            parameters=d.parameters,
            workers=d.workers,
            reason=reason,
            expiry=timedelta(days=s.expiry_days),
            feature_set=s.feature_set,
        )
        _require(report)
        for result in _as_first_done(d, report, at):
            decide.note_results(d.store, Report(report.subject, (result,)), _run(result.symbol, at))
    prune.prune(d.store, d.artifacts, as_of=at, retention=timedelta(days=s.bundle_days))


def _as_first_done(d: Deployment, report: Report, at: datetime) -> list[SymbolResult]:
    """Results of a training; what a killed one of this very tick had registered was trained by it."""
    v = model_versions.c
    mine = set(d.store.read(select(v.version).where(v.trained_at == at))["version"])

    def said(details: Mapping[str, Any], key: str) -> Any:
        version = details.get(f"{key.removesuffix('status')}version")
        is_mine = key.endswith("status") and details[key] == REGISTERED_BEFORE and version in mine
        return "trained" if is_mine else details[key]

    return [replace(r, details={key: said(r.details, key) for key in r.details}) for r in report.results]


def _run(symbol: str, at: datetime) -> str:
    return f"simulated/{symbol}/{at:%Y-%m-%dT%H:%M}"


def _require(report: Report) -> None:
    if report.failed:
        said = "; ".join(f"{symbol}: {why}" for symbol, why in report.failed.items())
        raise PlatformError(f"the time machine stopped at {report.subject}: {said}")
