"""Vendor that sends exactly the bytes of a test, and reads nothing where a test requires that."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from service.adapters.uploads import FileSpool
from service.domain.image_spec import Reference

Behavior = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Reaction of a vendor to a connection. The connection is closed afterwards."""


def build_upload(body: bytes, param: str) -> Reference:
    """Build an image that a caller uploaded: in an unnamed file."""
    intake = FileSpool(100_000_000).begin(param)
    intake.write(body)
    reference = intake.finish()
    return Reference(param=param, digest=reference.digest, content=reference.content, media_type="image/png")


async def read_head(reader: asyncio.StreamReader) -> str:
    """Read the header of the next request, without its body."""
    return (await reader.readuntil(b"\r\n\r\n")).decode()


async def read_request(reader: asyncio.StreamReader) -> str:
    """Read the next request, and return its header. Bodies have a content-length."""
    head = await read_head(reader)
    length = next(line for line in head.lower().split("\r\n") if line.startswith("content-length: "))
    await reader.readexactly(int(length.removeprefix("content-length: ")))
    return head


def reply_after_request(answer: bytes) -> Behavior:
    """Read the whole request, send the bytes, disconnect."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    return say


def reply_after_head(reply: bytes) -> Behavior:
    """Send the bytes as soon as the head of a request is there."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(reply)
        await writer.drain()

    return say


async def never_read(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Read no more than the network delivers by itself."""
    reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001 (a vendor that is deaf)
    await asyncio.Event().wait()


async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Read a proxy's request, and disconnect."""
    await read_head(reader)


@asynccontextmanager
async def vendor_host(say: Behavior, trust: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Run a vendor. Yields its host and port on loopback."""
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await say(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        writer.close()
        with suppress(OSError, asyncio.CancelledError):  # the test may end while the connection closes
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.create_task(serve(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0, ssl=trust) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
