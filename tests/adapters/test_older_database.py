"""Tables that a gateway of revision 0001 filled, and goes on filling beside newer ones.

`tests/recorded` has such databases, written by a gateway at 852ba53 with the sandbox: four purchases (one of them with
`no-store`), a hit, a replay, three joined requests, one issued key.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from sqlalchemy import text

from service.adapters.sql.database import Database
from service.adapters.sql.key_store import SqlKeyStore
from service.adapters.sql.ledger import SqlLedger
from service.adapters.sql.migrate import HEAD, migrate, read_revision
from service.domain.key_allowances import UNRESTRICTED, Allowance
from service.domain.quota_limits import Limits
from service.usecases.ports.key_store import AuditRecord
from service.usecases.ports.ledger import EntryFilter, UsageQuery
from tests.fakes.ledger import booked

pytest_plugins = ["tests.support.databases"]

NewDatabase = Callable[[str], str]
EVER = EntryFilter(since=0, until=2**62)
OLD_COLUMNS = (
    "hold_id, request_id, team, key, operation, model, backend, upstream_model, price_version, output_format, n, cost, "
    "basis, status, tier, resolved_tier, size, text_in, image_in, text_cached, image_cached, text_out, image_out, "
    "saved, cache, tags, held_at, posted_at"
)
OLD_INSERT = text(
    f"INSERT INTO entries ({OLD_COLUMNS}) VALUES ('late', 'req_late', 'search', 'search', 'generate', "  # noqa: S608 (our own words)
    "'gpt-image-2', 'sandbox', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'png', 1, 5890000, 'usage', 'delivered', "
    "'low', 'low', '1024x1024', 2, 0, 0, 0, 0, 196, 0, 'bypass', '{}', 1796057600000000, 1796057600300000) "
    "ON CONFLICT (hold_id) DO NOTHING"
)
OLD_UPDATE = text(
    "UPDATE keys SET id = id, team = team, digest = digest, note = 'changed', created_at = created_at, "
    "expires_at = expires_at, revoked_at = coalesce(revoked_at, NULL) WHERE id = :id"
)
OLD_SELECT = text(f"SELECT {OLD_COLUMNS} FROM entries WHERE hold_id = 'new'")  # noqa: S608 (our own words)


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, old_database: NewDatabase) -> str:
    """A database as the older gateway left it."""
    return await asyncio.to_thread(old_database, request.param)


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """A recorded database, migrated."""
    assert await migrate(url) == "0001"
    assert await read_revision(url) == HEAD
    migrated = Database(url)
    yield migrated
    await migrated.close()


async def sources(database: Database) -> Counter[str]:
    """Return the sums of the entries and those of usage, which must be equal."""
    sql_ledger = SqlLedger(database)
    listed = Counter([entry.cache async for entry in sql_ledger.entries(EVER)])
    summed = {
        row.group[0]: row.entries for row in await sql_ledger.usage(UsageQuery(entry_filter=EVER, group_by=("cache",)))
    }
    assert listed == summed
    return listed


async def test_what_the_older_gateway_bought_has_an_unknown_source(database: Database) -> None:
    assert await sources(database) == {"unknown": 4, "hit": 1, "replayed": 1, "joined": 3}


async def test_money_and_keys_are_as_they_were(database: Database) -> None:
    (everything,) = await SqlLedger(database).usage(UsageQuery(entry_filter=EVER))
    assert (everything.entries, everything.cost, everything.saved) == (9, 4 * 5_890_000, 5 * 5_890_000)
    assert [(key.team, key.note) for key in await SqlKeyStore(database).list_keys()] == [("search", "crawler")]
    assert [record.action for record in await SqlKeyStore(database).list_records(9)] == ["key.issue"]


async def test_an_older_gateway_goes_on_beside_a_newer_one(database: Database) -> None:
    """An older gateway names its columns when it writes and when it reads."""
    await SqlLedger(database).write([booked("new", cache="bypass"), booked("newer", cache="miss")])
    for _ in range(2):
        await database.transaction(lambda connection: connection.execute(OLD_INSERT))
    (row,) = await database.transaction(lambda connection: connection.execute(OLD_SELECT))
    assert row.cache == "bypass"
    assert await sources(database) == {"unknown": 5, "hit": 1, "replayed": 1, "joined": 3, "bypass": 1, "miss": 1}


async def test_an_older_gateway_leaves_the_allowance_of_a_key_as_it_is(database: Database) -> None:
    store = SqlKeyStore(database)
    (key,) = await store.list_keys()
    record = AuditRecord(at=key.created_at, actor="me", action="key.change", subject=key.id, detail="", request_id="")
    assert key.allowance == UNRESTRICTED
    leashed = replace(key, allowance=Allowance(limits=Limits(usd_per_day=5)))
    await store.update(leashed, record)
    await database.transaction(lambda connection: connection.execute(OLD_UPDATE, {"id": key.id}))
    assert await store.get(key.id) == replace(leashed, note="changed")


async def test_entries_can_still_only_be_added(database: Database) -> None:
    change = text("UPDATE entries SET version = 2")
    with pytest.raises(Exception, match=re.escape("entries is append-only")):
        await database.transaction(lambda connection: connection.execute(change))
