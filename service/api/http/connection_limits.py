"""Connections: bounded before there is a request, and after there is an answer.

Rule: the head of a request is bounded in time and in bytes, before a key is asked for. Trailers, the extensions of
chunks and everything else that is no body count as head. Trailers are dropped (RFC 9110 6.5). An offer to upgrade is
ignored (RFC 9110 7.8). The application refuses what cannot be read, in its envelope, after the answers that are due
before. Then the connection ends, and the bytes that follow are not read. A connection without a whole head is closed
without an answer, because a client that connected ahead of its first request would take an answer for the one to that
request. A caller that does not take its answer loses it after a while. uvicorn has no such bounds.
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
    """`head_seconds` from the first byte of a head to its last, `max_head_bytes` of it.

    `stall_seconds` is how long a caller may take nothing of an answer.
    """

    head_seconds: float
    max_head_bytes: int
    stall_seconds: float


class LimitedProtocol(HttpToolsProtocol):
    """One connection.

    `_overhead` counts the bytes of a request without its body, the head that was read, and the lengths of chunks.
    """

    def __init__(self, limits: ConnectionLimits, **uvicorn_args: Any) -> None:  # noqa: ANN401 (what uvicorn gives to its own)
        super().__init__(**uvicorn_args)
        self._bounds = limits
        self._overhead = 0
        self._chunk = 0
        self._begun = False
        self._in_head = False
        self._completed = False
        self._fault: RequestError | None = None
        self._over = False
        self._upgrade = False
        self._head = Timer(self.loop)
        self._stall = Timer(self.loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        """Read what came, unless something before it was refused."""
        self._unset_keepalive_if_required()
        if self._over:
            return
        self._overhead += len(data)
        self._completed = False
        try:
            self._read(data)
        except httptools.HttpParserError as error:
            self._reject(self._fault or MalformedRequest(f"The request cannot be read: {error}."))
            return
        if self._overhead > self._bounds.max_head_bytes:
            self._reject(self._too_large())
            return
        if self._overhead < 0 or (self._completed and not self._begun):
            self._overhead = 0
        self._start_head_timer()

    def _read(self, data: bytes) -> None:
        """Let the parser read. It stops behind the head of an upgrade, and is given the same head without it."""
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as stopped:
                if not self._upgrade:  # CONNECT, whose bytes would be for another server
                    self.cycle.keep_alive, self._over = False, True
                    return
                version = self.parser.get_http_version()
                head = head_without_upgrade(self.parser.get_method(), self.url, version, self.headers)
                self.parser, self._upgrade = httptools.HttpRequestParser(self), False
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
                data = head + data[stopped.args[0] :]
            else:
                return

    def on_message_begin(self) -> None:
        """The first byte of a head is there."""
        super().on_message_begin()
        self._begun = self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field is there. One behind the body is a trailer."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A head is there. Raises `RequestError`, which the parser stops at."""
        self._upgrade = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._upgrade:
            return
        read = sum(len(name) + len(value) for name, value in self.headers)
        self._overhead -= len(self.parser.get_method()) + len(self.url) + START_LINE_OVERHEAD
        self._overhead -= read + FIELD_OVERHEAD * len(self.headers)
        if len(self.url) + read > self._bounds.max_head_bytes:
            self._stop_parser(self._too_large())
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
        """A piece of a body is there."""
        self._overhead -= len(body)
        self._chunk += len(body)
        super().on_body(body)

    def on_chunk_header(self) -> None:
        """A chunk begins."""
        self._chunk = 0

    def on_chunk_complete(self) -> None:
        """A chunk ends. Its length, and both ends of lines, are not overhead."""
        self._overhead -= len(f"{self._chunk:x}") + 2 * LINE_END

    def on_message_complete(self) -> None:
        """A request is there, with its body."""
        if self._upgrade:
            return
        self._begun, self._completed = False, True
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The caller does not take as much as there is."""
        super().pause_writing()
        self._start_stall_timer(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The caller has taken it."""
        super().resume_writing()
        self._stall.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Watch nothing any more."""
        self._head.stop()
        self._stall.stop()
        super().connection_lost(exc)

    def _too_large(self) -> HeadTooLarge:
        max_bytes = self._bounds.max_head_bytes
        return HeadTooLarge(f"A request has at most {max_bytes} bytes that are not its body.")

    def _stop_parser(self, fault: RequestError) -> Never:
        """Stop the parser, which forgets what was raised."""
        self._fault = fault
        raise fault

    def _reject(self, error: RequestError) -> None:
        """Let the application answer with an error, and read nothing more."""
        self._over = True
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete and not self._in_head:
            cycle.scope[FAULT_KEY] = error  # type: ignore[literal-required]  # our own entry in the ASGI scope
            cycle.keep_alive = False
            cycle.message_event.set()
        elif self._begun and not self._in_head:  # the rest of a body whose request was answered
            self.transport.close()
        else:
            self._begin_error_reply(error)
        self._start_head_timer()

    def _begin_error_reply(self, error: RequestError) -> None:
        """Begin a request that has no more than what was read of its head."""
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
        else:
            self.pipeline.appendleft((self.cycle, self.app))

    def _start_head_timer(self) -> None:
        """Time runs while there is no request that is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle and not cycle.response_complete:
            self._head.stop()
        elif not self._head.is_running:
            self._head.start(self._bounds.head_seconds, self.transport.abort)

    def _start_stall_timer(self, waiting: int) -> None:
        self._stall.start(self._bounds.stall_seconds, partial(self._on_stall, waiting))

    def _on_stall(self, bytes_before: int) -> None:
        """Hang up on who has taken nothing; `bytes_before` bytes were waiting before."""
        bytes_now = self.transport.get_write_buffer_size()
        if bytes_now < bytes_before:
            self._start_stall_timer(bytes_now)
        else:
            self.transport.abort()


class Timer:
    """Does something once, later, unless it is stopped."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """Was it started, and not stopped since?"""
        return self._handle is not None

    def start(self, seconds: float, callback: Callable[[], None]) -> None:
        """Do it after so many seconds; what was to be done before is not."""
        self.stop()
        self._handle = self._loop.call_later(seconds, callback)

    def stop(self) -> None:
        """Do nothing."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def build_protocol(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """What uvicorn makes one of for each connection."""
    return cast("type[asyncio.Protocol]", partial(LimitedProtocol, limits))
