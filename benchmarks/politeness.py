"""How near several processes that share a store come to the floor that a vendor's rate limit sets.

n requests at one every s seconds cannot take less than (n − 1) s. The server is on this machine and answers at once,
so what is above the floor is ours: the store's transactions, and sleeping too long.
"""

import json
import multiprocessing
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from crypto_platform.core.politeness import Limits
from crypto_platform.sources.gate import Gate
from crypto_platform.sources.http import HttpClient
from crypto_platform.storage.vendors import StoredStates
from crypto_platform.storage.warehouse import Warehouse

PROCESSES = 4
REQUESTS = 50  # of each
QUICK_REQUESTS = 10
SPACING = 0.05  # as Binance's


@dataclass(frozen=True)
class Pace:
    """Requests, seconds they took from the first to the last, and the least that they may take."""

    requests: int
    floor: float
    ours: float

    @property
    def ratio(self) -> float:
        """Ours over the floor; 1 is as good as it gets."""
        return self.ours / self.floor


class _Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.arrivals: list[float] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self.server.arrivals.append(time.time())
        body = json.dumps({}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silence."""


def ask(store_url: str, base_url: str, requests: int, spacing: float, start: float) -> None:
    """What each process does, from a common moment on."""
    store = Warehouse.open(store_url)
    limits = Limits(spacing, loopback=True)
    client = HttpClient(
        provider="bench", base_url=base_url, url_setting="", limits=limits, gate=Gate(StoredStates(store))
    )
    _ = store.engine
    time.sleep(max(0.0, start - time.time()))
    for _ in range(requests):
        client.get_json("/")
    store.close()


def measure(folder: Path, processes: int = PROCESSES, requests: int = REQUESTS, spacing: float = SPACING) -> Pace:
    """Let the processes ask as fast as they may."""
    store_url = f"sqlite:///{folder / 'politeness.db'}"
    Warehouse.open(store_url).engine.dispose()
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url, start = f"http://127.0.0.1:{server.server_port}", time.time() + 2.0  # by then all have imported
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            asking = [pool.submit(ask, store_url, url, requests, spacing, start) for _ in range(processes)]
            for future in asking:
                future.result()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    arrivals = server.arrivals
    n = processes * requests
    return Pace(n, (n - 1) * spacing, max(arrivals) - min(arrivals))


def run(*, quick: bool) -> str:
    """Measure with a store on this machine."""
    print("politeness …", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        return report(measure(Path(folder), requests=QUICK_REQUESTS if quick else REQUESTS))


def report(pace: Pace) -> str:
    return (
        f"{pace.requests} requests of {PROCESSES} processes, one every {SPACING * 1000:.0f} ms: floor "
        f"{pace.floor:.2f} s, ours {pace.ours:.2f} s, ratio {pace.ratio:.3f}"
    )
