"""Reads request bodies: bounded in bytes, in silence, in slowness and in time.

Rule: a body is refused as soon as it is known to be too large, by announcement or by count (`TooLarge`); one that
pauses too long, comes too slowly or takes too long is given up (`BodyTimeout`); a caller that hangs up makes
`ClientGone`. A fault that the connection found in a body is raised. Nothing is decoded here; a body that says it is
compressed is refused (`InvalidValue`), and nowhere do few bytes become many.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from service.api.http.errors import ClientGone
from service.api.http.request_context import FAULT_KEY, Http
from service.domain.errors import BodyTimeout, GatewayError, InvalidValue, TooLarge

UNCODED: Mapping[str, str] = {"content-encoding": "identity", "transfer-encoding": "chunked"}
"""What these headers may say: nothing more than that the body is what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalLimits:
    """How a body has to arrive: without a longer pause than `idle_seconds`, whole within `body_seconds`.

    In every `idle_seconds` at least `least_rate` bytes a second arrive, unless the body ends.
    """

    idle_seconds: float
    body_seconds: float
    least_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """What callers may send, in bytes, and at which pace."""

    most_json_bytes: int
    most_form_bytes: int
    most_picture_bytes: int
    pace: ArrivalLimits


class BodyArrival:
    """How a body arrives. Only the time in which the gateway waits for it counts."""

    def __init__(self, pace: ArrivalLimits) -> None:
        self._pace = pace
        self._left = pace.body_seconds
        self._waited = 0.0
        self._received = 0

    @property
    def patience(self) -> float:
        """Seconds until the next piece has to be there."""
        return min(self._pace.idle_seconds, self._left)

    def late(self) -> BodyTimeout:
        """The refusal of a body whose next piece is not there in time."""
        if self._left < self._pace.idle_seconds:
            return BodyTimeout(f"The body did not arrive within {self._pace.body_seconds:g} seconds.")
        return BodyTimeout(f"No byte of the body arrived for {self._pace.idle_seconds:g} seconds.")

    def came(self, size: int, waited: float) -> None:
        """Take note of a piece that is not the last. Raises `BodyTimeout`."""
        self._left -= waited
        self._waited += waited
        self._received += size
        if self._left <= 0:
            raise self.late()
        if self._waited < self._pace.idle_seconds:
            return
        if self._received < self._waited * self._pace.least_rate:
            raise BodyTimeout(f"The body arrives at less than {self._pace.least_rate:g} bytes per second.")
        self._waited = self._received = 0


async def read_chunks(request: Http, most: int, pace: ArrivalLimits) -> AsyncGenerator[bytes, None]:
    """The body, piece by piece."""
    _check_uncoded(request)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise TooLarge(f"The body has {announced} bytes; at most {most} are accepted.")
    received, progress, now = 0, BodyArrival(pace), asyncio.get_running_loop().time
    while True:
        began = now()
        message = await _receive(request, progress)
        chunk = message.get("body", b"")
        received += len(chunk)
        if received > most:
            raise TooLarge(f"The body is larger than {most} bytes.")
        if message.get("more_body"):
            progress.came(len(chunk), now() - began)
        yield chunk
        if not message.get("more_body"):
            return


def _check_uncoded(request: Http) -> None:
    for header, plain in UNCODED.items():
        if request.headers.get(header, plain).strip().lower() != plain:
            raise InvalidValue(f"Bodies are taken as they are; {header} can only be {plain}.", param=header)


async def _receive(request: Http, progress: BodyArrival) -> dict[str, bytes]:
    try:
        async with asyncio.timeout(progress.patience):
            message = await request.receive()
    except TimeoutError:
        raise progress.late() from None
    refused = request.scope.get(FAULT_KEY)
    if isinstance(refused, GatewayError):
        raise refused
    if message["type"] == "http.disconnect":
        raise ClientGone("The client closed the connection.")
    return message  # type: ignore[return-value]  # an http.request event


async def read_body(request: Http, most: int, pace: ArrivalLimits) -> bytearray:
    """The whole body, in memory once."""
    body = bytearray()
    async for chunk in read_chunks(request, most, pace):
        body += chunk
    return body
