"""Files: pictures that callers bring ahead of the edits that they are for, and what became of drawn ones.

Rule: only what every vendor would take as a picture is kept, and only its own team knows of it. What the caller called
it is kept beside it, first, so that a picture never lacks its name.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from service.domain.errors import InvalidValue, PictureNotFound, UnreadableFile
from service.domain.images import Content, Reference
from service.domain.kept import BROUGHT, Kept, label, label_name, name_of, new_id, owned_name
from service.domain.sniff import MEDIA_TYPES, unsupported_type
from service.domain.teams import Team
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
class KeepFiles:
    """The use case. `mint` gives 32 random hex digits."""

    pictures: ReadPictures
    darkroom: Darkroom
    mint: Callable[[], str]

    async def add(self, reference: Reference, filename: str, team: Team) -> File:
        """Keep a picture for a team.

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
        picture = new_id(team.name, look.media_type.removeprefix("image/"), self.mint(), BROUGHT)
        name = name_of(picture)
        await store.keep(label_name(name), label(filename).encode())
        await store.keep(name, await asyncio.to_thread(_read, reference.content))
        return await self.describe(picture, team)

    async def describe(self, picture: str, team: Team) -> File:
        """What is known of a picture of that team. Raises `PictureNotFound` or `StoreUnavailable`."""
        name = self.name(picture, team)
        kept = await self.pictures.find(name)
        expires_at = int(kept.at.timestamp() + self.pictures.keep_seconds)
        return File(id=picture, filename=await self._filename(name), kept=kept, expires_at=expires_at)

    async def _filename(self, name: str) -> str:
        if not name.startswith(BROUGHT):
            return name
        return (await self.pictures.whole(label_name(name))).decode(errors="replace")

    async def forget(self, picture: str, team: Team) -> None:
        """Delete a picture of that team. Raises `PictureNotFound` or `StoreUnavailable`."""
        name = self.name(picture, team)
        await self.pictures.find(name)
        await self.pictures.opened().forget([name, label_name(name)])

    def name(self, picture: str, team: Team) -> str:
        """Where the store has a picture of that team. Raises `PictureNotFound`."""
        name = owned_name(team.name, picture)
        if name is None:
            raise PictureNotFound("It is not of this team.")
        return name


def _read(content: Content) -> bytes:
    with content.open() as file:
        return file.read()
