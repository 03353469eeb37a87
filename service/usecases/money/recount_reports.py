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
    """The use case of one replica, by `name`. `replicas` is None where no other replica can use the store."""

    replicas: ReplicaRegistry | None
    keep: Settlement
    name: str
    elapsed: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    _since: float | None = None

    async def run(self) -> None:
        """Show life, and report what is asked, until cancelled."""
        while True:
            await self.beat()
            await self.sleep(HEARTBEAT_SECONDS)

    async def beat(self) -> None:
        """Show life once, and report what is asked."""
        if self.replicas is None:
            return
        try:
            asked = await self.replicas.beat(self.name)
        except LedgerUnavailable:
            self._since = None
            return
        if self._since is None:
            self._since = self.elapsed()
        for recount in asked:
            with suppress(StateUnavailable, LedgerUnavailable):  # the next beat tries again
                await self.keep.report(recount.team)
                await self.replicas.report(self.name, recount)

    async def gather(self, recount: Recount) -> bool:
        """Wait until every live replica has reported. Returns False where there is none to ask.

        Raises:
            StateUnavailable: a report is missing.
            LedgerUnavailable: the database does not answer.
        """
        if self.replicas is None:
            return False
        await self.keep.report(recount.team)
        waited, missing = 0.0, await self.replicas.ask(self.name, recount, self._alive_seconds())
        while missing and waited < WAIT_SECONDS:
            await self.sleep(POLL_SECONDS)
            waited += POLL_SECONDS
            missing = await self.replicas.ask(self.name, recount, self._alive_seconds())
        if missing:
            raise StateUnavailable("The gateway's counters are being rebuilt; other replicas have not reported yet.")
        return True

    async def finish(self, recount: Recount) -> None:
        """Forget a recount that is done. One that stays costs each replica one more report."""
        if self.replicas:
            with suppress(LedgerUnavailable):
                await self.replicas.finish(recount)

    async def close(self) -> None:
        """Before this replica goes, with everything settled: others need not wait for it."""
        if self.replicas:
            with suppress(LedgerUnavailable):
                await self.replicas.leave(self.name)

    def _alive_seconds(self) -> float | None:
        """After how long without a sign another is dead; None as long as this replica cannot tell."""
        settled = self._since is not None and self.elapsed() - self._since >= ALIVE_SECONDS
        return ALIVE_SECONDS if settled else None
