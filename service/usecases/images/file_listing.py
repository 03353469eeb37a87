"""List of uploaded files. The list is in the database; the files are in the image store.

Rule: the list may lag, and never decides whether a file exists. A file is listed when it is uploaded. Each sweep of
the image store adds missing files, such as those of older versions. It also removes files that are gone.

Fails with: `LedgerUnavailable` for a request of the list. While the database is away, uploads and deletions go on
without the list, as `FileListOutdated` reports.
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

WAIT_SECONDS = 1.0  # maximum wait of an upload for the list
SETTLE_TIME = timedelta(hours=1)  # a younger file may have been written during the sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class FileListing:
    """The list of all teams' files. `now` returns an aware UTC time."""

    index: FileIndex
    images: ReadImages
    observer: Observer
    now: Callable[[], datetime]

    async def add(self, file: UploadedFile) -> None:
        """List an uploaded file."""
        await self._try(self.index.add([file]))

    async def delete(self, file_id: str) -> None:
        """Take a file off the list."""
        await self._try(self.index.delete([file_id]))

    async def page(self, team: Team, *, limit: int, descending: bool, after: str | None) -> list[UploadedFile]:
        """Return at most `limit` files of a team.

        Raises:
            InvalidValue: the list has no file `after` of this team.
            LedgerUnavailable: the database does not answer.
        """
        query = FileQuery(
            team_digest=build_team_digest(team.name),
            now=self.now(),
            keep_seconds=self.images.keep_seconds,
            limit=limit,
            descending=descending,
            after=after,
        )
        is_known = after is None or owned_stored_name(team.name, after) is not None
        files = await self.index.page(query) if is_known else None
        if files is None:
            raise InvalidValue("after: there is no such file in the list. Begin again without it.", param="after")
        return [*files]

    def start_comparison(self) -> "ListingComparison":
        """Begin a comparison with the image store."""
        return ListingComparison(listing=self, started_at=self.now())

    async def _try(self, change: Coroutine[Any, Any, None]) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await change
        except (LedgerUnavailable, TimeoutError):
            self.observer.record(FileListOutdated(reason="The ledger of record does not answer."))


@dataclass(slots=True, kw_only=True)
class ListingComparison:
    """Comparison of the list with the image store. It ends early when the database does not answer."""

    listing: FileListing
    started_at: datetime
    seen_ids: set[str] = field(default_factory=set)
    failed: bool = False

    async def add_batch(self, batch: Iterable[StoredObject]) -> None:
        """List the files of a batch that the list lacks. Raises `StoreUnavailable`."""
        stored_by_id = {file_id: stored for stored in batch if (file_id := parse_upload_id(stored.name))}
        self.seen_ids.update(stored_by_id)
        if not stored_by_id or self.failed:
            return
        try:
            unknown_ids = await self.listing.index.find_unknown(stored_by_id.keys())
            await self.listing.index.add(
                [file async for file in self._read_files(stored_by_id[file_id] for file_id in unknown_ids)]
            )
        except LedgerUnavailable as away:
            self._fail(away)

    async def finish(self) -> None:
        """Remove files from the list that no batch of the store had."""
        index = self.listing.index
        if self.failed:
            return
        try:
            async for ids in index.listed_ids(self.started_at - SETTLE_TIME):
                if missing := set(ids) - self.seen_ids:
                    await index.delete(missing)
            await index.expire(self.started_at, self.listing.images.keep_seconds)
        except LedgerUnavailable as away:
            self._fail(away)

    async def _read_files(self, unknown: Iterable[StoredObject]) -> AsyncIterator[UploadedFile]:
        for stored in unknown:
            try:
                filename = await self.listing.images.read_all(to_filename_key(stored.name))
            except ImageNotFound:  # deleted during the sweep
                continue
            yield UploadedFile(
                id=stored.name.partition(".")[0],
                filename=clean_filename(filename.decode(errors="replace")),
                length=stored.length,
                written_at=stored.written_at,
            )

    def _fail(self, away: LedgerUnavailable) -> None:
        self.failed = True
        self.listing.observer.record(FileListOutdated(reason=away.message))
