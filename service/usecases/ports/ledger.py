"""Port of the ledger: entries in the database, their sums and reports."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.ledger import Entry

GROUPS = frozenset(
    {"team", "key", "model", "tier", "backend", "operation", "size", "day", "month", "basis", "cache", "status"}
)
"""What usage can be grouped by, besides `tag:<name>`. `tier` is the one that was drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Booked nano-USD by scope, in the UTC day and month that contain `at` (microseconds since 1970)."""

    at: int
    day: Mapping[str, int]
    month: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilter:
    """Entries held from `since` on and before `until` (microseconds since 1970), of one team or of all."""

    since: int
    until: int
    team: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """Which entries to sum up, and by what: names of `GROUPS` or `tag:<name>`, in order."""

    entry_filter: EntryFilter
    group_by: tuple[str, ...] = ()


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


class Ledger(Protocol):
    """The ledger of record: append-only. Raises `LedgerUnavailable` when it cannot be reached."""

    async def write(self, entries: Sequence[Entry]) -> None:
        """Add entries; one whose hold id is there already is left as it is."""
        ...

    async def spent(self, team: str, at: int) -> Spent:
        """What was booked in the day and the month of `at` (microseconds since 1970), by scope."""
        ...

    async def find_settled(self, hold_ids: Collection[str]) -> Collection[str]:
        """Those of the holds that have an entry."""
        ...

    async def usage(self, query: UsageQuery) -> Sequence[UsageRow]:
        """Sums over entries, in the order of their groups."""
        ...

    def entries(self, span: EntryFilter) -> AsyncIterator[Entry]:
        """Every entry of a span, oldest first, read bit by bit."""
        ...
