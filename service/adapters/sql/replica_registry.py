"""The living replicas, and recounts of lost counters, in the ledger's database.

Rule: times are microseconds since 1970 by the database's clock. The tables are small: a row for each replica, and rows
of a recount while it is under way.

Fails with: `LedgerUnavailable`.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Executable, and_, delete, exists, func, literal, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.sql.database import SQLITE, Database
from service.adapters.sql.leases import CLOCKS
from service.adapters.sql.schema import BIG, recounts, replicas, reports
from service.domain.limit_errors import SECOND
from service.usecases.ports.replica_registry import Recount, ReplicaRegistry

FORGOTTEN_SECONDS = 3600  # after which the row of a killed replica is deleted


class SqlReplicaRegistry(ReplicaRegistry):
    """Replicas and recounts in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._now: ColumnElement[int] = literal_column(CLOCKS[database.kind == SQLITE], BIG)

    async def heartbeat(self, name: str) -> Sequence[Recount]:
        heartbeat = self._database.insert(replicas).values(name=name, seen_at=self._now)
        heartbeat = heartbeat.on_conflict_do_update(index_elements=[replicas.c.name], set_={"seen_at": self._now})
        old = delete(replicas).where(replicas.c.seen_at < self._now - FORGOTTEN_SECONDS * SECOND)
        missing = ~_has_reported(recounts.c.team, recounts.c.life, name)
        requested = select(recounts.c.team, recounts.c.life).where(missing)

        async def write(connection: AsyncConnection) -> Sequence[Recount]:
            await connection.execute(heartbeat)
            await connection.execute(old)
            return [Recount(team=team, epoch=epoch) for team, epoch in await connection.execute(requested)]

        return await self._database.transaction(write)

    async def report(self, name: str, recount: Recount) -> None:
        await self._database.execute(self._build_report(name, recount))

    async def request_reports(self, name: str, recount: Recount, alive_seconds: float | None) -> int:
        request = self._database.insert(recounts).values(team=recount.team, life=recount.epoch)
        request = request.on_conflict_do_update(index_elements=[recounts.c.team], set_={"life": recount.epoch})
        reported = _has_reported(literal(recount.team), literal(recount.epoch), replicas.c.name)
        missing = select(func.count()).select_from(replicas).where(replicas.c.name != name, ~reported)
        if alive_seconds is not None:
            missing = missing.where(replicas.c.seen_at > self._now - round(alive_seconds * SECOND))

        report = self._build_report(name, recount)

        async def write(connection: AsyncConnection) -> int:
            await connection.execute(request)
            await connection.execute(report)
            return int(await connection.scalar(missing) or 0)

        return await self._database.transaction(write)

    async def finish(self, recount: Recount) -> None:
        of_recount = (
            delete(table).where(table.c.team == recount.team, table.c.life == recount.epoch)
            for table in (recounts, reports)
        )
        await self._database.execute(*of_recount)

    async def unregister(self, name: str) -> None:
        await self._database.execute(delete(replicas).where(replicas.c.name == name))

    def _build_report(self, name: str, recount: Recount) -> Executable:
        report = self._database.insert(reports).values(team=recount.team, replica=name, life=recount.epoch)
        key = [reports.c.team, reports.c.replica]
        upsert: Executable = report.on_conflict_do_update(index_elements=key, set_={"life": recount.epoch})
        return upsert


def _has_reported(
    team: ColumnElement[str], epoch: ColumnElement[str], name: ColumnElement[str] | str
) -> ColumnElement[bool]:
    """Build the condition that a replica has reported for an epoch of the team's counters."""
    return exists().where(and_(reports.c.team == team, reports.c.life == epoch, reports.c.replica == name))
