"""/v1/files: images uploaded ahead of edits, in the form of OpenAI's Files API.

Rule: files are images, so the only purpose is `vision`. The file of another team and an unknown file are one 404. The
ids of generated images work here too; the list has only uploaded files.

Fails with: `ImageNotFound`; `InvalidValue` and `MissingParameter` for wrong fields; `StoreUnavailable`.
"""

from typing import Annotated, Literal

import msgspec
from litestar import delete, get, post
from litestar.params import PathParameter, QueryParameter
from litestar.response.base import ASGIResponse
from msgspec import Meta

from service.api.http.dependencies import caller_key, dependencies
from service.api.http.multipart import FILE_FORM, read_form
from service.api.http.query_params import check_query_params, parse_limit
from service.api.http.request_context import Http
from service.api.openapi.components import IMAGE_FILE_RESPONSES, documented, error_responses, upload_request_body
from service.api.openapi.texts import IMAGE_FILE_REQUEST_HEADERS
from service.api.routes.stored_images import image_reply
from service.api.schemas.requests import PURPOSES, VISION, FileForm, decode_form
from service.domain.errors import ImageNotFound, InvalidValue, MissingParameter
from service.usecases.images.manage_files import File

Id = Annotated[str, PathParameter(description="Id of a file, or of an image in a reply.")]


MAX_FILES = 10_000

ORDERS = ("asc", "desc")


class FileReply(msgspec.Struct):
    """A file."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: Annotated[int, Meta(description="Unix seconds.")]
    filename: str
    purpose: Literal["vision"]
    status: Literal["processed"]
    expires_at: Annotated[int, Meta(description="Unix seconds; then it is deleted.")]


class FilesReply(msgspec.Struct):
    """Files, and the ids of the first and the last one."""

    object: Literal["list"]
    data: list[FileReply]
    has_more: bool
    first_id: str | None
    last_id: str | None


class DeletedReply(msgspec.Struct):
    """A deleted file."""

    id: str
    object: Literal["file"]
    deleted: bool


@post(
    "/files",
    status_code=200,
    operation_class=documented(upload_request_body()),
    operation_id="createFile",
    tags=["Files"],
    summary="Upload an image for later edits",
    response_description="The file.",
    responses=error_responses(400, 401, 408, 413, 500, 503),
)
async def create_file(request: Http) -> FileReply:
    """Store a PNG, JPEG or WebP file. Edits accept its id."""
    deps = dependencies(request)
    form = await read_form(request, deps.body_limits, FILE_FORM, deps.uploads)
    expires = decode_form(form.texts, FileForm).expires_after
    if "file" not in form.single:
        raise MissingParameter("Missing required parameter: 'file'.", param="file")
    seconds = expires.seconds if expires else None
    return file_reply(
        await deps.files.add(form.single["file"], form.filenames["file"], caller_key(request).team, seconds)
    )


@get(
    "/files",
    operation_id="listFiles",
    tags=["Files"],
    summary="List uploaded files",
    response_description="The files.",
    responses=error_responses(400, 401, 500, 503),
)
async def list_files(
    request: Http,
    after: Annotated[str | None, QueryParameter(description="Id of the file after which this page begins.")] = None,
    limit: Annotated[str, QueryParameter(description=f"Maximum number of files, 1 to {MAX_FILES}.")] = str(MAX_FILES),
    order: Annotated[str, QueryParameter(description="Order by time of upload.")] = "desc",
    purpose: Annotated[str, QueryParameter(description="All files here are for vision.")] = VISION,
) -> FilesReply:
    """Return the files that the calling team uploaded and that have not expired. Generated images are not listed."""
    check_query_params(request, "after", "limit", "order", "purpose")
    max_files = parse_limit(limit, MAX_FILES)
    if order not in ORDERS:
        raise InvalidValue("order is asc or desc.", param="order")
    if purpose not in PURPOSES:
        raise InvalidValue(f"purpose is one of {', '.join(PURPOSES)}.", param="purpose")
    page = await dependencies(request).files.page(
        caller_key(request).team, limit=max_files, descending=order == "desc", after=after
    )

    # All files are for vision, so that the list of another purpose of OpenAI's is empty.
    data = [file_reply(file) for file in page.files] if purpose == VISION else []
    return FilesReply(
        object="list",
        data=data,
        has_more=page.has_more and bool(data),
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )


@get(
    "/files/{file_id:str}",
    operation_id="retrieveFile",
    tags=["Files"],
    summary="Describe a file",
    response_description="The file.",
    responses=error_responses(400, 401, 404, 500, 503),
)
async def retrieve_file(request: Http, file_id: Id) -> FileReply:
    """Return the description of a file."""
    try:
        return file_reply(await dependencies(request).files.describe(file_id, caller_key(request).team))
    except ImageNotFound:
        raise file_not_found() from None


@get(
    "/files/{file_id:str}/content",
    operation_class=documented(headers=IMAGE_FILE_REQUEST_HEADERS),
    operation_id="downloadFile",
    tags=["Files"],
    summary="Fetch a file",
    media_type="image/png",
    response_description="The image.",
    responses=IMAGE_FILE_RESPONSES | error_responses(400, 401, 404, 416, 500, 503),
)
async def download_file(request: Http, file_id: Id) -> ASGIResponse:
    """Return the bytes of a file."""
    deps = dependencies(request)
    try:
        name = deps.files.owned_name(file_id, caller_key(request).team)
        return await image_reply(request, deps.read_images, name, {"cache-control": "private, no-cache"})
    except ImageNotFound:
        raise file_not_found() from None


@delete(
    "/files/{file_id:str}",
    status_code=200,
    operation_id="deleteFile",
    tags=["Files"],
    summary="Delete a file",
    response_description="The file is deleted.",
    responses=error_responses(400, 401, 404, 500, 503),
)
async def delete_file(request: Http, file_id: Id) -> DeletedReply:
    """Delete a file before it expires."""
    try:
        await dependencies(request).files.delete(file_id, caller_key(request).team)
    except ImageNotFound:
        raise file_not_found() from None
    return DeletedReply(id=file_id, object="file", deleted=True)


def file_not_found() -> ImageNotFound:
    """Build the one refusal of all ids without a file for the caller."""
    return ImageNotFound("There is no such file, or it is not kept any more.", param="file_id", code="file_not_found")


def file_reply(file: File) -> FileReply:
    """Build the reply for a file."""
    return FileReply(
        id=file.id,
        object="file",
        bytes=file.stored.length,
        created_at=int(file.stored.written_at.timestamp()),
        filename=file.filename,
        purpose="vision",
        status="processed",
        expires_at=file.expires_at,
    )
