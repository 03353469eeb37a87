"""Port of the quota store: counters, holds and the outbox of entries, shared by all replicas.

Rule: the store is fast and may be lost. Its counters can be rebuilt from the ledger, which is the truth.

Fails with: `StateUnavailable` while it does not answer, and `CountersLost` until its counters are rebuilt.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.ledger import Admission, Entry, HoldRequest, HoldState
from service.domain.quota_limits import Limit, LimitStatus
from service.usecases.ports.ledger import Spent


class CountersLost(Exception):
    """The store's counters are not those of the books: it is new, was emptied, or came back from an older copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry:
    """An entry on its way to the books, and its place in the queue."""

    outbox_id: str
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class PostResult:
    """The state that a hold is in after a post; and if this call put the entry on its way, its place in the queue.

    `held_at` and `posted_at` are then the entry's own, by the clock of the store.
    """

    state: HoldState
    outbox_id: str | None = None
    held_at: int = 0
    posted_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterSnapshot:
    """The counters' life and version, the time of the store in microseconds, and the ids of the open holds.

    A life ends when the counters are lost, or the store is restarted. The version grows within a life.
    """

    epoch: str
    version: str
    at: int
    open_holds: tuple[str, ...]


class QuotaStore(Protocol):
    """Quotas, holds and counters, shared by all replicas. The clock is the store's own.

    Every verb may raise `StateUnavailable`, within 150 ms. Every verb may be called again with the same ids after that:
    what has happened already does not happen twice.
    """

    async def hold(
        self, team: str, hold_requests: Sequence[HoldRequest], limits: Sequence[Limit], *, state: HoldState
    ) -> Admission:
        """Hold all claims, as one request, or none. `state` is PENDING or SENT; a hold lives for the lease.

        Raises:
            LimitExceeded: the first of the limits that has no room.
            CountersLost: the counters are not those of the books; rebuild them and ask again.
        """
        ...

    async def mark_sent(self, team: str, hold_ids: Sequence[str]) -> None:
        """Mark pending holds as sent. Raises `StateUnavailable` also when one is not pending any more."""
        ...

    async def post(self, entry: Entry) -> PostResult:
        """End a sent hold with what it cost and put its entry on the way to the books; counters are set right.

        A hold that the store has lost is counted and booked all the same; one that ended before stays as it is.
        """
        ...

    async def void(self, team: str, hold_id: str) -> HoldState:
        """End a hold that was certainly not billed. Returns the state it is in now."""
        ...

    async def extend(self, team: str, hold_requests: Sequence[HoldRequest]) -> None:
        """Give open holds a new lease; a hold that the store has lost is put back as sent."""
        ...

    async def sweep(self, team: str) -> Sequence[HoldState]:
        """End holds whose lease is over: pending ones are voided, sent ones booked at their quote, unconfirmed."""
        ...

    async def limit_status(self, team: str, limits: Sequence[Limit]) -> Sequence[LimitStatus]:
        """How limits stand."""
        ...

    async def read_outbox(self, team: str, limit: int) -> Sequence[OutboxEntry]:
        """Entries that are on their way to the books, oldest first."""
        ...

    async def acknowledge(self, team: str, outbox_ids: Sequence[str]) -> int:
        """Entries with these tickets are in the books. Returns how many of them were still waiting."""
        ...

    async def snapshot(self, team: str) -> CounterSnapshot:
        """What a rebuild has to know: the life and the version of the counters, and the open holds."""
        ...

    async def rebuild(self, team: str, snapshot: CounterSnapshot, spent: Spent, settled: Collection[str]) -> bool:
        """Set the counters to what the books say plus the open holds that are not `settled` there.

        Returns False, with nothing done, if the counters were lost or anything was posted since the audit.
        """
        ...

    async def register_teams(self, teams: Collection[str]) -> Collection[str]:
        """Make teams known to every replica, and learn which are: all that were ever announced."""
        ...

    async def acquire_leadership(self, owner: str, seconds: float) -> bool:
        """Become, or stay, the one replica that does what one should do; until the seconds are over."""
        ...
