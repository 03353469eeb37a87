"""Files: pictures that callers bring ahead of the edits that they are for, and what became of drawn ones.

Rule: only what every vendor would take as a picture is kept, and only its own team knows of it. What the caller called
it is kept beside it, first, so that a picture never lacks its name. Its id says how long its caller lends it, if the
caller did. The list of files comes last, and nothing depends on it.
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
    """What is known of a kept picture. `expires_at` is in Unix seconds."""

    id: str
    filename: str
    kept: StoredObject
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePage:
    """Files of a team, in order, and whether there are more behind them."""

    files: Sequence[File]
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ManageFiles:
    """The use case. `mint` gives 32 random hex digits."""

    pictures: ReadImages
    listing: FileListing
    darkroom: ImageCodec
    mint: Callable[[], str]

    async def add(self, reference: Reference, filename: str, team: Team, seconds: int | None = None) -> File:
        """Keep a picture for a team, for so many seconds if they are given, and at most for as long as all pictures.

        Raises:
            InvalidValue: this gateway keeps no pictures.
            UnreadableFile: it is not a picture that can be edited.
            StoreUnavailable: the store does not take it.
        """
        store = self.pictures.store
        if store is None:
            text = "This gateway has no picture store; send pictures along with the edit that they are for."
            raise InvalidValue(text, param=reference.param)
        if reference.content is None:
            raise UnreadableFile(f"{reference.param} is empty.", param=reference.param, code="empty_image_file")
        look = await self.darkroom.look(reference)
        if look.media_type not in MEDIA_TYPES:
            raise unsupported_type(reference.param, look.media_type)
        picture = new_image_id(team.name, look.media_type.removeprefix("image/"), self.mint(), UPLOADED, seconds)
        name = to_stored_name(picture)
        await store.keep(to_filename_key(name), clean_filename(filename).encode())
        await store.keep(name, await asyncio.to_thread(_read_content, reference.content))
        file = await self.describe(picture, team)
        await self.listing.add(
            UploadedFile(id=picture, filename=file.filename, length=file.kept.length, at=file.kept.at)
        )
        return file

    async def page(self, team: Team, *, most: int, descending: bool, after: str | None) -> FilePage:
        """The files that a team brought, by their times, from the one behind `after`.

        Raises:
            InvalidValue: `after` is no file of this team that the list knows.
            LedgerUnavailable: there is no list just now.
        """
        if self.pictures.store is None:
            return FilePage(files=(), has_more=False)
        found = await self.listing.page(team, most=most + 1, descending=descending, after=after)
        return FilePage(files=[self._file(file) for file in found[:most]], has_more=len(found) > most)

    def _file(self, file: UploadedFile) -> File:
        kept = StoredObject(name=to_stored_name(file.id), length=file.length, at=file.at)
        return File(id=file.id, filename=file.filename, kept=kept, expires_at=self._end(kept))

    def _end(self, kept: StoredObject) -> int:
        return int(kept.at.timestamp() + lifetime_seconds(kept.name, self.pictures.keep_seconds))

    async def describe(self, picture: str, team: Team) -> File:
        """What is known of a picture of that team. Raises `ImageNotFound` or `StoreUnavailable`."""
        name = self.name(picture, team)
        kept = await self.pictures.find(name)
        return File(id=picture, filename=await self._filename(name), kept=kept, expires_at=self._end(kept))

    async def _filename(self, name: str) -> str:
        if not name.startswith(UPLOADED):
            return name
        return (await self.pictures.whole(to_filename_key(name))).decode(errors="replace")

    async def forget(self, picture: str, team: Team) -> None:
        """Delete a picture of that team. Raises `ImageNotFound` or `StoreUnavailable`."""
        name = self.name(picture, team)
        await self.pictures.find(name)
        await self.pictures.opened().forget([name, to_filename_key(name)])
        if name.startswith(UPLOADED):
            await self.listing.delete(picture)

    def name(self, picture: str, team: Team) -> str:
        """Where the store has a picture of that team. Raises `ImageNotFound`."""
        name = owned_stored_name(team.name, picture)
        if name is None:
            raise ImageNotFound("It is not of this team.")
        return name


def _read_content(content: Content) -> bytes:
    with content.open() as file:
        return file.read()
