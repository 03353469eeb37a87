"""Lists the files that teams brought. What is listed is in the database; what is there is in the picture store.

Rule: the list may lag, and never decides whether an id leads to a file. A file is listed when it is brought. Each look
through the picture store adds what the list lacks, such as files of older versions, and takes out what is gone. While
the database is away, files come and go as before; only who asks for the list gets to know.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from service.domain.errors import ImageNotFound, InvalidValue, LedgerUnavailable
from service.domain.stored_images import (
    StoredObject,
    UploadedFile,
    build_team_digest,
    clean_filename,
    owned_stored_name,
    parse_upload_id,
    to_filename_key,
)
from service.domain.team_access import Team
from service.usecases.images.read_images import ReadImages
from service.usecases.ports.events import FileListOutdated
from service.usecases.ports.file_index import FileIndex, FileQuery
from service.usecases.ports.observer import Observer

WAIT_SECONDS = 1.0  # a caller who brings a file waits no longer for the list
SETTLE_TIME = timedelta(hours=1)  # what is younger may have been written while a look was under way


@dataclass(frozen=True, slots=True, kw_only=True)
class FileListing:
    """The use case. `now` gives an aware UTC time."""

    index: FileIndex
    pictures: ReadImages
    observe: Observer
    now: Callable[[], datetime]

    async def add(self, file: UploadedFile) -> None:
        """List a file that was brought."""
        await self._try(self.index.add([file]))

    async def delete(self, picture: str) -> None:
        """List a file no longer."""
        await self._try(self.index.delete([picture]))

    async def page(self, team: Team, *, most: int, descending: bool, after: str | None) -> list[UploadedFile]:
        """So many files of a team.

        Raises:
            InvalidValue: `after` is no file of this team that the list knows.
            LedgerUnavailable: there is no list just now.
        """
        query = FileQuery(
            mark=build_team_digest(team.name),
            now=self.now(),
            keep_seconds=self.pictures.keep_seconds,
            most=most,
            descending=descending,
            after=after,
        )
        known = after is None or owned_stored_name(team.name, after) is not None
        found = await self.index.page(query) if known else None
        if found is None:
            raise InvalidValue("after: there is no such file in the list. Begin again without it.", param="after")
        return [*found]

    def compare(self) -> "ListingComparison":
        """Begin a look through the picture store."""
        return ListingComparison(files=self, begun=self.now())

    async def _try(self, change: Coroutine[Any, Any, None]) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await change
        except (LedgerUnavailable, TimeoutError):
            self.observe(FileListOutdated(reason="The ledger of record does not answer."))


@dataclass(slots=True, kw_only=True)
class ListingComparison:
    """The list and the picture store, side by side. It ends early when the database does not answer."""

    files: FileListing
    begun: datetime
    seen: set[str] = field(default_factory=set)
    failed: bool = False

    async def take(self, batch: Iterable[StoredObject]) -> None:
        """Add what is in the store and not in the list. Raises `StoreUnavailable`."""
        found = {picture: kept for kept in batch if (picture := parse_upload_id(kept.name))}
        self.seen.update(found)
        if not found or self.failed:
            return
        try:
            unknown = await self.files.index.unknown(found.keys())
            await self.files.index.add([each async for each in self._read(found[picture] for picture in unknown)])
        except LedgerUnavailable as away:
            self._fail(away)

    async def finish(self) -> None:
        """Take out what is in the list and not in the store, once all of the store was taken."""
        index = self.files.index
        if self.failed:
            return
        try:
            async for ids in index.listed(self.begun - SETTLE_TIME):
                if gone := set(ids) - self.seen:
                    await index.delete(gone)
            await index.expire(self.begun, self.files.pictures.keep_seconds)
        except LedgerUnavailable as away:
            self._fail(away)

    async def _read(self, unknown: Iterable[StoredObject]) -> AsyncIterator[UploadedFile]:
        for kept in unknown:
            try:
                named = await self.files.pictures.whole(to_filename_key(kept.name))
            except ImageNotFound:  # it was deleted meanwhile
                continue
            yield UploadedFile(
                id=kept.name.partition(".")[0],
                filename=clean_filename(named.decode(errors="replace")),
                length=kept.length,
                at=kept.at,
            )

    def _fail(self, away: LedgerUnavailable) -> None:
        self.failed = True
        self.files.observe(FileListOutdated(reason=away.message))
