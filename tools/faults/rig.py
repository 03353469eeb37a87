"""One gateway in front of every vendor of the table. It is observed by the caller, the vendor and the ledger.

Rule: every fault has two backends and two teams of its own. One team may use nothing else, the other may fall back on
the healthy backend. So neither money nor health of one row reaches another. Rows run side by side, except those about
memory. The vendor counts calls, the ledger is read, the breaker's state is requested: nothing is inferred.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2

from service.domain.ledger import Basis, Entry
from service.domain.team_access import key_digest
from tests.simulators import openai
from tests.support.gateway import GatewayProcess
from tests.support.gateway_site import CONFIG, Site, Valkey
from tools.bench.measure import peak_bytes
from tools.faults.hosts import FIELDS, Arrivals
from tools.faults.rows import AMPLE, LEAST, MORE, WAIT, Booked, Fault, Outcome, Took

AT_ONCE = 10  # rows that run side by side
PATH = "/v1/images/generations"
ADMIN = secrets.token_hex(32)
ROUTE = "{ backend: %s, model: gpt-image-2, carries: gpt-image-2, formats: [png, jpeg, webp], price: gpt-image-2 }"
OPEN_SECONDS = 60  # an open breaker stays open until the run is over
SECOND = "openai"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A fault, alone or beside a healthy backend."""

    fault: Fault
    beside: bool

    @property
    def name(self) -> str:
        """Name of its backend, its team and its prompt."""
        return f"{self.fault.name}-{'beside' if self.beside else 'alone'}"

    @property
    def expected(self) -> Outcome:
        return self.fault.beside if self.beside else self.fault.alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Observed outcome of a fault, its seconds, and the maximum number of bytes that the gateway grew by."""

    setup: Setup
    outcome: Outcome
    seconds: float
    grown: int = 0

    @property
    def is_expected(self) -> bool:
        """Whether the outcome, its time and its memory are as expected."""
        most = self.setup.fault.max_bytes
        return self.outcome == self.setup.expected and self.seconds < AMPLE and (most is None or self.grown < most)


@dataclass(frozen=True, slots=True)
class Rig:
    """The parts that observe a row."""

    site: Site
    gateway: GatewayProcess
    client: httpx2.AsyncClient
    arrivals: Mapping[str, Arrivals]


async def seen(folder: Path, faults: Sequence[Fault]) -> list[Observation]:
    """Run every fault, alone and beside a healthy backend, in the order of the faults."""
    setups = [Setup(fault=fault, beside=beside) for fault in faults for beside in (False, True)]
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(setup: Setup) -> Observation:
        async with gate:
            return await _seen(rig, setup)

    async with _rig(folder, setups) as rig:
        light = [setup for setup in setups if setup.fault.max_bytes is None]
        observations = {seen.setup.name: seen for seen in await asyncio.gather(*map(one, light))}
        for setup in setups:
            if setup.name not in observations:
                _forget_peak(rig.gateway.pid)
                observations[setup.name] = await _seen(rig, setup)
    return [observations[setup.name] for setup in setups]


@asynccontextmanager
async def _rig(folder: Path, setups: Sequence[Setup]) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        arrivals = {setup.name: Arrivals() for setup in setups}
        stages = {setup.name: setup.fault.stage(arrivals[setup.name]) for setup in setups}
        addresses = {name: await stack.enter_async_context(stage) for name, stage in stages.items()}
        write_settings(folder / "config", setups, addresses)
        store = stack.enter_context(Valkey(folder / "valkey"))
        second = stack.enter_context(openai.simulator())
        database_url = f"sqlite:///{folder / 'ledger.db'}"
        site = Site(folder, store, second, database_url, [setup.name for setup in setups])
        gateway = stack.enter_context(site.gateway(ADMIN_API_KEY=ADMIN))
        client = await stack.enter_async_context(httpx2.AsyncClient(timeout=60, trust_env=False))
        yield Rig(site, gateway, client, arrivals)


def write_settings(folder: Path, setups: Sequence[Setup], addresses: Mapping[str, str]) -> None:
    """Write a backend and a team for every set-up. The healthy backend is the last route of the model."""
    folder.mkdir(parents=True)
    backends = {setup.name: _backend(addresses[setup.name], deadline_seconds=setup.fault.deadline) for setup in setups}
    gateway = {
        "backends": backends | {SECOND: _backend("https://api.openai.com/v1")},
        "cache": {"seconds": 0},
        "routing": {"wait_seconds": WAIT},
        "health": {"open_seconds": OPEN_SECONDS},
        "redis": {"timeout_seconds": 2},
        "database": {"one_machine": True},
        "serving": {"grace_seconds": 0},
    }
    teams = {setup.name: _team(setup) for setup in setups}
    (folder / "gateway.yaml").write_text(json.dumps(gateway))
    (folder / "teams.yaml").write_text(json.dumps({"teams": teams}))
    models, last = (CONFIG / "models.yaml").read_text(), f"      - {ROUTE % SECOND}\n"
    assert models.count(last) == 1
    routes = "".join(f"      - {ROUTE % setup.name}\n" for setup in setups)
    (folder / "models.yaml").write_text(models.replace(last, routes + last))


def _backend(address: str, **more: float) -> dict[str, object]:
    return {"dialect": "openai", "base_url": address, "api_key_env": "OPENAI_API_KEY", **more}


def _team(setup: Setup) -> dict[str, object]:
    key = {"id": setup.name, "sha256": key_digest(f"igw_{setup.name}")}
    return {"backends": [setup.name, *([SECOND] if setup.beside else [])], "keys": [key]}


def _forget_peak(pid: int) -> None:
    """Reset the peak of memory; see proc(5)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


async def _seen(rig: Rig, setup: Setup) -> Observation:
    """Send one request, observe its outcome, and then send `MORE` like it."""
    before = peak_bytes(rig.gateway.pid)
    began = time.monotonic()
    reply = await _ask(rig, setup, 0)
    seconds, grown = time.monotonic() - began, peak_bytes(rig.gateway.pid) - before
    outcome = await _observe(rig, setup, reply, seconds)
    for number in range(1, MORE + 1):
        reply = await _ask(rig, setup, number)
    breaker = await breaker_state(rig, setup.name)
    outcome = replace(outcome, later=breaker, then=_said(reply))
    return Observation(setup=setup, outcome=outcome, seconds=seconds, grown=grown)


async def _ask(rig: Rig, setup: Setup, number: int) -> httpx2.Response:
    headers = {"authorization": f"Bearer igw_{setup.name}", "x-request-id": f"{setup.name}-{number}"}
    prompt = f"{setup.name} {number}" if number else setup.name  # an equal prompt would get the stored failure
    return await rig.client.post(rig.gateway.url + PATH, json=FIELDS | {"prompt": prompt}, headers=headers)


def _said(reply: httpx2.Response) -> str:
    return str(reply.status_code) if reply.is_success else f"{reply.status_code} {reply.json()['error']['code']}"


async def _observe(rig: Rig, setup: Setup, reply: httpx2.Response, seconds: float) -> Outcome:
    request_id = f"{setup.name}-0"
    await asyncio.to_thread(rig.gateway.await_logged, "request", request_id=request_id)
    await asyncio.to_thread(rig.site.settle, setup.name)
    entries = await rig.site.booked(setup.name)
    failed = [line for line in rig.gateway.logged() if _is_attempt(line, request_id)]
    error: dict[str, Any] = {} if reply.is_success else reply.json()["error"]
    expected = setup.expected.took
    return Outcome(
        status=reply.status_code,
        code=error.get("code"),
        retry=reply.headers.get("x-should-retry"),
        after=reply.headers.get("retry-after"),
        took=expected if seconds >= LEAST[expected] else Took.NOTHING,
        served=_served(reply, setup),
        attempts=len(failed) + reply.is_success,
        whole=rig.arrivals[setup.name].calls,
        second=sum(request.fields["prompt"] == setup.name for request in rig.site.vendor.requests),
        may_be_billed=error.get("may_be_billed", False),
        booked=_booked(entries),
        breaker=await breaker_state(rig, setup.name),
    )


def _is_attempt(line: Mapping[str, object], request_id: str) -> bool:
    return line["event"] == "attempt failed" and line["request_id"] == request_id


def _served(reply: httpx2.Response, setup: Setup) -> int | None:
    if not reply.is_success:
        return None
    return {setup.name: 1, SECOND: 2}[reply.headers["x-gateway-backend"]]


def _booked(entries: Sequence[Entry]) -> Booked:
    if not entries:
        return Booked.NOTHING
    (entry,) = entries
    return Booked.QUOTE if entry.basis is Basis.UNCONFIRMED else Booked.COST


async def breaker_state(rig: Rig, backend: str) -> str:
    """Return the state of a backend's breaker, as the admin API shows it."""
    address = f"{rig.gateway.url}/admin/v1/backends"
    reply = await rig.client.get(address, headers={"authorization": f"Bearer {ADMIN}"})
    reply.raise_for_status()
    return next(str(row["state"]) for row in reply.json()["data"] if row["name"] == backend)
