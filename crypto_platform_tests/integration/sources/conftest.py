"""A scripted HTTP server on this machine, and clients that do not wait for it."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from crypto_platform.sources.calls import Patience
from crypto_platform.symbols import Symbol


@dataclass(frozen=True)
class Asked:
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    raw: str
    client: tuple[str, int]


@dataclass(frozen=True)
class Answer:
    """`body` is JSON unless bytes; `drip` is sent after it, piece by piece, without the length being known."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip: Iterable[bytes] = ()
    drop: bool = False


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Answer] = lambda asked: Answer({})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def script(self, *answers: Answer) -> None:
        """Give these in turn, the last one from then on."""
        left = list(answers)
        self.answer = lambda asked: left.pop(0) if len(left) > 1 else left[0]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of these tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        asked = Asked(parts.path, query, dict(self.headers), self.path, self.client_address)
        self.server.asked.append(asked)
        answer = self.server.answer(asked)
        if answer.drop:
            self.close_connection = True
            return
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        send = self.send_response_only if "Date" in answer.headers else self.send_response  # which sends one itself
        send(answer.status)
        length = {} if "Transfer-Encoding" in answer.headers else {"Content-Length": str(len(body))}
        for name, value in ({"Connection": "close"} if answer.drip else length | answer.headers).items():
            self.send_header(name, value)  # "Connection: close" makes the handler hang up afterwards
        self.end_headers()
        self.wfile.write(body)
        for piece in answer.drip:
            self.wfile.write(piece)
            self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        """Silence."""


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture(scope="session")
def answer() -> type[Answer]:
    return Answer


@pytest.fixture
def waits() -> list[float]:
    """Pauses that `patience` took, in seconds."""
    return []


@pytest.fixture
def patience(waits: list[float]) -> Patience:
    return Patience(timeout=5.0, deadline=10.0, attempts=3, sleep=waits.append)


@pytest.fixture(scope="session")
def btc() -> Symbol:
    return Symbol("BTC", "Bitcoin", "btc-bitcoin", "BTC", default=True)


@pytest.fixture(scope="session")
def eth() -> Symbol:
    return Symbol("ETH", "Ethereum", "eth-ethereum", "ETH", default=True)
