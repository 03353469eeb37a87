"""Read kept pictures, as long as they may be read.

Rule: a picture that is older than pictures are kept is not there, deleted yet or not. Without a store there is none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from service.domain.errors import PictureNotFound
from service.domain.kept import LABEL, Kept, is_name, is_old
from service.domain.links import NOWHERE
from service.domain.ranges import Part
from service.usecases.ports import PictureStore, StoredPicture


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPictures:
    """The use case. `now` gives an aware UTC time."""

    store: PictureStore | None
    keep_seconds: float
    now: Callable[[], datetime]

    async def find(self, name: str) -> Kept:
        """What is known of a picture.

        Raises:
            PictureNotFound: there is none of that name, or not any more.
            StoreUnavailable: nobody knows.
        """
        return self._fresh(await self.opened().find(name))

    async def read(self, name: str, part: Part | None = None) -> StoredPicture:
        """A picture, or a part that it is known to have. Raises what `find` raises."""
        if not is_name(name.removesuffix(LABEL)):
            raise PictureNotFound(NOWHERE)
        picture = await self.opened().read(name, part)
        self._fresh(picture.kept)
        return picture

    async def whole(self, name: str) -> bytes:
        """A small thing, in one piece. Raises what `find` raises."""
        picture = await self.read(name)
        return b"".join([bytes(piece) async for piece in picture.pieces])

    def opened(self) -> PictureStore:
        """The store. Raises `PictureNotFound` where there is none."""
        if self.store is None:
            raise PictureNotFound("This gateway keeps no pictures.")
        return self.store

    def _fresh(self, kept: Kept) -> Kept:
        if is_old(kept, self.now(), self.keep_seconds):
            raise PictureNotFound(NOWHERE)
        return kept
