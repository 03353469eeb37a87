"""The ports of money: quotas and holds, the books, and keys that are issued while running.

Rule: as in `ports.py`: domain types only, each with a fake, one suite on both. `Ledger` is fast, shared and may be
lost; `Books` are slow, append-only and the truth; the counters of the one can be rebuilt from the other.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.allowances import UNRESTRICTED, Allowance
from service.domain.ledger import Admission, Claim, Entry, HoldState
from service.domain.limits import Limit, Standing


class CountersLost(Exception):
    """The store's counters are not those of the books: it is new, was emptied, or came back from an older copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An entry on its way to the books, and its place in the queue."""

    ticket: str
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """The state that a hold is in after a post; and if this call put the entry on its way, its place in the queue.

    `held_at` and `posted_at` are then the entry's own, by the clock of the store.
    """

    state: HoldState
    ticket: str | None = None
    held_at: int = 0
    posted_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The counters' life and version, the time of the store in microseconds, and the ids of the open holds.

    A life ends when the counters are lost, or the store is restarted. The version grows within a life.
    """

    life: str
    version: str
    at: int
    open_holds: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Booked nano-USD by scope, in the UTC day and month that contain `at` (microseconds since 1970)."""

    at: int
    day: Mapping[str, int]
    month: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Entries held from `since` on and before `until` (microseconds since 1970), of one team or of all."""

    since: int
    until: int
    team: str | None = None


GROUPS = frozenset(
    {"team", "key", "model", "tier", "backend", "operation", "size", "day", "month", "basis", "cache", "status"}
)
"""What usage can be grouped by, besides `tag:<name>`. `tier` is the one that was drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """Which entries to sum up, and by what: names of `GROUPS` or `tag:<name>`, in order."""

    span: Span
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """Sums of one group; `group` holds one value for each name of the query. Money is nano-USD.

    `uncertain` is the part of `cost` that is estimated or unconfirmed.
    """

    group: tuple[str | None, ...]
    entries: int
    images: int
    cost: int
    saved: int
    uncertain: int
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A key that was issued through the admin API. Known by its digest only."""

    id: str
    team: str
    digest: str
    note: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    allowance: Allowance = UNRESTRICTED


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """Who did what to which key, team or store, when. `detail` is for people and holds no secret."""

    at: datetime
    actor: str
    action: str
    subject: str
    detail: str
    request_id: str


class Ledger(Protocol):
    """Quotas, holds and counters, shared by all replicas. The clock is the store's own.

    Every verb may raise `StateUnavailable`, within 150 ms. Every verb may be called again with the same ids after that:
    what has happened already does not happen twice.
    """

    async def hold(self, team: str, claims: Sequence[Claim], limits: Sequence[Limit], *, state: HoldState) -> Admission:
        """Hold all claims, as one request, or none. `state` is PENDING or SENT; a hold lives for the lease.

        Raises:
            LimitExceeded: the first of the limits that has no room.
            CountersLost: the counters are not those of the books; rebuild them and ask again.
        """
        ...

    async def send(self, team: str, hold_ids: Sequence[str]) -> None:
        """Mark pending holds as sent. Raises `StateUnavailable` also when one is not pending any more."""
        ...

    async def post(self, entry: Entry) -> Posted:
        """End a sent hold with what it cost and put its entry on the way to the books; counters are set right.

        A hold that the store has lost is counted and booked all the same; one that ended before stays as it is.
        """
        ...

    async def void(self, team: str, hold_id: str) -> HoldState:
        """End a hold that was certainly not billed. Returns the state it is in now."""
        ...

    async def extend(self, team: str, claims: Sequence[Claim]) -> None:
        """Give open holds a new lease; a hold that the store has lost is put back as sent."""
        ...

    async def sweep(self, team: str) -> Sequence[HoldState]:
        """End holds whose lease is over: pending ones are voided, sent ones booked at their quote, unconfirmed."""
        ...

    async def standings(self, team: str, limits: Sequence[Limit]) -> Sequence[Standing]:
        """How limits stand."""
        ...

    async def waiting(self, team: str, most: int) -> Sequence[Waiting]:
        """Entries that are on their way to the books, oldest first."""
        ...

    async def written(self, team: str, tickets: Sequence[str]) -> int:
        """Entries with these tickets are in the books. Returns how many of them were still waiting."""
        ...

    async def audit(self, team: str) -> Audit:
        """What a rebuild has to know: the life and the version of the counters, and the open holds."""
        ...

    async def rebuild(self, team: str, audit: Audit, spent: Spent, settled: Collection[str]) -> bool:
        """Set the counters to what the books say plus the open holds that are not `settled` there.

        Returns False, with nothing done, if the counters were lost or anything was posted since the audit.
        """
        ...

    async def announce(self, teams: Collection[str]) -> Collection[str]:
        """Make teams known to every replica, and learn which are: all that were ever announced."""
        ...

    async def lead(self, owner: str, seconds: float) -> bool:
        """Become, or stay, the one replica that does what one should do; until the seconds are over."""
        ...


class Books(Protocol):
    """The ledger of record: append-only. Raises `BooksUnavailable` when it cannot be reached."""

    async def write(self, entries: Sequence[Entry]) -> None:
        """Add entries; one whose hold id is there already is left as it is."""
        ...

    async def spent(self, team: str, at: int) -> Spent:
        """What was booked in the day and the month of `at` (microseconds since 1970), by scope."""
        ...

    async def settled(self, hold_ids: Collection[str]) -> Collection[str]:
        """Those of the holds that have an entry."""
        ...

    async def usage(self, query: UsageQuery) -> Sequence[UsageRow]:
        """Sums over entries, in the order of their groups."""
        ...

    def entries(self, span: Span) -> AsyncIterator[Entry]:
        """Every entry of a span, oldest first, read bit by bit."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recount:
    """A team's counters that were lost, in this life of theirs, and are about to be counted anew."""

    team: str
    life: str


class Replicas(Protocol):
    """The replicas that are alive, and what they are asked to report before counters are rebuilt.

    A store that is wiped does not take them along. The clock is that of the database. Raises `BooksUnavailable`.
    """

    async def beat(self, name: str) -> Sequence[Recount]:
        """Show that a replica is alive. Returns the recounts that wait for its report."""
        ...

    async def report(self, name: str, recount: Recount) -> None:
        """Note that the store and the books have all that this replica knows of the team."""
        ...

    async def ask(self, name: str, recount: Recount, alive_seconds: float | None) -> int:
        """Ask every replica for its report; the one that asks has reported. Returns how many reports are missing.

        A replica that has not shown itself for `alive_seconds` is not waited for. With None every known one is.
        """
        ...

    async def finish(self, recount: Recount) -> None:
        """Forget a recount that is done."""
        ...

    async def leave(self, name: str) -> None:
        """Forget a replica, which has ended all that it held."""
        ...


class KeyStore(Protocol):
    """Keys that were issued while running. Every change writes its audit record in the same transaction.

    Raises `BooksUnavailable`.
    """

    async def add(self, key: IssuedKey, record: AuditRecord) -> None:
        """Keep a new key. Raises `InvalidValue` if its id is taken."""
        ...

    async def change(self, key: IssuedKey, record: AuditRecord) -> None:
        """Replace what is known about a key with the same id; once revoked it stays so. Raises `KeyNotFound`."""
        ...

    async def note(self, record: AuditRecord) -> None:
        """Write down what was done to something that is no key."""
        ...

    async def find(self, key_id: str) -> IssuedKey:
        """One key. Raises `KeyNotFound`."""
        ...

    async def keys(self, team: str | None = None) -> Sequence[IssuedKey]:
        """All keys, or those of a team, revoked and expired ones included, oldest first."""
        ...

    async def records(self, most: int) -> Sequence[AuditRecord]:
        """The audit trail, newest first."""
        ...
