"""The lease on the ledger: one row, changed by one statement, by the database's clock.

Rule: the statement takes the lease or leaves it as it is, for any number of callers at once.

Fails with: `LedgerUnavailable`.
"""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, and_, case, delete, literal_column, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.sql.database import SQLITE, Database
from service.adapters.sql.schema import leases as table
from service.usecases.ports.leases import LeaseHolder, Leases

LEASE_NAME = "counters"
MICROSECONDS = 1_000_000
CLOCKS = {
    True: "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
    False: "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
}
"""Now in microseconds since 1970, in SQLite and in PostgreSQL."""


class SqlLeases(Leases):
    """The lease in a migrated database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._now: ColumnElement[int] = literal_column(CLOCKS[database.kind == SQLITE], BigInteger())

    async def take(self, holder: LeaseHolder, seconds: float, *, force: bool = False) -> LeaseHolder:
        values: dict[str, Any] = {
            "place": holder.location,
            "token": holder.token,
            "name": holder.name,
            "shared": int(holder.shared),
            "leaving": int(holder.is_draining),
            "until": self._now + round(seconds * MICROSECONDS),
        }
        # The row changes hands if it is over, if the holder's process or data folder asks again, or between replicas
        # that share a store. `since` stays as long as the counters are those of one holder.
        over = table.c.until < self._now
        both_shared = and_(table.c.shared == 1, values["shared"] == 1)
        same = or_(table.c.token == holder.token, and_(both_shared, ~over))
        values["since"] = case((same, table.c.since), else_=self._now)
        own = or_(table.c.token == holder.token, table.c.place == holder.location, over, both_shared)
        taken = (
            self._database.insert(table)
            .values(lease=LEASE_NAME, **values | {"since": self._now})
            .on_conflict_do_update(index_elements=[table.c.lease], set_=values, where=None if force else own)
        )

        async def take(connection: AsyncConnection) -> Row[Any]:
            await connection.execute(taken)
            return (await connection.execute(select(table).where(table.c.lease == LEASE_NAME))).one()

        return _holder(await self._database.transaction(take))

    async def release(self, holder: LeaseHolder) -> None:
        """Release the lease. Replicas of a shared store leave it to each other, or to its expiry."""
        if holder.shared:
            return
        own = delete(table).where(table.c.lease == LEASE_NAME, table.c.token == holder.token)
        await self._database.execute(own)


def _holder(row: Row[Any]) -> LeaseHolder:
    return LeaseHolder(
        location=row.place,
        token=row.token,
        name=row.name,
        shared=bool(row.shared),
        is_draining=bool(row.leaving),
        since=row.since,
    )
