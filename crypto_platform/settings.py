"""Settings: frozen, bounded, validated at once, and the only reader of the environment.

Every field is the variable `CRYPTO_PLATFORM_<FIELD>`; its description is what `.env.example` and `docs/settings.md`
print. Thresholds default to the numbers that `core` states.
"""

import difflib
import importlib
import inspect
import os
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

import crypto_platform.sources.catalog as vendors
from crypto_platform.core.calibrated import CalibratedRules
from crypto_platform.core.features import CANDLES, DEFAULT_PARTS, FeatureSet, OwnFeatures, feature_set
from crypto_platform.core.hours import SETTLE
from crypto_platform.core.laws import require_lawful
from crypto_platform.core.retraining import Restraint
from crypto_platform.core.signals import SignalRules
from crypto_platform.errors import ConfigurationError
from crypto_platform.symbols import Symbol, SymbolBook, defaults, load_symbols, select
from crypto_platform.tables.features import HORIZONS, PARTS
from crypto_platform.targets.config import SLACK_URL, TargetConfig

PREFIX: Final = "CRYPTO_PLATFORM_"
OUTSIDE: Final = frozenset({f"{PREFIX}TEST_DATA"})  # read by the tests alone
_RULES, _CALIBRATED, _RESTRAINT = SignalRules(), CalibratedRules(), Restraint()

Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """What an operator may choose. Build with `load`, which turns every mistake into one sentence."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, frozen=True, extra="ignore", validate_default=True
    )

    home: Path = Field(Path(".crypto_platform"), description="Folder of the store, the artifacts and the reports")
    database_url: SecretStr | None = Field(
        None, description="Store, such as postgresql://user:password@host/db; SQLite under HOME without it"
    )
    artifacts_url: str | None = Field(None, description="Folder of model bundles; `artifacts` under HOME without it")
    symbols: Names = Field(
        (), description="Symbols to follow, separated by commas; without it what `crypto-platform symbols` says"
    )
    symbols_file: Path | None = Field(None, description="TOML file of symbols; the shipped one without it")
    listing_dates: Literal["real", "ignored"] = Field(
        "real", description="Whether the symbols' listing dates hold; not where prices are simulated or moved in time"
    )

    history_days: int = Field(120, ge=1, le=10_000, description="Days that a new deployment collects before now")
    feature_sets: Names = Field(
        DEFAULT_PARTS,
        description="Parts of the features, separated by commas: candles (always), sentiment, snapshots, btc",
    )
    own_features: str | None = Field(
        None, description="A function of your own that gives features, as package.module:function; see docs/features.md"
    )
    train_days: int = Field(90, ge=15, le=3_650, description="Days of model rows a training may use")
    training: Literal["when_due", "daily"] = Field(
        "when_due", description="What the daily training tick trains: what is due, or everything"
    )
    horizons: Annotated[tuple[int, ...], NoDecode] = Field((1,), description="Hours ahead to forecast, of 1, 3 and 7")
    expiry_days: float = Field(
        14.0, gt=0, le=365, description="Age from which a model still scores but signals HOLD only"
    )
    bundle_days: float = Field(
        90.0, ge=14, le=3_650, description="Age of a forecast up to which the bundle that made it keeps its files"
    )
    settle_minutes: float = Field(
        SETTLE / timedelta(minutes=1), ge=0, le=30, description="Wait after an hour's end before its candle is closed"
    )
    seed: int = Field(20_260_101, ge=0, description="Seed of everything random in training")

    buy_threshold: float = Field(_RULES.buy, gt=0.5, lt=1, description="Up-probability from which it is BUY")
    sell_threshold: float = Field(_RULES.sell, gt=0, lt=0.5, description="Up-probability down to which it is SELL")
    agreement_threshold: float = Field(
        _RULES.agreement, ge=0.5, le=1, description="Share of models on the ensemble's side that a signal needs"
    )
    fee_bps: float = Field(_RULES.fee_bps, ge=0, le=1000, description="Fee of one side of a trade, basis points")
    slippage_bps: float = Field(
        _RULES.slippage_bps, ge=0, le=1000, description="Slippage of one side of a trade, basis points"
    )

    ohlcv_sources: Names = Field(
        vendors.DEFAULT_ORDER, description="Candle sources in order of preference; one without its key is passed over"
    )
    coinpaprika_url: str = Field(vendors.COINPAPRIKA_URL, description="Base URL of CoinPaprika")
    cryptocompare_url: str = Field(vendors.CRYPTOCOMPARE_URL, description="Base URL of CryptoCompare's legacy API")
    coindesk_url: str = Field(vendors.COINDESK_URL, description="Base URL of the CoinDesk Data API")
    binance_url: str = Field(vendors.BINANCE_URL, description="Base URL of Binance spot")
    binance_archive_url: str = Field(vendors.ARCHIVE_URL, description="Base URL of Binance's archive of past candles")
    coinbase_url: str | None = Field(None, description="Base URL of Coinbase Exchange; ccxt's own without it")
    kraken_url: str | None = Field(None, description="Base URL of Kraken; ccxt's own without it")
    fear_greed_url: str = Field(vendors.FEAR_GREED_URL, description="Base URL of the fear and greed index")
    cryptocompare_api_key: SecretStr | None = Field(None, description="CryptoCompare key")
    coindesk_api_key: SecretStr | None = Field(None, description="CoinDesk key")
    coinpaprika_api_key: SecretStr | None = Field(None, description="CoinPaprika key; the free plan needs none")
    http_timeout_seconds: float = Field(
        10.0, gt=0, le=300, description="Longest silence of a provider; a whole answer may take three times as long"
    )

    reports_url: str | None = Field(None, description="Address under which the reports are served, for links in the UI")
    ui_url: str = Field("http://127.0.0.1:3000", description="Address of Dagster's web interface, for links in alerts")
    alert_slack_token: SecretStr | None = Field(
        None, description="Bot token of Slack (scope chat:write), with ALERT_SLACK_CHANNEL; alerts go there"
    )
    alert_slack_channel: str | None = Field(None, description="Channel of Slack, such as #alerts; the bot is in it")
    alert_slack_url: str = Field(SLACK_URL, description="Base URL of Slack's API")
    alert_smtp_url: SecretStr | None = Field(
        None,
        description="Mail server, with ALERT_EMAIL_FROM and _TO: smtp://user:password@host:587 (STARTTLS) or smtps://",
    )
    alert_email_from: str | None = Field(None, description="Sender of alerts by mail")
    alert_email_to: Names = Field((), description="Receivers of alerts by mail, separated by commas")
    alert_webhook_url: SecretStr | None = Field(
        None, description="Where alerts are posted as JSON, with ALERT_WEBHOOK_SECRET"
    )
    alert_webhook_secret: SecretStr | None = Field(
        None, description="Base64 key of the webhook's signature; `openssl rand -base64 32` makes one"
    )
    alert_signals: bool = Field(default=False, description="Whether changes of signal are alerts, too")
    retrain_policy: Literal["calibrated", "classic"] = Field(
        "calibrated", description="Rule set of the retrain decision; the other one's verdict is recorded beside it"
    )
    cusum_threshold: float = Field(
        _CALIBRATED.cusum_threshold, gt=0, le=50, description="CUSUM at which the accuracy of one series alarms"
    )
    drift_limit: float = Field(
        _CALIBRATED.max_drift, gt=0, le=1, description="Share of drifted channels, on two days in a row, that alarms"
    )
    retrain_after_days: float = Field(
        _CALIBRATED.max_age_days, gt=0, le=365, description="Age of the training data from which a symbol is retrained"
    )
    cooldown_hours: float = Field(
        _RESTRAINT.cooldown_hours, ge=0, le=720, description="Hours after a training in which no decision asks for one"
    )
    shards: int = Field(1, ge=1, le=1_000, description="Runs a schedule tick is split over")
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=256,
        description="Processes that share trainings and drift",
    )

    @field_validator("symbols", "ohlcv_sources", "feature_sets", "alert_email_to", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("symbols", mode="after")
    @classmethod
    def _upper(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.upper() for name in value)

    @field_validator("feature_sets", mode="after")
    @classmethod
    def _known_parts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if CANDLES not in value or set(value) - set(PARTS):
            raise ValueError(f"the parts are {', '.join(PARTS)}; {CANDLES} is always one of them")
        return tuple(part for part in PARTS if part in value)

    @field_validator("horizons", mode="before")
    @classmethod
    def _split_horizons(cls, value: Any) -> Any:
        return tuple(int(part) for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("horizons", mode="after")
    @classmethod
    def _known_horizons(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or set(value) - set(HORIZONS):
            raise ValueError(f"horizons are {', '.join(map(str, HORIZONS))}")
        return tuple(sorted(set(value)))

    @cached_property
    def book(self) -> SymbolBook:
        """All known symbols."""
        if self.symbols_file and self.symbols_file.absolute() == self.choices_file.absolute():
            raise ConfigurationError(
                f"{PREFIX}SYMBOLS_FILE={str(self.symbols_file)!r} is where `crypto-platform symbols` writes: move it"
            )
        book = load_symbols(self.symbols_file, self.choices_file)
        if self.listing_dates == "ignored":
            return {name: replace(symbol, listings=()) for name, symbol in book.items()}
        return book

    @cached_property
    def followed(self) -> tuple[Symbol, ...]:
        """Symbols this deployment follows, in the order of the book.

        Raises
        ------
        ConfigurationError
            There are none.
        """
        followed = select(self.book, self.symbols) if self.symbols else defaults(self.book)
        if not followed:
            raise ConfigurationError(
                f"no symbol is followed: name some in {PREFIX}SYMBOLS, or by `follow = true` in {self.choices_file}"
            )
        return followed

    @cached_property
    def feature_set(self) -> FeatureSet:
        """Features that are computed and stored.

        Raises
        ------
        ConfigurationError
            There is no such function of the user's.
        UnlawfulFeatureError
            There is, but it breaks a law of features.
        """
        return feature_set(self.feature_sets, load_own(self.own_features) if self.own_features else None)

    @property
    def choices_file(self) -> Path:
        """What `crypto-platform symbols` writes: symbols added, followed and no longer followed."""
        return self.home / "symbols.toml"

    @property
    def store_url(self) -> str:
        """URL of the store."""
        if self.database_url:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.store_file.absolute()}"

    @property
    def store_file(self) -> Path:
        """File of the store, where that is SQLite."""
        return self.home / "crypto_platform.db"

    @property
    def artifacts_folder(self) -> Path:
        """Folder of the model bundles."""
        if self.artifacts_url is None:
            return self.home / "artifacts"
        path = self.artifacts_url.removeprefix("file://")
        if "://" in path:
            raise ConfigurationError(f"{PREFIX}ARTIFACTS_URL={self.artifacts_url!r}: only folders are supported")
        return Path(path)

    @property
    def reports_folder(self) -> Path:
        """Folder of the reports."""
        return self.home / "reports"

    @property
    def settle(self) -> timedelta:
        """Wait after an hour's end before its candle is closed."""
        return timedelta(minutes=self.settle_minutes)

    @property
    def signal_rules(self) -> SignalRules:
        """Thresholds and costs of the signal."""
        return SignalRules(
            buy=self.buy_threshold,
            sell=self.sell_threshold,
            agreement=self.agreement_threshold,
            fee_bps=self.fee_bps,
            slippage_bps=self.slippage_bps,
        )

    @property
    def targets(self) -> TargetConfig:
        """Whom alerts are sent to.

        Raises
        ------
        ConfigurationError
            A target is set in part, or wrongly.
        """
        return TargetConfig(
            slack_token=self.alert_slack_token,
            slack_channel=self.alert_slack_channel,
            slack_url=self.alert_slack_url,
            smtp_url=self.alert_smtp_url,
            email_from=self.alert_email_from,
            email_to=self.alert_email_to,
            webhook_url=self.alert_webhook_url,
            webhook_secret=self.alert_webhook_secret,
        )

    @property
    def sources(self) -> vendors.SourceConfig:
        """What the clients need to know."""
        return vendors.SourceConfig(
            order=self.ohlcv_sources,
            coinpaprika_url=self.coinpaprika_url,
            cryptocompare_url=self.cryptocompare_url,
            coindesk_url=self.coindesk_url,
            binance_url=self.binance_url,
            binance_archive_url=self.binance_archive_url,
            coinbase_url=self.coinbase_url,
            kraken_url=self.kraken_url,
            fear_greed_url=self.fear_greed_url,
            cryptocompare_api_key=self.cryptocompare_api_key,
            coindesk_api_key=self.coindesk_api_key,
            coinpaprika_api_key=self.coinpaprika_api_key,
            timeout=self.http_timeout_seconds,
        )


def load_own(where: str) -> OwnFeatures:
    """The features of a user's function, which keeps all laws.

    Parameters
    ----------
    where : str
        `package.module:function`, importable: installed, or in a folder of `PYTHONPATH`.

    Raises
    ------
    ConfigurationError
        There is no such function.
    UnlawfulFeatureError
        See `core.laws.require_lawful`.
    """
    module_name, _, name = where.partition(":")
    try:
        module = importlib.import_module(module_name)
        function = getattr(module, name)
        code = inspect.getsource(module)
    except (ImportError, AttributeError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"{PREFIX}OWN_FEATURES={where!r}: {error}; write it like package.module:function, and see that the folder "
            "of the package is in PYTHONPATH"
        ) from error
    return require_lawful(function, code=code)


def load(**overrides: Any) -> Settings:
    """Settings from the environment and `.env`, `overrides` before both.

    Raises
    ------
    ConfigurationError
        Naming the variable, what is wrong with it, and (for an unknown one) the nearest that exists.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields} | OUTSIDE
    for variable in os.environ:
        if variable.startswith(PREFIX) and variable not in known:
            near = difflib.get_close_matches(variable, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "see docs/settings.md"
            raise ConfigurationError(f"{variable} is not a setting; {hint}")
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        variable = PREFIX + str(first["loc"][0]).upper()
        secret = any(word in variable for word in ("URL", "KEY", "TOKEN", "SECRET"))
        shown = "" if secret else f"={first['input']!r}"
        raise ConfigurationError(f"{variable}{shown}: {first['msg'].removeprefix('Value error, ')}") from error
    _ = settings.followed, settings.targets  # mistakes in them are found here, before any work
    if settings.own_features:
        _ = settings.feature_set  # and so is a feature that breaks a law
    return settings
