"""What becomes of bundles after their training: a challenger is promoted or dropped, a bad promotion taken back.

Everything follows from what the store held at `as_of`. Evidence is counted from the moment of the alias it is on, and
only so many hours of it, so that a review that comes late says what one in time would have said.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Select, and_, select, update

from crypto_platform.core import promotion
from crypto_platform.core.features import DEFAULT, FeatureSet
from crypto_platform.core.hours import HOUR
from crypto_platform.core.panel import hours_since_1970
from crypto_platform.core.promotion import REVIEW, Gate, GateRules, Outcome, Regret, Trial
from crypto_platform.errors import ArtifactError
from crypto_platform.operations import aliases, registry, trials
from crypto_platform.operations.aliases import CHALLENGER, CHAMPION, PREVIOUS
from crypto_platform.operations.registry import Served, Tenure
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import model_aliases, model_versions, prediction_outcomes, predictions

SHADOW: Final = "shadow"  # begins the reason of a promotion
_KEY: Final = ("symbol", "horizon", "prediction_timestamp", "version")


def review(
    store: Warehouse,
    artifacts: ArtifactStore,
    symbols: Sequence[str],
    *,
    as_of: datetime,
    horizons: Sequence[int],
    expiry: timedelta,
    feature_set: FeatureSet = DEFAULT,
    rules: GateRules = promotion.RULES,
) -> Report:
    """Take back promotions that the forecasts since speak against, and judge challengers that were tried enough.

    Parameters
    ----------
    store : Warehouse
    artifacts : ArtifactStore
    symbols : sequence of str
    as_of : datetime
    horizons : sequence of int
    expiry : timedelta
        Age of a champion's training data beyond which it is not acted on; a challenger that old is dropped.
    feature_set : FeatureSet
        What the stored features are.
    rules : GateRules

    Returns
    -------
    Report
        What was changed of each symbol, as `rollback` and `challenger` in its details. Where the champion before cannot
        be loaded, the promotion stays and that is the symbol's error.
    """
    held = registry.tenures(store, symbols)
    results = []
    for symbol in symbols:
        details: dict[str, Any] = {}
        changed, errors = 0, []
        for horizon in horizons:
            known = {
                name: [t for t in held.get((symbol, horizon, name), ()) if t.since <= as_of]
                for name in (CHAMPION, CHALLENGER, PREVIOUS)
            }
            prefix = f"{horizon}h_" if len(horizons) > 1 else ""
            try:
                back = _take_back(store, artifacts, known, as_of, feature_set, rules)
            except ArtifactError as error:
                errors.append(f"the champion before cannot serve again: {error}")
                back = None
            tried = None if back else _judge(store, artifacts, known, as_of, expiry, feature_set, rules)
            details |= {f"{prefix}{name}": said for name, said in (("rollback", back), (CHALLENGER, tried)) if said}
            changed += sum(said is not None for said in (back, tried))
        results.append(SymbolResult(symbol, changed, details=details, error="; ".join(errors) or None))
    return Report(model_aliases.name, tuple(results))


def _take_back(
    store: Warehouse,
    artifacts: ArtifactStore,
    known: dict[str, list[Tenure]],
    as_of: datetime,
    feature_set: FeatureSet,
    rules: GateRules,
) -> str | None:
    """Return to the previous champion where it forecasts better; what was done, or None.

    A champion that had served before was returned to, by whomever: nothing takes it back but a person.
    """
    champion, previous = (known[name][-1] if known[name] else None for name in (CHAMPION, PREVIOUS))
    if champion is None or champion.served is None or previous is None or previous.served is None:
        return None
    if champion not in registry.promotions(known[CHAMPION]) or previous.since != champion.since:
        return None
    found = _regret(store, champion.served, previous.served, as_of, rules)
    if not found.is_proven(rules):
        return None
    registry.load(artifacts, previous.served, feature_set)
    new, old = champion.served, previous.served
    with store.begin() as connection:
        if aliases.holder(connection, new.symbol, new.horizon, CHAMPION) != new.version:
            return None
        aliases.point(
            connection, new.symbol, new.horizon, old.version, at=as_of, actor=REVIEW, reason=f"rollback: {found.words}"
        )
    return f"back from {new.version} to {old.version}: {found.words}"


def _regret(store: Warehouse, champion: Served, before: Served, as_of: datetime, rules: GateRules) -> Regret:
    until = champion.since + rules.shadow_hours * HOUR
    rows = _pairs(store, champion, before, champion.since, as_of)
    rows = rows[rows["prediction_timestamp"] < pd.Timestamp(until)]
    hours = hours_since_1970(rows["prediction_timestamp"])
    truth = rows["realized_direction"].to_numpy(np.int64)
    ours, theirs = (rows[name].to_numpy(float) for name in ("prob_up", "beside"))
    return promotion.regret(hours, truth, ours, theirs, champion.horizon)


def _judge(
    store: Warehouse,
    artifacts: ArtifactStore,
    known: dict[str, list[Tenure]],
    as_of: datetime,
    expiry: timedelta,
    feature_set: FeatureSet,
    rules: GateRules,
) -> str | None:
    """Promote or drop a challenger that was tried enough or is too old; what was done, or None."""
    waiting = known[CHALLENGER][-1] if known[CHALLENGER] else None
    if waiting is None or waiting.served is None:
        return None
    challenger = waiting.served
    champion = known[CHAMPION][-1].served if known[CHAMPION] else None
    gate = _gate(store, artifacts, challenger, champion, as_of, expiry, feature_set, rules)
    too_old = trials.has_expired(challenger, as_of, expiry)
    if gate.outcome is Outcome.CHALLENGER and not too_old:
        return None
    key = (challenger.symbol, challenger.horizon)
    promoted = gate.outcome is Outcome.PROMOTED and not too_old
    days = expiry / timedelta(days=1)
    said = f"dropped: its training data are older than {days:g} days" if too_old else gate.words
    with store.begin() as connection:
        if aliases.holder(connection, *key, CHALLENGER) != challenger.version:
            return None
        if promoted:
            aliases.point(
                connection, *key, challenger.version, at=as_of, actor=REVIEW, reason=f"{SHADOW}: {gate.words}"
            )
        else:
            aliases.challenge(connection, *key, None, at=as_of, actor=REVIEW, reason=said)
        _note(connection, challenger.version, gate, as_of, rules)
    return f"{challenger.version} {said}"


def _gate(
    store: Warehouse,
    artifacts: ArtifactStore,
    challenger: Served,
    champion: Served | None,
    as_of: datetime,
    expiry: timedelta,
    feature_set: FeatureSet,
    rules: GateRules,
) -> Gate:
    """The gate over the first hours of the shadow; without a champion they count alone."""
    faults = []
    try:
        registry.load(artifacts, challenger, feature_set)
    except ArtifactError as error:
        faults.append(str(error))
    rows = _pairs(store, challenger, champion, challenger.since, as_of).iloc[: rules.min_pairs]
    rate = _base_rate(store, challenger.version)
    trial = Trial(
        hours_since_1970(rows["candle_timestamp"]),
        rows["realized_direction"].to_numpy(np.int64),
        rows["prob_up"].to_numpy(float),
        np.full(len(rows), rate),
        challenger.horizon,
    )
    beside = None if champion is None else rows["beside"].to_numpy(float)
    expired = champion is not None and trials.has_expired(champion, as_of, expiry)
    return promotion.judge(trial, beside, expired=expired, faults=faults, rules=rules)


def _pairs(store: Warehouse, one: Served, other: Served | None, since: datetime, as_of: datetime) -> pd.DataFrame:
    """Live forecasts of a version from a moment on that had an outcome by `as_of`, and another's of the same hours.

    Where there is another, hours that it did not forecast are left out.
    """
    p, o, q = predictions.c, prediction_outcomes.c, predictions.alias("other").c
    statement: Select[Any] = select(p.candle_timestamp, p.prediction_timestamp, p.prob_up, o.realized_direction)
    joined = predictions.join(prediction_outcomes, and_(*(p[name] == o[name] for name in _KEY)))
    if other is not None:
        same_hour = and_(*(p[name] == q[name] for name in _KEY[:-1]), q.version == other.version, q.origin == "live")
        joined = joined.join(q.version.table, same_hour)
        statement = statement.add_columns(q.prob_up.label("beside")).where(q.prob_up.is_not(None))
    return store.read(
        statement.select_from(joined)
        .where(
            p.symbol == one.symbol,
            p.horizon == one.horizon,
            p.version == one.version,
            p.origin == "live",
            p.prediction_timestamp >= since,
            p.prob_up.is_not(None),
            o.resolved_at <= as_of,
            o.realized_direction.is_not(None),
        )
        .order_by(p.prediction_timestamp)
    )


def _base_rate(store: Warehouse, version: str) -> float:
    rows = store.read(select(model_versions.c.details).where(model_versions.c.version == version))
    return float((rows["details"].iloc[0] or {}).get("base_rate", 0.5))


def _note(connection: Connection, version: str, gate: Gate, as_of: datetime, rules: GateRules) -> None:
    """What the shadow showed, beside what the training's own trial did."""
    of_version = model_versions.c.version == version
    details = connection.execute(select(model_versions.c.details).where(of_version)).scalar_one() or {}
    said = {**gate.record(rules), "at": as_of.isoformat()}
    connection.execute(update(model_versions).where(of_version).values(details={**details, REVIEW: said}))
