"""Runs a gateway: uvicorn, with a way out that loses nothing.

Rule: told to go, a replica first says that it is not ready and serves on for a grace period, then stops accepting,
finishes what is under way, ends what takes too long with an answer that says so, and exits with 0. Told twice, it
skips the waiting. A port that is taken, or wanted twice, is a `PortError` before anything is started. Callers and
operators have the same server, so that what either has under way is finished. A process that cannot go on takes
nothing new at once, finishes what it can and raises `ProcessFailed` with the reason.
"""

import asyncio
import ctypes
import gc
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from math import ceil
from types import FrameType
from typing import cast

import uvicorn
from uvicorn._types import ASGI3Application

from service.api.http.connection_limits import ConnectionLimits, build_protocol
from service.api.http.forwarded_headers import ForwardedHeaders
from service.app import Gateway
from service.settings.listen_ports import MAX_PORT, ListenPort

FINAL_RESPONSE_SECONDS = 2  # for the answers of calls that were ended; then connections are cut
KEEP_ALIVE_SECONDS = 75  # longer than load balancers keep theirs, so that they close first
BACKLOG = 2048
DUPLICATE_PORT = "Port {} is wanted twice: the gateway, its metrics and its admin API need one each"
MALLOC = (
    (-1, 512 << 20),  # M_TRIM_THRESHOLD: free memory at the top that is kept
    (-2, 64 << 20),  # M_TOP_PAD: how much is asked for at a time
    (-3, 32 << 20),  # M_MMAP_THRESHOLD: blocks below this come from what is kept; the highest value that glibc takes
)


class PortError(Exception):
    """The address cannot be listened on."""


class ProcessFailed(Exception):
    """The gateway ran, and could not go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where to listen, how to go, and what connections may do before there is a request. Times in seconds."""

    host: str
    port: int
    grace_seconds: float
    drain_seconds: float
    bounds: ConnectionLimits


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens, so that nobody else can; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as taken:
        listener.close()
        raise PortError(f"Cannot listen on {host} port {port}: {taken}") from None
    return listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """What a gateway listens on: its own port, and one for metrics and one for admin where they have it."""

    gateway: socket.socket
    metrics: socket.socket | None
    admin: socket.socket | None

    def close(self) -> None:
        """Stop listening, where that has not happened already."""
        for listener in filter(None, (self.gateway, self.metrics, self.admin)):
            listener.close()

    @property
    def served_by_uvicorn(self) -> list[socket.socket]:
        """Those behind which the server is; metrics have a thread."""
        return [self.gateway, self.admin] if self.admin else [self.gateway]


def open_listeners(host: str, port: int, metrics: ListenPort, admin: ListenPort) -> Listeners:
    """Listen on all of them, or raise `PortError` and on none."""
    with ExitStack() as opened:
        taken = set[int]()

        def open_one(at: str, number: int) -> socket.socket:
            listener = opened.enter_context(listen_on_unused(at, number, taken))
            taken.add(port_number(listener))
            return listener

        def open_optional(entry: ListenPort) -> socket.socket | None:
            return None if entry.port is None else open_one(entry.host or host, entry.port)

        listeners = Listeners(gateway=open_one(host, port), metrics=open_optional(metrics), admin=open_optional(admin))
        opened.pop_all()
        return listeners


def check_host(host: str) -> str | None:
    """Why nothing can listen on a host, on whatever port; None if something can."""
    try:
        listen(host, 0).close()
    except PortError as wrong:
        return str(wrong).rpartition(": ")[2]
    return None


def check_ports(port: int, metrics: ListenPort, admin: ListenPort) -> None:
    """Raise `PortError` for a port that is none, or is wanted twice. Port 0 takes a free one."""
    used = set[int]()
    for number in (port, metrics.port, admin.port):
        if number is not None and not 0 <= number <= MAX_PORT:
            raise PortError(f"{number} is not a port")
        if number in used:
            raise PortError(DUPLICATE_PORT.format(number))
        if number:
            used.add(number)


def listen_on_unused(host: str, port: int, used: set[int]) -> socket.socket:
    """The same, with a number that is not taken: by the number is known who was asked."""
    if port in used:
        raise PortError(DUPLICATE_PORT.format(port))
    listener = listen(host, port)
    if port_number(listener) in used:  # a free one, of another address; while it is held the next has another number
        with listener:
            return listen_on_unused(host, port, used)
    return listener


def port_number(listener: socket.socket) -> int:
    """The number that it has got."""
    number: int = listener.getsockname()[1]
    return number


def tune_malloc() -> None:
    """Tell glibc to keep big blocks instead of giving them back: a gateway of megabyte bodies gets the next one soon.

    What it saves is in `docs/benchmarks.md`. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        for option, value in MALLOC:
            mallopt(option, value)


def freeze_gc() -> None:
    """Tell the collector that what a start has made stays: each look at it stopped everybody for 75 ms."""
    gc.collect()
    gc.freeze()


def run(gateway: Gateway, settings: ServerSettings, listeners: Listeners, on_ready: Callable[[], None]) -> None:
    """Serve until told to go. `on_ready` is called when requests are accepted. Raises `ProcessFailed`."""
    config = uvicorn.Config(
        gateway.asgi,
        loop="uvloop",
        http=build_protocol(settings.bounds),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=ceil(settings.drain_seconds) + FINAL_RESPONSE_SECONDS,
        proxy_headers=False,  # ours are read by the layer below
    )
    config.app = ForwardedHeaders(cast("ASGI3Application", gateway.asgi), config.forwarded_allow_ips)
    DrainingServer(config, gateway, settings, on_ready).run(sockets=listeners.served_by_uvicorn)
    if gateway.fatal.reason:
        raise ProcessFailed(gateway.fatal.reason)


class DrainingServer(uvicorn.Server):
    """uvicorn's server with a grace period, and an exit code of 0 where it was asked to go."""

    def __init__(
        self, config: uvicorn.Config, gateway: Gateway, settings: ServerSettings, on_ready: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._drain = gateway.drain
        self._fatal = gateway.fatal
        self._settings = settings
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets)
        freeze_gc()
        if self.started:
            self._fatal.on_report(partial(asyncio.get_running_loop().call_soon_threadsafe, self._fail))
            self._on_ready()

    def _fail(self) -> None:
        self._drain.is_draining = True
        self._stop_accepting()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal: the first one begins the drain, another one ends the grace period."""
        del sig, frame
        loop = asyncio.get_running_loop()
        grace = 0.0 if self._drain.is_draining else self._settings.grace_seconds
        self._drain.is_draining = True
        loop.call_soon_threadsafe(loop.call_later, grace, self._stop_accepting)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way. A call that takes longer than the drain is ended, and answered as ended."""
        ending = asyncio.get_running_loop().call_later(self._settings.drain_seconds, self._end_calls)
        await super().shutdown(sockets)
        ending.cancel()

    def _stop_accepting(self) -> None:
        self.should_exit = True

    def _end_calls(self) -> None:
        for task in self.server_state.tasks:
            task.cancel()
