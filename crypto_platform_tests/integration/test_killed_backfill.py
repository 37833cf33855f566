"""A backfill killed at any moment loses nothing and writes nothing twice; a naive one, killed so too, does."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crypto_platform.replay.clock import ReplayClock
from crypto_platform.replay.scenario import Scenario
from crypto_platform.replay.server import build_app, running_server, vendor_urls
from crypto_platform.replay.simulated import SimulatedMarket

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
DAYS = 200
SYMBOLS = ("BTC", "ETH")
KILLS = 50


@pytest.fixture(scope="module")
def binance_url() -> Iterator[str]:
    market = SimulatedMarket(Scenario.around(NOW, DAYS, SYMBOLS, seed=5))
    with running_server(build_app(market, ReplayClock(NOW, 0))) as url:
        yield vendor_urls(url)["binance"]


def kill(writer: str, binance_url: str, store_url: str) -> dict[str, Any]:
    program = Path(__file__).with_name("killing.py")
    arguments = {
        "source-url": binance_url, "store-url": store_url, "writer": writer, "as-of": NOW.isoformat(), "days": DAYS,
        "symbols": ",".join(SYMBOLS), "kills": KILLS, "seed": 1,
    }  # fmt: skip
    flags = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    done = subprocess.run([sys.executable, str(program), *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_fifty_kills_of_a_backfill_lose_nothing_and_double_nothing(binance_url: str, store_url: str) -> None:
    found = kill("ours", binance_url, store_url)
    assert found["problems"] == []
    assert found["killed"] == KILLS
    assert found["finished"] > 0


@pytest.mark.slow
def test_the_control_fails_the_same_test(binance_url: str, tmp_path: Path) -> None:
    found = kill("naive", binance_url, f"sqlite:///{tmp_path / 'naive.db'}")
    assert found["killed"] == KILLS
    assert found["problems"]
