"""Files of teams: images that callers upload ahead of their edits, and generated images that are stored.

Rule: a file is an image that every vendor accepts, and only its own team sees it. Its filename is stored before it,
so that no file lacks one. Its id contains the lifetime that the caller chose, if any. The list of files is written
last, and no other step depends on it.

Fails with: `ImageNotFound` for a file of another team, `StoreUnavailable`, and the errors of each method.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.domain.errors import ImageNotFound, InvalidValue, UnreadableFile
from service.domain.image_spec import Content, Reference
from service.domain.sniff import MEDIA_TYPES, unsupported_type
from service.domain.stored_images import (
    UPLOADED,
    StoredObject,
    UploadedFile,
    clean_filename,
    lifetime_seconds,
    new_image_id,
    owned_stored_name,
    to_filename_key,
    to_stored_name,
)
from service.domain.team_access import Team
from service.usecases.images.file_listing import FileListing
from service.usecases.images.read_images import ReadImages
from service.usecases.ports.image_codec import ImageCodec


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file. `expires_at` is in Unix seconds."""

    id: str
    filename: str
    stored: StoredObject
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePage:
    """A page of a team's files, and whether more follow."""

    files: Sequence[File]
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ManageFiles:
    """Upload, list, description and deletion of files. `new_id` makes 32 random hex digits."""

    images: ReadImages
    listing: FileListing
    codec: ImageCodec
    new_id: Callable[[], str]

    async def add(self, reference: Reference, filename: str, team: Team, seconds: int | None = None) -> File:
        """Store an uploaded image for `seconds`, at most for the lifetime of all images.

        Raises:
            InvalidValue: this gateway has no image store.
            UnreadableFile: the file is not an image that can be edited.
            StoreUnavailable: the store does not answer.
        """
        store = self.images.store
        if store is None:
            text = "This gateway has no picture store; send pictures along with the edit that they are for."
            raise InvalidValue(text, param=reference.param)
        if reference.content is None:
            raise UnreadableFile(f"{reference.param} is empty.", param=reference.param, code="empty_image_file")
        info = await self.codec.inspect(reference)
        if info.media_type not in MEDIA_TYPES:
            raise unsupported_type(reference.param, info.media_type)
        file_id = new_image_id(team.name, info.media_type.removeprefix("image/"), self.new_id(), UPLOADED, seconds)
        name = to_stored_name(file_id)
        await store.put(to_filename_key(name), clean_filename(filename).encode())
        await store.put(name, await asyncio.to_thread(_read_content, reference.content))
        file = await self.describe(file_id, team)
        await self.listing.add(
            UploadedFile(
                id=file_id, filename=file.filename, length=file.stored.length, written_at=file.stored.written_at
            )
        )
        return file

    async def page(self, team: Team, *, limit: int, descending: bool, after: str | None) -> FilePage:
        """Return uploaded files of a team in the order of their times, after the file `after`.

        Raises:
            InvalidValue: the list has no file `after` of this team.
            LedgerUnavailable: the database does not answer.
        """
        if self.images.store is None:
            return FilePage(files=(), has_more=False)
        files = await self.listing.page(team, limit=limit + 1, descending=descending, after=after)
        return FilePage(files=[self._to_file(file) for file in files[:limit]], has_more=len(files) > limit)

    def _to_file(self, file: UploadedFile) -> File:
        stored = StoredObject(name=to_stored_name(file.id), length=file.length, written_at=file.written_at)
        return File(id=file.id, filename=file.filename, stored=stored, expires_at=self._expires_at(stored))

    def _expires_at(self, stored: StoredObject) -> int:
        return int(stored.written_at.timestamp() + lifetime_seconds(stored.name, self.images.keep_seconds))

    async def describe(self, file_id: str, team: Team) -> File:
        """Return a file of a team. Raises `ImageNotFound` or `StoreUnavailable`."""
        name = self.owned_name(file_id, team)
        stored = await self.images.stat(name)
        return File(id=file_id, filename=await self._filename(name), stored=stored, expires_at=self._expires_at(stored))

    async def _filename(self, name: str) -> str:
        if not name.startswith(UPLOADED):
            return name
        return (await self.images.read_all(to_filename_key(name))).decode(errors="replace")

    async def delete(self, file_id: str, team: Team) -> None:
        """Delete a file of a team. Raises `ImageNotFound` or `StoreUnavailable`."""
        name = self.owned_name(file_id, team)
        await self.images.stat(name)
        await self.images.require_store().delete([name, to_filename_key(name)])
        if name.startswith(UPLOADED):
            await self.listing.delete(file_id)

    def owned_name(self, file_id: str, team: Team) -> str:
        """Return the name of a team's file in the image store. Raises `ImageNotFound`."""
        name = owned_stored_name(team.name, file_id)
        if name is None:
            raise ImageNotFound("It is not of this team.")
        return name


def _read_content(content: Content) -> bytes:
    with content.open() as file:
        return file.read()
