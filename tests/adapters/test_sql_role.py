"""The role of the chart's README, which makes no tables: it may do what a gateway does, and change no entry."""

import asyncio
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]
import pytest

from service.adapters.sql.database import Database
from service.adapters.sql.file_index import SqlFileIndex
from service.adapters.sql.key_store import SqlKeyStore
from service.adapters.sql.leases import SqlLeases
from service.adapters.sql.ledger import SqlLedger
from service.adapters.sql.migrate import migrate_with_retry
from service.adapters.sql.replica_registry import SqlReplicaRegistry
from service.domain.stored_images import UploadedFile, new_image_id
from service.usecases.ports.key_store import AuditRecord, IssuedKey
from service.usecases.ports.leases import LeaseHolder
from service.usecases.ports.observer import NULL_OBSERVER
from service.usecases.ports.replica_registry import Recount
from tests.fakes.builders import NOW
from tests.fakes.ledger import booked
from tests.support.gateway import TIMEOUT_SECONDS
from tools.helm.table import README

pytest_plugins = ["tests.support.databases"]

NewDatabase = Callable[[str], str]

ROLE = "gateway"


def statements() -> list[str]:
    """Return what the README has the owner of the tables say."""
    _, _, after = README.read_text("utf-8").partition("```sql\n")
    return [line for line in after.partition("```")[0].splitlines() if line]


async def execute(url: str, statement: str) -> None:
    """Run a statement on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def url(empty_database: NewDatabase) -> Iterator[str]:
    """A database whose tables another role made."""
    owner = empty_database("postgresql")
    asyncio.run(migrate_with_retry(owner, TIMEOUT_SECONDS, NULL_OBSERVER))
    for statement in statements():
        asyncio.run(execute(owner, statement))
    place = urlsplit(owner)
    yield urlunsplit(place._replace(netloc=f"{ROLE}:secret@{place.netloc.rpartition('@')[2]}"))
    asyncio.run(execute(owner, f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}"))


async def use_everything(database: Database) -> None:
    """Write, change and delete in every table, as a gateway does."""
    await SqlLedger(database).write([booked("a")])

    replicas, recount = SqlReplicaRegistry(database), Recount(team="search", epoch="1")
    await replicas.heartbeat("one")
    await replicas.request_reports("one", recount, None)
    await replicas.report("one", recount)
    await replicas.finish(recount)
    await replicas.unregister("one")

    leases, holder = SqlLeases(database), LeaseHolder(location="here", token="t", name="one", shared=False)
    await leases.take(holder, 1.0)
    await leases.release(holder)

    keys, record = (
        SqlKeyStore(database),
        AuditRecord(at=NOW, actor="ops", action="issue", subject="k", detail="", request_id="r"),
    )
    key = IssuedKey(id="k", team="search", digest="0" * 64, note="", created_at=NOW)
    await keys.add(key, record)
    await keys.update(key, record)

    files, file_id = SqlFileIndex(database), new_image_id("search", "png", "0" * 32, "file")
    await files.add([UploadedFile(id=file_id, filename="fox.png", length=1, written_at=NOW)])
    await files.delete([file_id])
    await files.expire(NOW, 1.0)


def test_it_may_do_all_that_a_gateway_does(url: str) -> None:
    async def use() -> None:
        database = Database(url)
        await use_everything(database)
        await database.close()

    asyncio.run(use())


@pytest.mark.parametrize("statement", ["DELETE FROM entries", "UPDATE audit SET actor = 'x'", "CREATE TABLE more ()"])
def test_it_may_neither_change_what_was_written_nor_make_tables(url: str, statement: str) -> None:
    async def write() -> None:
        database = Database(url)
        await use_everything(database)
        await database.close()

    asyncio.run(write())

    with pytest.raises(asyncpg.PostgresError):
        asyncio.run(execute(url, statement))
