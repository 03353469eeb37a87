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

from service.api.desk import desk_of
from service.api.edge import Http, Line, line_of
from service.api.errors import ClientGone, ended
from service.api.replies import TokenUsage, usage_reply
from service.domain.errors import GatewayError
from service.domain.outcomes import Buffer, Partial, Picture, Usage
from service.usecases.background import report_lost_error
from service.usecases.ports import Show
from service.usecases.share import Share

SLOW_SECONDS: Final = 5.0  # how long a preview waits for a reader before it is left out
SLICE: Final = (
    1 << 17
)  # bytes of a picture that go out at a time: the server copies each, and waits for room between them
NOTHING_YET, SPACE = b": nothing yet\n\n", b" "
STREAM_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
UNSAID = "auto"
NO_USAGE = usage_reply(Usage())

Pieces = AsyncGenerator[Buffer, None]
Begin = Callable[[Show, Callable[[], Awaitable[None]]], Awaitable[Share]]
"""Begins a story: it shows previews to the first, and awaits the second before the vendor is asked."""


class PreviewEvent(msgspec.Struct):
    """What an event says about a preview besides its base64."""

    created_at: int
    size: str
    quality: str
    background: str
    output_format: str
    partial_image_index: int


class PictureEvent(msgspec.Struct, omit_defaults=True):
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


class Watched:
    """A story under way: its share is awaited, its previews are taken one at a time.

    `seconds` is how long whoever waits is left without a word.
    """

    def __init__(self, begin: Begin, seconds: float) -> None:
        self._previews: asyncio.Queue[Partial] = asyncio.Queue(1)
        self._departed = asyncio.Event()
        self._seconds = seconds
        self._left = False
        self._ended = False
        self.share: asyncio.Task[Share] = asyncio.ensure_future(self._awaited(begin(self._show, self._depart)))
        self.share.add_done_callback(self._heard)

    def _heard(self, share: asyncio.Task[Share]) -> None:
        """After the caller has left, a mistake of ours is logged; a failure is booked already."""
        if self._left:
            report_lost_error(share)
        elif not share.cancelled():
            share.exception()

    async def _awaited(self, story: Awaitable[Share]) -> Share:
        try:
            return await story
        except asyncio.CancelledError:
            if self._ended:
                raise ended() from None
            raise

    async def _show(self, partial: Partial) -> None:
        if not self._left:
            with suppress(TimeoutError):
                async with asyncio.timeout(SLOW_SECONDS):
                    await self._previews.put(partial)
            self._make_room()

    def _make_room(self) -> None:
        """Drop the previews of a caller who left, so that one that waits for a reader goes on."""
        while self._left and not self._previews.empty():
            self._previews.get_nowait()

    async def _depart(self) -> None:
        self._departed.set()

    async def begun(self) -> None:
        """Wait until the vendor is asked, the share is there, or it takes too long."""
        departed = asyncio.ensure_future(self._departed.wait())
        try:
            await asyncio.wait({self.share, departed}, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            departed.cancel()

    async def moments(self) -> AsyncGenerator[Partial | None, None]:
        """Previews as they come, and None whenever nothing came for a while; ends with the share."""
        preview = asyncio.ensure_future(self._previews.get())
        try:
            while True:
                either = {self.share, preview}
                await asyncio.wait(either, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
                if preview.done():
                    yield preview.result()
                    preview = asyncio.ensure_future(self._previews.get())
                elif self.share.done():
                    return
                else:
                    yield None
        finally:
            preview.cancel()

    def leave(self) -> None:
        """End the caller's wait. The purchase goes on, and waits for no reader of its previews."""
        self._left = True
        self._make_room()
        self.share.cancel()

    def end(self) -> None:
        """Let the caller hear that the replica goes away."""
        self._ended = True
        self.share.cancel()


class Flow(ASGIResponse):
    """An answer of pieces that are not known yet. When the caller leaves, the pieces are closed.

    When the replica goes away, `end` is called, which makes the last piece an error.
    """

    __slots__ = ("_end", "_pieces")

    _should_set_content_length = False

    def __init__(self, pieces: Pieces, media_type: str, headers: dict[str, str], end: Callable[[], None]) -> None:
        super().__init__(headers=headers, media_type=media_type, status_code=200)
        self._end = end
        self._pieces = pieces

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send each piece as soon as it is there and the reader has room for it."""
        sending, leaving = asyncio.ensure_future(self._send(send)), asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._end()
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            await self._pieces.aclose()
        if not sending.cancelled():
            sending.result()

    async def _send(self, send: Send) -> None:
        async for piece in self._pieces:
            for start in range(0, len(piece), SLICE):
                await send(_body(memoryview(piece)[start : start + SLICE], more=True))
            del piece  # megabytes, which would be kept until the next piece is there
        await send(_body(b"", more=False))


def _body(piece: Buffer, *, more: bool) -> HTTPResponseBodyEvent:
    event = {"type": "http.response.body", "body": piece, "more_body": more}
    return cast("HTTPResponseBodyEvent", event)


async def _left(receive: Receive) -> None:
    """Wait until the caller has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_connected(receive: Receive, story: Awaitable[Share]) -> Share:
    """The share, as long as the caller stays.

    Raises:
        ClientGone: the caller hung up. What is being bought is bought to the end.
    """
    share, leaving = asyncio.ensure_future(story), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({share, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if share.done():
            return share.result()
        share.add_done_callback(report_lost_error)
        raise ClientGone("The caller hung up before the answer was known.")
    finally:
        share.cancel()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)


async def streamed(
    request: Http, watched: Watched, kind: str, finish: Callable[[Share], dict[str, str]]
) -> ASGIResponse:
    """Server-sent events: previews, then the pictures. `finish` is told the share, and gives what headers say of it.

    Raises:
        GatewayError: it failed before there was anything to show.
    """
    moments = watched.moments()
    try:
        first = [moment async for moment in _one(moments)]
        headers = STREAM_HEADERS if first else STREAM_HEADERS | finish(watched.share.result())
    except BaseException:
        watched.leave()
        raise
    return Flow(_frames(request, watched, kind, first, moments, finish), "text/event-stream", headers, watched.end)


async def _one(moments: AsyncIterator[Partial | None]) -> AsyncIterator[Partial | None]:
    """The next moment, if there is one."""
    with suppress(StopAsyncIteration):
        yield await anext(moments)


async def _frames(  # noqa: PLR0913, PLR0917 (what one stream is made of)
    request: Http,
    watched: Watched,
    kind: str,
    first: list[Partial | None],
    moments: AsyncGenerator[Partial | None, None],
    finish: Callable[[Share], dict[str, str]],
) -> Pieces:
    written = partial(_moment, line_of(request.scope), desk_of(request).now, kind)
    try:
        while first:
            for piece in written(first.pop()):
                yield piece
        async for moment in moments:
            for piece in written(moment):
                yield piece
            del moment, piece  # megabytes, which would be kept until the next event is there
        share = await watched.share
        finish(share)
        for index in range(len(share.result.purchase.pictures)):
            for piece in completed(kind, share, index):
                yield piece
    except Exception as error:  # noqa: BLE001 (whatever it is, the answer has begun, and must not end in silence)
        yield b"event: error\ndata: " + envelope(request, error) + b"\n\n"
    finally:
        watched.leave()
        await moments.aclose()


def _moment(line: Line, now: Callable[[], datetime], kind: str, moment: Partial | None) -> Sequence[Buffer]:
    if moment is None:
        return [NOTHING_YET]
    line.preview()
    return preview(kind, moment, int(now().timestamp()))


def preview(kind: str, shown: Partial, at: int) -> Sequence[Buffer]:
    """The event of a preview; its base64 by reference. Where its backend does not say when it was drawn, it is `at`."""
    said = PreviewEvent(
        created_at=shown.created or at,
        size=shown.size or UNSAID,
        quality=shown.tier or UNSAID,
        background=shown.background or UNSAID,
        output_format=shown.output_format or "png",
        partial_image_index=shown.index,
    )
    return _event(f"{kind}.partial_image", shown.base64, said)


def completed(kind: str, share: Share, index: int) -> Sequence[Buffer]:
    """The event of a picture. Tokens are those of the whole purchase, and stand with its last picture.

    OpenAI's event always has `usage`, and typed clients cannot read one without: nothing counted is no token.
    """
    result, purchase = share.result, share.result.purchase
    picture: Picture = purchase.pictures[index]
    last = index == len(purchase.pictures) - 1
    usage = usage_reply(purchase.usage) if purchase.usage and last else NO_USAGE
    said = PictureEvent(
        created_at=result.created,
        size=str(purchase.size or UNSAID),
        quality=purchase.tier or UNSAID,
        background=purchase.background or UNSAID,
        output_format=purchase.output_format or share.spec.output_format,
        usage=usage,
        id=result.ids[index],
        index=index,
        revised_prompt=picture.revised_prompt,
    )
    return _event(f"{kind}.completed", picture.base64, said)


def _event(name: str, base64: Buffer, said: msgspec.Struct) -> Sequence[Buffer]:
    head = f'event: {name}\ndata: {{"type":"{name}","b64_json":"'.encode()
    return [head, base64, b'",' + msgspec.json.encode(said)[1:] + b"\n\n"]


async def spaced(request: Http, watched: Watched, write: Callable[[Share], Sequence[Buffer]], seconds: float) -> Pieces:
    """The JSON of an answer, with a space in front for every few seconds that it takes."""
    try:
        while not (await asyncio.wait({watched.share}, timeout=seconds))[0]:
            yield SPACE
        for piece in write(watched.share.result()):
            yield piece
    except Exception as error:  # noqa: BLE001 (whatever it is, the answer has begun, and must not end in silence)
        yield envelope(request, error)
    finally:
        watched.leave()


def envelope(request: Http, error: Exception) -> bytes:
    """The body that this error would have had, had nothing gone out yet."""
    known = GatewayError if isinstance(error, GatewayError) else Exception
    respond = cast("Callable[[Http, Any], Response[bytes]]", request.app.exception_handlers[known])
    return respond(request, error).content
