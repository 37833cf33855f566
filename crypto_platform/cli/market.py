"""Which market the demo, `dev` and `replay` run on: simulated, recorded or live, each with a home of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from crypto_platform.errors import ConfigurationError
from crypto_platform.replay.clock import ReplayClock
from crypto_platform.replay.faults import Faults
from crypto_platform.replay.history import History
from crypto_platform.replay.recorded import RecordedHistory
from crypto_platform.replay.scenario import Scenario
from crypto_platform.replay.server import build_app, running_server, vendor_urls
from crypto_platform.replay.simulated import SimulatedMarket
from crypto_platform.settings import Settings
from crypto_platform.storage.artifacts import write_atomically

SCENARIO = "market.json"  # in the home: a second run goes on with the same market
KEYLESS = ("binance",)  # what the demo collects candles from

DataFolder = typer.Option(None, "--data", help="Recorded history: a folder with ohlcv_1h/ and fear_greed.parquet.")
Live = typer.Option(False, "--live", help="The real APIs: a keyless exchange, CoinPaprika and alternative.me.")
# The default market has short outages and no long one in its last months, which would cost two weeks of warm-up.
Seed = typer.Option(13, min=0, help="Seed of the simulated market.")
Edge = typer.Option(0.0, min=0.0, max=0.4, help="Planted edge: P(next hour goes on as this one) - 1/2.")
DAYS = 120


@dataclass(frozen=True, slots=True)
class Choice:
    """A market as the command line names it."""

    data: Path | None
    live: bool
    seed: int
    edge: float
    days: int

    def __post_init__(self) -> None:
        if self.live and self.data:
            raise ConfigurationError("--live and --data exclude each other: give one of them")

    def arguments(self) -> str:
        """What `make dev` must be given to open the same market; empty for the default one."""
        words = ["--live"] if self.live else [f"--data {self.data}"] if self.data else []
        if not words and (self.seed, self.edge) != (Seed.default, Edge.default):
            words = [f"--seed {self.seed}", f"--edge {self.edge:g}"]
        return f' ARGS="{" ".join(words)}"' if words else ""

    def home(self, base: Path, now: datetime) -> Path:
        """Folder of a run on this market: data of two markets never meet in one store."""
        if self.live:
            return base / "live"
        if self.data:
            weeks = RecordedHistory(self.data, now).shift.days // 7
            return base / f"recorded-{self.data.resolve().name}-{weeks}w"
        edge = f"-edge{self.edge:g}" if self.edge else ""
        return base / f"simulated-{self.seed}{edge}"

    def history(self, settings: Settings, now: datetime) -> History:
        """The market; a simulated one is written down at its first run and read from then on."""
        if self.data:
            return RecordedHistory(self.data, now)
        path = settings.home / SCENARIO
        names = tuple(symbol.name for symbol in settings.followed)
        if path.exists():
            scenario = Scenario.from_json(path.read_text())
            missing = [name for name in names if name not in scenario.symbols]
            if missing or now < scenario.epoch:
                what = f"has no {', '.join(missing)}" if missing else f"begins only at {scenario.epoch:%Y-%m-%d %H:%M}"
                raise ConfigurationError(
                    f"the simulated market of {settings.home} {what}: remove that folder, or give another --seed"
                )
        else:
            scenario = Scenario.around(now, self.days, names, self.seed, self.edge)
            write_atomically(path, scenario.to_json().encode())
        return SimulatedMarket(scenario)


def replay_urls(base: str) -> dict[str, str]:
    """Settings of base URLs that point at a replay server."""
    urls = {f"{vendor}_url": url for vendor, url in vendor_urls(base).items()}
    return {name: url for name, url in urls.items() if name in Settings.model_fields}


def url_settings(base: str) -> dict[str, Any]:
    """Settings that make all clients talk to a replay server."""
    return replay_urls(base) | {"ohlcv_sources": KEYLESS}


@contextmanager
def served(choice: Choice, settings: Settings, now: datetime, *, speed: float) -> Iterator[tuple[dict[str, Any], str]]:
    """Settings overrides of the market's sources while it is served, and its title."""
    if choice.live:
        yield {"ohlcv_sources": KEYLESS}, "live data"
        return
    history = choice.history(settings, now)
    missing = [s.name for s in settings.followed if s.name not in history.symbols]
    if missing:
        raise ConfigurationError(
            f"{history.title} holds no {', '.join(missing)}; choose of {', '.join(history.symbols)} "
            "in CRYPTO_PLATFORM_SYMBOLS"
        )
    app = build_app(history, ReplayClock(now, speed), Faults(), book=settings.book)
    with running_server(app) as url:
        yield url_settings(url) | {"listing_dates": "ignored"}, history.title
