"""Asset checks: one evaluation a run over its symbols, and the few that are evaluated symbol by symbol."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from crypto_platform.core.calibrated import CalibratedRules
from crypto_platform.core.retraining import (
    ACCURACY_HOLDS,
    FEATURES_HAVE_NOT_DRIFTED,
    MODEL_IS_FRESH,
    STOPPED,
    Decision,
)
from crypto_platform.defs.assets.science import MODELS
from crypto_platform.defs.partitions import keys_of
from crypto_platform.defs.resources import AS_OF_TAG, Platform
from crypto_platform.operations import decide
from crypto_platform.operations.checks import CHECKS, Check, Declared, Scope
from crypto_platform.operations.checks.candles import candles_are_fresh
from crypto_platform.operations.checks.served import features_follow_candles, forecasts_are_fresh
from crypto_platform.sources.catalog import passed_over
from crypto_platform.symbols import select
from crypto_platform.tables import features, prediction_outcomes, predictions, retrain_decisions

RULES = CalibratedRules()
RETRAIN = "retrain"  # metadata of an evaluation: whether the sensor shall train
TRAINED = (
    "Nothing: the sensor trains the symbol, unless the message says what it waits for. ERROR in place of WARN: several "
    "trainings led to no promotion, and a person has to look."
)
HOUR_IS_SERVED = Declared(
    predictions.name,
    "hour_is_served",
    "The newest hour has its candle, its feature row and its forecast.",
    "The symbol is not served this hour; the message says which step is missing.",
    "Follow the first missing step: candle, features, forecast.",
)
DECISIONS = (
    Declared(
        prediction_outcomes.name,
        ACCURACY_HOLDS,
        "The champion forecasts as well as its validation lets expect: no alarm of the retrain policy.",
        "The champion forecasts worse than it should.",
        TRAINED,
    ),
    Declared(
        features.name,
        FEATURES_HAVE_NOT_DRIFTED,
        "The features' distributions are those of the weeks before: no alarm of the retrain policy.",
        "The market is unlike the one that the model learned, which need not cost accuracy.",
        TRAINED,
    ),
    Declared(
        MODELS,
        MODEL_IS_FRESH,
        f"There is a champion, and its training data are less than {RULES.max_age_days:g} days old.",
        "The model is old, or there is none.",
        TRAINED,
    ),
)


def key_of(check: Declared) -> dg.AssetCheckKey:
    """Dagster's key of a check."""
    return dg.AssetCheckKey(dg.AssetKey(check.asset), check.name)


def decision_keys() -> dict[str, dg.AssetCheckKey]:
    """Keys of the checks whose failure asks for training, by the name of their finding."""
    return {check.name: key_of(check) for check in DECISIONS}


def build(partitions: dg.PartitionsDefinition) -> list[dg.AssetChecksDefinition]:
    """All checks that are not made by the assets themselves."""
    return [*(_once(check, partitions) for check in CHECKS), _hour_is_served(partitions), _decision_checks(partitions)]


def _scope(context: dg.AssetCheckExecutionContext, platform: Platform, partitions: dg.PartitionsDefinition) -> Scope:
    names = keys_of(context.run.tags, partitions.get_partition_keys())
    symbols = select(platform.settings.book, tuple(names))
    settings, as_of = platform.settings, platform.as_of(context.run.tags)
    usable = len(settings.sources.order) - len(passed_over(settings.sources))  # building them costs seconds
    return Scope(symbols, as_of, settings.feature_set, usable)


def _spec(check: Declared, partitions: dg.PartitionsDefinition, *after: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        check.name, asset=check.asset, partitions_def=partitions, description=check.says, additional_deps=after
    )


def _once(check: Check, partitions: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    """A check evaluated once over all symbols of the run, naming the failing ones."""

    @dg.asset_check(asset=check.asset, name=check.name, description=check.says)
    def evaluate(context: dg.AssetCheckExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
        scope = _scope(context, platform, partitions)
        failing = check.statement(platform.store, scope)
        return dg.AssetCheckResult(
            passed=not failing,
            severity=dg.AssetCheckSeverity(check.severity),
            description=f"{check.means} {check.do}" if failing else None,
            metadata={"failing": dict(failing)} if failing else {"symbols": len(scope.symbols)},
        )

    return evaluate


def _output(key: dg.AssetCheckKey) -> str:
    """Name that dagster gives a check's output."""
    return f"{'__'.join(key.asset_key.path)}_{key.name}"


Targets = Mapping[str, AssetCheckEvaluationTargetMaterializationData]


def _targets(instance: dg.DagsterInstance, asset: dg.AssetKey, symbols: Sequence[str]) -> Targets:
    """Newest materialization of each partition: an evaluation that names none counts as not evaluated."""
    newest = instance.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION, set(symbols))
    if not newest:
        return {}
    wanted = dg.AssetRecordsFilter(asset_key=asset, storage_ids=list(newest.values()))
    return {
        str(record.partition_key): AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
        for record in instance.fetch_materializations(wanted, limit=len(newest)).records
    }


def _evaluation(
    key: dg.AssetCheckKey,
    symbol: str,
    problem: str | None,
    metadata: dict[str, Any],
    targets: Targets,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN,
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=problem is None,
        severity=severity,
        description=problem,
        metadata=metadata,
        partition=symbol,
        target_materialization_data=targets.get(symbol),
    )


def _hour_is_served(partitions: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    """The hourly tick's one evaluation a symbol: data, features and forecast of the newest hour are there."""

    @dg.multi_asset_check(specs=[_spec(HOUR_IS_SERVED, partitions)], name=HOUR_IS_SERVED.name)
    def evaluate(context: dg.AssetCheckExecutionContext, platform: dg.ResourceParam[Platform]) -> Iterator[Any]:
        scope = _scope(context, platform, partitions)
        problems: dict[str, list[str]] = {symbol: [] for symbol in scope.names}
        for subject, statement in (
            ("candle", candles_are_fresh),
            ("features", features_follow_candles),
            ("forecast", forecasts_are_fresh),
        ):
            for symbol, why in statement(platform.store, scope).items():
                problems[symbol].append(f"{subject}: {why}")
        key = key_of(HOUR_IS_SERVED)
        targets = _targets(context.instance, key.asset_key, scope.names)
        for symbol, found in problems.items():
            yield _evaluation(key, symbol, "; ".join(found) or None, {}, targets)
        yield dg.Output(None, output_name=_output(key))

    return evaluate


def _decision_checks(partitions: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    """The three findings of the retrain decision, symbol by symbol; `retrain_sensor` trains where one fails."""
    keys = decision_keys()

    # After the decision: a run that an evaluation launches finds the row it is to be written on.
    specs = [_spec(check, partitions, retrain_decisions.name) for check in DECISIONS]

    @dg.multi_asset_check(specs=specs, name="decision_checks", can_subset=True)
    def evaluate(context: dg.AssetCheckExecutionContext, platform: dg.ResourceParam[Platform]) -> Iterator[Any]:
        symbols = keys_of(context.run.tags, partitions.get_partition_keys())
        decided = decide.decisions(
            platform.store,
            symbols,
            as_of=_decided_at(context, platform, symbols),
            horizons=platform.settings.horizons,
            rules=platform.rules,
            feature_set=platform.settings.feature_set,
        )
        chosen = [name for name in keys if keys[name] in context.selected_asset_check_keys]
        targets = {name: _targets(context.instance, keys[name].asset_key, symbols) for name in chosen}
        for symbol in symbols:
            decisions = {h: decided[symbol, h] for h in platform.settings.horizons}
            for name in chosen:
                yield _finding(keys[name], symbol, decisions, targets[name])
        for name in chosen:
            yield dg.Output(None, output_name=_output(keys[name]))

    return evaluate


def _decided_at(context: dg.AssetCheckExecutionContext, platform: Platform, symbols: Sequence[str]) -> datetime:
    """The moment of the decision that is checked: without a tag that of the run's own, where it made one."""
    said = platform.as_of(context.run.tags)
    run = context.instance.get_run_record_by_id(context.run.run_id)
    if AS_OF_TAG in context.run.tags or run is None:
        return said
    return decide.newest(platform.store, symbols, since=run.create_timestamp) or said


def _finding(
    key: dg.AssetCheckKey, symbol: str, decisions: Mapping[int, Decision], targets: Targets
) -> dg.AssetCheckEvaluation:
    """One finding over all horizons; it says itself whether the sensor shall train."""
    found = [(h, d, next(f for f in d.findings if f.name == key.name)) for h, d in decisions.items()]
    failing = [(h, d, f) for h, d, f in found if f.holds is False]
    said = [
        f"{h} h: {f.message}" + "".join(f" ({why})" for why in (f.waits, d.held_back) if why and f.holds is False)
        for h, d, f in (failing or found)
    ]
    metadata: dict[str, Any] = {
        "message": dg.MetadataValue.text("; ".join(said)),
        RETRAIN: dg.MetadataValue.bool(any(f.triggers and d.should_retrain for _, d, f in failing)),
    }
    for h, _, f in found:
        prefix = f"{h}h_" if len(found) > 1 else ""
        metadata |= {
            f"{prefix}{name}": dg.MetadataValue.float(float(v)) for name, v in f.numbers.items() if v is not None
        }
    grave = any((d.held_back or "").startswith(STOPPED) for _, d, _ in failing)
    severity = dg.AssetCheckSeverity.ERROR if grave else dg.AssetCheckSeverity.WARN
    return _evaluation(key, symbol, "; ".join(said) if failing else None, metadata, targets, severity)
