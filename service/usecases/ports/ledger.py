"""Port of the ledger: entries in the database, their sums and reports.

Rule: the ledger is append-only and the truth about money.

Fails with: `LedgerUnavailable` while the database does not answer.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.ledger import Entry

GROUPS = frozenset(
    {"team", "key", "model", "tier", "backend", "operation", "size", "day", "month", "basis", "cache", "status"}
)
"""Names by which usage can be grouped, besides `tag:<name>`. `tier` is the delivered tier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Booked nano-USD by scope, in the UTC day and month that contain `at` (microseconds since 1970)."""

    at: int
    day: Mapping[str, int]
    month: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilter:
    """Entries with a hold from `since` on and before `until` (microseconds since 1970), of one team or of all."""

    since: int
    until: int
    team: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """Sums of filtered entries. `group_by` has names of `GROUPS` or `tag:<name>`, in order."""

    entry_filter: EntryFilter
    group_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """Sums of one group. Money is nano-USD.

    Attributes:
        group: One value for each name of `group_by`.
        uncertain: Part of `cost` that is estimated or unconfirmed.
    """

    group: tuple[str | None, ...]
    entries: int
    images: int
    cost: int
    saved: int
    uncertain: int
    tokens_in: int
    tokens_out: int


class Ledger(Protocol):
    """The ledger of record. Raises `LedgerUnavailable`."""

    async def write(self, entries: Sequence[Entry]) -> None:
        """Add entries. An entry whose hold id is there already is not changed."""
        ...

    async def spent(self, team: str, at: int) -> Spent:
        """Return the booked money in the day and the month of `at` (microseconds since 1970)."""
        ...

    async def find_settled(self, hold_ids: Collection[str]) -> Collection[str]:
        """Return the holds that have an entry."""
        ...

    async def usage(self, query: UsageQuery) -> Sequence[UsageRow]:
        """Return the sums, in the order of their groups."""
        ...

    def entries(self, entry_filter: EntryFilter) -> AsyncIterator[Entry]:
        """Yield the filtered entries, oldest first. The database is read in batches."""
        ...
