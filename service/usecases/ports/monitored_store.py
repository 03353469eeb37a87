"""Port of a monitored store: whether it can be used, and how its servers treat their memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMemory:
    """Memory of one Redis server, as the server reports it.

    Attributes:
        max_bytes: Bound of the memory in bytes; 0 is no bound.
        policy: Eviction policy once the bound is reached.
        used_bytes: Bytes in use.
    """

    max_bytes: int
    policy: str
    used_bytes: int = field(default=0, compare=False)


class MonitoredStore(Protocol):
    """One store: a Redis server or a cluster."""

    async def problem(self, timeout_seconds: float) -> str | None:
        """Return why the store cannot be used, or None. Never raises."""
        ...

    async def memory(self) -> Sequence[ServerMemory]:
        """Return the memory of each server that answers; empty if none does. Never raises."""
        ...
