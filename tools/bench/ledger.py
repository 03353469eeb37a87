"""`python -m tools.bench.ledger`: speed of the ledger with a million entries of one month.

Rule: equal entries go into a SQLite file and into PostgreSQL without `write`. `write` is measured afterwards with other
entries. Then each query runs several times through the port. Figures are milliseconds of wall time: minimum and
maximum.
"""

import argparse
import asyncio
import dataclasses
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from service.adapters.sql.database import Database
from service.adapters.sql.ledger import SqlLedger
from service.adapters.sql.migrate import migrate
from service.domain.ledger import Basis, Entry, EntryStatus
from service.usecases.ports.ledger import EntryFilter, UsageQuery
from tests.support.postgres import real_postgres, wheel_postgres

SINCE = 1_793_491_200_000_000  # 2026-11-01
DAY = 86_400_000_000
MONTH = EntryFilter(since=SINCE, until=SINCE + 30 * DAY)
TEAMS, KEYS_EACH, PROJECTS = 40, 5, 50
MODELS = ("gpt-image-2", "gpt-image-1.5", "gpt-image-1-mini", "flux-2-pro", "flux-2-dev", "qwen-image")
TIERS = ("low", "medium", "high", "xhigh", "max")
SIZES = ("1024x1024", "1536x1024", "1024x1536", "2048x2048", "3840x2160", None)
BASES = (Basis.USAGE,) * 6 + (Basis.TABLE, Basis.ESTIMATED, Basis.UNCONFIRMED, Basis.CACHE)
QUESTIONS = (
    ("team", "tier"),
    ("day",),
    ("month",),
    ("model",),
    ("team", "key", "model"),
    ("backend",),
    ("tag:project",),
)
BATCHES = (1, 100, 500)
FIELDS = tuple(field.name for field in dataclasses.fields(Entry))


def made(count: int) -> Iterator[Entry]:
    """Generate entries in the order of their times. Values are spread evenly, so no index profits from a pattern."""
    dice = random.Random(1)  # noqa: S311 (figures, not secrets)
    for number in range(count):
        team, tier = f"team-{dice.randrange(TEAMS)}", dice.choice(TIERS)
        held_at = SINCE + number * 30 * DAY // count
        yield Entry(
            hold_id=f"{dice.getrandbits(128):032x}",
            request_id=f"req_{dice.getrandbits(96):024x}",
            team=team,
            key=f"{team}-key-{dice.randrange(KEYS_EACH)}",
            operation=dice.choice(("generation", "edit")),
            model=dice.choice(MODELS),
            backend=dice.choice(("openai", "together")),
            upstream_model="gpt-image-2-2026-04-21",
            price_version="2026-10-01",
            output_format="png",
            n=dice.randrange(1, 5),
            cost=dice.randrange(400_000_000),
            basis=dice.choice(BASES),
            status=EntryStatus.DELIVERED,
            tier=tier,
            resolved_tier=tier,
            size=dice.choice(SIZES),
            text_in=dice.randrange(500),
            image_out=dice.randrange(14_000),
            cache=dice.choice(("miss", "hit", "bypass")),
            tags={"project": f"project-{dice.randrange(PROJECTS)}", "env": "production"},
            held_at=held_at,
            posted_at=held_at + 9_000_000,
        )


def values(entry: Entry) -> tuple[Any, ...]:
    """Convert an entry to the parameters of both drivers."""
    return tuple(json.dumps(one) if name == "tags" else one for name, one in zip(FIELDS, of(entry), strict=True))


def of(entry: Entry) -> tuple[Any, ...]:
    """Return the fields of an entry, in order."""
    return tuple(getattr(entry, name) for name in FIELDS)


async def fill_sqlite(path: Path, count: int) -> None:
    """Insert all entries in one transaction, without the port."""
    with sqlite3.connect(path) as connection:
        holes = ",".join("?" * len(FIELDS))
        connection.executemany(f"INSERT INTO entries ({','.join(FIELDS)}) VALUES ({holes})", map(values, made(count)))  # noqa: S608 (our own names)
        connection.execute("ANALYZE")
    connection.close()


async def fill_postgres(url: str, count: int) -> None:
    """Copy all entries with COPY, without the port. Then run the ANALYZE that autovacuum would run."""
    connection = await asyncpg.connect(url)
    rows = map(values, made(count))
    while chunk := list(islice(rows, 50_000)):
        await connection.copy_records_to_table("entries", records=chunk, columns=FIELDS)
    await connection.execute("VACUUM ANALYZE entries")
    await connection.close()


async def measure(name: str, url: str, fill: Callable[[], Awaitable[None]], options: argparse.Namespace) -> None:
    """Fill one database and print its rows of the table."""
    await migrate(url)
    started = time.perf_counter()
    await fill()
    print(f"{name}: {options.entries} entries in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    database = Database(url)
    ledger = SqlLedger(database)
    for by in QUESTIONS:
        await row(name, f"usage by {', '.join(by)}", options.rounds, partial(ledger.usage, ask(by)))
    await row(name, "usage by tier, one team", options.rounds, lambda: ledger.usage(ask(("tier",), "team-7")))
    await row(name, "usage by tag, one team", options.rounds, lambda: ledger.usage(ask(("tag:project",), "team-7")))
    await row(name, "spent, one team", options.rounds, lambda: ledger.spent("team-7", SINCE + 15 * DAY))
    await row(name, "read 100,000 entries", 1, lambda: read(ledger, 100_000))
    fresh = made(options.entries + 100_000)
    others = (dataclasses.replace(one, hold_id=f"new-{one.hold_id}") for one in fresh)
    for size in BATCHES:
        batches = [list(islice(others, size)) for _ in range(max(20, 5_000 // size if size > 1 else 200))]
        await writes(name, ledger, batches)
    await database.close()


def ask(by: tuple[str, ...], team: str | None = None) -> UsageQuery:
    """Build a query for the whole month."""
    return UsageQuery(entry_filter=dataclasses.replace(MONTH, team=team), group_by=by)


async def read(ledger: SqlLedger, most: int) -> None:
    """Read the first entries of the month."""
    left = most
    async for _ in ledger.entries(MONTH):
        left -= 1
        if not left:
            return


async def row(name: str, what: str, rounds: int, act: Callable[[], Awaitable[object]]) -> None:
    """Measure a query several times and print one row."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        await act()
        taken.append((time.perf_counter() - started) * 1000)
    print(f"| {name} | {what} | {min(taken):.0f}-{max(taken):.0f} | |", flush=True)


async def writes(name: str, ledger: SqlLedger, batches: Sequence[Sequence[Entry]]) -> None:
    """Write batches one after the other. Prints milliseconds per batch and entries per second."""
    taken = []
    for batch in batches:
        started = time.perf_counter()
        await ledger.write(batch)
        taken.append((time.perf_counter() - started) * 1000)
    rate = sum(map(len, batches)) / sum(taken) * 1000
    taken.sort()
    print(f"| {name} | write {len(batches[0])} | {taken[len(taken) // 2]:.1f} (median) | {rate:.0f} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.ledger")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--container", action="store_true", help="PostgreSQL as the suite chooses it, not the wheel's")
    options = parser.parse_args()
    print("| database | what | ms | entries/s |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="bench-books-") as name, ExitStack() as stack:
        folder = Path(name)
        path = folder / "books.db"
        asyncio.run(measure("SQLite", f"sqlite:///{path}", lambda: fill_sqlite(path, options.entries), options))
        if options.container:
            url = stack.enter_context(real_postgres(folder))
        else:
            url = stack.enter_context(wheel_postgres(folder)).url
        asyncio.run(measure("PostgreSQL", url, lambda: fill_postgres(url, options.entries), options))


if __name__ == "__main__":
    main()
