"""GET /v1/images/{name}: a kept picture, to whoever holds a good link.

Rule: the link is the key; it names one picture and expires. Everything that is wrong with it is the same 404. svg is
served so that a browser runs nothing in it. A store that fails in the middle of a picture breaks the reply off: its
length was announced, so that nobody takes a part for the whole.
"""

from dataclasses import dataclass
from typing import Annotated, cast

from litestar import get
from litestar.openapi.spec import Operation
from litestar.params import PathParameter, QueryParameter
from litestar.response.base import ASGIResponse
from litestar.types import HTTPResponseBodyEvent, Receive, Send

from service.api.http.dependencies import dependencies
from service.api.http.request_context import Http, RequestContext, request_context
from service.api.openapi.components import IMAGE_FILE_RESPONSES, error_responses, image_file_header_parameters
from service.domain.byte_ranges import ByteRange, matches_etag, parse_range
from service.domain.errors import StoreUnavailable
from service.domain.stored_images import to_media_type
from service.usecases.images.read_images import ReadImages
from service.usecases.ports.image_store import StoredContent

PATH = "/v1/images/{name:str}"
Name = Annotated[str, PathParameter(description="The picture's id and its format's ending.")]
Expires = Annotated[str, QueryParameter(description="Unix seconds.")]
Signature = Annotated[str, QueryParameter(description="What makes the address good.")]

WHOLE, PARTIAL, NOT_MODIFIED = 200, 206, 304
SAFE_SVG_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
}


class StoredImageReply(ASGIResponse):
    """A reply that is sent piece by piece as the pieces come."""

    __slots__ = ("_chunks", "_line")

    def __init__(
        self, context: RequestContext, stored: StoredContent, part: ByteRange | None, headers: dict[str, str]
    ) -> None:
        info = stored.stored
        super().__init__(
            content_length=part.length if part else info.length,
            headers=headers,
            media_type=to_media_type(info.name),
            status_code=PARTIAL if part else WHOLE,
        )
        self._line = context
        self._chunks = stored.chunks

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send the pieces; the store is asked for the next one when the last one is on its way.

        A server that finds a reply unfinished hangs up.
        """
        del receive
        try:
            async for piece in self._chunks:
                event = {"type": "http.response.body", "body": piece, "more_body": True}
                await send(cast("HTTPResponseBodyEvent", event))
        except StoreUnavailable as broken:
            self._line.log(error="storage_unavailable", cause=broken.cause)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@dataclass
class DocumentedFetch(Operation):
    """Documents headers that are read by hand."""

    def __post_init__(self) -> None:
        """Put the headers in, after what the path says."""
        self.parameters = [*(self.parameters or []), *image_file_header_parameters()]


@get(
    PATH,
    operation_class=DocumentedFetch,
    operation_id="fetchPicture",
    tags=["Pictures"],
    summary="Fetch a picture by its signed address",
    security=[{}],
    media_type="image/png",
    response_description="The picture.",
    responses=IMAGE_FILE_RESPONSES | error_responses(400, 404, 405, 416, 500, 503),
)
async def fetch_image(
    request: Http,
    name: Name,
    expires: Expires = "",
    signature: Signature = "",
) -> ASGIResponse:
    """The picture's bytes, or a part of them, as long as the link is good."""
    deps = dependencies(request)
    now = int(deps.now().timestamp())
    expires_at = deps.image_links.sign_urls.check(name, expires, signature, now)
    return await image_reply(
        request, deps.read_images, name, {"cache-control": f"private, max-age={expires_at - now}, immutable"}
    )


async def image_reply(request: Http, images: ReadImages, name: str, headers: dict[str, str]) -> ASGIResponse:
    """A kept picture as a reply: whole, a part, or nothing new."""
    etag = f'"{name}"'
    headers = headers | SAFE_SVG_HEADERS | {"etag": etag, "accept-ranges": "bytes"}
    if matches_etag(request.headers.get("if-none-match"), etag):
        await images.stat(name)
        return ASGIResponse(status_code=NOT_MODIFIED, headers=headers)
    if request_context(request.scope).is_head:  # the store is not asked for the bytes
        info = await images.stat(name)
        size_headers = {"content-length": str(info.length), "content-type": to_media_type(name)}
        return ASGIResponse(headers=headers | size_headers, is_head_response=True)
    range_header = request.headers.get("range")
    if range_header and request.headers.get("if-range", etag) == etag:
        return await _partial_reply(request_context(request.scope), images, name, range_header, headers)
    return StoredImageReply(request_context(request.scope), await images.read(name), None, headers)


async def _partial_reply(
    context: RequestContext, images: ReadImages, name: str, range_header: str, headers: dict[str, str]
) -> ASGIResponse:
    length = (await images.stat(name)).length
    context.headers["content-range"] = f"bytes */{length}"  # goes out with a refusal
    part = parse_range(range_header, length)
    del context.headers["content-range"]
    range_headers = {"content-range": f"bytes {part.start}-{part.end - 1}/{length}"} if part else {}
    return StoredImageReply(context, await images.read(name, part), part, headers | range_headers)
