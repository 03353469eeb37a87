"""/v1/files: pictures brought ahead of edits, in the form of OpenAI's Files API.

Rule: files are pictures, so the only purpose is `vision`. A team knows of its own; everything else is the same 404.
Drawn pictures are files too: their ids work here as well.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from litestar import delete, get, post
from litestar.openapi.spec import Operation
from litestar.params import PathParameter
from litestar.response.base import ASGIResponse
from msgspec import Meta

from service.api.desk import desk_of, key_of
from service.api.documents import PICTURE_STATUSES, errors_of, file_body
from service.api.edge import Http
from service.api.multipart import FILE, read_form
from service.api.pictures import FetchOperation, sent
from service.api.schemas import FileForm, decode_form
from service.domain.errors import MissingParameter, PictureNotFound
from service.usecases.keep_files import File

Id = Annotated[str, PathParameter(description="The id of a file, or of a picture in a reply.")]


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


class DeletedReply(msgspec.Struct):
    """A file that is gone."""

    id: str
    object: Literal["file"]
    deleted: bool


@dataclass
class UploadOperation(Operation):
    """Documents a body that is read by hand."""

    def __post_init__(self) -> None:
        """Put the body in."""
        self.request_body = file_body()


@post(
    "/files",
    status_code=200,
    operation_class=UploadOperation,
    operation_id="createFile",
    tags=["Files"],
    summary="Bring a picture for later edits",
    response_description="The file.",
    responses=errors_of(400, 401, 408, 413, 500, 503),
)
async def create_file(request: Http) -> FileReply:
    """Keep a PNG, JPEG or WebP file; edits take it by its id."""
    desk = desk_of(request)
    form = await read_form(request, desk.limits, FILE)
    decode_form(form.texts, FileForm)
    if "file" not in form.single:
        raise MissingParameter("Missing required parameter: 'file'.", param="file")
    return reply(await desk.files.add(form.single["file"], form.filenames["file"], key_of(request).team))


@get(
    "/files/{file_id:str}",
    operation_id="retrieveFile",
    tags=["Files"],
    summary="Describe a file",
    response_description="The file.",
    responses=errors_of(400, 401, 404, 500, 503),
)
async def retrieve_file(request: Http, file_id: Id) -> FileReply:
    """What is known of a file."""
    try:
        return reply(await desk_of(request).files.describe(file_id, key_of(request).team))
    except PictureNotFound:
        raise unknown() from None


@get(
    "/files/{file_id:str}/content",
    operation_class=FetchOperation,
    operation_id="downloadFile",
    tags=["Files"],
    summary="Fetch a file",
    media_type="image/png",
    response_description="The picture.",
    responses=PICTURE_STATUSES | errors_of(400, 401, 404, 416, 500, 503),
)
async def download_file(request: Http, file_id: Id) -> ASGIResponse:
    """The file's bytes."""
    desk = desk_of(request)
    try:
        name = desk.files.name(file_id, key_of(request).team)
        return await sent(request, desk.pictures, name, {"cache-control": "private, no-cache"})
    except PictureNotFound:
        raise unknown() from None


@delete(
    "/files/{file_id:str}",
    status_code=200,
    operation_id="deleteFile",
    tags=["Files"],
    summary="Delete a file",
    response_description="It is gone.",
    responses=errors_of(400, 401, 404, 500, 503),
)
async def delete_file(request: Http, file_id: Id) -> DeletedReply:
    """Delete a file before its time."""
    try:
        await desk_of(request).files.forget(file_id, key_of(request).team)
    except PictureNotFound:
        raise unknown() from None
    return DeletedReply(id=file_id, object="file", deleted=True)


def unknown() -> PictureNotFound:
    """The refusal of an id that leads nowhere, for whatever reason."""
    return PictureNotFound("There is no such file, or it is not kept any more.", param="file_id", code="file_not_found")


def reply(file: File) -> FileReply:
    """A file as the wire has it."""
    return FileReply(
        id=file.id,
        object="file",
        bytes=file.kept.length,
        created_at=int(file.kept.at.timestamp()),
        filename=file.filename,
        purpose="vision",
        status="processed",
        expires_at=file.expires_at,
    )
