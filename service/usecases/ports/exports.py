"""Port of the file formats in which entries of the ledger are exported."""

from collections.abc import AsyncIterator
from typing import Protocol

from service.domain.ledger import Entry


class ExportFormat(Protocol):
    """A file format."""

    media_type: str
    extension: str

    def write(self, entries: AsyncIterator[Entry]) -> AsyncIterator[bytes]:
        """Yield the file in chunks. A format may yield its first chunk after the last entry."""
        ...
