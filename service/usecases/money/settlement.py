"""Settlement of holds, and the way of their entries to the ledger, behind the requests of one replica.

Rule: a settlement is recorded before it is tried, and removed only when it is done. So neither a cancelled request nor
an unreachable Redis loses it. An entry is in Redis' outbox before it is in memory here, and leaves the outbox after it
is in the ledger. Writing an entry twice changes nothing. `EntryPosted` is emitted once per entry: by the replica that
settled its hold, or, for an expired hold, by the replica that drains it from the outbox.

Fails with: nothing while Redis or the ledger does not answer: settlements and entries wait.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import groupby

from service.domain.errors import LedgerUnavailable, StateUnavailable
from service.domain.ledger import Entry, EntryStatus, HoldRequest, HoldState
from service.domain.limit_errors import SECOND
from service.domain.state_snapshot import Backlog
from service.usecases.background.round_robin import next_batch
from service.usecases.ports.events import (
    EntriesWritten,
    EntryPosted,
    HoldExpired,
    HoldVoided,
    LedgerOutageEnded,
    LedgerOutageStarted,
    SettlementDelayed,
)
from service.usecases.ports.ledger import Ledger
from service.usecases.ports.observer import Observer
from service.usecases.ports.quota_store import OutboxEntry, QuotaStore

BATCH_SIZE = 500
MAX_EXTENDED = 100  # holds in one call: a thousand blocked Redis for 20 ms, and this replica for 30
MAX_IN_MEMORY = 20_000  # entries; beyond that only the outbox has them, and the leader writes them


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Seconds between rounds, and the lease of a hold whose replica does not extend it."""

    write_seconds: float = 0.2
    retry_seconds: float = 1.0
    sweep_seconds: float = 5.0
    lease_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class VoidRequest:
    """A hold to void."""

    team: str
    hold_id: str


@dataclass(frozen=True, slots=True)
class OpenHold:
    """An open hold. `held_at` is microseconds since 1970."""

    hold_request: HoldRequest
    held_at: int

    def to_lease_extension(self) -> HoldRequest:
        """Build the request for a new lease. If it runs out, the entry has the time of the first hold."""
        return replace(self.hold_request, entry=replace(self.hold_request.entry, held_at=self.held_at))


@dataclass(slots=True, kw_only=True)
class Settlement:
    """The use case. `owner` is the name of this replica."""

    quotas: QuotaStore
    ledger: Ledger
    observer: Observer
    owner: str
    intervals: Intervals
    _open_holds: dict[str, OpenHold] = field(default_factory=dict)
    _pending_settlements: dict[str, Entry | VoidRequest] = field(default_factory=dict)
    _outbox: list[OutboxEntry] = field(default_factory=list)
    _registered_teams: set[str] = field(default_factory=set)
    _last_swept_team: str = ""
    _is_behind: bool = False
    _unanswered_holds: set[asyncio.Event] = field(default_factory=set)
    _write_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def register_team(self, team: str) -> None:
        """Register a team before its first hold, so that the sweep of any replica includes it."""
        if team not in self._registered_teams:
            await self.quotas.register_teams([team])
            self._registered_teams.add(team)

    @contextmanager
    def awaiting_hold(self) -> Iterator[None]:
        """Mark a hold request under way. A report waits for its answer, which may be older than a loss of Redis."""
        answered = asyncio.Event()
        self._unanswered_holds.add(answered)
        try:
            yield
        finally:
            self._unanswered_holds.discard(answered)
            answered.set()

    def track(self, hold_requests: Iterable[HoldRequest], held_at: int) -> None:
        """Track holds that were made at `held_at`: their leases are extended until they are settled or untracked."""
        self._open_holds |= {hold_request.hold_id: OpenHold(hold_request, held_at) for hold_request in hold_requests}

    def untrack(self, hold_ids: Iterable[str]) -> None:
        """Stop extending these holds. A sent hold is booked at its quote when its lease is over."""
        for hold_id in hold_ids:
            self._open_holds.pop(hold_id, None)

    def void_later(self, team: str, hold_ids: Iterable[str]) -> None:
        """Void holds whose creation is uncertain, as soon as Redis answers."""
        self._pending_settlements |= {hold_id: VoidRequest(team, hold_id) for hold_id in hold_ids}

    async def post(self, entry: Entry) -> HoldState | None:
        """End a hold with an entry, now or as soon as Redis answers. Returns its state; None if it is unknown."""
        self._pending_settlements[entry.hold_id] = entry
        return await self._settle_or_report(entry)

    async def void(self, team: str, hold_id: str) -> HoldState | None:
        """End a hold without an entry, now or as soon as Redis answers. Returns its state; None if it is unknown."""
        void_request = VoidRequest(team, hold_id)
        self._pending_settlements[hold_id] = void_request
        return await self._settle_or_report(void_request)

    async def _settle_or_report(self, settlement: Entry | VoidRequest) -> HoldState | None:
        state = await self._try_settle(settlement)
        if state is None:
            self.observer.record(SettlementDelayed(hold_id=settlement.hold_id, team=settlement.team))
        return state

    async def _try_settle(self, settlement: Entry | VoidRequest) -> HoldState | None:
        """End a hold. Returns its state; None if Redis does not answer."""
        try:
            if isinstance(settlement, Entry):
                posted = await self.quotas.post(settlement)
                if posted.outbox_id and len(self._outbox) < MAX_IN_MEMORY:
                    entry = replace(settlement, held_at=posted.held_at, posted_at=posted.posted_at)
                    self._outbox.append(OutboxEntry(outbox_id=posted.outbox_id, entry=entry))
                    self._wake.set()
                state = posted.state
            else:
                state = await self.quotas.void(settlement.team, settlement.hold_id)
        except StateUnavailable:
            return None
        if self._pending_settlements.pop(settlement.hold_id, None):  # a retry may have emitted it already
            self._emit(settlement, state)
        self._open_holds.pop(settlement.hold_id, None)
        return state

    def _emit(self, settlement: Entry | VoidRequest, state: HoldState) -> None:
        """Emit the event of a settlement, if it is the one that ended the hold."""
        match settlement, state:
            case Entry(), HoldState.POSTED:
                self.observer.record(EntryPosted(entry=settlement))
            case VoidRequest(), HoldState.VOIDED:
                self.observer.record(HoldVoided(team=settlement.team))

    async def run(self) -> None:
        """Run all rounds until cancelled."""
        async with asyncio.TaskGroup() as rounds:
            rounds.create_task(self._write_on_wake())
            rounds.create_task(self._run_every(self.intervals.retry_seconds, self.retry_settlements))
            rounds.create_task(self._run_every(self.intervals.lease_seconds / 3, self.extend_leases))
            rounds.create_task(self._run_every(self.intervals.sweep_seconds, self.sweep))

    async def _write_on_wake(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(self.intervals.write_seconds)
            self._wake.clear()
            await self.write_outbox()

    async def _run_every(self, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await action()
            except (StateUnavailable, LedgerUnavailable):
                continue  # the next request or report gets the error; the next round tries again

    async def retry_settlements(self) -> None:
        """Try pending settlements again, until Redis does not answer."""
        for settlement in [*self._pending_settlements.values()]:
            if not await self._try_settle(settlement):
                return

    async def extend_leases(self) -> None:
        """Try pending settlements again, and extend the lease of every open hold of this replica."""
        await self.retry_settlements()
        by_team = sorted((open_hold.to_lease_extension() for open_hold in self._open_holds.values()), key=_team_name)
        for team, group in groupby(by_team, _team_name):
            await self._extend_team(team, [*group])
        if self._outbox:
            await self.write_outbox()

    async def _extend_team(self, team: str, hold_requests: Sequence[HoldRequest]) -> None:
        for first in range(0, len(hold_requests), MAX_EXTENDED):
            await self.quotas.extend(team, hold_requests[first : first + MAX_EXTENDED])

    async def publish_team_state(self, team: str) -> None:
        """Publish this replica's open holds, settlements and entries of a team, so that a rebuild counts them.

        Raises:
            StateUnavailable: Redis did not accept the holds or settlements.
            LedgerUnavailable: the ledger did not accept the entries.
        """
        for answered in [*self._unanswered_holds]:
            await answered.wait()
        for settlement in [pending for pending in self._pending_settlements.values() if pending.team == team]:
            if not await self._try_settle(settlement):
                raise StateUnavailable("What is owed could not be settled.")
        await self._extend_team(
            team,
            [
                open_hold.to_lease_extension()
                for open_hold in self._open_holds.values()
                if open_hold.hold_request.entry.team == team
            ],
        )
        unwritten_ids = {outbox_entry.outbox_id for outbox_entry in self._outbox if outbox_entry.entry.team == team}
        if unwritten_ids:
            await self.write_outbox()
        if unwritten_ids & {waiting.outbox_id for waiting in self._outbox}:
            raise LedgerUnavailable("The ledger of record does not answer.")

    async def write_outbox(self) -> None:
        """Write entries from memory to the ledger, and acknowledge them in the outbox."""
        async with self._write_lock:  # two writers would remove entries that only one of them has written
            while self._outbox:
                batch = self._outbox[:BATCH_SIZE]
                if not await self._write_batch(batch):
                    return
                del self._outbox[: len(batch)]

    async def _write_batch(self, batch: Sequence[OutboxEntry]) -> bool:
        try:
            await self.ledger.write([outbox_entry.entry for outbox_entry in batch])
        except LedgerUnavailable as down:
            if not self._is_behind:
                self.observer.record(LedgerOutageStarted(waiting=len(self._outbox), reason=down.message))
            self._is_behind = True
            return False
        if self._is_behind:
            self.observer.record(LedgerOutageEnded(waiting=len(self._outbox)))
        self._is_behind = False
        self.observer.record(EntriesWritten(count=len(batch)))
        by_team = sorted(batch, key=lambda waiting: waiting.entry.team)
        for team, team_entries in groupby(by_team, lambda waiting: waiting.entry.team):
            try:
                await self.quotas.acknowledge(team, [waiting.outbox_id for waiting in team_entries])
            except StateUnavailable:
                continue  # they stay in the outbox and are written again, to no effect
        return True

    async def sweep(self) -> None:
        """Expire orphaned holds, and drain the outboxes of other replicas. Only the leader does it."""
        teams = await self.quotas.register_teams(self._registered_teams)
        if not await self.quotas.acquire_leadership(self.owner, 3 * self.intervals.sweep_seconds):
            return
        for team in next_batch(teams, self._last_swept_team):
            self._last_swept_team = team
            for state in await self.quotas.sweep(team):
                self.observer.record(HoldExpired(team=team, booked=state is HoldState.EXPIRED))
            await self.drain_outbox(team)

    async def drain_outbox(self, team: str) -> None:
        """Write every entry of a team's outbox to the ledger. Raises `LedgerUnavailable`."""
        while batch := await self.quotas.read_outbox(team, BATCH_SIZE):
            await self.ledger.write([outbox_entry.entry for outbox_entry in batch])
            self.observer.record(EntriesWritten(count=len(batch)))
            for posted in batch:
                if posted.entry.status is EntryStatus.LOST and await self.quotas.acknowledge(team, [posted.outbox_id]):
                    self.observer.record(EntryPosted(entry=posted.entry))
            await self.quotas.acknowledge(team, [waiting.outbox_id for waiting in batch])

    def backlog(self) -> Backlog:
        """Return open holds, and waiting entries and settlements."""
        open_counts, held_amounts = Counter[str](), Counter[str]()
        for hold_request in (open_hold.hold_request for open_hold in self._open_holds.values()):
            open_counts[hold_request.entry.team] += 1
            held_amounts[hold_request.entry.team] += hold_request.quote
        oldest = self._outbox[0].entry.posted_at / SECOND if self._outbox else None
        return Backlog(
            open_holds=open_counts,
            held_amounts=held_amounts,
            outbox_entries=len(self._outbox),
            oldest_posted_at=oldest,
            pending_settlements=len(self._pending_settlements),
        )

    async def close(self) -> None:
        """Settle and write pending work once, before this replica ends.

        An entry that Redis does not accept goes to the ledger directly. The ledger keeps the first entry of each hold.
        Otherwise Redis would book the hold as `unconfirmed` later, although this replica knows its cost.
        """
        await self.retry_settlements()
        await self.write_outbox()
        unposted = [settlement for settlement in self._pending_settlements.values() if isinstance(settlement, Entry)]
        with suppress(LedgerUnavailable):
            await self.ledger.write([replace(entry, posted_at=entry.posted_at or entry.held_at) for entry in unposted])


def _team_name(hold_request: HoldRequest) -> str:
    return hold_request.entry.team
