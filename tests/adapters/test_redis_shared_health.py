"""Shared health on a real server, beyond a fake: lifetimes of keys, servers that hang, and unreadable replies."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from service.adapters.embedded_valkey import run_valkey
from service.adapters.redis.client import TIMEOUT_SECONDS, Client, connect, disconnect
from service.adapters.redis.shared_health import RedisSharedHealth
from service.domain.errors import FailureKind, StateUnavailable
from service.usecases.ports.shared_health import BreakerChange, Caps, HealthUpdate, SharedOpening, SlotRequest
from tests.support.frozen_server import frozen_server
from tests.support.quiet_loop import quiet_seconds, run_quietly
from tests.support.shared_health_stores import LONG_TIMEOUT_SECONDS

SOON_SECONDS = TIMEOUT_SECONDS + 0.02
KEY = "igw:turn:{alpha}:"
SLOT_REQUEST = SlotRequest(name="t1", calls=2, images=8, lease_seconds=60)
CAPS = Caps(concurrent=4, requests_per_minute=10, images_per_minute=10)
UPDATE = HealthUpdate(
    change=BreakerChange(base_version=0, opening=SharedOpening(reason=FailureKind.OVERLOADED, seconds=30, openings=1)),
    blocked={"painter": 20, "sketcher": 40},
)


@asynccontextmanager
async def store_at(url: str, timeout_seconds: float = LONG_TIMEOUT_SECONDS) -> AsyncIterator[RedisSharedHealth]:
    store = RedisSharedHealth(url, timeout_seconds=timeout_seconds)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    client = connect(redis_url)
    try:
        await forget(client)
        yield client
        await forget(client)
    finally:
        await disconnect(client)


async def forget(client: Client) -> None:
    async for key in client.scan_iter(match=f"{KEY}*"):
        await client.delete(key)


async def lives(client: Client) -> dict[str, float]:
    """In how many seconds each key goes by itself."""
    keys = [key.decode().removeprefix(KEY) async for key in client.scan_iter(match=f"{KEY}*")]
    return {key: await client.pttl(KEY + key) / 1000 for key in keys}


async def test_every_key_goes_by_itself(redis_url: str, client: Client) -> None:
    async with store_at(redis_url) as store:
        health = await store.sync("alpha", UPDATE)
        await store.claim_probe("alpha", "t1", health.version)
        await store.acquire_slots("alpha", SLOT_REQUEST, CAPS)
        lifetimes = await lives(client)
        bounds = {"health": 3630, "blocked": 40, "probe": 15, "calls": 60, "rates2": 60}
        assert lifetimes.keys() == bounds.keys()
        assert all(most - 10 < lifetimes[key] <= most for key, most in bounds.items()), lifetimes

        await store.release_slots("alpha", [("t1", 2)])
        assert (await lives(client)).keys() == {"health", "blocked", "rates2"}


async def test_what_is_over_is_dropped(redis_url: str, client: Client) -> None:
    await client.execute_command("HSET", f"{KEY}blocked", "gone", "1", "painter", "1")
    async with store_at(redis_url) as store:
        shared = await store.sync("alpha", HealthUpdate(blocked={"painter": 20}))
    assert list(shared.blocked) == ["painter"]
    assert await client.execute_command("HKEYS", f"{KEY}blocked") == [b"painter"]


async def test_a_lease_that_is_shorter_than_others_does_not_end_them(redis_url: str, client: Client) -> None:
    async with store_at(redis_url) as store:
        await store.acquire_slots("alpha", SLOT_REQUEST, Caps(concurrent=4))
        await store.acquire_slots(
            "alpha", SlotRequest(name="t2", calls=1, images=1, lease_seconds=1), Caps(concurrent=4)
        )
    assert (await lives(client))["calls"] > 50


async def test_a_reason_that_nobody_here_knows_is_not_guessed(redis_url: str, client: Client) -> None:
    await client.execute_command("HSET", f"{KEY}health", "version", "5", "reason", "solar_flare")
    async with store_at(redis_url) as store:
        with pytest.raises(StateUnavailable, match="cannot be read"):
            await store.sync("alpha", HealthUpdate())


def every_verb(store: RedisSharedHealth) -> list[Callable[[], Awaitable[object]]]:
    return [
        lambda: store.sync("alpha", UPDATE),
        lambda: store.claim_probe("alpha", "t1", 0),
        lambda: store.acquire_slots("alpha", SLOT_REQUEST, CAPS),
        lambda: store.release_slots("alpha", [("t1", 2)]),
    ]


async def refused(call: Callable[[], Awaitable[object]]) -> float:
    began = quiet_seconds()
    with pytest.raises(StateUnavailable, match="does not answer"):
        await call()
    return quiet_seconds() - began


def test_a_server_that_hangs_is_unavailable_soon_and_well_when_it_goes_on(tmp_path: Path) -> None:
    async def scenario(url: str) -> None:
        async with store_at(url, TIMEOUT_SECONDS) as store:
            with frozen_server(tmp_path):
                seconds = [await refused(call) for call in every_verb(store)]
            assert max(seconds) < SOON_SECONDS
        async with store_at(url) as store:
            assert (await store.sync("alpha", UPDATE)).opening

    with run_valkey(tmp_path) as url:
        run_quietly(scenario(url))
