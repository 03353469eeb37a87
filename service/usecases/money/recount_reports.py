"""Before lost counters are rebuilt, let every live replica say what it alone knows.

Rule: the books and the open holds in the store are all that a rebuild can count. After a wipe the store lacks the calls
that other replicas have under way, and the books lack their last entries. So the replica that rebuilds asks the others,
by way of the database. Each puts its open holds back into the store and its entries into the books, and reports. The
rebuild waits until all have reported. A replica counts as dead when it has not shown itself for `ALIVE_SECONDS`; but
only a replica that has itself reached the database for that long may conclude so.

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
    """The use case of one replica, by `name`. `registry` is None where no other replica can use the store."""

    registry: ReplicaRegistry | None
    settlement: Settlement
    name: str
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    _reachable_since: float | None = None

    async def run(self) -> None:
        """Show life, and report what is asked, until cancelled."""
        while True:
            await self.heartbeat()
            await self.sleep(HEARTBEAT_SECONDS)

    async def heartbeat(self) -> None:
        """Show life once, and report what is asked."""
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
            with suppress(StateUnavailable, LedgerUnavailable):  # the next beat tries again
                await self.settlement.publish_team_state(recount.team)
                await self.registry.report(self.name, recount)

    async def wait_for_reports(self, recount: Recount) -> bool:
        """Wait until every live replica has reported. Returns False where there is none to ask.

        Raises:
            StateUnavailable: a report is missing.
            LedgerUnavailable: the database does not answer.
        """
        if self.registry is None:
            return False
        await self.settlement.publish_team_state(recount.team)
        waited_seconds, missing_reports = (
            0.0,
            await self.registry.request_reports(self.name, recount, self._alive_seconds()),
        )
        while missing_reports and waited_seconds < WAIT_SECONDS:
            await self.sleep(POLL_SECONDS)
            waited_seconds += POLL_SECONDS
            missing_reports = await self.registry.request_reports(self.name, recount, self._alive_seconds())
        if missing_reports:
            raise StateUnavailable("The gateway's counters are being rebuilt; other replicas have not reported yet.")
        return True

    async def finish(self, recount: Recount) -> None:
        """Forget a recount that is done. One that stays costs each replica one more report."""
        if self.registry:
            with suppress(LedgerUnavailable):
                await self.registry.finish(recount)

    async def close(self) -> None:
        """Before this replica goes, with everything settled: others need not wait for it."""
        if self.registry:
            with suppress(LedgerUnavailable):
                await self.registry.unregister(self.name)

    def _alive_seconds(self) -> float | None:
        """After how long without a sign another is dead; None as long as this replica cannot tell."""
        is_certain = self._reachable_since is not None and self.monotonic() - self._reachable_since >= ALIVE_SECONDS
        return ALIVE_SECONDS if is_certain else None
