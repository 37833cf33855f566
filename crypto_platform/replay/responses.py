"""How an answer leaves: whole, slowly, cut short, or with the connection reset."""

import asyncio
import socket
import struct
from typing import Any, Final

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from crypto_platform.replay.damage import Answer

PIECES: Final = 10  # of a body that drips
_TRANSPORT: Final = "replay.transport"  # key of the scope
_NO_LINGER: Final = struct.pack("ii", 1, 0)  # closing then sends RST, not FIN


class Connection(H11Protocol):
    """uvicorn's connection; the application finds its transport in the scope, to reset it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        app: Any = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, _TRANSPORT: transport}, receive, send)

        self.app: Any = with_transport


class AnswerResponse(Response):
    """An answer as Starlette sends it, with what it does to its connection."""

    def __init__(self, answer: Answer) -> None:
        headers = dict(answer.headers)
        if answer.announced is not None:
            headers["content-length"] = str(answer.announced)
        super().__init__(answer.body, answer.status, headers, answer.media_type)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        answer = self._answer
        if answer.reset == "before":
            return await _reset(scope, receive)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        size = -(-len(answer.body) // PIECES) if answer.pace else len(answer.body)
        for start in range(0, len(answer.body), max(size, 1)):
            if start:
                await anyio.sleep(answer.pace)
            await send({"type": "http.response.body", "body": answer.body[start : start + size], "more_body": True})
        if answer.reset:
            await _reset(scope, receive)
        elif answer.announced is None:  # else the server closes: it announced more
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        return None


async def _reset(scope: Scope, receive: Receive) -> None:
    transport: asyncio.Transport = scope[_TRANSPORT]
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
