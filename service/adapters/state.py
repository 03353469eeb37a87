"""The connection to Redis or Valkey, set up so that nothing is sent twice and nobody waits long.

Rule: no retries by the client (its default would send a script eleven times), a pool that waits rather than raises, and
short timeouts. `redis+cluster://` and `rediss+cluster://` name one node of a cluster; its others are learnt from it.
Whoever uses the connection decides what an unreachable server means; `UNREACHABLE` is how that shows.
"""

from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException
from redis.maint_notifications import MaintNotificationsConfig

from service.adapters.patience import MOST_SECONDS, Patience

PATIENCE_SECONDS = 0.08  # quiet seconds for a whole call: waiting for a connection, making it, asking
MOST_CONNECTIONS = 16  # to one server; more do not make it faster, and a burst has to make them all at once
CLUSTER = "+cluster"

Client = redis.Redis | redis.RedisCluster

UNREACHABLE = (redis.RedisError, RedisClusterException, OSError, TimeoutError)


def connect(url: str) -> Client:
    """A client of the server, or of the cluster, at that address. It connects when it is first used.

    Nothing is said on a new connection that is not needed (a client's name, an offer to be told of maintenance): with
    it a connection costs 2 ms of CPU, without it 0.4. The client's own timeouts are by the wall clock and so generous:
    whoever asks brings `Patience`.
    """
    plain: dict[str, Any] = {
        "socket_timeout": MOST_SECONDS,
        "socket_connect_timeout": MOST_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    scheme, _, address = url.partition("://")
    if scheme.endswith(CLUSTER):
        # The pools of a cluster's nodes raise where a pool should wait; who uses them asks less than this at a time.
        # With `reinitialize_steps` the fifth slot that has moved would close every connection, also those in use.
        node = f"{scheme.removesuffix(CLUSTER)}://{address}"
        most = 2 * MOST_CONNECTIONS
        return redis.RedisCluster.from_url(node, max_connections=most, reinitialize_steps=0, **plain)
    pool = redis.BlockingConnectionPool.from_url(url, max_connections=MOST_CONNECTIONS, timeout=MOST_SECONDS, **plain)
    return redis.Redis(connection_pool=pool)


async def disconnect(client: Client) -> None:
    """Close every connection of a client."""
    if isinstance(client, redis.Redis):
        await client.aclose(close_connection_pool=True)
        return
    await client.aclose()
    for nodes in ("nodes_cache", "startup_nodes"):  # which `aclose` leaves open while the cluster is to be learnt again
        await client.nodes_manager.aclose(nodes)


class State:
    """The server that quotas, holds, flights and the cache live in."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)

    async def problem(self) -> str | None:
        """What is wrong with the server, or None. Never raises."""
        try:
            async with Patience(PATIENCE_SECONDS):
                await self._client.ping()
        except UNREACHABLE as error:
            return f"does not answer ({type(error).__name__})"
        return None

    async def close(self) -> None:
        """Close every connection."""
        await disconnect(self._client)
