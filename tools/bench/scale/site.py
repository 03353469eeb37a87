"""Gateways as in production, with PostgreSQL, a Redis for quotas, one for results, and any number of teams.

Rule: keys, limits in requests, images and dollars, holds, ledger, metrics, log and cache are on. Images are not written
to disk. An image has a price, so a quote equals the booked cost. Timeouts of stores are two seconds, because the
machine is busy. The end of a block ends its processes.
"""

import asyncio
import json
import shutil
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from service.adapters.embedded_valkey import CACHE_OPTIONS, STATE_OPTIONS, run_valkey
from service.adapters.sql.migrate import migrate
from service.domain.team_access import key_digest
from tests.support.gateway import becomes_true
from tests.support.postgres import wheel_postgres
from tools.bench.peers.running import free_port, running
from tools.bench.processes import sum_cpu_seconds

CONFIG = Path(__file__).parents[3] / "config"
ROUTE = "{ backend: openai, model: gpt-image-2, carries: gpt-image-2, formats: [png, jpeg, webp], price: gpt-image-2 }"
PRICE = "prices:\n  bench: [{ effective: 2026-01-01, source: bench, read: 2026-01-01, per_image: 0.01 }]\n"
CACHE = {**CACHE_OPTIONS, "maxmemory": "512mb"}
CENTS = 100  # images per dollar
PLENTY = 1_000_000
TEAM = """  {name}:
    limits: {{ requests_per_minute: 1000000, images_per_minute: 1000000, usd_per_day: {dollars} }}
    keys:
      - id: {name}
        sha256: {digest}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Addresses, and the processes behind them. `money` may be a cluster. `results` is the Redis of the cache."""

    money: str
    cache: str
    ledger: str
    redis: Sequence[int]
    sql: Sequence[int]
    results: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Serving gateways, with their stores. `start` is the CPU of the first gateway until it was ready."""

    urls: Sequence[str]
    own: Sequence[int]
    stores: Stores
    folder: Path
    start: float

    def cpu(self) -> Sequence[float]:
        """Return milliseconds so far: of gateways, of the Redis for quotas, of PostgreSQL, of the Redis for results."""
        groups = (self.own, self.stores.redis, self.stores.sql, self.stores.results)
        return [1000 * sum_cpu_seconds(pids) for pids in groups]


def request(team: str, number: int, image_bytes: int, milliseconds: int) -> bytes:
    """Build a request for an image of a size after a delay. Each number has its own prompt."""
    prompt = f"number {number:09d}, picture of {image_bytes} bytes after {milliseconds} ms"
    body = json.dumps({"model": "gpt-image-2", "prompt": prompt, "quality": "low"})
    lines = (
        "POST /v1/images/generations HTTP/1.1",
        "host: localhost",
        f"authorization: Bearer igw_{team}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    )
    return "\r\n".join((*lines, "", body)).encode()


def teams_text(count: int, budgets: dict[str, int] | None = None) -> str:
    """Build teams.yaml: team-0 and so on with ample limits, and more teams with daily budgets in dollars."""
    dollars = {f"team-{number}": PLENTY for number in range(count)} | (budgets or {})
    lines = (TEAM.format(name=name, dollars=most, digest=key_digest(f"igw_{name}")) for name, most in dollars.items())
    return "teams:\n" + "".join(lines)


def write_settings(folder: Path, vendor: str, teams: str) -> None:
    """Write the three files."""
    folder.mkdir(parents=True)
    backend = {
        "dialect": "openai",
        "base_url": f"{vendor}/v1",
        "api_key_env": "OPENAI_API_KEY",
        "max_concurrent_calls": 5000,
    }
    gateway = {
        "backends": {"openai": backend},
        "images": {"keep": "linked"},
        "cache": {"seconds": 3600},
        "redis": {"timeout_seconds": 2},
        "serving": {"grace_seconds": 0},
    }
    models = (CONFIG / "models.yaml").read_text()
    assert ROUTE in models
    models = models.replace(ROUTE, ROUTE.replace("price: gpt-image-2", "price: bench")).replace("prices:\n", PRICE, 1)
    (folder / "gateway.yaml").write_text(json.dumps(gateway))
    (folder / "models.yaml").write_text(models)
    (folder / "teams.yaml").write_text(teams)


@contextmanager
def stores(folder: Path) -> Iterator[Stores]:
    """Run one Redis for quotas, one for results, and PostgreSQL."""
    with wheel_postgres(folder) as server, ExitStack() as stack:
        asyncio.run(migrate(server.url))
        before = children()
        cache = stack.enter_context(run_valkey(folder / "kept", CACHE))
        between = children()
        money = stack.enter_context(run_valkey(folder / "money", {**STATE_OPTIONS, "maxmemory": "4gb"}))
        results, redis = [*between - before], [*children() - between]
        yield Stores(money=money, cache=cache, ledger=server.url, redis=redis, sql=(server.pid,), results=results)


def children() -> set[int]:
    """Return the child processes of this one."""
    return {child.pid for child in psutil.Process().children()}


@contextmanager
def gateways(folder: Path, vendor: str, shared: Stores, teams: str, count: int = 1) -> Iterator[Site]:
    """Start gateways, and wait until they are ready."""
    write_settings(folder / "config", vendor, teams)
    with ExitStack() as stack:
        servers = [stack.enter_context(_gateway(folder / f"gateway-{number}", shared)) for number in range(count)]
        urls, own = [f"http://127.0.0.1:{port}" for port, _ in servers], [pid for _, pid in servers]
        assert all(becomes_true(lambda url=url: ready(url)) for url in urls), "a gateway is not ready"  # type: ignore[misc]
        yield Site(urls=urls, own=own, stores=shared, folder=folder / "config", start=sum_cpu_seconds(own[:1]))
    shutil.rmtree(folder)


@contextmanager
def _gateway(place: Path, shared: Stores) -> Iterator[tuple[int, int]]:
    place.mkdir()
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(place.parent / "config"),
        "OPENAI_API_KEY": "sk-bench",
        "REDIS_URL": shared.money,
        "CACHE_REDIS_URL": shared.cache,
        "DATABASE_URL": shared.ledger,
    }
    port = free_port()
    where = ("--host", "127.0.0.1", "--port", str(port), "--data-dir", str(place / "data"))
    with running((sys.executable, "-m", "service", "serve", *where), port, place / "log", environment) as pid:
        yield port, pid


def ready(url: str) -> bool:
    """Return whether a gateway is ready."""
    try:
        return bool(get(f"{url}/health/ready"))
    except OSError:
        return False


def get(url: str) -> bytes:
    """Get a page. Raises `OSError` if there is none."""
    with urllib.request.urlopen(url, timeout=120) as answer:  # noqa: S310 (our own server)
        page: bytes = answer.read()
        return page
