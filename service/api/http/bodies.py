"""Reading of request bodies, with limits on bytes, pauses, pace and total time.

Rule: a body is refused as soon as its announced or counted size is too large. No body is decompressed, so few bytes
never become many.

Fails with: `TooLarge`; `BodyTimeout` for a body that pauses too long, arrives too slowly or takes too long;
`InvalidValue` for a compressed one; `ClientGone`; the fault that the connection found in the body.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from service.api.http.errors import ClientGone
from service.api.http.request_context import FAULT_KEY, Http
from service.domain.errors import BodyTimeout, GatewayError, InvalidValue, TooLarge

UNCODED: Mapping[str, str] = {"content-encoding": "identity", "transfer-encoding": "chunked"}
"""Header → its only accepted value, which means that the body is not encoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalLimits:
    """Limits of the time that a body takes.

    Attributes:
        idle_seconds: Longest pause.
        body_seconds: Longest time for the whole body.
        min_bytes_per_second: Lowest pace, measured over each `idle_seconds`.
    """

    idle_seconds: float
    body_seconds: float
    min_bytes_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """Limits of request bodies."""

    max_json_bytes: int
    max_form_bytes: int
    arrival: ArrivalLimits


class BodyArrival:
    """The progress of one body. Only the time in which the gateway waits for bytes counts."""

    def __init__(self, pace: ArrivalLimits) -> None:
        self._pace = pace
        self._left = pace.body_seconds
        self._waited = 0.0
        self._received = 0

    @property
    def seconds_left(self) -> float:
        """Seconds until the next chunk has to arrive."""
        return min(self._pace.idle_seconds, self._left)

    def timeout_error(self) -> BodyTimeout:
        """Build the refusal of a body whose next chunk did not arrive in time."""
        if self._left < self._pace.idle_seconds:
            return BodyTimeout(f"The body did not arrive within {self._pace.body_seconds:g} seconds.")
        return BodyTimeout(f"No byte of the body arrived for {self._pace.idle_seconds:g} seconds.")

    def record_chunk(self, size: int, waited_seconds: float) -> None:
        """Count a chunk that is not the last. Raises `BodyTimeout`."""
        self._left -= waited_seconds
        self._waited += waited_seconds
        self._received += size
        if self._left <= 0:
            raise self.timeout_error()
        if self._waited < self._pace.idle_seconds:  # too short a time to measure a pace
            return
        if self._received < self._waited * self._pace.min_bytes_per_second:
            raise BodyTimeout(f"The body arrives at less than {self._pace.min_bytes_per_second:g} bytes per second.")
        self._waited = self._received = 0


async def read_chunks(request: Http, max_bytes: int, limits: ArrivalLimits) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of a body."""
    _check_uncoded(request)

    # An announced size is refused before a byte is read; a wrong announcement is found by the count below.
    content_length = request.headers.get("content-length", "")
    if content_length.isdecimal() and int(content_length) > max_bytes:
        raise TooLarge(f"The body has {content_length} bytes; at most {max_bytes} are accepted.")
    received, arrival, now = 0, BodyArrival(limits), asyncio.get_running_loop().time
    while True:
        began = now()  # the time of this consumer between two chunks is not the caller's
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
    """Read a whole body into memory, without a second copy."""
    body = bytearray()
    async for chunk in read_chunks(request, max_bytes, limits):
        body += chunk
    return body
