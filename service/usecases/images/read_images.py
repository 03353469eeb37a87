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

    async def stat(self, name: str) -> StoredObject:
        """What is known of a picture.

        Raises:
            ImageNotFound: there is none of that name, or not any more.
            StoreUnavailable: nobody knows.
        """
        return self._check_not_expired(await self.require_store().stat(name))

    async def read(self, name: str, byte_range: ByteRange | None = None) -> StoredContent:
        """A picture, or a part that it is known to have. Raises what `stat` raises."""
        if not is_stored_name(name.removesuffix(FILENAME_SUFFIX)):
            raise ImageNotFound(NOT_FOUND_MESSAGE)
        content = await self.require_store().read(name, byte_range)
        self._check_not_expired(content.stored)
        return content

    async def read_all(self, name: str) -> bytes:
        """A small thing, in one piece. Raises what `stat` raises."""
        content = await self.read(name)
        return b"".join([bytes(chunk) async for chunk in content.chunks])

    def require_store(self) -> ImageStore:
        """The store. Raises `ImageNotFound` where there is none."""
        if self.store is None:
            raise ImageNotFound("This gateway keeps no pictures.")
        return self.store

    def _check_not_expired(self, stored: StoredObject) -> StoredObject:
        if is_expired(stored, self.now(), self.keep_seconds):
            raise ImageNotFound(NOT_FOUND_MESSAGE)
        return stored
