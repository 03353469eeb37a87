"""`python -m tools.bench.memory`: bytes of Redis for a hold, an entry in the outbox and a cached result.

Rule: the difference of `used_memory` of a fresh embedded Valkey, divided by their number. Holds have four scopes and
five limits, as those of a team with limits of all kinds.
"""

import argparse
import asyncio
import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from service.adapters.embedded_valkey import run_valkey
from service.adapters.redis.client import connect, disconnect
from service.adapters.redis.result_store import RedisResultStore
from service.domain.generation import Generation
from service.domain.ledger import Entry, HoldRequest, HoldState
from service.domain.quota_limits import TEAM, Limit, Measure
from tests.support.quota_stores import QuotaHarness, open_quota_harness
from tests.support.result_stores import build_image, build_result
from tools.bench.measure import MEGABYTE

LIMITS = [Limit(TEAM, measure, 10**15) for measure in Measure]
TIMEOUT_SECONDS = 10.0


async def used(url: str) -> int:
    """Return the bytes that the server uses."""
    client = connect(url)
    try:
        return int((await client.info("memory"))["used_memory"])
    finally:
        await disconnect(client)


HOLD, WAITING, ENDED = (
    "an open hold",
    "one that has ended, its entry on its way",
    "one that has ended, its entry in the books",
)
CACHED = "a kept result of 2,000,000 bytes"


async def money(url: str, count: int) -> dict[str, float]:
    """Measure open holds, then entries in the outbox, then ended and written ones."""
    async with open_quota_harness("real", url) as stage:
        await stage.rebuild()
        await _end(stage, [stage.hold_request()])  # loads the scripts first
        claims = [stage.hold_request() for _ in range(count)]
        empty = await used(url)
        held = await _hold(stage, claims)
        opened = await used(url)
        await _post(stage, held)
        waiting = await used(url)
        await _write(stage)
        sizes = {HOLD: opened, WAITING: waiting, ENDED: await used(url)}
    return {name: (size - empty) / count for name, size in sizes.items()}


async def _end(stage: QuotaHarness, claims: Sequence[HoldRequest]) -> None:
    await _post(stage, await _hold(stage, claims))
    await _write(stage)


async def _hold(stage: QuotaHarness, claims: Sequence[HoldRequest]) -> list[Entry]:
    """Return the entries to post."""
    entries = []
    for claim in claims:
        admission = await stage.ledger.hold(stage.team, [claim], LIMITS, state=HoldState.SENT)
        entries.append(dataclasses.replace(claim.entry, held_at=admission.held_at))
    return entries


async def _post(stage: QuotaHarness, entries: Sequence[Entry]) -> None:
    for entry in entries:
        await stage.ledger.post(entry)


async def _write(stage: QuotaHarness) -> None:
    while waiting := await stage.ledger.read_outbox(stage.team, 1000):
        await stage.ledger.acknowledge(stage.team, [entry.outbox_id for entry in waiting])


async def results(url: str, count: int) -> dict[str, float]:
    """Measure results with one image of 2 MB."""
    store = RedisResultStore(url, max_bytes=32 * MEGABYTE, timeout_seconds=TIMEOUT_SECONDS)
    empty = await used(url)
    for number in range(count):
        pixels = Random(number).randbytes(2 * MEGABYTE)  # noqa: S311 (pixels, not secrets)
        await store.put("search", f"r{number}", build_result(generation=Generation(images=(build_image(pixels),))), 600)
    sizes = {CACHED: (await used(url) - empty) / count}
    await store.close()
    return sizes


async def measure(url: str, holds: int) -> None:
    """Print the table."""
    print("| what | bytes |\n|---|---|")
    for name, size in (await money(url, holds) | await results(url, 20)).items():
        print(f"| {name} | {size:.0f} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.memory")
    parser.add_argument("--holds", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as name, run_valkey(Path(name)) as url:
        asyncio.run(measure(url, options.holds))


if __name__ == "__main__":
    main()
