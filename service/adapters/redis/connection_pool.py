"""Connections to one Redis server or cluster for the commands of requests: one command, one reply.

Rule: a command is sent once, over a connection without another command on it. `MAX_CONNECTIONS` commands are under way
at most. `LoopAwareTimeout` is the only timeout, and its time runs only while a command has a connection. redis-py's own
timeouts, pool and hooks are bypassed, because they cost two to three times the CPU of the command. A command that waits
for a connection waits for this replica, not for the server. It fails only after an earlier command timed out and no
command was answered meanwhile. A connection with an unread reply, or closed by the server, is closed. Its next command
opens it again.

Fails with: an error of `UNREACHABLE` (`client.py`); `ResponseError` for a command that the server refuses.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hiredis import pack_command
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from service.adapters.dynamic_text import DynamicText
from service.adapters.loop_aware_timeout import LoopAwareTimeout
from service.adapters.redis.client import MAX_CONNECTIONS, connect, disconnect

Argument = str | bytes | int
MAX_WAITING = 1024
COPY_LIMIT_BYTES = 1 << 16  # a longer argument is sent as a part of its own, not copied


@dataclass(slots=True)
class ConnectionQueue:
    """The number of a replica's commands that wait for a connection, over all its pools.

    Rule: a wait for a connection is no silence of a server. Requests are refused where they begin (`is_full`), so that
    a request that has begun is not refused half way.
    """

    max_waiting: int = MAX_WAITING
    waiting: int = 0

    @contextmanager
    def waiting_one(self) -> Iterator[None]:
        """Count a wait for the length of a block."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    def is_full(self) -> bool:
        """Return whether new requests are to be refused."""
        return self.waiting >= self.max_waiting


class RedisConnectionPool:
    """Connections to one server or cluster. A command may take `timeout_seconds` quiet seconds.

    `_replies` counts answers. `_timeouts` counts timeouts during which no other command was answered.
    """

    def __init__(self, url: DynamicText, timeout_seconds: float, queue: ConnectionQueue | None = None) -> None:
        self.client = connect(url)
        self._queue = queue or ConnectionQueue()
        self._replies = self._timeouts = 0
        self._timeout_seconds = timeout_seconds
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[AbstractConnection] = []

    async def execute(self, *command: Argument) -> Any:  # noqa: ANN401 (a reply has the type of its command)
        timeouts = self._timeouts
        if self._slots.locked():
            with self._queue.waiting_one():
                await self._slots.acquire()
        else:
            await self._slots.acquire()  # a free slot: no wait to count
        try:
            if self._timeouts > timeouts:
                raise TimeoutError("The server was silent while this command waited for a connection.")
            return await self._execute(command)
        finally:
            self._slots.release()

    async def _execute(self, command: tuple[Argument, ...]) -> Any:  # noqa: ANN401 (as above)
        replies = self._replies
        try:
            async with LoopAwareTimeout(self._timeout_seconds):
                reply = await self._send(command)
        except ResponseError:
            self._replies += 1
            raise
        except TimeoutError:
            self._timeouts += self._replies == replies
            raise
        self._replies += 1
        return reply

    async def _send(self, command: tuple[Argument, ...]) -> Any:  # noqa: ANN401 (as above)
        if isinstance(self.client, Redis):
            return await self._send_to_server(self.client.connection_pool, command)
        await self.client.initialize()  # else the client sends a first command to any node
        return await self.client.execute_command(*command)

    async def _send_to_server(self, pool: ConnectionPool, command: tuple[Argument, ...]) -> Any:  # noqa: ANN401 (as above)
        connection = self._idle.pop() if self._idle else _make_connection(pool)
        try:
            if connection.is_connected and await connection.can_read():  # bytes, but no command: closed by the server
                await connection.disconnect(nowait=True)
            await connection.send_packed_command(_encode(command, connection), check_health=False)
            return await connection.read_response()
        except ResponseError:
            raise
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            self._idle.append(connection)

    async def close(self) -> None:
        for connection in self._idle:
            await connection.disconnect()
        await disconnect(self.client)


def _make_connection(pool: ConnectionPool) -> AbstractConnection:
    """Return a connection of the pool's server; its first command opens it."""
    connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
    return connection


def _encode(command: tuple[Argument, ...], connection: AbstractConnection) -> bytes | list[bytes]:
    """Encode a command: a small one as one string, nine times cheaper, a large one in parts."""
    for argument in command:
        if isinstance(argument, bytes) and len(argument) > COPY_LIMIT_BYTES:
            parts: list[bytes] = connection.pack_command(*command)
            return parts
    encoded: bytes = pack_command(command)  # type: ignore[arg-type]  # its stub means a tuple of one
    return encoded
