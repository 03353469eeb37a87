"""Stories that go on when whoever waits for them leaves.

Rule: what was begun is finished, whether or not its caller is still there. Only a replica that goes away ends it: then
it is cancelled, and what it held and flew stays as it is, for others to find. A story that fails after its caller has
left is logged.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from service.usecases.background.supervisor import report_unhandled_error

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DetachedTasks:
    """The use case. `close` before the parts that the stories use."""

    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start work that goes on by itself."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Start work and wait for it. It goes on if the caller is cancelled."""
        task = self.start(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(report_unhandled_error)
            raise

    async def close(self) -> None:
        """End what is still going on."""
        remaining = [*self._tasks]
        for task in remaining:
            task.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)
