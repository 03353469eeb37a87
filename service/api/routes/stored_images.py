"""GET /v1/images/{name}: a stored image, by its signed address.

Rule: the signature replaces the key; it covers one image, and expires. Every fault of an address is one 404. SVG is
served with headers that forbid browsers to run its scripts.

Fails with: `ImageNotFound`, `RangeNotSatisfiable` or `StoreUnavailable`. If the store fails midway the connection
breaks off before the announced length. So no client takes a part for the whole image.
"""

from typing import Annotated, cast

from litestar import get
from litestar.params import PathParameter, QueryParameter
from litestar.response.base import ASGIResponse
from litestar.types import HTTPResponseBodyEvent, Receive, Send

from service.api.http.dependencies import dependencies
from service.api.http.request_context import Http, RequestContext, request_context
from service.api.openapi.components import IMAGE_FILE_RESPONSES, documented, error_responses
from service.api.openapi.texts import IMAGE_FILE_REQUEST_HEADERS
from service.domain.byte_ranges import ByteRange, matches_etag, parse_range
from service.domain.errors import StoreUnavailable
from service.domain.stored_images import to_media_type
from service.usecases.images.read_images import ReadImages
from service.usecases.ports.image_store import StoredContent

PATH = "/v1/images/{name:str}"
Name = Annotated[str, PathParameter(description="Id of the image, and the suffix of its format.")]
Expires = Annotated[str, QueryParameter(description="Unix seconds at which the address expires.")]
Signature = Annotated[str, QueryParameter(description="Signature of name and expiry.")]

WHOLE, PARTIAL, NOT_MODIFIED = 200, 206, 304
SAFE_SVG_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
}


class StoredImageReply(ASGIResponse):
    """A response whose chunks are sent as the store delivers them."""

    __slots__ = ("_chunks", "_context")

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
        self._context = context
        self._chunks = stored.chunks

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send the chunks. Each one is read from the store after the one before it was sent."""
        del receive
        try:
            async for chunk in self._chunks:
                event = {"type": "http.response.body", "body": chunk, "more_body": True}
                await send(cast("HTTPResponseBodyEvent", event))
        except StoreUnavailable as broken:
            self._context.log(error="storage_unavailable", cause=broken.cause)
            return  # uvicorn disconnects after an unfinished response
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@get(
    PATH,
    operation_class=documented(headers=IMAGE_FILE_REQUEST_HEADERS),
    operation_id="fetchPicture",
    tags=["Stored images"],
    summary="Fetch an image by its signed address",
    security=[{}],
    media_type="image/png",
    response_description="The image.",
    responses=IMAGE_FILE_RESPONSES | error_responses(400, 404, 405, 416, 500, 503),
)
async def fetch_image(
    request: Http,
    name: Name,
    expires: Expires = "",
    signature: Signature = "",
) -> ASGIResponse:
    """Return the bytes of an image, or a range of them, until its address expires."""
    deps = dependencies(request)
    now = int(deps.now().timestamp())
    expires_at = deps.image_links.sign_urls.check(name, expires, signature, now)
    return await image_reply(
        request, deps.read_images, name, {"cache-control": f"private, max-age={expires_at - now}, immutable"}
    )


async def image_reply(request: Http, images: ReadImages, name: str, headers: dict[str, str]) -> ASGIResponse:
    """Build the response for a stored image: all of it, a range, its size, or 304."""
    etag = f'"{name}"'
    headers = headers | SAFE_SVG_HEADERS | {"etag": etag, "accept-ranges": "bytes"}
    if matches_etag(request.headers.get("if-none-match"), etag):
        await images.stat(name)
        return ASGIResponse(status_code=NOT_MODIFIED, headers=headers)
    if request_context(request.scope).is_head:  # the bytes are not read from the store
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
