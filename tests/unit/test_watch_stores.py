"""Stores that cannot be used: told once for each change, and when they are back."""

import asyncio

import pytest

from service.usecases.background.watch_stores import WatchStores
from service.usecases.ports.events import StoreUnusable, StoreUsable
from tests.fakes.observer import Recorder


async def test_each_change_is_told_once() -> None:
    said: list[str | None] = [None, "refused", "refused", "password", None, None]
    observe = Recorder()

    async def ask() -> str | None:
        return said.pop(0)

    watch = WatchStores(problems={"REDIS_URL": ask}, observe=observe)
    while said:
        await watch.check()

    assert observe.events == [
        StoreUnusable(store="REDIS_URL", problem="refused"),
        StoreUnusable(store="REDIS_URL", problem="password"),
        StoreUsable(store="REDIS_URL"),
    ]


async def test_each_store_is_told_by_its_variable_and_at_the_start() -> None:
    observe = Recorder()

    async def well() -> str | None:
        return None

    async def ill() -> str | None:
        return "refused"

    watch = WatchStores(problems={"REDIS_URL": well, "CACHE_REDIS_URL": ill}, observe=observe, interval_seconds=3600)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await watch.run()
    assert observe.of(StoreUnusable) == [StoreUnusable(store="CACHE_REDIS_URL", problem="refused")]
