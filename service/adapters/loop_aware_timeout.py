"""A timeout that does not count the time in which the event loop was busy.

Rule: a deadline by the wall clock takes a burst of requests for a server that hangs: the loop has not read the answer
yet. So time counts in slices. A slice counts only if its timer was on time, because then the loop was free to
read the answer. After the last slice the loop polls twice more. A loop that is always late gives up after `MAX_POLLS`:
it would have read an answer many times over. The wall clock alone ends nothing, so a process that was suspended for a
minute has used one poll.

A cancellation is never lost. The code inside may turn it into an error of its own, such as a closed connection. Then
`__aexit__` raises the cancellation again, because a handler of that error would go on with a cancelled task.

Fails with: `TimeoutError`.
"""

import asyncio
from types import TracebackType
from typing import Self

SLICE_SECONDS = 0.02
MAX_LATE_SECONDS = 0.005
LAST_POLLS = 2
LAST_POLL_SECONDS = 0.001  # before each of the last polls; the loop reads its sockets in between
MAX_POLLS = 250


class LoopAwareTimeout:
    """A block that raises `TimeoutError` once it has waited for that many quiet seconds."""

    __slots__ = (
        "_cancel_requests",
        "_due_at",
        "_last_polls",
        "_loop",
        "_polls",
        "_remaining",
        "_task",
        "_timeout",
        "_timer",
    )

    def __init__(self, seconds: float) -> None:
        self._remaining = seconds
        self._polls = MAX_POLLS
        self._last_polls = LAST_POLLS
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._cancel_requests = self._count_cancel_requests()
        await self._timeout.__aenter__()
        self._start_timer(min(SLICE_SECONDS, self._remaining))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as late:
            error = late
            if self._count_cancel_requests() == self._cancel_requests:
                raise
        if not isinstance(error, asyncio.CancelledError) and self._count_cancel_requests() > self._cancel_requests:
            raise asyncio.CancelledError from error

    def _count_cancel_requests(self) -> int:
        """Return the number of cancellations that the task has received."""
        return self._task.cancelling() if self._task else 0

    def _start_timer(self, seconds: float) -> None:
        self._due_at = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._due_at, self._poll)

    def _poll(self) -> None:
        now = self._loop.time()
        self._polls -= 1
        if now - self._due_at < MAX_LATE_SECONDS:
            self._remaining -= SLICE_SECONDS
        if self._remaining > 0 and self._polls > 0:
            self._start_timer(min(SLICE_SECONDS, self._remaining))
        elif self._last_polls > 0:
            self._last_polls -= 1
            self._start_timer(LAST_POLL_SECONDS)
        else:
            self._timeout.reschedule(now)
