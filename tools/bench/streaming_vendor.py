"""Backend that streams: `python -m tools.bench.streaming_vendor BYTES EVENTS PAUSE` answers every call with events.

Rule: the events are prepared. Each call gets previews and then the image, PAUSE seconds apart. That keeps many calls
under way at once. Bodies need a content-length. Serves until SIGTERM.
"""

import asyncio
import base64
import re
import sys
from random import Random

import uvloop

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
SAID = b'"created_at":1795000000,"size":"1024x1024","quality":"low","background":"opaque","output_format":"png"'
USAGE = (
    b'"usage":{"input_tokens":9,"input_tokens_details":{"text_tokens":9,"image_tokens":0},"output_tokens":408,'
    b'"total_tokens":417}'
)


def events(image_bytes: int, count: int) -> list[bytes]:
    """Build chunks, one per event: previews, then the image."""
    image = base64.b64encode(b"\x89PNG\r\n\x1a\n" + Random(1).randbytes(image_bytes - 8))  # noqa: S311 (noise)
    made = [_event(b"partial_image", image, b'"partial_image_index":%d' % index) for index in range(count - 1)]
    return [*made, _event(b"completed", image, USAGE)]


def _event(name: bytes, image: bytes, more: bytes) -> bytes:
    name = b"image_generation." + name
    data = b'{"type":"%s","b64_json":"%s",%s,%s}' % (name, image, SAID, more)
    frame = b"event: %s\ndata: %s\n\n" % (name, data)
    return b"%x\r\n%s\r\n" % (len(frame), frame)


async def serve(image_bytes: int, count: int, pause: float) -> None:
    """Listen on a free port and print it."""
    ready = events(image_bytes, count)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(LENGTH.findall(head)[0]))
            writer.write(HEAD)
            for event in ready:
                await asyncio.sleep(pause)
                writer.write(event)
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
