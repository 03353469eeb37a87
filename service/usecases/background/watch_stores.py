"""Tell when a store cannot be used, and when it can be again: what goes on behind the requests.

Rule: it only tells, once for each change of state or of cause. The first look is made at the start.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from service.usecases.ports.events import StoreUnusable, StoreUsable
from service.usecases.ports.observer import Observer


@dataclass(slots=True, kw_only=True)
class WatchStores:
    """The use case. `problems` asks a store, by the variable that names it, what is wrong with it."""

    problems: Mapping[str, Callable[[], Awaitable[str | None]]]
    observe: Observer
    interval_seconds: float = 2.0
    _reported: dict[str, str] = field(default_factory=dict)

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(self.interval_seconds)

    async def check(self) -> None:
        """Ask each store once."""
        for store, ask in self.problems.items():
            problem, before = await ask(), self._reported.pop(store, None)
            if problem:
                self._reported[store] = problem
            if problem and problem != before:
                self.observe(StoreUnusable(store=store, problem=problem))
            elif before and not problem:
                self.observe(StoreUsable(store=store))
