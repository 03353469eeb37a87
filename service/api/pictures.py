"""GET /v1/images/{name}: a kept picture, to whoever holds a good link.

Rule: the link is the key; it names one picture and expires. Everything that is wrong with it is the same 404. svg is
served so that a browser runs nothing in it.
"""

from typing import Annotated

from litestar import get
from litestar.params import PathParameter, QueryParameter
from litestar.response.base import ASGIResponse

from service.api.desk import desk_of
from service.api.documents import errors_of
from service.api.edge import Http
from service.domain.errors import PictureNotFound
from service.domain.links import check_link


@get(
    "/v1/images/{name:str}",
    operation_id="fetchPicture",
    summary="Fetch a picture by its signed address",
    security=[{}],
    media_type="image/png",
    response_description="The picture.",
    responses=errors_of(400, 404, 500, 503),
)
async def fetch_picture(
    request: Http,
    name: Annotated[str, PathParameter(description="The picture's id and its format's ending.")],
    expires: Annotated[str, QueryParameter(description="Unix seconds.")] = "",
    signature: Annotated[str, QueryParameter(description="What makes the address good.")] = "",
) -> ASGIResponse:
    """The picture's bytes, as long as the link is good."""
    desk = desk_of(request)
    now = int(desk.now().timestamp())
    until = check_link(desk.links.key, name, expires, signature, now)
    if desk.store is None:
        raise PictureNotFound("This gateway keeps no pictures.")
    picture = await desk.store.read(name)
    headers = {
        "cache-control": f"private, max-age={until - now}, immutable",
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
        "x-content-type-options": "nosniff",
    }
    return ASGIResponse(body=bytes(picture.body), media_type=picture.media_type, headers=headers)
