"""Stored images, read within their lifetime.

Rule: an image whose lifetime is over is not found, even if it is not deleted yet.

Fails with: `ImageNotFound`, also without an image store; `StoreUnavailable` while the store does not answer.
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
    """The reads. `now` returns an aware UTC time."""

    store: ImageStore | None
    keep_seconds: float
    now: Callable[[], datetime]

    async def stat(self, name: str) -> StoredObject:
        """Return length and time of an image.

        Raises:
            ImageNotFound: there is no image of that name, or its lifetime is over.
            StoreUnavailable: the store does not answer.
        """
        return self._check_not_expired(await self.require_store().stat(name))

    async def read(self, name: str, byte_range: ByteRange | None = None) -> StoredContent:
        """Read an image, or a range that lies within it. Raises as `stat` does."""
        if not is_stored_name(name.removesuffix(FILENAME_SUFFIX)):
            raise ImageNotFound(NOT_FOUND_MESSAGE)
        content = await self.require_store().read(name, byte_range)
        self._check_not_expired(content.stored)
        return content

    async def read_all(self, name: str) -> bytes:
        """Read a small object into memory. Raises as `stat` does."""
        content = await self.read(name)
        return b"".join([bytes(chunk) async for chunk in content.chunks])

    def require_store(self) -> ImageStore:
        """Return the store. Raises `ImageNotFound` if the gateway has none."""
        if self.store is None:
            raise ImageNotFound("This gateway keeps no pictures.")
        return self.store

    def _check_not_expired(self, stored: StoredObject) -> StoredObject:
        if is_expired(stored, self.now(), self.keep_seconds):
            raise ImageNotFound(NOT_FOUND_MESSAGE)
        return stored
