"""Cost of gateways that share a Redis Cluster, and their limits together.

Rule: three primaries, each with a replica, and PostgreSQL. One, two and four gateways have equal callers, spread over
gateways and teams. All share this machine's cores, so throughput does not grow with gateways. CPU per request must not
grow. Then callers at all gateways request more images than a team's daily budget pays. The number of served images is
exactly the number that the budget pays.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.adapters.embedded_valkey import run_valkey
from service.adapters.sql.migrate import migrate
from tests.support.cluster import valkey_cluster
from tests.support.postgres import wheel_postgres
from tools.bench.measure import Child
from tools.bench.scale.callers import Tally, asking, call
from tools.bench.scale.figures import Shared
from tools.bench.scale.flights import VENDOR
from tools.bench.scale.site import CACHE, CENTS, Site, Stores, children, gateways, request, teams_text
from tools.bench.scale.steady import SMALL, each_once, print_failures

TEAMS, AT_ONCE = 24, 16
AFTERWARDS_SECONDS = 0.5  # entries are written every 0.2 s
REFUSED = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Numbers of gateways, requests for each number, and a daily budget in dollars."""

    gateways: Sequence[int]
    requests: int
    dollars: int


FULL = Plan(gateways=(1, 2, 4), requests=2000, dollars=3)
QUICK = Plan(gateways=(1, 2), requests=60, dollars=1)


def clusters(plan: Plan, folder: Path, note: Callable[[str], None]) -> list[Shared]:
    """Measure one number after the other, on one cluster."""
    before, runs = children(), []
    with (
        valkey_cluster(folder / "cluster", replicas=True) as money,
        wheel_postgres(folder) as server,
        Child(VENDOR) as vendor,
    ):
        nodes = [pid for pid in children() - before if pid not in {server.pid, vendor.pid}]
        asyncio.run(migrate(server.url))
        with run_valkey(folder / "kept", CACHE) as cache:
            shared = Stores(money=money, cache=cache, ledger=server.url, redis=nodes, sql=(server.pid,), results=())
            for count in plan.gateways:
                teams = teams_text(TEAMS, {f"poor-{count}": plan.dollars})
                with gateways(folder / f"site-{count}", vendor.url, shared, teams, count) as site:
                    runs.append(_shared(site, plan, count))
                note(f"{count} gateways: {runs[-1]}")
    return runs


def _shared(site: Site, plan: Plan, count: int) -> Shared:
    for url in site.urls:  # warm-up of all that the first request makes
        each_once(Site(urls=[url], own=site.own, stores=site.stores, folder=site.folder, start=0), TEAMS, AT_ONCE)
    before, began = site.cpu(), time.monotonic()
    tally = _ask(site, plan.requests, [f"team-{number}" for number in range(TEAMS)], count)
    seconds = time.monotonic() - began
    print_failures(tally)
    time.sleep(AFTERWARDS_SECONDS)
    cpu, redis, sql, _ = ((now - was) / plan.requests for now, was in zip(site.cpu(), before, strict=True))
    budget = plan.dollars * CENTS
    poor = _ask(site, 2 * budget, [f"poor-{count}"], count)
    assert set(poor.statuses) <= {200, REFUSED}, f"answers by status: {dict(poor.statuses)}"
    return Shared(
        gateways=count,
        requests=plan.requests,
        failed=tally.failed,
        seconds=seconds,
        cpu=cpu,
        redis=redis,
        sql=sql,
        budget=budget,
        asked=2 * budget,
        admitted=poor.served,
    )


def _ask(site: Site, most: int, teams: Sequence[str], count: int) -> Tally:
    """Send requests from a fixed number of callers, for any number of gateways."""
    tally, first = Tally(), 100_000_000 * count

    def body(number: int) -> bytes:
        return request(teams[number % len(teams)], first + number, SMALL, 0)

    asyncio.run(call(site.urls, asking(body, most), AT_ONCE, 0, tally))
    return tally
