"""Passwords of stores that change while connections are there: those go on, and new ones are made with the new one."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from service.adapters.embedded_valkey import run_valkey
from service.adapters.redis.client import Credentials
from service.adapters.redis.quota_store import RedisQuotaStore
from service.domain.errors import StateUnavailable
from service.settings.store_urls import with_password
from tests.support.cluster import CLUSTER, valkey_cluster

OLD, NEW = "o/l@d:#%é", "n?e w"


class Store:
    """All servers of a store, the password that they want, and the one that a file would hold."""

    def __init__(self, url: str, *servers: redis.Redis) -> None:
        self._url, self._servers = url, servers
        self.in_file = OLD
        self.wants(OLD)

    def address(self) -> str:
        return with_password(self._url, self.in_file)

    def wants(self, password: str) -> None:
        for server in self._servers:
            server.config_set("requirepass", password)
            server.auth(password)


@pytest.fixture(params=["server", CLUSTER])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "server":
        with run_valkey(tmp_path) as url, redis.Redis.from_url(url) as server:
            yield Store(url, server)
        return
    with valkey_cluster(tmp_path) as url:
        with redis.Redis.from_url(url.replace("+cluster", ""), decode_responses=True) as node:
            places = [place.partition("@")[0] for place in node.cluster("NODES")]
        with ExitStack() as stack:
            yield Store(url, *(stack.enter_context(redis.Redis.from_url(f"redis://{place}")) for place in places))


async def crowd(ledger: RedisQuotaStore, heads: int) -> None:
    """Run that number of calls at a time. Each opens a connection if none is free."""
    async with asyncio.TaskGroup() as group:
        for _ in range(heads):
            group.create_task(ledger.register_teams([]))


async def test_connections_go_on_and_new_ones_are_made_with_the_new_password(store: Store) -> None:
    ledger = RedisQuotaStore(store.address, timeout_seconds=2)
    try:
        await crowd(ledger, 2)
        store.wants(NEW)
        await crowd(ledger, 2)
        with pytest.raises(ExceptionGroup) as refused:
            await crowd(ledger, 4)
        assert refused.group_contains(StateUnavailable)

        store.in_file = NEW
        await crowd(ledger, 8)
    finally:
        await ledger.close()


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("redis://:p%40w@cache", ("p@w",)),
        ("redis://app:p%2Fw@cache", ("app", "p/w")),
        ("unix://a%20b:pw@/run/valkey.sock", ("a b", "pw")),
    ],
)
async def test_who_connects_is_in_the_address(url: str, credentials: tuple[str, ...]) -> None:
    assert await Credentials(url).get_credentials_async() == credentials
