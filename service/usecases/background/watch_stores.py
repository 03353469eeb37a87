"""Tell when a store cannot be used, and when it can be again: what goes on behind the requests.

Rule: it only tells, once for each change of state or of cause. The first look is made at the start.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from service.usecases.ports.events import StoreUnusable, StoreUsable
from service.usecases.ports.monitored_store import MonitoredStore
from service.usecases.ports.observer import Observer


@dataclass(slots=True, kw_only=True)
class WatchStores:
    """The use case. `problems` asks a store, by the variable that names it, what is wrong with it."""

    stores: Mapping[str, MonitoredStore]
    timeout_seconds: float
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
        for name, store in self.stores.items():
            problem, reported = await store.problem(self.timeout_seconds), self._reported.pop(name, None)
            if problem:
                self._reported[name] = problem
            if problem and problem != reported:
                self.observe(StoreUnusable(store=name, problem=problem))
            elif reported and not problem:
                self.observe(StoreUsable(store=name))
