"""Whether each symbol should be retrained: both policies' verdicts, the record of them, and of what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import Select, and_, func, select, tuple_, update

from crypto_platform.core import calibrated, retraining
from crypto_platform.core.calibrated import CalibratedRules
from crypto_platform.core.features import DEFAULT, FeatureSet
from crypto_platform.core.hours import HOUR
from crypto_platform.core.retraining import (
    CALIBRATED,
    CLASSIC,
    DRIFT_FEATURES,
    ClassicRules,
    Decision,
    Evidence,
    Finding,
    Restraint,
    Trainings,
    standardized_shift,
)
from crypto_platform.core.validation import Each
from crypto_platform.operations import drift, promotion, registry, watch
from crypto_platform.operations.registry import Served
from crypto_platform.operations.results import Report, SymbolResult, joined
from crypto_platform.storage import warehouse
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import features, retrain_decisions

ANSWERED_WITHIN: Final = timedelta(days=1)  # between a decision and the training run that answers it
RESULT_LENGTH: Final = 200
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Rules:
    """Thresholds of both policies, which of them decides, and what holds for either."""

    policy: str = CALIBRATED
    calibrated: CalibratedRules = field(default_factory=CalibratedRules)
    classic: ClassicRules = field(default_factory=ClassicRules)
    restraint: Restraint = field(default_factory=Restraint)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What each policy says of one key, and the trainings that may hold it back."""

    by_policy: Mapping[str, Decision]
    policy: str
    trainings: Trainings

    @property
    def decision(self) -> Decision:
        """That of the policy that decides."""
        return self.by_policy[self.policy]


def review_and_record(
    store: Warehouse,
    artifacts: ArtifactStore,
    symbols: Sequence[str],
    *,
    as_of: datetime,
    horizons: Sequence[int],
    rules: Rules,
    expiry: timedelta,
    feature_set: FeatureSet = DEFAULT,
    each: Each = map,
) -> Report:
    """Review what was promoted, then decide on what serves: see `promotion.review` and `record`.

    A symbol whose champion before cannot be loaded has that as its error; the decision is made all the same.
    """
    reviewed = promotion.review(
        store, artifacts, symbols, as_of=as_of, horizons=horizons, expiry=expiry, feature_set=feature_set
    )
    decided = record(store, symbols, as_of=as_of, horizons=horizons, rules=rules, feature_set=feature_set, each=each)
    return joined(decided, reviewed)


def judge(
    store: Warehouse,
    symbols: Sequence[str],
    *,
    as_of: datetime,
    horizons: Sequence[int],
    rules: Rules,
    feature_set: FeatureSet = DEFAULT,
    each: Each = map,
) -> dict[Key, Verdicts]:
    """Both verdicts on each (symbol, horizon) from what was known at `as_of`.

    No decision is written; the day's drift is measured where it was not yet, by `each`.
    """
    keys = [(symbol, horizon) for symbol in symbols for horizon in horizons]
    champions = registry.champions(store, symbols, as_of)
    versions = [served.version for served in champions.values()]
    held_to, sets = watch.expected(store, versions), watch.feature_sets(store, versions)
    trained = watch.trainings(store, keys, as_of, rules.restraint)
    lacking = [key for key in keys if key not in champions]
    gates = watch.refusals(store, lacking, as_of) if lacking else {}
    oldest = as_of - timedelta(days=rules.classic.accuracy_reference_days[1])
    begun = min((served.since for served in champions.values()), default=as_of)
    outcomes = watch.outcomes(store, symbols, max(min(oldest, begun), as_of - watch.LONGEST), as_of)
    of_key = {(str(symbol), int(h)): rows for (symbol, h), rows in outcomes.groupby(["symbol", "horizon"])}
    days = drift.of_days(store, symbols, as_of=as_of, feature_set=feature_set, each=each)
    inputs = dict(iter(_inputs(store, symbols, as_of, rules.classic, feature_set).groupby("symbol")))
    shifts = {symbol: _shifts(inputs.get(symbol), as_of, rules.classic) for symbol in symbols}
    verdicts = {}
    for key in keys:
        mine, champion = of_key.get(key, outcomes.iloc[:0]), champions.get(key)
        held_back = retraining.restraint(trained[key], as_of, rules.restraint)
        served = watch.evidence(
            key, champion, held_to, mine, days[key[0]], sets, feature_set, gates.get(key), trained[key].data_end
        )
        classic = _classic(mine, shifts[key[0]], champion, gates.get(key), as_of, rules.classic)
        by_policy = {
            CALIBRATED: calibrated.decide(served, as_of, rules.calibrated, held_back),
            CLASSIC: retraining.decide(classic, as_of, rules.classic, held_back),
        }
        verdicts[key] = Verdicts(by_policy, rules.policy, trained[key])
    return verdicts


def record(
    store: Warehouse,
    symbols: Sequence[str],
    *,
    as_of: datetime,
    horizons: Sequence[int],
    rules: Rules,
    feature_set: FeatureSet = DEFAULT,
    each: Each = map,
) -> Report:
    """Judge every symbol and write the decision, also where it is `no`."""
    verdicts = judge(store, symbols, as_of=as_of, horizons=horizons, rules=rules, feature_set=feature_set, each=each)
    results = []
    for symbol in symbols:
        mine = [verdicts[symbol, horizon] for horizon in horizons]
        rows = [
            {
                "symbol": symbol,
                "horizon": horizon,
                "decision_time": as_of,
                "should_retrain": each.decision.should_retrain,
                "policy": each.policy,
                "reasons": list(each.decision.reasons),
                "details": _details(each, rules),
            }
            for horizon, each in zip(horizons, mine, strict=True)
        ]
        with store.begin() as connection:
            written = warehouse.insert_missing(connection, retrain_decisions, warehouse.records(rows))
        decisions = [each.decision for each in mine]
        details: dict[str, Any] = {
            "should_retrain": any(decision.should_retrain for decision in decisions),
            "reasons": "; ".join(reason for decision in decisions for reason in decision.reasons),
            "held_back": "; ".join(sorted({decision.held_back for decision in decisions if decision.held_back})),
        }
        results.append(SymbolResult(symbol, written, last=as_of, details=details))
    return Report(retrain_decisions.name, tuple(results))


def _details(verdicts: Verdicts, rules: Rules) -> dict[str, Any]:
    last = verdicts.trainings.last_at
    return {
        "held_back": verdicts.decision.held_back,
        "trainings": {"last_at": last and last.isoformat(), "unpromoted": verdicts.trainings.unpromoted},
        "restraint": asdict(rules.restraint),
        "verdicts": {
            policy: {"should_retrain": each.should_retrain, "reasons": list(each.reasons), **each.details}
            for policy, each in verdicts.by_policy.items()
        },
    }


def recorded(symbols: Sequence[str], as_of: datetime) -> Select[Any]:
    """Decisions of one moment."""
    return (
        select(retrain_decisions)
        .where(retrain_decisions.c.symbol.in_(symbols), retrain_decisions.c.decision_time == as_of)
        .order_by(retrain_decisions.c.symbol, retrain_decisions.c.horizon)
    )


def decisions(
    store: Warehouse,
    symbols: Sequence[str],
    *,
    as_of: datetime,
    horizons: Sequence[int],
    rules: Rules,
    feature_set: FeatureSet = DEFAULT,
) -> dict[Key, Decision]:
    """What was decided at `as_of` on each (symbol, horizon), as it is recorded; what was not is decided now.

    So whoever acts on a decision finds the row it is to be written on.
    """
    held = _of_rows(store.read(recorded(symbols, as_of)))
    lacking = [symbol for symbol in symbols if any((symbol, horizon) not in held for horizon in horizons)]
    if lacking:
        record(store, lacking, as_of=as_of, horizons=horizons, rules=rules, feature_set=feature_set)
        held |= _of_rows(store.read(recorded(lacking, as_of)))
    return held


def _of_rows(rows: pd.DataFrame) -> dict[Key, Decision]:
    return {(row.symbol, int(row.horizon)): _of_row(row) for row in rows.itertuples()}


def _of_row(row: Any) -> Decision:
    verdict = row.details["verdicts"][row.policy]
    findings = tuple(
        Finding(
            name,
            said["holds"],
            said["message"],
            {key: value for key, value in said.items() if key not in {"holds", "message", "waits"}},
            said["waits"],
        )
        for name, said in verdict["findings"].items()
    )
    return Decision(bool(row.should_retrain), tuple(row.reasons), findings, verdict, row.details["held_back"])


def newest(store: Warehouse, symbols: Sequence[str], since: datetime) -> datetime | None:
    """The newest moment from `since` on at which any of these symbols was decided on."""
    d = retrain_decisions.c
    rows = store.read(
        select(func.max(d.decision_time).label("at")).where(d.symbol.in_(symbols), d.decision_time >= since)
    )
    return None if rows["at"].isna().all() else rows["at"][0].to_pydatetime()


def note_run(store: Warehouse, symbols: Sequence[str], run_id: str, *, as_of: datetime) -> None:
    """Write the run that trains these symbols on the newest decision of the last day that asked for it, of each key."""
    d = retrain_decisions.c
    within = and_(d.decision_time <= as_of, d.decision_time > as_of - ANSWERED_WITHIN)
    newest = (
        select(d.symbol, d.horizon, func.max(d.decision_time))
        .where(d.symbol.in_(symbols), d.should_retrain.is_(True), within)
        .group_by(d.symbol, d.horizon)
    )
    with store.begin() as connection:
        connection.execute(
            update(retrain_decisions)
            .where(tuple_(d.symbol, d.horizon, d.decision_time).in_(newest), d.run_id.is_(None))
            .values(run_id=run_id)
        )


def note_results(store: Warehouse, report: Report, run_id: str) -> None:
    """Write what came of a training run on the decisions it answers."""
    with store.begin() as connection:
        for result in report.results:
            shown = [f"{key} {value}" for key, value in result.details.items() if key.split(".")[-1] in _RESULT]
            text = result.error or ", ".join(shown)
            connection.execute(
                update(retrain_decisions)
                .where(retrain_decisions.c.symbol == result.symbol, retrain_decisions.c.run_id == run_id)
                .values(result=text[:RESULT_LENGTH])
            )


def note_end(store: Warehouse, run_id: str, result: str) -> None:
    """Write how a training run ended on the decisions it answers, where it could not write its results itself."""
    d = retrain_decisions.c
    with store.begin() as connection:
        connection.execute(
            update(retrain_decisions)
            .where(d.run_id == run_id, d.result.is_(None))
            .values(result=result[:RESULT_LENGTH])
        )


_RESULT: Final = frozenset({"status", "version", "why", "gate"})


def _inputs(
    store: Warehouse, symbols: Sequence[str], as_of: datetime, rules: ClassicRules, feature_set: FeatureSet
) -> pd.DataFrame:
    oldest = as_of - timedelta(hours=rules.window_hours, days=rules.reference_days)
    return store.read(
        select(features.c.symbol, features.c.timestamp, *(features.c[name] for name in DRIFT_FEATURES)).where(
            features.c.symbol.in_(symbols),
            features.c.feature_set_hash == feature_set.hash,
            features.c.timestamp >= oldest,
            features.c.timestamp <= as_of - HOUR,
            features.c.is_filled.is_(False),
        )
    )


def _shifts(rows: pd.DataFrame | None, as_of: datetime, rules: ClassicRules) -> dict[str, float | None]:
    if rows is None:
        return dict.fromkeys(DRIFT_FEATURES)
    recent = rows["timestamp"] >= pd.Timestamp(as_of) - pd.Timedelta(hours=rules.window_hours + 1)
    return {
        name: standardized_shift(rows.loc[recent, name].to_numpy(float), rows.loc[~recent, name].to_numpy(float))
        for name in DRIFT_FEATURES
    }


def _classic(
    outcomes: pd.DataFrame,
    shifts: dict[str, float | None],
    champion: Served | None,
    gate: str | None,
    as_of: datetime,
    rules: ClassicRules,
) -> Evidence:
    age = pd.Timestamp(as_of) - outcomes["prediction_timestamp"]
    newest, oldest = (pd.Timedelta(days=days) for days in rules.accuracy_reference_days)
    window = outcomes.loc[age <= pd.Timedelta(hours=rules.window_hours), "correct"].to_numpy(float)
    reference = outcomes.loc[(age > newest) & (age <= oldest), "correct"].to_numpy(float)
    return Evidence(
        accuracy=float(np.mean(window)) if len(window) else None,
        n_scored=len(window),
        reference_accuracy=float(np.mean(reference)) if len(reference) else None,
        n_reference=len(reference),
        drift=shifts,
        trained_at=champion.trained_at if champion else None,
        gate=gate,
    )
