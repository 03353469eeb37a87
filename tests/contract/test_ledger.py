"""The ledger: in memory, in SQLite, in PostgreSQL and behind PgBouncer."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from service.adapters.sql.database import MAX_CONNECTIONS, Database
from service.adapters.sql.ledger import CHUNK, MAX_LISTED, SqlLedger
from service.domain.errors import InvalidValue, LedgerUnavailable
from service.domain.ledger import Basis, Entry, EntryStatus
from service.usecases.ports.ledger import GROUPS, EntryFilter, Ledger, UsageQuery, UsageRow
from tests.fakes.ledger import FakeLedger, booked
from tests.support.profiles import examples

pytest_plugins = ["tests.support.databases"]

DAY = 86_400_000_000
NOON = 1_794_744_000_000_000  # 2026-11-15T12:00:00Z
MONTH = EntryFilter(since=1_793_491_200_000_000, until=1_793_491_200_000_000 + 30 * DAY)  # November 2026
EVER = EntryFilter(since=0, until=2**62)
FULL = booked(
    "full",
    operation="edit",
    n=4,
    cost=2**53 + 1,
    basis=Basis.ESTIMATED,
    status=EntryStatus.LOST,
    tier="auto",
    resolved_tier="xhigh",
    size="3840x2160",
    text_in=228,
    image_in=1450,
    text_cached=1,
    image_cached=2,
    text_out=3,
    image_out=13_342,
    saved=2**40,
    cache="joined",
    tags={"project": 'Käse \'n "quotes" \\ 🧀', "env": ""},
)


@pytest.fixture(params=["fake", "sqlite", "postgresql", "pgbouncer"])
async def sql_ledger(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> AsyncIterator[Ledger]:
    if request.param == "fake":
        yield FakeLedger()
        return
    database = Database(await asyncio.to_thread(new_database, request.param))
    yield SqlLedger(database)
    await database.close()


async def read(sql_ledger: Ledger, span: EntryFilter = EVER) -> list[Entry]:
    return [entry async for entry in sql_ledger.entries(span)]


async def asked(sql_ledger: Ledger, *by: str, span: EntryFilter = EVER) -> list[UsageRow]:
    return list(await sql_ledger.usage(UsageQuery(entry_filter=span, group_by=by)))


async def test_an_entry_comes_back_as_it_was(sql_ledger: Ledger) -> None:
    plain = booked("plain", resolved_tier=None)
    await sql_ledger.write([FULL, plain])
    assert await read(sql_ledger) == [FULL, plain]


async def test_a_hold_is_booked_once(sql_ledger: Ledger) -> None:
    await sql_ledger.write([booked("a", cost=1), booked("a", cost=2), booked("b")])
    await sql_ledger.write([booked("a", cost=3), booked("c")])
    assert [(entry.hold_id, entry.cost) for entry in await read(sql_ledger)] == [
        ("a", 1),
        ("b", 41_000_000),
        ("c", 41_000_000),
    ]


async def test_nothing_can_be_written(sql_ledger: Ledger) -> None:
    await sql_ledger.write([])
    assert await read(sql_ledger) == []


async def test_writers_of_the_same_entries_do_not_get_into_each_others_way(sql_ledger: Ledger) -> None:
    entries = [booked(f"h{number:03}") for number in range(200)]
    dice = random.Random(7)  # noqa: S311 (an order, not a secret)
    await asyncio.gather(*(sql_ledger.write(dice.sample(entries, 150)) for _ in range(16)), sql_ledger.write(entries))
    assert await read(sql_ledger) == entries


async def test_spent_is_by_scope_for_the_day_and_the_month_of_a_time(sql_ledger: Ledger) -> None:
    await sql_ledger.write(
        [
            booked("now", cost=1, held_at=NOON),
            booked("midnight", cost=2, held_at=NOON - DAY // 2, key="design-2", model="flux"),
            booked("yesterday", cost=4, held_at=NOON - DAY // 2 - 1, resolved_tier=None),
            booked("first", cost=8, held_at=MONTH.since, resolved_tier="high"),
            booked("last", cost=16, held_at=MONTH.until - 1),
            booked("october", cost=32, held_at=MONTH.since - 1),
            booked("december", cost=64, held_at=MONTH.until),
            booked("other", cost=128, held_at=NOON, team="ads"),
        ]
    )
    spent = await sql_ledger.spent("design", NOON)
    assert spent.at == NOON
    assert spent.day == {
        "team": 3,
        "key:design-1": 1,
        "key:design-2": 2,
        "model:gpt-image-2": 1,
        "model:flux": 2,
        "tier:medium": 3,
        "key:design-1:tier:medium": 1,
        "key:design-2:tier:medium": 2,
    }
    assert spent.month == {
        "team": 31,
        "key:design-1": 29,
        "key:design-2": 2,
        "model:gpt-image-2": 29,
        "model:flux": 2,
        "tier:medium": 19,
        "tier:high": 8,
        "key:design-1:tier:medium": 17,
        "key:design-2:tier:medium": 2,
        "key:design-1:tier:high": 8,
    }


async def test_who_spent_nothing_has_no_scopes(sql_ledger: Ledger) -> None:
    await sql_ledger.write([booked("hit", cost=0)])
    spent = await sql_ledger.spent("design", NOON)
    assert (spent.day, spent.month) == ({}, {})


async def test_settled_are_the_holds_with_an_entry(sql_ledger: Ledger) -> None:
    await sql_ledger.write([booked(f"h{number}") for number in range(3)])
    asked = {f"h{number}" for number in range(2, 2 * MAX_LISTED + 7)}
    assert set(await sql_ledger.find_settled(asked)) == {"h2"}
    assert set(await sql_ledger.find_settled([])) == set()


async def test_usage_adds_up(sql_ledger: Ledger) -> None:
    await sql_ledger.write(
        [
            FULL,
            booked("cheap", cost=5, basis=Basis.UNCONFIRMED, saved=7, n=2, text_out=1),
            booked("sure", cost=9, text_in=3),
        ]
    )
    assert await asked(sql_ledger) == [
        UsageRow(
            group=(),
            entries=3,
            images=7,
            cost=2**53 + 15,
            saved=2**40 + 7,
            uncertain=2**53 + 6,
            tokens_in=1681,
            tokens_out=13_346,
        )
    ]


@pytest.mark.parametrize("by", [(), ("team",), ("size",), ("day", "tag:project")])
async def test_usage_of_nothing_is_nothing(sql_ledger: Ledger, by: tuple[str, ...]) -> None:
    await sql_ledger.write([booked("elsewhere", held_at=MONTH.until)])
    assert await asked(sql_ledger, *by, span=MONTH) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("team", "design"),
        ("key", "design-1"),
        ("model", "gpt-image-2"),
        ("tier", "xhigh"),
        ("backend", "openai"),
        ("operation", "edit"),
        ("size", "3840x2160"),
        ("day", "2026-11-15"),
        ("month", "2026-11"),
        ("basis", "estimated"),
        ("cache", "joined"),
        ("status", "lost"),
        ("tag:project", 'Käse \'n "quotes" \\ 🧀'),
        ("tag:env", ""),
        ("tag:nobody-has-this", None),
    ],
)
async def test_usage_by_each_name(sql_ledger: Ledger, name: str, value: str | None) -> None:
    await sql_ledger.write([FULL])
    assert [row.group for row in await asked(sql_ledger, name)] == [(value,)]


def test_every_group_is_tried() -> None:
    parametrized = test_usage_by_each_name.pytestmark  # type: ignore[attr-defined]
    tried = {name for applied in parametrized for name, _ in applied.args[1]}
    assert tried >= GROUPS


async def test_usage_is_in_the_order_of_its_groups_and_what_has_none_is_first(sql_ledger: Ledger) -> None:
    tiers = ("low", None, "max", "Low", "élan", "high")
    await sql_ledger.write([booked(f"h{at}", resolved_tier=tier, n=at + 1) for at, tier in enumerate(tiers)])
    rows = await asked(sql_ledger, "tier", "team")
    assert [(row.group[0], row.images) for row in rows] == [
        (None, 2),
        ("Low", 4),
        ("high", 6),
        ("low", 1),
        ("max", 3),
        ("élan", 5),
    ]


async def test_a_span_begins_with_its_beginning_and_ends_before_its_end(sql_ledger: Ledger) -> None:
    times = (NOON - 1, NOON, NOON + 1, NOON + 2)
    await sql_ledger.write([booked(f"h{at}", held_at=time, n=10**at) for at, time in enumerate(times)])
    await sql_ledger.write([booked("other", held_at=NOON, team="ads", n=10_000)])
    span = EntryFilter(since=NOON, until=NOON + 2)
    for by in ((), ("team",), ("cache",)):
        assert sum(row.images for row in await asked(sql_ledger, *by, span=span)) == 10_110
        assert sum(row.images for row in await asked(sql_ledger, *by, span=replace(span, team="design"))) == 110
    assert [entry.hold_id for entry in await read(sql_ledger, span)] == ["h1", "other", "h2"]
    assert [entry.hold_id for entry in await read(sql_ledger, replace(span, team="ads"))] == ["other"]


async def test_a_team_may_ask_about_all_times(sql_ledger: Ledger) -> None:
    await sql_ledger.write([booked("early", held_at=0), booked("late", held_at=MONTH.until), booked("x", team="ads")])
    days = await asked(sql_ledger, "day", span=replace(EVER, team="design"))
    assert [row.group for row in days] == [("1970-01-01",), ("2026-12-01",)]


@pytest.mark.parametrize(
    "name", ["", "hold_id", "tags", "resolved_tier", "team; drop", "tag:", 'tag:a"b', "tag:a'b", "tag:" + "x" * 65]
)
async def test_usage_by_anything_else_is_refused(sql_ledger: Ledger, name: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        await asked(sql_ledger, "team", name)
    assert refused.value.param == "group_by"


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
async def test_entries_are_read_in_order_however_many_have_one_time(sql_ledger: Ledger, count: int) -> None:
    entries = [booked(f"h{number:05}", held_at=NOON + number // 700) for number in range(count)]
    dice = random.Random(7)  # noqa: S311 (an order, not a secret)
    await sql_ledger.write(dice.sample(entries, count))
    assert await read(sql_ledger) == entries


async def test_readers_in_the_middle_hold_nothing_back(sql_ledger: Ledger) -> None:
    await sql_ledger.write([booked(f"h{number}") for number in range(3)])
    readers = [sql_ledger.entries(EVER) for _ in range(2 * MAX_CONNECTIONS)]
    for reader in readers:
        await anext(reader)
    await sql_ledger.write([booked("while they read")])
    assert len(await read(sql_ledger)) == 4
    for reader in readers:
        async with aclosing(reader):  # type: ignore[type-var]
            pass


async def test_callers_that_go_away_take_nothing_with_them(sql_ledger: Ledger) -> None:
    entries = iter(booked(f"h{number}") for number in range(10_000))
    for attempt in range(60):
        task = asyncio.create_task(sql_ledger.write(list(islice(entries, 20))))
        for _ in range(attempt):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    written = len(await read(sql_ledger))
    assert written % 20 == 0
    await asyncio.gather(*(asked(sql_ledger) for _ in range(2 * MAX_CONNECTIONS)))


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
async def absent_ledger(request: pytest.FixtureRequest, absent_database: Callable[[str], str]) -> AsyncIterator[Ledger]:
    if request.param == "fake":
        fake = FakeLedger()
        fake.down = True
        yield fake
        return
    database = Database(absent_database(request.param))
    yield SqlLedger(database)
    await database.close()


async def test_books_that_are_down_say_so_and_nothing_else(absent_ledger: Ledger) -> None:
    verbs: list[Any] = [
        absent_ledger.write([FULL]),
        absent_ledger.spent("design", NOON),
        absent_ledger.find_settled(["h"]),
        asked(absent_ledger),
        read(absent_ledger),
    ]
    for verb in verbs:
        with pytest.raises(LedgerUnavailable) as failure:
            await verb
        assert failure.value.message == "The ledger of record does not answer."


few = some.sampled_from
entry = some.builds(
    booked,
    some.text("abc", min_size=1, max_size=3),
    team=few(["design", "ads"]),
    key=few(["k1", "k2"]),
    model=few(["gpt-image-2", "flux"]),
    backend=few(["openai", "together"]),
    operation=few(["generation", "edit"]),
    resolved_tier=few([None, "low", "high"]),
    size=few([None, "1024x1024"]),
    cache=few(["miss", "hit"]),
    basis=few(list(Basis)),
    status=few(list(EntryStatus)),
    n=some.integers(1, 10),
    cost=some.integers(0, 10**12),
    saved=some.integers(0, 10**12),
    text_in=some.integers(0, 10**6),
    image_out=some.integers(0, 10**6),
    tags=some.dictionaries(few(["project", "env"]), some.text(some.characters(exclude_characters="\0", codec="utf-8"))),
    held_at=some.one_of(
        some.integers(MONTH.since, MONTH.until), few([MONTH.since, MONTH.until, NOON, 0, MONTH.since - 1])
    ),
)
query = some.builds(
    UsageQuery,
    entry_filter=some.builds(
        EntryFilter,
        since=few([0, MONTH.since, NOON]),
        until=few([NOON, NOON + 1, MONTH.until, 2**62]),
        team=few([None, "design"]),
    ),
    group_by=some.lists(few([*sorted(GROUPS), "tag:project", "tag:env"]), max_size=4).map(tuple),
)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_sql_agrees_with_the_fake(kind: str, new_database: Callable[[str], str]) -> None:
    @settings(max_examples=examples(25), database=None)
    @given(some.lists(some.lists(entry, max_size=12), max_size=3), some.lists(query, min_size=1, max_size=5))
    def agrees(batches: list[list[Entry]], queries: list[UsageQuery]) -> None:
        asyncio.run(compared(new_database(kind), batches, queries))

    agrees()


async def compared(url: str, batches: list[list[Entry]], queries: list[UsageQuery]) -> None:
    database, fake = Database(url), FakeLedger()
    real = SqlLedger(database)
    for batch in batches:
        await real.write(batch)
        await fake.write(batch)
    for one in queries:
        assert await real.usage(one) == await fake.usage(one)
        assert await read(real, one.entry_filter) == await read(fake, one.entry_filter)
    for at in (0, NOON, MONTH.since):
        assert await real.spent("design", at) == await fake.spent("design", at)
    await database.close()
