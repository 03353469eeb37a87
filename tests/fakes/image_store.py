"""A picture store in memory."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from service.domain.byte_ranges import ByteRange
from service.domain.errors import ImageNotFound, StoreUnavailable
from service.domain.generation import Buffer
from service.domain.stored_images import StoredObject
from service.usecases.ports.image_store import StoredContent

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class FakeImageStore:
    """Keeps at most `room` pictures; beyond that, and once `down` is set, it is unavailable.

    What is kept from now on was written at `now`.
    """

    def __init__(self, room: int = 1000) -> None:
        self.kept: dict[str, bytes] = {}
        self.written: dict[str, datetime] = {}
        self.now = NOON
        self.down = False
        self._room = room

    async def keep(self, name: str, body: Buffer) -> None:
        """Store under a name, once."""
        self._check(full=len(self.kept) >= self._room)
        self.written.setdefault(name, self.now)
        self.kept.setdefault(name, bytes(body))

    async def find(self, name: str) -> StoredObject:
        """What is known of it."""
        self._check()
        if name not in self.kept:
            raise ImageNotFound("There is no such picture, or the link to it has expired.")
        return StoredObject(name=name, length=len(self.kept[name]), at=self.written[name])

    async def read(self, name: str, part: ByteRange | None = None) -> StoredContent:
        """What was stored under that name, a byte at a time."""
        kept = await self.find(name)
        body = self.kept[name][part.start : part.end] if part else self.kept[name]
        return StoredContent(kept=kept, pieces=self._pieces(body))

    async def _pieces(self, body: bytes) -> AsyncIterator[Buffer]:
        for byte in body:
            self._check()
            yield bytes([byte])

    async def listed(self) -> AsyncIterator[Sequence[StoredObject]]:
        """One by one."""
        self._check()
        for name in list(self.kept):
            yield [await self.find(name)]

    async def forget(self, names: Sequence[str]) -> None:
        """Delete."""
        self._check()
        for name in names:
            self.kept.pop(name, None)

    def _check(self, *, full: bool = False) -> None:
        if self.down or full:
            raise StoreUnavailable("The picture store does not answer.")
