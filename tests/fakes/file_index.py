"""A list of files in memory."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from service.domain.errors import LedgerUnavailable
from service.domain.stored_images import StoredObject, UploadedFile, is_expired, parse_team_digest, to_stored_name
from service.usecases.ports.file_index import FileQuery


class FakeFileIndex:
    """Keeps every file that was added, and which of them are deleted; once `down` is set, it is unavailable."""

    def __init__(self) -> None:
        self.files: dict[str, UploadedFile] = {}
        self.deleted: set[str] = set()
        self.down = False

    async def add(self, files: Sequence[UploadedFile]) -> None:
        """Keep what is new."""
        self._check()
        for file in files:
            self.files.setdefault(file.id, file)

    async def delete(self, ids: Collection[str]) -> None:
        """Keep the row without its name."""
        self._check()
        for picture in self.files.keys() & set(ids):
            self.files[picture] = replace(self.files[picture], filename="")
            self.deleted.add(picture)

    async def page(self, query: FileQuery) -> Sequence[UploadedFile] | None:
        """Sort all, and cut."""
        self._check()
        mine = {picture: file for picture, file in self.files.items() if parse_team_digest(picture) == query.mark}
        if query.after not in {None, *mine}:
            return None
        found = sorted(mine.values(), key=lambda file: (file.at, file.id), reverse=query.descending)
        if query.after:
            found = found[found.index(mine[query.after]) + 1 :]
        alive = [file for file in found if not self._is_over(file, query.now, query.keep_seconds)]
        return [file for file in alive if file.id not in self.deleted][: query.most]

    async def unknown(self, ids: Collection[str]) -> Collection[str]:
        """Those without a row."""
        self._check()
        return set(ids) - self.files.keys()

    async def listed(self, before: datetime) -> AsyncIterator[Sequence[str]]:
        """One by one."""
        self._check()
        for picture, file in sorted(self.files.items()):
            if file.at < before and picture not in self.deleted:
                yield [picture]

    async def expire(self, now: datetime, keep_seconds: float) -> None:
        """Drop old rows."""
        self._check()
        self.files = {
            picture: file for picture, file in self.files.items() if not self._is_over(file, now, keep_seconds)
        }

    def _is_over(self, file: UploadedFile, now: datetime, keep_seconds: float) -> bool:
        return is_expired(StoredObject(name=to_stored_name(file.id), length=file.length, at=file.at), now, keep_seconds)

    def _check(self) -> None:
        if self.down:
            raise LedgerUnavailable("The ledger of record does not answer.")
