"""Operators and the cache: count and purge over HTTP and at a terminal, and a warning of a store that may evict."""

import asyncio
import json
import os
import pty
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from typer.testing import CliRunner, Result

from service.adapters.embedded_valkey import run_valkey
from service.adapters.sql.migrate import migrate
from service.commands.cli import app
from service.domain.team_access import key_digest
from tests.support.gateway import TIMEOUT_SECONDS, GatewayProcess, clean_environment
from tests.support.gateway_site import await_true

pytest_plugins = ["tests.support.databases"]

ADMIN = secrets.token_hex(32)
TEAMS = "teams:\n" + "".join(
    f"  {name}: {{keys: [{{id: {name}, sha256: {key_digest(f'igw_{name}')}}}]}}\n" for name in ("search", "ads")
)
LRU = {"maxmemory": "64mb", "maxmemory-policy": "allkeys-lru"}
BOUNDED = {"maxmemory": "64mb", "maxmemory-policy": "noeviction"}
EVICTS = "maxmemory-policy allkeys-lru: to make room it drops anything"
CROWDED = "results are kept there too and its memory is bounded"


@pytest.fixture
def settings(tmp_path: Path, config: Path) -> str:
    """Shipped settings with the cache on, and two teams."""
    folder = tmp_path / "config"
    shutil.copytree(config, folder)
    (folder / "teams.yaml").write_text(TEAMS)
    gateway = folder / "gateway.yaml"
    gateway.write_text(gateway.read_text().replace("  seconds: 0 #", "  seconds: 3600 #"))
    return str(folder)


def run_cache_command(environment: Mapping[str, str], *words: str) -> Result:
    """Run `image-gateway cache` at a terminal."""
    nothing = dict.fromkeys(("CACHE_REDIS_URL", "REDIS_URL", "DATABASE_URL"))
    return CliRunner().invoke(app, ["cache", *words], env={**nothing, **environment, "LOGNAME": "ada"})


class Site:
    """A gateway with its sandbox and the stores of an environment, and its callers."""

    def __init__(self, http: httpx2.Client, gateway: GatewayProcess, environment: dict[str, str]) -> None:
        self.gateway = gateway
        self._http = http
        self.environment = environment

    def draw(self, prompt: str, who: str = "search", model: str = "gpt-image-2") -> str:
        """Request an image. Returns its cache status."""
        reply = self._http.post(
            f"{self.gateway.url}/v1/images/generations",
            json={"prompt": prompt, "model": model, "size": "1024x1024", "quality": "low"},
            headers={"authorization": f"Bearer igw_{who}"},
        )
        assert reply.status_code == 200, reply.text
        return str(reply.headers["x-gateway-cache"])

    def fill(self) -> None:
        """Cache two results of search and one of ads, of two models."""
        for prompt, who, model in (("a", "search", "gpt-image-2"), ("b", "search", "gpt-image-1.5"), ("a", "ads", "")):
            assert self.draw(prompt, who, model or "gpt-image-2") == "miss"

    def admin(self, method: str, path: str = "/cache", **params: str) -> httpx2.Response:
        """Call the admin API."""
        return self._http.request(
            method,
            f"{self.gateway.url}/admin/v1{path}",
            params=params or None,
            headers={"authorization": f"Bearer {ADMIN}"},
        )

    def asked(self, method: str, **params: str) -> Any:
        """Return the cache in the admin API."""
        reply = self.admin(method, **params)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def says(self, *words: str) -> str:
        """Return the output of a successful `image-gateway cache`."""
        result = run_cache_command(self.environment, *words)
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        return result.stdout

    def counted(self, *words: str) -> list[str]:
        """Return the cells of `stats`."""
        header, line = self.says("stats", *words).splitlines()
        assert header.split() == ["team", "model", "results", "bytes"]
        return line.split()


@pytest.fixture(params=["embedded", "servers"])
def site(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    settings: str,
    new_database: Callable[[str], str],
    http: httpx2.Client,
) -> Iterator[Site]:
    environment = {
        "IMAGE_GATEWAY_CONFIG": settings,
        "ADMIN_API_KEY": ADMIN,
        "DATA_DIR": str(tmp_path / "data"),
    }
    with ExitStack() as stack:
        if request.param == "servers":
            environment["REDIS_URL"] = stack.enter_context(run_valkey(tmp_path / "state"))
            environment["CACHE_REDIS_URL"] = stack.enter_context(run_valkey(tmp_path / "results"))
            environment["DATABASE_URL"] = new_database("sqlite")
        gateway = stack.enter_context(GatewayProcess(tmp_path / "data", environment))
        yield Site(http, gateway, environment)


def test_cached_results_are_counted_and_purged_over_http(site: Site) -> None:
    site.fill()

    every = site.asked("GET")
    assert (every["object"], every["team"], every["model"], every["results"]) == ("cache", None, None, 3)
    assert every["bytes"] > 3000
    assert site.asked("GET", team="search")["results"] == 2
    assert site.asked("GET", model="gpt-image-2")["results"] == 2
    purged = site.asked("DELETE", team="search", model="gpt-image-2")
    assert purged == {"object": "cache", "team": "search", "model": "gpt-image-2", "purged": 1}
    assert [site.draw("a", "ads"), site.draw("b", model="gpt-image-1.5")] == ["hit", "hit"]
    assert site.draw("a") != "hit"
    left = site.asked("GET")["results"]
    assert left >= 2
    assert site.asked("DELETE", all="true")["purged"] == left
    assert (site.asked("GET")["results"], site.asked("GET")["bytes"]) == (0, 0)
    records = site.admin("GET", "/audit").json()["data"]
    assert [(record["actor"], record["action"], record["subject"], record["detail"]) for record in records] == [
        ("admin", "cache.purge", "cache", "every team; every model"),
        ("admin", "cache.purge", "cache", "team search; model gpt-image-2"),
    ]
    site.gateway.await_logged("request", path="/admin/v1/cache", method="DELETE", actor="admin", purged=left)


def test_cached_results_are_counted_and_purged_at_a_terminal(site: Site) -> None:
    site.fill()

    (row,) = json.loads(site.says("stats", "--output", "json"))
    assert (row["team"], row["model"], row["results"]) == (None, None, 3)
    every, of_team = site.counted(), site.counted("--team", "search", "--model", "gpt-image-1.5")
    assert every[:3] == ["all", "all", "3"]
    assert int(every[3].replace(",", "")) == site.asked("GET")["bytes"]
    assert of_team[:3] == ["search", "gpt-image-1.5", "1"]
    assert site.says("purge", "--team", "ads") == "forgot 1 result\n"
    assert site.counted("--team", "dev") == ["dev", "all", "0", "0"]
    assert (site.draw("a"), site.counted("--team", "ads")[2]) == ("hit", "0")
    assert site.says("purge", "--all", "--yes") == "forgot 2 results\n"
    assert site.draw("a") != "hit"
    site.says("purge", "--all", "--yes")
    assert site.says("purge", "--all", "--yes") == "forgot 0 results\n"
    record = site.admin("GET", "/audit", limit="4").json()["data"][3]
    assert (record["actor"], record["action"], record["detail"]) == ("cli:ada", "cache.purge", "team ads; every model")


@pytest.mark.parametrize("site", ["embedded"], indirect=True)
def test_a_purge_of_all_results_must_be_explicit(site: Site) -> None:
    site.fill()
    for params, param, code in (
        ({}, "all", "invalid_value"),
        ({"all": "false"}, "all", "invalid_value"),
        ({"all": "yes"}, "all", "invalid_value"),
        ({"all": "true", "team": "search"}, "all", "invalid_value"),
    ):
        reply = site.admin("DELETE", **params)
        error = reply.json()["error"]
        assert (reply.status_code, error["param"], error["code"]) == (400, param, code)
    assert "send all=true" in site.admin("DELETE").json()["error"]["message"]
    for words, reason in (
        ((), "Name a --team or a --model, or say --all"),
        (("--yes",), "Name a --team or a --model, or say --all"),
        (("--all", "--team", "search", "--yes"), "--all: goes without --team and --model."),
        (("--all",), "--yes: is needed with --all where there is no terminal to ask at."),
    ):
        result = run_cache_command(site.environment, "purge", *words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(f"image-gateway: {reason}")
    assert (site.asked("GET")["results"], site.admin("GET", "/audit").json()["data"]) == (3, [])


@pytest.mark.parametrize("site", ["embedded"], indirect=True)
def test_a_terminal_asks_before_it_purges_all_results(site: Site) -> None:
    site.fill()

    refused, output = at_a_terminal(site.environment, "n", "cache", "purge", "--all")
    assert refused == 2
    assert "Forget all 3 results (" in output
    assert "Nothing was forgotten." in output
    done, output = at_a_terminal(site.environment, "y", "cache", "purge", "--all")

    assert done == 0
    assert "forgot 3 results" in output


def at_a_terminal(environment: Mapping[str, str], answer: str, *words: str) -> tuple[int, str]:
    """Run a command with an answer at its prompt. Returns exit code and output."""
    child, screen = pty.openpty()
    with os.fdopen(child, "r+b", buffering=0) as terminal:
        done = subprocess.Popen(
            [sys.executable, "-m", "service", *words],
            stdin=screen,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=clean_environment(**environment),
            text=True,
        )
        os.close(screen)
        terminal.write(f"{answer}\n".encode())
        output, _ = done.communicate(timeout=TIMEOUT_SECONDS)
    return done.returncode, output


@pytest.mark.parametrize("site", ["embedded"], indirect=True)
def test_an_unknown_name_or_parameter_is_refused_by_name(site: Site) -> None:
    for method in ("GET", "DELETE"):
        for name, code in (("team", "invalid_value"), ("model", "invalid_value"), ("tier", "unknown_parameter")):
            reply = site.admin(method, **{name: "nobody"})
            error = reply.json()["error"]
            assert (reply.status_code, error["param"], error["code"]) == (400, name, code)
    for word in ("stats", "purge"):
        for name in ("team", "model"):
            result = run_cache_command(site.environment, word, f"--{name}", "nobody")
            assert (result.exit_code, result.stdout) == (2, "")
            assert result.stderr.startswith(f"image-gateway: {name}: There is no such {name}")
    assert site.admin("GET", "/audit").json()["data"] == []


@pytest.mark.parametrize("site", ["embedded"], indirect=True)
def test_the_command_refuses_an_embedded_cache_without_a_gateway(site: Site, tmp_path: Path) -> None:
    site.gateway.signal()
    assert site.gateway.wait() == 0

    for words in (("stats",), ("purge", "--all", "--yes")):
        result = run_cache_command(site.environment, *words)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert result.stderr.startswith(
            f"image-gateway: No gateway is running on {tmp_path / 'data'}, so nothing is kept"
        )


def test_a_command_in_the_wrong_folder_creates_no_files(tmp_path: Path, config: Path) -> None:
    elsewhere = tmp_path / "elsewhere"

    result = run_cache_command(
        {"IMAGE_GATEWAY_CONFIG": str(config)}, "purge", "--all", "--yes", "--data-dir", str(elsewhere)
    )

    assert (result.exit_code, elsewhere.exists()) == (2, False)


def test_a_purge_creates_no_ledger_for_its_record(tmp_path: Path, config: Path) -> None:
    with run_valkey(tmp_path / "results") as url:
        environment = {"IMAGE_GATEWAY_CONFIG": str(config), "DATA_DIR": str(tmp_path / "data"), "CACHE_REDIS_URL": url}

        result = run_cache_command(environment, "purge", "--all", "--yes")

    assert result.exit_code == 2
    assert "There is no ledger: the SQLite file" in result.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "variable",
    ["CACHE_REDIS_URL", "REDIS_URL"],
)
def test_an_unreachable_cache_is_reported_at_a_terminal(tmp_path: Path, config: Path, variable: str) -> None:
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(config),
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path}/ledger.db",
        variable: "redis://127.0.0.1:9",
    }
    asyncio.run(migrate(environment["DATABASE_URL"]))
    for words in (("stats",), ("purge", "--all", "--yes")):
        result = run_cache_command(environment, *words)
        assert (result.exit_code, result.stdout, result.stderr) == (
            2,
            "",
            "image-gateway: The cache does not answer.\n",
        )


def test_an_unreachable_cache_is_a_503(
    tmp_path: Path, settings: str, new_database: Callable[[str], str], http: httpx2.Client
) -> None:
    with run_valkey(tmp_path / "state") as url:
        environment = {
            "IMAGE_GATEWAY_CONFIG": settings,
            "ADMIN_API_KEY": ADMIN,
            "REDIS_URL": url,
            "CACHE_REDIS_URL": "redis://127.0.0.1:9",
            "DATABASE_URL": new_database("sqlite"),
        }
        with GatewayProcess(tmp_path / "data", environment) as gateway:
            for method in ("GET", "DELETE"):
                reply = Site(http, gateway, {}).admin(method, **({"all": "true"} if method == "DELETE" else {}))
                assert (reply.status_code, reply.json()["error"]["code"]) == (503, "state_unavailable")
                assert reply.headers["x-should-retry"] == "true"


WARNED = [
    (LRU, True, [EVICTS]),
    (LRU, False, [EVICTS, CROWDED]),
    (BOUNDED, False, [CROWDED]),
    (BOUNDED, True, []),
]


@pytest.mark.parametrize(("options", "apart", "problems"), WARNED, ids=["evicts", "both", "crowded", "safe"])
def test_a_quota_store_that_may_evict_is_logged_as_a_warning(
    tmp_path: Path,
    settings: str,
    new_database: Callable[[str], str],
    options: dict[str, str],
    apart: bool,
    problems: list[str],
) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(run_valkey(tmp_path / "state", options))
        results = stack.enter_context(run_valkey(tmp_path / "results", LRU)) if apart else f"{url}?db=1"
        environment = {
            "IMAGE_GATEWAY_CONFIG": settings,
            "REDIS_URL": url,
            "CACHE_REDIS_URL": results,
            "DATABASE_URL": new_database("sqlite"),
        }
        store = stack.enter_context(redis.Redis.from_url(url))
        gateway = stack.enter_context(GatewayProcess(tmp_path / "data", environment))
        await_true(lambda: any(client["cmd"] == "info" for client in store.client_list()))
        gateway.signal()
        assert gateway.wait() == 0
    lines = [line for line in gateway.logged() if line["event"] == "store unsafe"]
    assert [line["problem"].split(":")[0] for line in lines] == [problem.split(":")[0] for problem in problems]
    assert {(line["level"], line["store"]) for line in lines} <= {("warning", "REDIS_URL")}
    assert all("CACHE_REDIS_URL" in line["advice"] or "noeviction" in line["advice"] for line in lines)
