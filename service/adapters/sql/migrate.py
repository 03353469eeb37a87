"""Migrations: bring the tables of a database to the revision of this version.

Rule: any number of replicas may start at once. One migrates in one transaction, the others wait for it. A database at
the right revision costs one SELECT, without an import of Alembic. A start waits for a server that is away or starting,
and not for a server that refuses the user. A database of a newer version is refused.

Fails with: `SchemaError`, or `LedgerUnavailable` if there is no answer. Both messages are one line without a password.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection, NullPool, inspect, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.dynamic_text import DynamicText, current_text
from service.adapters.sql.database import SQLITE, Database, SchemaError, parse_file, parse_kind
from service.adapters.sql.postgresql import is_refusal
from service.domain.errors import LedgerUnavailable
from service.usecases.ports.events import WaitingForDatabase
from service.usecases.ports.observer import Observer

HEAD = "0007"
"""The revision that this version needs: the newest one in `migrations/versions`."""

MIGRATIONS = Path(__file__).parent / "migrations"
VERSIONS = "alembic_version"
LOCK = 0x696D_6761_7465_7761  # "imgatewa", the same number in every replica
LOCK_SECONDS = 60
POLL_SECONDS = 0.5
WAL_TRIES = 100
WAL_PAUSE_SECONDS = 0.05


async def migrate(url: DynamicText) -> str | None:
    """Migrate the database; a missing SQLite file is made. Returns the earlier revision, if there was one."""
    if parse_kind(current_text(url)) == SQLITE:
        _make_file(parse_file(current_text(url)))
    async with _open_unlimited(url) as database:
        previous = await _fetch_revision(database)
        if previous != HEAD:
            if database.kind == SQLITE:
                await _enable_wal(database)
            await database.transaction(_upgrade_in_sqlite if database.kind == SQLITE else _upgrade_in_postgresql)
        return previous


async def migrate_with_retry(url: DynamicText, max_wait_seconds: float, observer: Observer) -> None:
    """Migrate once the server answers. A wait is one event. Raises the errors of `migrate`."""
    loop = asyncio.get_running_loop()
    end, is_reported = loop.time() + max_wait_seconds, False
    while True:
        try:
            await migrate(url)
        except LedgerUnavailable as away:
            if parse_kind(current_text(url)) == SQLITE or loop.time() >= end:
                raise
            if not is_reported:
                observer.record(WaitingForDatabase(problem=away.message, max_wait_seconds=max_wait_seconds))
            is_reported = True
        else:
            return
        await asyncio.sleep(min(POLL_SECONDS, max(0.0, end - loop.time())))


async def read_revision(url: DynamicText) -> str | None:
    """Read the revision of the database; None before the first one. Changes nothing, and makes no file.

    Raises `SchemaError` if a newer version has changed the database.
    """
    if parse_kind(current_text(url)) == SQLITE and not parse_file(current_text(url)).exists():
        return None
    async with _open_unlimited(url) as database:
        database_revision = await _fetch_revision(database)
        if database_revision not in {None, HEAD}:
            _check_known(database_revision)
        return database_revision


@asynccontextmanager
async def _open_unlimited(url: DynamicText) -> AsyncIterator[Database]:
    """Open a database without time limits. Its errors name the database and the cause."""
    database = Database(url, pool=NullPool, unlimited=True)
    try:
        yield database
    except LedgerUnavailable as error:
        cause = _driver_error(error.__cause__)
        if is_refusal(cause):
            raise SchemaError(f"The {database.description} refuses the gateway ({_first_line(cause)}).") from None
        raise LedgerUnavailable(f"The {database.description} does not answer ({_first_line(cause)}).") from None
    except SQLAlchemyError as error:
        raise SchemaError(
            f"The {database.description} could not be brought up to date ({_first_line(_driver_error(error))})."
        ) from None
    finally:
        await database.close()


def _driver_error(error: BaseException | None) -> BaseException | None:
    """Return the database's own error instead of SQLAlchemy's, which has the statement in its text."""
    return error.orig if isinstance(error, DBAPIError) else error


def _first_line(error: BaseException | None) -> str:
    first = str(error).strip().partition("\n")[0]
    return first or type(error).__name__


def _make_file(path: Path) -> None:
    """Make a file for this user alone. SQLite gives the files beside it the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise SchemaError(f"The SQLite file {path} cannot be opened ({error.strerror}).") from None


async def _fetch_revision(database: Database) -> str | None:
    return await database.transaction(lambda connection: connection.run_sync(_read_revision))


def _read_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSIONS):
        return None
    database_revision: str | None = connection.scalar(text(f"SELECT version_num FROM {VERSIONS}"))  # noqa: S608 (our own name)
    return database_revision


async def _enable_wal(database: Database) -> None:
    """Switch to WAL, so that readers and the writer do not wait for each other. SQLite needs retries of the switch."""
    switch = text("PRAGMA journal_mode = WAL")
    for tries_left in reversed(range(WAL_TRIES)):
        try:
            await database.transaction(lambda connection: connection.execute(switch))
        except LedgerUnavailable:
            if not tries_left:
                raise
            await asyncio.sleep(WAL_PAUSE_SECONDS)
        else:
            return


async def _upgrade_in_sqlite(connection: AsyncConnection) -> None:
    """Migrate under SQLite's write lock. The lock ends with the transaction, also when its process is killed."""
    await connection.execute(text(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}"))
    await connection.execute(text("BEGIN IMMEDIATE"))
    await connection.run_sync(_upgrade)


async def _upgrade_in_postgresql(connection: AsyncConnection) -> None:
    """Migrate under an advisory lock, which ends with the transaction."""
    await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
    await connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
    await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    """Run the missing steps. Alembic reads the revision again, because another replica may have migrated meanwhile."""
    from alembic import command  # noqa: PLC0415 (100 ms that a start without a migration saves)
    from alembic.config import Config  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    _check_known(*MigrationContext.configure(connection).get_current_heads())
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")


def _check_known(*revisions: str | None) -> None:
    """Raise `SchemaError` for a revision that this version does not know."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 (as above)

    known = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
    for unknown in revisions:
        if unknown not in known:
            raise SchemaError(f"The database is at revision {unknown}, made by a newer gateway; this one needs {HEAD}.")
