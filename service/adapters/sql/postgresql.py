"""Connections to PostgreSQL, straight to the server or through a pooler such as PgBouncer.

Rule: the first connection finds out which of the two it is. A pooler may give each transaction another session of the
server. So nothing of a session is relied on behind one: no statement has a name, and time limits are set for each
transaction. Once a pooler was found, it is taken to stay until the process ends; a server works in the same way.
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
STATEMENTS: Final = 100  # prepared and kept on each connection to a server
NO_STATEMENTS: Final = 0
NAME: Final = {"application_name": "image-gateway"}
"""Poolers know this parameter."""

UNSUPPORTED: Final = "unsupported startup parameter"
REFUSED: Final = ("28", "3D")
"""Classes of PostgreSQL's codes for a user, a password or a database that it does not accept."""
REFUSED_BY_POOLER: Final = (
    UNSUPPORTED,
    "statement pooling mode",
    "no such database",
    "no such user",
    "does not exist",
    "authentication failed",
)
"""PgBouncer has one code for most of what it says."""


class UnreadableAddress(Exception):
    """The driver cannot read the address."""


class Postgresql:
    """Makes connections. `limits` are settings of the server; `on_pooler` is told once that there is a pooler."""

    def __init__(self, url: DynamicText, limits: Mapping[str, str], description: str, observe: Observer) -> None:
        self.has_pooler = False
        self._url = url
        self._limits = limits
        self._description = description
        self._observe = observe

    def connect(self, dialect: Dialect, *_: object) -> DBAPIConnection:
        """SQLAlchemy's `do_connect`. The connection is opened first: only then is known how it may be used."""
        opened = await_(_to_future(self._open))
        return dialect.connect(
            async_creator_fn=lambda: opened,
            prepared_statement_cache_size=NO_STATEMENTS if self.has_pooler else STATEMENTS,
        )

    async def begin(self, connection: AsyncConnection) -> None:
        """Set the limits of a transaction, if its connection does not have them already."""
        if self.has_pooler:
            await connection.execute(select(*(func.set_config(name, to, true()) for name, to in self._limits.items())))

    async def _open(self) -> Any:  # noqa: ANN401 (SQLAlchemy's adapter takes what it gets)
        if not self.has_pooler:
            connection = await self._open_direct()
            if connection is not None:
                return connection
            if not self.has_pooler:  # by now another connection may have found it
                self.has_pooler = True
                self._observe(PoolerDetected(database=self._description))
        return await self._connect_driver(NAME, NO_STATEMENTS)

    async def _open_direct(self) -> Any:  # noqa: ANN401 (likewise)
        """A connection to a server; None where there is a pooler."""
        import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415 (a gateway with a SQLite file does without)

        try:
            connection = await self._connect_driver({**NAME, **self._limits}, STATEMENTS)
        except asyncpg.ProtocolViolationError as refused:
            if UNSUPPORTED not in str(refused):
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

    async def _connect_driver(self, settings: Mapping[str, str], statements: int) -> Any:  # noqa: ANN401 (likewise)
        """The driver reads the address by itself: it knows `sslmode`, `host` and what else libpq allows there.

        It does so for each connection, so that a password that has become another one counts from the next one on.
        """
        import asyncpg  # noqa: PLC0415 (likewise)

        dsn = "postgresql://" + current_text(self._url).partition("://")[2]
        try:
            return await asyncpg.connect(
                dsn, timeout=CONNECT_SECONDS, server_settings=settings, statement_cache_size=statements
            )
        except ValueError:  # its message may quote a part of the password
            raise UnreadableAddress from None


async def _is_direct(connection: Any) -> bool:  # noqa: ANN401 (likewise)
    """Does the session have the number that came with the connection? A pooler gives out numbers of its own.

    The tag of the reply says it, because a row would need a prepared statement.
    """
    question = f"SELECT 1 WHERE pg_backend_pid() = {connection.get_server_pid()}"
    tag: str = await connection.execute(question, timeout=CONNECT_SECONDS)
    return tag == "SELECT 1"


async def _to_future(work: Callable[[], Any]) -> "asyncio.Future[Any]":
    """What came of it, for one who awaits it and turns errors of the driver into SQLAlchemy's."""
    done = asyncio.get_running_loop().create_future()
    try:
        done.set_result(await work())
    except Exception as error:  # noqa: BLE001 (it is raised where it is awaited)
        done.set_exception(error)
    return done


def is_refusal(error: BaseException | None) -> bool:
    """Does a server or a pooler not accept what it is asked for? Waiting does not help then."""
    code, text = str(getattr(error, "sqlstate", None) or ""), str(error)
    return code.startswith(REFUSED) or (code.startswith("08") and any(words in text for words in REFUSED_BY_POOLER))
