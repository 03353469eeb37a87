"""Settle holds, and bring their entries to the books: what goes on behind the requests of one replica.

Rule: what is owed is noted before it is tried and forgotten only when it is done, so that neither a cancelled request
nor a store that is away loses it. An entry is in the store's queue before it is in memory here, and leaves the queue
after it is in the books; writing it twice changes nothing. When the store or the books are down, everything waits.
Each entry is told of once, by whoever ended its hold, or for one that expired, by whoever takes it off the queue.
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
    LedgerBehind,
    LedgerCaughtUp,
    SettlementDelayed,
)
from service.usecases.ports.ledger import Ledger
from service.usecases.ports.observer import Observer
from service.usecases.ports.quota_store import OutboxEntry, QuotaStore

BATCH_SIZE = 500
MAX_EXTENDED = 100  # holds in one call: a thousand kept the store from everybody else for 20 ms, and us for 30
MAX_IN_MEMORY = 20_000  # beyond that the store's queue alone has them, and the leader writes them


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Seconds between rounds, and how long a hold lives without a sign of its replica."""

    write_seconds: float = 0.2
    retry_seconds: float = 1.0
    sweep_seconds: float = 5.0
    lease_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class VoidRequest:
    """A hold that is to be voided."""

    team: str
    hold_id: str


@dataclass(frozen=True, slots=True)
class OpenHold:
    """A hold that is open since then, in microseconds since 1970."""

    hold_request: HoldRequest
    held_at: int

    def to_lease_extension(self) -> HoldRequest:
        """The claim for a new lease: what is booked if it runs out says when it was held first."""
        return replace(self.hold_request, entry=replace(self.hold_request.entry, held_at=self.held_at))


@dataclass(slots=True, kw_only=True)
class Settlement:
    """The use case. `owner` names this replica among its peers."""

    quotas: QuotaStore
    ledger: Ledger
    observe: Observer
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
        """Before a team's first hold: let the sweeper of all replicas know of it."""
        if team not in self._registered_teams:
            await self.quotas.register_teams([team])
            self._registered_teams.add(team)

    @contextmanager
    def awaiting_hold(self) -> Iterator[None]:
        """While a hold is asked for: a report waits for its answer, which may have come before the store was lost."""
        answered = asyncio.Event()
        self._unanswered_holds.add(answered)
        try:
            yield
        finally:
            self._unanswered_holds.discard(answered)
            answered.set()

    def track(self, hold_requests: Iterable[HoldRequest], held_at: int) -> None:
        """Look after holds that were made at `held_at`: they are extended until they are settled or left."""
        self._open_holds |= {hold_request.hold_id: OpenHold(hold_request, held_at) for hold_request in hold_requests}

    def untrack(self, hold_ids: Iterable[str]) -> None:
        """Look after these holds no longer; what was sent will be booked at its quote when its lease is over."""
        for hold_id in hold_ids:
            self._open_holds.pop(hold_id, None)

    def void_later(self, team: str, hold_ids: Iterable[str]) -> None:
        """Void holds of which nobody knows whether they were made, as soon as the store answers."""
        self._pending_settlements |= {hold_id: VoidRequest(team, hold_id) for hold_id in hold_ids}

    async def post(self, entry: Entry) -> HoldState | None:
        """End a hold with an entry, now or as soon as the store answers. The hold's state now, if that is known."""
        self._pending_settlements[entry.hold_id] = entry
        return await self._settle_or_report(entry)

    async def void(self, team: str, hold_id: str) -> HoldState | None:
        """End a hold that was not billed, likewise."""
        void_request = VoidRequest(team, hold_id)
        self._pending_settlements[hold_id] = void_request
        return await self._settle_or_report(void_request)

    async def _settle_or_report(self, settlement: Entry | VoidRequest) -> HoldState | None:
        state = await self._try_settle(settlement)
        if state is None:
            self.observe(SettlementDelayed(hold_id=settlement.hold_id, team=settlement.team))
        return state

    async def _try_settle(self, settlement: Entry | VoidRequest) -> HoldState | None:
        """End a hold. Its state now; None if the store does not answer."""
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
        if self._pending_settlements.pop(settlement.hold_id, None):  # a retry may have been told already
            self._emit(settlement, state)
        self._open_holds.pop(settlement.hold_id, None)
        return state

    def _emit(self, settlement: Entry | VoidRequest, state: HoldState) -> None:
        """Say how a hold ended, if this is how it did."""
        match settlement, state:
            case Entry(), HoldState.POSTED:
                self.observe(EntryPosted(entry=settlement))
            case VoidRequest(), HoldState.VOIDED:
                self.observe(HoldVoided(team=settlement.team))

    async def run(self) -> None:
        """Go on until cancelled."""
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
                continue  # whoever asks next will be told; the next round tries again

    async def retry_settlements(self) -> None:
        """Try again what is owed, until the store does not answer."""
        for settlement in [*self._pending_settlements.values()]:
            if not await self._try_settle(settlement):
                return

    async def extend_leases(self) -> None:
        """Try again what is owed, and give every open hold of this replica a new lease."""
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
        """Put all that this replica alone knows of a team where a rebuild finds it: open holds, what is owed, entries.

        Raises:
            StateUnavailable: the store did not take it.
            LedgerUnavailable: the books did not.
        """
        for answered in [*self._unanswered_holds]:
            await answered.wait()
        for settlement in [owed for owed in self._pending_settlements.values() if owed.team == team]:
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
        """Bring entries from memory to the books, and take them off the store's queue."""
        async with self._write_lock:  # two at a time would strike off what only one of them has written
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
                self.observe(LedgerBehind(waiting=len(self._outbox), reason=down.message))
            self._is_behind = True
            return False
        if self._is_behind:
            self.observe(LedgerCaughtUp(waiting=len(self._outbox)))
        self._is_behind = False
        self.observe(EntriesWritten(count=len(batch)))
        by_team = sorted(batch, key=lambda waiting: waiting.entry.team)
        for team, team_entries in groupby(by_team, lambda waiting: waiting.entry.team):
            try:
                await self.quotas.acknowledge(team, [waiting.outbox_id for waiting in team_entries])
            except StateUnavailable:
                continue  # they stay in the queue and are written again, to no effect
        return True

    async def sweep(self) -> None:
        """As the one replica that does it: end holds that nobody looks after, and write what others left behind."""
        teams = await self.quotas.register_teams(self._registered_teams)
        if not await self.quotas.acquire_leadership(self.owner, 3 * self.intervals.sweep_seconds):
            return
        for team in next_batch(teams, self._last_swept_team):
            self._last_swept_team = team
            for state in await self.quotas.sweep(team):
                self.observe(HoldExpired(team=team, booked=state is HoldState.EXPIRED))
            await self.drain_outbox(team)

    async def drain_outbox(self, team: str) -> None:
        """Write everything of a team that is on its way to the books. Raises `LedgerUnavailable`."""
        while batch := await self.quotas.read_outbox(team, BATCH_SIZE):
            await self.ledger.write([outbox_entry.entry for outbox_entry in batch])
            self.observe(EntriesWritten(count=len(batch)))
            for posted in batch:
                if posted.entry.status is EntryStatus.LOST and await self.quotas.acknowledge(team, [posted.outbox_id]):
                    self.observe(EntryPosted(entry=posted.entry))
            await self.quotas.acknowledge(team, [waiting.outbox_id for waiting in batch])

    def backlog(self) -> Backlog:
        """What is under way, and what waits."""
        open_counts, held_amounts = Counter[str](), Counter[str]()
        for claim in (open_hold.hold_request for open_hold in self._open_holds.values()):
            open_counts[claim.entry.team] += 1
            held_amounts[claim.entry.team] += claim.quote
        oldest = self._outbox[0].entry.posted_at / SECOND if self._outbox else None
        return Backlog(
            open_holds=open_counts,
            held_amounts=held_amounts,
            outbox_entries=len(self._outbox),
            oldest_posted_at=oldest,
            pending_settlements=len(self._pending_settlements),
        )

    async def close(self) -> None:
        """Before this replica goes: settle and write what is left, once.

        What the store does not take goes to the books alone: they keep one entry for each hold, the first. Otherwise
        the store would book the hold as `unconfirmed` later, although this replica knows what it cost.
        """
        await self.retry_settlements()
        await self.write_outbox()
        unposted = [settlement for settlement in self._pending_settlements.values() if isinstance(settlement, Entry)]
        with suppress(LedgerUnavailable):
            await self.ledger.write([replace(entry, posted_at=entry.posted_at or entry.held_at) for entry in unposted])


def _team_name(hold_request: HoldRequest) -> str:
    return hold_request.entry.team
