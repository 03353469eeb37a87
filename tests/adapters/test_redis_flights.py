"""The real flights where a fake cannot follow: servers that hang, forget or hold nonsense; how long keys live."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import redis

from service.adapters.embedded_valkey import run_valkey
from service.adapters.redis.client import TIMEOUT_SECONDS, Client, connect, disconnect
from service.adapters.redis.flights import RedisFlights
from service.domain.errors import Failure, FailureKind, StateUnavailable
from service.usecases.ports.flights import FlightResult, FlightStatus, Role
from tests.support.flight_stores import LONG_TIMEOUT_SECONDS, RESULT
from tests.support.frozen_server import frozen_server
from tests.support.quiet_loop import quiet_seconds, run_quietly
from tests.support.result_stores import build_result

SOON_SECONDS = TIMEOUT_SECONDS + 0.02
BLOCKED = Failure(kind=FailureKind.MODERATION_BLOCKED, message="No.")
FAILED = FlightResult(failure=BLOCKED, shared_seconds=60, retry_seconds=0)
KEY = "igw:{search}:flight:f1"


@asynccontextmanager
async def flights_at(
    url: str, timeout_seconds: float = LONG_TIMEOUT_SECONDS, memory: float = 600.0
) -> AsyncIterator[RedisFlights]:
    flights = RedisFlights(url, lease_seconds=30, lost_seconds=memory, timeout_seconds=timeout_seconds)
    try:
        yield flights
    finally:
        await flights.close()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    client = connect(redis_url)
    try:
        await client.delete(KEY)
        yield client
    finally:
        await disconnect(client)


def every_verb(flights: RedisFlights) -> list[Callable[[], Awaitable[object]]]:
    return [
        lambda: flights.acquire("search", "f1", "one"),
        lambda: flights.mark_sent("search", "f1", "one"),
        lambda: flights.extend("search", "f1", "one"),
        lambda: flights.finish("search", "f1", "one", FAILED),
        lambda: flights.release("search", "f1", "one"),
    ]


def rarer_verbs(flights: RedisFlights) -> list[Callable[[], Awaitable[object]]]:
    return [
        lambda: flights.remember_failure("search", "f1", BLOCKED, 60),
        lambda: flights.recall_failure("search", "f1"),
        lambda: flights.share_result("search", "f1", "one", RESULT),
        lambda: flights.take_shared_result("search", "f1", waited=True),
    ]


async def test_on_a_full_server_a_flight_that_was_begun_lands(tmp_path: Path) -> None:
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url) as admin:
        async with flights_at(url, LONG_TIMEOUT_SECONDS) as flights:
            for name in ("f1", "f2"):
                assert (await flights.acquire("search", name, "one")).role is Role.LEADER
            admin.config_set("maxmemory", "1")
            await flights.mark_sent("search", "f1", "one")
            await flights.extend("search", "f1", "one")
            await flights.finish("search", "f1", "one", FAILED)
            await flights.release("search", "f2", "one")
            admin.config_set("maxmemory", "0")
            assert (await flights.acquire("search", "f1", "two")).role is Role.FINISHED
            assert (await flights.acquire("search", "f2", "two")).role is Role.LEADER


async def refused(call: Callable[[], Awaitable[object]]) -> float:
    began = quiet_seconds()
    with pytest.raises(StateUnavailable, match="does not answer"):
        await call()
    return quiet_seconds() - began


def test_a_server_that_hangs_is_unavailable_soon_and_well_when_it_goes_on(tmp_path: Path) -> None:
    async def scenario(url: str) -> None:
        async with flights_at(url, TIMEOUT_SECONDS) as flights:
            with frozen_server(tmp_path):
                calls = [*every_verb(flights), *rarer_verbs(flights)]
                seconds = [await refused(call) for call in calls]
            assert max(seconds) < SOON_SECONDS
        async with flights_at(url) as flights:
            assert (await flights.acquire("search", "f2", "one")).role is Role.LEADER

    with run_valkey(tmp_path) as url:
        run_quietly(scenario(url))


async def test_what_is_handed_over_has_a_bound_and_goes_by_itself(client: Client, redis_url: str) -> None:
    async with flights_at(redis_url) as flights:
        flights.handover_bytes_left = sum(len(image.base64) for image in RESULT.generation.images)
        for name in ("f1", "f2"):
            await flights.release("search", name, "one")
            await flights.acquire("search", name, "one")
            await flights.acquire("search", name, "two")
        handed = [await flights.share_result("search", name, "one", RESULT) for name in ("f1", "f2")]
        assert handed == [True, False]
        assert 0 < await client.pttl("igw:{search}:handover-v1:f1") <= 10_000
        assert await client.exists("igw:{search}:handover-v1:f2") == 0


async def test_a_server_that_was_killed_remembers_what_was_sent(tmp_path: Path) -> None:
    for expected_role in (Role.LEADER, Role.FOLLOWER):
        with run_valkey(tmp_path) as url:
            async with flights_at(url) as flights:
                assert (await flights.acquire("search", "f1", expected_role.value)).role is expected_role
                if expected_role is Role.LEADER:
                    await flights.mark_sent("search", "f1", expected_role.value)


async def test_every_flight_goes_by_itself(redis_url: str, client: Client) -> None:
    async with flights_at(redis_url, memory=600) as flights, flights_at(redis_url, memory=1) as forgetful:
        for verb, seconds in zip(every_verb(flights), (600, 600, 600, 60, 0), strict=True):
            await verb()
            if seconds:
                assert seconds * 1000 - 1000 < await client.pttl(KEY) <= seconds * 1000
        await client.delete(KEY)
        await forgetful.acquire("search", "f1", "one")
        assert 29_000 < await client.pttl(KEY) <= 30_000
        for _ in range(2):
            await flights.acquire("search", "f1", "one")
            assert 599_000 < await client.pttl(KEY) <= 600_000
            await forgetful.acquire("search", "f1", "two")
            assert 599_000 < await client.pttl(KEY) <= 600_000


async def test_every_verb_is_one_round_trip(tmp_path: Path) -> None:
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url, decode_responses=True) as admin:
        async with flights_at(url) as flights:
            for attempt in range(2):
                for verb in every_verb(flights)[:-1]:
                    await verb()
                await flights.acquire("search", "f2", "one")
                await flights.release("search", "f2", "one")
                if not attempt:
                    admin.config_resetstat()
                    admin.delete(KEY)
            calls = {name: stats["calls"] for name, stats in admin.info("commandstats").items() if "eval" in name}
    assert calls == {"cmdstat_evalsha": 6}


async def test_a_server_that_forgot_the_scripts_is_told_them_again(redis_url: str, client: Client) -> None:
    async with flights_at(redis_url) as flights:
        for _ in range(2):
            await client.execute_command("SCRIPT", "FLUSH")
            assert (await flights.acquire("search", "f1", "one")).role is Role.LEADER


@pytest.mark.parametrize("encoded", ["{", '{"kind":"tomorrow","message":""}', "[]"])
async def test_a_failure_that_cannot_be_read_is_no_result(redis_url: str, client: Client, encoded: str) -> None:
    async with flights_at(redis_url) as flights:
        await flights.acquire("search", "f1", "one")
        await flights.finish("search", "f1", "one", FAILED)
        await client.execute_command("HSET", KEY, "failure", encoded)
        with pytest.raises(StateUnavailable, match="cannot be read"):
            await flights.acquire("search", "f1", "two")


@pytest.mark.parametrize("encoded", [b"igr", b"igr\x03" + bytes(40)])
async def test_a_result_that_cannot_be_read_is_none(redis_url: str, client: Client, encoded: bytes) -> None:
    async with flights_at(redis_url) as flights:
        await flights.acquire("search", "f1", "one")
        await flights.finish("search", "f1", "one", FlightResult(result=RESULT, shared_seconds=60, retry_seconds=0))
        await client.execute_command("HSET", KEY, "result", encoded)
        with pytest.raises(StateUnavailable, match="cannot be read"):
            await flights.acquire("search", "f1", "two")


async def test_a_result_that_cannot_be_spelled_does_not_land(redis_url: str, client: Client) -> None:
    await client.delete(KEY)
    async with flights_at(redis_url) as flights:
        await flights.acquire("search", "f1", "one")
        with pytest.raises(StateUnavailable, match="cannot be encoded"):
            await flights.finish(
                "search",
                "f1",
                "one",
                FlightResult(result=build_result(model="m" * 70_000), shared_seconds=60, retry_seconds=0),
            )


async def test_a_failure_of_a_newer_replica_is_read_as_far_as_it_is_known(redis_url: str, client: Client) -> None:
    encoded = '{"kind":"moderation_blocked","message":"No.","weather":"fine"}'
    async with flights_at(redis_url) as flights:
        await flights.acquire("search", "f1", "one")
        await flights.finish("search", "f1", "one", FAILED)
        await client.execute_command("HSET", KEY, "failure", encoded)
        assert await flights.acquire("search", "f1", "two") == FlightStatus(role=Role.FINISHED, failure=BLOCKED)


async def test_something_else_under_the_key_is_unavailable(redis_url: str, client: Client) -> None:
    await client.set(KEY, "a string")
    async with flights_at(redis_url) as flights:
        for call in every_verb(flights):
            with pytest.raises(StateUnavailable, match="does not answer"):
                await call()


async def test_a_leader_that_is_cancelled_while_it_boards_can_board_again(redis_url: str, client: Client) -> None:
    async with flights_at(redis_url) as flights:
        for attempt in range(20):
            await client.delete(KEY)
            acquiring = asyncio.create_task(flights.acquire("search", "f1", "one"))
            for _ in range(attempt):
                await asyncio.sleep(0)
            acquiring.cancel()
            await asyncio.gather(acquiring, return_exceptions=True)
            assert (await flights.acquire("search", "f1", "one")).role is Role.LEADER


async def test_who_is_asked_to_end_while_it_asks_the_store_ends(redis_url: str) -> None:
    """The client lets some cancellations go under; a leader's signs of life went on for ever then."""

    async def show_life(flights: RedisFlights, number: int) -> None:
        while True:
            await asyncio.sleep(0)
            with suppress(StateUnavailable):
                await flights.extend("search", f"f{number}", "one")

    async with flights_at(redis_url, TIMEOUT_SECONDS) as flights:
        for _ in range(5):
            leaders = [asyncio.create_task(show_life(flights, number)) for number in range(150)]
            await asyncio.sleep(0.05)
            for leader in leaders:
                leader.cancel()
            async with asyncio.timeout(30):
                await asyncio.wait(leaders)
