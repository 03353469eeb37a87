"""Port of the image store: files on disk or objects in a bucket."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.byte_ranges import ByteRange
from service.domain.generation import Buffer
from service.domain.stored_images import StoredObject


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredContent:
    """A kept picture, or a part of it: raw bytes, piece by piece; reading them can raise `StoreUnavailable`."""

    stored: StoredObject
    chunks: AsyncIterator[Buffer]


class ImageStore(Protocol):
    """Keeps pictures under names that cannot be guessed. Raises `StoreUnavailable` when it cannot, within seconds."""

    async def put(self, name: str, body: Buffer) -> None:
        """Store bytes under a name; a name is written once, and what stands there already stays."""
        ...

    async def stat(self, name: str) -> StoredObject:
        """What is known of the picture of that name. Raises `ImageNotFound`."""
        ...

    async def read(self, name: str, byte_range: ByteRange | None = None) -> StoredContent:
        """The picture of that name, or a part that it is known to have. Raises `ImageNotFound`."""
        ...

    def list_all(self) -> AsyncIterator[Sequence[StoredObject]]:
        """Everything that is there, in batches, also what was never finished and what is not ours."""
        ...

    async def delete(self, names: Sequence[str]) -> None:
        """Delete; what is not there any more is deleted."""
        ...
