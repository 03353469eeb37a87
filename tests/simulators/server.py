"""Vendor on loopback: a real HTTP server in its own thread, whose answers the test sets.

Rule: the vendor's default reply is a pure function, `respond(request, defaults) -> Reply`. This module owns the socket,
the clock and the faults. An `Answer` in the queue replaces the default reply, field by field, for one image call. The
end of the block ends every wait, so that no thread outlives its test.
"""

import asyncio
import contextlib
import math
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPMethod
from types import TracebackType
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.simulators.exchange import BREAKS, REWRITES, STALLS, TRANSPORT, Call, Fault, Reply, Send
from tests.simulators.recording import HungUp, Message, Receive, Recorded, record

IMAGE_CALLS = "/v1/images/"
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Answer to one image call. A field that is None is that of the default reply. Headers are added."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay: float = 0.0
    hold: bool = False
    fault: Fault | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """Behaviour of a vendor without queued answers. `auto_*` is its choice for `auto`.

    A vendor with `keys` accepts only those. Without keys it accepts all.
    """

    keys: frozenset[str] = frozenset()
    image_bytes: int = 0
    delay: float = 0.0
    auto_size: str = "1024x1024"
    auto_quality: str = "medium"


Respond = Callable[[Recorded, Defaults], Reply]


class Gate:
    """Gate of held answers. A passage that is opened early stays open for the next answer."""

    def __init__(self) -> None:
        self._passages: float = 0
        self._opened = asyncio.Condition()

    async def open(self, passages: float = math.inf) -> None:
        """Open a number of passages."""
        async with self._opened:
            self._passages += passages
            self._opened.notify_all()

    async def passed(self) -> None:
        """Wait for a passage and use it up."""
        async with self._opened:
            await self._opened.wait_for(lambda: self._passages > 0)
            self._passages -= 1


class Simulator:
    """A vendor between `__enter__` and `__exit__`. All public members are safe to use from any thread."""

    def __init__(
        self, respond: Respond, *, defaults: Defaults | None = None, port: int = 0, remember: int = 10_000
    ) -> None:
        self._respond = respond
        self._first_defaults = defaults or Defaults()
        self._remember = remember
        self._changed = threading.Condition()
        self._gate = Gate()
        self._forget()
        self._socket = socket.create_server(("127.0.0.1", port), backlog=2048)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = _Server(_config(self._app))
        self._thread = threading.Thread(target=self.run, name=f"simulator {self.url}", daemon=True)

    def _forget(self) -> None:
        self._requests: deque[Recorded] = deque(maxlen=self._remember)
        self.defaults = self._first_defaults
        self.answers: deque[Answer] = deque()
        self.in_flight = self.max_in_flight = self.abandoned = 0

    @property
    def base_url(self) -> str:
        """Address for clients."""
        return f"{self.url}/v1"

    @property
    def requests(self) -> list[Recorded]:
        """Complete requests so far, in the order of their completion."""
        with self._changed:
            return list(self._requests)

    def answer(self, *answers: Answer) -> None:
        """Queue answers for the next image calls."""
        self.answers.extend(answers)

    def release(self, passages: float = math.inf) -> None:
        """Release held answers: a number, present or future; or, without a number, all until `reset()`."""
        asyncio.run_coroutine_threadsafe(self._gate.open(passages), self._server.loop)

    def reset(self) -> None:
        """Reset to the initial state. Answers that are still held go out, uncounted."""
        self.release()
        with self._changed:
            self._gate = Gate()
            self._forget()

    def await_requests(self, count: int, timeout: float = TIMEOUT_SECONDS) -> None:
        """Block until at least `count` requests were received."""
        self._await(lambda: len(self._requests) >= count, timeout)

    def await_in_flight(self, count: int, timeout: float = TIMEOUT_SECONDS) -> None:
        """Block until exactly `count` image calls are received and unanswered."""
        self._await(lambda: self.in_flight == count, timeout)

    def await_abandoned(self, count: int, timeout: float = TIMEOUT_SECONDS) -> None:
        """Block until at least `count` clients have disconnected before their answer."""
        self._await(lambda: self.abandoned >= count, timeout)

    def run(self) -> None:
        """Serve in this thread until `stop()` or a signal."""
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """End every wait and stop serving."""
        self._server.loop.call_soon_threadsafe(self._server.stopping.set)
        self._server.should_exit = True

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._server.ready.wait(TIMEOUT_SECONDS):
            raise TimeoutError("the simulator did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.join(TIMEOUT_SECONDS)

    def _await(self, reached: Callable[[], bool], timeout: float) -> None:
        with self._changed:
            if not self._changed.wait_for(reached, timeout):
                raise TimeoutError(f"{len(self._requests)} requests, {self.in_flight} in flight")

    async def _app(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            request = await record(scope, receive)
        except HungUp:
            return
        call = Call(scope, receive, send)
        if request.method == HTTPMethod.POST and request.path.startswith(IMAGE_CALLS):
            await self._image_call(call, request)
        else:
            self._note(request)
            await call.whole(self._respond(request, self.defaults))

    def _note(self, request: Recorded) -> None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    async def _image_call(self, call: Call, request: Recorded) -> None:
        gate, defaults = self._gate, self.defaults
        async with self._counted(call):
            answer = self.answers.popleft() if self.answers else Answer()
            self._note(request)
            if answer.hold:
                await self._unless_stopped(gate.passed())
            await self._unless_stopped(asyncio.sleep(defaults.delay + answer.delay))
            reply = self._reply(request, answer, defaults)
        await self._deliver(call, reply, answer.fault, gate)

    @contextlib.asynccontextmanager
    async def _counted(self, call: Call) -> AsyncIterator[None]:
        """Count a call as in flight until the first byte of its answer. A `reset()` starts new counters."""
        gate = self._gate
        self._count(in_flight=1)
        watch = asyncio.ensure_future(self._watched(call, gate))
        try:
            yield
        finally:
            watch.cancel()
            if gate is self._gate:
                self._count(in_flight=-1)

    async def _watched(self, call: Call, gate: Gate) -> None:
        """Notice a client's disconnect. The vendor continues: a begun call is billed."""
        await call.gone()
        if gate is self._gate:
            self._count(abandoned=1)

    def _count(self, *, in_flight: int = 0, abandoned: int = 0) -> None:
        with self._changed:
            self.in_flight += in_flight
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
            self.abandoned += abandoned
            self._changed.notify_all()

    def _reply(self, request: Recorded, answer: Answer, defaults: Defaults) -> Reply:
        if answer.status is not None and answer.body is not None:
            headers = {"content-type": "application/json"} | _lower(answer.headers)
            return Reply(status=answer.status, headers=headers, chunks=(answer.body,))
        usual = self._respond(request, defaults)
        return Reply(
            status=usual.status if answer.status is None else answer.status,
            headers=_lower(usual.headers) | _lower(answer.headers),
            chunks=usual.chunks if answer.body is None else (answer.body,),
        )

    async def _deliver(self, call: Call, reply: Reply, fault: Fault | None, gate: Gate) -> None:
        if fault in REWRITES:
            await call.whole(REWRITES[fault](reply))
        elif fault in BREAKS:
            await BREAKS[fault](call, reply)
        elif fault in STALLS:
            await STALLS[fault](call, reply)
            await self._unless_stopped(call.gone())
            await call.close()
        elif fault == "hold_mid_body":
            rest = await call.half(reply)
            await self._unless_stopped(gate.passed())
            await call.end(rest.body)
        else:
            await call.whole(reply)

    async def _unless_stopped(self, wait: Awaitable[None]) -> None:
        """Wait, at most until the simulator stops."""
        waits = {asyncio.ensure_future(wait), asyncio.ensure_future(self._server.stopping.wait())}
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()


class _Server(uvicorn.Server):
    """Server that reports its start and its loop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self.stopping = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready.set()

    def handle_exit(self, sig: int, frame: Any) -> None:
        self.loop.call_soon_threadsafe(self.stopping.set)
        super().handle_exit(sig, frame)


class _Protocol(HttpToolsProtocol):
    """Protocol that gives the transport to the application."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]


def _config(app: Callable[[Message, Receive, Send], Awaitable[None]]) -> uvicorn.Config:
    """Configure no logging, no additional headers, and a shutdown that does not wait for clients."""
    return uvicorn.Config(
        app,
        interface="asgi3",
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=60,  # as vendors have it; the client that reuses a connection must also close it
    )


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
