"""This gateway with everything on: key, limits, hold, ledger, metrics, cache lookup and flight.

Rule: it runs as in production, with two Valkeys: one for quotas and one for results, which evicts at 512 MB. PostgreSQL
or SQLite has the ledger. Each case has its own backend, because a backend has one address. Images are not written to
disk, and results up to 16 MB are cached. Timeouts of its stores are two seconds, because the machine is busy.
"""

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from service.adapters.embedded_valkey import CACHE_OPTIONS, STATE_OPTIONS, run_valkey
from service.adapters.sql.migrate import migrate
from service.domain.team_access import key_digest
from tests.support.postgres import wheel_postgres
from tools.bench.cases import EVERY, SLOW, Case
from tools.bench.peers.nginx import KEY
from tools.bench.peers.peer import Peer, bearer
from tools.bench.peers.running import free_port, running

CONFIG = Path(__file__).parents[3] / "config"
TEAM_KEY = "igw_bench"
PLENTY = 1_000_000  # the maximum that settings accept
RESULTS = {**CACHE_OPTIONS, "maxmemory": "512mb"}
MONEY = {**STATE_OPTIONS, "maxmemory": "1gb"}
LIMITS = {"requests_per_minute": PLENTY, "images_per_minute": PLENTY, "usd_per_day": 1_000_000}


@contextmanager
def with_postgres(folder: Path, vendor: str, slow: str) -> Iterator[Peer]:
    """Run the gateway with its ledger in PostgreSQL."""
    place = folder / "gateway"
    with wheel_postgres(place) as server, _gateway("gateway", place, vendor, slow, server.url, (server.pid,)) as peer:
        yield peer


@contextmanager
def with_sqlite(folder: Path, vendor: str, slow: str) -> Iterator[Peer]:
    """Run the gateway with its ledger in a file. Then the CPU of SQL is its own."""
    place = folder / "gateway-sqlite"
    place.mkdir()
    with _gateway("gateway, SQLite", place, vendor, slow, f"sqlite:///{place}/ledger.db", ()) as peer:
        yield peer


@contextmanager
def _gateway(name: str, place: Path, vendor: str, slow: str, ledger: str, sql: Sequence[int]) -> Iterator[Peer]:
    place.mkdir(exist_ok=True)
    write_settings(place / "config", vendor, slow)
    asyncio.run(migrate(ledger))
    with ExitStack() as stack:
        before = _children()
        money = stack.enter_context(run_valkey(place / "money", MONEY))
        results = stack.enter_context(run_valkey(place / "kept", RESULTS))
        redis = tuple(_children() - before)
        port, environment = free_port(), _environment(place, money, results, ledger)
        pid = stack.enter_context(running(_command(port, place), port, place / "log", environment))
        url = f"http://127.0.0.1:{port}"
        yield Peer(name=name, url=url, headers=bearer(TEAM_KEY), own=(pid,), redis=redis, sql=sql)


STILL = {"ledger": {"write_seconds": 3600, "sweep_seconds": 3600}, "metrics": {"collect_seconds": 60}}


@contextmanager
def still_gateway(folder: Path, vendor: str) -> Iterator[tuple[Sequence[str], int, Mapping[str, str]]]:
    """Yield its command, port and environment with all timers off, while its stores run."""
    folder.mkdir()
    write_settings(folder / "config", vendor, vendor, STILL)
    ledger = f"sqlite:///{folder}/ledger.db"
    asyncio.run(migrate(ledger))
    with run_valkey(folder / "money", MONEY) as money, run_valkey(folder / "kept", RESULTS) as results:
        port = free_port()
        yield _command(port, folder), port, _environment(folder, money, results, ledger)


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def _command(port: int, place: Path) -> Sequence[str]:
    where = ("--host", "127.0.0.1", "--port", str(port), "--data-dir", str(place / "data"))
    return (sys.executable, "-m", "service", "serve", *where)


def _environment(place: Path, money: str, results: str, ledger: str) -> Mapping[str, str]:
    return {
        "IMAGE_GATEWAY_CONFIG": str(place / "config"),
        "OPENAI_API_KEY": KEY,
        "REDIS_URL": money,
        "CACHE_REDIS_URL": results,
        "DATABASE_URL": ledger,
    }


def write_settings(folder: Path, vendor: str, slow: str, more: Mapping[str, Any] | None = None) -> None:
    """Write gateway.yaml, models.yaml and teams.yaml for the cases."""
    folder.mkdir(parents=True)
    yaml = YAML(typ="safe", pure=True)
    models = yaml.load(CONFIG / "models.yaml")
    shipped = models["models"]["gpt-image-2"]
    offered = {case.model: _model(shipped, case) for case in EVERY}
    models |= {"default_model": EVERY[0].model, "models": offered, "retired": {}}
    gateway = {
        "backends": {case.slug: _backend(case, slow if case is SLOW else vendor) for case in EVERY},
        "images": {"keep": "linked"},
        "cache": {"seconds": 3600},
        "redis": {"timeout_seconds": 2},
        "database": {"one_machine": True},
        **(more or {}),
    }
    key = {"id": "bench", "sha256": key_digest(TEAM_KEY)}
    teams = {"teams": {"bench": {"limits": LIMITS, "keys": [key]}}}
    for name, document in (("gateway", gateway), ("models", models), ("teams", teams)):
        with (folder / f"{name}.yaml").open("w") as file:
            yaml.dump(document, file)


def _backend(case: Case, vendor: str) -> dict[str, Any]:
    address = f"{vendor}/{case.slug}/v1"
    return {"dialect": "openai", "base_url": address, "api_key_env": "OPENAI_API_KEY", "max_concurrent_calls": 1000}


def _model(shipped: dict[str, Any], case: Case) -> dict[str, Any]:
    routes = [{**route, "backend": case.slug} for route in shipped["routes"] if route["backend"] == "openai"]
    return {**shipped, "aliases": [], "routes": routes}
