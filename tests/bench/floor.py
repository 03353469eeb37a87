"""The least that a relay in Python costs: `python -m tests.bench.floor http://127.0.0.1:9101`.

Rule: the gateway's own server, client and allocator settings, and nothing else: no routing, no keys, no parsing. The
request's body is read whole and sent on, the reply is read whole and sent back.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import uvicorn

from service.adapters.backends.http import KEPT_ALIVE
from service.server import BACKLOG, KEEP_ALIVE_SECONDS, keep_memory, listen

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Relay:
    """An ASGI application in front of one address."""

    def __init__(self, upstream: str) -> None:
        limits = httpx2.Limits(max_connections=512, max_keepalive_connections=KEPT_ALIVE)
        self._client = httpx2.AsyncClient(base_url=upstream, limits=limits, timeout=60)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Pass one call on."""
        body, more = bytearray(), True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        reply = await self._client.post(scope["path"], content=bytes(body), headers=headers)
        length = str(len(reply.content)).encode()
        raw = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": reply.status_code, "headers": raw})
        await send({"type": "http.response.body", "body": reply.content})


def main(upstream: str) -> None:
    """Listen on a free port, say where, and serve until told to stop."""
    keep_memory()
    listener = listen("127.0.0.1", 0)
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
    main(sys.argv[1])
