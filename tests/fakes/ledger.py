"""The ledger in memory, and entries for it."""

import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from service.domain.errors import InvalidValue, LedgerUnavailable
from service.domain.ledger import Basis, Entry, EntryStatus, posted_scopes
from service.usecases.ports.ledger import GROUPS, EntryFilter, Spent, UsageQuery, UsageRow

UNCERTAIN = frozenset({Basis.ESTIMATED, Basis.UNCONFIRMED})


def booked(hold_id: str, **changes: Any) -> Entry:
    """Build an entry: one image for $0.041 in November 2026, with some fields changed."""
    usual: dict[str, Any] = {
        "hold_id": hold_id,
        "request_id": f"req_{hold_id}",
        "team": "design",
        "key": "design-1",
        "operation": "generation",
        "model": "gpt-image-2",
        "backend": "openai",
        "upstream_model": "gpt-image-2-2026-04-21",
        "price_version": "2026-10-01",
        "output_format": "png",
        "n": 1,
        "cost": 41_000_000,
        "basis": Basis.USAGE,
        "status": EntryStatus.DELIVERED,
        "resolved_tier": "medium",
        "held_at": 1_794_700_800_000_000,  # 2026-11-15T00:00:00Z
        "posted_at": 1_794_700_809_000_000,
    }
    return Entry(**usual | changes)


class FakeLedger:
    """Keeps entries by hold id; once `down` is set, it is unavailable."""

    def __init__(self) -> None:
        self.written: dict[str, Entry] = {}
        self.down = False

    async def write(self, entries: Sequence[Entry]) -> None:
        self._answer()
        for entry in entries:
            self.written.setdefault(entry.hold_id, entry)

    async def spent(self, team: str, at: int) -> Spent:
        self._answer()
        totals: dict[str, Counter[str]] = {"%Y-%m-%d": Counter(), "%Y-%m": Counter()}
        for entry in self.written.values():
            for pattern, sums in totals.items():
                if entry.team == team and utc(entry.held_at, pattern) == utc(at, pattern):
                    sums.update(dict.fromkeys(posted_scopes(entry), entry.cost))
        return Spent(at=at, day=+totals["%Y-%m-%d"], month=+totals["%Y-%m"])

    async def find_settled(self, hold_ids: Collection[str]) -> Collection[str]:
        self._answer()
        return self.written.keys() & set(hold_ids)

    async def usage(self, query: UsageQuery) -> Sequence[UsageRow]:
        self._answer()
        groups: defaultdict[tuple[str | None, ...], list[Entry]] = defaultdict(list)
        for name in query.group_by:
            if name not in GROUPS and not re.fullmatch(r"tag:[\w.-]{1,64}", name, re.ASCII):
                raise InvalidValue(f"Usage cannot be grouped by '{name}'.", param="group_by")
        for entry in self._within(query.entry_filter):
            groups[tuple(grouped(entry, name) for name in query.group_by)].append(entry)
        in_order = sorted(groups, key=lambda group: [(value is not None, value or "") for value in group])
        return [summed(group, groups[group]) for group in in_order]

    async def entries(self, entry_filter: EntryFilter) -> AsyncIterator[Entry]:
        self._answer()
        for entry in sorted(self._within(entry_filter), key=lambda entry: (entry.held_at, entry.hold_id)):
            yield entry

    def _answer(self) -> None:
        if self.down:
            raise LedgerUnavailable("The ledger of record does not answer.")

    def _within(self, span: EntryFilter) -> list[Entry]:
        mine = [entry for entry in self.written.values() if span.team in {None, entry.team}]
        return [entry for entry in mine if span.since <= entry.held_at < span.until]


def utc(at: int, pattern: str) -> str:
    """Format microseconds since 1970."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).strftime(pattern)


def grouped(entry: Entry, name: str) -> str | None:
    """Return the group of an entry."""
    if name.startswith("tag:"):
        return entry.tags.get(name.removeprefix("tag:"))
    if name in {"day", "month"}:
        return utc(entry.held_at, "%Y-%m-%d" if name == "day" else "%Y-%m")
    groups: str | None = entry.resolved_tier if name == "tier" else getattr(entry, name)
    return groups


def summed(group: tuple[str | None, ...], entries: Sequence[Entry]) -> UsageRow:
    """Sum up the entries of a group."""
    return UsageRow(
        group=group,
        entries=len(entries),
        images=sum(entry.n for entry in entries),
        cost=sum(entry.cost for entry in entries),
        saved=sum(entry.saved for entry in entries),
        uncertain=sum(entry.cost for entry in entries if entry.basis in UNCERTAIN),
        tokens_in=sum(entry.text_in + entry.image_in for entry in entries),
        tokens_out=sum(entry.text_out + entry.image_out for entry in entries),
    )
