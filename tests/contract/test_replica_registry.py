"""The port of replicas that are alive: in memory, in SQLite, in PostgreSQL and behind PgBouncer."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from service.adapters.sql.database import Database
from service.adapters.sql.replica_registry import SqlReplicaRegistry
from service.usecases.ports.replica_registry import Recount, ReplicaRegistry
from tests.fakes.replica_registry import FakeReplicaRegistry

pytest_plugins = ["tests.support.databases"]

ALIVE = 60.0
FIRST, SECOND, OTHER = (
    Recount(team="search", epoch="a.1"),
    Recount(team="search", epoch="a.2"),
    Recount(team="ads", epoch="a.1"),
)


@pytest.fixture(params=["fake", "sqlite", "postgresql", "pgbouncer"])
async def replicas(
    request: pytest.FixtureRequest, new_database: Callable[[str], str]
) -> AsyncIterator[ReplicaRegistry]:
    if request.param == "fake":
        yield FakeReplicaRegistry()
        return
    database = Database(await asyncio.to_thread(new_database, request.param))
    yield SqlReplicaRegistry(database)
    await database.close()


async def test_one_replica_waits_for_no_report(replicas: ReplicaRegistry) -> None:
    assert await replicas.heartbeat("one") == []
    assert await replicas.request_reports("one", FIRST, ALIVE) == 0
    assert await replicas.heartbeat("one") == []


async def test_every_other_replica_is_asked_until_it_has_reported(replicas: ReplicaRegistry) -> None:
    for name in ("one", "two", "three"):
        assert await replicas.heartbeat(name) == []
    assert await replicas.request_reports("one", FIRST, ALIVE) == 2
    assert await replicas.heartbeat("two") == [FIRST]
    await replicas.report("two", FIRST)
    assert (await replicas.heartbeat("two"), await replicas.heartbeat("three")) == ([], [FIRST])
    assert await replicas.request_reports("one", FIRST, ALIVE) == 1
    await replicas.report("three", FIRST)
    assert await replicas.request_reports("one", FIRST, ALIVE) == 0


async def test_a_report_counts_for_one_life_of_one_team(replicas: ReplicaRegistry) -> None:
    for name in ("one", "two"):
        await replicas.heartbeat(name)
    await replicas.request_reports("one", FIRST, ALIVE)
    await replicas.report("two", FIRST)
    assert await replicas.request_reports("one", SECOND, ALIVE) == 1
    assert await replicas.request_reports("one", OTHER, ALIVE) == 1
    assert {*await replicas.heartbeat("two")} == {SECOND, OTHER}
    await replicas.report("two", FIRST)  # late
    assert await replicas.request_reports("one", SECOND, ALIVE) == 1


async def test_two_may_rebuild_the_same_at_once(replicas: ReplicaRegistry) -> None:
    for name in ("one", "two"):
        await replicas.heartbeat(name)
    missing = await asyncio.gather(*(replicas.request_reports(name, FIRST, ALIVE) for name in ("one", "two")))
    assert sorted(missing) in ([0, 0], [0, 1])
    assert [await replicas.request_reports(name, FIRST, ALIVE) for name in ("one", "two")] == [0, 0]


async def test_what_is_finished_is_asked_no_more(replicas: ReplicaRegistry) -> None:
    for name in ("one", "two"):
        await replicas.heartbeat(name)
    await replicas.request_reports("one", FIRST, ALIVE)
    await replicas.finish(SECOND)
    assert await replicas.heartbeat("two") == [FIRST]
    await replicas.finish(FIRST)
    assert await replicas.heartbeat("two") == []
    assert await replicas.request_reports("one", FIRST, ALIVE) == 1


async def test_who_left_or_is_dead_is_not_waited_for(replicas: ReplicaRegistry) -> None:
    for name in ("one", "two", "three"):
        await replicas.heartbeat(name)
    await replicas.unregister("two")
    assert await replicas.request_reports("one", FIRST, ALIVE) == 1
    assert await replicas.request_reports("one", FIRST, 0.0) == 0
    assert await replicas.request_reports("one", FIRST, None) == 1
