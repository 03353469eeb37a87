"""Stores that cannot be used: one event for each change, and one when they are back."""

import asyncio

import pytest

from service.usecases.background.watch_stores import WatchStores
from service.usecases.ports.events import StoreUnusable, StoreUsable
from tests.fakes.monitored_store import FakeMonitoredStore
from tests.fakes.observer import Recorder


async def test_each_change_is_reported_once() -> None:
    store, observer = FakeMonitoredStore([None, "refused", "refused", "password", None, None]), Recorder()
    watch = WatchStores(stores={"REDIS_URL": store}, timeout_seconds=1, observer=observer)

    while store.problems:
        await watch.check()

    assert observer.events == [
        StoreUnusable(store="REDIS_URL", problem="refused"),
        StoreUnusable(store="REDIS_URL", problem="password"),
        StoreUsable(store="REDIS_URL"),
    ]


async def test_each_store_is_named_by_its_variable_and_checked_at_the_start() -> None:
    stores, observer = (
        {"REDIS_URL": FakeMonitoredStore(), "CACHE_REDIS_URL": FakeMonitoredStore(["refused"])},
        Recorder(),
    )
    watch = WatchStores(stores=stores, timeout_seconds=1, observer=observer, interval_seconds=3600)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await watch.run()

    assert observer.of(StoreUnusable) == [StoreUnusable(store="CACHE_REDIS_URL", problem="refused")]
