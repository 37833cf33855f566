"""Which bundle serves: versions, aliases with their whole history, and loading."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import pandas as pd
from sqlalchemy import Connection, Select, and_, func, select

from crypto_platform.core import features
from crypto_platform.core.serving import ServingForm
from crypto_platform.errors import ArtifactError, ConfigurationError
from crypto_platform.operations.aliases import CHAMPION, REASON_LENGTH, point
from crypto_platform.storage import bundles, warehouse
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import model_aliases, model_versions

FALL_BACK: Final = "predict"  # actor of a fall back
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Served:
    """A registered bundle and since when its alias points to it."""

    symbol: str
    horizon: int
    version: str
    bundle_sha256: str
    trained_at: datetime
    train_end: datetime
    since: datetime


@dataclass(frozen=True, slots=True)
class Tenure:
    """From `since` on an alias pointed to a bundle, or to none."""

    served: Served | None
    since: datetime


def tenures(store: Warehouse, symbols: Sequence[str]) -> dict[tuple[str, int, str], list[Tenure]]:
    """Everything the aliases (symbol, horizon, name) ever pointed to, oldest first; absent where that is nothing."""
    rows = store.read(
        _served(optional=True)
        .where(model_aliases.c.symbol.in_(symbols))
        .order_by(model_aliases.c.symbol, model_aliases.c.horizon, model_aliases.c.alias, model_aliases.c.at)
    )
    found: dict[tuple[str, int, str], list[Tenure]] = {}
    for row in rows.itertuples():
        served = None if pd.isna(row.version) else _row(row)
        found.setdefault((row.symbol, int(row.horizon), row.alias), []).append(Tenure(served, row.at.to_pydatetime()))
    return found


def at_moment(known: Sequence[Tenure], at: datetime) -> Tenure | None:
    """The tenure of a moment; None before the first."""
    number = bisect_right(known, at, key=lambda tenure: tenure.since)
    return known[number - 1] if number else None


def promotions(known: Sequence[Tenure]) -> list[Tenure]:
    """Of a champion's tenures those of bundles that had not served before: no returns."""
    first: dict[str, Tenure] = {}
    for tenure in known:
        if tenure.served is not None:
            first.setdefault(tenure.served.version, tenure)
    return list(first.values())


def history(store: Warehouse, symbols: Sequence[str]) -> list[Served]:
    """Every champion of these symbols, oldest first."""
    rows = store.read(
        _served()
        .where(model_aliases.c.symbol.in_(symbols), model_aliases.c.alias == CHAMPION)
        .order_by(model_aliases.c.at)
    )
    return [_row(row) for row in rows.itertuples()]


def champions(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> dict[Key, Served]:
    """The champion of each (symbol, horizon) at a moment; absent where there was none."""
    newest = (
        select(model_aliases.c.symbol, model_aliases.c.horizon, func.max(model_aliases.c.at).label("at"))
        .where(model_aliases.c.symbol.in_(symbols), model_aliases.c.alias == CHAMPION, model_aliases.c.at <= as_of)
        .group_by(model_aliases.c.symbol, model_aliases.c.horizon)
        .subquery()
    )
    statement = _served().join(
        newest,
        and_(
            newest.c.symbol == model_aliases.c.symbol,
            newest.c.horizon == model_aliases.c.horizon,
            newest.c.at == model_aliases.c.at,
        ),
    )
    rows = store.read(statement.where(model_aliases.c.alias == CHAMPION))
    return {(row.symbol, row.horizon): _row(row) for row in rows.itertuples()}


def registered(store: Warehouse, version: str) -> Served:
    """A registered bundle, whether an alias points to it or not; `since` is when it was trained.

    Raises
    ------
    ConfigurationError
        There is no such version.
    """
    rows = store.read(
        select(model_versions, model_versions.c.trained_at.label("at")).where(model_versions.c.version == version)
    )
    if rows.empty:
        raise ConfigurationError(f"there is no bundle {version!r}; `crypto-platform models list` shows all")
    return _row(next(rows.itertuples()))


def promote(
    store: Warehouse,
    artifacts: ArtifactStore,
    version: str,
    *,
    at: datetime,
    actor: str,
    reason: str,
    feature_set: features.FeatureSet = features.DEFAULT,
) -> tuple[str, int]:
    """Make a registered bundle the champion of its symbol and horizon, which are returned.

    Raises
    ------
    ConfigurationError
        There is no such version, or a champion was chosen later than `at`.
    ArtifactError
        The bundle is refused: it would not serve.
    """
    served = registered(store, version)
    load(artifacts, served, feature_set)
    _move(store, served.symbol, served.horizon, version, at=at, actor=actor, reason=reason)
    return served.symbol, served.horizon


def rollback(
    store: Warehouse,
    artifacts: ArtifactStore,
    symbol: str,
    horizon: int,
    *,
    at: datetime,
    actor: str,
    reason: str,
    feature_set: features.FeatureSet = features.DEFAULT,
) -> str:
    """Make the newest sound champion before the present one serve again, and return its version.

    A second rollback comes back: the one rolled back from is then the newest before.

    Raises
    ------
    ConfigurationError
        No other bundle ever served, or a champion was chosen later than `at`.
    ArtifactError
        All of them are refused.
    """
    past = [s for s in history(store, [symbol]) if s.horizon == horizon and s.since <= at]
    earlier = [s for s in past if s.version != past[-1].version]
    if not earlier:
        raise ConfigurationError(f"no other bundle ever served {symbol}, {horizon} h: there is nothing to go back to")
    choice = choose(artifacts, earlier, feature_set)
    if choice.served is None:
        raise ArtifactError("; ".join(choice.refused.values()))
    _move(store, symbol, horizon, choice.served.version, at=at, actor=actor, reason=reason)
    return choice.served.version


def _move(store: Warehouse, symbol: str, horizon: int, version: str, *, at: datetime, actor: str, reason: str) -> None:
    with store.begin() as connection:
        point(connection, symbol, horizon, version, at=at, actor=actor, reason=reason)


def load(artifacts: ArtifactStore, served: Served, feature_set: features.FeatureSet = features.DEFAULT) -> ServingForm:
    """The models of a bundle as they serve. Hashes are checked before anything else looks into a file.

    Raises
    ------
    ArtifactError
        See `ArtifactStore.open` and `bundles.load_serving`; or the bundle is of another symbol, horizon or set of
        features than it should be.
    """
    bundle = artifacts.open(served.version, served.bundle_sha256)
    said = bundle.manifest
    if (said.get("symbol"), said.get("horizon")) != (served.symbol, served.horizon):
        raise ArtifactError(
            f"bundle {served.version} is of {said.get('symbol')}, {said.get('horizon')} h, not of {served.symbol}, "
            f"{served.horizon} h; train again"
        )
    # As this code computes them, a user's own among them only where it is the one of `feature_set`.
    if said.get("feature_set_hash") != feature_set.of(said.get("features", ())).hash:
        raise ArtifactError(
            f"bundle {served.version} has feature set {said.get('feature_set')} ({said.get('feature_set_hash')}), "
            "which this version does not build; train again"
        )
    return bundles.load_serving(bundle)


@dataclass(frozen=True, slots=True)
class FallBack:
    """From `at` on `chosen` serves, because the bundle of `held` was refused."""

    held: Served
    chosen: Served
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Choice:
    """Who forecasts where a champion should.

    Attributes
    ----------
    served : Served or None
        The champion itself, or the newest one before it whose bundle is sound; None where there is none.
    form : ServingForm or None
        Its models.
    refused : mapping of str to str
        Why each version was refused that stood before it, in the order tried.
    """

    served: Served | None
    form: ServingForm | None
    refused: Mapping[str, str]


def choose(
    artifacts: ArtifactStore, past: Sequence[Served], feature_set: features.FeatureSet = features.DEFAULT
) -> Choice:
    """Load the last champion of a history, or the newest before it that is sound.

    One that an earlier champion took the place of again comes after all others: somebody found it worse.

    Parameters
    ----------
    artifacts : ArtifactStore
    past : sequence of Served
        Champions of one symbol and horizon, oldest first.
    """
    refused: dict[str, str] = {}
    returned_from = _returned_from(past)
    newest_first = reversed(past)
    for served in sorted(newest_first, key=lambda served: served.version in returned_from):
        if served.version in refused:
            continue
        try:
            return Choice(served, load(artifacts, served, feature_set), refused)
        except ArtifactError as error:
            refused[served.version] = str(error)
    return Choice(None, None, refused)


def _returned_from(past: Sequence[Served]) -> set[str]:
    """Versions whose last tenure ended with a return to one that had served before them."""
    earlier: set[str] = set()
    found: set[str] = set()
    for held, after in pairwise(past):
        (found.add if after.version in earlier else found.discard)(held.version)
        earlier.add(held.version)
    return found - {served.version for served in past[-1:]}


def fall_back(connection: Connection, move: FallBack) -> None:
    """Write down that an earlier champion serves, in the caller's transaction.

    The row's key follows from the hour, so that the same hour, forecast again, writes nothing new.
    """
    row = {
        "symbol": move.held.symbol,
        "horizon": move.held.horizon,
        "alias": CHAMPION,
        "at": max(move.at, move.held.since + timedelta(microseconds=1)),
        "version_from": move.held.version,
        "version_to": move.chosen.version,
        "actor": FALL_BACK,
        "reason": f"fall back: {move.why}"[:REASON_LENGTH],
    }
    warehouse.insert_missing(connection, model_aliases, warehouse.records([row]))


def aliases(store: Warehouse, symbols: Sequence[str]) -> pd.DataFrame:
    """Every change of an alias of these symbols, oldest first: the rows of `model_aliases`."""
    return store.read(
        select(model_aliases)
        .where(model_aliases.c.symbol.in_(symbols))
        .order_by(model_aliases.c.at, model_aliases.c.symbol, model_aliases.c.horizon, model_aliases.c.alias)
    )


def held(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> dict[tuple[str, int, str], str]:
    """Version that each alias (symbol, horizon, name) points to at a moment; absent where that is none."""
    rows = aliases(store, symbols)
    rows = rows[rows["at"] <= as_of]
    newest = {(row.symbol, int(row.horizon), row.alias): row.version_to for row in rows.itertuples()}
    return {key: version for key, version in newest.items() if isinstance(version, str)}


def _served(*, optional: bool = False) -> Select[Any]:
    return select(
        model_aliases.c.symbol,
        model_aliases.c.horizon,
        model_aliases.c.alias,
        model_aliases.c.at,
        model_versions.c.version,
        model_versions.c.bundle_sha256,
        model_versions.c.trained_at,
        model_versions.c.train_end,
    ).join(model_versions, model_versions.c.version == model_aliases.c.version_to, isouter=optional)


def _row(row: Any) -> Served:
    return Served(
        symbol=row.symbol,
        horizon=int(row.horizon),
        version=row.version,
        bundle_sha256=row.bundle_sha256,
        trained_at=row.trained_at.to_pydatetime(),
        train_end=row.train_end.to_pydatetime(),
        since=row.at.to_pydatetime(),
    )
