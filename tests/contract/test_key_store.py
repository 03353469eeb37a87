"""Issued keys and the audit trail: in memory, in SQLite, in PostgreSQL and behind PgBouncer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from service.adapters.sql.database import Database
from service.adapters.sql.key_store import SqlKeyStore
from service.domain.errors import InvalidValue, KeyNotFound, LedgerUnavailable
from service.domain.key_allowances import Allowance
from service.domain.quota_limits import Limits
from service.usecases.ports.key_store import AuditRecord, IssuedKey, KeyStore
from tests.fakes.key_store import FakeKeyStore

pytest_plugins = ["tests.support.databases"]

NOW = datetime(2026, 11, 21, 12, 30, 15, 123457, tzinfo=UTC)


@pytest.fixture(params=["fake", "sqlite", "postgresql", "pgbouncer"])
async def store(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> AsyncIterator[KeyStore]:
    if request.param == "fake":
        yield FakeKeyStore()
        return
    database = Database(await asyncio.to_thread(new_database, request.param))
    yield SqlKeyStore(database)
    await database.close()


def issued(key_id: str, **changes: Any) -> IssuedKey:
    usual: dict[str, Any] = {"team": "design", "digest": f"digest of {key_id}", "note": "for tests", "created_at": NOW}
    return IssuedKey(id=key_id, **usual | changes)


def done(action: str, subject: str = "key_1") -> AuditRecord:
    return AuditRecord(at=NOW, actor="admin", action=action, subject=subject, detail="é", request_id="req_1")


async def test_a_key_is_found_as_it_was_added(store: KeyStore) -> None:
    plain = issued("key_1")
    dated = issued("key_2", expires_at=NOW + timedelta(days=1), revoked_at=datetime.max.replace(tzinfo=UTC))
    for key in (plain, dated):
        await store.add(key, done("issue", key.id))
    assert [await store.get(key.id) for key in (plain, dated)] == [plain, dated]


async def test_an_allowance_is_kept_and_replaced_and_taken_away(store: KeyStore) -> None:
    whole = Allowance(
        models=frozenset({"gpt-image-2", "flux"}),
        tiers=frozenset({"low"}),
        limits=Limits(usd_per_day=2**53 + 1, requests_per_minute=3),
        limits_by_tier={"high": Limits(usd_per_month=0), "élan": Limits()},
    )
    key = issued("key_1", allowance=whole)
    await store.add(key, done("issue"))
    assert await store.list_keys() == [key]
    for other in (Allowance(tiers=frozenset({"low"})), Allowance()):
        await store.update(replace(key, allowance=other), done("change"))
        assert (await store.get("key_1")).allowance == other


async def test_a_time_is_the_same_moment_in_any_zone(store: KeyStore) -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    await store.add(issued("key_1", created_at=there), done("issue"))
    assert (await store.get("key_1")).created_at == NOW


async def test_a_key_is_changed_as_a_whole(store: KeyStore) -> None:
    await store.add(issued("key_1", expires_at=NOW), done("issue"))
    changed = issued("key_1", team="ads", digest="another", note="", revoked_at=NOW)
    await store.update(changed, done("revoke"))
    assert await store.get("key_1") == changed


async def test_a_revoked_key_stays_revoked(store: KeyStore) -> None:
    await store.add(issued("key_1"), done("issue"))
    await store.update(issued("key_1", revoked_at=NOW), done("revoke"))
    await store.update(issued("key_1", expires_at=NOW), done("expire"))
    assert (await store.get("key_1")).revoked_at == NOW


async def test_every_change_is_on_record_newest_first(store: KeyStore) -> None:
    key = issued("key_1")
    await store.add(key, done("issue"))
    for number in range(3):
        await store.update(replace(key, note=str(number)), done(f"change {number}"))
    assert await store.list_records(10) == [done("change 2"), done("change 1"), done("change 0"), done("issue")]
    assert await store.list_records(1) == [done("change 2")]


async def test_what_was_done_to_something_else_is_on_record_too(store: KeyStore) -> None:
    await store.add(issued("key_1"), done("issue"))
    await store.add_record(done("purge", "cache"))
    assert await store.list_records(10) == [done("purge", "cache"), done("issue")]
    assert await store.list_keys() == [issued("key_1")]


async def test_what_is_refused_changes_nothing_and_is_not_on_record(store: KeyStore) -> None:
    first, second = issued("key_1"), issued("key_2")
    await store.add(first, done("issue"))
    await store.add(second, done("issue", "key_2"))
    refused: list[tuple[Coroutine[Any, Any, None], str]] = [
        (store.add(replace(first, digest="new"), done("issue")), "id"),
        (store.add(issued("key_3", digest=first.digest), done("issue")), "digest"),
        (store.update(replace(first, digest=second.digest), done("rotate")), "digest"),
    ]
    for verb, param in refused:
        with pytest.raises(InvalidValue) as failure:
            await verb
        assert failure.value.param == param
    assert await store.list_keys() == [first, second]
    assert len(await store.list_records(10)) == 2


async def test_an_unknown_key_is_not_found_and_not_on_record(store: KeyStore) -> None:
    with pytest.raises(KeyNotFound):
        await store.get("key_1")
    with pytest.raises(KeyNotFound):
        await store.update(issued("key_1"), done("revoke"))
    assert (await store.list_keys(), await store.list_records(10)) == ([], [])


async def test_keys_are_listed_oldest_first_for_all_or_for_a_team(store: KeyStore) -> None:
    ages = {"b": 1, "a": 1, "c": 3, "d": 2}
    for name, days in ages.items():
        team = "ads" if name == "c" else "design"
        await store.add(issued(name, created_at=NOW - timedelta(days=days), team=team), done("issue"))
    assert [key.id for key in await store.list_keys()] == ["c", "d", "a", "b"]
    assert [key.id for key in await store.list_keys("design")] == ["d", "a", "b"]
    assert await store.list_keys("nobody") == []


async def test_of_those_who_want_an_id_at_once_one_gets_it(store: KeyStore) -> None:
    asked = (store.add(issued("key_1", digest=str(number)), done("issue")) for number in range(12))
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(result) for result in results if result] == [InvalidValue] * 11
    assert len(await store.list_records(20)) == 1


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
async def no_store(request: pytest.FixtureRequest, absent_database: Callable[[str], str]) -> AsyncIterator[KeyStore]:
    if request.param == "fake":
        fake = FakeKeyStore()
        fake.down = True
        yield fake
        return
    database = Database(await asyncio.to_thread(absent_database, request.param))
    yield SqlKeyStore(database)
    await database.close()


async def test_a_store_that_is_down_says_so_and_nothing_else(no_store: KeyStore) -> None:
    verbs: list[Coroutine[Any, Any, object]] = [
        no_store.add(issued("key_1"), done("issue")),
        no_store.update(issued("key_1"), done("revoke")),
        no_store.add_record(done("purge")),
        no_store.get("key_1"),
        no_store.list_keys(),
        no_store.list_records(1),
    ]
    for verb in verbs:
        with pytest.raises(LedgerUnavailable) as failure:
            await verb
        assert failure.value.message == "The ledger of record does not answer."
