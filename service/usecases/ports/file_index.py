"""Port of the index of uploaded files.

Rule: the index may lag behind the image store, which alone decides whether a file exists.

Fails with: `LedgerUnavailable`; the index is in the database.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.stored_images import UploadedFile


@dataclass(frozen=True, slots=True, kw_only=True)
class FileQuery:
    """A page of the files of one team that are alive at `now`.

    Attributes:
        team_digest: Digest of the team's name, as in the ids of its files.
        keep_seconds: Maximum lifetime of files.
        limit: Maximum number of files.
        after: Id of the file that the page follows; that file is not in the page.
    """

    team_digest: str
    now: datetime
    keep_seconds: float
    limit: int
    descending: bool
    after: str | None = None


class FileIndex(Protocol):
    """The uploaded files of all teams. Raises `LedgerUnavailable`."""

    async def add(self, files: Sequence[UploadedFile]) -> None:
        """List files. A file that was added before, deleted or not, is not changed."""
        ...

    async def delete(self, ids: Collection[str]) -> None:
        """Take files off the list and delete their filenames. Their ids stay valid as `after` of a page."""
        ...

    async def page(self, query: FileQuery) -> Sequence[UploadedFile] | None:
        """Return files in the order of their times, then of their ids. None: the index does not know `after`."""
        ...

    async def find_unknown(self, ids: Collection[str]) -> Collection[str]:
        """Return the ids that were never added."""
        ...

    def listed_ids(self, before: datetime) -> AsyncIterator[Sequence[str]]:
        """Yield the ids of listed files that were written before a time, in batches."""
        ...

    async def expire(self, now: datetime, keep_seconds: float) -> None:
        """Remove every file whose lifetime is over."""
        ...
