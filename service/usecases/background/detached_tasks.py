"""Tasks that go on when their caller leaves.

Rule: a task that was started is finished, also after its caller has left. Only `close` cancels it, when the replica
ends. Its holds and flights stay as they are, and other replicas find them.

Fails with: the error of the task. An error after the caller has left is logged.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from service.usecases.background.supervisor import report_unhandled_error

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DetachedTasks:
    """The running tasks. They are closed before the parts that they use."""

    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start work in a task of its own."""
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
        """Cancel the tasks that are still running, and wait for their end."""
        remaining = [*self._tasks]
        for task in remaining:
            task.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)
