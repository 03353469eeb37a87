"""Reads request bodies: bounded in bytes, bounded in silence.

Rule: a body is refused as soon as it is known to be too large, by announcement or by count (`TooLarge`); one that
pauses too long is given up (`SlowBody`); a caller that hangs up makes `ClientGone`. A fault that the connection found
in a body is raised. Nothing is decoded here; a body that says it is compressed is refused (`InvalidValue`), and
nowhere do few bytes become many.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from service.api.edge import REFUSED, Http
from service.api.errors import ClientGone
from service.domain.errors import GatewayError, InvalidValue, SlowBody, TooLarge

PLAIN: Mapping[str, str] = {"content-encoding": "identity", "transfer-encoding": "chunked"}
"""What these headers may say: nothing more than that the body is what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What callers may send, in bytes, and how long a body may pause, in seconds."""

    most_json_bytes: int
    most_form_bytes: int
    most_picture_bytes: int
    idle_seconds: float


async def chunks(request: Http, most: int, idle: float) -> AsyncGenerator[bytes, None]:
    """The body, piece by piece."""
    _check_plain(request)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise TooLarge(f"The body has {announced} bytes; at most {most} are accepted.")
    received = 0
    while True:
        message = await _receive(request, idle)
        chunk = message.get("body", b"")
        received += len(chunk)
        if received > most:
            raise TooLarge(f"The body is larger than {most} bytes.")
        yield chunk
        if not message.get("more_body"):
            return


def _check_plain(request: Http) -> None:
    for header, plain in PLAIN.items():
        if request.headers.get(header, plain).strip().lower() != plain:
            raise InvalidValue(f"Bodies are taken as they are; {header} can only be {plain}.", param=header)


async def _receive(request: Http, idle: float) -> dict[str, bytes]:
    try:
        async with asyncio.timeout(idle):
            message = await request.receive()
    except TimeoutError:
        raise SlowBody(f"No byte of the body arrived for {idle} seconds.") from None
    refused = request.scope.get(REFUSED)
    if isinstance(refused, GatewayError):
        raise refused
    if message["type"] == "http.disconnect":
        raise ClientGone("The client closed the connection.")
    return message  # type: ignore[return-value]  # an http.request event


async def read_all(request: Http, most: int, idle: float) -> bytearray:
    """The whole body, in memory once."""
    body = bytearray()
    async for chunk in chunks(request, most, idle):
        body += chunk
    return body
