"""Port of the index of uploaded files."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.stored_images import UploadedFile


@dataclass(frozen=True, slots=True, kw_only=True)
class FileQuery:
    """Which files to list: those of a team, by its mark, that are alive at `now`; at most so many.

    `after` is the id of a file, which is not listed. `keep_seconds` is how long files are kept at most.
    """

    team_digest: str
    now: datetime
    keep_seconds: float
    limit: int
    descending: bool
    after: str | None = None


class FileIndex(Protocol):
    """Which files teams brought, for lists. It may lag behind the picture store, which alone knows what is there.

    Raises `LedgerUnavailable` when it cannot be reached.
    """

    async def add(self, files: Sequence[UploadedFile]) -> None:
        """List files from now on. A file that is known already, deleted or not, is left as it is."""
        ...

    async def delete(self, ids: Collection[str]) -> None:
        """List these files no longer, and forget what they were called. They stay places where lists go on."""
        ...

    async def page(self, query: FileQuery) -> Sequence[UploadedFile] | None:
        """Files in the order of their times, and then of their ids. None: `after` is no place in the list."""
        ...

    async def find_unknown(self, ids: Collection[str]) -> Collection[str]:
        """Those of the ids that were never added."""
        ...

    def listed_ids(self, before: datetime) -> AsyncIterator[Sequence[str]]:
        """The ids of all files that are listed and were written before a time, in batches."""
        ...

    async def expire(self, now: datetime, keep_seconds: float) -> None:
        """Forget every file whose time is over."""
        ...
