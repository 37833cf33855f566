"""What a simulated market is made from; equal scenarios are equal markets, hour by hour."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from crypto_platform.core.hours import HOUR, floor_hour
from crypto_platform.errors import ConfigurationError

_WEEK: Final = timedelta(weeks=1)
_DAY: Final = timedelta(days=1)
_MONDAY: Final = datetime(1970, 1, 5, tzinfo=UTC)
LISTING_DAYS: Final = 90  # shorter markets have no listing in their middle: too little would follow it
CHANGE_BEFORE: Final = timedelta(days=4)


class RegimeChange(NamedTuple):
    """From `hour` on, hourly volatility and volume of every symbol are multiplied."""

    hour: datetime
    volatility_factor: float
    volume_factor: float


@dataclass(frozen=True)
class Scenario:
    """All that determines a simulated market, its planted truths included.

    Parameters
    ----------
    seed : int
        Not negative.
    epoch : datetime
        First hour, a midnight in UTC.
    symbols : tuple of str
        Tickers, each once. A symbol's market does not depend on which others there are.
    listings : mapping of str to datetime
        First hour of the symbols that are listed later than `epoch`.
    regime_change : RegimeChange or None
        A lasting change at a known hour.
    edge : float
        Excess probability, −0.5 to 0.5, that the close moves in the direction in which it moved the hour before;
        it holds for any size of the moves. 0 plants nothing: up and down are equally likely, whatever came before.

    Raises
    ------
    ConfigurationError
        A value is outside these bounds.
    """

    seed: int
    epoch: datetime
    symbols: tuple[str, ...]
    listings: Mapping[str, datetime] = field(default_factory=dict)
    regime_change: RegimeChange | None = None
    edge: float = 0.0

    def __post_init__(self) -> None:
        change = self.regime_change
        hours = [*self.listings.values(), *([change.hour] if change else [])]
        rules = (
            (self.seed >= 0, f"seed {self.seed} is negative; choose 0 or more"),
            (_is_utc(self.epoch, _DAY), f"epoch {self.epoch} is not a midnight in UTC; start there"),
            (
                self.symbols and len(set(self.symbols)) == len(self.symbols),
                f"symbols {self.symbols} must be at least one, each once",
            ),
            (set(self.listings) <= set(self.symbols), f"listings {sorted(self.listings)} must be among the symbols"),
            (
                all(_is_utc(hour, HOUR) and hour >= self.epoch for hour in hours),
                "listings and regime change must fall on whole hours in UTC, not before the epoch",
            ),
            (
                change is None or min(change.volatility_factor, change.volume_factor) > 0,
                f"factors of {change} must be above 0",
            ),
            (-0.5 <= self.edge <= 0.5, f"edge {self.edge} must be between -0.5 and 0.5"),
        )
        for holds, complaint in rules:
            if not holds:
                raise ConfigurationError(f"scenario: {complaint}")

    @classmethod
    def around(cls, now: datetime, days: int, symbols: tuple[str, ...], seed: int, edge: float = 0.0) -> "Scenario":
        """A market with at least `days` + 7 days before `now` and something of each kind to be found in them.

        Parameters
        ----------
        now : datetime
            Timezone-aware. The regime changes 4 days before its hour: volatility ×2, volume ×3.
        days : int
            Span that the user looks at. From 90 on, the last of several symbols is listed after its first third.
        symbols, seed, edge
            As in `Scenario`.
        """
        hour = floor_hour(now)
        oldest = hour - timedelta(days=days + 7)
        late = {symbols[-1]: hour - timedelta(hours=days * 16)} if len(symbols) > 1 and days >= LISTING_DAYS else {}
        return cls(
            seed=seed,
            epoch=oldest - (oldest - _MONDAY) % _WEEK,
            symbols=symbols,
            listings=late,
            regime_change=RegimeChange(hour - CHANGE_BEFORE, volatility_factor=2.0, volume_factor=3.0),
            edge=edge,
        )

    def to_json(self) -> str:
        """One line; `from_json` reads it back."""
        change = self.regime_change
        return json.dumps(
            {
                "seed": self.seed,
                "epoch": self.epoch.isoformat(),
                "symbols": self.symbols,
                "listings": {symbol: hour.isoformat() for symbol, hour in self.listings.items()},
                "regime_change": change and {**change._asdict(), "hour": change.hour.isoformat()},
                "edge": self.edge,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Scenario":
        """Scenario that `to_json` wrote.

        Raises
        ------
        ConfigurationError
            It did not write this.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            change = values["regime_change"]
            return cls(
                seed=int(values["seed"]),
                epoch=_instant(values["epoch"]),
                symbols=tuple(values["symbols"]),
                listings={symbol: _instant(hour) for symbol, hour in values["listings"].items()},
                regime_change=change and RegimeChange(**{**change, "hour": _instant(change["hour"])}),
                edge=float(values["edge"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(
                f"scenario cannot be read ({error!r}); it must be the JSON that Scenario.to_json writes"
            ) from error


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _is_utc(moment: datetime, grid: timedelta) -> bool:
    return moment.utcoffset() == timedelta(0) and (moment - _MONDAY) % grid == timedelta(0)
