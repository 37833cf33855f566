"""The replay server: one local HTTP server that stands in for every upstream API.

Each vendor has a prefix (`/binance`, `/coinpaprika`, …) before its own paths. `/healthz`, `/replay/clock` and
`/replay/faults` are the server's own.
"""

import email.utils
import json
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from types import FrameType
from typing import Final

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crypto_platform.errors import ConfigurationError
from crypto_platform.replay import endpoints, venues
from crypto_platform.replay.clock import ReplayClock
from crypto_platform.replay.damage import Answer
from crypto_platform.replay.faults import Faults, read_script
from crypto_platform.replay.history import History
from crypto_platform.replay.market import Market
from crypto_platform.replay.responses import AnswerResponse, Connection
from crypto_platform.replay.service import Call, Service
from crypto_platform.replay.wire.coinpaprika import NO_PAGE
from crypto_platform.replay.wire.unconfirmed import Unconfirmed
from crypto_platform.symbols import SymbolBook, load_symbols

DEFAULT_KEYS: Final = ("replay",)
_ARCHIVE: Final = "/binance-archive/data/spot"
_FILE: Final = "klines/{pair}/1h/{stem}.zip"
# path, endpoint as faults name it, handler
ROUTES: Final = (
    ("/coinpaprika/v1/tickers", "coinpaprika.tickers", endpoints.list_tickers),
    ("/coinpaprika/v1/tickers/{coin_id}", "coinpaprika.tickers", endpoints.get_ticker),
    ("/cryptocompare/data/v2/histohour", "cryptocompare.histohour", endpoints.histohour),
    ("/cryptocompare/data/histohour", "cryptocompare.histohour", endpoints.histohour_v1),
    ("/coindesk/index/cc/v1/historical/hours", "coindesk.hours", endpoints.coindesk_hours),
    ("/binance/api/v3/klines", "binance.klines", endpoints.klines),
    ("/binance/api/v3/exchangeInfo", "binance.exchange_info", endpoints.exchange_info),
    ("/binance/api/v3/ping", "binance.ping", endpoints.ping),
    ("/binance/api/v3/time", "binance.time", endpoints.server_time),
    (f"{_ARCHIVE}/monthly/{_FILE}", "binance_archive.monthly", venues.archive_month),
    (f"{_ARCHIVE}/daily/{_FILE}", "binance_archive.daily", venues.archive_day),
    (f"{_ARCHIVE}/monthly/{_FILE}.CHECKSUM", "binance_archive.checksum", venues.archive_month_checksum),
    (f"{_ARCHIVE}/daily/{_FILE}.CHECKSUM", "binance_archive.checksum", venues.archive_day_checksum),
    ("/coinbase/products", "coinbase.products", venues.coinbase_products),
    ("/coinbase/products/{product}", "coinbase.products", venues.coinbase_product),
    ("/coinbase/products/{product}/candles", "coinbase.candles", venues.coinbase_candles),
    ("/coinbase/currencies", "coinbase.currencies", venues.coinbase_currencies),
    ("/kraken/0/public/OHLC", "kraken.ohlc", venues.kraken_ohlc),
    ("/kraken/0/public/AssetPairs", "kraken.asset_pairs", venues.kraken_asset_pairs),
    ("/kraken/0/public/Assets", "kraken.assets", venues.kraken_assets),
    ("/fear-greed/fng/", "fear_greed.fng", endpoints.fng),
)
# vendor, as settings name it -> what stands before its own paths
BASES: Final = {
    "coinpaprika": "/coinpaprika/v1",
    "cryptocompare": "/cryptocompare/data",
    "coindesk": "/coindesk",
    "binance": "/binance",
    "binance_archive": "/binance-archive",
    "coinbase": "/coinbase",
    "kraken": "/kraken",
    "fear_greed": "/fear-greed",
}
_Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(
    history: History,
    clock: ReplayClock,
    faults: Faults | None = None,
    *,
    keys: Collection[str] = DEFAULT_KEYS,
    book: SymbolBook | None = None,
    unconfirmed: Unconfirmed | None = None,
) -> Starlette:
    """The server as an ASGI application.

    Parameters
    ----------
    history : History
        What is replayed.
    clock : ReplayClock
        The server's now; what lies after it is hidden.
    faults : Faults, optional
        Scripts to start with; more can be set while it runs.
    keys : collection of str
        Keys that CryptoCompare and CoinDesk accept.
    book : mapping of str to Symbol, optional
        Vendor identifiers; the shipped ones by default.
    unconfirmed : Unconfirmed, optional
        Choices where the vendors' contracts are silent.
    """
    scripts = faults or Faults()
    market = Market(history, load_symbols() if book is None else book)
    service = Service(market, frozenset(keys), unconfirmed or Unconfirmed())
    vendors = [Route(path, _replayed(service, clock, scripts, name, handler)) for path, name, handler in ROUTES]
    return Starlette(
        routes=[*vendors, *_own_routes(history, clock, scripts)],
        middleware=[Middleware(_Labels, history=history, clock=clock)],
        exception_handlers={HTTPException: _plain_text},
    )


def vendor_urls(base_url: str) -> dict[str, str]:
    """Base URL per vendor for the clients' settings, given the server's own."""
    return {vendor: base_url + path for vendor, path in BASES.items()}


def serve(app: ASGIApp, host: str = "127.0.0.1", port: int = 0, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, from the main thread.

    Parameters
    ----------
    app : ASGI application
        From `build_app`.
    host : str
        Address to bind.
    port : int
        0 takes a free one.
    on_ready : callable, optional
        Gets the base URL as soon as connections are accepted, before the first is answered.

    Raises
    ------
    ConfigurationError
        The address cannot be bound.
    """
    with _listening(host, port) as listener:
        server = _uvicorn(app)

        def stop(_signal: int, _frame: FrameType | None) -> None:
            server.should_exit = True

        # uvicorn raises a signal it has handled once more when it is done: these handlers make that harmless
        previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            if on_ready:
                on_ready(_url(listener))
            server.run(sockets=[listener])
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


@contextmanager
def running_server(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve from a thread while the block runs; gives the base URL.

    Raises
    ------
    ConfigurationError
        The address cannot be bound.
    """
    with _listening(host, port) as listener:
        server = _uvicorn(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="replay", daemon=True)
        thread.start()
        try:
            while thread.is_alive() and not server.started:
                time.sleep(0.005)
            yield _url(listener)
        finally:
            server.should_exit = True
            thread.join()


class _Labels:
    """Says on every answer what it is, and dates it by the replay clock."""

    def __init__(self, app: ASGIApp, history: History, clock: ReplayClock) -> None:
        self._app = app
        self._clock = clock
        title = " ".join(history.title.split()).encode("latin-1", "replace")
        self._labels = [(b"x-market-data", history.provenance.encode()), (b"x-market-title", title)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def labelled(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *self._labels]
                if not any(name == b"date" for name, _ in headers):  # else a fault says another one
                    headers.append((b"date", email.utils.format_datetime(self._clock.now(), usegmt=True).encode()))
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, labelled)


def _replayed(
    service: Service, clock: ReplayClock, faults: Faults, name: str, handler: Callable[[Service, Call], Answer]
) -> _Endpoint:
    # a coroutine that never waits while it reads: the history is used by one call at a time
    async def respond(request: Request) -> Response:
        fault = faults.next(name)
        if fault.delay:
            await anyio.sleep(fault.delay)
        call = Call(request.query_params, request.headers, request.path_params, clock.now(), fault)
        answer = endpoints.answer(handler, service, call)
        answer = fault.apply(answer, lambda status: endpoints.refuse(name, status), call.now)
        headers = endpoints.usual_headers(service, name) | dict(answer.headers)
        return AnswerResponse(replace(answer, headers=headers))

    return respond


def _own_routes(history: History, clock: ReplayClock, faults: Faults) -> list[Route]:
    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def tell_clock(_: Request) -> Response:
        now = clock.now().isoformat().replace("+00:00", "Z")
        about = {"provenance": history.provenance, "title": history.title, "symbols": list(history.symbols)}
        return JSONResponse({"now": now, "speed": clock.speed, **about})

    async def add_slash(request: Request) -> Response:  # status [unconfirmed]
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/fear-greed/fng/{query}", 301)

    async def list_faults(_: Request) -> Response:
        pending = {name: [asdict(step) for step in steps] for name, steps in faults.pending().items()}
        return JSONResponse(pending)

    async def set_faults(request: Request) -> Response:
        try:
            script = read_script(json.loads(await request.body())) if request.method == "PUT" else []
            faults.set(request.path_params["endpoint"], script)
        except (ConfigurationError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return await list_faults(request)

    return [
        Route("/healthz", healthz),
        Route("/replay/clock", tell_clock),
        Route("/replay/faults", list_faults),
        Route("/replay/faults/{endpoint}", set_faults, methods=["PUT", "DELETE"]),
        Route("/fear-greed/fng", add_slash),
    ]


async def _plain_text(_: Request, error: Exception) -> Response:
    """Errors of the routing itself, in the words of CoinPaprika's gateway (the others' are unknown)."""
    assert isinstance(error, HTTPException)
    text = NO_PAGE if error.status_code == 404 else error.detail
    headers: Mapping[str, str] | None = error.headers
    return PlainTextResponse(text, error.status_code, headers)


def _uvicorn(app: ASGIApp) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,  # the caller's logging stays as it is
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            http=Connection,
            date_header=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"the replay server cannot listen on {host}:{port} ({error}); choose another port, or 0 for a free one"
            ) from error
        yield listener
    finally:
        listener.close()


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"
