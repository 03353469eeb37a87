"""A pause after a failure of a part that a request can do without.

Rule: one failure starts the pause, so that a part that hangs does not cost every request its timeout. Requests do not
call the part until the pause is over. Then one caller at a time tries whether the part is back.

Fails with: nothing.
"""

import time
from collections.abc import Callable


class Cooldown:
    """A pause of `seconds`.

    A failure starts it, a success ends it. `monotonic` is a clock in seconds that never goes back.
    """

    __slots__ = ("_monotonic", "_seconds", "_until")

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._until: float | None = None

    def is_active(self) -> bool:
        """Return whether the part must not be called.

        A False after a pause allows one caller to try it, and starts the next pause.
        """
        if self._until is None:
            return False
        if self._monotonic() < self._until:
            return True
        self.start()
        return False

    def start(self) -> None:
        """Start the pause after a failure."""
        self._until = self._monotonic() + self._seconds

    def end(self) -> None:
        """End the pause after a success."""
        self._until = None
