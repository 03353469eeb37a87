"""Answers that begin before they are known: server-sent events, and JSON behind spaces.

Rule: as long as nothing has gone out an error is a status; afterwards it is an error in the body, and an answer never
ends as if it had come to something when it has not. Whoever waits hears something every few seconds. A slow reader
holds the vendor up for a moment and then misses previews; a reader who leaves holds up nothing, and the picture is
bought to the end.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final, cast

import msgspec
from litestar.response.base import ASGIResponse, Response
from litestar.types import HTTPResponseBodyEvent, Receive, Send

from service.api.http.dependencies import dependencies
from service.api.http.errors import ClientGone, replica_stopped
from service.api.http.rate_limit_headers import rate_limit_headers
from service.api.http.request_context import Http, RequestContext, RequestProgress, request_context
from service.api.schemas.images_reply import TokenUsage, usage_reply
from service.domain.errors import GatewayError
from service.domain.generation import Buffer, GeneratedImage, Preview, Usage
from service.domain.ledger import Admission
from service.usecases.background.supervisor import report_unhandled_error
from service.usecases.generate.delivery import Delivery

PREVIEW_WAIT_SECONDS: Final = 5.0  # how long a preview waits for a reader before it is left out
SLICE_BYTES: Final = (
    1 << 17
)  # bytes of a picture that go out at a time: the server copies each, and waits for room between them
SSE_KEEPALIVE, JSON_KEEPALIVE = b": nothing yet\n\n", b" "
STREAM_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
UNKNOWN_VALUE = "auto"
NO_USAGE = usage_reply(Usage())

Chunks = AsyncGenerator[Buffer, None]


class PreviewEvent(msgspec.Struct):
    """What an event says about a preview besides its base64."""

    created_at: int
    size: str
    quality: str
    background: str
    output_format: str
    partial_image_index: int


class ImageEvent(msgspec.Struct, omit_defaults=True):
    """What an event says about a finished picture besides its base64."""

    created_at: int
    size: str
    quality: str
    background: str
    output_format: str
    usage: TokenUsage
    id: str
    index: int
    revised_prompt: str | None = None


class RunningRequest:
    """A request that is being served: it listens for how the request goes on, and passes previews on one at a time.

    A caller that waits is sent something every `seconds`.
    """

    delivery: asyncio.Task[Delivery]

    def __init__(self, line: RequestContext, seconds: float) -> None:
        self._line = line
        self._seconds = seconds
        self._previews: asyncio.Queue[Preview] = asyncio.Queue(1)
        self._sent = asyncio.Event()
        self._has_left = False
        self._has_ended = False

    def start(self, making: Awaitable[Delivery]) -> None:
        """Serve the request in a task of its own."""
        self.delivery = asyncio.ensure_future(self._made(making))
        self.delivery.add_done_callback(self._log_lost_error)

    def on_admitted(self, admission: Admission) -> None:
        """Put the state of the limits into the headers."""
        self._line.headers |= rate_limit_headers(admission.limit_status)
        self._line.progress = RequestProgress.ADMITTED

    def on_sent(self) -> None:
        """Note that a backend is about to be called."""
        self._line.progress = RequestProgress.SENT
        self._sent.set()

    async def on_preview(self, preview: Preview) -> None:
        """Offer a preview to the reader for some seconds; a slow reader misses it."""
        if not self._has_left:
            with suppress(TimeoutError):
                async with asyncio.timeout(PREVIEW_WAIT_SECONDS):
                    await self._previews.put(preview)
            self._make_room()

    async def sent_or_done(self) -> None:
        """Wait until a backend is called, the delivery is there, or it takes too long."""
        sent = asyncio.ensure_future(self._sent.wait())
        try:
            await asyncio.wait({self.delivery, sent}, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sent.cancel()

    async def events(self) -> AsyncGenerator[Preview | None, None]:
        """Yield previews as they come, and None whenever nothing came for a while; ends with the delivery."""
        preview = asyncio.ensure_future(self._previews.get())
        try:
            while True:
                either = {self.delivery, preview}
                await asyncio.wait(either, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
                if preview.done():
                    yield preview.result()
                    preview = asyncio.ensure_future(self._previews.get())
                elif self.delivery.done():
                    return
                else:
                    yield None
        finally:
            preview.cancel()

    def leave(self) -> None:
        """End the caller's wait. The purchase goes on, and waits for no reader of its previews."""
        self._has_left = True
        self._make_room()
        self.delivery.cancel()

    def end(self) -> None:
        """Tell the caller that the replica goes away."""
        self._has_ended = True
        self.delivery.cancel()

    async def _made(self, making: Awaitable[Delivery]) -> Delivery:
        try:
            return await making
        except asyncio.CancelledError:
            if self._has_ended:
                raise replica_stopped() from None
            raise

    def _make_room(self) -> None:
        """Drop the previews of a caller that left, so that one that waits for a reader goes on."""
        while self._has_left and not self._previews.empty():
            self._previews.get_nowait()

    def _log_lost_error(self, delivery: asyncio.Task[Delivery]) -> None:
        """After the caller has left, a mistake of ours is logged; a failure is posted already."""
        if self._has_left:
            report_unhandled_error(delivery)
        elif not delivery.cancelled():
            delivery.exception()


class StreamingBody(ASGIResponse):
    """An answer of pieces that are not known yet. When the caller leaves, the pieces are closed.

    When the replica goes away, `stop` is called, which makes the last piece an error.
    """

    __slots__ = ("_chunks", "_stop")

    _should_set_content_length = False

    def __init__(self, chunks: Chunks, media_type: str, headers: dict[str, str], stop: Callable[[], None]) -> None:
        super().__init__(headers=headers, media_type=media_type, status_code=200)
        self._stop = stop
        self._chunks = chunks

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send each piece as soon as it is there and the reader has room for it."""
        sending, disconnect = (
            asyncio.ensure_future(self._send(send)),
            asyncio.ensure_future(_wait_for_disconnect(receive)),
        )
        try:
            await asyncio.wait({sending, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._stop()
            await asyncio.wait({sending, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, disconnect):
                task.cancel()
            await asyncio.gather(sending, disconnect, return_exceptions=True)
            await self._chunks.aclose()
        if not sending.cancelled():
            sending.result()

    async def _send(self, send: Send) -> None:
        async for chunk in self._chunks:
            for start in range(0, len(chunk), SLICE_BYTES):
                await send(_body_message(memoryview(chunk)[start : start + SLICE_BYTES], more=True))
            del chunk  # megabytes, which would be kept until the next piece is there
        await send(_body_message(b"", more=False))


def _body_message(chunk: Buffer, *, more: bool) -> HTTPResponseBodyEvent:
    event = {"type": "http.response.body", "body": chunk, "more_body": more}
    return cast("HTTPResponseBodyEvent", event)


async def _wait_for_disconnect(receive: Receive) -> None:
    """Wait until the caller has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_connected(receive: Receive, work: Awaitable[Delivery]) -> Delivery:
    """The delivery, as long as the caller stays.

    Raises:
        ClientGone: the caller hung up. What is being bought is bought to the end.
    """
    delivery, disconnect = asyncio.ensure_future(work), asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({delivery, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if delivery.done():
            return delivery.result()
        delivery.add_done_callback(report_unhandled_error)
        raise ClientGone("The caller hung up before the answer was known.")
    finally:
        delivery.cancel()
        disconnect.cancel()
        await asyncio.gather(disconnect, return_exceptions=True)


async def sse_response(
    request: Http, running: RunningRequest, event_prefix: str, on_finished: Callable[[Delivery], dict[str, str]]
) -> ASGIResponse:
    """Server-sent events: previews, then the images. `on_finished` gets the delivery and returns its header fields.

    Raises:
        GatewayError: it failed before there was anything to show.
    """
    events = running.events()
    try:
        first = [event async for event in _first_event(events)]
        headers = STREAM_HEADERS if first else STREAM_HEADERS | on_finished(running.delivery.result())
    except BaseException:
        running.leave()
        raise
    return StreamingBody(
        _sse(request, running, event_prefix, first, events, on_finished), "text/event-stream", headers, running.end
    )


async def _first_event(events: AsyncIterator[Preview | None]) -> AsyncIterator[Preview | None]:
    """The next moment, if there is one."""
    with suppress(StopAsyncIteration):
        yield await anext(events)


async def _sse(  # noqa: PLR0913, PLR0917 (what one stream is made of)
    request: Http,
    running: RunningRequest,
    event_prefix: str,
    first: list[Preview | None],
    events: AsyncGenerator[Preview | None, None],
    on_finished: Callable[[Delivery], dict[str, str]],
) -> Chunks:
    write_event = partial(_write_event, request_context(request.scope), dependencies(request).now, event_prefix)
    try:
        while first:
            for chunk in write_event(first.pop()):
                yield chunk
        async for event in events:
            for chunk in write_event(event):
                yield chunk
            del event, chunk  # megabytes, which would be kept until the next event is there
        delivery = await running.delivery
        on_finished(delivery)
        for index in range(len(delivery.result.generation.images)):
            for chunk in image_event(event_prefix, delivery, index):
                yield chunk
    except Exception as error:  # noqa: BLE001 (whatever it is, the answer has begun, and must not end in silence)
        yield b"event: error\ndata: " + error_body(request, error) + b"\n\n"
    finally:
        running.leave()
        await events.aclose()


def _write_event(
    context: RequestContext, now: Callable[[], datetime], event_prefix: str, preview: Preview | None
) -> Sequence[Buffer]:
    if preview is None:
        return [SSE_KEEPALIVE]
    context.record_first_preview()
    return preview_event(event_prefix, preview, int(now().timestamp()))


def preview_event(event_prefix: str, partial: Preview, at: int) -> Sequence[Buffer]:
    """The event of a preview; its base64 by reference. Where its backend does not say when it was drawn, it is `at`."""
    event = PreviewEvent(
        created_at=partial.created or at,
        size=partial.size or UNKNOWN_VALUE,
        quality=partial.tier or UNKNOWN_VALUE,
        background=partial.background or UNKNOWN_VALUE,
        output_format=partial.output_format or "png",
        partial_image_index=partial.index,
    )
    return _encode_event(f"{event_prefix}.partial_image", partial.base64, event)


def image_event(event_prefix: str, delivery: Delivery, index: int) -> Sequence[Buffer]:
    """The event of a picture. Tokens are those of the whole purchase, and stand with its last picture.

    OpenAI's event always has `usage`, and typed clients cannot read one without: nothing counted is no token.
    """
    result, generation = delivery.result, delivery.result.generation
    image: GeneratedImage = generation.images[index]
    last = index == len(generation.images) - 1
    usage = usage_reply(generation.usage) if generation.usage and last else NO_USAGE
    event = ImageEvent(
        created_at=result.created,
        size=str(generation.size or UNKNOWN_VALUE),
        quality=generation.tier or UNKNOWN_VALUE,
        background=generation.background or UNKNOWN_VALUE,
        output_format=generation.output_format or delivery.spec.output_format,
        usage=usage,
        id=result.ids[index],
        index=index,
        revised_prompt=image.revised_prompt,
    )
    return _encode_event(f"{event_prefix}.completed", image.base64, event)


def _encode_event(name: str, base64: Buffer, event: msgspec.Struct) -> Sequence[Buffer]:
    head = f'event: {name}\ndata: {{"type":"{name}","b64_json":"'.encode()
    return [head, base64, b'",' + msgspec.json.encode(event)[1:] + b"\n\n"]


async def json_with_keepalive(
    request: Http, running: RunningRequest, write_body: Callable[[Delivery], Sequence[Buffer]], seconds: float
) -> Chunks:
    """The JSON of an answer, with a space in front for every few seconds that it takes."""
    try:
        while not (await asyncio.wait({running.delivery}, timeout=seconds))[0]:
            yield JSON_KEEPALIVE
        for chunk in write_body(running.delivery.result()):
            yield chunk
    except Exception as error:  # noqa: BLE001 (whatever it is, the answer has begun, and must not end in silence)
        yield error_body(request, error)
    finally:
        running.leave()


def error_body(request: Http, error: Exception) -> bytes:
    """The body that this error would have had, had nothing gone out yet."""
    handler_type = GatewayError if isinstance(error, GatewayError) else Exception
    respond = cast("Callable[[Http, Any], Response[bytes]]", request.app.exception_handlers[handler_type])
    return respond(request, error).content
