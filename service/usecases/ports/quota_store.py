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
    """The counters do not agree with the ledger: the store is new, was emptied, or was restored from an older copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry:
    """An entry on its way to the ledger, and its id in the store's stream."""

    outbox_id: str
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class PostResult:
    """Result of a post.

    Attributes:
        state: State of the hold.
        outbox_id: Id of the entry in the outbox, if this call added it.
        held_at: Time of the hold in microseconds since 1970, by the store's clock; set with `outbox_id`.
        posted_at: Time of the post, likewise.
    """

    state: HoldState
    outbox_id: str | None = None
    held_at: int = 0
    posted_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterSnapshot:
    """State of a team's counters before a rebuild.

    Attributes:
        epoch: Run of the counters. An epoch ends when the counters are lost or the store restarts.
        version: Version of the counters, which grows within an epoch.
        at: Time of the store, in microseconds since 1970.
        open_holds: Ids of the holds that have not ended.
    """

    epoch: str
    version: str
    at: int
    open_holds: tuple[str, ...]


class QuotaStore(Protocol):
    """Quotas, holds and counters of all replicas, by the store's clock.

    Every method may raise `StateUnavailable`, within 150 ms. It may then be called again with the same ids: an effect
    that the first call had is not repeated.
    """

    async def hold(
        self, team: str, hold_requests: Sequence[HoldRequest], limits: Sequence[Limit], *, state: HoldState
    ) -> Admission:
        """Make all holds of one request, or none. `state` is PENDING or SENT. A hold lasts for the lease.

        Raises:
            LimitExceeded: the first limit that has no room.
            CountersLost: the counters have to be rebuilt before the next try.
        """
        ...

    async def mark_sent(self, team: str, hold_ids: Sequence[str]) -> None:
        """Mark pending holds as sent. Raises `StateUnavailable` also if one is no longer pending."""
        ...

    async def post(self, entry: Entry) -> PostResult:
        """End a sent hold with its cost, correct the counters, and add the entry to the outbox.

        A hold that the store has lost is counted and booked as well. A hold that ended before is not changed.
        """
        ...

    async def void(self, team: str, hold_id: str) -> HoldState:
        """End a hold that was certainly not billed. Returns its state afterwards."""
        ...

    async def extend(self, team: str, hold_requests: Sequence[HoldRequest]) -> None:
        """Renew the lease of open holds. A hold that the store has lost is added again as sent."""
        ...

    async def sweep(self, team: str) -> Sequence[HoldState]:
        """End holds whose lease is over. Pending ones are voided; sent ones are booked at their quote, unconfirmed."""
        ...

    async def limit_status(self, team: str, limits: Sequence[Limit]) -> Sequence[LimitStatus]:
        """Return the used and the remaining part of each limit."""
        ...

    async def read_outbox(self, team: str, limit: int) -> Sequence[OutboxEntry]:
        """Return the oldest entries of the outbox, in order."""
        ...

    async def acknowledge(self, team: str, outbox_ids: Sequence[str]) -> int:
        """Remove entries that are in the ledger from the outbox. Returns the number of removed entries."""
        ...

    async def snapshot(self, team: str) -> CounterSnapshot:
        """Read the counters' epoch and version and the open holds, for a rebuild."""
        ...

    async def rebuild(self, team: str, snapshot: CounterSnapshot, spent: Spent, settled: Collection[str]) -> bool:
        """Set the counters to the ledger's sums plus the open holds that are not `settled` in the ledger.

        Returns False, with nothing changed, if the counters were lost or a hold was posted since the snapshot.
        """
        ...

    async def register_teams(self, teams: Collection[str]) -> Collection[str]:
        """Add teams to the store's list. Returns every team that was ever added."""
        ...

    async def acquire_leadership(self, owner: str, seconds: float) -> bool:
        """Become or stay the leader of all replicas for `seconds`. Returns whether `owner` leads."""
        ...
