"""What asset bodies are handed: settings, store, artifacts, sources and the clock. Each opens lazily."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol

from crypto_platform.core.calibrated import CalibratedRules
from crypto_platform.core.estimators import ModelParameters
from crypto_platform.core.retraining import Restraint
from crypto_platform.operations.decide import Rules
from crypto_platform.operations.workers import Workers
from crypto_platform.settings import Settings
from crypto_platform.sources import catalog
from crypto_platform.sources.base import CandleSource, SentimentSource, SnapshotSource
from crypto_platform.sources.gate import Gate
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.vendors import StoredStates
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.targets.base import Target

AS_OF_TAG = "crypto_platform/as_of"  # of a run: the moment it stands for


class Clock(Protocol):
    """The shell's clock; nothing inside asks for the time."""

    @property
    def simulated(self) -> bool:
        """Whether it stands still at a moment of somebody's choice."""
        ...

    def now(self) -> datetime:
        """The present, aware UTC."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clock."""

    simulated: bool = False

    def now(self) -> datetime:
        """See `Clock`."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class SimulatedClock:
    """A clock that stands still: forecasts are taken as written when their candles closed."""

    moment: datetime
    simulated: bool = True

    def now(self) -> datetime:
        """See `Clock`."""
        return self.moment


@dataclass
class Platform:
    """Everything an operation needs, from settings.

    The store connects and the clients are built at first use, once per process.
    """

    settings: Settings
    clock: Clock = field(default_factory=SystemClock)

    @cached_property
    def store(self) -> Warehouse:
        """The warehouse."""
        return Warehouse.open(self.settings.store_url)

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """The model bundles."""
        return ArtifactStore(self.settings.artifacts_folder)

    @cached_property
    def gate(self) -> Gate:
        """What all requests to the vendors pass; its states are the store's, so all processes keep to one pace."""
        return Gate(StoredStates(self.store))

    @cached_property
    def candle_sources(self) -> Sequence[CandleSource]:
        """Usable candle sources in order of preference."""
        return catalog.candle_sources(self.settings.sources, self.gate)

    @cached_property
    def snapshot_source(self) -> SnapshotSource:
        """Where market snapshots come from."""
        return catalog.snapshot_source(self.settings.sources, self.gate)

    @cached_property
    def sentiment_source(self) -> SentimentSource:
        """Where the fear and greed index comes from."""
        return catalog.sentiment_source(self.settings.sources, self.gate)

    @cached_property
    def targets(self) -> Sequence[Target]:
        """Whom alerts are sent to; the clients are imported where a target is set."""
        config = self.settings.targets
        if not config.names:
            return ()
        from crypto_platform.targets import catalog as receivers  # noqa: PLC0415

        return receivers.targets(config, _slack_client)

    @cached_property
    def workers(self) -> Workers:
        """Processes that share what takes long."""
        return Workers(self.settings.workers)

    @property
    def parameters(self) -> ModelParameters:
        """Sizes of the models."""
        return ModelParameters(seed=self.settings.seed)

    @property
    def rules(self) -> Rules:
        """Thresholds of the retrain decision; all followed series share one budget of false alarms."""
        settings = self.settings
        return Rules(
            policy=settings.retrain_policy,
            calibrated=CalibratedRules(
                cusum_threshold=settings.cusum_threshold,
                n_series=len(settings.followed) * len(settings.horizons),
                max_drift=settings.drift_limit,
                max_age_days=settings.retrain_after_days,
            ),
            restraint=Restraint(cooldown_hours=settings.cooldown_hours),
        )

    def as_of(self, tags: Mapping[str, Any]) -> datetime:
        """The moment a run stands for: its tag, or the present."""
        said = tags.get(AS_OF_TAG)
        return datetime.fromisoformat(said) if said else self.clock.now()

    def close(self) -> None:
        """Give back the store's connections, and end the workers."""
        if "store" in self.__dict__:
            self.store.close()
        if "workers" in self.__dict__:
            self.workers.close()


def _slack_client(token: str) -> Any:
    from dagster_slack import SlackResource  # noqa: PLC0415

    return SlackResource(token=token).get_client()
