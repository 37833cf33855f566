"""The code location: everything Dagster is to know, from one set of settings."""

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from crypto_platform import settings as configuration
from crypto_platform.defs import alerts, automation, checks, jobs, retrain
from crypto_platform.defs.assets import oversight, raw, science
from crypto_platform.defs.partitions import symbol_partitions
from crypto_platform.defs.resources import Platform
from crypto_platform.settings import Settings


def build_defs(settings: Settings, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The definitions of a deployment.

    Parameters
    ----------
    settings : Settings
    resource_overrides : mapping, optional
        Resources that replace ours, such as a `platform` with a simulated clock.
    """
    with warnings.catch_warnings():  # what of Dagster is beta or preview is pinned by tests: no news to an operator
        for kind in (dg.BetaWarning, dg.PreviewWarning):
            warnings.simplefilter("ignore", kind)
        return _build(settings, resource_overrides or {})


def _build(settings: Settings, resource_overrides: Mapping[str, Any]) -> dg.Definitions:
    partitions = symbol_partitions(settings)
    keys = partitions.get_partition_keys()
    policies = automation.freshness_policies()
    assets = [*raw.build(partitions), *science.build(partitions), *oversight.build(partitions)]
    return dg.Definitions(
        assets=dg.map_asset_specs(lambda spec: _fresh(spec, policies), assets),
        asset_checks=checks.build(partitions),
        jobs=jobs.build(),
        schedules=automation.schedules(settings, keys),
        sensors=[
            retrain.retrain_sensor(keys),
            alerts.alerts_sensor(keys, running=bool(settings.targets.names)),
        ],
        resources={"platform": Platform(settings), **resource_overrides},
        executor=dg.in_process_executor,
    )


def _fresh(spec: dg.AssetSpec, policies: Mapping[str, dg.FreshnessPolicy]) -> dg.AssetSpec:
    policy = policies.get(spec.key.to_user_string())
    return spec if policy is None else dg.apply_freshness_policy(spec, policy)


@dg.definitions
def defs() -> dg.Definitions:
    """Definitions from the environment, read when Dagster loads the location."""
    return build_defs(configuration.load())
