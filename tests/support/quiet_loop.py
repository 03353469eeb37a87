"""Event loop whose clock stands still while this process, or its peer, is late because of the machine.

Rule: only a wait that ends without an event advances the clock. So a test can bound intended waits by the timers of the
code. Load of the machine adds nothing.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Selector that sums the waits without an event."""

    quiet = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(timeout)
        if timeout and not events:
            self.quiet += timeout
        return events


class QuietLoop(asyncio.SelectorEventLoop):
    """Event loop whose `time` is in quiet seconds."""

    def __init__(self) -> None:
        self._waits = _Selector()
        super().__init__(self._waits)

    def time(self) -> float:
        """Return the quiet seconds since the loop was made."""
        return self._waits.quiet


def run_quietly(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on its own loop, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=QuietLoop) as runner:
        return runner.run(main)


def quiet_seconds() -> float:
    """Return the time of the running loop's clock."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, QuietLoop), "run_quietly runs it"
    return loop.time()
