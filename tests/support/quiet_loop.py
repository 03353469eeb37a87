"""An event loop whose clock stands still while this process, or what it waits for, is only late.

Rule: the clock goes on by a wait that passed without any event, and by nothing else. So a test can bound what code
waits for on purpose, by its timers: a machine that is busy with something else adds nothing to it.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Adds up waits in which nothing came."""

    quiet = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(timeout)
        if timeout and not events:
            self.quiet += timeout
        return events


class QuietLoop(asyncio.SelectorEventLoop):
    """Its `time` is in quiet seconds."""

    def __init__(self) -> None:
        self._waits = _Selector()
        super().__init__(self._waits)

    def time(self) -> float:
        """Return the quiet seconds since the loop was made."""
        return self._waits.quiet


def run_quietly(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=QuietLoop) as runner:
        return runner.run(main)


def quiet_seconds() -> float:
    """Return what the clock of the running loop says."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, QuietLoop), "run_quietly runs it"
    return loop.time()
