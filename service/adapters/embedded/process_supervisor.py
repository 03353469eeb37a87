"""Starts a child process again when it ends by itself.

Rule: a thread waits for the child, so its end is known at once, whatever the event loop does. After `MAX_ENDS` ends
within a minute the guard gives up and says why; a start that fails is an end. The thread outlives the child, because
Linux ends a child together with the thread that started it.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Protocol

MAX_ENDS = 5
ENDS_WINDOW_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.1  # before the second restart within a minute; doubled for each further one


class Child(Protocol):
    """A child process that runs."""

    @property
    def stopped(self) -> Event:
        """Set once the child is meant to end."""
        ...

    def wait(self) -> int:
        """Wait for the child's end. The result is its exit code; a signal is below 0."""
        ...

    def restart(self) -> bool:
        """Start the child again. True if it answers; if it does not, it has been ended."""
        ...

    def stop(self) -> None:
        """End the child for good."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisionListener:
    """Callbacks in the guard's thread: `on_restart` gets exit code and ends of a minute, `on_give_up` the ends."""

    on_restart: Callable[[int, int], None]
    on_give_up: Callable[[int], None]


@contextmanager
def supervised(child: Child, listener: SupervisionListener) -> Iterator[None]:
    """Guard a child for the length of a block, and end it with the block."""
    thread = Thread(target=_keep_running, args=(child, listener), name="guard", daemon=True)
    thread.start()
    try:
        yield
    finally:
        child.stop()
        thread.join()


def _keep_running(child: Child, listener: SupervisionListener) -> None:
    ends = deque[float](maxlen=MAX_ENDS)
    while True:
        code = child.wait()
        ends.append(time.monotonic())
        lately = sum(end >= ends[-1] - ENDS_WINDOW_SECONDS for end in ends)
        pause = 0.0 if lately == 1 else FIRST_PAUSE_SECONDS * 2 ** (lately - 2)
        if child.stopped.wait(pause):
            return
        if lately == MAX_ENDS:
            listener.on_give_up(lately)
            return
        if child.restart():
            listener.on_restart(code, lately)
