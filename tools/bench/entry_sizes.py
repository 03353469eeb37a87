"""`python -m tools.bench.entry_sizes`: bytes of one entry on disk, in SQLite and in PostgreSQL.

Rule: entries like those of `tools.bench.ledger` go into an empty ledger. Its growth, with indexes and daily sums, is
divided by their number. No query runs.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]

from service.adapters.sql.migrate import migrate
from tests.support.postgres import wheel_postgres
from tools.bench.ledger import fill_postgres, fill_sqlite


def in_sqlite(path: Path, count: int) -> float:
    """Return bytes of the file per entry."""
    asyncio.run(migrate(f"sqlite:///{path}"))
    before = path.stat().st_size
    asyncio.run(fill_sqlite(path, count))
    return (path.stat().st_size - before) / count


async def in_postgres(url: str, count: int) -> float:
    """Return bytes of the database per entry."""
    await migrate(url)
    before = await _size(url)
    await fill_postgres(url, count)
    return (await _size(url) - before) / count


async def _size(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT pg_database_size(current_database())"))
    finally:
        await connection.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.entry_sizes")
    parser.add_argument("--entries", type=int, default=100_000)
    options = parser.parse_args()
    print("| database | bytes for each entry |\n|---|---|")
    with tempfile.TemporaryDirectory(prefix="bench-rows-") as name:
        folder = Path(name)
        print(f"| SQLite | {in_sqlite(folder / 'books.db', options.entries):.0f} |", flush=True)
        with wheel_postgres(folder) as database:
            print(f"| PostgreSQL | {asyncio.run(in_postgres(database.url, options.entries)):.0f} |", flush=True)


if __name__ == "__main__":
    main()
