"""Bytes of Redis: the records of `tools.bench.memory`, and a team with limits after one generation.

Rule: the difference of `used_memory` of a fresh embedded Valkey, divided by their number.
"""

import asyncio
import dataclasses
from pathlib import Path

from service.adapters.embedded.valkey import run_valkey
from service.domain.ledger import HoldState
from tests.support.quota_stores import open_quota_harness
from tools.bench.memory import ENDED, LIMITS, money, results, used

TEAM = "a team that has bought"


def spaces(folder: Path, holds: int, teams: int, kept: int) -> dict[str, float]:
    """Return bytes by content."""
    with run_valkey(folder / "money") as url:
        found = asyncio.run(money(url, holds))
    with run_valkey(folder / "kept") as url:
        found |= asyncio.run(results(url, kept))
    with run_valkey(folder / "teams") as url:
        return found | {TEAM: asyncio.run(_team(url, teams)) - found[ENDED]}


async def _team(url: str, count: int) -> float:
    """Measure a team: counters, an empty stream and a name, with one ended hold."""
    await _buy(url)  # loads the scripts first
    empty = await used(url)
    for _ in range(count):
        await _buy(url)
    return (await used(url) - empty) / count


async def _buy(url: str) -> None:
    """Generate one image for a new team."""
    async with open_quota_harness("real", url) as stage:
        await stage.ledger.register_teams([stage.team])
        await stage.rebuild()
        claim = stage.claim()
        admission = await stage.ledger.hold(stage.team, [claim], LIMITS, state=HoldState.SENT)
        posted = await stage.ledger.post(dataclasses.replace(claim.entry, held_at=admission.held_at))
        assert posted.outbox_id, "it was posted before"
        await stage.ledger.acknowledge(stage.team, [posted.outbox_id])
