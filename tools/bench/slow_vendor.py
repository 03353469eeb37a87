"""Slow vendor: `python -m tools.bench.slow_vendor PORT SECONDS` answers each call after a delay.

Rule: the reply is prepared. A request's body is counted and dropped. Its cost is almost zero, so thousands of calls may
wait at once. Serves until SIGTERM.
"""

import asyncio
import sys

import uvloop

from tools.bench.cases import SLOW
from tools.bench.fast_vendor import Upstream
from tools.bench.vendor_replies import canned

BODY = canned(SLOW)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)


class Slow(Upstream):
    """One connection, one request at a time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def answer(self) -> None:
        """Answer after the delay."""
        asyncio.get_running_loop().call_later(self._seconds, self._write)

    def _write(self) -> None:
        if not self._transport.is_closing():
            self._transport.writelines((HEAD, BODY))


async def serve(port: int, seconds: float) -> None:
    """Listen on the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Slow(seconds), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
