"""Read kept pictures, as long as they may be read.

Rule: a picture that is older than pictures are kept is not there, deleted yet or not. Without a store there is none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from service.domain.byte_ranges import ByteRange
from service.domain.errors import ImageNotFound
from service.domain.signed_urls import NOT_FOUND_MESSAGE
from service.domain.stored_images import FILENAME_SUFFIX, StoredObject, is_expired, is_stored_name
from service.usecases.ports.image_store import ImageStore, StoredContent


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadImages:
    """The use case. `now` gives an aware UTC time."""

    store: ImageStore | None
    keep_seconds: float
    now: Callable[[], datetime]

    async def find(self, name: str) -> StoredObject:
        """What is known of a picture.

        Raises:
            ImageNotFound: there is none of that name, or not any more.
            StoreUnavailable: nobody knows.
        """
        return self._fresh(await self.opened().find(name))

    async def read(self, name: str, part: ByteRange | None = None) -> StoredContent:
        """A picture, or a part that it is known to have. Raises what `find` raises."""
        if not is_stored_name(name.removesuffix(FILENAME_SUFFIX)):
            raise ImageNotFound(NOT_FOUND_MESSAGE)
        picture = await self.opened().read(name, part)
        self._fresh(picture.kept)
        return picture

    async def whole(self, name: str) -> bytes:
        """A small thing, in one piece. Raises what `find` raises."""
        picture = await self.read(name)
        return b"".join([bytes(piece) async for piece in picture.pieces])

    def opened(self) -> ImageStore:
        """The store. Raises `ImageNotFound` where there is none."""
        if self.store is None:
            raise ImageNotFound("This gateway keeps no pictures.")
        return self.store

    def _fresh(self, kept: StoredObject) -> StoredObject:
        if is_expired(kept, self.now(), self.keep_seconds):
            raise ImageNotFound(NOT_FOUND_MESSAGE)
        return kept
