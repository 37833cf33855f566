"""What tests of faults share: clients whose waits cost no time, and arguments that keep faults quick."""

from dataclasses import replace
from typing import Self

from pydantic import SecretStr

from crypto_platform.replay.server import vendor_urls
from crypto_platform.sources import catalog
from crypto_platform.sources.calls import Patience

QUICK_ARGUMENTS = {"delay": ":0.1", "cooldown": ":5", "stale": ":7200", "drip": ":0.01", "clock": ":7200"}


class Impatient(catalog.SourceConfig):
    """Waits that cost no time."""

    waits: list[float] = []  # noqa: RUF012 - shared on purpose

    @classmethod
    def at(cls, url: str, *order: str) -> Self:
        """Clients of a replay server, its candle sources in this order."""
        urls = {f"{name}_url": url for name, url in vendor_urls(url).items()}
        key = SecretStr("replay")
        return cls(order=order, **urls, cryptocompare_api_key=key, coindesk_api_key=key)  # type: ignore[arg-type]

    @property
    def patience(self) -> Patience:
        return replace(super().patience, sleep=self.waits.append)
