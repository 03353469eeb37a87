"""Reports of live replicas before lost counters are rebuilt.

Rule: a rebuild counts the ledger's entries and the open holds in Redis. After a loss Redis lacks the running calls of
other replicas, and the ledger lacks their last entries. So the rebuilding replica asks them through the database. Each
replica writes its open holds to Redis and its entries to the ledger, and reports. The rebuild waits for all reports. A
replica without a heartbeat for `ALIVE_SECONDS` counts as dead. Only a replica that has itself reached the database for
that long may conclude this.

Fails with: `StateUnavailable` when reports are missing after `WAIT_SECONDS`; nothing is admitted then.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from service.domain.errors import LedgerUnavailable, StateUnavailable
from service.usecases.money.settlement import Settlement
from service.usecases.ports.replica_registry import Recount, ReplicaRegistry

HEARTBEAT_SECONDS = 1.0
ALIVE_SECONDS = 10.0
POLL_SECONDS = 0.1
WAIT_SECONDS = 12.0


@dataclass(slots=True, kw_only=True)
class RecountReports:
    """The use case of the replica `name`. `registry` is None if no other replica can use its Redis."""

    registry: ReplicaRegistry | None
    settlement: Settlement
    name: str
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    _reachable_since: float | None = None

    async def run(self) -> None:
        """Send heartbeats, and report to open recounts, until cancelled."""
        while True:
            await self.heartbeat()
            await self.sleep(HEARTBEAT_SECONDS)

    async def heartbeat(self) -> None:
        """Send one heartbeat, and report to open recounts."""
        if self.registry is None:
            return
        try:
            open_recounts = await self.registry.heartbeat(self.name)
        except LedgerUnavailable:
            self._reachable_since = None
            return
        if self._reachable_since is None:
            self._reachable_since = self.monotonic()
        for recount in open_recounts:
            with suppress(StateUnavailable, LedgerUnavailable):  # the next heartbeat tries again
                await self.settlement.publish_team_state(recount.team)
                await self.registry.report(self.name, recount)

    async def wait_for_reports(self, recount: Recount) -> bool:
        """Wait until every live replica has reported. Returns False if no other replica can exist.

        Raises:
            StateUnavailable: a report is missing.
            LedgerUnavailable: the database does not answer.
        """
        if self.registry is None:
            return False
        await self.settlement.publish_team_state(recount.team)
        waited_seconds = 0.0
        missing_reports = await self.registry.request_reports(self.name, recount, self._alive_seconds())
        while missing_reports and waited_seconds < WAIT_SECONDS:
            await self.sleep(POLL_SECONDS)
            waited_seconds += POLL_SECONDS
            missing_reports = await self.registry.request_reports(self.name, recount, self._alive_seconds())
        if missing_reports:
            raise StateUnavailable("The gateway's counters are being rebuilt; other replicas have not reported yet.")
        return True

    async def finish(self, recount: Recount) -> None:
        """Remove a finished recount. One that remains costs each replica one more report."""
        if self.registry:
            with suppress(LedgerUnavailable):
                await self.registry.finish(recount)

    async def close(self) -> None:
        """Unregister this replica, whose holds are settled, so that no recount waits for it."""
        if self.registry:
            with suppress(LedgerUnavailable):
                await self.registry.unregister(self.name)

    def _alive_seconds(self) -> float | None:
        """Return seconds without a heartbeat after which a replica is dead; None while this one cannot tell."""
        is_certain = self._reachable_since is not None and self.monotonic() - self._reachable_since >= ALIVE_SECONDS
        return ALIVE_SECONDS if is_certain else None
