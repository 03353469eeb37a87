"""Port of the formats of exported entries."""

from collections.abc import AsyncIterator
from typing import Protocol

from service.domain.ledger import Entry


class ExportFormat(Protocol):
    """A kind of file. Entries go in, bytes come out; the first bytes may come after the last entry."""

    media_type: str
    extension: str

    def write(self, entries: AsyncIterator[Entry]) -> AsyncIterator[bytes]:
        """The file, piece by piece."""
        ...
