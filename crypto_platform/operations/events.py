"""What of the store's rows somebody should hear of: decisions, what the gate refused, rollbacks, signals, vendors."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import pandas as pd
from sqlalchemy import and_, select

from crypto_platform.core.alerts import Alert, Evaluation, Kind, one_line
from crypto_platform.core.politeness import FAILURES
from crypto_platform.core.promotion import GATE, REVIEW, Outcome, words_of
from crypto_platform.core.retraining import STOPPED
from crypto_platform.operations.aliases import CHALLENGER, CHAMPION
from crypto_platform.operations.promotion import SHADOW
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import model_aliases, model_versions, predictions, retrain_decisions, vendor_states

LOOKBACK: Final = timedelta(hours=24)  # what is older is no news; what was told within it is known by its key
SIGNAL_AGE: Final = timedelta(hours=3)  # beyond, a change of signal is of no use to anybody


def events(
    store: Warehouse, symbols: Sequence[str], *, as_of: datetime, horizons: Sequence[int], signals: bool
) -> list[Alert]:
    """Stops, refusals and rollbacks of the last day, and with `signals` the newest changes of signal."""
    found = [
        *_stops(store, symbols, as_of, horizons),
        *_refused(store, symbols, as_of, horizons),
        *_dropped(store, symbols, as_of, horizons),
        *_rollbacks(store, symbols, as_of),
    ]
    return found + list(_signals(store, symbols, as_of, horizons)) if signals else found


def dead_vendors(store: Warehouse, as_of: datetime) -> Evaluation:
    """Vendors that have failed too often in a row; one that nobody asked for a day is nobody's concern."""
    rows = store.read(
        select(vendor_states).where(
            vendor_states.c.failures >= FAILURES, vendor_states.c.last_failure_at > as_of - LOOKBACK
        )
    )
    failing = {
        str(row.vendor): f"{row.failures} calls in a row have failed, the last with: {row.last_failure}"
        for row in rows.itertuples()
    }
    return Evaluation(Kind.VENDOR, "vendor", as_of, failing, _asset("ohlcv_data"))


def _asset(name: str, symbol: str | None = None) -> str:
    """Path of an asset's page, or of its partition's."""
    return f"/assets/{name}" + (f"?view=partitions&partition={symbol}" if symbol else "")


def decided(store: Warehouse, symbols: Sequence[str], as_of: datetime, horizons: Sequence[int]) -> list[Evaluation]:
    """What the decisions of the last day say of the condition that a symbol asks for training.

    It is over once there is no reason; a decision that is only held back, as by the cooldown, says nothing of it.
    """
    rows = _recent(store, symbols, as_of, horizons)
    found = []
    for (at, horizon), mine in rows.groupby(["decision_time", "horizon"]):
        asks = mine["should_retrain"].astype(bool)
        found.append(
            Evaluation(
                Kind.DECISION,
                f"{horizon} h",
                at.to_pydatetime(),
                {row.symbol: "; ".join(row.reasons) or "no reason was recorded" for row in mine[asks].itertuples()},
                _asset(retrain_decisions.name),
                frozenset(mine["symbol"]),
                frozenset(mine.loc[~asks & mine["reasons"].astype(bool), "symbol"]),
            )
        )
    return found


def _recent(store: Warehouse, symbols: Sequence[str], as_of: datetime, horizons: Sequence[int]) -> pd.DataFrame:
    """Decisions of the last day."""
    table = retrain_decisions.c
    return store.read(
        select(
            table.symbol, table.horizon, table.decision_time, table.should_retrain, table.reasons, table.details
        ).where(
            table.symbol.in_(symbols),
            table.horizon.in_(horizons),  # the whole key: a seek for each, however long the history is
            table.decision_time > as_of - LOOKBACK,
            table.decision_time <= as_of,
        )
    )


def _stops(store: Warehouse, symbols: Sequence[str], as_of: datetime, horizons: Sequence[int]) -> Iterator[Alert]:
    """Decisions that only a stop held back, once for each last training."""
    for row in _recent(store, symbols, as_of, horizons).itertuples():
        held_back = (row.details or {}).get("held_back") or ""
        if held_back.startswith(STOPPED):
            last = row.details["trainings"]["last_at"]
            yield Alert(
                f"{Kind.STOP}/{row.symbol}/{row.horizon}/{last}",
                Kind.STOP,
                f"{row.horizon} h",
                row.symbol,
                one_line(f"{held_back} ({'; '.join(row.reasons)})"),
                _asset(retrain_decisions.name, row.symbol),
                row.decision_time.to_pydatetime(),
            )


def _refused(store: Warehouse, symbols: Sequence[str], as_of: datetime, horizons: Sequence[int]) -> Iterator[Alert]:
    """Bundles that did not pass the gate at their training."""
    table = model_versions.c
    rows = store.read(
        select(table.symbol, table.horizon, table.version, table.trained_at, table.details).where(
            table.symbol.in_(symbols),
            table.horizon.in_(horizons),
            table.trained_at > as_of - LOOKBACK,
            table.trained_at <= as_of,
        )
    )
    for row in rows.itertuples():
        gate = (row.details or {}).get(GATE)
        if gate and gate["outcome"] == Outcome.REFUSED:
            yield _refusal(row.symbol, row.horizon, row.version, words_of(gate), row.trained_at.to_pydatetime())


def _dropped(store: Warehouse, symbols: Sequence[str], as_of: datetime, horizons: Sequence[int]) -> Iterator[Alert]:
    """Challengers that did not pass it in the shadow."""
    a = model_aliases.c
    rows = store.read(
        select(a.symbol, a.horizon, a["at"], a.version_from, a.reason).where(
            a.symbol.in_(symbols),
            a.horizon.in_(horizons),
            a.alias == CHALLENGER,
            a["at"] > as_of - LOOKBACK,
            a["at"] <= as_of,
            a.actor == REVIEW,
            a.version_to.is_(None),
            ~a.reason.startswith(SHADOW),  # which are promotions
        )
    )
    for row in rows.itertuples():
        yield _refusal(row.symbol, row.horizon, row.version_from, row.reason, row.at.to_pydatetime())


def _refusal(symbol: str, horizon: int, version: str, why: str, at: datetime) -> Alert:
    return Alert(
        f"{Kind.REFUSED}/{symbol}/{horizon}/{version}/{at.isoformat()}",
        Kind.REFUSED,
        f"{horizon} h",
        symbol,
        one_line(f"{version} {why}"),
        _asset("models", symbol),
        at,
    )


def _rollbacks(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> Iterator[Alert]:
    """Champions that had been champion before, whoever brought them back."""
    now, before = model_aliases.alias("now"), model_aliases.alias("before")
    served = and_(*(before.c[name] == now.c[name] for name in ("symbol", "horizon", "alias", "version_to")))
    rows = store.read(
        select(
            now.c.symbol, now.c.horizon, now.c.at, now.c.version_from, now.c.version_to, now.c.actor, now.c.reason
        ).where(
            now.c.symbol.in_(symbols),
            now.c.alias == CHAMPION,
            now.c.at > as_of - LOOKBACK,
            now.c.at <= as_of,
            select(before.c.at).where(served, before.c.at < now.c.at).exists(),
        )
    )
    for row in rows.itertuples():
        at = row.at.to_pydatetime()
        yield Alert(
            f"{Kind.ROLLBACK}/{row.symbol}/{row.horizon}/{at.isoformat()}",
            Kind.ROLLBACK,
            f"{row.horizon} h",
            row.symbol,
            one_line(f"back from {row.version_from} to {row.version_to} by {row.actor}: {row.reason}"),
            _asset("models", row.symbol),
            at,
        )


def _signals(store: Warehouse, symbols: Sequence[str], as_of: datetime, horizons: Sequence[int]) -> Iterator[Alert]:
    table = predictions.c
    rows = store.read(
        select(table.symbol, table.horizon, table.prediction_timestamp, table.signal, table.prob_up, table.reason)
        .where(
            table.symbol.in_(symbols),
            table.horizon.in_(horizons),
            table.prediction_timestamp > as_of - LOOKBACK,
            table.prediction_timestamp <= as_of,
            table.role == CHAMPION,
            table.origin == "live",
        )
        .order_by(table.symbol, table.horizon, table.prediction_timestamp, table.created_at)
    ).drop_duplicates(["symbol", "horizon", "prediction_timestamp"], keep="last")
    for _, mine in rows.groupby(["symbol", "horizon"], sort=False):
        for before, row in pairwise(mine.itertuples()):
            at = row.prediction_timestamp.to_pydatetime()
            if row.signal != before.signal and at > as_of - SIGNAL_AGE:
                yield _signal(row, before.signal, at)


def _signal(row: Any, before: str, at: datetime) -> Alert:
    probability = "" if pd.isna(row.prob_up) else f", probability up {row.prob_up:.1%}"
    why = f" ({row.reason})" if row.reason else ""
    return Alert(
        f"{Kind.SIGNAL}/{row.symbol}/{row.horizon}/{at.isoformat()}",
        Kind.SIGNAL,
        f"{row.horizon} h",
        row.symbol,
        one_line(f"{before} to {row.signal}{probability}{why}"),
        _asset(predictions.name, row.symbol),
        at,
    )
