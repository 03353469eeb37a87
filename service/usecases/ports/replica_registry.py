"""Port of the registry of replicas: which are alive, and which have reported to a recount.

Rule: the registry is in the database, so it survives a store that is wiped. Its clock is the database's.

Fails with: `LedgerUnavailable`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Recount:
    """The recount of a team's lost counters. `epoch` is the run of the counters that are rebuilt."""

    team: str
    epoch: str


class ReplicaRegistry(Protocol):
    """The live replicas. Raises `LedgerUnavailable`."""

    async def heartbeat(self, name: str) -> Sequence[Recount]:
        """Record that a replica is alive. Returns the recounts that wait for its report."""
        ...

    async def report(self, name: str, recount: Recount) -> None:
        """Record that store and ledger have every entry and hold that this replica has of the team."""
        ...

    async def request_reports(self, name: str, recount: Recount, alive_seconds: float | None) -> int:
        """Request the report of every other replica. Returns the number of missing reports.

        A replica without a heartbeat for `alive_seconds` is left out. With None every registered replica has to report.
        """
        ...

    async def finish(self, recount: Recount) -> None:
        """Remove a recount that is complete."""
        ...

    async def unregister(self, name: str) -> None:
        """Remove a replica that has settled all its holds."""
        ...
