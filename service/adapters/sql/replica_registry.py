"""The replicas that are alive, and the recounts of lost counters, in the database that holds the books.

Rule: times are microseconds since 1970 by the database's own clock. The tables are small: a row for each replica, and
rows for a recount only while it is under way. When the database does not answer, every verb raises `LedgerUnavailable`.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, delete, exists, func, literal, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.sql.database import SQLITE, Database
from service.adapters.sql.leases import CLOCKS
from service.adapters.sql.schema import BIG, recounts, replicas, reports
from service.domain.limit_errors import SECOND
from service.usecases.ports.replica_registry import Recount

FORGOTTEN_SECONDS = 3600  # a replica that was killed leaves its row behind


class SqlReplicaRegistry:
    """The port `ReplicaRegistry`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._now: ColumnElement[int] = literal_column(CLOCKS[database.kind == SQLITE], BIG)

    async def heartbeat(self, name: str) -> Sequence[Recount]:
        """Show that a replica is alive."""
        shown = self._database.insert(replicas).values(name=name, seen_at=self._now)
        shown = shown.on_conflict_do_update(index_elements=[replicas.c.name], set_={"seen_at": self._now})
        old = delete(replicas).where(replicas.c.seen_at < self._now - FORGOTTEN_SECONDS * SECOND)
        asked = select(recounts.c.team, recounts.c.life).where(~_has_reported(recounts.c.team, recounts.c.life, name))

        async def show(connection: AsyncConnection) -> Sequence[Recount]:
            await connection.execute(shown)
            await connection.execute(old)
            return [Recount(team=team, epoch=life) for team, life in await connection.execute(asked)]

        return await self._database.transaction(show)

    async def report(self, name: str, recount: Recount) -> None:
        """Note a report."""

        async def note(connection: AsyncConnection) -> None:
            await self._note(connection, name, recount)

        await self._database.transaction(note)

    async def request_reports(self, name: str, recount: Recount, alive_seconds: float | None) -> int:
        """Ask for reports; how many are missing."""
        asked = self._database.insert(recounts).values(team=recount.team, life=recount.epoch)
        asked = asked.on_conflict_do_update(index_elements=[recounts.c.team], set_={"life": recount.epoch})
        reported = _has_reported(literal(recount.team), literal(recount.epoch), replicas.c.name)
        missing = select(func.count()).select_from(replicas).where(replicas.c.name != name, ~reported)
        if alive_seconds is not None:
            missing = missing.where(replicas.c.seen_at > self._now - round(alive_seconds * SECOND))

        async def ask(connection: AsyncConnection) -> int:
            await connection.execute(asked)
            await self._note(connection, name, recount)
            return int(await connection.scalar(missing) or 0)

        return await self._database.transaction(ask)

    async def finish(self, recount: Recount) -> None:
        """Forget a recount, and its reports."""

        async def forget(connection: AsyncConnection) -> None:
            for table in (recounts, reports):
                await connection.execute(
                    delete(table).where(table.c.team == recount.team, table.c.life == recount.epoch)
                )

        await self._database.transaction(forget)

    async def unregister(self, name: str) -> None:
        """Forget a replica."""

        async def forget(connection: AsyncConnection) -> None:
            await connection.execute(delete(replicas).where(replicas.c.name == name))

        await self._database.transaction(forget)

    async def _note(self, connection: AsyncConnection, name: str, recount: Recount) -> None:
        noted = self._database.insert(reports).values(team=recount.team, replica=name, life=recount.epoch)
        key = [reports.c.team, reports.c.replica]
        await connection.execute(noted.on_conflict_do_update(index_elements=key, set_={"life": recount.epoch}))


def _has_reported(
    team: ColumnElement[str], life: ColumnElement[str], name: ColumnElement[str] | str
) -> ColumnElement[bool]:
    """Has that replica reported for that life of the team's counters?"""
    return exists().where(and_(reports.c.team == team, reports.c.life == life, reports.c.replica == name))
