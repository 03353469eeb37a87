"""Responses that start before their outcome is known: server-sent events, and JSON behind spaces.

Rule: an error before the first byte is a status, and a later one is an error in the body. A response that failed never
ends as if it had succeeded. A caller that waits is sent a sign of life every few seconds. When the caller leaves or the
response ends, the running request is left (`RunningRequest.leave`).

Fails with: the `GatewayError` of the request, if it failed before the response started.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final, cast

from litestar.response.base import ASGIResponse
from litestar.types import HTTPResponseBodyEvent, Receive, Send

from service.api.http.response_writer import ResponseWriter, delivery_headers
from service.api.http.running_request import RunningRequest, wait_for_disconnect
from service.domain.generation import Buffer, Preview

SLICE_BYTES: Final = (
    1 << 17
)  # bytes of an image that are sent at a time: the server copies each slice, and waits for room between them
SSE_KEEPALIVE, JSON_KEEPALIVE = b": nothing yet\n\n", b" "
STREAM_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}

Chunks = AsyncGenerator[Buffer, None]


async def sse_response(running: RunningRequest, writer: ResponseWriter) -> ASGIResponse:
    """Start a response of events with the first preview, the delivery or the first sign of life.

    Raises:
        GatewayError: the request failed before that.
    """
    headers = dict(STREAM_HEADERS)
    try:
        preview = await running.next_preview()
        if preview is None and running.delivery.done():
            delivery = running.delivery.result()
            writer.record(delivery)
            headers |= delivery_headers(delivery)
    except BaseException:
        running.leave()
        raise
    return StreamingBody(_events(running, writer, preview), "text/event-stream", headers, running)


async def _events(running: RunningRequest, writer: ResponseWriter, preview: Preview | None) -> Chunks:
    """Yield previews and signs of life, then the images or an error. `preview` is the first one, if it came."""
    try:
        while preview is not None or not running.delivery.done():
            if preview is None:
                yield SSE_KEEPALIVE
            else:
                for chunk in writer.preview_event(preview):
                    yield chunk
            preview = None  # megabytes, which would be held while the next preview is awaited
            preview = await running.next_preview()

        delivery = running.delivery.result()
        writer.record(delivery)
        for index in range(len(delivery.result.generation.images)):
            for chunk in writer.image_event(delivery, index):
                yield chunk
    except Exception as error:  # noqa: BLE001 (whatever it is, the response has started, and must not end in silence)
        yield b"event: error\ndata: " + writer.error_body(error) + b"\n\n"
    finally:
        running.leave()


async def keepalive_response(running: RunningRequest, writer: ResponseWriter) -> ASGIResponse:
    """Start a JSON response as soon as a backend is called; an outcome that is known by then has its own status.

    Raises:
        GatewayError: the request failed before that.
    """
    await running.sent_or_done()
    if running.delivery.done():
        return writer.json_response(running.delivery.result())
    return StreamingBody(_json_after_spaces(running, writer), "application/json", dict(STREAM_HEADERS), running)


async def _json_after_spaces(running: RunningRequest, writer: ResponseWriter) -> Chunks:
    """Yield a space every few seconds, then the JSON of the delivery or of an error."""
    try:
        while not (await asyncio.wait({running.delivery}, timeout=running.keepalive_seconds))[0]:
            yield JSON_KEEPALIVE
        for chunk in writer.json_body(running.delivery.result()):
            yield chunk
    except Exception as error:  # noqa: BLE001 (whatever it is, the response has started, and must not end in silence)
        yield writer.error_body(error)
    finally:
        running.leave()


class StreamingBody(ASGIResponse):
    """A response whose chunks are sent as they come. They are closed when the caller leaves.

    When the server ends this response because the replica stops, the last chunk is the error of the stopped request.
    """

    __slots__ = ("_chunks", "_running")

    _should_set_content_length = False

    def __init__(self, chunks: Chunks, media_type: str, headers: dict[str, str], running: RunningRequest) -> None:
        super().__init__(headers=headers, media_type=media_type, status_code=200)
        self._running = running
        self._chunks = chunks

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send each chunk as soon as it is there and the reader has room for it."""
        sending = asyncio.ensure_future(self._send(send))
        disconnect = asyncio.ensure_future(wait_for_disconnect(receive))
        try:
            await asyncio.wait({sending, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the replica stops: the caller gets the error, if it is still there
            self._running.stop()
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
            del chunk  # megabytes, which would be held until the next chunk is there
        await send(_body_message(b"", more=False))


def _body_message(chunk: Buffer, *, more: bool) -> HTTPResponseBodyEvent:
    event = {"type": "http.response.body", "body": chunk, "more_body": more}
    return cast("HTTPResponseBodyEvent", event)
