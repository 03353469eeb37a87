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

    In every `idle_seconds` at least `min_bytes_per_second` bytes a second arrive, unless the body ends.
    """

    idle_seconds: float
    body_seconds: float
    min_bytes_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """What callers may send, in bytes, and at which pace."""

    max_json_bytes: int
    max_form_bytes: int
    arrival: ArrivalLimits


class BodyArrival:
    """How a body arrives. Only the time in which the gateway waits for it counts."""

    def __init__(self, pace: ArrivalLimits) -> None:
        self._pace = pace
        self._left = pace.body_seconds
        self._waited = 0.0
        self._received = 0

    @property
    def seconds_left(self) -> float:
        """Seconds until the next piece has to be there."""
        return min(self._pace.idle_seconds, self._left)

    def timeout_error(self) -> BodyTimeout:
        """The refusal of a body whose next piece is not there in time."""
        if self._left < self._pace.idle_seconds:
            return BodyTimeout(f"The body did not arrive within {self._pace.body_seconds:g} seconds.")
        return BodyTimeout(f"No byte of the body arrived for {self._pace.idle_seconds:g} seconds.")

    def record_chunk(self, size: int, waited_seconds: float) -> None:
        """Take note of a piece that is not the last. Raises `BodyTimeout`."""
        self._left -= waited_seconds
        self._waited += waited_seconds
        self._received += size
        if self._left <= 0:
            raise self.timeout_error()
        if self._waited < self._pace.idle_seconds:
            return
        if self._received < self._waited * self._pace.min_bytes_per_second:
            raise BodyTimeout(f"The body arrives at less than {self._pace.min_bytes_per_second:g} bytes per second.")
        self._waited = self._received = 0


async def read_chunks(request: Http, max_bytes: int, limits: ArrivalLimits) -> AsyncGenerator[bytes, None]:
    """The body, piece by piece."""
    _check_uncoded(request)
    content_length = request.headers.get("content-length", "")
    if content_length.isdecimal() and int(content_length) > max_bytes:
        raise TooLarge(f"The body has {content_length} bytes; at most {max_bytes} are accepted.")
    received, arrival, now = 0, BodyArrival(limits), asyncio.get_running_loop().time
    while True:
        began = now()
        message = await _receive(request, arrival)
        chunk = message.get("body", b"")
        received += len(chunk)
        if received > max_bytes:
            raise TooLarge(f"The body is larger than {max_bytes} bytes.")
        if message.get("more_body"):
            arrival.record_chunk(len(chunk), now() - began)
        yield chunk
        if not message.get("more_body"):
            return


def _check_uncoded(request: Http) -> None:
    for header, plain in UNCODED.items():
        if request.headers.get(header, plain).strip().lower() != plain:
            raise InvalidValue(f"Bodies are taken as they are; {header} can only be {plain}.", param=header)


async def _receive(request: Http, arrival: BodyArrival) -> dict[str, bytes]:
    try:
        async with asyncio.timeout(arrival.seconds_left):
            message = await request.receive()
    except TimeoutError:
        raise arrival.timeout_error() from None
    fault = request.scope.get(FAULT_KEY)
    if isinstance(fault, GatewayError):
        raise fault
    if message["type"] == "http.disconnect":
        raise ClientGone("The client closed the connection.")
    return message  # type: ignore[return-value]  # an http.request event


async def read_body(request: Http, max_bytes: int, limits: ArrivalLimits) -> bytearray:
    """The whole body, in memory once."""
    body = bytearray()
    async for chunk in read_chunks(request, max_bytes, limits):
        body += chunk
    return body
