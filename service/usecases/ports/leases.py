"""Port of leases in the database."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseHolder:
    """Who holds the lease: one process of its own, or the replicas of a shared store.

    `location` is the same for processes that cannot run at the same time, `token` belongs to one process, `name` is for
    people. `since` is in microseconds since 1970 and 0 before the lease is held.
    """

    location: str
    token: str
    name: str
    shared: bool
    is_draining: bool = False
    since: int = 0


class Leases(Protocol):
    """The lease, in the database of the ledger. Raises `LedgerUnavailable`."""

    async def take(self, holder: LeaseHolder, seconds: float, *, force: bool = False) -> LeaseHolder:
        """Take or renew it for so long if it is free, over, this holder's, or of the same place; `force`: in any case.

        Replicas of a shared store renew each other's. The result is who holds it now.
        """
        ...

    async def release(self, holder: LeaseHolder) -> None:
        """Give it back, if this very process holds it."""
        ...
