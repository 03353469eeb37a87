"""The real results where a fake cannot follow: servers that hang, refuse or fill up; values that were harmed."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from service.adapters.embedded_valkey import run_valkey
from service.adapters.redis.client import TIMEOUT_SECONDS, Client, connect, disconnect
from service.adapters.redis.result_codec import MAGIC
from service.adapters.redis.result_store import COOLDOWN_SECONDS, PAGE_SIZE, RedisResultStore
from service.usecases.ports.result_store import Result, ResultStats
from tests.support.cluster import CLUSTER, valkey_cluster
from tests.support.frozen_server import frozen_server
from tests.support.profiles import examples
from tests.support.quiet_loop import quiet_seconds, run_quietly
from tests.support.result_stores import LONG_TIMEOUT_SECONDS, MAX_BYTES, build_generation, build_image, build_result

SOON_SECONDS = TIMEOUT_SECONDS + 0.02
KEY = "igw:result:search:r1"


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def results_at(
    url: str, timeout_seconds: float = LONG_TIMEOUT_SECONDS, clock: Clock | None = None, max_bytes: int = MAX_BYTES
) -> AsyncIterator[RedisResultStore]:
    results = RedisResultStore(
        url, max_bytes=max_bytes, timeout_seconds=timeout_seconds, monotonic=clock or time.monotonic
    )
    try:
        yield results
    finally:
        await results.close()


@asynccontextmanager
async def client_at(url: str) -> AsyncIterator[Client]:
    client = connect(url)
    try:
        yield client
    finally:
        await disconnect(client)


async def timed(call: Callable[[], Awaitable[object]], comes_to: object) -> float:
    """Return the quiet seconds of a call with that result."""
    began = quiet_seconds()
    assert await call() == comes_to
    return quiet_seconds() - began


@pytest.mark.parametrize("warm", [True, False])
def test_a_server_that_hangs_costs_little_and_then_nothing(tmp_path: Path, warm: bool) -> None:
    clock, stored = Clock(), build_result()

    async def scenario(url: str) -> None:
        async with results_at(url, TIMEOUT_SECONDS, clock) as results:
            if warm:
                assert await results.put("search", "r1", stored, 60)
            first, skipped = [], []
            with frozen_server(tmp_path):
                for call, comes_to in ((lambda: results.get("search", "r1"), None), (put(results, stored), False)) * 5:
                    first.append(await timed(call, comes_to))
                    skipped += [await timed(call, comes_to) for _ in range(20)]
                    clock.now += COOLDOWN_SECONDS
            assert TIMEOUT_SECONDS <= min(first) <= max(first) < SOON_SECONDS
            assert set(skipped) == {0}
        async with results_at(url, LONG_TIMEOUT_SECONDS, clock) as results:
            assert await results.put("search", "r1", stored, 60)
            assert await results.get("search", "r1") == stored

    with run_valkey(tmp_path) as url:
        run_quietly(scenario(url))


def put(results: RedisResultStore, stored: Result) -> Callable[[], Awaitable[bool]]:
    return lambda: results.put("search", "r1", stored, 60)


def test_a_crowd_in_front_of_a_server_that_hangs_is_not_held_up_longer(tmp_path: Path) -> None:
    async def scenario(url: str) -> None:
        async with results_at(url, TIMEOUT_SECONDS, Clock()) as results:
            with frozen_server(tmp_path):
                calls = (timed(lambda: results.get("search", "r1"), None) for _ in range(100))
                crowd = await asyncio.gather(*calls)
            assert max(crowd) < SOON_SECONDS

    with run_valkey(tmp_path) as url:
        run_quietly(scenario(url))


async def test_a_server_that_came_back_is_found_by_one_who_asks_for_all(tmp_path: Path) -> None:
    clock, stored = Clock(), build_result()
    async with results_at(f"unix://{tmp_path}/valkey.sock", LONG_TIMEOUT_SECONDS, clock) as results:
        assert await results.get("search", "r1") is None
        with run_valkey(tmp_path):
            assert not await results.put("search", "r1", stored, 60)
            clock.now += COOLDOWN_SECONDS
            assert await results.put("search", "r1", stored, 60)
            assert await results.get("search", "r1") == stored
        assert await results.get("search", "r1") is None
        clock.now += COOLDOWN_SECONDS
        with run_valkey(tmp_path):
            assert await results.get("search", "r1") == stored


async def test_an_answer_never_reaches_somebody_else(tmp_path: Path) -> None:
    """Calls are given up at any moment; those that come after on the same connections are answered for themselves."""
    with run_valkey(tmp_path) as url:
        async with results_at(url) as results:
            for number in range(30):
                await results.put("search", f"r{number}", build_result(cost=number), 60)
            for attempt in range(40):
                calls = [asyncio.create_task(results.get("search", f"r{number}")) for number in range(30)]
                for _ in range(attempt):
                    await asyncio.sleep(0)
                for call in calls[:: 1 + attempt % 3]:
                    call.cancel()
                for number, answer in enumerate(await asyncio.gather(*calls, return_exceptions=True)):
                    assert isinstance(answer, asyncio.CancelledError) or answer == build_result(cost=number)


async def test_purges_and_counts_say_that_a_server_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.adapters.redis.result_store.PAGE_TIMEOUT_SECONDS", TIMEOUT_SECONDS)
    with run_valkey(tmp_path) as url:
        async with results_at(url) as results:
            with frozen_server(tmp_path):
                assert await results.purge(None, None) is None
                assert await results.stats(None, "painter") is None


async def test_a_purge_and_a_count_take_a_few_round_trips_for_hundreds_of_results(tmp_path: Path) -> None:
    """A server reads once for each round trip, or a little more often where a pipeline is long."""
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url, decode_responses=True) as admin:
        async with results_at(url) as results:
            for number in range(3 * PAGE_SIZE):
                assert await results.put("search", f"r{number}", build_result(), 60)
            for ask in (results.stats, results.purge):
                before = admin.info("stats")["total_reads_processed"]
                assert await ask("search", None)
                assert admin.info("stats")["total_reads_processed"] - before < PAGE_SIZE / 4


async def test_a_server_that_is_full_or_read_only_keeps_nothing_and_is_asked_on(tmp_path: Path) -> None:
    stored = build_result()
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url) as admin:
        async with results_at(url, clock=Clock()) as results:
            assert await results.put("search", "r1", stored, 60)
            admin.config_set("maxmemory-policy", "noeviction")
            admin.config_set("maxmemory", "1")
            assert not await results.put("search", "r2", stored, 60)
            assert await results.get("search", "r1") == stored
            admin.config_set("maxmemory", "0")
            admin.execute_command("REPLICAOF", "127.0.0.1", "9")
            assert not await results.put("search", "r2", stored, 60)
            assert await results.purge("search", None) is None
            admin.execute_command("REPLICAOF", "NO", "ONE")
            assert await results.put("search", "r2", stored, 60)


async def test_a_server_that_is_full_may_evict_results(tmp_path: Path) -> None:
    bulky = build_result(generation=build_generation(images=(build_image(b"\0" * 1_000_000),)))
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url) as admin:
        admin.config_set("maxmemory", str(admin.info("memory")["used_memory"] + 4_000_000))
        admin.config_set("maxmemory-policy", "volatile-lru")
        async with results_at(url) as results:
            for number in range(20):
                assert await results.put("search", f"r{number}", bulky, 60)
            stats = await results.stats("search", None)
            assert stats
            assert 0 < stats.results < 5


async def test_what_is_kept_goes_by_itself(redis_url: str) -> None:
    async with results_at(redis_url) as results, client_at(redis_url) as client:
        await results.put("search", "r1", build_result(), 60)
        assert 59_000 < await client.pttl(KEY) <= 60_000
        await results.put("search", "r1", build_result(), 0.5)
        assert 0 < await client.pttl(KEY) <= 500


@pytest.mark.parametrize("url", ["redis_url", CLUSTER])
async def test_something_else_under_the_key_is_a_miss(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if url == "cluster":
        with valkey_cluster(tmp_path) as address:
            await something_else(address)
    else:
        await something_else(request.getfixturevalue(url))


async def something_else(url: str) -> None:
    async with results_at(url, clock=Clock()) as results, client_at(url) as client:
        await results.purge(None, None)
        await client.lpush(KEY, "a list")
        assert await results.get("search", "r1") is None
        assert await results.stats("search", None) == ResultStats(results=0, size_bytes=0)
        assert await results.purge("search", "painter") == 0
        assert await results.put("search", "r1", build_result(), 60)
        assert await results.get("search", "r1") == build_result()
        await client.delete(KEY)
        await client.lpush(KEY, "a list")
        assert await results.purge("search", None) == 1
        assert not await client.exists(KEY)


async def test_a_result_lies_where_it_was_put(redis_url: str) -> None:
    """A value that got under another key, such as another team's, is a miss."""
    async with results_at(redis_url) as results, client_at(redis_url) as client:
        await results.put("search", "r1", build_result(), 60)
        await client.execute_command("COPY", KEY, "igw:result:ads:r1", "REPLACE")
        assert await results.get("ads", "r1") is None
        assert await results.get("search", "r1") == build_result()


async def test_what_is_larger_than_the_cap_is_neither_kept_nor_read(redis_url: str) -> None:
    stored = build_result()
    async with results_at(redis_url) as results, client_at(redis_url) as client:
        await results.put("search", "r1", stored, 60)
        size = await client.strlen(KEY)
        async with results_at(redis_url, max_bytes=size) as just:
            assert await just.get("search", "r1") == stored
            assert await just.put("search", "r1", stored, 60)
        async with results_at(redis_url, max_bytes=size - 1) as small:
            assert await small.get("search", "r1") is None
            assert not await small.put("search", "r1", stored, 60)
        assert await results.get("search", "r1") == stored


@settings(max_examples=examples(80))
@given(place=st.integers(0, 10**6), flip=st.integers(1, 255), length=st.integers(0, 10**6))
def test_a_value_that_was_harmed_is_a_miss(redis_url: str, place: int, flip: int, length: int) -> None:
    async def check() -> None:
        async with results_at(redis_url) as results, client_at(redis_url) as client:
            assert await results.put("search", "r1", build_result(), 60)
            whole: bytes = await client.execute_command("GET", KEY)
            at = place % len(whole)
            flipped = whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]
            newer = MAGIC[:-1] + bytes([MAGIC[-1] + 1]) + whole[len(MAGIC) :]
            for harmed in (flipped, whole[: length % len(whole)], whole + b"\0", newer):
                await client.set(KEY, harmed)
                assert await results.get("search", "r1") is None

    asyncio.run(check())


async def test_a_hit_and_a_miss_are_one_command_and_a_scan_never_blocks(tmp_path: Path) -> None:
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url, decode_responses=True) as admin:
        async with results_at(url) as results:
            await results.put("search", "r1", build_result(), 60)
            await results.purge("search", "nobody")  # scans have connections of their own, which say hello
            admin.config_resetstat()
            await results.get("search", "r1")
            await results.get("search", "r2")
            await results.purge("search", "painter")
            calls = {name: statistics["calls"] for name, statistics in admin.info("commandstats").items()}
    assert calls == {"cmdstat_config|resetstat": 1, "cmdstat_getrange": 3, "cmdstat_scan": 1}


async def test_a_cluster_of_which_a_node_hangs_serves_what_the_others_have(tmp_path: Path) -> None:
    names = [f"r{number}" for number in range(30)]
    with valkey_cluster(tmp_path) as url:
        async with results_at(url) as results:
            assert all([await results.put("search", name, build_result(), 60) for name in names])
            stats = await results.stats("search", None)
            assert stats
            assert stats.results == len(names)
            hits = [name for name in names if await results.get("search", name)]
            assert hits == names
        clock = Clock()
        async with results_at(url, TIMEOUT_SECONDS, clock) as results:
            await results.stats("search", None)
            with frozen_server(tmp_path / "node-0"):
                problems = []
                for name in names:
                    problems.append(await results.get("search", name) is not None)
                    clock.now += COOLDOWN_SECONDS
            assert 0 < sum(problems) < len(names)
