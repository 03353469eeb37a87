"""One exchange with a client: sends a reply, whole or broken.

Rule: ASGI carries a correct reply, and the transport carries a broken one. A fault is a row in one of three tables: it
rewrites the reply, breaks the connection, or stalls.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tests.simulators.recording import Message, Receive

TRANSPORT = "simulator.transport"

Send = Callable[[Message], Awaitable[None]]
Fault = Literal[
    "close_before_headers",  # the connection is closed without a byte
    "reset_before_headers",  # the connection is torn down (RST)
    "close_mid_body",  # headers and half of the body, then the connection is closed
    "stall_before_headers",  # no byte, for ever
    "stall_after_headers",  # headers, then no byte, for ever
    "stall_mid_body",  # headers and half of the body, then no byte, for ever
    "hold_mid_body",  # headers and half of the body; the rest after `release()`
    "garbage",  # bytes that are not HTTP
    "not_json",  # a page instead of a document
    "empty_body",  # the status and the headers of the answer, without a body
    "cut_json",  # half of the document, sent as a complete one
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply. Several `chunks` go out one by one, without a content-length."""

    status: int
    headers: Mapping[str, str]
    chunks: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.chunks)


class Call:
    """One exchange: the ASGI channel, and the transport for replies that ASGI cannot express."""

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.transport: asyncio.Transport = scope["extensions"][TRANSPORT]
        self.receive = receive
        self._send = send

    async def start(self, reply: Reply) -> None:
        """Send the status and the headers."""
        headers = {name.lower(): value for name, value in reply.headers.items()}
        if len(reply.chunks) <= 1:
            headers["content-length"] = str(len(reply.body))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": reply.status, "headers": raw})

    async def part(self, chunk: bytes) -> None:
        """Send a chunk of the body."""
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, chunk: bytes = b"") -> None:
        """Send the last chunk of the body."""
        await self._send({"type": "http.response.body", "body": chunk, "more_body": False})

    async def whole(self, reply: Reply) -> None:
        """Send the whole reply."""
        await self.start(reply)
        *pieces, last = reply.chunks or (b"",)
        for piece in pieces:
            await self.part(piece)
        await self.end(last)

    async def half(self, reply: Reply) -> Reply:
        """Send the headers and the first half. Returns the rest."""
        await self.start(reply)
        sent, rest = _halves(reply.chunks)
        for chunk in sent:
            await self.part(chunk)
        return replace(reply, chunks=rest)

    async def gone(self) -> None:
        """Wait until the client has disconnected."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def close(self) -> None:
        """Close the connection after the written bytes."""
        self.transport.close()
        await self.gone()

    async def reset(self) -> None:
        """Reset the connection."""
        if not self.transport.is_closing():
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        await self.gone()

    async def babble(self) -> None:
        """Send bytes that are not HTTP."""
        self.transport.write(b"\x16\x03\x01 I speak another protocol\r\n\r\n")
        await self.close()


def _halves(chunks: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Split between two chunks, or in the middle of a single one."""
    if len(chunks) > 1:
        return chunks[: len(chunks) // 2], chunks[len(chunks) // 2 :]
    body = b"".join(chunks)
    return (body[: len(body) // 2],), (body[len(body) // 2 :],)


async def _nothing(call: Call, reply: Reply) -> None:
    """Send nothing."""


async def _half_and_close(call: Call, reply: Reply) -> None:
    await call.half(reply)
    await call.close()


PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
REWRITES: Mapping[Fault | None, Callable[[Reply], Reply]] = {
    "not_json": lambda reply: replace(reply, chunks=(PAGE,)),
    "empty_body": lambda reply: replace(reply, chunks=()),
    "cut_json": lambda reply: replace(reply, chunks=(reply.body[: len(reply.body) // 2],)),
}
BREAKS: Mapping[Fault | None, Callable[[Call, Reply], Awaitable[None]]] = {
    "close_before_headers": lambda call, _: call.close(),
    "reset_before_headers": lambda call, _: call.reset(),
    "close_mid_body": _half_and_close,
    "garbage": lambda call, _: call.babble(),
}
STALLS: Mapping[Fault | None, Callable[[Call, Reply], Awaitable[object]]] = {
    "stall_before_headers": _nothing,
    "stall_after_headers": Call.start,
    "stall_mid_body": Call.half,
}
