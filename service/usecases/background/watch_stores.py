"""Log events for stores that cannot be used, and that can be used again, from a check in the background.

Rule: the check only reports, once for each change of state or cause. The first check is at the start.

Fails with: nothing.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from service.usecases.ports.events import StoreUnusable, StoreUsable
from service.usecases.ports.monitored_store import MonitoredStore
from service.usecases.ports.observer import Observer


@dataclass(slots=True, kw_only=True)
class WatchStores:
    """The check of the stores.

    Attributes:
        stores: Stores by the variable that has their address.
        timeout_seconds: Timeout of each command of a check.
        _reported: The reported problem of each store that cannot be used.
    """

    stores: Mapping[str, MonitoredStore]
    timeout_seconds: float
    observer: Observer
    interval_seconds: float = 2.0
    _reported: dict[str, str] = field(default_factory=dict)

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(self.interval_seconds)

    async def check(self) -> None:
        """Check each store once."""
        for name, store in self.stores.items():
            problem, reported = await store.problem(self.timeout_seconds), self._reported.pop(name, None)
            if problem:
                self._reported[name] = problem
            if problem and problem != reported:
                self.observer.record(StoreUnusable(store=name, problem=problem))
            elif reported and not problem:
                self.observer.record(StoreUsable(store=name))
