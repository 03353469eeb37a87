"""Port of the lease on the ledger's database.

Rule: one process without a shared store holds the lease alone. Replicas of a shared store hold it together.

Fails with: `LedgerUnavailable`.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseHolder:
    """One process, or the replicas of a shared store.

    Attributes:
        location: Equal for processes that cannot run at the same time.
        token: Random text of one process.
        name: Name for people.
        shared: Whether the holder is a group of replicas.
        since: Microseconds since 1970; 0 before the lease is held.
    """

    location: str
    token: str
    name: str
    shared: bool
    is_draining: bool = False
    since: int = 0


class Leases(Protocol):
    """The lease. Raises `LedgerUnavailable`."""

    async def take(self, holder: LeaseHolder, seconds: float, *, force: bool = False) -> LeaseHolder:
        """Take or renew the lease for some seconds, and return its holder.

        The lease is granted if it is free, over, held by this holder, or by a holder of this location. `force` grants
        it in any case. Replicas of a shared store renew each other's lease.
        """
        ...

    async def release(self, holder: LeaseHolder) -> None:
        """End the lease if this process holds it."""
        ...
