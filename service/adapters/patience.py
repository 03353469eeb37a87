"""How long to wait for another part, leaving out the time in which this one was too busy to listen.

Rule: a deadline by the wall clock takes a burst of requests for a server that hangs: the answer is there, but the loop
has not come to it. Here only slices count whose timer was on time, that is, in which the loop was free to take the
answer. Ends with `TimeoutError`, at the latest after `MOST_SECONDS` whatever happens.

A cancellation is never lost: what waits for the other part may turn it into an error of its own (a connection that was
closed, a time that was up), and whoever handles such errors would go on as if nobody had asked it to end.
"""

import asyncio
from types import TracebackType
from typing import Self

SLICE_SECONDS = 0.02
LATE_SECONDS = 0.005
MOST_SECONDS = 5.0


class Patience:
    """`async with Patience(0.1):` raises `TimeoutError` once the block has waited so many quiet seconds."""

    __slots__ = ("_asked", "_due", "_end", "_left", "_loop", "_task", "_timeout", "_timer")

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._asked = self._asks()
        self._end = self._loop.time() + MOST_SECONDS
        await self._timeout.__aenter__()
        self._arm()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as late:
            error = late
            if self._asks() == self._asked:
                raise
        if not isinstance(error, asyncio.CancelledError) and self._asks() > self._asked:
            raise asyncio.CancelledError from error

    def _asks(self) -> int:
        """How often the task has been asked to end."""
        return self._task.cancelling() if self._task else 0

    def _arm(self) -> None:
        self._due = self._loop.time() + min(SLICE_SECONDS, self._left)
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if now - self._due < LATE_SECONDS:
            self._left -= SLICE_SECONDS
        if self._left <= 0 or now > self._end:
            self._timeout.reschedule(now)
        else:
            self._arm()
