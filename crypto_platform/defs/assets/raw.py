"""What comes in: market snapshots, candles and sentiment, and the APIs they come from."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from crypto_platform.defs import catalog
from crypto_platform.defs.resources import Platform
from crypto_platform.operations import collect
from crypto_platform.operations import crosscheck as second_opinions
from crypto_platform.operations.candles import TICK_CHUNKS, collect_candles
from crypto_platform.symbols import select
from crypto_platform.tables import market_data, ohlcv_crosschecks, ohlcv_data, sentiment_data

GROUP = "raw"
APIS = {
    "coinpaprika_api": ("CoinPaprika tickers: price, capitalization, supply", "https://api.coinpaprika.com"),
    "exchange_api": (
        "Hourly candles of a symbol's primary source: an index (CryptoCompare, CoinDesk) or an exchange through ccxt",
        "https://docs.ccxt.com",
    ),
    "fear_greed_api": ("Fear and greed index of alternative.me", "https://alternative.me/crypto/fear-and-greed-index/"),
}


class HistoryConfig(dg.Config):
    """How far back a run collects."""

    days: int | None = Field(
        None,
        ge=1,
        description="Days before now, fetched whole however long it takes; without it, HISTORY_DAYS, "
        "in portions that leave the next tick its time.",
    )


def build(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The raw assets."""
    apis = [
        dg.AssetSpec(
            name, description=text, group_name="apis", kinds={"api"}, metadata={"url": dg.MetadataValue.url(url)}
        )
        for name, (text, url) in APIS.items()
    ]
    whole_range = dg.BackfillPolicy.single_run()

    @dg.asset(
        **catalog.spec(market_data, GROUP, {"table"}),
        deps=["coinpaprika_api"],
        partitions_def=partitions,
        backfill_policy=whole_range,
        check_specs=[catalog.success_spec(market_data.name)],
        name=market_data.name,
    )
    def market_snapshots(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> Iterator[Any]:
        report = collect.collect_market_data(
            platform.store,
            platform.snapshot_source,
            select(platform.settings.book, tuple(context.partition_keys)),
            as_of=platform.as_of(context.run.tags),
            settle=platform.settings.settle,
        )
        yield from catalog.publish(context, platform, report)

    @dg.asset(
        **catalog.spec(ohlcv_data, GROUP, {"table"}),
        deps=["exchange_api"],
        partitions_def=partitions,
        backfill_policy=whole_range,
        check_specs=[catalog.success_spec(ohlcv_data.name)],
        name=ohlcv_data.name,
    )
    def candles(
        context: dg.AssetExecutionContext, config: HistoryConfig, platform: dg.ResourceParam[Platform]
    ) -> Iterator[Any]:
        report = collect_candles(
            platform.store,
            platform.candle_sources,
            select(platform.settings.book, tuple(context.partition_keys)),
            as_of=platform.as_of(context.run.tags),
            history=timedelta(days=config.days or platform.settings.history_days),
            settle=platform.settings.settle,
            most_chunks=None if config.days else TICK_CHUNKS,
        )
        yield from catalog.publish(context, platform, report)

    @dg.asset(
        **catalog.spec(ohlcv_crosschecks, GROUP, {"table"}),
        deps=[ohlcv_data.name, "exchange_api"],
        partitions_def=partitions,
        backfill_policy=whole_range,
        check_specs=[catalog.success_spec(ohlcv_crosschecks.name)],
        name=ohlcv_crosschecks.name,
    )
    def crosschecks(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> Iterator[Any]:
        report = second_opinions.crosscheck(
            platform.store,
            platform.candle_sources,
            select(platform.settings.book, tuple(context.partition_keys)),
            as_of=platform.as_of(context.run.tags),
            settle=platform.settings.settle,
        )
        yield from catalog.publish(context, platform, report)

    @dg.asset(**catalog.spec(sentiment_data, GROUP, {"table"}), deps=["fear_greed_api"], name=sentiment_data.name)
    def sentiment(
        context: dg.AssetExecutionContext, config: HistoryConfig, platform: dg.ResourceParam[Platform]
    ) -> dg.MaterializeResult[None]:
        report = collect.collect_sentiment(
            platform.store,
            platform.sentiment_source,
            as_of=platform.as_of(context.run.tags),
            history=timedelta(days=config.days or platform.settings.history_days),
            whole=config.days is not None,
        )
        return dg.MaterializeResult(metadata=catalog.total(platform, report))

    return [*apis, market_snapshots, candles, crosschecks, sentiment]
