"""From candles to settled forecasts: features, models, predictions and their outcomes."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from crypto_platform.core.cards import render
from crypto_platform.defs import catalog
from crypto_platform.defs.resources import Platform
from crypto_platform.errors import ArtifactError
from crypto_platform.operations import build as build_operation
from crypto_platform.operations import cards, decide, predict, prune, settle, train, training_report
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.tables import (
    features,
    model_metrics,
    model_versions,
    ohlcv_data,
    prediction_outcomes,
    predictions,
    sentiment_data,
)

MODELS = "models"


class TrainingConfig(dg.Config):
    """What a training run trains."""

    only_due: bool = False
    reason: str = "requested"


class ForecastConfig(dg.Config):
    """Which hours a forecasting run covers."""

    since: str | None = None  # ISO time; under a simulated clock: every hour from here on


def build(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets of the science."""
    common: dict[str, Any] = {"partitions_def": partitions, "backfill_policy": dg.BackfillPolicy.single_run()}

    @dg.asset(
        **catalog.spec(features, "features", {"table", "python"}),
        **common,
        deps=[ohlcv_data.name, sentiment_data.name],
        check_specs=[catalog.success_spec(features.name)],
        name=features.name,
    )
    def feature_rows(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> Iterator[Any]:
        report = build_operation.build_features(
            platform.store,
            context.partition_keys,
            as_of=platform.as_of(context.run.tags),
            settle=platform.settings.settle,
            feature_set=platform.settings.feature_set,
        )
        yield from catalog.publish(context, platform, report)

    @dg.multi_asset(
        specs=[
            dg.AssetSpec(
                MODELS, deps=[features.name], **catalog.spec(model_versions, "models", {"scikitlearn", "table"})
            ),
            dg.AssetSpec(model_metrics.name, deps=[MODELS], **catalog.spec(model_metrics, "models", {"table"})),
        ],
        **common,
        check_specs=[catalog.success_spec(MODELS)],
        name=MODELS,
    )
    def trained_models(
        context: dg.AssetExecutionContext, config: TrainingConfig, platform: dg.ResourceParam[Platform]
    ) -> Iterator[Any]:
        settings, as_of = platform.settings, platform.as_of(context.run.tags)
        symbols = context.partition_keys
        due = train.due(platform.store, symbols, settings.horizons, as_of, platform.rules)
        chosen = due if config.only_due else tuple(symbols)
        decide.note_run(platform.store, chosen, context.run.run_id, as_of=as_of)
        report = train.train(
            platform.store,
            platform.artifacts,
            chosen,
            as_of=as_of,
            horizons=settings.horizons,
            train_days=settings.train_days,
            parameters=platform.parameters,
            workers=platform.workers,
            reason=config.reason,
            expiry=timedelta(days=settings.expiry_days),
            clock=None if platform.clock.simulated else platform.clock.now,
            feature_set=settings.feature_set,
        )
        decide.note_results(platform.store, report, context.run.run_id)
        _prune(context, platform, as_of)
        yield from _publish_training(context, platform, report, symbols)

    @dg.asset(
        **catalog.spec(predictions, "predictions", {"table", "python"}),
        **common,
        deps=[features.name, MODELS],
        check_specs=[catalog.success_spec(predictions.name)],
        name=predictions.name,
    )
    def forecasts(
        context: dg.AssetExecutionContext, config: ForecastConfig, platform: dg.ResourceParam[Platform]
    ) -> Iterator[Any]:
        settings = platform.settings
        report = predict.predict(
            platform.store,
            platform.artifacts,
            context.partition_keys,
            as_of=platform.as_of(context.run.tags),
            created_at=None if platform.clock.simulated else platform.clock.now(),
            horizons=settings.horizons,
            rules=settings.signal_rules,
            expiry=timedelta(days=settings.expiry_days),
            since=datetime.fromisoformat(config.since) if config.since else None,
            settle=settings.settle,
            feature_set=settings.feature_set,
        )
        yield from catalog.publish(context, platform, report)

    @dg.asset(
        **catalog.spec(prediction_outcomes, "predictions", {"table"}),
        **common,
        deps=[predictions.name, features.name],
        check_specs=[catalog.success_spec(prediction_outcomes.name)],
        name=prediction_outcomes.name,
    )
    def outcomes(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> Iterator[Any]:
        report = settle.settle(
            platform.store,
            context.partition_keys,
            as_of=platform.as_of(context.run.tags),
            feature_set=platform.settings.feature_set,
        )
        yield from catalog.publish(context, platform, report)

    return [feature_rows, trained_models, forecasts, outcomes]


def _prune(context: dg.AssetExecutionContext, platform: Platform, as_of: datetime) -> None:
    """Training makes bundles, so here old ones go; that they cannot is no reason to fail a training."""
    retention = timedelta(days=platform.settings.bundle_days)
    try:
        gone = prune.prune(platform.store, platform.artifacts, as_of=as_of, retention=retention)
    except ArtifactError as error:
        context.log.warning(str(error))
    else:
        context.log.info("%d bundles pruned", len(gone))


def _cards(platform: Platform, result: SymbolResult) -> dict[str, Any]:
    """The model card of each bundle a training made, as Markdown beside its version."""
    return {
        f"{key.removesuffix('version')}model_card": dg.MetadataValue.md(
            render(cards.card_of(platform.store, platform.artifacts, version))
        )
        for key, version in result.details.items()
        if key.endswith("version")
    }


def _publish_training(
    context: dg.AssetExecutionContext, platform: Platform, report: Report, symbols: list[str]
) -> Iterator[Any]:
    """Both tables of a training; a symbol that was not due says so."""
    done = {result.symbol: result for result in report.results}
    if report.all_failed:
        raise dg.Failure("; ".join(f"{symbol}: {why}" for symbol, why in report.failed.items()))
    said = catalog.provenance(platform)
    statement, reports = training_report.report(platform.store, symbols, platform.as_of(context.run.tags))
    said |= {"skill": statement}
    for symbol in symbols:
        shown: dict[str, Any] = {"report": dg.MetadataValue.md(reports[symbol])} if symbol in reports else {}
        result = done.get(symbol, SymbolResult(symbol, details={"status": "not due"}))
        shown |= said | catalog.partition_metadata(result)
        for asset, more in ((MODELS, _cards(platform, result)), (model_metrics.name, {})):
            context.add_asset_metadata(shown | more, asset_key=asset, partition_key=symbol)
    yield dg.AssetCheckResult(
        check_name=catalog.COLLECTED,
        asset_key=MODELS,
        passed=not report.failed,
        metadata={"failing": report.failed} if report.failed else {"symbols": len(symbols)},
    )
    for asset in (MODELS, model_metrics.name):
        yield dg.MaterializeResult(asset_key=asset)
