"""Smallest cost of a relay in Python: `python -m tools.bench.smallest_relay http://127.0.0.1:9101 [PORT]`.

Rule: it has the gateway's server, client and allocator settings, and no routing, keys or parsing. It reads the
request's body whole and forwards it, then reads the reply whole and returns it.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import uvicorn

from service.server import BACKLOG, KEEP_ALIVE_SECONDS, listen, tune_malloc

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Relay:
    """An ASGI application in front of one address."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._client: aiohttp.ClientSession | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Forward one call."""
        body, more = bytearray(), True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        self._client = self._client or aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        async with self._client.post(self._upstream + scope["path"], data=body, headers=headers) as reply:
            content = await reply.read()
        raw = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        await send({"type": "http.response.body", "body": content})


def main(upstream: str, port: int = 0) -> None:
    """Listen on a port (0: a free one), print it, and serve until SIGTERM."""
    tune_malloc()
    listener = listen("127.0.0.1", port)
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(
        Relay(upstream),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
