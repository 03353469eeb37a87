"""Stories that go on when whoever waits for them leaves.

Rule: what was begun is finished, whether or not its caller is still there. Only a replica that goes away ends it: then
it is cancelled, and what it held and flew stays as it is, for others to find. A story that fails after its caller has
left is logged.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from service.usecases.background import report_lost_error

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Detached:
    """The use case. `close` before the parts that the stories use."""

    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def begin(self, story: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Set it going. To wait for it, use `wait`."""
        task = asyncio.create_task(story)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def __call__(self, story: Coroutine[Any, Any, T]) -> T:
        """Set it going, and wait for it."""
        return await self.wait(self.begin(story))

    async def wait(self, task: asyncio.Task[T]) -> T:
        """Wait for it, without ending it when the caller leaves."""
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(report_lost_error)
            raise

    async def close(self) -> None:
        """End what is still going on."""
        left = [*self._tasks]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
