"""Watch the event loop: how late does a timer fire?

Rule: everything that holds the loop up delays everybody, and shows here before callers complain. Raises nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.usecases.ports.events import LoopLagged
from service.usecases.ports.observer import Observer


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLagMonitor:
    """The use case. `monotonic` gives seconds; `sleep` waits `interval_seconds`, again and again."""

    observe: Observer
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    interval_seconds: float = 0.5

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            started_at = self.monotonic()
            await self.sleep(self.interval_seconds)
            self.observe(LoopLagged(lag_seconds=max(0.0, self.monotonic() - started_at - self.interval_seconds)))
