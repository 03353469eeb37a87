"""A real PgBouncer between gateway and PostgreSQL: detected, reported once, and nothing of a session relied on."""

import asyncio
from collections.abc import Callable

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.sql.database import MAX_CONNECTIONS, Database, SchemaError
from service.adapters.sql.ledger import SqlLedger
from service.adapters.sql.migrate import HEAD, migrate, migrate_with_retry, read_revision
from service.usecases.ports.events import PoolerDetected
from service.usecases.ports.ledger import EntryFilter, UsageQuery
from tests.fakes.ledger import booked
from tests.fakes.observer import FailOnEvent, Recorder
from tests.support.pgbouncer import pgbouncer

pytest_plugins = ["tests.support.databases"]

NewDatabase = Callable[[str], str]
EVER = EntryFilter(since=0, until=2**62)
LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout", "jit", "application_name")
SET = ["10s", "15s", "off", "image-gateway"]


async def limits(connection: AsyncConnection) -> list[object]:
    return [await connection.scalar(text(f"SHOW {name}")) for name in LIMITS]


async def work(database: Database, names: str) -> None:
    """More at once than the pooler has sessions."""
    sql_ledger = SqlLedger(database)
    every = [sql_ledger.write([booked(f"{name}1"), booked(f"{name}2")]) for name in names]
    await asyncio.gather(
        *every, *(sql_ledger.usage(UsageQuery(entry_filter=EVER, group_by=("team",))) for _ in range(60))
    )


@pytest.mark.parametrize(("kind", "times"), [("postgresql", 0), ("pgbouncer", 1)])
async def test_a_pooler_is_detected_and_reported_once(new_database: NewDatabase, kind: str, times: int) -> None:
    recorder = Recorder()
    database = Database(await asyncio.to_thread(new_database, kind), observer=recorder)

    await work(database, "abcdefgh")
    assert await database.transaction(limits) == SET

    assert recorder.events == [PoolerDetected(database=database.description)] * times
    await database.close()


async def test_nothing_is_left_in_the_sessions_that_all_share(new_database: NewDatabase) -> None:
    url = await asyncio.to_thread(new_database, "pgbouncer")
    database = Database(url)
    await work(database, "abcdefgh")
    await database.close()

    other = await asyncpg.connect(url, statement_cache_size=0)
    async with other.transaction():
        left = [await other.fetchval(f"SHOW {name}") for name in LIMITS[:2]]
        prepared = await other.fetchval("SELECT count(*) FROM pg_prepared_statements")
    await other.close()

    assert (left, prepared) == (["0", "0"], 0)


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize(
    "ignored", ["extra_float_digits", "jit, statement_timeout, idle_in_transaction_session_timeout"]
)
async def test_it_works_in_both_modes_whatever_the_pooler_ignores(postgres_url: str, mode: str, ignored: str) -> None:
    with pgbouncer(postgres_url, mode, ignored) as pooler:
        await migrate(pooler.url)
        database = Database(pooler.url)
        await work(database, "abcdefgh")
        assert await database.transaction(limits) == SET
        await database.close()


@pytest.mark.parametrize(
    ("mode", "change", "says"),
    [
        ("statement", ("", ""), "transaction blocks not allowed in statement pooling mode"),
        ("transaction", ("port=", "search_path=ledger&port="), "unsupported startup parameter: search_path"),
        ("transaction", ("/postgres?", "/nothing?"), '"nothing" does not exist'),
    ],
)
async def test_what_a_pooler_will_never_do_is_not_waited_for(
    postgres_url: str, mode: str, change: tuple[str, str], says: str
) -> None:
    with pgbouncer(postgres_url, mode) as pooler:
        url = pooler.url.replace(*change)
        with pytest.raises(SchemaError, match=rf"refuses the gateway .*{says}"):
            await migrate_with_retry(url, 60, FailOnEvent())


async def test_a_pooler_that_is_restarted_between_calls_is_not_noticed(postgres_url: str) -> None:
    with pgbouncer(postgres_url) as pooler:
        await migrate(pooler.url)
        database = Database(pooler.url)
        await work(database, "abcdefgh")

        pooler.stop()
        pooler.start()
        await asyncio.gather(*(SqlLedger(database).find_settled(["a1"]) for _ in range(2 * MAX_CONNECTIONS)))

        assert await read_revision(pooler.url) == HEAD
        await database.close()
