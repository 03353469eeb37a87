"""The list of uploaded files, in the ledger's database.

Rule: the index only lists files. The image store decides whether an id leads to a file. Times are microseconds since
1970.

Fails with: `LedgerUnavailable`.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, not_, or_, select, tuple_, update

from service.adapters.sql.database import Database
from service.adapters.sql.schema import files as table
from service.domain.limit_errors import SECOND
from service.domain.stored_images import UploadedFile, parse_lifetime, parse_team_digest
from service.usecases.ports.file_index import FileIndex, FileQuery

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CHUNK = 500


class SqlFileIndex(FileIndex):
    """The list of files in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.insert(table).on_conflict_do_nothing(index_elements=[table.c.id])

    async def add(self, files: Sequence[UploadedFile]) -> None:
        """Add files, sorted, so that two writers of equal files cannot deadlock."""
        if not files:
            return
        rows = [_row(file) for file in sorted(files, key=lambda file: file.id)]
        await self._database.execute(self._insert, rows=rows)

    async def delete(self, ids: Collection[str]) -> None:
        for chunk in _chunks(ids):
            await self._database.execute(update(table).where(table.c.id.in_(chunk)).values(deleted=1, filename=""))

    async def page(self, query: FileQuery) -> Sequence[UploadedFile] | None:
        position = tuple_(table.c.created_at, table.c.id)
        of_team = table.c.mark == query.team_digest
        statement = select(table).where(of_team, table.c.deleted == 0, _is_alive(query.now, query.keep_seconds))
        order = (table.c.created_at, table.c.id)
        statement = statement.order_by(*(column.desc() if query.descending else column for column in order)).limit(
            query.limit
        )
        if query.after is not None:
            rows = await self._database.query(select(*order).where(of_team, table.c.id == query.after))
            if not rows:
                return None
            last = tuple_(*rows[0])
            statement = statement.where(position < last if query.descending else position > last)
        return [_to_file(row) for row in await self._database.query(statement)]

    async def find_unknown(self, ids: Collection[str]) -> Collection[str]:
        known = set[str]()
        for chunk in _chunks(ids):
            known.update(row.id for row in await self._database.query(select(table.c.id).where(table.c.id.in_(chunk))))
        return set(ids) - known

    async def listed_ids(self, before: datetime) -> AsyncIterator[Sequence[str]]:
        statement = select(table.c.id).where(table.c.deleted == 0, table.c.created_at < _micros(before))
        statement = statement.order_by(table.c.id).limit(CHUNK)
        ids = [row.id for row in await self._database.query(statement)]
        while ids:
            yield ids
            ids = [row.id for row in await self._database.query(statement.where(table.c.id > ids[-1]))]

    async def expire(self, now: datetime, keep_seconds: float) -> None:
        await self._database.execute(delete(table).where(not_(_is_alive(now, keep_seconds))))


def _is_alive(now: datetime, keep_seconds: float) -> ColumnElement[bool]:
    at, moment = table.c.created_at, _micros(now)
    within_own_lifetime = or_(table.c.seconds.is_(None), at > moment - table.c.seconds * SECOND)
    return and_(at > moment - round(keep_seconds * SECOND), within_own_lifetime)


def _chunks(ids: Collection[str]) -> list[list[str]]:
    listed = sorted(ids)
    return [listed[start : start + CHUNK] for start in range(0, len(listed), CHUNK)]


def _micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def _row(file: UploadedFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "mark": parse_team_digest(file.id),
        "filename": file.filename,
        "bytes": file.length,
        "created_at": _micros(file.written_at),
        "seconds": parse_lifetime(file.id),
        "deleted": 0,
    }


def _to_file(row: Any) -> UploadedFile:  # noqa: ANN401 (a row of the table)
    return UploadedFile(
        id=row.id, filename=row.filename, length=row.bytes, written_at=EPOCH + timedelta(microseconds=row.created_at)
    )
