"""Cost of a request by the number of other requests that wait for the vendor.

Rule: one gateway, one team, an equal rate of requests at each level. Only the duration of the vendor's call differs.
Each level includes a round of lease renewals, which run every 20 s. Renewals are also measured alone.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from service.adapters.embedded_valkey import run_valkey
from service.domain.ledger import HoldState
from service.usecases.money.settlement import Intervals, Settlement
from service.usecases.ports.observer import NULL_OBSERVER
from tests.fakes.ledger import FakeLedger
from tests.support.quota_stores import open_quota_harness
from tools.bench.measure import MEGABYTE, Child, resident_bytes
from tools.bench.scale.figures import Flight, Renewal
from tools.bench.scale.site import gateways, stores, teams_text
from tools.bench.scale.steady import LARGE, SMALL, Load, steady

VENDOR = "tools.bench.scale.delayed_vendor"
NAMES = {SMALL: "1 KB", LARGE: "2 MB"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Levels to measure."""

    loads: Sequence[Load]
    renewals: Sequence[int]


FULL = Plan(
    loads=(
        *(Load(in_flight=count, per_second=100, seconds=12) for count in (1, 10, 100)),
        *(Load(in_flight=count, per_second=100, seconds=21) for count in (500, 1000, 2000)),
        *(Load(in_flight=count, per_second=30, seconds=10, image_bytes=LARGE) for count in (15, 300)),
    ),
    renewals=(100, 1000, 2000, 5000),
)
QUICK = Plan(
    loads=(
        *(Load(in_flight=count, per_second=30, seconds=2) for count in (1, 30)),
        Load(in_flight=10, per_second=10, seconds=1, image_bytes=LARGE),
    ),
    renewals=(100, 500),
)


def flights(plan: Plan, folder: Path, note: Callable[[str], None]) -> list[Flight]:
    """Measure level by level, on one gateway."""
    levels = []
    with (
        Child(VENDOR) as vendor,
        stores(folder) as shared,
        gateways(folder / "site", vendor.url, shared, teams_text(1)) as site,
    ):
        steady(site, Load(in_flight=4, per_second=20, seconds=1))  # warm-up of all that the first request makes
        idle = resident_bytes(site.own[0]) / MEGABYTE
        for load in plan.loads:
            seen = steady(site, load)
            note(f"{load.in_flight} in flight: {seen}")
            levels.append(
                Flight(
                    answer=NAMES[load.image_bytes],
                    in_flight=load.in_flight,
                    requests=seen.requests,
                    failed=seen.failed,
                    seconds=seen.seconds,
                    cpu=seen.cpu,
                    redis=seen.redis,
                    sql=seen.sql,
                    results=seen.results,
                    idle=idle,
                    peak=seen.peak,
                )
            )
    return levels


def renewals(plan: Plan, folder: Path) -> list[Renewal]:
    """Renew the leases of one team's open holds with the use case."""
    with run_valkey(folder / "renewals") as url:
        return [asyncio.run(_renewal(url, count)) for count in plan.renewals]


async def _renewal(url: str, count: int) -> Renewal:
    async with open_quota_harness("real", url) as stage:
        await stage.rebuild()
        keep = Settlement(
            quotas=stage.ledger,
            ledger=FakeLedger(),
            observer=NULL_OBSERVER,
            owner="bench",
            intervals=Intervals(sweep_seconds=3600),
        )
        for _ in range(count):
            claim = stage.hold_request()
            admission = await stage.ledger.hold(stage.team, [claim], [], state=HoldState.SENT)
            keep.track([claim], admission.held_at)
        await keep.extend_leases()  # loads the script first
        calls, server = _scripts(url)
        began = time.process_time()
        await keep.extend_leases()
        cpu = (time.process_time() - began) * 1000
        calls_then, server_then = _scripts(url)
    return Renewal(holds=count, calls=calls_then - calls, server=(server_then - server) / 1000, cpu=cpu)


def _scripts(url: str) -> tuple[int, int]:
    """Return the number of scripts that ran, and the server's microseconds in them."""
    with redis.Redis.from_url(url) as client:
        info: Any = client.info("commandstats")
    return info["cmdstat_evalsha"]["calls"], info["cmdstat_evalsha"]["usec"]
