"""An image store in memory."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from service.domain.byte_ranges import ByteRange
from service.domain.errors import ImageNotFound, StoreUnavailable
from service.domain.generation import Buffer
from service.domain.stored_images import StoredObject
from service.usecases.ports.image_store import StoredContent

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class FakeImageStore:
    """Stores at most `room` images; beyond that, and once `down` is set, it is unavailable.

    Images are stored with the time `now`.
    """

    def __init__(self, room: int = 1000) -> None:
        self.stored: dict[str, bytes] = {}
        self.written: dict[str, datetime] = {}
        self.now = NOON
        self.down = False
        self._room = room

    async def put(self, name: str, body: Buffer) -> None:
        self._check(full=len(self.stored) >= self._room)
        self.written.setdefault(name, self.now)
        self.stored.setdefault(name, bytes(body))

    async def stat(self, name: str) -> StoredObject:
        self._check()
        if name not in self.stored:
            raise ImageNotFound("There is no such picture, or the link to it has expired.")
        return StoredObject(name=name, length=len(self.stored[name]), written_at=self.written[name])

    async def read(self, name: str, byte_range: ByteRange | None = None) -> StoredContent:
        stored = await self.stat(name)
        body = self.stored[name][byte_range.start : byte_range.end] if byte_range else self.stored[name]
        return StoredContent(stored=stored, chunks=self._pieces(body))

    async def _pieces(self, body: bytes) -> AsyncIterator[Buffer]:
        for byte in body:
            self._check()
            yield bytes([byte])

    async def list_all(self) -> AsyncIterator[Sequence[StoredObject]]:
        self._check()
        for name in list(self.stored):
            yield [await self.stat(name)]

    async def delete(self, names: Sequence[str]) -> None:
        self._check()
        for name in names:
            self.stored.pop(name, None)

    def _check(self, *, full: bool = False) -> None:
        if self.down or full:
            raise StoreUnavailable("The image store does not answer.")
