"""Vendors that misbehave, each on a socket of its own.

Rule: a `Stage` yields the address of a vendor and counts in `Arrivals` the requests that arrived whole. An `Act` is the
vendor's reaction to one of them. The text of replies comes from `tests/simulators`. A connection serves one request
unless its act is about that. So no call meets a connection that is being closed.
"""

import asyncio
import gzip
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus

import trustme

from tests.simulators import openai
from tests.simulators.recording import Recorded
from tests.simulators.server import Answer, Defaults
from tests.support.vendor_host import Behavior, never_read, read_request, vendor_host

LARGE = 30_000_000  # bytes of an image, 40 MB in base64
BOMB = 500_000_000  # bytes that a small body unfolds into
BLOCK = 10_000_000
DRIP_SECONDS = 0.05
FIELDS = {"model": "gpt-image-2", "prompt": "a fox", "quality": "low", "size": "1024x1024"}


@dataclass(slots=True)
class Arrivals:
    """Number of requests that arrived whole."""

    calls: int = 0


Act = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Reaction of a vendor to a request, whose number is the first argument, from 1. The connection is closed after it."""

Stage = Callable[[Arrivals], AbstractAsyncContextManager[str]]
"""A running vendor; yields the address for a gateway."""


def on(act: Act) -> Stage:
    """Return a vendor that reads requests."""

    @asynccontextmanager
    async def stage(arrivals: Arrivals) -> AsyncIterator[str]:
        async with vendor_host(_counting(act, arrivals)) as host:
            yield f"http://{host}/v1"

    return stage


def _counting(act: Act, arrivals: Arrivals) -> Behavior:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrivals.calls += 1
        await act(arrivals.calls, reader, writer)

    return say


@asynccontextmanager
async def closed_port(_: Arrivals) -> AsyncIterator[str]:
    """Reserve a port on which no server listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


@asynccontextmanager
async def no_such_name(_: Arrivals) -> AsyncIterator[str]:
    """Yield a name that never resolves (RFC 6761)."""
    yield "http://vendor.invalid/v1"


@asynccontextmanager
async def wrong_certificate(arrivals: Arrivals) -> AsyncIterator[str]:
    """Serve TLS with a certificate of an unknown authority."""
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(trust)
    async with vendor_host(_counting(well, arrivals), trust) as host:
        yield f"https://{host}/v1"


@asynccontextmanager
async def mute_handshake(_: Arrivals) -> AsyncIterator[str]:
    """Accept connections and never answer the handshake."""
    async with vendor_host(never_read) as host:
        yield f"https://{host}/v1"


@asynccontextmanager
async def deaf(_: Arrivals) -> AsyncIterator[str]:
    """Accept connections, read nothing and send nothing."""
    async with vendor_host(never_read) as host:
        yield f"http://{host}/v1"


def head(*lines: str, status: int = 200) -> bytes:
    """Return the head of a reply, after which the connection is not used again."""
    known = {code.value: code.phrase for code in HTTPStatus}
    first = f"HTTP/1.1 {status} {known.get(status, 'Unknown')}"
    return "\r\n".join((first, "content-type: application/json", "connection: close", *lines, "", "")).encode()


@cache
def image_document(length: int = 0) -> bytes:
    """Return the document of a good reply, with an image of at least `length` bytes."""
    asked = Recorded(
        method="POST",
        path="/v1/images/generations",
        headers={"authorization": "Bearer sk-operator"},
        content_type="application/json",
        fields=dict(FIELDS),
    )
    return openai.respond(asked, Defaults(image_bytes=length)).body


def says(*pieces: bytes) -> Act:
    """Send these pieces and close the connection."""

    async def act(_: int, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return act


def sends(body: bytes, *lines: str) -> Act:
    """Send a whole 200 with this body."""
    return says(head(f"content-length: {len(body)}", *lines), body)


def answers(answer: Answer, **more: str) -> Act:
    """Send the answer of a simulator."""
    body, lines = (
        answer.body or b"",
        {**answer.headers, **{name.replace("_", "-"): text for name, text in more.items()}},
    )
    named = [f"{name}: {text}" for name, text in lines.items() if name != "content-type"]
    return says(head(f"content-length: {len(body)}", *named, status=answer.status or 200), body)


async def well(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send an image."""
    await sends(image_document())(number, reader, writer)


async def large(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send an image of 40 MB."""
    await sends(image_document(LARGE))(number, reader, writer)


async def bomb(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a small gzip body that unfolds into a large one, without being asked for gzip."""
    await sends(_folded(), "content-encoding: gzip")(number, reader, writer)


@cache
def _folded() -> bytes:
    return gzip.compress(bytes(BLOCK)) * (BOMB // BLOCK)  # a gzip file may have several members


def first(act: Act, then: Act) -> Act:
    """Do one act with the first request, and another with all that follow."""

    async def acts(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (act if number == 1 else then)(number, reader, writer)

    return acts


def stops_after(start: bytes) -> Act:
    """Send these bytes and then nothing, for ever."""

    async def act(_: int, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await asyncio.Event().wait()

    return act


def drips(start: bytes, body: bytes) -> Act:
    """Send these bytes, then a byte of the body now and then, and never reach its end."""

    async def act(_: int, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        for byte in body:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(DRIP_SECONDS)

    return act


async def pours(_: int, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a body without end, as fast as it is taken."""
    piece = b"f4240\r\n" + bytes(1_000_000) + b"\r\n"
    writer.write(head("transfer-encoding: chunked"))
    while True:
        writer.write(piece)
        await writer.drain()


async def resets(_: int, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send half of a reply and reset the connection."""
    writer.write(head(f"content-length: {len(image_document())}") + image_document()[: len(image_document()) // 2])
    await writer.drain()
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def half_closes(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close the sending half, and go on reading."""
    writer.write_eof()
    await reader.read()


async def says_too_little(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Announce half of the body that follows, and take the next request on the same connection."""
    body = image_document()
    announced = head(f"content-length: {len(body) // 2}").replace(b"connection: close\r\n", b"")
    writer.write(announced + body)
    await reader.read()
