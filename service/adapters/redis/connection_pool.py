"""One command, one reply: the way to a server for what every request asks.

Rule: a command is sent once, over a connection on which nothing else is under way; at most so many at a time as there
are connections. The time of a command runs while it has a connection. Patience is the only clock: the client's own
timeouts, pool and hooks around each command cost two to three times as much CPU as the command. A command that waits
for a connection waits for this replica, not for the server. It gives up only when a command before it has waited in
vain and no other one was answered meanwhile. A connection whose reply was not read to its end, or that the server has
closed, is closed, and made anew when it is next used. Raises `UNREACHABLE` of `service/adapters/redis/client.py`; a
refusal of the server is a `ResponseError`.
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
COPY_LIMIT_BYTES = 1 << 16  # what is longer is not copied together with the rest


@dataclass(slots=True)
class ConnectionQueue:
    """Shared by all ways to the servers. A replica that has `max_waiting` waiting begins nothing new."""

    max_waiting: int = MAX_WAITING
    waiting: int = 0

    @contextmanager
    def waiting_one(self) -> Iterator[None]:
        """Count a wait for as long as it lasts."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    def is_full(self) -> bool:
        """Should nothing new begin?"""
        return self.waiting >= self.max_waiting


class RedisConnectionPool:
    """The way to one server, or to a cluster. `timeout_seconds` is how many quiet seconds a command may take.

    `_replies` and `_timeouts` count answers, and commands that waited in vain while there was no answer to any other.
    """

    def __init__(self, url: DynamicText, timeout_seconds: float, queue: ConnectionQueue | None = None) -> None:
        self.client = connect(url)
        self._queue = queue or ConnectionQueue()
        self._replies = self._timeouts = 0
        self._timeout_seconds = timeout_seconds
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[AbstractConnection] = []

    async def execute(self, *command: Argument) -> Any:  # noqa: ANN401 (a reply is what the command says)
        """The reply."""
        timeouts = self._timeouts
        if self._slots.locked():
            with self._queue.waiting_one():
                await self._slots.acquire()
        else:
            await self._slots.acquire()  # at once: nothing waits
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
        await self.client.initialize()  # of a cluster that is not known yet, the client asks any node at all
        return await self.client.execute_command(*command)

    async def _send_to_server(self, pool: ConnectionPool, command: tuple[Argument, ...]) -> Any:  # noqa: ANN401 (as above)
        connection = self._idle.pop() if self._idle else _make_connection(pool)
        try:
            if connection.is_connected and await connection.can_read():  # nothing was asked: it was closed
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
        """Close every connection."""
        for connection in self._idle:
            await connection.disconnect()
        await disconnect(self.client)


def _make_connection(pool: ConnectionPool) -> AbstractConnection:
    """A connection to the pool's server; it connects when it is first used."""
    connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
    return connection


def _encode(command: tuple[Argument, ...], connection: AbstractConnection) -> bytes | list[bytes]:
    """A command as it is sent: a small one at once, which is nine times cheaper; one with a picture in parts."""
    for argument in command:
        if isinstance(argument, bytes) and len(argument) > COPY_LIMIT_BYTES:
            parts: list[bytes] = connection.pack_command(*command)
            return parts
    encoded: bytes = pack_command(command)  # type: ignore[arg-type]  # its stub means a tuple of one
    return encoded
