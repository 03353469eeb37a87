"""Backend with almost no cost: `python -m tools.bench.fast_vendor` answers with a prepared body.

Rule: a request's body is counted and dropped. Only its first bytes are searched for `picture of N bytes`, the size of
the image in the reply. Bodies need a content-length. Serves until SIGTERM.
"""

import asyncio
import base64
import re
import sys
from functools import lru_cache
from random import Random
from typing import cast

import uvloop

HEAD = 8192
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
WANTED = re.compile(rb"picture of (\d+) bytes")
SIGNATURE = b"\x89PNG\r\n\x1a\n"


@lru_cache
def answer(image_bytes: int) -> tuple[bytes, bytes]:
    """Build head and body of a reply in OpenAI's form, with noise for an image, and with size and format."""
    image = base64.b64encode(SIGNATURE + Random(1).randbytes(image_bytes - len(SIGNATURE)))  # noqa: S311 (noise)
    body = (
        b'{"created":1795000000,"background":"opaque","output_format":"png","quality":"low","size":"1024x1024",'
        b'"data":[{"b64_json":"' + image + b'"}],"usage":{"input_tokens":9,"input_tokens_details":{"text_tokens":9,'
        b'"image_tokens":0},"output_tokens":208,"output_tokens_details":{"image_tokens":208,"text_tokens":0},'
        b'"total_tokens":217}}'
    )
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    return head, body


class Upstream(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._forget()

    def _forget(self) -> None:
        self._head, self._missing = b"", -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._begin(data)
        else:
            self._missing -= len(data)
            self._head += data[: max(0, HEAD - len(self._head))]
        if self._missing == 0:
            self.answer()
            self._forget()

    def answer(self) -> None:
        """Answer the received request."""
        self._transport.writelines(answer(int(WANTED.findall(self._head)[0])))

    def _begin(self, data: bytes) -> None:
        self._head += data
        end = self._head.find(b"\r\n\r\n") + 4
        if end >= 4:
            self._missing = int(LENGTH.findall(self._head[:end])[0]) - (len(self._head) - end)


async def serve() -> None:
    """Listen on a free port and print it."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
