"""Lag of the event loop: the delay of a timer.

Rule: code that blocks the loop delays every request, and shows in this gauge.

Fails with: nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.usecases.ports.events import LoopLagged
from service.usecases.ports.observer import Observer


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLagMonitor:
    """The measurement, every `interval_seconds`. `monotonic` returns monotonic seconds."""

    observer: Observer
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    interval_seconds: float = 0.5

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            started_at = self.monotonic()
            await self.sleep(self.interval_seconds)
            self.observer.record(
                LoopLagged(lag_seconds=max(0.0, self.monotonic() - started_at - self.interval_seconds))
            )
