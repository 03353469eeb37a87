"""Port of the registry of replicas: which of them have reported to a recount."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Recount:
    """A team's counters that were lost, in this life of theirs, and are about to be counted anew."""

    team: str
    epoch: str


class ReplicaRegistry(Protocol):
    """The replicas that are alive, and what they are asked to report before counters are rebuilt.

    A store that is wiped does not take them along. The clock is that of the database. Raises `LedgerUnavailable`.
    """

    async def heartbeat(self, name: str) -> Sequence[Recount]:
        """Show that a replica is alive. Returns the recounts that wait for its report."""
        ...

    async def report(self, name: str, recount: Recount) -> None:
        """Note that the store and the books have all that this replica knows of the team."""
        ...

    async def request_reports(self, name: str, recount: Recount, alive_seconds: float | None) -> int:
        """Ask every replica for its report; the one that asks has reported. Returns how many reports are missing.

        A replica that has not shown itself for `alive_seconds` is not waited for. With None every known one is.
        """
        ...

    async def finish(self, recount: Recount) -> None:
        """Forget a recount that is done."""
        ...

    async def unregister(self, name: str) -> None:
        """Forget a replica, which has ended all that it held."""
        ...
