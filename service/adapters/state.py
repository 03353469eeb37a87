"""The connection to Redis or Valkey, set up so that nothing is sent twice and nobody waits long.

Rule: no retries by the client (its default would send a script eleven times), a pool that waits rather than raises, and
short timeouts. Whoever uses it decides what an unreachable server means.
"""

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

TIMEOUT_SECONDS = 0.1
MOST_CONNECTIONS = 64


class State:
    """The server that quotas, holds, flights and the cache live in."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis(
            connection_pool=redis.BlockingConnectionPool.from_url(
                url,
                max_connections=MOST_CONNECTIONS,
                timeout=TIMEOUT_SECONDS,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            ),
        )

    async def problem(self) -> str | None:
        """What is wrong with the server, or None. Never raises."""
        try:
            await self._client.ping()
        except (redis.RedisError, OSError) as error:
            return f"does not answer ({type(error).__name__})"
        return None

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose(close_connection_pool=True)
