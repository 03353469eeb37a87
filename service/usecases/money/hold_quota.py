"""Holds on money and quota, made before a vendor is called, and their end.

Rule: all holds of a request are made or none. The end of the block voids the holds that were not marked as sent. A sent
hold stays, because the call may have been billed: it is booked when its lease is over. Lost counters are rebuilt from
the ledger before a request is admitted. Requests that need a rebuild of one team share one rebuild.

Fails with: `LimitExceeded`; `StateUnavailable` if Redis does not answer or the counters cannot be rebuilt.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from service.domain.errors import LedgerUnavailable, StateUnavailable
from service.domain.ledger import Admission, Entry, HoldRequest, HoldState
from service.domain.quota_limits import Limit
from service.usecases.money.ledger_lease import LedgerLease
from service.usecases.money.recount_reports import RecountReports
from service.usecases.money.settlement import Settlement
from service.usecases.ports.events import CountersRebuilt
from service.usecases.ports.ledger import Ledger
from service.usecases.ports.observer import Observer
from service.usecases.ports.quota_store import CountersLost, QuotaStore
from service.usecases.ports.replica_registry import Recount

MAX_REBUILDS = 5


@dataclass(slots=True)
class Hold:
    """The holds of one attempt. Each ends by `post` or `void`, or its lease runs out."""

    team: str
    admission: Admission
    settlement: Settlement
    quotas: QuotaStore
    open_holds: dict[str, HoldState]
    sent: bool = False

    async def mark_sent(self) -> None:
        """Record that a backend is about to be called: from here on the outcome of an open hold is unknown.

        Raises:
            StateUnavailable: a pending hold has ended.
        """
        pending = [hold_id for hold_id, state in self.open_holds.items() if state is HoldState.PENDING]
        if pending:
            await self.quotas.mark_sent(self.team, pending)
            self.open_holds |= dict.fromkeys(pending, HoldState.SENT)
        self.sent = True

    async def post(self, entry: Entry) -> HoldState | None:
        """End a hold of a call that was or may have been billed. Returns the hold's state; None if it is unknown."""
        del self.open_holds[entry.hold_id]
        return await self.settlement.post(entry)

    async def void(self, hold_id: str) -> HoldState | None:
        """End a hold of a call that was certainly not billed. Returns the hold's state; None if it is unknown."""
        del self.open_holds[hold_id]
        return await self.settlement.void(self.team, hold_id)


@dataclass(slots=True, kw_only=True)
class HoldQuota:
    """The use case. `lease` is the lease on the ledger, of a replica with counters of its own."""

    quotas: QuotaStore
    ledger: Ledger
    settlement: Settlement
    observer: Observer
    recount_reports: RecountReports
    lease: LedgerLease | None = None
    _rebuilding: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _rebuilds: Counter[str] = field(default_factory=Counter)

    @asynccontextmanager
    async def hold(
        self,
        team: str,
        hold_requests: Sequence[HoldRequest],
        limits: Sequence[Limit],
        state: HoldState = HoldState.SENT,
    ) -> AsyncIterator[Hold]:
        """Hold for the length of a block. `state` is SENT if the backend is called at once, else PENDING.

        A hold that the block does not mark as sent is voided at its end.

        Raises:
            LimitExceeded: a limit has no room.
            StateUnavailable: no hold can be made now.
        """
        await self.settlement.register_team(team)
        ids = [hold_request.hold_id for hold_request in hold_requests]
        try:
            admission = await self._admit(team, hold_requests, limits, state)
        except (StateUnavailable, asyncio.CancelledError):
            self.settlement.void_later(team, ids)
            raise
        hold = Hold(team, admission, self.settlement, self.quotas, dict.fromkeys(ids, state))
        try:
            yield hold
        finally:
            if not hold.sent:
                for hold_id in [*hold.open_holds]:
                    await hold.void(hold_id)
            self.settlement.untrack(hold.open_holds)

    async def _admit(
        self, team: str, hold_requests: Sequence[HoldRequest], limits: Sequence[Limit], state: HoldState
    ) -> Admission:
        for _ in range(MAX_REBUILDS):
            rebuilds = self._rebuilds[team]
            if self.lease:
                self.lease.check()
            try:
                with self.settlement.awaiting_hold():
                    admission = await self.quotas.hold(team, hold_requests, limits, state=state)
                    self.settlement.track(hold_requests, admission.held_at)
            except CountersLost:
                await self.rebuild(team, rebuilds)
            else:
                return admission
        raise StateUnavailable("The gateway's counters are being rebuilt.")

    async def rebuild(self, team: str, seen_rebuilds: int | None = None) -> None:
        """Rebuild a team's counters from the ledger and the open holds, unless that was done since `seen_rebuilds`.

        Another replica may rebuild them too, and then admit. Its posts meanwhile make this rebuild futile, not wrong.
        """
        if seen_rebuilds is not None and self._rebuilds[team] != seen_rebuilds:
            return
        task = self._rebuilding.get(team)
        if task is None:
            task = self._rebuilding[team] = asyncio.create_task(self._rebuild(team))
        await asyncio.shield(task)

    async def _rebuild(self, team: str) -> None:
        try:
            if await self._rebuild_once(team):
                self.observer.record(CountersRebuilt(team=team))
            self._rebuilds[team] += 1
        finally:
            del self._rebuilding[team]

    async def _rebuild_once(self, team: str) -> bool:
        snapshot = await self.quotas.snapshot(team)
        recount = Recount(team=team, epoch=snapshot.epoch)
        try:
            if await self.recount_reports.wait_for_reports(recount):
                snapshot = await self.quotas.snapshot(team)  # with the state that other replicas have published
                if snapshot.epoch != recount.epoch:
                    return False
            await self.settlement.write_outbox()
            await self.settlement.drain_outbox(team)
            spent = await self.ledger.spent(team, snapshot.at)
            settled = await self.ledger.find_settled(snapshot.open_holds)
        except LedgerUnavailable:
            raise StateUnavailable("The gateway's counters cannot be rebuilt: the ledger does not answer.") from None
        if not await self.quotas.rebuild(team, snapshot, spent, settled):
            return False
        await self.recount_reports.finish(recount)
        return True
