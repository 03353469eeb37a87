"""A real database: migrations, several processes, crashes and outages."""

import asyncio
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.sql.database import MAX_CONNECTIONS, Database, SchemaError
from service.adapters.sql.gateway_id import read_gateway_id
from service.adapters.sql.ledger import SqlLedger
from service.adapters.sql.migrate import HEAD, MIGRATIONS, migrate, migrate_with_retry, read_revision
from service.adapters.sql.schema import metadata, sqlite_metadata
from service.domain.errors import LedgerUnavailable
from service.usecases.ports.events import WaitingForDatabase
from service.usecases.ports.ledger import EntryFilter, UsageQuery
from tests.fakes.ledger import booked
from tests.fakes.observer import FailOnEvent, Recorder
from tests.support.postgres import wheel_postgres

pytest_plugins = ["tests.support.databases"]

NewDatabase = Callable[[str], str]
EVER = EntryFilter(since=0, until=2**62)

MIGRATE = "import asyncio, sys; from service.adapters.sql.migrate import migrate; asyncio.run(migrate(sys.argv[1]))"
WRITE = """
import asyncio, sys
from service.adapters.sql.ledger import SqlLedger
from service.adapters.sql.database import Database
from tests.fakes.ledger import booked

async def main(url, name, most):
    database = Database(url)
    for number in range(int(most)):
        await SqlLedger(database).write([booked(f"{name}-{number}"), booked(f"shared-{number}")])
        print(number, flush=True)
    await database.close()

asyncio.run(main(*sys.argv[1:]))
"""


def started(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)


@pytest.fixture(params=["sqlite", "postgresql", "pgbouncer"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def database(kind: str, new_database: NewDatabase) -> AsyncIterator[Database]:
    opened = Database(await asyncio.to_thread(new_database, kind))
    yield opened
    await opened.close()


async def test_the_tables_are_those_that_the_code_knows(database: Database, kind: str) -> None:
    known = MetaData()
    for source in (metadata, sqlite_metadata) if kind == "sqlite" else (metadata,):
        for table in source.tables.values():
            table.to_metadata(known)

    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), known)

    assert await database.transaction(lambda connection: connection.run_sync(differences)) == []


def test_the_newest_migration_is_the_one_that_the_code_needs() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [HEAD]


@pytest.mark.parametrize("table", ["entries", "audit"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET request_id = 'x'", "DELETE FROM {}"])
async def test_what_is_written_stays_as_it_is(database: Database, table: str, statement: str) -> None:
    await SqlLedger(database).write([booked("a")])
    await database.transaction(
        lambda connection: connection.execute(
            text(
                "INSERT INTO audit (at, actor, action, subject, detail, request_id) VALUES (1, 'a', 'b', 'c', 'd', 'e')"
            )
        )
    )
    with pytest.raises(IntegrityError, match=f"{table} is append-only"):
        await database.transaction(lambda connection: connection.execute(text(statement.format(table))))
    assert await database.transaction(lambda connection: connection.scalar(text(f"SELECT count(*) FROM {table}"))) == 1  # noqa: S608


async def test_nor_can_it_be_truncated(new_database: NewDatabase) -> None:
    database = Database(await asyncio.to_thread(new_database, "postgresql"))
    with pytest.raises(IntegrityError, match="append-only"):
        await database.transaction(lambda connection: connection.execute(text("TRUNCATE entries")))
    await database.close()


def test_replicas_that_start_at_once_make_the_tables_once(kind: str, empty_database: NewDatabase) -> None:
    url = empty_database(kind)
    replicas = [started(MIGRATE, url) for _ in range(3)]
    assert [replica.wait(60) for replica in replicas] == [0] * 3
    for replica in replicas:
        replica.communicate()
    assert asyncio.run(read_revision(url)) == HEAD


def test_a_database_that_is_up_to_date_does_not_need_alembic(kind: str, new_database: NewDatabase) -> None:
    program = f"import service.adapters.sql.key_store; {MIGRATE}; sys.exit('alembic' in sys.modules)"
    with started(program, new_database(kind)) as replica:
        assert replica.wait(60) == 0


async def test_a_database_that_a_newer_gateway_changed_is_refused(kind: str, empty_database: NewDatabase) -> None:
    url = await asyncio.to_thread(empty_database, kind)
    await migrate(url)
    database = Database(url)
    newer = text("UPDATE alembic_version SET version_num = '9999'")
    await database.transaction(lambda connection: connection.execute(newer))
    with pytest.raises(SchemaError, match="is at revision 9999, made by a newer gateway; this one needs"):
        await migrate(url)
    with pytest.raises(SchemaError, match="is at revision 9999, made by a newer gateway; this one needs"):
        await read_revision(url)
    await database.close()


def test_a_database_is_looked_at_without_changing_it(kind: str, empty_database: NewDatabase) -> None:
    url = empty_database(kind)
    assert asyncio.run(read_revision(url)) is None
    if kind == "sqlite":
        assert not Path(url.removeprefix("sqlite:///")).exists()
    assert [asyncio.run(migrate(url)) for _ in range(2)] == [None, HEAD]
    assert asyncio.run(read_revision(url)) == HEAD


async def test_tables_that_are_not_ours_are_left_alone(kind: str, empty_database: NewDatabase) -> None:
    url = await asyncio.to_thread(empty_database, kind)
    if kind == "sqlite":
        await asyncio.to_thread(make_empty, url.removeprefix("sqlite:///"))
    database = Database(url)
    await database.transaction(lambda connection: connection.execute(text("CREATE TABLE keys (theirs TEXT)")))
    with pytest.raises(SchemaError, match=r"could not be brought up to date .*already exists") as refused:
        await migrate(url)
    assert "\n" not in str(refused.value)
    opened = await database.transaction(lambda connection: connection.run_sync(tables_in))
    assert opened == {"keys"}
    await database.close()


def make_empty(file: str) -> None:
    path = Path(file)
    path.parent.mkdir()
    path.touch()


def tables_in(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://u:geheim@host/db", "has to begin with"),
        ("sqlite://", "has to name a file"),
        ("sqlite:///:memory:", "has to name a file"),
        ("sqlite:////proc/nothing/geheim-not/books.db", "cannot be opened"),
        ("postgresql://u:geheim/x@host/db", "cannot be read"),
        ("postgresql://u:[geheim@host/db", "cannot be read"),
        ("postgresql://u:geheim@localhost/db?sslmode=geheim", "cannot be read"),
    ],
)
async def test_an_address_that_cannot_be_used_is_refused_in_one_line(url: str, says: str) -> None:
    with pytest.raises(SchemaError, match=says) as refused:
        await migrate(url)
    assert "\n" not in str(refused.value)
    assert "geheim@" not in str(refused.value) + repr(refused.value.__cause__)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
async def test_where_nobody_answers_the_message_says_so_without_the_password(scheme: str) -> None:
    url = f"{scheme}://user:geheim@localhost:1/db?sslmode=disable"
    for verb in (migrate, read_revision):
        with pytest.raises(LedgerUnavailable) as failure:
            await verb(url)
        assert failure.value.message.startswith("The PostgreSQL at localhost does not answer (")
        assert not any(secret in failure.value.message for secret in ("geheim", "\n"))


async def test_a_start_waits_for_a_server_that_comes(tmp_path: Path) -> None:
    with wheel_postgres(tmp_path) as server:
        server.stop()
        recorder = Recorder()
        starting = asyncio.create_task(migrate_with_retry(server.url, 60, recorder))
        await recorder.recorded.wait()
        await asyncio.to_thread(server.start)
        await starting
        assert await read_revision(server.url) == HEAD
    (waiting,) = recorder.of(WaitingForDatabase)
    assert waiting.problem.startswith("The PostgreSQL at a local socket does not answer (")
    assert waiting.max_wait_seconds == 60


async def test_a_start_waits_no_longer_than_it_may() -> None:
    recorder = Recorder()
    with pytest.raises(LedgerUnavailable, match="does not answer"):
        await migrate_with_retry("postgresql://user:geheim@localhost:1/db", 1, recorder)
    assert len(recorder.events) == 1


@pytest.mark.parametrize(("user", "name"), [("nobody", "postgres"), ("postgres", "nothing")])
async def test_a_start_does_not_wait_for_a_server_that_refuses(tmp_path: Path, user: str, name: str) -> None:
    with wheel_postgres(tmp_path) as server:
        url = f"postgresql://{user}@/{name}?{server.url.partition('?')[2]}"
        with pytest.raises(SchemaError, match=r"refuses the gateway .*(nobody|nothing)"):
            await migrate_with_retry(url, 60, FailOnEvent())


async def test_a_start_does_not_wait_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "books.db").write_text("this is a letter" * 200)
    with pytest.raises(LedgerUnavailable):
        await migrate_with_retry(f"sqlite:///{tmp_path / 'books.db'}", 60, FailOnEvent())


async def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    not_sqlite = tmp_path / "books.db"
    not_sqlite.write_text("this is a letter, and much too long to be mistaken for an empty database " * 20)
    with pytest.raises(LedgerUnavailable, match=r"SQLite file .* does not answer \(file is not a database\)"):
        await migrate(f"sqlite:///{not_sqlite}")


async def test_sqlite_is_set_up_to_survive_and_to_be_shared(empty_database: NewDatabase) -> None:
    url = empty_database("sqlite")
    await migrate(url)
    database, path = Database(url), Path(url.removeprefix("sqlite:///"))
    await SqlLedger(database).write([booked("a")])

    async def opened(connection: AsyncConnection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [await connection.scalar(text(f"PRAGMA {name}")) for name in names]

    assert await database.transaction(opened) == ["wal", 2, 1, 5000]
    modes = {beside.name: stat.S_IMODE(beside.stat().st_mode) for beside in path.parent.iterdir()}
    assert modes == {"books.db": 0o600, "books.db-wal": 0o600, "books.db-shm": 0o600}
    await database.close()


async def test_a_reader_of_a_new_file_puts_its_migration_off(empty_database: NewDatabase) -> None:
    url = empty_database("sqlite")
    file = url.removeprefix("sqlite:///")
    make_empty(file)
    with closing(sqlite3.connect(file)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM sqlite_master")
        migrating = asyncio.create_task(migrate(url))
        await asyncio.wait([migrating], timeout=0.3)
        assert not migrating.done()
    await migrating
    assert await read_revision(url) == HEAD


async def test_postgresql_ends_what_takes_too_long(new_database: NewDatabase) -> None:
    database = Database(await asyncio.to_thread(new_database, "postgresql"))

    async def settings(connection: AsyncConnection) -> list[object]:
        names = ("statement_timeout", "idle_in_transaction_session_timeout", "application_name")
        return [await connection.scalar(text(f"SHOW {name}")) for name in names]

    assert await database.transaction(settings) == ["10s", "15s", "image-gateway"]
    await database.close()


def test_processes_write_to_one_database_at_once(kind: str, new_database: NewDatabase) -> None:
    url = new_database(kind)
    writers = [started(WRITE, url, name, "40") for name in "ab"]
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert asyncio.run(count(url)) == 3 * 40


async def count(url: str) -> int:
    database = Database(url)
    opened = len([entry async for entry in SqlLedger(database).entries(EVER)])
    await database.close()
    return opened


def test_what_was_written_survives_the_writer(kind: str, new_database: NewDatabase) -> None:
    url = new_database(kind)
    with started(WRITE, url, "a", "100000") as writer:
        assert writer.stdout
        numbers = [int(writer.stdout.readline()) for _ in range(30)]
        writer.kill()
        numbers += [int(line) for line in writer.stdout if line.endswith("\n")]
    assert count_after_crash(url) >= 2 * len(numbers)


def count_after_crash(url: str) -> int:
    opened = asyncio.run(count(url))
    assert opened % 2 == 0
    return opened


async def test_a_writer_waits_for_another(new_database: NewDatabase) -> None:
    url = await asyncio.to_thread(new_database, "sqlite")
    one, other = Database(url), Database(url)
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def slow(connection: AsyncConnection) -> None:
        await connection.execute(text("BEGIN IMMEDIATE"))
        begun.set()
        await let_go.wait()

    holding = asyncio.create_task(one.transaction(slow))
    await begun.wait()
    waiting = asyncio.create_task(SqlLedger(other).write([booked("a")]))
    assert await SqlLedger(other).find_settled(["a"]) == set()
    assert not waiting.done()
    let_go.set()
    await asyncio.gather(holding, waiting)
    assert await SqlLedger(other).find_settled(["a"]) == {"a"}
    await asyncio.gather(one.close(), other.close())


async def test_a_caller_that_goes_away_leaves_the_connection_to_others(database: Database) -> None:
    sql_ledger = SqlLedger(database)
    for number in range(40):
        callers = [asyncio.create_task(sql_ledger.write([booked(f"h{number}")])) for _ in range(MAX_CONNECTIONS)]
        for _ in range(number):
            await asyncio.sleep(0)
        for caller in callers:
            caller.cancel()
        await asyncio.wait(callers)
    everyone = [sql_ledger.usage(UsageQuery(entry_filter=EVER)) for _ in range(3 * MAX_CONNECTIONS)]
    assert len({rows[0].entries for rows in await asyncio.gather(*everyone)}) <= MAX_CONNECTIONS


async def test_a_gateway_has_one_id_for_all_replicas_and_starts(kind: str, new_database: NewDatabase) -> None:
    url = await asyncio.to_thread(new_database, kind)
    opened = await asyncio.gather(*(read_gateway_id(url) for _ in range(4)))
    assert len({*opened, await read_gateway_id(url)}) == 1
    assert len(opened[0]) == 16
