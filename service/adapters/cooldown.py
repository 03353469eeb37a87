"""Leaving a part alone for a while after it failed.

Rule: for something that can be done without, one failure is enough: until the pause is over nobody asks, so that a part
that hangs does not cost every request its patience. Then one caller at a time finds out whether it is back.
"""

import time
from collections.abc import Callable


class Cooldown:
    """Begins with a failure, ends with a success. `monotonic` is a clock in seconds that does not go back."""

    __slots__ = ("_monotonic", "_seconds", "_until")

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._until: float | None = None

    def is_active(self) -> bool:
        """Should the part be left alone? Who is told no when the time is over asks on behalf of all."""
        if self._until is None:
            return False
        if self._monotonic() < self._until:
            return True
        self.start()
        return False

    def start(self) -> None:
        """It failed."""
        self._until = self._monotonic() + self._seconds

    def end(self) -> None:
        """It answered."""
        self._until = None
