"""The requests of this replica that wait for a connection to the state's servers.

Rule: waiting is no silence of a server. It is bounded where a request begins (`is_full`), so that too many requests are
refused at once, and none that has begun is refused half way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MAX_WAITING = 1024


@dataclass(slots=True)
class ConnectionQueue:
    """Shared by all ways to the servers. A replica that has `max_waiting` waiting begins nothing new."""

    max_waiting: int = MAX_WAITING
    waiting: int = 0

    @contextmanager
    def waiting_one(self) -> Iterator[None]:
        """Count a wait for as long as it lasts."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    def is_full(self) -> bool:
        """Should nothing new begin?"""
        return self.waiting >= self.max_waiting
