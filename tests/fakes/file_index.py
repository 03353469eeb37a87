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
        self._check()
        for file in files:
            self.files.setdefault(file.id, file)

    async def delete(self, ids: Collection[str]) -> None:
        self._check()
        for file_id in self.files.keys() & set(ids):
            self.files[file_id] = replace(self.files[file_id], filename="")
            self.deleted.add(file_id)

    async def page(self, query: FileQuery) -> Sequence[UploadedFile] | None:
        self._check()
        mine = {
            file_id: file for file_id, file in self.files.items() if parse_team_digest(file_id) == query.team_digest
        }
        if query.after not in {None, *mine}:
            return None
        files = sorted(mine.values(), key=lambda file: (file.written_at, file.id), reverse=query.descending)
        if query.after:
            files = files[files.index(mine[query.after]) + 1 :]
        alive = [file for file in files if not self._is_over(file, query.now, query.keep_seconds)]
        return [file for file in alive if file.id not in self.deleted][: query.limit]

    async def find_unknown(self, ids: Collection[str]) -> Collection[str]:
        self._check()
        return set(ids) - self.files.keys()

    async def listed_ids(self, before: datetime) -> AsyncIterator[Sequence[str]]:
        self._check()
        for file_id, file in sorted(self.files.items()):
            if file.written_at < before and file_id not in self.deleted:
                yield [file_id]

    async def expire(self, now: datetime, keep_seconds: float) -> None:
        self._check()
        self.files = {
            file_id: file for file_id, file in self.files.items() if not self._is_over(file, now, keep_seconds)
        }

    def _is_over(self, file: UploadedFile, now: datetime, keep_seconds: float) -> bool:
        return is_expired(
            StoredObject(name=to_stored_name(file.id), length=file.length, written_at=file.written_at),
            now,
            keep_seconds,
        )

    def _check(self) -> None:
        if self.down:
            raise LedgerUnavailable("The ledger of record does not answer.")
