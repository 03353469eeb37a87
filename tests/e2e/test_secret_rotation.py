"""Secrets that are rotated in their files: a new value takes effect within seconds, and no request fails.

Rule: as in production, the gateway is a process, and the vendor accepts certain keys only. Valkey and PostgreSQL have
passwords that change while they run. Files are swapped as kubelet swaps them.
"""

import asyncio
import itertools
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]
import httpx2
import pytest
import redis

from service.adapters.embedded_valkey import run_valkey
from service.domain.signed_urls import sign
from service.domain.team_access import key_digest
from tests.e2e.replicas import PATH, TEAMS, Start, ask, build_body, change
from tests.simulators.server import Simulator
from tests.support.gateway import TIMEOUT_SECONDS, GatewayProcess, becomes_true
from tests.support.mounted_secrets import Mount
from tests.support.postgres import WheelPostgres

pytest_plugins = ["tests.support.databases"]

ROLE, DATABASE = "gateway", "rotated"
WORKERS = 4
SECRETS = ("vendor", "admin", "signing", "store", "ledger")


def made() -> str:
    """Generate a secret."""
    return secrets.token_hex(32)


def asked(url: str, statement: str) -> Any:
    """Run a statement in PostgreSQL. Returns the first value."""

    async def ask() -> Any:
        connection = await asyncpg.connect(url)
        answer = await connection.fetchval(statement)
        await connection.close()
        return answer

    return asyncio.run(ask())


@dataclass
class Load:
    """Requests of several workers, one after another, from enter to exit. `statuses` are their outcomes."""

    gateway: GatewayProcess
    statuses: list[int] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _begun: list[int] = field(default_factory=lambda: [0] * WORKERS)
    _turned: threading.Condition = field(default_factory=threading.Condition)

    def await_new_requests(self) -> None:
        """Wait until every request under way, and one more of each worker, has ended."""
        with self._turned:
            goal = [count + 2 for count in self._begun]
            over = self._turned.wait_for(lambda: all(map(int.__ge__, self._begun, goal)), TIMEOUT_SECONDS)
        assert over, self.statuses[-WORKERS:]

    def _work(self, worker: int) -> None:
        headers = {"authorization": "Bearer igw_search"}
        with httpx2.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as http:
            for number in itertools.count():
                if self._over.is_set():
                    return
                with self._turned:
                    self._begun[worker] += 1
                    self._turned.notify_all()
                reply = http.post(self.gateway.url + PATH, json=build_body(f"fox {worker} {number}"), headers=headers)
                self.statuses.append(reply.status_code)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._work, args=(worker,)) for worker in range(WORKERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(TIMEOUT_SECONDS)


@dataclass
class Site:
    """A gateway with all its secrets in files, and the services that they authenticate to."""

    gateway: GatewayProcess
    mount: Mount
    http: httpx2.Client
    vendor: Simulator
    store: redis.Redis
    superuser: str

    def await_renewed(self, *names: str) -> None:
        for name in names:
            self.gateway.await_logged("secret renewed", secret=f"{name}_FILE")

    def admin(self, key: str) -> int:
        """Return the status of the admin API for a key."""
        headers = {"authorization": f"Bearer {key}"}
        return self.http.get(f"{self.gateway.url}/admin/v1/backends", headers=headers).status_code

    def drawn(self, prompt: str = "a fox") -> httpx2.Response:
        return ask(self.http, self.gateway, prompt)

    def linked(self, prompt: str) -> str:
        """Return the URL of a new image."""
        reply = ask(self.http, self.gateway, prompt, more={"response_format": "url"})
        return str(reply.json()["data"][0]["url"])

    def metric(self, name: str) -> float:
        match = re.search(rf"^gateway_{name} (\S+)$", self.http.get(f"{self.gateway.url}/metrics").text, re.MULTILINE)
        assert match, name
        return float(match[1])

    def in_ledger(self) -> int:
        """Return the number of entries."""
        return int(asked(self.superuser, "SELECT count(*) FROM entries"))

    def sql(self, statement: str) -> None:
        asked(self.superuser, statement)


@pytest.fixture(scope="module")
def superuser(wheel_server: WheelPostgres) -> str:
    """The database's address for one role, which needs its password. The superuser of this one needs none."""
    rules = Path(asked(wheel_server.url, "SHOW hba_file"))
    rules.write_text(f"local all {ROLE} scram-sha-256\n" + rules.read_text())
    for statement in (
        f"CREATE ROLE {ROLE} LOGIN",
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
        "SELECT pg_reload_conf()",
    ):
        asked(wheel_server.url, statement)
    return str(urlunsplit(urlsplit(wheel_server.url)._replace(path=f"/{DATABASE}")))


def address(superuser: str, password: str) -> str:
    """Build the gateway's address of the ledger."""
    parts = urlsplit(superuser)
    return f"postgresql://{ROLE}:{password}@/{DATABASE}?host={parse_qs(parts.query)['host'][0]}"


@contextmanager
def running(
    folder: Path, start: Start, http: httpx2.Client, vendor: Simulator, superuser: str
) -> Iterator[tuple[Site, dict[str, str]]]:
    """Run a site. Yields it with its first secrets."""
    old = {name: made() for name in SECRETS}
    asked(superuser, f"ALTER ROLE {ROLE} PASSWORD '{old['ledger']}'")
    vendor.defaults = replace(vendor.defaults, keys=frozenset({old["vendor"]}), delay=0.02)
    mount = Mount(folder / "secrets", **(old | {"ledger": address(superuser, old["ledger"])}))
    with run_valkey(folder / "valkey") as url, redis.Redis.from_url(url) as store:
        store.config_set("requirepass", old["store"])
        store.auth(old["store"])
        environment = {
            "OPENAI_API_KEY": "",
            "OPENAI_API_KEY_FILE": str(mount / "vendor"),
            "ADMIN_API_KEY_FILE": str(mount / "admin"),
            "URL_SIGNING_KEY": "",
            "URL_SIGNING_KEY_FILE": str(mount / "signing"),
            "REDIS_URL": url,
            "REDIS_PASSWORD_FILE": str(mount / "store"),
            "DATABASE_URL": "",
            "DATABASE_URL_FILE": str(mount / "ledger"),
        }
        with start(**environment) as gateway:
            yield Site(gateway, mount, http, vendor, store, superuser), old


@pytest.fixture
def site(
    tmp_path: Path, start: Start, http: httpx2.Client, openai_sim: Simulator, superuser: str
) -> Iterator[tuple[Site, dict[str, str]]]:
    change(tmp_path, "max_open_seconds: 0.001 #", "max_open_seconds: 60 #")
    with running(tmp_path, start, http, openai_sim, superuser) as pair:
        yield pair


def test_a_rotation_in_the_right_order_fails_no_request(site: tuple[Site, dict[str, str]]) -> None:
    at, old = site
    new = {name: made() for name in SECRETS}
    link = at.linked("a fox to look at")
    with Load(at.gateway) as load:
        load.await_new_requests()
        # First each server accepts both values, then the files change, and in the end the old value goes.
        at.vendor.defaults = replace(at.vendor.defaults, keys=frozenset({old["vendor"], new["vendor"]}))
        at.store.acl_setuser("default", enabled=True, passwords=f"+{new['store']}")
        at.sql(f"ALTER ROLE {ROLE} PASSWORD '{new['ledger']}'")
        load.await_new_requests()
        at.mount.swap(**(new | {"ledger": address(at.superuser, new["ledger"])}))
        at.await_renewed("OPENAI_API_KEY", "REDIS_PASSWORD", "DATABASE_URL", "URL_SIGNING_KEY", "ADMIN_API_KEY")
        load.await_new_requests()
        at.vendor.defaults = replace(at.vendor.defaults, keys=frozenset({new["vendor"]}))
        at.store.acl_setuser("default", enabled=True, passwords=f"-{old['store']}")
        load.await_new_requests()
    assert set(load.statuses) == {200}
    assert len(load.statuses) >= 6 * WORKERS

    assert (at.admin(old["admin"]), at.admin(new["admin"])) == (401, 200)
    assert at.http.get(link).status_code == 200
    signed_url = urlsplit(at.linked("another fox"))
    query = {name: value for name, (value,) in parse_qs(signed_url.query).items()}
    assert query["signature"] == sign(new["signing"].encode(), signed_url.path.rpartition("/")[2], query["expires"])

    # Every connection is made again, with the passwords that the files have now.
    at.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")  # noqa: S608 (our own name)
    at.store.client_kill_filter(_type="normal", skipme=True)
    assert at.drawn("a last fox").status_code == 200
    count = len(load.statuses) + 3
    assert becomes_true(lambda: at.in_ledger() == count)
    assert at.metric("settings_last_reload_successful") == 1
    assert not [line for line in at.gateway.lines for secret in (*old.values(), *new.values()) if secret in line]


def test_a_key_that_is_revoked_first_fails_requests_until_the_new_key_is_read(
    site: tuple[Site, dict[str, str]],
) -> None:
    at, _ = site
    new = made()
    at.vendor.defaults = replace(at.vendor.defaults, keys=frozenset({new}))
    refused = at.drawn()
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "upstream_auth_error")
    opened = at.gateway.await_logged("breaker", state="open", reason="auth_failed")
    assert opened["open_seconds"] > 50
    calls = len(at.vendor.requests)
    assert at.drawn().status_code == 502
    assert len(at.vendor.requests) == calls

    at.mount.swap(vendor=new)
    at.await_renewed("OPENAI_API_KEY")
    assert at.drawn().status_code == 200
    at.gateway.await_logged("breaker", state="closed")


def test_an_unusable_secret_is_refused_and_the_previous_one_stays(
    site: tuple[Site, dict[str, str]], tmp_path: Path
) -> None:
    at, old = site
    at.mount.swap(vendor="\n", admin="igw_search", store="two\nlines", ledger=address("x://y?host=/elsewhere", "hush"))
    for name, reason in {
        "OPENAI_API_KEY": "is empty",
        "ADMIN_API_KEY": "must have at least 32 characters",
        "REDIS_PASSWORD": "has more than one line",
        "DATABASE_URL": "names another place",
    }.items():
        refusal = at.gateway.await_logged("secret refused", secret=f"{name}_FILE", level="error")
        assert reason in refusal["problem"]
        assert str(tmp_path / "secrets") in refusal["problem"]
    assert at.metric("settings_last_reload_successful") == 0
    assert (at.drawn().status_code, at.admin(old["admin"])) == (200, 200)
    assert not [line for line in at.gateway.lines if "hush" in line or "igw_search" in line]

    at.mount.swap(**(old | {"ledger": address(at.superuser, old["ledger"])}))
    at.await_renewed("OPENAI_API_KEY", "ADMIN_API_KEY", "REDIS_PASSWORD", "DATABASE_URL")
    assert at.metric("settings_last_reload_successful") == 1


def test_a_key_of_a_team_is_refused_as_the_admin_key(site: tuple[Site, dict[str, str]], tmp_path: Path) -> None:
    at, old = site
    teams, key = tmp_path / "config" / "teams.yaml", made()
    team = "  third: {{keys: [{{id: third, sha256: {}}}]}}\n"
    teams.write_text(TEAMS + team.format(key_digest(key)))
    at.gateway.await_logged("settings reloaded")
    at.mount.swap(admin=key)
    line = at.gateway.await_logged("secret refused", secret="ADMIN_API_KEY_FILE")
    assert "is the key of a team as well" in line["problem"]
    assert (at.admin(key), at.admin(old["admin"])) == (401, 200)

    teams.write_text(TEAMS + team.format(key_digest(old["admin"])))
    line = at.gateway.await_logged("settings refused")
    assert "is the key of a team as well" in line["problem"]
    assert at.drawn().status_code == 200
