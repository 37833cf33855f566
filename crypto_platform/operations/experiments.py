"""Which experiments there are: made, listed and stopped; never changed."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import pandas as pd
from sqlalchemy import func, select, update

from crypto_platform.core.experiments import LONGEST, METRICS, RUNNING, Experiment, Variant
from crypto_platform.errors import ConfigurationError
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import ab_test_config, model_versions, predictions

DEFAULT_NAME: Final = "forest_against_boosting"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


def default_experiment(horizon: int, started_at: datetime) -> Experiment:
    """Random forest against gradient boosting, half and half, nothing published."""
    return Experiment(
        test_name=f"{DEFAULT_NAME}_{horizon}h",
        variant_a="random_forest",
        variant_b="gradient_boosting",
        horizon=horizon,
        split=0.5,
        salt="crypto_platform",
        alpha=0.05,
        publish=False,
        started_at=started_at,
        ends_at=started_at + LONGEST,
    )


def experiments(store: Warehouse) -> list[Experiment]:
    """All experiments, by name."""
    rows = store.read(select(ab_test_config).order_by(ab_test_config.c.test_name))
    return [
        Experiment(
            **{
                **row,
                **{name: _moment(row[name]) for name in ("started_at", "ends_at", "stopped_at")},
            }
        )
        for row in rows.to_dict("records")
    ]


def _moment(value: Any) -> datetime | None:
    return None if pd.isna(value) else value.to_pydatetime()


def named(store: Warehouse, name: str) -> Experiment:
    """One experiment.

    Raises
    ------
    ConfigurationError
        There is none of that name.
    """
    found = [experiment for experiment in experiments(store) if experiment.test_name == name]
    if not found:
        raise ConfigurationError(f"there is no experiment {name!r}; `crypto-platform experiments list` shows all")
    return found[0]


def start_defaults(store: Warehouse, horizons: Sequence[int], as_of: datetime) -> None:
    """Start the default experiment of each horizon with the horizon's first forecast."""
    firsts = store.read(
        select(predictions.c.horizon, func.min(predictions.c.prediction_timestamp).label("first"))
        .where(predictions.c.prob_up.is_not(None), predictions.c.prediction_timestamp <= as_of)
        .group_by(predictions.c.horizon)
    )
    first_of = {int(row.horizon): row.first.to_pydatetime() for row in firsts.itertuples()}
    starting = [default_experiment(h, first_of[h]) for h in horizons if h in first_of]
    with store.begin() as connection:
        warehouse.insert_missing(connection, ab_test_config, warehouse.records(map(_row, starting)))


def create(store: Warehouse, experiment: Experiment) -> Experiment:
    """Write an experiment, once and for all.

    Raises
    ------
    ConfigurationError
        Its name is taken or odd, its variants are the same or unknown or of different series, its end is no end, or it
        would change what is served.
    """
    if experiment.publish:
        raise ConfigurationError(
            f"experiment {experiment.test_name!r} would publish an arm, and what is served is always the champion's: "
            "leave `publish` false, and promote the better bundle afterwards"
        )
    if not NAME.fullmatch(experiment.test_name):
        raise ConfigurationError(
            f"name {experiment.test_name!r} is no name; use up to 80 letters, digits, dots, dashes and underscores"
        )
    if experiment.metric not in METRICS:
        raise ConfigurationError(f"metric {experiment.metric!r} is unknown; use one of {', '.join(METRICS)}")
    if experiment.variant_a == experiment.variant_b:
        raise ConfigurationError(f"both variants are {experiment.variant_a!r}; compare two different ones")
    if experiment.ends_at is not None and experiment.ends_at <= experiment.started_at:
        raise ConfigurationError(f"experiment {experiment.test_name!r} would end before it starts; give it some days")
    series = {_series(store, experiment, text) for text in (experiment.variant_a, experiment.variant_b)} - {None}
    if len(series) > 1:
        raise ConfigurationError(f"the two bundles are of different symbols: {', '.join(sorted(map(str, series)))}")
    with store.begin() as connection:
        if not warehouse.insert_missing(connection, ab_test_config, warehouse.records([_row(experiment)])):
            raise ConfigurationError(
                f"there is an experiment {experiment.test_name!r} already, and none is ever changed: take another name"
            )
    return experiment


def _series(store: Warehouse, experiment: Experiment, text: str) -> str | None:
    """Symbol that a pinned bundle forecasts; None for a recipe, which forecasts all."""
    version = Variant.parse(text).version
    if version is None:
        return None
    rows = store.read(select(model_versions).where(model_versions.c.version == version))
    if rows.empty:
        raise ConfigurationError(f"there is no bundle {version!r}; `crypto-platform models list` shows all")
    if int(rows["horizon"].iloc[0]) != experiment.horizon:
        raise ConfigurationError(
            f"bundle {version!r} forecasts {rows['horizon'].iloc[0]} h ahead, the experiment {experiment.horizon} h"
        )
    return str(rows["symbol"].iloc[0])


def stop(store: Warehouse, name: str, *, as_of: datetime) -> Experiment:
    """End an experiment before its time; hours after `as_of` do not count. One that is over stays as it is."""
    experiment = named(store, name)
    if experiment.status(as_of) != RUNNING:
        return experiment
    with store.begin() as connection:
        connection.execute(
            update(ab_test_config)
            .where(ab_test_config.c.test_name == name, ab_test_config.c.stopped_at.is_(None))
            .values(stopped_at=as_of)
        )
    return replace(experiment, stopped_at=as_of)


def _row(experiment: Experiment) -> dict[str, Any]:
    return {name: getattr(experiment, name) for name in Experiment.__dataclass_fields__}
