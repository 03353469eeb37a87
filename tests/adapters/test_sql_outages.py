"""A PostgreSQL that stops, or hangs, while entries are written to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]
import pytest

from service.adapters.sql.database import CHECKOUT_SECONDS, MAX_CONNECTIONS, Database
from service.adapters.sql.ledger import SqlLedger
from service.adapters.sql.migrate import migrate
from service.domain.errors import LedgerUnavailable
from tests.fakes.ledger import booked
from tests.support.postgres import WheelPostgres
from tests.support.quiet_loop import quiet_seconds, run_quietly

pytest_plugins = ["tests.support.databases"]


@asynccontextmanager
async def warm_ledger(server: WheelPostgres) -> AsyncIterator[SqlLedger]:
    """The ledger in the server that can be stopped, with warm connections."""
    await migrate(server.url)
    database = Database(server.url)
    ledger = SqlLedger(database)
    await asyncio.gather(*(ledger.find_settled(["a"]) for _ in range(MAX_CONNECTIONS)))
    yield ledger
    await database.close()


@pytest.fixture
async def outage(wheel_server: WheelPostgres) -> AsyncIterator[SqlLedger]:
    async with warm_ledger(wheel_server) as ledger:
        yield ledger


def test_a_postgresql_that_stops_is_reported_at_once_and_found_again(wheel_server: WheelPostgres) -> None:
    async def scenario() -> None:
        async with warm_ledger(wheel_server) as outage:
            wheel_server.stop()
            begun = quiet_seconds()
            with pytest.raises(LedgerUnavailable):
                await outage.write([booked("while it was away")])
            assert quiet_seconds() - begun < CHECKOUT_SECONDS / 2
            await asyncio.to_thread(wheel_server.start)
            await asyncio.gather(*(outage.write([booked("back")]) for _ in range(2 * MAX_CONNECTIONS)))
            assert await outage.find_settled(["back"]) == {"back"}

    run_quietly(scenario())


async def test_a_postgresql_that_is_restarted_between_calls_is_not_noticed(
    outage: SqlLedger, wheel_server: WheelPostgres
) -> None:
    wheel_server.stop()
    wheel_server.start()
    await asyncio.gather(*(outage.write([booked("after")]) for _ in range(2 * MAX_CONNECTIONS)))


async def test_a_postgresql_that_stops_in_the_middle_is_reported(
    outage: SqlLedger, wheel_server: WheelPostgres
) -> None:
    locker = await asyncpg.connect(wheel_server.url)
    await locker.execute("BEGIN; LOCK TABLE entries")
    writing = asyncio.create_task(outage.write([booked("middle")]))
    while not await locker.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        pass  # each question lets the writer go on
    wheel_server.stop()
    with pytest.raises(LedgerUnavailable):
        await writing
    wheel_server.start()
    await outage.write([booked("middle")])
    locker.terminate()


def test_a_postgresql_that_hangs_is_reported_in_time(wheel_server: WheelPostgres) -> None:
    async def scenario() -> None:
        async with warm_ledger(wheel_server) as outage:
            cold = Database(wheel_server.url)
            with wheel_server.frozen():
                begun = quiet_seconds()
                outcomes = await asyncio.gather(
                    outage.write([booked("warm")]), SqlLedger(cold).write([booked("cold")]), return_exceptions=True
                )
                assert [type(one) for one in outcomes] == [LedgerUnavailable] * 2
                assert quiet_seconds() - begun < 1.5 * CHECKOUT_SECONDS
            await asyncio.gather(outage.write([booked("warm")]), SqlLedger(cold).write([booked("cold")]))
            await cold.close()
            assert len(asyncio.all_tasks()) == 1

    run_quietly(scenario())
