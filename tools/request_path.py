"""`python -m tools.request_path`: own frames between handler and backend, and commands to Redis, of three requests.

Rule: the gateway of `serve --dev` runs in this process, on a Valkey and a SQLite of its own, without its background
tasks. Redis counts the commands itself (MONITOR); what scripts call inside of the server is not a round trip.
"""

import asyncio
import inspect
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any
from unittest.mock import patch

import httpx2
import redis.asyncio

from service.adapters.backends.sandbox.backend import SandboxBackend
from service.adapters.embedded_valkey import run_valkey
from service.adapters.sql.migrate import migrate
from service.app import assemble
from service.commands.startup import ServeOptions, read_start_config, with_dev_key
from service.composition.app_config import AppConfig, StoreAddresses
from service.domain.generation import Generation
from service.usecases.ports.observer import NULL_OBSERVER
from service.usecases.ports.requests import UpstreamRequest

ROOT = Path(__file__).parents[1]
SERVICE = str(ROOT / "service") + os.sep
HANDLER = "images.py generate"
CONNECTING = frozenset({"HELLO", "AUTH", "CLIENT", "SELECT"})
SETTLE_SECONDS = 0.2  # until the server has written its last line
BODY = {"prompt": "a red fox", "size": "1024x1024", "quality": "low"}


@dataclass(slots=True, kw_only=True)
class Seen:
    """One kind of request: its frames of `service/`, and the commands that reached Redis."""

    frames: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


def place(code: CodeType) -> str | None:
    """Return file and function of a frame of `service/`."""
    own = code.co_filename.startswith(SERVICE)
    return f"{code.co_filename.removeprefix(SERVICE)} {code.co_qualname}" if own else None


def frames_of_backend() -> list[str]:
    """Return the frames of the task that calls the backend, outermost first."""
    frames, frame = list[str](), inspect.currentframe()
    while frame:
        if own := place(frame.f_code):
            frames.append(own)
        frame = frame.f_back
    return frames[::-1]


def frames_of_handler() -> list[str]:
    """Return the frames of the task that waits for the purchase, from the handler on."""
    for task in asyncio.all_tasks():
        frames = list[str]()
        awaited: Any = task.get_coro()
        while inspect.iscoroutine(awaited):
            if own := place(awaited.cr_code):
                frames.append(own)
            awaited = awaited.cr_await
        handlers = [number for number, frame in enumerate(frames) if frame.endswith(HANDLER)]
        if handlers:
            return frames[handlers[0] :]
    return []


@contextmanager
def recorded_frames(seen: Seen) -> Iterator[None]:
    """Note the frames as soon as the sandbox begins to draw."""
    draw = SandboxBackend._draw  # noqa: SLF001 (the call that stands for the vendor's)

    async def record(self: SandboxBackend, request: UpstreamRequest) -> Generation:
        seen.frames = [*frames_of_handler(), *frames_of_backend()]
        return await draw(self, request)

    with patch.object(SandboxBackend, "_draw", record):
        yield


@asynccontextmanager
async def recorded_commands(url: str, seen: Seen) -> AsyncIterator[None]:
    """Note every command that a client sends to Redis."""
    client = redis.asyncio.from_url(url)
    async with client.monitor() as monitor:
        reading = asyncio.create_task(_read(monitor, seen))
        yield
        await asyncio.sleep(SETTLE_SECONDS)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    await client.aclose()


async def _read(monitor: Any, seen: Seen) -> None:
    async for command in monitor.listen():
        name = command["command"].split()[0].upper()
        if command["client_type"] != "lua" and name not in CONNECTING:
            seen.commands.append(name)


async def requests(asgi: Any, key: str, url: str) -> Mapping[str, Seen]:
    """Send a request that is bought, one that is cached, and two side by side of which one joins the other."""
    headers = {"authorization": f"Bearer {key}"}
    seen = {name: Seen() for name in ("miss", "hit", "miss and joined")}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=asgi), base_url="http://gateway") as http:

        async def ask(prompt: str) -> str:
            reply = await http.post("/v1/images/generations", json=BODY | {"prompt": prompt}, headers=headers)
            reply.raise_for_status()
            return reply.headers["x-gateway-cache"]

        await ask("so that connections are open and scripts are loaded")
        with recorded_frames(seen["miss"]):
            async with recorded_commands(url, seen["miss"]):
                assert await ask("a fox") == "miss"
        async with recorded_commands(url, seen["hit"]):
            assert await ask("a fox") == "hit"
        async with recorded_commands(url, seen["miss and joined"]):
            assert sorted(await asyncio.gather(ask("two foxes"), ask("two foxes"))) == ["joined", "miss"]
    return seen


def measure(folder: Path) -> Mapping[str, Seen]:
    """Run the three requests in a new gateway whose data is in a folder."""
    options = ServeOptions(folder=ROOT / "config", host="127.0.0.1", port=0, data=folder, dev=True)
    start = with_dev_key(read_start_config(options, {}), folder)
    ledger = f"sqlite:///{folder}/ledger.db"
    asyncio.run(migrate(ledger))
    with run_valkey(folder / "valkey") as url:
        stores = StoreAddresses(redis_url=url, cache_url=url, database_url=ledger, data=folder)
        plans = AppConfig(
            settings=start.settings,
            files=start.files,
            initial_files=start.first_config,
            stores=stores,
            observer=NULL_OBSERVER,
        )
        return asyncio.run(requests(assemble(plans).asgi, start.secret or "", url))


def table(seen: Mapping[str, Seen]) -> str:
    """Return the figures as ARCHITECTURE.md has them."""
    joined = len(seen["miss and joined"].commands) - len(seen["miss"].commands)
    rows = [
        ("miss", str(len(seen["miss"].frames)), str(len(seen["miss"].commands))),
        ("hit", "-", str(len(seen["hit"].commands))),
        ("joined in the same replica", "-", str(joined)),
    ]
    head = ["| Request | Own frames | Round trips to Redis |", "|---|--:|--:|"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def main() -> None:
    """Print the figures, and what they were counted from."""
    with tempfile.TemporaryDirectory() as folder:
        seen = measure(Path(folder))
    sys.stdout.write(f"{table(seen)}\n\n")
    sys.stdout.write("Frames of a miss:\n  " + "\n  ".join(seen["miss"].frames) + "\n")
    for name, one in seen.items():
        sys.stdout.write(f"Commands of a {name}: {', '.join(one.commands)}\n")


if __name__ == "__main__":
    main()
