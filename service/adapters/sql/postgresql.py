"""Connections to PostgreSQL, direct or through a pooler such as PgBouncer.

Rule: the first connection finds out whether a pooler is in between. A pooler may give each transaction another session
of the server. So behind a pooler no statement has a name, and time limits are set for each transaction. A detected
pooler counts until the process ends; these settings work without one too.

Fails with: errors of asyncpg, and `UnreadableAddress`; `database.py` converts them.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import func, select, true
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.util import await_

from service.adapters.dynamic_text import DynamicText, current_text
from service.usecases.ports.events import PoolerDetected
from service.usecases.ports.observer import Observer

CONNECT_SECONDS: Final = 4.0
STATEMENTS: Final = 100  # prepared and cached on each direct connection
NO_STATEMENTS: Final = 0
NAME: Final = {"application_name": "image-gateway"}
"""A startup parameter that poolers know."""

UNSUPPORTED: Final = "unsupported startup parameter"
REFUSED: Final = ("28", "3D")
"""Classes of PostgreSQL's codes for a user, a password or a database that it refuses."""
REFUSED_BY_POOLER: Final = (
    UNSUPPORTED,
    "statement pooling mode",
    "no such database",
    "no such user",
    "does not exist",
    "authentication failed",
)
"""PgBouncer has one code for most of its errors, so its texts decide."""


class UnreadableAddress(Exception):
    """An address that the driver cannot read."""


class Postgresql:
    """Opens connections, and detects a pooler.

    Attributes:
        limits: Settings of the server, such as timeouts.
        description: Name of the database in the event.
        observe: Receives one `PoolerDetected`.
    """

    def __init__(self, url: DynamicText, limits: Mapping[str, str], description: str, observer: Observer) -> None:
        self.has_pooler = False
        self._url = url
        self._limits = limits
        self._description = description
        self._observer = observer

    def connect(self, dialect: Dialect, *_: object) -> DBAPIConnection:
        """Open a connection for SQLAlchemy's `do_connect`.

        Its cache of statements depends on the kind of connection.
        """
        opened = await_(_to_future(self._open))
        return dialect.connect(
            async_creator_fn=lambda: opened,
            prepared_statement_cache_size=NO_STATEMENTS if self.has_pooler else STATEMENTS,
        )

    async def begin(self, connection: AsyncConnection) -> None:
        """Set the limits of a transaction behind a pooler. A direct connection has them already."""
        if self.has_pooler:
            await connection.execute(select(*(func.set_config(name, to, true()) for name, to in self._limits.items())))

    async def _open(self) -> Any:  # noqa: ANN401 (asyncpg has no types)
        if not self.has_pooler:
            connection = await self._open_direct()
            if connection is not None:
                return connection
            if not self.has_pooler:  # another connection may have detected the pooler meanwhile
                self.has_pooler = True
                self._observer.record(PoolerDetected(database=self._description))
        return await self._connect_driver(NAME, NO_STATEMENTS)

    async def _open_direct(self) -> Any:  # noqa: ANN401 (as above)
        """Open a connection to a server; None if there is a pooler."""
        import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415 (SQLite needs no asyncpg)

        try:
            connection = await self._connect_driver({**NAME, **self._limits}, STATEMENTS)
        except asyncpg.ProtocolViolationError as error:
            if UNSUPPORTED not in str(error):
                raise
            return None
        try:
            if await _is_direct(connection):
                return connection
        except BaseException:
            connection.terminate()
            raise
        await connection.close()
        return None

    async def _connect_driver(self, settings: Mapping[str, str], statements: int) -> Any:  # noqa: ANN401 (as above)
        """Open a connection by asyncpg, which reads `sslmode`, `host` and other parameters of libpq by itself.

        The address is read again each time, so that a new password counts from the next connection on.
        """
        import asyncpg  # noqa: PLC0415 (as above)

        dsn = "postgresql://" + current_text(self._url).partition("://")[2]
        try:
            return await asyncpg.connect(
                dsn, timeout=CONNECT_SECONDS, server_settings=settings, statement_cache_size=statements
            )
        except ValueError:  # its message may quote a part of the password
            raise UnreadableAddress from None


async def _is_direct(connection: Any) -> bool:  # noqa: ANN401 (as above)
    """Return whether the session has the process id that came with the connection. A pooler hands out ids of its own.

    The reply's tag has the answer, because a row would need a prepared statement.
    """
    query = f"SELECT 1 WHERE pg_backend_pid() = {connection.get_server_pid()}"
    tag: str = await connection.execute(query, timeout=CONNECT_SECONDS)
    return tag == "SELECT 1"


async def _to_future(work: Callable[[], Any]) -> "asyncio.Future[Any]":
    """Run a coroutine into a future. SQLAlchemy awaits the future and converts the driver's errors."""
    done = asyncio.get_running_loop().create_future()
    try:
        done.set_result(await work())
    except Exception as error:  # noqa: BLE001 (raised again where the future is awaited)
        done.set_exception(error)
    return done


def is_refusal(error: BaseException | None) -> bool:
    """Return whether a server or a pooler refuses the address. A retry would not help."""
    code, text = str(getattr(error, "sqlstate", None) or ""), str(error)
    return code.startswith(REFUSED) or (code.startswith("08") and any(words in text for words in REFUSED_BY_POOLER))
