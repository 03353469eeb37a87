"""A quota store without free memory: reported in advance, and open calls come to their end."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx2
import redis

from service.usecases.background.eviction_warning import NEARLY_FULL_PROBLEM
from tests.support.gateway_site import ask, ask_all, await_true, site

DELAY = 2.0


def test_a_full_store_is_reported_and_open_calls_are_finished(tmp_path: Path, http: httpx2.Client) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    with site(folder, teams=1, limits="{}", delay=DELAY) as place, redis.Redis.from_url(place.store.url) as admin:
        (team,) = place.teams
        admin.config_set("maxmemory", str(int(admin.info("memory")["used_memory"] / 0.9)))
        with place.gateway() as gateway:
            gateway.await_logged("store unsafe", problem=NEARLY_FULL_PROBLEM)
            reply = http.get(f"{gateway.url}/health/ready")
            assert (reply.status_code, reply.json()["status"]) == (200, "degraded")
            assert reply.json()["problems"]["redis"].endswith("% of its memory is used")
            scraped = http.get(f"{gateway.url}/metrics").text
            (line,) = [line for line in scraped.splitlines() if line.startswith("gateway_redis_memory_used_ratio")]
            assert float(line.split()[1]) > 0.85
            admin.config_set("maxmemory", "0")
            asyncio.run(fill(place.store.url, gateway.url, team, lambda: len(place.vendor.requests) >= 1))
            place.settle(team)
            (entry,) = asyncio.run(place.booked(team))
            assert entry.status == "delivered"


async def fill(store: str, url: str, team: str, begun: Callable[[], bool]) -> None:
    """One call is under way when the store becomes full. The next is refused, and the first is delivered."""
    first = asyncio.create_task(ask_all([url], team, ["first"]))
    await asyncio.to_thread(await_true, begun)
    with redis.Redis.from_url(store) as admin:
        admin.config_set("maxmemory", "1")
    async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
        second = await ask(client, url, team, "second")
    assert (second.status, second.code) == (503, "state_unavailable")
    assert [answer.status for answer in await first] == [200]
