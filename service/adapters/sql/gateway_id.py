"""The id of a gateway. All its replicas share the id, because they share the database.

Rule: the id is random, made at the first start, and never changes. A copy of a database has it too, so gateways that
call each other need databases of their own.

Fails with: `LedgerUnavailable`.
"""

import secrets

from sqlalchemy import NullPool, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.dynamic_text import DynamicText
from service.adapters.sql.database import Database
from service.adapters.sql.schema import facts

NAME = "gateway_id"


async def read_gateway_id(url: DynamicText) -> str:
    """Read the id from a migrated database, or write a new one."""
    database = Database(url, pool=NullPool)

    async def read_or_create(connection: AsyncConnection) -> str:
        new = {"name": NAME, "value": secrets.token_hex(8)}
        insert = database.insert(facts).values(new).on_conflict_do_nothing(index_elements=[facts.c.name])
        gateway_id = (await connection.execute(select(facts.c.value).where(facts.c.name == NAME))).scalar_one_or_none()
        if gateway_id is None:
            await connection.execute(insert)
            gateway_id = (await connection.execute(select(facts.c.value).where(facts.c.name == NAME))).scalar_one()
        return str(gateway_id)

    try:
        return await database.transaction(read_or_create)
    finally:
        await database.close()
