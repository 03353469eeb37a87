"""The way to the server: one connection for one command at a time, and none that is not as it should be."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis
from redis.exceptions import ResponseError

from service.adapters.redis.line import Line
from service.adapters.state import MOST_CONNECTIONS
from tests.servers import real_redis


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for these tests."""
    with real_redis(Path(tmp_path_factory.mktemp("line"))) as address:
        yield address


@pytest.fixture
async def line(url: str) -> AsyncIterator[Line]:
    """A way to it."""
    made = Line(url, 1.0)
    yield made
    await made.close()


async def ids(line: Line) -> set[int]:
    """By which connections the server is asked, if it is asked so often at once."""
    return set(await asyncio.gather(*(line.ask("CLIENT", "ID") for _ in range(4 * MOST_CONNECTIONS))))


async def test_a_connection_is_used_again(line: Line) -> None:
    assert await line.ask("CLIENT", "ID") == await line.ask("CLIENT", "ID")


async def test_a_crowd_has_no_more_connections_than_there_may_be(line: Line) -> None:
    first = await ids(line)
    assert len(first) <= MOST_CONNECTIONS
    assert await ids(line) <= first


async def test_a_connection_that_the_server_closed_meanwhile_costs_nobody_an_answer(line: Line, url: str) -> None:
    used = await ids(line)
    with redis.Redis.from_url(url) as admin:
        for number in used:
            admin.client_kill_filter(_id=str(number))
    await asyncio.sleep(0.01)  # until the loop has heard of it
    again = await ids(line)
    assert again.isdisjoint(used)


async def test_whoever_gives_up_leaves_no_reply_for_the_next(line: Line) -> None:
    waits = asyncio.create_task(line.ask("BLPOP", "queue", 0))
    while b"blocked_clients:1" not in await line.ask("INFO", "clients"):
        pass
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    await line.ask("RPUSH", "queue", "late")
    assert await asyncio.gather(*(line.ask("ECHO", str(number)) for number in range(40))) == [
        str(number).encode() for number in range(40)
    ]
    assert await line.ask("LPOP", "queue") == b"late"


async def test_a_refusal_leaves_the_connection_as_it_was(line: Line) -> None:
    number = await line.ask("CLIENT", "ID")
    with pytest.raises(ResponseError):
        await line.ask("INCRBY", "n", "one")
    assert await line.ask("CLIENT", "ID") == number


async def test_patience_ends_a_command_and_its_connection(url: str) -> None:
    line = Line(url, 0.05)
    number = await line.ask("CLIENT", "ID")
    with pytest.raises(TimeoutError):
        await line.ask("BLPOP", "nothing", 0)
    assert await line.ask("CLIENT", "ID") != number
    await line.close()
