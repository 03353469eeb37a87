"""Limits of HTTP connections: time and bytes of a head, and time of a client that reads nothing. uvicorn has none.

Rule: the head of a request has limits before a key is asked for. Trailers, extensions of chunks and all other bytes
outside of the body count as head. Trailers are dropped (RFC 9110 6.5), and an offer to upgrade is ignored (7.8).

Fails with: `MalformedRequest` or `HeadTooLarge`. The application answers with it, after the responses that are due
before; then the connection ends, and the bytes that follow are not read. A slow client gets no response, because it
would read one sent before its request as the answer to that request. A client that stops reading is disconnected.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Never, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.api.http.errors import HeadTooLarge, MalformedRequest
from service.api.http.request_context import FAULT_KEY
from service.api.http.request_heads import head_fault, head_without_upgrade, origin_form
from service.domain.errors import RequestError

LINE_END = 2  # bytes
FIELD_OVERHEAD = 2 + LINE_END  # the colon, the space behind it, the end of the line
START_LINE_OVERHEAD = len("  HTTP/1.1") + 2 * LINE_END  # of the first line, and of the empty one


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Limits of one connection.

    Attributes:
        head_seconds: Longest time from the first byte of a head to its last.
        max_head_bytes: Most bytes of a request outside of its body.
        stall_seconds: Longest time in which a client reads nothing of a response.
    """

    head_seconds: float
    max_head_bytes: int
    stall_seconds: float


class LimitedProtocol(HttpToolsProtocol):
    """One connection. Uses uvicorn's `cycle`, `pipeline`, `flow`, `scope` and `response_complete`.

    `_overhead` counts the bytes of a request outside of its body. Those of the parsed head and of chunk lengths are
    subtracted again, so that only trailers, extensions and an unfinished head remain.
    """

    def __init__(self, limits: ConnectionLimits, **uvicorn_args: Any) -> None:  # noqa: ANN401 (what uvicorn gives to its own)
        super().__init__(**uvicorn_args)
        self._limits = limits
        self._overhead = 0
        self._chunk_bytes = 0
        self._begun = False
        self._in_head = False
        self._completed = False
        self._fault: RequestError | None = None
        self._ended = False
        self._offers_upgrade = False
        self._head_timer = Timer(self.loop)
        self._stall_timer = Timer(self.loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start the time limit of the first head."""
        super().connection_made(transport)
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, unless an earlier request was refused."""
        self._unset_keepalive_if_required()
        if self._ended:
            return
        self._overhead += len(data)
        self._completed = False
        try:
            self._read(data)
        except httptools.HttpParserError as error:
            self._reject(self._fault or MalformedRequest(f"The request cannot be read: {error}."))
            return
        if self._overhead > self._limits.max_head_bytes:
            self._reject(self._too_large())
            return
        if self._overhead < 0 or (self._completed and not self._begun):  # the next request starts to count at 0
            self._overhead = 0
        self._start_head_timer()

    def _read(self, data: bytes) -> None:
        """Feed the parser. It stops behind a head with an offer to upgrade, and is fed that head without the offer."""
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as stopped:
                if not self._offers_upgrade:  # CONNECT, whose bytes would be for another server
                    self.cycle.keep_alive, self._ended = False, True
                    return
                version = self.parser.get_http_version()
                head = head_without_upgrade(self.parser.get_method(), self.url, version, self.headers)
                self.parser, self._offers_upgrade = httptools.HttpRequestParser(self), False
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
                data = head + data[stopped.args[0] :]
            else:
                return

    def on_message_begin(self) -> None:
        """Handle the first byte of a head."""
        super().on_message_begin()
        self._begun = self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Handle a field, and drop it if it is a trailer."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check a whole head. Raises `RequestError`, which stops the parser."""
        # The parser stops behind an offer to upgrade; `_read` feeds it this head again, without the offer.
        self._offers_upgrade = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._offers_upgrade:
            return

        # A parsed head is no overhead: it has the limit for itself.
        read = sum(len(name) + len(value) for name, value in self.headers)
        self._overhead -= len(self.parser.get_method()) + len(self.url) + START_LINE_OVERHEAD
        self._overhead -= read + FIELD_OVERHEAD * len(self.headers)
        if len(self.url) + read > self._limits.max_head_bytes:
            self._stop_parser(self._too_large())
        # The application gets a path and one host, whichever form the target has.
        fault = head_fault(self.parser.get_http_version(), self.headers)
        if fault:
            self._stop_parser(MalformedRequest(f"The request cannot be read: {fault}."))
        target_and_fields = origin_form(self.url, self.headers)
        if target_and_fields is None:
            self._stop_parser(MalformedRequest("The request cannot be read: its host is none."))
        self.url, fields = target_and_fields
        if fields is not self.headers:
            self.headers[:] = fields
        super().on_headers_complete()
        self._in_head = False

    def on_body(self, body: bytes) -> None:
        """Handle a chunk of a body."""
        self._overhead -= len(body)
        self._chunk_bytes += len(body)
        super().on_body(body)

    def on_chunk_header(self) -> None:
        """Start to count a chunk."""
        self._chunk_bytes = 0

    def on_chunk_complete(self) -> None:
        """End a chunk. Its length line and its line ends are not overhead."""
        self._overhead -= len(f"{self._chunk_bytes:x}") + 2 * LINE_END

    def on_message_complete(self) -> None:
        """Handle a whole request."""
        if self._offers_upgrade:
            return
        self._begun, self._completed = False, True
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Start the stall timer, because the client reads too slowly."""
        super().pause_writing()
        self._start_stall_timer(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Stop the stall timer, because the client has read."""
        super().resume_writing()
        self._stall_timer.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop both timers."""
        self._head_timer.stop()
        self._stall_timer.stop()
        super().connection_lost(exc)

    def _too_large(self) -> HeadTooLarge:
        max_bytes = self._limits.max_head_bytes
        return HeadTooLarge(f"A request has at most {max_bytes} bytes that are not its body.")

    def _stop_parser(self, fault: RequestError) -> Never:
        """Stop the parser. The fault is stored, because the parser drops the exception."""
        self._fault = fault
        raise fault

    def _reject(self, error: RequestError) -> None:
        """Let the application answer with an error, and stop reading."""
        self._ended = True
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete and not self._in_head:  # the body of a running request
            cycle.scope[FAULT_KEY] = error  # type: ignore[literal-required]  # our own entry in the ASGI scope
            cycle.keep_alive = False
            cycle.message_event.set()
        elif self._begun and not self._in_head:  # the rest of a body whose request was answered
            self.transport.close()
        else:
            self._begin_error_reply(error)
        self._start_head_timer()

    def _begin_error_reply(self, error: RequestError) -> None:
        """Start a request that has only the part of its head that was read."""
        if not self._begun:
            super().on_message_begin()
        target = self.url.partition(b"?")[0]
        self.scope["method"] = self.parser.get_method().decode("ascii") if self.url else "-"
        self.scope["path"], self.scope["raw_path"] = target.decode("latin-1"), target
        self.scope["query_string"] = b""
        self.scope[FAULT_KEY] = error  # type: ignore[literal-required]  # our own entry in the ASGI scope
        before: RequestResponseCycle | None = self.cycle
        self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:  # the responses that are due before it go out first
            self.pipeline.appendleft((self.cycle, self.app))

    def _start_head_timer(self) -> None:
        """Start the time limit of a head, unless a request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle and not cycle.response_complete:
            self._head_timer.stop()
        elif not self._head_timer.is_running:
            self._head_timer.start(self._limits.head_seconds, self.transport.abort)

    def _start_stall_timer(self, waiting: int) -> None:
        self._stall_timer.start(self._limits.stall_seconds, partial(self._on_stall, waiting))

    def _on_stall(self, bytes_before: int) -> None:
        """Disconnect a client that has read nothing of the `bytes_before` that waited for it."""
        bytes_now = self.transport.get_write_buffer_size()
        if bytes_now < bytes_before:
            self._start_stall_timer(bytes_now)
        else:
            self.transport.abort()


class Timer:
    """A timer of one callback, which can be stopped."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """Whether the timer was started, and not stopped since."""
        return self._handle is not None

    def start(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call `callback` after `seconds`, in place of an earlier one."""
        self.stop()
        self._handle = self._loop.call_later(seconds, callback)

    def stop(self) -> None:
        """Stop the timer."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def build_protocol(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """Build the protocol that uvicorn creates for each connection."""
    return cast("type[asyncio.Protocol]", partial(LimitedProtocol, limits))
