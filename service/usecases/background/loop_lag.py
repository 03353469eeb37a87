"""Watch the event loop: how late does a timer fire?

Rule: everything that holds the loop up delays everybody, and shows here before callers complain. Raises nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.usecases.ports.events import LoopLagged
from service.usecases.ports.observer import Observer


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLagMonitor:
    """The use case. `elapsed` gives monotonic seconds, `sleep` waits for some: `seconds`, again and again."""

    observe: Observer
    elapsed: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    seconds: float = 0.5

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            began = self.elapsed()
            await self.sleep(self.seconds)
            self.observe(LoopLagged(seconds=max(0.0, self.elapsed() - began - self.seconds)))
