"""New databases for tests, of each kind that the gateway supports. A plugin: tests name its fixtures.

Rule: a server starts once, and only if a test needs it. Tables are made once for each kind. After that SQLite's file is
copied, and PostgreSQL's tables are emptied. Only a superuser can switch off their triggers for that.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]
import pytest

from service.adapters.sql.migrate import migrate_with_retry
from service.usecases.ports.observer import NULL_OBSERVER
from tests.support.gateway import TIMEOUT_SECONDS
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import WheelPostgres, real_postgres, wheel_postgres

RECORDED = Path(__file__).parents[1] / "recorded"
"""Dump of a gateway at 852ba53 with the sandbox: four generations, a hit, a replay, three joined requests, a key."""
NUMBERS = count(1)
EMPTY = (
    "SET session_replication_role = replica; TRUNCATE entries, keys, audit, leases, replicas, recounts, reports, files"
)

NewDatabase = Callable[[str], str]


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL."""
    with real_postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(scope="session")
def pooler_url(postgres_url: str) -> Iterator[str]:
    """A real PostgreSQL through a real PgBouncer, which lends a session per transaction."""
    with pgbouncer(postgres_url) as pooler:
        yield pooler.url


@pytest.fixture(scope="session")
def wheel_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WheelPostgres]:
    """A real PostgreSQL that tests may stop and freeze. They leave it running."""
    with wheel_postgres(tmp_path_factory.mktemp("wheel")) as server:
        yield server


@pytest.fixture(scope="session")
def empty_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewDatabase:
    """Function that makes databases without tables."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/data/books.db"
        server = request.getfixturevalue("postgres_url")
        name = f"books_{next(NUMBERS)}"
        asyncio.run(execute_statement(server, f"CREATE DATABASE {name}"))
        return at_path(server if kind == "postgresql" else request.getfixturevalue("pooler_url"), name)

    return make


@pytest.fixture(scope="session")
def new_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, empty_database: NewDatabase
) -> NewDatabase:
    """Function that returns empty databases with tables. PostgreSQL, also behind the pooler, has one for all tests."""
    migrated: dict[str, str] = {}

    def make(kind: str) -> str:
        if kind not in migrated:
            migrated[kind] = empty_database(kind)
            asyncio.run(migrate_with_retry(migrated[kind], TIMEOUT_SECONDS, NULL_OBSERVER))
        if kind == "sqlite":
            copy = tmp_path_factory.mktemp("sqlite") / "books.db"
            shutil.copyfile(migrated[kind].removeprefix("sqlite:///"), copy)
            return f"sqlite:///{copy}"
        name = urlsplit(migrated[kind]).path.removeprefix("/")
        asyncio.run(execute_statement(at_path(request.getfixturevalue("postgres_url"), name), EMPTY))
        return migrated[kind]

    return make


@pytest.fixture
def old_database(empty_database: NewDatabase) -> NewDatabase:
    """Function that makes databases as a gateway at 852ba53 left them, at revision 0001."""

    def make(kind: str) -> str:
        url, recorded = empty_database(kind), (RECORDED / f"0001.{kind}.sql").read_text("utf-8")
        if kind == "sqlite":
            file = Path(url.removeprefix("sqlite:///"))
            file.parent.mkdir(exist_ok=True)
            with closing(sqlite3.connect(file)) as database:
                database.executescript(recorded)
        else:
            asyncio.run(execute_statement(url, recorded))
        return url

    return make


@pytest.fixture
def absent_database(request: pytest.FixtureRequest, tmp_path: Path) -> NewDatabase:
    """Addresses without a database."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/nothing.db"
        return at_path(request.getfixturevalue("postgres_url"), "nothing")

    return make


def at_path(server: str, name: str) -> str:
    """Return the address of another database on the same server."""
    return str(urlunsplit(urlsplit(server)._replace(path=f"/{name}")))


async def execute_statement(url: str, statement: str) -> None:
    """Execute a statement on a PostgreSQL server."""
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()
