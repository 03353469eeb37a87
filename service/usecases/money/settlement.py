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

    write: float = 0.2
    again: float = 1.0
    sweep: float = 5.0
    lease: float = 60.0


@dataclass(frozen=True, slots=True)
class VoidRequest:
    """A hold that is to be voided."""

    team: str
    hold_id: str


@dataclass(frozen=True, slots=True)
class OpenHold:
    """A hold that is open since then, in microseconds since 1970."""

    claim: HoldRequest
    held_at: int

    def extended(self) -> HoldRequest:
        """The claim for a new lease: what is booked if it runs out says when it was held first."""
        return replace(self.claim, entry=replace(self.claim.entry, held_at=self.held_at))


@dataclass(slots=True, kw_only=True)
class Settlement:
    """The use case. `owner` names this replica among its peers."""

    ledger: QuotaStore
    books: Ledger
    observe: Observer
    owner: str
    pace: Intervals
    _open: dict[str, OpenHold] = field(default_factory=dict)
    _owed: dict[str, Entry | VoidRequest] = field(default_factory=dict)
    _queue: list[OutboxEntry] = field(default_factory=list)
    _teams: set[str] = field(default_factory=set)
    _swept: str = ""
    _behind: bool = False
    _asking: set[asyncio.Event] = field(default_factory=set)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def introduce(self, team: str) -> None:
        """Before a team's first hold: let the sweeper of all replicas know of it."""
        if team not in self._teams:
            await self.ledger.announce([team])
            self._teams.add(team)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """While a hold is asked for: a report waits for its answer, which may have come before the store was lost."""
        answered = asyncio.Event()
        self._asking.add(answered)
        try:
            yield
        finally:
            self._asking.discard(answered)
            answered.set()

    def watch(self, claims: Iterable[HoldRequest], held_at: int) -> None:
        """Look after holds that were made at `held_at`: they are extended until they are settled or left."""
        self._open |= {claim.hold_id: OpenHold(claim, held_at) for claim in claims}

    def leave(self, hold_ids: Iterable[str]) -> None:
        """Look after these holds no longer; what was sent will be booked at its quote when its lease is over."""
        for hold_id in hold_ids:
            self._open.pop(hold_id, None)

    def release_later(self, team: str, hold_ids: Iterable[str]) -> None:
        """Void holds of which nobody knows whether they were made, as soon as the store answers."""
        self._owed |= {hold_id: VoidRequest(team, hold_id) for hold_id in hold_ids}

    async def post(self, entry: Entry) -> HoldState | None:
        """End a hold with an entry, now or as soon as the store answers. The hold's state now, if that is known."""
        self._owed[entry.hold_id] = entry
        return await self._settle_or_tell(entry)

    async def void(self, team: str, hold_id: str) -> HoldState | None:
        """End a hold that was not billed, likewise."""
        release = VoidRequest(team, hold_id)
        self._owed[hold_id] = release
        return await self._settle_or_tell(release)

    async def _settle_or_tell(self, owed: Entry | VoidRequest) -> HoldState | None:
        state = await self._settle(owed)
        if state is None:
            self.observe(SettlementDelayed(hold_id=owed.hold_id, team=owed.team))
        return state

    async def _settle(self, owed: Entry | VoidRequest) -> HoldState | None:
        """End a hold. Its state now; None if the store does not answer."""
        try:
            if isinstance(owed, Entry):
                posted = await self.ledger.post(owed)
                if posted.ticket and len(self._queue) < MAX_IN_MEMORY:
                    entry = replace(owed, held_at=posted.held_at, posted_at=posted.posted_at)
                    self._queue.append(OutboxEntry(ticket=posted.ticket, entry=entry))
                    self._wake.set()
                state = posted.state
            else:
                state = await self.ledger.void(owed.team, owed.hold_id)
        except StateUnavailable:
            return None
        if self._owed.pop(owed.hold_id, None):  # a retry may have been told already
            self._tell(owed, state)
        self._open.pop(owed.hold_id, None)
        return state

    def _tell(self, owed: Entry | VoidRequest, state: HoldState) -> None:
        """Say how a hold ended, if this is how it did."""
        match owed, state:
            case Entry(), HoldState.POSTED:
                self.observe(EntryPosted(entry=owed))
            case VoidRequest(), HoldState.VOIDED:
                self.observe(HoldVoided(team=owed.team))

    async def run(self) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as rounds:
            rounds.create_task(self._write_when_woken())
            rounds.create_task(self._every(self.pace.again, self.settle))
            rounds.create_task(self._every(self.pace.lease / 3, self.extend))
            rounds.create_task(self._every(self.pace.sweep, self.sweep))

    async def _write_when_woken(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(self.pace.write)
            self._wake.clear()
            await self.write()

    async def _every(self, seconds: float, story: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await story()
            except (StateUnavailable, LedgerUnavailable):
                continue  # whoever asks next will be told; the next round tries again

    async def settle(self) -> None:
        """Try again what is owed, until the store does not answer."""
        for owed in [*self._owed.values()]:
            if not await self._settle(owed):
                return

    async def extend(self) -> None:
        """Try again what is owed, and give every open hold of this replica a new lease."""
        await self.settle()
        by_team = sorted((held.extended() for held in self._open.values()), key=_team_name)
        for team, group in groupby(by_team, _team_name):
            await self._extend(team, [*group])
        if self._queue:
            await self.write()

    async def _extend(self, team: str, claims: Sequence[HoldRequest]) -> None:
        for first in range(0, len(claims), MAX_EXTENDED):
            await self.ledger.extend(team, claims[first : first + MAX_EXTENDED])

    async def report(self, team: str) -> None:
        """Put all that this replica alone knows of a team where a rebuild finds it: open holds, what is owed, entries.

        Raises:
            StateUnavailable: the store did not take it.
            LedgerUnavailable: the books did not.
        """
        for answered in [*self._asking]:
            await answered.wait()
        for owed in [owed for owed in self._owed.values() if owed.team == team]:
            if not await self._settle(owed):
                raise StateUnavailable("What is owed could not be settled.")
        await self._extend(team, [held.extended() for held in self._open.values() if held.claim.entry.team == team])
        unwritten = {waiting.ticket for waiting in self._queue if waiting.entry.team == team}
        if unwritten:
            await self.write()
        if unwritten & {waiting.ticket for waiting in self._queue}:
            raise LedgerUnavailable("The ledger of record does not answer.")

    async def write(self) -> None:
        """Bring entries from memory to the books, and take them off the store's queue."""
        async with self._writing:  # two at a time would strike off what only one of them has written
            while self._queue:
                batch = self._queue[:BATCH_SIZE]
                if not await self._written(batch):
                    return
                del self._queue[: len(batch)]

    async def _written(self, batch: Sequence[OutboxEntry]) -> bool:
        try:
            await self.books.write([waiting.entry for waiting in batch])
        except LedgerUnavailable as down:
            if not self._behind:
                self.observe(LedgerBehind(waiting=len(self._queue), reason=down.message))
            self._behind = True
            return False
        if self._behind:
            self.observe(LedgerCaughtUp(waiting=len(self._queue)))
        self._behind = False
        self.observe(EntriesWritten(count=len(batch)))
        by_team = sorted(batch, key=lambda waiting: waiting.entry.team)
        for team, mine in groupby(by_team, lambda waiting: waiting.entry.team):
            try:
                await self.ledger.written(team, [waiting.ticket for waiting in mine])
            except StateUnavailable:
                continue  # they stay in the queue and are written again, to no effect
        return True

    async def sweep(self) -> None:
        """As the one replica that does it: end holds that nobody looks after, and write what others left behind."""
        teams = await self.ledger.announce(self._teams)
        if not await self.ledger.lead(self.owner, 3 * self.pace.sweep):
            return
        for team in next_batch(teams, self._swept):
            self._swept = team
            for state in await self.ledger.sweep(team):
                self.observe(HoldExpired(team=team, booked=state is HoldState.EXPIRED))
            await self.drain(team)

    async def drain(self, team: str) -> None:
        """Write everything of a team that is on its way to the books. Raises `LedgerUnavailable`."""
        while found := await self.ledger.waiting(team, BATCH_SIZE):
            await self.books.write([waiting.entry for waiting in found])
            self.observe(EntriesWritten(count=len(found)))
            for each in found:
                if each.entry.status is EntryStatus.LOST and await self.ledger.written(team, [each.ticket]):
                    self.observe(EntryPosted(entry=each.entry))
            await self.ledger.written(team, [waiting.ticket for waiting in found])

    def backlog(self) -> Backlog:
        """What is under way, and what waits."""
        holds, held = Counter[str](), Counter[str]()
        for claim in (each.claim for each in self._open.values()):
            holds[claim.entry.team] += 1
            held[claim.entry.team] += claim.quote
        oldest = self._queue[0].entry.posted_at / SECOND if self._queue else None
        return Backlog(holds=holds, held=held, waiting=len(self._queue), oldest=oldest, owed=len(self._owed))

    async def close(self) -> None:
        """Before this replica goes: settle and write what is left, once.

        What the store does not take goes to the books alone: they keep one entry for each hold, the first. Otherwise
        the store would book the hold as `unconfirmed` later, although this replica knows what it cost.
        """
        await self.settle()
        await self.write()
        left = [owed for owed in self._owed.values() if isinstance(owed, Entry)]
        with suppress(LedgerUnavailable):
            await self.books.write([replace(entry, posted_at=entry.posted_at or entry.held_at) for entry in left])


def _team_name(claim: HoldRequest) -> str:
    return claim.entry.team
