"""Streams of entries, as the books give them."""

from collections.abc import AsyncIterator, Iterable

from service.domain.ledger import Entry


async def streamed(entries: Iterable[Entry]) -> AsyncIterator[Entry]:
    """One by one."""
    for entry in entries:
        yield entry


async def joined(chunks: AsyncIterator[bytes]) -> bytes:
    """A file from its pieces."""
    return b"".join([chunk async for chunk in chunks])
