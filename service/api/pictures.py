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

from service.api.desk import desk_of
from service.api.documents import PICTURE_STATUSES, errors_of, terms_of_a_fetch
from service.api.edge import Http, Line, line_of
from service.domain.errors import StoreUnavailable
from service.domain.kept import media_type_of
from service.domain.ranges import Part, has_copy, read_range
from service.usecases.ports import StoredPicture
from service.usecases.read_pictures import ReadPictures

PATH = "/v1/images/{name:str}"
Name = Annotated[str, PathParameter(description="The picture's id and its format's ending.")]
Expires = Annotated[str, QueryParameter(description="Unix seconds.")]
Signature = Annotated[str, QueryParameter(description="What makes the address good.")]

WHOLE, PARTIAL, NOT_MODIFIED = 200, 206, 304
HARMLESS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
}


class Streamed(ASGIResponse):
    """A reply that is sent piece by piece as the pieces come."""

    __slots__ = ("_line", "_pieces")

    def __init__(self, line: Line, picture: StoredPicture, part: Part | None, headers: dict[str, str]) -> None:
        kept = picture.kept
        super().__init__(
            content_length=part.length if part else kept.length,
            headers=headers,
            media_type=media_type_of(kept.name),
            status_code=PARTIAL if part else WHOLE,
        )
        self._line = line
        self._pieces = picture.pieces

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send the pieces; the store is asked for the next one when the last one is on its way.

        A server that finds a reply unfinished hangs up.
        """
        del receive
        try:
            async for piece in self._pieces:
                event = {"type": "http.response.body", "body": piece, "more_body": True}
                await send(cast("HTTPResponseBodyEvent", event))
        except StoreUnavailable as broken:
            self._line.note(error="storage_unavailable", cause=broken.cause)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@dataclass
class FetchOperation(Operation):
    """Documents headers that are read by hand."""

    def __post_init__(self) -> None:
        """Put the headers in, after what the path says."""
        self.parameters = [*(self.parameters or []), *terms_of_a_fetch()]


@get(
    PATH,
    operation_class=FetchOperation,
    operation_id="fetchPicture",
    tags=["Pictures"],
    summary="Fetch a picture by its signed address",
    security=[{}],
    media_type="image/png",
    response_description="The picture.",
    responses=PICTURE_STATUSES | errors_of(400, 404, 405, 416, 500, 503),
)
async def fetch_picture(
    request: Http,
    name: Name,
    expires: Expires = "",
    signature: Signature = "",
) -> ASGIResponse:
    """The picture's bytes, or a part of them, as long as the link is good."""
    desk = desk_of(request)
    now = int(desk.now().timestamp())
    until = desk.links.signs.check(name, expires, signature, now)
    return await sent(request, desk.pictures, name, {"cache-control": f"private, max-age={until - now}, immutable"})


async def sent(request: Http, pictures: ReadPictures, name: str, headers: dict[str, str]) -> ASGIResponse:
    """A kept picture as a reply: whole, a part, or nothing new."""
    etag = f'"{name}"'
    headers = headers | HARMLESS | {"etag": etag, "accept-ranges": "bytes"}
    if has_copy(request.headers.get("if-none-match"), etag):
        await pictures.find(name)
        return ASGIResponse(status_code=NOT_MODIFIED, headers=headers)
    if line_of(request.scope).is_head:  # the store is not asked for the bytes
        kept = await pictures.find(name)
        told = {"content-length": str(kept.length), "content-type": media_type_of(name)}
        return ASGIResponse(headers=headers | told, is_head_response=True)
    wanted = request.headers.get("range")
    if wanted and request.headers.get("if-range", etag) == etag:
        return await _part(line_of(request.scope), pictures, name, wanted, headers)
    return Streamed(line_of(request.scope), await pictures.read(name), None, headers)


async def _part(line: Line, pictures: ReadPictures, name: str, wanted: str, headers: dict[str, str]) -> ASGIResponse:
    length = (await pictures.find(name)).length
    line.headers["content-range"] = f"bytes */{length}"  # goes out with a refusal
    part = read_range(wanted, length)
    del line.headers["content-range"]
    told = {"content-range": f"bytes {part.start}-{part.end - 1}/{length}"} if part else {}
    return Streamed(line, await pictures.read(name, part), part, headers | told)
