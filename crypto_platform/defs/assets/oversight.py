"""What watches the forecasts: the A/B experiment, retrain decisions, monitoring and the reports."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from crypto_platform.defs import catalog
from crypto_platform.defs.assets.science import MODELS
from crypto_platform.defs.resources import Platform
from crypto_platform.operations import compare, decide, monitor, report
from crypto_platform.tables import (
    ab_test_results,
    features,
    model_metrics,
    monitoring_metrics,
    ohlcv_data,
    prediction_outcomes,
    predictions,
    retrain_decisions,
)

AB_REPORT = "ab_test_report"
MONITORING_REPORT = "monitoring_report"


def build(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets of oversight."""
    common: dict[str, Any] = {"partitions_def": partitions, "backfill_policy": dg.BackfillPolicy.single_run()}

    @dg.asset(
        **catalog.spec(ab_test_results, "experiments", {"table"}),
        **common,
        deps=[predictions.name, prediction_outcomes.name],
        check_specs=[catalog.success_spec(ab_test_results.name)],
        name=ab_test_results.name,
    )
    def arms(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> Iterator[Any]:
        done = compare.compare(
            platform.store,
            context.partition_keys,
            as_of=platform.as_of(context.run.tags),
            horizons=platform.settings.horizons,
            artifacts=platform.artifacts,
            feature_set=platform.settings.feature_set,
        )
        yield from catalog.publish(context, platform, done)

    @dg.asset(
        description="What every experiment says of its two arms, as a JSON file.",
        group_name="experiments",
        kinds={"json"},
        owners=catalog.OWNERS,
        deps=[ab_test_results.name],
        name=AB_REPORT,
    )
    def ab_report(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]
    ) -> dg.MaterializeResult[None]:
        path, summary = compare.write_report(
            platform.store, platform.settings.reports_folder, as_of=platform.as_of(context.run.tags)
        )
        return dg.MaterializeResult(
            metadata={"path": dg.MetadataValue.path(str(path.absolute())), "report": dg.MetadataValue.json(summary)}
        )

    @dg.asset(
        **catalog.spec(retrain_decisions, "monitoring", {"table"}),
        **common,
        deps=[prediction_outcomes.name, features.name, MODELS],
        check_specs=[catalog.success_spec(retrain_decisions.name)],
        name=retrain_decisions.name,
    )
    def decisions(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> Iterator[Any]:
        settings, as_of = platform.settings, platform.as_of(context.run.tags)
        decided = decide.review_and_record(
            platform.store,
            platform.artifacts,
            context.partition_keys,
            as_of=as_of,
            horizons=settings.horizons,
            rules=platform.rules,
            expiry=timedelta(days=settings.expiry_days),
            feature_set=settings.feature_set,
            each=platform.workers.for_many(len(context.partition_keys)),
        )
        yield from catalog.publish(context, platform, decided)

    @dg.asset(
        **catalog.spec(monitoring_metrics, "monitoring", {"table"}),
        deps=[ohlcv_data.name, predictions.name, prediction_outcomes.name, MODELS],
        name=monitoring_metrics.name,
    )
    def metrics(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
        done = monitor.collect_metrics(
            platform.store,
            [symbol.name for symbol in platform.settings.followed],
            as_of=platform.as_of(context.run.tags),
        )
        return dg.MaterializeResult(metadata=catalog.total(platform, done))

    @dg.asset(
        description="The Plotly report: forecasts, accuracy, decisions and data quality on one page.",
        group_name="monitoring",
        kinds={"plotly", "html"},
        owners=catalog.OWNERS,
        deps=[monitoring_metrics.name, ab_test_results.name, retrain_decisions.name, model_metrics.name],
        name=MONITORING_REPORT,
    )
    def monitoring(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]
    ) -> dg.MaterializeResult[None]:
        path, summary = report.write_report(
            platform.store,
            platform.settings.reports_folder,
            as_of=platform.as_of(context.run.tags),
            symbols=[symbol.name for symbol in platform.settings.followed],
            rules=platform.settings.signal_rules,
        )
        metadata: dict[str, Any] = {
            **catalog.provenance(platform),
            "path": dg.MetadataValue.path(str(path.absolute())),
            "summary": dg.MetadataValue.md(report.summary_markdown(summary)),
        }
        if platform.settings.reports_url:
            metadata["report"] = dg.MetadataValue.url(f"{platform.settings.reports_url.rstrip('/')}/{path.name}")
        return dg.MaterializeResult(metadata=metadata)

    return [arms, ab_report, decisions, metrics, monitoring]
