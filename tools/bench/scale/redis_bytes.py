"""Bytes of Redis: the records of `tools.bench.memory`, and a team with limits after one generation.

Rule: the difference of `used_memory` of a fresh embedded Valkey, divided by their number.
"""

import asyncio
import dataclasses
from pathlib import Path

from service.adapters.embedded_valkey import run_valkey
from service.domain.ledger import HoldState
from tests.support.quota_stores import open_quota_harness
from tools.bench.memory import ENDED, LIMITS, money, results, used

TEAM = "a team that has bought"


def spaces(folder: Path, holds: int, teams: int, result_count: int) -> dict[str, float]:
    """Return bytes by content."""
    with run_valkey(folder / "money") as url:
        sizes = asyncio.run(money(url, holds))
    with run_valkey(folder / "kept") as url:
        sizes |= asyncio.run(results(url, result_count))
    with run_valkey(folder / "teams") as url:
        return sizes | {TEAM: asyncio.run(_team(url, teams)) - sizes[ENDED]}


async def _team(url: str, count: int) -> float:
    """Measure a team: counters, an empty stream and a name, with one ended hold."""
    await _generate(url)  # loads the scripts first
    empty = await used(url)
    for _ in range(count):
        await _generate(url)
    return (await used(url) - empty) / count


async def _generate(url: str) -> None:
    """Generate one image for a new team."""
    async with open_quota_harness("real", url) as stage:
        await stage.ledger.register_teams([stage.team])
        await stage.rebuild()
        claim = stage.hold_request()
        admission = await stage.ledger.hold(stage.team, [claim], LIMITS, state=HoldState.SENT)
        posted = await stage.ledger.post(dataclasses.replace(claim.entry, held_at=admission.held_at))
        assert posted.outbox_id, "it was posted before"
        await stage.ledger.acknowledge(stage.team, [posted.outbox_id])
