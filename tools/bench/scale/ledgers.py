"""Speed of a ledger with ten million entries beside one with a million.

Rule: the database multiplies entries that `tools.bench.ledger` generates, without the port. Indexes are rebuilt
afterwards and are dense, so a ledger that grew entry by entry is somewhat larger. Then queries and writes go through
the port, without the gateway's time limits. CPU is that of PostgreSQL's processes. SQLite works in this process.
"""

import asyncio
import dataclasses
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]

from service.adapters.sql.database import Database
from service.adapters.sql.ledger import SqlLedger
from service.adapters.sql.migrate import migrate
from service.domain.ledger import Entry
from service.usecases.ports.ledger import EntryFilter
from tests.support.postgres import wheel_postgres
from tools.bench.ledger import BATCHES, DAY, FIELDS, SINCE, ask, made, values
from tools.bench.processes import sum_cpu_seconds
from tools.bench.scale.figures import Size, Step

DRAWN = 10_000  # entries that are copied, with ids and times of their own
OWN = {"hold_id", "request_id", "held_at", "posted_at"}
SPAN = 30 * DAY
POSTGRESQL, SQLITE = "PostgreSQL", "SQLite"
BY = (("team", "tier"), ("day",), ("backend",), ("tag:project",))
SPENT, ONE_DAY = "one team's counters, for a rebuild", "usage of one team, one day"
SETTLING_SECONDS = 2.0  # time for writes left over from the fill, and for their CPU
MIN_SECONDS = 60.0  # minimum time of a fill, also after `until`
OFTEN = 1_000_000  # number of entries above which a query runs once
BATCH_ROUNDS = {1: 40, 100: 10, 500: 6}
NAMES, PLACEHOLDERS = ", ".join(FIELDS), ", ".join("?" * len(FIELDS))
NONE_DRAWN = f"CREATE TEMP TABLE drawn AS SELECT {NAMES} FROM entries LIMIT 0"  # noqa: S608 (our own names)
POSTGRESQL_INDEXES = """SELECT indexname, indexdef FROM pg_indexes
  WHERE tablename = 'entries' AND indexname NOT IN (SELECT conname FROM pg_constraint)"""
POSTGRESQL_KEY = "SELECT conname FROM pg_constraint WHERE conrelid = 'entries'::regclass AND contype = 'p'"
SQLITE_PARTS = """SELECT type, name, sql FROM sqlite_master
  WHERE tbl_name = 'entries' AND type IN ('index', 'trigger') AND sql NOTNULL"""
DAILY = """INSERT INTO daily SELECT day, team, coalesce(resolved_tier, ''), model, key,
    count(*), sum(n), sum(cost), sum(saved), sum(CASE WHEN basis IN ('estimated', 'unconfirmed') THEN cost ELSE 0 END),
    sum(text_in + image_in), sum(text_out + image_out)
  FROM entries GROUP BY 1, 2, 3, 4, 5"""
_places = count(1)
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Numbers of entries, rising, and repetitions of each query."""

    entries: Sequence[int]
    rounds: int


FULL = Plan(entries=(1_000_000, 10_000_000), rounds=3)
QUICK = Plan(entries=(10_000, 100_000), rounds=1)


def ledgers(plan: Plan, folder: Path, until: float, note: Note) -> tuple[list[Step], list[Size]]:
    """Measure PostgreSQL, then SQLite. A fill that is incomplete at `until` (monotonic clock) is given up."""
    steps: list[Step] = []
    sizes: list[Size] = []
    with wheel_postgres(folder) as server:
        asyncio.run(migrate(server.url))
        had = 0
        for entries in plan.entries:
            bytes_ = asyncio.run(_filled(server.url, had, entries, until))
            if bytes_ is None:
                note(f"no time for PostgreSQL with {entries} entries")
                break
            sizes.append(Size(database=POSTGRESQL, entries=entries, bytes=bytes_))
            steps += asyncio.run(_measured(POSTGRESQL, server.url, entries, plan.rounds, server.pid, note))
            had = entries
    path = folder / "books.db"
    url = f"sqlite:///{path}"
    asyncio.run(migrate(url))
    had, a_million = 0, 0.0
    for entries in plan.entries:
        began = time.monotonic()
        if began + a_million * (entries - had) > until:
            note(f"no time for SQLite with {entries} entries")
            break
        fill_sqlite(path, had, entries)
        sizes.append(Size(database=SQLITE, entries=entries, bytes=path.stat().st_size))
        steps += asyncio.run(_measured(SQLITE, url, entries, plan.rounds, os.getpid(), note))
        a_million, had = (time.monotonic() - began) / (entries - had), entries
    return steps, sizes


def _copied(hold_id: str, request_id: str, first: int, last: int) -> str:
    """Build the SELECT of copy number `at`. Times are spread evenly over the month."""
    held_at = f"{SINCE} + (at - {first}) * {SPAN // (last - first)}"
    own = {
        "hold_id": hold_id,
        "request_id": request_id,
        "held_at": held_at,
        "posted_at": f"{held_at} + 9000000",
    }
    return ", ".join(own.get(name, name) for name in FIELDS)


async def _filled(url: str, had: int, entries: int, until: float) -> int | None:
    """Return the bytes of the filled database, or None if the fill was given up."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(max(MIN_SECONDS, until - time.monotonic())):
            return await fill_postgres(connection, had, entries)
    except TimeoutError:
        return None
    finally:
        connection.terminate()


async def fill_postgres(connection: asyncpg.Connection, had: int, entries: int) -> int:
    """Fill from `had` entries to `entries`. Returns the bytes of the database."""
    await connection.execute("ALTER SYSTEM SET max_wal_size = '16GB'")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.execute("SET maintenance_work_mem = '1GB'")
    copied = _copied("md5(at::text)", "'req_' || substr(md5('r' || at), 1, 24)", had, entries)
    series = f"generate_series({had}::bigint, {entries - 1}) at JOIN drawn ON place = 1 + at % {DRAWN}"
    indexes = await connection.fetch(POSTGRESQL_INDEXES)
    key = await connection.fetchval(POSTGRESQL_KEY)
    await connection.execute(f"{NONE_DRAWN}; ALTER TABLE drawn ADD place serial")
    await connection.copy_records_to_table("drawn", records=map(values, made(DRAWN)), columns=FIELDS)
    await connection.execute(f"ALTER TABLE entries DROP CONSTRAINT {key}")
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['indexname']}")
    await connection.execute(f"INSERT INTO entries ({NAMES}) SELECT {copied} FROM {series}")  # noqa: S608 (our own)
    await connection.execute(f"ALTER TABLE entries ADD CONSTRAINT {key} PRIMARY KEY (hold_id)")
    for index in indexes:
        await connection.execute(index["indexdef"])
    await connection.execute("DROP TABLE drawn")
    await connection.execute("VACUUM ANALYZE entries")
    return int(await connection.fetchval("SELECT pg_total_relation_size('entries')"))


def fill_sqlite(path: Path, had: int, entries: int) -> None:
    """Fill from `had` entries to `entries`, with the daily sums."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA cache_size = -1000000")
    connection.execute("PRAGMA synchronous = OFF")
    parts = connection.execute(SQLITE_PARTS).fetchall()
    with connection:
        for kind, name, _ in parts:
            connection.execute(f"DROP {kind} {name}")
        connection.execute(NONE_DRAWN)
        connection.executemany(f"INSERT INTO drawn VALUES ({PLACEHOLDERS})", map(values, made(DRAWN)))  # noqa: S608 (our own)
        connection.execute(_copies_in_sqlite(had, entries))
        connection.execute("DELETE FROM daily")
        connection.execute(DAILY)
        for _, _, sql in parts:
            connection.execute(sql)
        connection.execute("DROP TABLE drawn")
    connection.execute("ANALYZE")
    connection.close()


def _copies_in_sqlite(had: int, entries: int) -> str:
    hold_id = "printf('%08x%024x', (at * 2654435761) % 4294967296, at)"
    copied = _copied(hold_id, "printf('req_%024x', at)", had, entries)
    numbers = f"SELECT {had} UNION ALL SELECT at + 1 FROM numbers WHERE at + 1 < {entries}"  # noqa: S608 (our own)
    source = f"numbers JOIN drawn ON drawn.rowid = 1 + at % {DRAWN}"
    return f"WITH RECURSIVE numbers(at) AS ({numbers}) INSERT INTO entries ({NAMES}) SELECT {copied} FROM {source}"  # noqa: S608 (our own)


async def _measured(name: str, url: str, entries: int, rounds: int, pid: int, note: Note) -> list[Step]:
    database = Database(url, unlimited=True)
    ledger = SqlLedger(database)
    day = EntryFilter(since=SINCE + 15 * DAY, until=SINCE + 16 * DAY, team="team-7")
    questions: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        *((f"usage by {', '.join(by)}", partial(ledger.usage, ask(by))) for by in BY),
        (ONE_DAY, partial(ledger.usage, dataclasses.replace(ask(("key", "model")), entry_filter=day))),
        (SPENT, partial(ledger.spent, "team-7", SINCE + 15 * DAY)),
    ]
    await ledger.spent("team-8", SINCE)
    await asyncio.sleep(SETTLING_SECONDS)
    steps = []
    for what, act in questions:
        steps.append(await _step(name, entries, what, [act] * (rounds if entries <= OFTEN else 1), pid))
        note(str(steps[-1]))
    new = fresh()
    for size in BATCHES:
        batches = [partial(ledger.write, list(islice(new, size))) for _ in range(BATCH_ROUNDS[size])]
        steps.append(await _step(name, entries, f"write {size}", batches, pid))
        note(f"{name}, {entries}: {steps[-1].what}, {steps[-1].cpu:.1f} ms of CPU")
    await database.close()
    return steps


def fresh() -> Iterator[Entry]:
    """Generate entries that are in no ledger."""
    place = next(_places)
    return (dataclasses.replace(one, hold_id=f"{one.hold_id}-{place}") for one in made(DRAWN))


async def _step(name: str, entries: int, what: str, acts: Sequence[Callable[[], Awaitable[object]]], pid: int) -> Step:
    before, wall = sum_cpu_seconds([pid]), []
    for act in acts:
        began = time.perf_counter()
        await act()
        wall.append((time.perf_counter() - began) * 1000)
    return Step(
        database=name, entries=entries, what=what, wall=wall, cpu=(sum_cpu_seconds([pid]) - before) * 1000 / len(acts)
    )
