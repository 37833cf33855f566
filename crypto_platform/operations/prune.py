"""Which bundles nobody needs any more. Their rows and manifests stay: what served at any time remains answerable."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select

from crypto_platform.core.experiments import RUNNING, Variant
from crypto_platform.operations.experiments import experiments
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import ab_test_results, model_aliases, model_versions, predictions

MARGIN: Final = timedelta(days=14)  # age up to which a bundle is kept whatever refers to it


def prunable(store: Warehouse, *, as_of: datetime, retention: timedelta, margin: timedelta = MARGIN) -> list[str]:
    """Versions that may lose their files, oldest first.

    Parameters
    ----------
    store : Warehouse
    as_of : datetime
    retention : timedelta
        Age of a forecast or an experiment's result up to which the bundle that made it is kept.
    margin : timedelta

    Returns
    -------
    list of str
        None that an alias points to or pointed to before its last change, none trained within `margin`, none that a
        forecast or a result within `retention` is of, none that an experiment which is not over pins.
    """
    versions = store.read(
        select(model_versions.c.version)
        .where(model_versions.c.trained_at < as_of - margin)
        .order_by(model_versions.c.trained_at, model_versions.c.version)
    )["version"]
    kept = {*_held(store), *_referred(store, as_of - retention), *_pinned(store, as_of)}
    return [version for version in versions if version not in kept]


def prune(store: Warehouse, artifacts: ArtifactStore, *, as_of: datetime, retention: timedelta) -> list[str]:
    """Remove the files of `prunable` versions and return those that had any; running it again finds none."""
    return [version for version in prunable(store, as_of=as_of, retention=retention) if artifacts.prune(version, as_of)]


def _held(store: Warehouse) -> Iterable[str]:
    """The version each alias points to, and the one before."""
    rows = store.read(select(model_aliases).order_by(model_aliases.c.at))
    for _, changes in rows.groupby(["symbol", "horizon", "alias"]):
        distinct = changes["version_to"].dropna().drop_duplicates(keep="last")
        yield from distinct.tail(2)
        yield from changes["version_from"].tail(1).dropna()


def _pinned(store: Warehouse, as_of: datetime) -> Iterable[str]:
    """Bundles of experiments that run or are yet to start: they may be without a result for as long as they like."""
    for experiment in experiments(store):
        if experiment.status(as_of) == RUNNING:
            for arm in (experiment.variant_a, experiment.variant_b):
                if version := Variant.parse(arm).version:
                    yield version


def _referred(store: Warehouse, since: datetime) -> Iterable[str]:
    for column, at in (
        (predictions.c.version, predictions.c.prediction_timestamp),
        (ab_test_results.c.model_version, ab_test_results.c.prediction_timestamp),
    ):
        rows = store.read(select(column.label("version"), func.count()).where(at >= since).group_by(column))
        yield from rows["version"]
