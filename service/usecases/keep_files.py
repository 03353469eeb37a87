"""Files: pictures that callers bring ahead of the edits that they are for, and what became of drawn ones.

Rule: only what every vendor would take as a picture is kept, and only its own team knows of it. What the caller called
it is kept beside it, first, so that a picture never lacks its name. Its id says how long its caller lends it, if the
caller did. The list of files comes last, and nothing depends on it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.domain.errors import InvalidValue, PictureNotFound, UnreadableFile
from service.domain.images import Content, Reference
from service.domain.kept import BROUGHT, Brought, Kept, label, label_name, lifetime, name_of, new_id, owned_name
from service.domain.sniff import MEDIA_TYPES, unsupported_type
from service.domain.teams import Team
from service.usecases.list_files import ListFiles
from service.usecases.ports import Darkroom
from service.usecases.read_pictures import ReadPictures


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """What is known of a kept picture. `expires_at` is in Unix seconds."""

    id: str
    filename: str
    kept: Kept
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePage:
    """Files of a team, in order, and whether there are more behind them."""

    files: Sequence[File]
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepFiles:
    """The use case. `mint` gives 32 random hex digits."""

    pictures: ReadPictures
    listing: ListFiles
    darkroom: Darkroom
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
        picture = new_id(team.name, look.media_type.removeprefix("image/"), self.mint(), BROUGHT, seconds)
        name = name_of(picture)
        await store.keep(label_name(name), label(filename).encode())
        await store.keep(name, await asyncio.to_thread(_read, reference.content))
        file = await self.describe(picture, team)
        await self.listing.add(Brought(id=picture, filename=file.filename, length=file.kept.length, at=file.kept.at))
        return file

    async def page(self, team: Team, *, most: int, descending: bool, after: str | None) -> FilePage:
        """The files that a team brought, by their times, from the one behind `after`.

        Raises:
            InvalidValue: `after` is no file of this team that the list knows.
            BooksUnavailable: there is no list just now.
        """
        if self.pictures.store is None:
            return FilePage(files=(), has_more=False)
        found = await self.listing.page(team, most=most + 1, descending=descending, after=after)
        return FilePage(files=[self._file(file) for file in found[:most]], has_more=len(found) > most)

    def _file(self, file: Brought) -> File:
        kept = Kept(name=name_of(file.id), length=file.length, at=file.at)
        return File(id=file.id, filename=file.filename, kept=kept, expires_at=self._end(kept))

    def _end(self, kept: Kept) -> int:
        return int(kept.at.timestamp() + lifetime(kept.name, self.pictures.keep_seconds))

    async def describe(self, picture: str, team: Team) -> File:
        """What is known of a picture of that team. Raises `PictureNotFound` or `StoreUnavailable`."""
        name = self.name(picture, team)
        kept = await self.pictures.find(name)
        return File(id=picture, filename=await self._filename(name), kept=kept, expires_at=self._end(kept))

    async def _filename(self, name: str) -> str:
        if not name.startswith(BROUGHT):
            return name
        return (await self.pictures.whole(label_name(name))).decode(errors="replace")

    async def forget(self, picture: str, team: Team) -> None:
        """Delete a picture of that team. Raises `PictureNotFound` or `StoreUnavailable`."""
        name = self.name(picture, team)
        await self.pictures.find(name)
        await self.pictures.opened().forget([name, label_name(name)])
        if name.startswith(BROUGHT):
            await self.listing.delete(picture)

    def name(self, picture: str, team: Team) -> str:
        """Where the store has a picture of that team. Raises `PictureNotFound`."""
        name = owned_name(team.name, picture)
        if name is None:
            raise PictureNotFound("It is not of this team.")
        return name


def _read(content: Content) -> bytes:
    with content.open() as file:
        return file.read()
