"""uvicorn's server, with listeners for three ports and a shutdown that loses no request.

Rule: after the first signal a replica reports that it is not ready and still serves for the grace period. Then it stops
accepting, finishes its requests, ends those that take longer than the drain with an error response, and exits with 0.
A second signal ends the grace period. The gateway's port and the admin port share one server, so that both drain.

Fails with: `PortError` before the start, if a port is taken or configured twice. `ProcessFailed` with the reason, if
the process cannot continue; it stops accepting at once and finishes its requests first.
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
from service.settings.gateway_file import MAX_PORT, ListenPort

FINAL_RESPONSE_SECONDS = 2  # for the responses of calls that were ended; then connections are cut
KEEP_ALIVE_SECONDS = 75  # longer than load balancers keep theirs, so that load balancers close first
BACKLOG = 2048
DUPLICATE_PORT = "Port {} is configured twice: the gateway, its metrics and its admin API need one each"
MALLOC = (
    (-1, 512 << 20),  # M_TRIM_THRESHOLD: free memory at the top that is not returned
    (-2, 64 << 20),  # M_TOP_PAD: bytes requested from the system at a time
    (-3, 32 << 20),  # M_MMAP_THRESHOLD: smaller blocks come from retained memory; the highest value that glibc takes
)


class PortError(Exception):
    """Refusal of an address to listen on."""


class ProcessFailed(Exception):
    """End of a process that ran and cannot continue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Address, shutdown times in seconds, and limits of connections."""

    host: str
    port: int
    grace_seconds: float
    drain_seconds: float
    connection_limits: ConnectionLimits


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free port. Raises `PortError`."""
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
    """Sockets of the gateway, of its metrics and of its admin API, if these have ports of their own."""

    gateway: socket.socket
    metrics: socket.socket | None
    admin: socket.socket | None

    def close(self) -> None:
        """Close every socket; closed ones stay closed."""
        for listener in filter(None, (self.gateway, self.metrics, self.admin)):
            listener.close()

    @property
    def served_by_uvicorn(self) -> list[socket.socket]:
        """Return the sockets that uvicorn serves; a thread serves the metrics."""
        return [self.gateway, self.admin] if self.admin else [self.gateway]


def open_listeners(host: str, port: int, metrics: ListenPort, admin: ListenPort) -> Listeners:
    """Listen on every configured port. Raises `PortError`, and listens on none then."""
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
    """Return the reason why a host cannot be listened on, on any port; None if it can."""
    try:
        listen(host, 0).close()
    except PortError as wrong:
        return str(wrong).rpartition(": ")[2]
    return None


def check_ports(port: int, metrics: ListenPort, admin: ListenPort) -> None:
    """Raise `PortError` for a number that is no port, or is configured twice. Port 0 takes a free one."""
    used = set[int]()
    for number in (port, metrics.port, admin.port):
        if number is not None and not 0 <= number <= MAX_PORT:
            raise PortError(f"{number} is not a port")
        if number in used:
            raise PortError(DUPLICATE_PORT.format(number))
        if number:
            used.add(number)


def listen_on_unused(host: str, port: int, used: set[int]) -> socket.socket:
    """Return a listening socket whose port number is unused: the number decides which application serves."""
    if port in used:
        raise PortError(DUPLICATE_PORT.format(port))
    listener = listen(host, port)
    if (
        port_number(listener) in used
    ):  # a free port of another address; while it is open, the next one has another number
        with listener:
            return listen_on_unused(host, port, used)
    return listener


def port_number(listener: socket.socket) -> int:
    """Return the port number of a socket."""
    number: int = listener.getsockname()[1]
    return number


def tune_malloc() -> None:
    """Make glibc retain big blocks of freed memory, because the next body of a megabyte comes soon.

    `docs/benchmarks.md` has the savings. Other C libraries stay as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        for option, value in MALLOC:
            mallopt(option, value)


def freeze_gc() -> None:
    """Exclude the objects of the start from garbage collection, which stopped all requests for 75 ms each time."""
    gc.collect()
    gc.freeze()


def run(gateway: Gateway, settings: ServerSettings, listeners: Listeners, on_ready: Callable[[], None]) -> None:
    """Serve until a signal. `on_ready` is called when requests are accepted. Raises `ProcessFailed`."""
    config = uvicorn.Config(
        gateway.asgi,
        loop="uvloop",
        http=build_protocol(settings.connection_limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=ceil(settings.drain_seconds) + FINAL_RESPONSE_SECONDS,
        proxy_headers=False,  # `ForwardedHeaders` below reads them
    )
    config.app = ForwardedHeaders(cast("ASGI3Application", gateway.asgi), config.forwarded_allow_ips)
    DrainingServer(config, gateway, settings, on_ready).run(sockets=listeners.served_by_uvicorn)
    if gateway.fatal.reason:
        raise ProcessFailed(gateway.fatal.reason)


class DrainingServer(uvicorn.Server):
    """uvicorn's server with a grace period, and exit code 0 after a signal."""

    def __init__(
        self, config: uvicorn.Config, gateway: Gateway, settings: ServerSettings, on_ready: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._drain = gateway.drain
        self._fatal = gateway.fatal
        self._settings = settings
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, watch for a fatal report, and report readiness."""
        await super().startup(sockets)
        freeze_gc()
        if self.started:
            self._fatal.on_report(partial(asyncio.get_running_loop().call_soon_threadsafe, self._fail))
            self._on_ready()

    def _fail(self) -> None:
        self._drain.is_draining = True
        self._stop_accepting()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the drain at the first signal; end the grace period at another one."""
        del sig, frame
        loop = asyncio.get_running_loop()
        grace = 0.0 if self._drain.is_draining else self._settings.grace_seconds
        self._drain.is_draining = True
        loop.call_soon_threadsafe(loop.call_later, grace, self._stop_accepting)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests under way. Requests that take longer than the drain get an error response."""
        ending = asyncio.get_running_loop().call_later(self._settings.drain_seconds, self._end_calls)
        await super().shutdown(sockets)
        ending.cancel()

    def _stop_accepting(self) -> None:
        self.should_exit = True

    def _end_calls(self) -> None:
        for task in self.server_state.tasks:
            task.cancel()
