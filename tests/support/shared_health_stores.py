"""Shared health stores for one suite: the fake, a single server and a cluster."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.adapters.redis.client import connect, disconnect
from service.adapters.redis.shared_health import RedisSharedHealth
from service.usecases.ports.shared_health import SharedHealthStore
from tests.fakes.shared_health import FakeSharedHealth

LONG_TIMEOUT_SECONDS = 10  # tests with it check results, not durations


@dataclass(frozen=True)
class SharedHealthHarness:
    """A shared health store, and one backend."""

    store: SharedHealthStore
    backend: str
    url: str

    async def empty(self) -> None:
        """Delete all data of the backend."""
        if isinstance(self.store, FakeSharedHealth):
            self.store.forget()
            return
        client = connect(self.url)
        async for key in client.scan_iter(match=f"igw:turn:{{{self.backend}}}:*"):
            await client.delete(key)
        await disconnect(client)


@asynccontextmanager
async def open_shared_health(kind: str, url: str) -> AsyncIterator[SharedHealthHarness]:
    """Open a harness on the fake, or on the server at an address."""
    store = FakeSharedHealth() if kind == "fake" else RedisSharedHealth(url, timeout_seconds=LONG_TIMEOUT_SECONDS)
    try:
        yield SharedHealthHarness(store, f"backend-{uuid.uuid4().hex[:12]}", url)
    finally:
        if isinstance(store, RedisSharedHealth):
            await store.close()
