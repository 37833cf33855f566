"""The catalog: the configured order, less what lacks its key, which is told."""

import pytest
from pydantic import SecretStr

from crypto_platform.core.politeness import Limits
from crypto_platform.errors import ConfigurationError
from crypto_platform.sources import catalog
from crypto_platform.sources.archive import ARCHIVE
from crypto_platform.sources.catalog import SourceConfig, candle_sources, passed_over
from crypto_platform.sources.gate import Gate
from crypto_platform.sources.http import HttpClient

KEY = "k3y-n0b0dy-may-see"


def names(config: SourceConfig) -> list[str]:
    return [source.name for source in candle_sources(config)]


def test_without_keys_the_keyless_sources_are_used_and_the_others_told():
    assert names(SourceConfig()) == ["binance", "coinbase", "kraken"]
    told = passed_over(SourceConfig())
    assert told == {
        "cryptocompare": "needs CRYPTO_PLATFORM_CRYPTOCOMPARE_API_KEY",
        "coindesk": "needs CRYPTO_PLATFORM_COINDESK_API_KEY",
    }


def test_with_keys_the_order_is_the_configured_one():
    config = SourceConfig(
        order=("kraken", "coindesk", "bitstamp", "cryptocompare"),
        cryptocompare_api_key=SecretStr(KEY),
        coindesk_api_key=SecretStr(KEY),
    )
    assert names(config) == ["kraken", "coindesk", "bitstamp", "cryptocompare"]
    assert not passed_over(config)


@pytest.mark.parametrize("order", [(), ("cryptocompare",)])
def test_no_usable_source_is_a_mistake_of_configuration(order):
    with pytest.raises(ConfigurationError, match="CRYPTO_PLATFORM_OHLCV_SOURCES"):
        candle_sources(SourceConfig(order=order))


def test_an_unknown_source_is_named():
    with pytest.raises(ConfigurationError, match="'mtgox'"):
        candle_sources(SourceConfig(order=("mtgox",)))


def test_keys_show_in_no_representation():
    config = SourceConfig(
        cryptocompare_api_key=SecretStr(KEY), coindesk_api_key=SecretStr(KEY), coinpaprika_api_key=SecretStr(KEY)
    )
    shown = [config, *candle_sources(config), catalog.snapshot_source(config), catalog.sentiment_source(config)]
    assert all(KEY not in repr(thing) + str(thing) for thing in shown)


@pytest.mark.parametrize("url", ["http://mirror.example/v1", "HTTP://10.0.0.7:80", "mirror.example"])
def test_a_key_does_not_leave_this_machine_unencrypted(url):
    with pytest.raises(ConfigurationError, match="not https") as caught:
        HttpClient(provider="p", base_url=url, url_setting="THE_URL", key_setting="THE_KEY", key=KEY)
    assert "THE_URL" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://mirror.example", "http://127.0.0.1:8000", "http://localhost", "http://[::1]:80"]
)
def test_a_key_may_go_to_https_and_to_this_machine(url):
    HttpClient(provider="p", base_url=url, url_setting="THE_URL", key_setting="THE_KEY", key=KEY)


def test_without_a_key_any_address_will_do():
    HttpClient(provider="p", base_url="http://mirror.example", url_setting="THE_URL", key_setting="THE_KEY")


def test_every_vendor_of_ours_has_limits_and_the_others_keep_to_ccxts():
    assert set(catalog.LIMITS) == {ARCHIVE, "coinpaprika", "cryptocompare", "coindesk", "alternative.me"}
    for source in candle_sources(SourceConfig()):
        assert source._caller.limits == Limits({"binance": 0.05, "coinbase": 0.1, "kraken": 1.0}[source.name])


@pytest.mark.parametrize(("key", "monthly"), [(None, 20_000), (SecretStr(KEY), None)])
def test_the_free_plan_has_a_quota_and_a_key_none_of_ours(key, monthly):
    source = catalog.snapshot_source(SourceConfig(coinpaprika_api_key=key))
    assert source._http._caller.limits == Limits(0.2, monthly=monthly)


def test_all_sources_share_one_gate():
    gate = Gate()
    config = SourceConfig(cryptocompare_api_key=SecretStr(KEY))
    clients = [
        *candle_sources(config, gate),
        catalog.snapshot_source(config, gate),
        catalog.sentiment_source(config, gate),
    ]
    callers = [getattr(client, "_http", client)._caller for client in clients]
    assert [caller._gate for caller in callers] == [gate] * 6


@pytest.mark.parametrize("key", ["", "  ", "two words", "line\nbreak", "schlüssel", "tab\there"])
def test_a_key_that_cannot_be_a_header_is_refused_without_showing_it(key):
    with pytest.raises(ConfigurationError) as caught:
        HttpClient(provider="p", base_url="http://x", url_setting="U", key_setting="THE_KEY", key=key)
    assert "THE_KEY" in str(caught.value)
    assert not key.strip() or key not in str(caught.value)


def test_the_deadline_grows_with_the_timeout():
    patience = SourceConfig(timeout=100.0, attempts=1).patience
    assert patience.total > patience.deadline > patience.timeout
    assert patience.attempts == 1
