"""Connections to the database of `DATABASE_URL`: a SQLite file or a PostgreSQL server.

Rule: one small pool, with one transaction at a time on each connection, and a timeout on every wait. A pooled
connection is tried before its use, so the next call finds a restarted server. A caller that goes away interrupts
nothing: its transaction runs to its end.

Fails with: `LedgerUnavailable` for any fault of the database; `SchemaError` for an unusable address. A fault of the
gateway's own SQL, such as an unknown word, is raised as it is.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Coroutine, Mapping, Sequence
from errno import ENOENT
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
from sqlalchemy import URL, Executable, Pool, Row, Select, Table, event
from sqlalchemy.exc import DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from service.adapters.dynamic_text import DynamicText, current_text
from service.adapters.sql.postgresql import Postgresql, UnreadableAddress
from service.domain.errors import LedgerUnavailable
from service.usecases.ports.observer import NULL_OBSERVER, Observer

T = TypeVar("T")
Query = Select[*tuple[Any, ...]]
Rows = Sequence[Row[*tuple[Any, ...]]]

MAX_CONNECTIONS = 5
CHECKOUT_SECONDS: Final = 5.0  # wait for a free connection, with its connect
STATEMENT_SECONDS: Final = 10.0
BUSY_SECONDS: Final = 5.0
DEADLINE_SECONDS: Final = 15.0
"""For a PostgreSQL that neither answers nor closes the connection. A healthy server ends its own statements sooner."""

SQLITE, POSTGRESQL = "sqlite", "postgresql"
UNREADABLE = "DATABASE_URL cannot be read. Signs such as / and @ in a password have to be written as %2F and %40."


class SchemaError(Exception):
    """An unusable or unknown database. The message is one line without a password."""


class Database:
    """The pool of connections. The first transaction opens a connection.

    Attributes:
        kind: `sqlite` or `postgresql`.
        description: Name of the database for messages, without a password.

    Raises:
        SchemaError: the address is not understood.
    """

    def __init__(
        self,
        url: DynamicText,
        *,
        pool: type[Pool] | None = None,
        unlimited: bool = False,
        observer: Observer = NULL_OBSERVER,
    ) -> None:
        """With `unlimited`, statements have no timeout.

        `observe` receives one `PoolerDetected` if a pooler is in between.
        """
        self.kind = parse_kind(current_text(url))
        self.description = describe_address(current_text(url))
        self.insert = _insert_for(self.kind)
        self._running: set[asyncio.Task[Any]] = set()
        self._limited = self.kind == POSTGRESQL and not unlimited
        self._server = None
        if self.kind == POSTGRESQL:
            self._server = Postgresql(url, _limits(unlimited=unlimited), self.description, observer)
        self._engine = _postgresql(self._server, pool) if self._server else _sqlite(current_text(url), pool)

    async def query(self, statement: Query) -> Rows:
        """Run one query."""

        async def fetch(connection: AsyncConnection) -> Rows:
            return (await connection.execute(statement)).all()

        return await self.transaction(fetch)

    async def execute(self, *statements: Executable, rows: Sequence[Mapping[str, Any]] = ()) -> None:
        """Run statements in one transaction, each with all of the rows, if there are any."""

        async def run(connection: AsyncConnection) -> None:
            for statement in statements:
                await connection.execute(statement, rows or None)

        await self.transaction(run)

    async def transaction(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]]) -> T:
        """Run `work` in a transaction: all of its changes are committed, or none."""
        task = asyncio.create_task(self._run_transaction(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for running transactions, then close every connection."""
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._engine.dispose()

    async def _run_transaction(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with (
                asyncio.timeout(CHECKOUT_SECONDS if self._limited else None) as deadline,
                self._engine.begin() as connection,
            ):
                deadline.reschedule(loop.time() + DEADLINE_SECONDS if self._limited else None)
                if self._server:
                    await self._server.begin(connection)
                return await work(connection)
        except UnreadableAddress:
            raise SchemaError(UNREADABLE) from None
        except (DBAPIError, PoolTimeout, OSError) as error:  # TimeoutError is an OSError
            if _is_own_mistake(error):
                raise
            raise LedgerUnavailable("The ledger of record does not answer.") from error


def _is_own_mistake(error: Exception) -> bool:
    """Return whether an error is about our statement, not the database. SQLite has one code for all such errors."""
    if isinstance(error, IntegrityError | ProgrammingError | NotSupportedError):
        return True
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR


def parse_kind(url: str) -> str:
    """Parse `sqlite` or `postgresql` from the scheme of an address."""
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme in {"postgres", POSTGRESQL}:
        return POSTGRESQL
    if scheme == SQLITE:
        return SQLITE
    raise SchemaError("DATABASE_URL has to begin with sqlite:/// or postgresql://.")


def check_address(url: str) -> None:
    """Raise `SchemaError` for an address that is not understood. Connects to nothing."""
    describe_address(url)
    if parse_kind(url) == POSTGRESQL:
        try:
            _ = urlsplit(url).port
        except ValueError:
            raise SchemaError(UNREADABLE) from None


def describe_address(url: str) -> str:
    """Describe an address for a message, without any part of a password."""
    if parse_kind(url) == SQLITE:
        return f"SQLite file {parse_file(url)}"
    try:
        return f"PostgreSQL at {urlsplit(url).hostname or 'a local socket'}"
    except ValueError:
        raise SchemaError(UNREADABLE) from None


def parse_file(url: str) -> Path:
    """Parse the file of `sqlite:///relative/path` or `sqlite:////absolute/path`."""
    path = url.partition(":///")[2]
    if not path or path == ":memory:":
        raise SchemaError("DATABASE_URL has to name a file: sqlite:///path. What is kept in memory is lost.")
    return Path(path)


def _insert_for(kind: str) -> Callable[[Table], Any]:
    """Return the insert of a dialect, because each has its own `ON CONFLICT`. The other dialect is not imported."""
    if kind == SQLITE:
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415

        return sqlite.insert
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    return postgresql.insert


def _sqlite(url: str, pool: type[Pool] | None) -> AsyncEngine:
    """Build the engine of an existing file. `migrate` makes the file, so that no accident makes a second, empty one."""
    address = URL.create(
        "sqlite+aiosqlite", database=f"file:{quote(str(parse_file(url)))}", query={"mode": "rw", "uri": "true"}
    )
    options = {"pool_size": MAX_CONNECTIONS, "max_overflow": 0, "pool_timeout": BUSY_SECONDS} if pool is None else {}
    engine = create_async_engine(
        address,
        poolclass=pool,
        hide_parameters=True,
        json_serializer=_dumps,
        json_deserializer=msgspec.json.decode,
        connect_args={"timeout": BUSY_SECONDS},
        **options,
    )
    event.listen(engine.sync_engine, "do_connect", partial(_require_file, parse_file(url)))
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    return engine


def _require_file(path: Path, *_: object) -> None:
    """Raise for a missing file. SQLite would fail too, but leave a running thread behind."""
    if not path.is_file():
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT))


def _set_up_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 (the driver's own type)
    """Set a connection's options. FULL: a commit is on the disk even after a power cut, by one sync in WAL mode."""
    cursor = connection.cursor()
    for setting in ("synchronous = FULL", "foreign_keys = ON", "cache_size = -16384"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _limits(*, unlimited: bool) -> dict[str, str]:
    """Return the settings of every PostgreSQL transaction."""
    return {
        "jit": "off",  # compiling a sum takes longer than running it
        "statement_timeout": "0" if unlimited else f"{STATEMENT_SECONDS * 1000:.0f}",
        "idle_in_transaction_session_timeout": "0" if unlimited else f"{DEADLINE_SECONDS * 1000:.0f}",
    }


def _postgresql(server: Postgresql, pool: type[Pool] | None) -> AsyncEngine:
    options = {"pool_size": MAX_CONNECTIONS, "max_overflow": 0, "pool_pre_ping": True} if pool is None else {}
    engine = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=pool,
        hide_parameters=True,
        json_serializer=_dumps,
        json_deserializer=msgspec.json.decode,
        **options,
    )
    event.listen(engine.sync_engine, "do_connect", server.connect)
    return engine


def _dumps(tags: object) -> str:
    """Encode tags without escapes, because SQLite compares them byte by byte."""
    return msgspec.json.encode(tags).decode()
