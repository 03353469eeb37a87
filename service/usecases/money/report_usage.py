"""Report of usage: sums over the ledger, by groups and in total.

Rule: the rows are the ledger's own sums, and the total is the sum of the rows, so that a report adds up. Money is
nano-USD.

Fails with: `LedgerUnavailable`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.usecases.ports.ledger import EntryFilter, Ledger, UsageQuery, UsageRow


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """Rows in the order of their groups, and their total. `group_by` names the parts of a row's group."""

    group_by: tuple[str, ...]
    rows: tuple[UsageRow, ...]
    total: UsageRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportUsage:
    """The use case."""

    ledger: Ledger

    async def report(self, entry_filter: EntryFilter, group_by: tuple[str, ...] = ()) -> UsageReport:
        """Report the usage of the entries of a filter."""
        rows = tuple(await self.ledger.usage(UsageQuery(entry_filter=entry_filter, group_by=group_by)))
        return UsageReport(group_by=group_by, rows=rows, total=sum_rows(rows))


def sum_rows(rows: Sequence[UsageRow]) -> UsageRow:
    """Add up all rows into one without a group."""
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
