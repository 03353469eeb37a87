"""Streams of entries, as the ledger yields them."""

from collections.abc import AsyncIterator, Iterable

from service.domain.ledger import Entry


async def streamed(entries: Iterable[Entry]) -> AsyncIterator[Entry]:
    """Yield entries one by one."""
    for entry in entries:
        yield entry


async def joined(chunks: AsyncIterator[bytes]) -> bytes:
    """Join the chunks of a file."""
    return b"".join([chunk async for chunk in chunks])
