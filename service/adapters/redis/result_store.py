"""Results in Redis or Valkey, a single server or a cluster: the cache of paid images.

Rule: a result is one string under `igw:result:<team>:<name>`, with a time to live, so that a server may evict it. The
key has no hash tag, so that a cluster's nodes share the results of a team. A team's name has no colon. Results of a
team or a model are found by a scan.

Fails with: a miss, and never an error. A server that refuses, hangs, is full or holds nonsense is a miss within 150 ms.
After a timeout it is not called for `COOLDOWN_SECONDS`.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from redis.exceptions import ResponseError

from service.adapters.cooldown import Cooldown
from service.adapters.dynamic_text import DynamicText
from service.adapters.loop_aware_timeout import LoopAwareTimeout
from service.adapters.redis.client import MAX_CONNECTIONS, TIMEOUT_SECONDS, UNREACHABLE
from service.adapters.redis.connection_pool import Argument, ConnectionQueue, RedisConnectionPool
from service.adapters.redis.result_codec import HEAD_BYTES, decode_result, encode_result, parse_model
from service.usecases.ports.events import CacheFailed
from service.usecases.ports.observer import NULL_OBSERVER, Observer
from service.usecases.ports.result_store import Result, ResultStats, ResultStore

MAX_BYTES = 16_000_000
COOLDOWN_SECONDS = 1.0
PAGE_SIZE = 200  # keys of one round trip of a purge or a count
PAGE_TIMEOUT_SECONDS = 1.0
THREAD_BYTES = 4_000_000  # smaller results block the loop for up to 2 ms; a thread costs 0.1 to 0.3 ms more

UNAVAILABLE = (*UNREACHABLE, RuntimeError)  # uvloop raises RuntimeError for a closed transport

_GLOB = re.compile(r"[*?\[\]\\]")


class RedisResultStore(ResultStore):
    """Cached results in Redis.

    Attributes:
        max_bytes: a larger result is neither stored nor read.
        timeout_seconds: quiet seconds of one command.
        monotonic: the clock of the cooldown.
        observe: receives a `CacheFailed` for each command without an answer.
    """

    def __init__(  # noqa: PLR0913 (each is a setting)
        self,
        url: DynamicText,
        *,
        max_bytes: int = MAX_BYTES,
        timeout_seconds: float = TIMEOUT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        observer: Observer = NULL_OBSERVER,
        queue: ConnectionQueue | None = None,
    ) -> None:
        self._pool = RedisConnectionPool(url, timeout_seconds, queue)
        self._client = self._pool.client
        self._encode_slots = asyncio.Semaphore(MAX_CONNECTIONS)  # a result is encoded only when it can be sent
        self._max_bytes = max_bytes
        self._cooldown = Cooldown(COOLDOWN_SECONDS, monotonic)
        self._observer = observer

    async def get(self, team: str, name: str) -> Result | None:
        """Read a result. The command asks for one byte more than `max_bytes`, so that a larger one shows."""
        key = _key(team, name)
        encoded = await self._execute_unless_cooling("GETRANGE", key, 0, self._max_bytes)
        if not isinstance(encoded, bytes) or len(encoded) > self._max_bytes:
            return None
        if len(encoded) < THREAD_BYTES:
            return decode_result(encoded, key)
        return await asyncio.to_thread(decode_result, encoded, key)

    async def put(self, team: str, name: str, result: Result, seconds: float) -> bool:
        size = sum(len(image.base64) for image in result.generation.images) // 4 * 3
        if round(seconds * 1000) <= 0 or size > self._max_bytes:
            return False
        async with self._encode_slots:
            return not self._cooldown.is_active() and await self._put(_key(team, name), result, size, seconds)

    async def _put(self, key: str, result: Result, size: int, seconds: float) -> bool:
        encoded = (
            encode_result(result, key) if size < THREAD_BYTES else await asyncio.to_thread(encode_result, result, key)
        )
        if encoded is None or len(encoded) > self._max_bytes:
            return False
        return bool(await self._execute("SET", key, encoded, "PX", round(seconds * 1000)))

    async def purge(self, team: str | None, model: str | None) -> int | None:
        """Delete results. A server that goes away meanwhile has deleted some of them."""
        deleted = 0
        try:
            async for page in self._pages(team, model):
                deleted += sum(await self._execute_for_all(page, "UNLINK"))
        except UNAVAILABLE:
            return None
        return deleted

    async def stats(self, team: str | None, model: str | None) -> ResultStats | None:
        """Count results and bytes. A scan may return a key twice."""
        sizes: dict[bytes, int] = {}
        try:
            async for page in self._pages(team, model):
                lengths = await self._execute_for_all(page, "STRLEN")
                sizes |= {key: length for key, length in zip(page, lengths, strict=True) if isinstance(length, int)}
        except UNAVAILABLE:
            return None
        return ResultStats(results=len(sizes), size_bytes=sum(sizes.values()))

    async def close(self) -> None:
        await self._pool.close()

    async def _execute_unless_cooling(self, *command: Argument) -> object:
        """Send a command, except during the cooldown. None stands for an error and for no answer."""
        return None if self._cooldown.is_active() else await self._execute(*command)

    async def _execute(self, *command: Argument) -> object:
        try:
            reply: object = await self._pool.execute(*command)
        except ResponseError:
            reply = None
        except UNAVAILABLE:
            self._cooldown.start()
            self._observer.record(CacheFailed())
            return None
        self._cooldown.end()
        return reply

    async def _pages(self, team: str | None, model: str | None) -> AsyncIterator[list[bytes]]:
        """Yield the keys of a team, a model, both or all, a page at a time."""
        team_pattern = "" if team is None else _GLOB.sub(r"\\\g<0>", team) + ":"
        async with LoopAwareTimeout(PAGE_TIMEOUT_SECONDS):
            await self._client.initialize()
        keys = self._client.scan_iter(match=f"igw:result:{team_pattern}*", count=PAGE_SIZE)
        while page := await self._page(keys):
            if model is None:
                yield page
            else:
                heads = await self._execute_for_all(page, "GETRANGE", 0, HEAD_BYTES - 1)
                yield [key for key, head in zip(page, heads, strict=True) if parse_model(head) == model]

    async def _page(self, keys: AsyncIterator[bytes]) -> list[bytes]:
        """Return the next keys; an empty list at the end."""
        page = []
        async with LoopAwareTimeout(PAGE_TIMEOUT_SECONDS):
            async for key in keys:
                page.append(key)
                if len(page) == PAGE_SIZE:
                    break
        return page

    async def _execute_for_all(self, keys: Sequence[bytes], command: str, *arguments: Argument) -> list[Any]:
        """Send a command for every key. A key that holds no string has its error as its reply."""
        async with LoopAwareTimeout(PAGE_TIMEOUT_SECONDS), self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.execute_command(command, key, *arguments)
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply):
                raise reply
        return replies


def _key(team: str, name: str) -> str:
    return f"igw:result:{team}:{name}"
