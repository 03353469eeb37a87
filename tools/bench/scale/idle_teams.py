"""Cost of idle teams, and cost of a request by the number of teams.

Rule: a fresh gateway and a fresh Redis for each number of teams. Requests go to all teams in turn, at one pace.
Background work is measured without requests: the leader's sweep, and the gauges of metrics.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from tests.support.gateway import becomes_true
from tools.bench.measure import MEGABYTE, Child, resident_bytes
from tools.bench.scale.figures import Crowd
from tools.bench.scale.flights import VENDOR
from tools.bench.scale.site import Site, gateways, get, stores, teams_text
from tools.bench.scale.steady import Load, each_once, steady

AT_ONCE = 8
LOOK_SECONDS = 0.05
PAGES = 10
RELOADED = "settings reloaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Numbers of teams. `rest` seconds have no requests and should hold several sweeps, which are 5 s apart."""

    teams: Sequence[int]
    per_second: float
    seconds: float
    rest: float


FULL = Plan(teams=(1, 50, 500, 5000), per_second=60, seconds=8, rest=11)
QUICK = Plan(teams=(1, 50), per_second=30, seconds=1.5, rest=5)


def crowds(plan: Plan, folder: Path, note: Callable[[str], None]) -> list[Crowd]:
    """Measure one number after the other."""
    runs = []
    with Child(VENDOR) as vendor:
        for count in plan.teams:
            place = folder / f"crowd-{count}"
            place.mkdir()
            with (
                stores(place) as shared,
                gateways(place / "site", vendor.url, shared, teams_text(count)) as site,
                redis.Redis.from_url(shared.money) as money,
            ):
                runs.append(_crowd(site, plan, count, money))
                note(f"{count} teams: {runs[-1]}")
    return runs


def _crowd(site: Site, plan: Plan, count: int, money: "redis.Redis") -> Crowd:
    fresh = resident_bytes(site.own[0]) / MEGABYTE
    before = site.cpu()
    failed = each_once(site, count, AT_ONCE)
    first = [(now - was) / count for now, was in zip(site.cpu(), before, strict=True)]
    load = Load(in_flight=round(plan.per_second / 10), per_second=plan.per_second, seconds=plan.seconds, teams=count)
    seen = steady(site, load)
    cpu, store, scripts, commands = _idle(site, plan.rest, money)
    page_bytes, page_cpu = _page(site)
    reload_cpu, silence = _reload(site)
    return Crowd(
        teams=count,
        failed=failed + seen.failed,
        per_second=seen.requests / seen.seconds,
        start=site.start,
        fresh=fresh,
        resident=resident_bytes(site.own[0]) / MEGABYTE,
        first=first[0],
        first_redis=first[1],
        cpu=seen.cpu,
        redis=seen.redis,
        idle_cpu=cpu,
        idle_redis=store,
        scripts=scripts,
        commands=commands,
        reload_cpu=reload_cpu,
        silence=silence,
        page_bytes=page_bytes,
        page_cpu=page_cpu,
    )


def _idle(site: Site, seconds: float, money: "redis.Redis") -> tuple[float, float, float, float]:
    """Measure background work per second: CPU of gateway and Redis, scripts and commands."""
    before, scripts, commands, began = site.cpu(), *_counts(money), time.monotonic()
    time.sleep(seconds)
    after, scripts_then, commands_then, took = site.cpu(), *_counts(money), time.monotonic() - began
    used = (after[0] - before[0], after[1] - before[1], scripts_then - scripts, commands_then - commands)
    cpu, store, run, commanded = (amount / took for amount in used)
    return cpu, store, run, commanded


def _counts(money: "redis.Redis") -> tuple[int, int]:
    info: Any = money.info("everything")
    return info["cmdstat_evalsha"]["calls"], info["total_commands_processed"]


def _page(site: Site) -> tuple[int, float]:
    """Return bytes of /metrics, and the CPU of a scrape."""
    before, length = site.cpu()[0], 0
    for _ in range(PAGES):
        length = len(get(f"{site.urls[0]}/metrics"))
    return length, (site.cpu()[0] - before) / PAGES


def _reload(site: Site) -> tuple[float, float]:
    """Return CPU seconds until changed teams are in force, and the longest wait for a health check meanwhile."""
    log = site.folder.parent / "gateway-0" / "log"
    before, longest, stopped = site.cpu()[0], 0.0, threading.Event()

    def look() -> None:
        nonlocal longest
        while not stopped.is_set():
            began = time.monotonic()
            get(f"{site.urls[0]}/health/live")
            longest = max(longest, time.monotonic() - began)
            stopped.wait(LOOK_SECONDS)

    looking = threading.Thread(target=look)
    looking.start()
    with (site.folder / "teams.yaml").open("a") as file:
        file.write("# changed\n")
    try:
        assert any(becomes_true(lambda: RELOADED in log.read_text()) for _ in range(5)), "not reloaded"
    finally:
        stopped.set()
        looking.join()
    return (site.cpu()[0] - before) / 1000, longest
