"""Names that are promised: whoever renames one breaks somebody's script, query or environment file."""

from typing import Any

import pytest
import typer

import crypto_platform
from crypto_platform import tables
from crypto_platform.cli.app import app
from crypto_platform.settings import PREFIX, Settings

COMMANDS = {
    "demo",
    "dev",
    "simulate",
    "replay",
    "collect",
    "backfill",
    "import archive",
    "import files",
    "tick",
    "train",
    "forecasts",
    "report",
    "symbols",
    "symbols list",
    "symbols add",
    "symbols remove",
    "symbols pin",
    "models list",
    "models show",
    "alerts list",
    "alerts test",
    "models check",
    "models promote",
    "models rollback",
    "models prune",
    "backtest",
    "experiments create",
    "experiments list",
    "experiments show",
    "experiments stop",
    "db upgrade",
    "doctor",
    "docs",
    "verify",
}
READABLE_BY_SCRIPTS = {
    "simulate",
    "collect",
    "backfill",
    "import archive",
    "import files",
    "tick",
    "train",
    "forecasts",
    "symbols",
    "symbols list",
    "models list",
    "models show",
    "alerts list",
    "alerts test",
    "backtest",
    "experiments create",
    "experiments list",
    "experiments show",
    "experiments stop",
    "verify",
}
SETTINGS = {
    "HOME",
    "DATABASE_URL",
    "ARTIFACTS_URL",
    "SYMBOLS",
    "SYMBOLS_FILE",
    "LISTING_DATES",
    "HISTORY_DAYS",
    "TRAIN_DAYS",
    "TRAINING",
    "BUNDLE_DAYS",
    "HORIZONS",
    "BUY_THRESHOLD",
    "SELL_THRESHOLD",
    "AGREEMENT_THRESHOLD",
    "FEE_BPS",
    "SLIPPAGE_BPS",
    "OHLCV_SOURCES",
    "COINPAPRIKA_URL",
    "CRYPTOCOMPARE_URL",
    "COINDESK_URL",
    "BINANCE_URL",
    "BINANCE_ARCHIVE_URL",
    "COINBASE_URL",
    "KRAKEN_URL",
    "FEAR_GREED_URL",
    "CRYPTOCOMPARE_API_KEY",
    "COINDESK_API_KEY",
    "COINPAPRIKA_API_KEY",
    "UI_URL",
    "ALERT_SLACK_TOKEN",
    "ALERT_SLACK_CHANNEL",
    "ALERT_SMTP_URL",
    "ALERT_EMAIL_FROM",
    "ALERT_EMAIL_TO",
    "ALERT_WEBHOOK_URL",
    "ALERT_WEBHOOK_SECRET",
    "ALERT_SIGNALS",
    "RETRAIN_POLICY",
    "SHARDS",
}
KEYS = {
    "market_data": ("symbol", "timestamp"),
    "ohlcv_data": ("symbol", "timestamp"),
    "ohlcv_revisions": ("symbol", "timestamp", "seen_at"),
    "sentiment_data": ("timestamp",),
    "quarantine": ("id",),
    "features": ("symbol", "timestamp", "feature_set_hash"),
    "model_versions": ("version",),
    "model_aliases": ("symbol", "horizon", "alias", "at"),
    "model_metrics": ("symbol", "version", "model_name", "metric_name", "fold"),
    "predictions": ("symbol", "horizon", "prediction_timestamp", "version"),
    "prediction_outcomes": ("symbol", "horizon", "prediction_timestamp", "version"),
    "ab_test_config": ("test_name",),
    "ab_test_results": ("test_name", "symbol", "horizon", "prediction_timestamp", "arm"),
    "retrain_decisions": ("symbol", "horizon", "decision_time"),
    "monitoring_metrics": ("timestamp", "metric_type", "metric_name", "symbol"),
    "alerts": ("key",),
    "alert_deliveries": ("target", "key"),
}
COLUMNS = {
    "market_data": "price_usd market_cap total_volume price_change_24h price_change_7d price_change_30d high_24h "
    "low_24h circulating_supply total_supply known_at source",
    "ohlcv_data": "open high low close volume_base volume trades source known_at",
    "sentiment_data": "fear_greed_value fear_greed_classification known_at",
    "features": "extra is_filled target_return_1 target_return_3 target_return_7 target_direction_1 target_direction_3 "
    "target_direction_7",
    "model_metrics": "metric_value training_timestamp",
    "predictions": "candle_timestamp created_at role origin current_price predicted_direction confidence prob_up "
    "prob_down predicted_return predicted_price signal signal_before_costs reason prob_up_logistic_regression "
    "prob_up_random_forest prob_up_gradient_boosting return_ridge_regression",
    "prediction_outcomes": "realized_return realized_direction correct log_loss resolved_at",
    "ab_test_results": "model_version model_name predicted_direction confidence published_arm",
    "retrain_decisions": "should_retrain reasons details",
    "monitoring_metrics": "metric_value metadata",
}


def commands() -> dict[str, Any]:
    """Every command by its whole name."""
    found = {}
    for name, command in typer.main.get_command(app).commands.items():
        group = getattr(command, "commands", None)
        found |= {f"{name} {inner}": each for inner, each in (group or {}).items()}
        if not group or command.invoke_without_command:
            found[name] = command
    return found


def test_the_commands_are_there_and_no_others() -> None:
    assert set(commands()) == COMMANDS


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_what_it_does(name: str) -> None:
    command = commands()[name]
    assert command.help
    assert all(parameter.help for parameter in command.params if parameter.param_type_name == "option")


def test_what_a_script_would_read_comes_as_json() -> None:
    assert {name for name, c in commands().items() if "--json" in {o for p in c.params for o in p.opts}} == (
        READABLE_BY_SCRIPTS
    )


def test_the_settings_are_there_and_bounded_by_a_meaning() -> None:
    assert PREFIX == "CRYPTO_PLATFORM_"
    fields = {name.upper(): field for name, field in Settings.model_fields.items()}
    assert set(fields) >= SETTINGS
    assert all(field.description for field in fields.values())


@pytest.mark.parametrize("name", KEYS)
def test_a_row_of_a_table_is_what_it_was(name: str) -> None:
    assert tuple(column.name for column in tables.metadata.tables[name].primary_key) == KEYS[name]


@pytest.mark.parametrize("name", COLUMNS)
def test_the_columns_of_a_table_keep_their_names(name: str) -> None:
    """Columns may be added."""
    assert set(COLUMNS[name].split()) <= {column.name for column in tables.metadata.tables[name].columns}


def test_the_view_of_the_latest_forecasts_has_the_columns_of_forecasts() -> None:
    assert tables.latest_predictions.name == "latest_predictions"
    assert {c.name for c in tables.latest_predictions.columns} == {c.name for c in tables.predictions.columns}


def test_the_outputs_keep_their_names() -> None:
    from crypto_platform.operations import compare, report

    assert report.REPORT_NAME == "monitoring_report.html"
    assert compare.REPORT_NAME == "ab_test_report.json"


def test_the_package_has_a_version() -> None:
    assert crypto_platform.__version__.count(".") == 2
