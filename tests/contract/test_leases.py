"""The lease on the ledger: in memory, in SQLite, in PostgreSQL and behind PgBouncer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from service.adapters.sql.database import Database
from service.adapters.sql.leases import SqlLeases
from service.domain.errors import LedgerUnavailable
from service.usecases.ports.leases import LeaseHolder, Leases
from tests.fakes.leases import FakeLeases

pytest_plugins = ["tests.support.databases"]

HOUR = 3600.0
OVER = -1.0
"""Seconds for which a lease is taken that is over already: no test waits for one."""
ONE = LeaseHolder(location="here", token="1", name="gw-1, process 7", shared=False)
OTHER = LeaseHolder(location="there", token="2", name="gw-2, process 7", shared=False)
AGAIN = replace(ONE, token="3")
"""The next process on the same folder."""
TOGETHER = LeaseHolder(location="4", token="4", name="gw-4, process 7", shared=True)
PEER = LeaseHolder(location="5", token="5", name="gw-5, process 7", shared=True)


@pytest.fixture(params=["fake", "sqlite", "postgresql", "pgbouncer"])
async def leases(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> AsyncIterator[Leases]:
    if request.param == "fake":
        yield FakeLeases()
        return
    database = Database(await asyncio.to_thread(new_database, request.param))
    yield SqlLeases(database)
    await database.close()


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        (ONE, ONE, True),
        (ONE, AGAIN, True),
        (ONE, OTHER, False),
        (ONE, TOGETHER, False),
        (TOGETHER, PEER, True),
        (TOGETHER, ONE, False),
    ],
)
async def test_who_may_have_it_while_it_is_held(
    leases: Leases, first: LeaseHolder, second: LeaseHolder, taken: bool
) -> None:
    await leases.take(first, HOUR)
    assert (await leases.take(second, HOUR)).token == (second if taken else first).token


@pytest.mark.parametrize("second", [AGAIN, OTHER, TOGETHER])
async def test_anybody_may_have_it_once_it_is_over(leases: Leases, second: LeaseHolder) -> None:
    await leases.take(ONE, OVER)
    assert (await leases.take(second, HOUR)).token == second.token


async def test_it_is_known_since_when_it_is_held_and_that_its_holder_leaves(leases: Leases) -> None:
    first = await leases.take(ONE, HOUR)
    assert first.since > 1_700_000_000_000_000
    leaving = replace(ONE, is_draining=True)
    await leases.take(leaving, HOUR)
    assert await leases.take(OTHER, HOUR) == replace(leaving, since=first.since)


async def test_what_was_given_back_is_free(leases: Leases) -> None:
    await leases.take(ONE, HOUR)
    await leases.release(OTHER)
    assert (await leases.take(OTHER, HOUR)).token == ONE.token
    await leases.release(ONE)
    assert (await leases.take(OTHER, HOUR)).token == OTHER.token


async def test_a_replica_of_a_shared_store_leaves_it_to_its_peers(leases: Leases) -> None:
    await leases.take(TOGETHER, HOUR)
    await leases.take(PEER, HOUR)
    await leases.release(PEER)
    assert (await leases.take(ONE, HOUR)).shared


async def test_it_can_be_taken_by_force(leases: Leases) -> None:
    await leases.take(ONE, HOUR)
    assert (await leases.take(TOGETHER, HOUR, force=True)).token == TOGETHER.token
    assert (await leases.take(ONE, HOUR)).token == TOGETHER.token


async def test_of_many_that_ask_at_once_one_has_it(leases: Leases) -> None:
    asking = [replace(OTHER, location=str(number), token=str(number)) for number in range(8)]
    holders = await asyncio.gather(*(leases.take(holder, HOUR) for holder in asking))
    assert len({holder.token for holder in holders}) == 1


@pytest.mark.parametrize("kind", ["fake", "sqlite", "postgresql"])
async def test_a_database_that_is_away_is_an_error(kind: str, absent_database: Callable[[str], str]) -> None:
    if kind == "fake":
        leases: Leases = FakeLeases()
        leases.down = True  # type: ignore[attr-defined]
        with pytest.raises(LedgerUnavailable):
            await leases.take(ONE, HOUR)
        return
    database = Database(await asyncio.to_thread(absent_database, kind))
    with pytest.raises(LedgerUnavailable):
        await SqlLeases(database).take(ONE, HOUR)
    with pytest.raises(LedgerUnavailable):
        await SqlLeases(database).release(ONE)
    await database.close()
