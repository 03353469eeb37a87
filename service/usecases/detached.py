"""Stories that go on when whoever waits for them leaves.

Rule: what was begun is finished, whether or not its caller is still there. Only a replica that goes away ends it: then
it is cancelled, and what it held and flew stays as it is, for others to find.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Detached:
    """The use case. `close` before the parts that the stories use."""

    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def begin(self, story: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Set it going. To wait for it, shield it."""
        task = asyncio.create_task(story)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def __call__(self, story: Coroutine[Any, Any, T]) -> T:
        """Set it going, and wait for it."""
        return await asyncio.shield(self.begin(story))

    async def close(self) -> None:
        """End what is still going on."""
        left = [*self._tasks]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
