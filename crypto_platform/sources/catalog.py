"""All sources by name, built from plain configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Final

from pydantic import SecretStr

from crypto_platform.core.politeness import Limits
from crypto_platform.errors import ConfigurationError
from crypto_platform.sources.archive import ARCHIVE, ARCHIVE_URL, ArchiveHost
from crypto_platform.sources.base import CandleSource, SentimentSource, SnapshotSource
from crypto_platform.sources.calls import Patience
from crypto_platform.sources.coinpaprika import DEFAULT_URL as COINPAPRIKA_URL
from crypto_platform.sources.coinpaprika import NAME as COINPAPRIKA
from crypto_platform.sources.coinpaprika import CoinPaprika
from crypto_platform.sources.exchange import BINANCE, BINANCE_URL, BinanceCandles, ExchangeCandles
from crypto_platform.sources.fear_greed import DEFAULT_URL as FEAR_GREED_URL
from crypto_platform.sources.fear_greed import NAME as FEAR_GREED
from crypto_platform.sources.fear_greed import FearGreed
from crypto_platform.sources.gate import Gate
from crypto_platform.sources.indices import (
    COINDESK,
    COINDESK_URL,
    CRYPTOCOMPARE,
    CRYPTOCOMPARE_URL,
    CoinDesk,
    CryptoCompare,
)
from crypto_platform.sources.layouts import CRYPTODATADOWNLOAD

__all__ = [
    "ARCHIVE_URL",
    "BINANCE_URL",
    "COINDESK_URL",
    "COINPAPRIKA_URL",
    "CRYPTOCOMPARE_URL",
    "DEFAULT_ORDER",
    "FEAR_GREED_URL",
    "LIMITS",
    "SourceConfig",
    "archive_host",
    "candle_sources",
    "candle_vendors",
    "is_candle_vendor",
    "passed_over",
    "require_candle_vendor",
    "sentiment_source",
    "snapshot_source",
]

DEFAULT_ORDER: Final = (CRYPTOCOMPARE, COINDESK, BINANCE, "coinbase", "kraken")
DEADLINE_FACTOR: Final = 3  # a whole answer may take so many times the longest silence within it
TOTAL_FACTOR: Final = 6  # a call, retries and waits included: a second answer as slow as the first still fits

# What is not here keeps to ccxt's own pace of the exchange.
LIMITS: Final[Mapping[str, Limits]] = {
    # Clients report 10 or 20 requests/s and none is documented: more than 5 is unsafe. The free plan has 20,000 calls.
    COINPAPRIKA: Limits(spacing=0.2, monthly=20_000),
    # Of a paid plan (50/s, 2,000/min, 100,000/h in the vendor's example) a fifth, with room for others of one key.
    CRYPTOCOMPARE: Limits(spacing=0.2),
    COINDESK: Limits(spacing=0.2),
    FEAR_GREED: Limits(spacing=1.0),  # 60/min, documented
    ARCHIVE: Limits(spacing=0.1),  # files on a content network, of which no limit is documented
}


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """What the clients need: order of preference, base URLs, keys, and how long to try.

    Parameters
    ----------
    order : tuple of str
        Candle sources in order of preference: ``cryptocompare``, ``coindesk``, or any exchange of ccxt.
    *_url : str or None
        Base URLs; None = ccxt's own.
    *_api_key : SecretStr or None
    timeout : float
        Seconds to connect, and of silence within an answer.
    attempts : int
        Requests before giving up; 1 = no retry.
    """

    order: tuple[str, ...] = DEFAULT_ORDER
    coinpaprika_url: str = COINPAPRIKA_URL
    cryptocompare_url: str = CRYPTOCOMPARE_URL
    coindesk_url: str = COINDESK_URL
    binance_url: str = BINANCE_URL
    binance_archive_url: str = ARCHIVE_URL
    coinbase_url: str | None = None
    kraken_url: str | None = None
    fear_greed_url: str = FEAR_GREED_URL
    cryptocompare_api_key: SecretStr | None = None
    coindesk_api_key: SecretStr | None = None
    coinpaprika_api_key: SecretStr | None = None
    timeout: float = 10.0
    attempts: int = 4

    @property
    def patience(self) -> Patience:
        """How long the clients try."""
        return Patience(
            timeout=self.timeout,
            deadline=DEADLINE_FACTOR * self.timeout,
            total=TOTAL_FACTOR * self.timeout,
            attempts=self.attempts,
        )


def passed_over(config: SourceConfig) -> dict[str, str]:
    """Sources of the order that cannot be used, with the setting that would change it."""
    keys = {
        CRYPTOCOMPARE: (config.cryptocompare_api_key, "CRYPTO_PLATFORM_CRYPTOCOMPARE_API_KEY"),
        COINDESK: (config.coindesk_api_key, "CRYPTO_PLATFORM_COINDESK_API_KEY"),
    }
    return {name: f"needs {keys[name][1]}" for name in config.order if name in keys and keys[name][0] is None}


def candle_vendors() -> tuple[str, ...]:
    """Names of all candle sources there are, usable or not, and of files that stand in for one."""
    import ccxt  # noqa: PLC0415 - a third of a second, which only `verify` and the import of files need

    return (CRYPTOCOMPARE, COINDESK, CRYPTODATADOWNLOAD, *ccxt.exchanges)


def is_candle_vendor(name: str) -> bool:
    """Whether a name is one of `candle_vendors`."""
    return name in candle_vendors()


def require_candle_vendor(name: str) -> None:
    """Refuse a name that no candle source has: a series would stay pinned to it for ever.

    Raises
    ------
    ConfigurationError
        With the names that are like it.
    """
    known = candle_vendors()
    if name not in known:
        close = get_close_matches(name, known, n=3)
        like = f"did you mean {' or '.join(close)}?" if close else "write it like binance"
        raise ConfigurationError(f"nobody knows a source of the name {name!r}; {like}")


def candle_sources(config: SourceConfig, gate: Gate | None = None) -> tuple[CandleSource, ...]:
    """Usable candle sources in order of preference, behind one gate (of this process without `gate`).

    Raises
    ------
    ConfigurationError
        None is left, or one is unknown.
    """
    skipped = passed_over(config)
    names = [name for name in config.order if name not in skipped]
    if not names:
        missing = "; ".join(f"{name} {why}" for name, why in skipped.items()) or "the list is empty"
        raise ConfigurationError(
            f"no candle source is usable ({missing}): add binance to CRYPTO_PLATFORM_OHLCV_SOURCES"
        )
    gate = gate or Gate()
    return tuple(_candle_source(name, config, gate) for name in names)


def _candle_source(name: str, config: SourceConfig, gate: Gate) -> CandleSource:
    limits, patience = LIMITS.get(name), config.patience
    if name == CRYPTOCOMPARE:
        assert config.cryptocompare_api_key is not None
        key = config.cryptocompare_api_key.get_secret_value()
        return CryptoCompare(key, config.cryptocompare_url, patience, limits=limits, gate=gate)
    if name == COINDESK:
        assert config.coindesk_api_key is not None
        key = config.coindesk_api_key.get_secret_value()
        return CoinDesk(key, config.coindesk_url, patience, limits=limits, gate=gate)
    if name == BINANCE:
        return BinanceCandles(config.binance_url, patience, limits=limits, gate=gate)
    urls = {"coinbase": config.coinbase_url, "kraken": config.kraken_url}
    setting = f"CRYPTO_PLATFORM_{name.upper()}_URL" if name in urls else ""
    return ExchangeCandles(name, urls.get(name), setting, patience, limits=limits, gate=gate)


def snapshot_source(config: SourceConfig, gate: Gate | None = None) -> SnapshotSource:
    """The source of market snapshots. The quota is the free plan's: what a key's plan allows its vendor says."""
    key = config.coinpaprika_api_key
    limits = replace(LIMITS[COINPAPRIKA], monthly=None) if key else LIMITS[COINPAPRIKA]
    secret = key.get_secret_value() if key else None
    return CoinPaprika(config.coinpaprika_url, secret, config.patience, limits=limits, gate=gate)


def sentiment_source(config: SourceConfig, gate: Gate | None = None) -> SentimentSource:
    """The source of the fear and greed index."""
    return FearGreed(config.fear_greed_url, config.patience, limits=LIMITS[FEAR_GREED], gate=gate)


def archive_host(config: SourceConfig, gate: Gate | None = None) -> ArchiveHost:
    """Binance's bulk archive."""
    return ArchiveHost(config.binance_archive_url, config.patience, limits=LIMITS[ARCHIVE], gate=gate)
