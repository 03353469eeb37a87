"""`python -m tests.bench.memory`: bytes of a Redis that a hold, an entry on its way and a kept result take.

Rule: what a fresh embedded Valkey says of its memory (`used_memory`) before and after, divided by their number. Holds
have four scopes and five limits, as those of a team that is limited in every way.
"""

import argparse
import asyncio
import dataclasses
import tempfile
from pathlib import Path
from random import Random

from service.adapters.embedded import embedded_valkey
from service.adapters.redis.results import RedisResults
from service.adapters.state import connect, disconnect
from service.domain.ledger import HoldState
from service.domain.limits import TEAM, Limit, Measure
from service.domain.outcomes import Purchase
from tests.bench.measure import MEGABYTE
from tests.contract.keeping import picture, result
from tests.contract.ledgers import Stage, stage_on

LIMITS = [Limit(TEAM, measure, 10**15) for measure in Measure]
PATIENCE = 10.0


async def used(url: str) -> int:
    """Bytes that the server says that it uses."""
    client = connect(url)
    try:
        return int((await client.info("memory"))["used_memory"])
    finally:
        await disconnect(client)


async def money(url: str, count: int) -> None:
    """Holds that are open, then as entries on their way, then ended and written."""
    async with stage_on("real", url) as stage:
        await stage.rebuild()
        claims = [stage.claim() for _ in range(count)]
        empty = await used(url)
        held = [await stage.ledger.hold(stage.team, [claim], LIMITS, state=HoldState.SENT) for claim in claims]
        opened = await used(url)
        print(f"| an open hold | {(opened - empty) / count:.0f} |", flush=True)
        for claim, admission in zip(claims, held, strict=True):
            await stage.ledger.post(dataclasses.replace(claim.entry, held_at=admission.held_at))
        print(f"| one that has ended, its entry on its way | {(await used(url) - empty) / count:.0f} |", flush=True)
        await _write(stage)
        print(f"| one that has ended, its entry in the books | {(await used(url) - empty) / count:.0f} |", flush=True)


async def _write(stage: Stage) -> None:
    while waiting := await stage.ledger.waiting(stage.team, 1000):
        await stage.ledger.written(stage.team, [each.ticket for each in waiting])


async def results(url: str, count: int) -> None:
    """Results of one picture of 2 MB."""
    store = RedisResults(url, most_bytes=32 * MEGABYTE, patience_seconds=PATIENCE)
    empty = await used(url)
    for number in range(count):
        pixels = Random(number).randbytes(2 * MEGABYTE)  # noqa: S311 (pixels, not secrets)
        await store.put("search", f"r{number}", result(purchase=Purchase(pictures=(picture(pixels),))), 600)
    print(f"| a kept result of 2,000,000 bytes | {(await used(url) - empty) / count:.0f} |", flush=True)
    await store.close()


async def measure(url: str, holds: int) -> None:
    """Print the table."""
    print("| what | bytes |\n|---|---|")
    await money(url, holds)
    await results(url, 20)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.memory")
    parser.add_argument("--holds", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as name, embedded_valkey(Path(name)) as url:
        asyncio.run(measure(url, options.holds))


if __name__ == "__main__":
    main()
