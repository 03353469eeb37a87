"""An https host of its own for every test, a name server that counts, and a reader that knows them."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from service.adapters.reference_fetcher import FetchSettings, GuardedFetcher, Resolve
from service.domain.errors import RequestError
from service.domain.image_spec import Reference

NAME = "pictures.example"
PARAM = "images[1].image_url"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
JPEG = b"\xff\xd8\xff\xe0" + bytes(2000)
WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(2000)

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


def reply(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(target: str, status: str = "302 Found") -> bytes:
    return reply(b"", f"location: {target}", status=status)


async def stall(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + PNG)
    await writer.drain()
    await asyncio.sleep(30)


async def pour(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
    while not writer.is_closing():
        writer.write(PNG)
        await writer.drain()


async def dribble(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for start in range(0, len(WEBP), 5):
        chunk = WEBP[start : start + 5]
        writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(b"0\r\n\r\n")


async def break_tls(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + PNG)
    await writer.drain()
    os.write(writer.get_extra_info("socket").fileno(), b"this is no TLS record")
    await asyncio.sleep(0.2)


@dataclass
class Host:
    """A host with a certificate: what it says on which path, and what it was asked."""

    ca_file: str
    port: int = 0
    says: dict[str, bytes | Script] = field(default_factory=dict)
    received: list[dict[str, str]] = field(default_factory=list)
    asked_for: list[str | None] = field(default_factory=list)
    connections: int = 0

    def link(self, path: str, name: str = NAME) -> str:
        return f"https://{name}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
            self.received.append(dict(line.split(": ", 1) for line in lines))
            behavior = self.says[request.split(" ")[1]]
            await (_write(behavior, writer) if isinstance(behavior, bytes) else behavior(writer))
            await writer.drain()


async def _write(behavior: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(behavior)


@asynccontextmanager
async def https_host(folder: Path) -> AsyncIterator[Host]:
    """A host on loopback; the authority of its certificate lies in the folder."""
    authority = trustme.CA()
    host = Host(ca_file=str(folder / "authority.pem"))
    authority.cert_pem.write_to_path(host.ca_file)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME, "second.example", "localhost", "127.0.0.1").configure_cert(trust)
    trust.sni_callback = lambda _, name, __: host.asked_for.append(name)
    tasks: list[asyncio.Task[None]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        tasks.extend([task] if task else [])
        with suppress(asyncio.CancelledError):
            await host.serve(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(accept, "127.0.0.1", 0, ssl=trust) as server:
        host.port = server.sockets[0].getsockname()[1]
        yield host
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Names:
    """A name server: one answer for each question, in turn; the last one stands. It counts."""

    def __init__(self, answers: Mapping[str, Sequence[Sequence[str]]] | None = None) -> None:
        self.answers = {NAME: [["127.0.0.1"]], "second.example": [["127.0.0.1"]], **(answers or {})}
        self.questions: list[str] = []

    async def __call__(self, name: str, port: int) -> Sequence[str]:
        assert port > 0
        answers_of_name = self.answers[name]
        addresses = answers_of_name[min(self.questions.count(name), len(answers_of_name) - 1)]
        self.questions.append(name)
        if not addresses:
            raise OSError(name)
        return addresses


@asynccontextmanager
async def reader(host: Host, names: Resolve | None = None, **other: object) -> AsyncIterator[GuardedFetcher]:
    settings: dict[str, object] = {
        "allow_networks": ("127.0.0.0/8",),
        "allow_ports": (443, host.port),
        "ca_file": host.ca_file,
        "timeout_seconds": 10.0,
    }
    links = GuardedFetcher(FetchSettings(**{**settings, **other}), names or Names())  # type: ignore[arg-type]
    try:
        yield links
    finally:
        await links.close()


def to(link: str | None) -> Reference:
    return Reference(param=PARAM, digest="of the link", link=link)


async def refusal(links: GuardedFetcher, link: str | None) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await links.fetch(to(link))
    assert caught.value.param == PARAM
    assert PARAM in caught.value.message
    return caught.value
