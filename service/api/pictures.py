"""GET /v1/images/{name}: a kept picture, to whoever holds a good link.

Rule: the link is the key; it names one picture and expires. Everything that is wrong with it is the same 404. svg is
served so that a browser runs nothing in it. A store that fails in the middle of a picture breaks the reply off: its
length was announced, so that nobody takes a part for the whole.
"""

from collections.abc import AsyncIterator
from typing import Annotated, cast

from litestar import get, route
from litestar.enums import HttpMethod
from litestar.params import PathParameter, QueryParameter
from litestar.response.base import ASGIResponse
from litestar.types import HTTPResponseBodyEvent, Receive, Send

from service.api.desk import desk_of
from service.api.documents import PICTURE_STATUSES, errors_of
from service.api.edge import Http, line_of
from service.domain.kept import media_type_of
from service.domain.links import check_link
from service.domain.outcomes import Buffer
from service.domain.ranges import has_copy, read_range
from service.usecases.read_pictures import ReadPictures

PATH = "/v1/images/{name:str}"
Name = Annotated[str, PathParameter(description="The picture's id and its format's ending.")]
Expires = Annotated[str, QueryParameter(description="Unix seconds.")]
Signature = Annotated[str, QueryParameter(description="What makes the address good.")]

NOT_MODIFIED, PARTIAL = 304, 206
HARMLESS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
}


class Streamed(ASGIResponse):
    """A reply that is sent piece by piece as the pieces come."""

    __slots__ = ("_pieces",)

    def __init__(
        self, pieces: AsyncIterator[Buffer], *, length: int, status: int, media_type: str, headers: dict[str, str]
    ) -> None:
        super().__init__(content_length=length, headers=headers, media_type=media_type, status_code=status)
        self._pieces = pieces

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send the pieces; the store is asked for the next one when the last one is on its way."""
        del receive
        async for piece in self._pieces:
            event = {"type": "http.response.body", "body": piece, "more_body": True}
            await send(cast("HTTPResponseBodyEvent", event))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@get(
    PATH,
    operation_id="fetchPicture",
    summary="Fetch a picture by its signed address",
    security=[{}],
    media_type="image/png",
    response_description="The picture.",
    responses=PICTURE_STATUSES | errors_of(400, 404, 416, 500, 503),
)
async def fetch_picture(
    request: Http,
    name: Name,
    expires: Expires = "",
    signature: Signature = "",
) -> ASGIResponse:
    """The picture's bytes, or a part of them, as long as the link is good."""
    return await _fetched(request, name, expires, signature)


@route(PATH, http_method=HttpMethod.HEAD, include_in_schema=False)
async def ask_for_picture(request: Http, name: Name, expires: Expires = "", signature: Signature = "") -> ASGIResponse:
    """What GET would say, without the bytes."""
    return await _fetched(request, name, expires, signature)


async def _fetched(request: Http, name: str, expires: str, signature: str) -> ASGIResponse:
    desk = desk_of(request)
    now = int(desk.now().timestamp())
    until = check_link(desk.links.key, name, expires, signature, now)
    return await sent(request, desk.pictures, name, {"cache-control": f"private, max-age={until - now}, immutable"})


async def sent(request: Http, pictures: ReadPictures, name: str, headers: dict[str, str]) -> ASGIResponse:
    """A kept picture as a reply: whole, a part, or nothing new."""
    etag = f'"{name}"'
    headers = headers | HARMLESS | {"etag": etag, "accept-ranges": "bytes"}
    if has_copy(request.headers.get("if-none-match"), etag):
        await pictures.find(name)
        return ASGIResponse(status_code=NOT_MODIFIED, headers=headers)
    if request.method == HttpMethod.HEAD:
        kept = await pictures.find(name)
        told = {"content-length": str(kept.length), "content-type": media_type_of(name)}
        return ASGIResponse(headers=headers | told, is_head_response=True)
    wanted = request.headers.get("range")
    if wanted and request.headers.get("if-range", etag) == etag:
        return await _part(request, pictures, name, wanted, headers)
    return await _whole(pictures, name, headers)


async def _whole(pictures: ReadPictures, name: str, headers: dict[str, str]) -> ASGIResponse:
    picture = await pictures.read(name)
    return Streamed(
        picture.pieces, length=picture.kept.length, status=200, media_type=media_type_of(name), headers=headers
    )


async def _part(request: Http, pictures: ReadPictures, name: str, wanted: str, headers: dict[str, str]) -> ASGIResponse:
    length = (await pictures.find(name)).length
    line = line_of(request.scope)
    line.headers |= {"content-range": f"bytes */{length}"}  # goes out with a refusal
    part = read_range(wanted, length)
    del line.headers["content-range"]
    if part is None:
        return await _whole(pictures, name, headers)
    picture = await pictures.read(name, part)
    headers = headers | {"content-range": f"bytes {part.start}-{part.end - 1}/{length}"}
    media_type = media_type_of(name)
    return Streamed(picture.pieces, length=part.length, status=PARTIAL, media_type=media_type, headers=headers)
