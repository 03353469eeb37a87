"""Load generator: sends a number of requests over a number of connections, then stops.

Rule: it shares the machine with the measured process, so it costs as little as possible. Requests are prepared bytes,
and replies are read into one scratch buffer.

Fails with: `LoadError` for any reply but 200.
"""

import asyncio
import json
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

SCRATCH = memoryview(bytearray(1 << 20))
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
STATUS = re.compile(rb"HTTP/1.1 200 ")
BOUNDARY = b"ece02c8ba8a74e6a9d4dd3f3e0a3e4bf"

Ask = Sequence[bytes]
"""One request as it goes over the wire, in chunks."""


class LoadError(Exception):
    """An unexpected reply."""


def json_ask(path: str, key: str, document: Mapping[str, object]) -> Ask:
    """Build a POST of a JSON document."""
    body = json.dumps(document).encode()
    return [_head(path, key, "application/json", len(body)) + body]


def form_ask(path: str, key: str, fields: Mapping[str, str], images: Sequence[bytes]) -> Ask:
    """Build a POST of a form with images."""
    body = [*_form(fields, images)]
    return [_head(path, key, f"multipart/form-data; boundary={BOUNDARY.decode()}", sum(map(len, body))), *body]


def _head(path: str, key: str, content_type: str, length: int) -> bytes:
    lines = (
        f"POST {path} HTTP/1.1",
        "host: localhost",
        f"authorization: Bearer {key}",
        f"content-type: {content_type}",
        f"content-length: {length}",
    )
    return "\r\n".join((*lines, "", "")).encode()


def _form(fields: Mapping[str, str], images: Sequence[bytes]) -> Iterator[bytes]:
    start = b"--" + BOUNDARY + b'\r\ncontent-disposition: form-data; name="'
    for name, text in fields.items():
        yield start + f'{name}"\r\n\r\n{text}\r\n'.encode()
    for index, image in enumerate(images):
        yield start + f'image[]"; filename="{index}.png"\r\ncontent-type: image/png\r\n\r\n'.encode()
        yield image
        yield b"\r\n"
    yield b"--" + BOUNDARY + b"--\r\n"


async def storm(url: str, ask: Ask, *, count: int, at_once: int) -> None:
    """Send a request `count` times over `at_once` connections, each with one request at a time."""
    left = iter(range(count))
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(_caller(url, ask, left))


async def _caller(url: str, ask: Ask, left: Iterator[int]) -> None:
    loop, address = asyncio.get_running_loop(), urlsplit(url)
    with socket.socket() as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, (address.hostname, address.port))
        for _ in left:
            for piece in ask:
                await loop.sock_sendall(connection, piece)
            await _receive(connection)


async def _receive(connection: socket.socket) -> None:
    """Read one reply."""
    loop, head = asyncio.get_running_loop(), b""
    while b"\r\n\r\n" not in head:
        taken = await loop.sock_recv(connection, 4096)
        head += taken
        if not taken:
            raise LoadError(f"the connection was closed after {head!r}")
    if not STATUS.match(head):
        raise LoadError(head.decode(errors="replace"))
    missing = int(LENGTH.findall(head)[0]) - (len(head) - head.index(b"\r\n\r\n") - 4)
    while missing:
        taken_bytes = await loop.sock_recv_into(connection, SCRATCH)
        missing -= taken_bytes
        if not taken_bytes:
            raise LoadError(f"{missing} bytes of the reply are missing")
