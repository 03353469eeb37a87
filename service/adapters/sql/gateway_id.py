"""The id of a gateway, which all of its replicas share because they share the database.

Rule: it is random, made at the first start, and never changes. A copy of a database has it too: gateways that call each
other need databases of their own.
"""

import secrets

from sqlalchemy import NullPool, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.dynamic_text import DynamicText
from service.adapters.sql.database import Database
from service.adapters.sql.schema import facts

NAME = "gateway_id"


async def read_gateway_id(url: DynamicText) -> str:
    """The id in a database that was brought up to date. Raises `LedgerUnavailable`."""
    database = Database(url, pool=NullPool)

    async def read_or_create(connection: AsyncConnection) -> str:
        made = {"name": NAME, "value": secrets.token_hex(8)}
        insert = database.insert(facts).values(made).on_conflict_do_nothing(index_elements=[facts.c.name])
        gateway_id = (await connection.execute(select(facts.c.value).where(facts.c.name == NAME))).scalar_one_or_none()
        if gateway_id is None:
            await connection.execute(insert)
            gateway_id = (await connection.execute(select(facts.c.value).where(facts.c.name == NAME))).scalar_one()
        return str(gateway_id)

    try:
        return await database.transaction(read_or_create)
    finally:
        await database.close()
