"""Say what was used: sums over the ledger of record, by groups and in total.

Rule: the rows are the books' own sums and the total is the sum of the rows, so that what is shown adds up. Money stays
in nano-USD. Raises `LedgerUnavailable`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.usecases.ports.ledger import EntryFilter, Ledger, UsageQuery, UsageRow


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """Rows in the order of their groups, and all of them in one; `group_by` names what the rows' groups are."""

    group_by: tuple[str, ...]
    rows: tuple[UsageRow, ...]
    total: UsageRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportUsage:
    """The use case."""

    ledger: Ledger

    async def __call__(self, entry_filter: EntryFilter, group_by: tuple[str, ...] = ()) -> UsageReport:
        """The usage of a span."""
        rows = tuple(await self.ledger.usage(UsageQuery(entry_filter=entry_filter, group_by=group_by)))
        return UsageReport(group_by=group_by, rows=rows, total=sum_rows(rows))


def sum_rows(rows: Sequence[UsageRow]) -> UsageRow:
    """All rows in one, which belongs to no group."""
    return UsageRow(
        group=(),
        entries=sum(row.entries for row in rows),
        images=sum(row.images for row in rows),
        cost=sum(row.cost for row in rows),
        saved=sum(row.saved for row in rows),
        uncertain=sum(row.uncertain for row in rows),
        tokens_in=sum(row.tokens_in for row in rows),
        tokens_out=sum(row.tokens_out for row in rows),
    )
