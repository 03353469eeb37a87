"""Vendor with a delay per request: `python -m tools.bench.scale.delayed_vendor`.

Rule: as `tools.bench.fast_vendor`, but `after N ms` in the prompt delays the reply. Its cost is almost zero, so
thousands of calls may wait at once. Serves until SIGTERM.
"""

import asyncio
import re
import sys
from functools import partial

import uvloop

from tools.bench.fast_vendor import WANTED, Upstream, answer

AFTER = re.compile(rb"after (\d+) ms")


class Vendor(Upstream):
    """One connection, one request at a time."""

    def answer(self) -> None:
        """Answer the request after its delay."""
        reply = answer(int(WANTED.findall(self._head)[0]))
        seconds = int(AFTER.findall(self._head)[0]) / 1000
        asyncio.get_running_loop().call_later(seconds, partial(self._say, reply))

    def _say(self, reply: tuple[bytes, bytes]) -> None:
        if not self._transport.is_closing():
            self._transport.writelines(reply)


async def serve() -> None:
    """Listen on a free port and print it."""
    server = await asyncio.get_running_loop().create_server(Vendor, "127.0.0.1", 0, backlog=2048)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
