"""Connections: bounded before there is a request, and after there is an answer.

Rule: whoever connects has a while to bring the whole head of a request, and a head (trailers and everything else that
is no body included) has so many bytes; both before anybody is asked for a key. Whoever does not take what is sent to
them loses it after a while. What is too large is a 431; what is too slow is hung up on, without a word, because a
client that connected ahead of its first request would take the word for the answer to it. uvicorn has no such bounds.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """`head_seconds` from the first byte of a head to its last, `most_head_bytes` of it.

    `stall_seconds` is how long a caller may take nothing of an answer.
    """

    head_seconds: float
    most_head_bytes: int
    stall_seconds: float


class HeadTooLarge(Exception):
    """A head that came whole, and is larger than it may be."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, bounds: Bounds, **given: Any) -> None:  # noqa: ANN401 (what uvicorn gives to its own)
        super().__init__(**given)
        self._bounds = bounds
        self._brought = 0
        self._progress = 0
        self._oversized = False
        self._head = Timer(self.loop)
        self._stall = Timer(self.loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Take what came. What is neither the end of a head nor of a body counts as head."""
        before = self._progress
        super().data_received(data)
        self._brought = self._brought + len(data) if self._progress == before else 0
        if self._brought > self._bounds.most_head_bytes:
            self._oversized = True
            self.send_400_response("")
        self._watch_head()

    def on_headers_complete(self) -> None:
        """A head is there. Raises `HeadTooLarge`."""
        self._progress += 1
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > self._bounds.most_head_bytes:
            self._oversized = True
            raise HeadTooLarge
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body is there."""
        self._progress += 1
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, or what is too large to be."""
        if not self._oversized:
            super().send_400_response(msg)
        elif not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
            self.transport.close()

    def pause_writing(self) -> None:
        """The caller does not take as much as there is."""
        super().pause_writing()
        self._watch_stall(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The caller has taken it."""
        super().resume_writing()
        self._stall.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Watch nothing any more."""
        self._head.stop()
        self._stall.stop()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        """Time runs while there is no request that is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle and not cycle.response_complete:
            self._head.stop()
        elif not self._head.running:
            self._head.start(self._bounds.head_seconds, self.transport.abort)

    def _watch_stall(self, waiting: int) -> None:
        self._stall.start(self._bounds.stall_seconds, partial(self._stalled, waiting))

    def _stalled(self, waited: int) -> None:
        """Hang up on who has taken nothing; `waited` bytes were waiting before."""
        waiting = self.transport.get_write_buffer_size()
        if waiting < waited:
            self._watch_stall(waiting)
        else:
            self.transport.abort()


class Timer:
    """Does something once, later, unless it is stopped."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        """Was it started, and not stopped since?"""
        return self._handle is not None

    def start(self, seconds: float, do: Callable[[], None]) -> None:
        """Do it after so many seconds; what was to be done before is not."""
        self.stop()
        self._handle = self._loop.call_later(seconds, do)

    def stop(self) -> None:
        """Do nothing."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def protocol(bounds: Bounds) -> type[asyncio.Protocol]:
    """What uvicorn makes one of for each connection."""
    return cast("type[asyncio.Protocol]", partial(BoundedProtocol, bounds))
