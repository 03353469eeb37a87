"""Port of the image store: files on disk or objects in a bucket.

Fails with: `StoreUnavailable` within seconds, `ImageNotFound` for a name that is not there.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.byte_ranges import ByteRange
from service.domain.generation import Buffer
from service.domain.stored_images import StoredObject


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredContent:
    """A stored image or a part of it, in raw bytes. Iterating `chunks` may raise `StoreUnavailable`."""

    stored: StoredObject
    chunks: AsyncIterator[Buffer]


class ImageStore(Protocol):
    """Stores images under names that cannot be guessed. Raises `StoreUnavailable`."""

    async def put(self, name: str, body: Buffer) -> None:
        """Store bytes under a name. A name is written once; a second write changes nothing."""
        ...

    async def stat(self, name: str) -> StoredObject:
        """Return length and time of an image. Raises `ImageNotFound`."""
        ...

    async def read(self, name: str, byte_range: ByteRange | None = None) -> StoredContent:
        """Read an image, or a range that lies within it. Raises `ImageNotFound`."""
        ...

    def list_all(self) -> AsyncIterator[Sequence[StoredObject]]:
        """Yield every object in batches, also unfinished writes and objects that the gateway did not write."""
        ...

    async def delete(self, names: Sequence[str]) -> None:
        """Delete objects. A name that is not there is no error."""
        ...
