"""The way to the server: one connection for one command at a time, and none that is not as it should be."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis
from redis.exceptions import ResponseError

from service.adapters.redis.client import MAX_CONNECTIONS
from service.adapters.redis.connection_pool import ConnectionQueue, RedisConnectionPool
from tests.support.frozen_server import frozen_server
from tests.support.quiet_loop import quiet_seconds, run_quietly
from tests.support.servers import real_redis


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for these tests."""
    with real_redis(Path(tmp_path_factory.mktemp("line"))) as address:
        yield address


@pytest.fixture
async def line(url: str) -> AsyncIterator[RedisConnectionPool]:
    """A way to it."""
    made = RedisConnectionPool(url, 1.0)
    yield made
    await made.close()


async def ids(line: RedisConnectionPool) -> set[int]:
    """By which connections the server is asked, if it is asked so often at once."""
    return set(await asyncio.gather(*(line.execute("CLIENT", "ID") for _ in range(4 * MAX_CONNECTIONS))))


async def test_a_connection_is_used_again(line: RedisConnectionPool) -> None:
    assert await line.execute("CLIENT", "ID") == await line.execute("CLIENT", "ID")


async def test_a_crowd_has_no_more_connections_than_there_may_be(line: RedisConnectionPool) -> None:
    first = await ids(line)
    assert len(first) <= MAX_CONNECTIONS
    assert await ids(line) <= first


async def test_a_connection_that_the_server_closed_meanwhile_costs_nobody_an_answer(
    line: RedisConnectionPool, url: str
) -> None:
    used = await ids(line)
    with redis.Redis.from_url(url) as admin:
        for number in used:
            admin.client_kill_filter(_id=str(number))
    await asyncio.sleep(0.01)  # until the loop has heard of it
    again = await ids(line)
    assert again.isdisjoint(used)


async def test_whoever_gives_up_leaves_no_reply_for_the_next(line: RedisConnectionPool) -> None:
    waits = asyncio.create_task(line.execute("BLPOP", "queue", 0))
    while b"blocked_clients:1" not in await line.execute("INFO", "clients"):
        pass
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    await line.execute("RPUSH", "queue", "late")
    assert await asyncio.gather(*(line.execute("ECHO", str(number)) for number in range(40))) == [
        str(number).encode() for number in range(40)
    ]
    assert await line.execute("LPOP", "queue") == b"late"


async def test_a_refusal_leaves_the_connection_as_it_was(line: RedisConnectionPool) -> None:
    number = await line.execute("CLIENT", "ID")
    with pytest.raises(ResponseError):
        await line.execute("INCRBY", "n", "one")
    assert await line.execute("CLIENT", "ID") == number


async def test_patience_ends_a_command_and_its_connection(url: str) -> None:
    line = RedisConnectionPool(url, 0.05)
    number = await line.execute("CLIENT", "ID")
    with pytest.raises(TimeoutError):
        await line.execute("BLPOP", "nothing", 0)
    assert await line.execute("CLIENT", "ID") != number
    await line.close()


CROWD = 40 * MAX_CONNECTIONS


async def test_who_waits_for_a_connection_does_not_wait_for_the_server(url: str) -> None:
    """The loop is late all the time: every command costs it more than the server, and all come at once."""
    line = RedisConnectionPool(url, 0.08)

    async def late() -> bytes:
        reply: bytes = await line.execute("ECHO", "fox")
        end = time.monotonic() + 0.001
        while time.monotonic() < end:
            pass
        return reply

    began = time.monotonic()
    replies = await asyncio.gather(*(late() for _ in range(CROWD)), return_exceptions=True)
    assert replies == [b"fox"] * CROWD
    assert time.monotonic() - began > 3 * 0.08
    await line.close()


def test_who_waits_for_a_connection_to_a_silent_server_is_told_with_the_others(tmp_path: Path) -> None:
    async def scenario(url: str) -> None:
        line = RedisConnectionPool(url, 0.1)
        await line.execute("PING")
        with frozen_server(tmp_path):
            began = quiet_seconds()
            ends = await asyncio.gather(*(line.execute("PING") for _ in range(CROWD)), return_exceptions=True)
            took = quiet_seconds() - began
        assert {type(end) for end in ends} == {TimeoutError}
        assert took < 2 * 0.1
        assert await line.execute("PING") == b"PONG"
        await line.close()

    with real_redis(tmp_path) as url:
        run_quietly(scenario(url))


async def test_a_command_that_waits_in_vain_does_not_end_those_that_wait_behind_it(url: str) -> None:
    """The server answers others meanwhile."""
    line = RedisConnectionPool(url, 0.1)
    blocked = asyncio.create_task(line.execute("BLPOP", "nothing", 0))
    answered = 0
    while not blocked.done():
        answered += len(await asyncio.gather(*(line.execute("PING") for _ in range(4 * MAX_CONNECTIONS))))
    with pytest.raises(TimeoutError):
        await blocked
    assert answered
    await line.close()


async def test_those_who_wait_are_counted_over_all_ways(url: str) -> None:
    crowd = ConnectionQueue(max_waiting=10)
    lines = [RedisConnectionPool(url, 1.0, crowd), RedisConnectionPool(url, 1.0, crowd)]
    asked = [asyncio.create_task(line.execute("PING")) for line in lines for _ in range(MAX_CONNECTIONS + 5)]
    await asyncio.sleep(0)
    assert (crowd.waiting, crowd.is_full()) == (10, True)
    asked[-1].cancel()
    await asyncio.wait(asked)
    assert (crowd.waiting, crowd.is_full()) == (0, False)
    for line in lines:
        await line.close()
