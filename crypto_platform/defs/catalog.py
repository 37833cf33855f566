"""From a table to what Dagster shows of it: description, column schema, kinds, owners; and from a report to events."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from sqlalchemy import Table

from crypto_platform.core.provenance import Provenance
from crypto_platform.defs.resources import Platform
from crypto_platform.operations.checks import Declared
from crypto_platform.operations.provenance import provenance_of_store
from crypto_platform.operations.results import Report, SymbolResult
from crypto_platform.tables.columns import type_name

OWNERS = ["team:crypto-platform"]
COLLECTED = "every_symbol_succeeded"


def spec(table: Table, group: str, kinds: set[str], **more: Any) -> dict[str, Any]:
    """Arguments of an asset (or its spec) that is a table."""
    return {
        "description": table.comment,
        "group_name": group,
        "kinds": kinds,
        "owners": OWNERS,
        "metadata": {
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": table.name,
            "grain": table.info["grain"],
        },
        **more,
    }


def column_schema(table: Table) -> dg.TableSchema:
    """Columns of a table with type, unit and meaning."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=type_name(column),
                description=f"{column.comment or ''} [{column.info.get('unit', 'text')}]",
                constraints=dg.TableColumnConstraints(nullable=bool(column.nullable), unique=False),
            )
            for column in table.columns
        ]
    )


def succeeded(asset: str) -> Declared:
    """The check that the last run succeeded for each of its symbols."""
    return Declared(
        asset,
        COLLECTED,
        "The run succeeded for every symbol; the failing ones are named.",
        "Their rows are as they were before the run.",
        "Read the error of the symbol; the next tick goes on where this one stopped.",
        is_error=True,
    )


def success_spec(asset: str) -> dg.AssetCheckSpec:
    """Dagster's form of `succeeded`."""
    return dg.AssetCheckSpec(COLLECTED, asset=asset, description=succeeded(asset).says)


def provenance(platform: Platform) -> dict[str, Any]:
    """Metadata that says SIMULATED or RECORDED wherever a result shows; nothing for live data."""
    held = provenance_of_store(platform.store)
    return {} if held in {None, Provenance.LIVE} else {"data": str(held).upper()}


def publish(context: dg.AssetExecutionContext, platform: Platform, report: Report) -> Iterator[Any]:
    """Events of a per-symbol asset: metadata of each partition, the check, the materialization.

    A symbol's failure fails the check and shows in its partition's metadata; its neighbors are materialized.

    Raises
    ------
    dagster.Failure
        Nothing succeeded: the run, which may be of one partition, must not look as if it had.
    """
    if report.all_failed:
        raise dg.Failure(f"{report.subject}: " + "; ".join(f"{k}: {why}" for k, why in report.failed.items()))
    said = provenance(platform)
    for result in report.results:
        context.add_asset_metadata(said | partition_metadata(result), partition_key=result.symbol)
    yield check_result(context, report)
    yield dg.MaterializeResult()


def check_result(context: dg.AssetExecutionContext, report: Report) -> dg.AssetCheckResult:
    """Result of `COLLECTED`."""
    return dg.AssetCheckResult(
        check_name=COLLECTED,
        asset_key=context.asset_key,
        passed=not report.failed,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"failing": report.failed} if report.failed else {"symbols": len(report.results)},
    )


def total(platform: Platform, report: Report) -> dict[str, Any]:
    """Metadata of an asset without partitions."""
    metadata: dict[str, Any] = {**provenance(platform), "rows_written": report.rows, **report.details}
    if len(report.results) == 1:
        metadata |= partition_metadata(report.results[0])
    return metadata


def partition_metadata(result: SymbolResult) -> dict[str, Any]:
    """What one symbol's partition shows."""
    metadata: dict[str, Any] = {"rows_written": result.rows}
    for name in ("first", "last"):
        if moment := getattr(result, name):
            metadata[name] = dg.MetadataValue.timestamp(moment)
    if result.error:
        metadata["error"] = result.error
    return metadata | {key: value for key, value in result.details.items() if value is not None}
