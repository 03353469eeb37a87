"""Quotas and holds in memory, by the same rules as the real ones and by a clock that tests set."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from service.domain.errors import LimitExceeded, StateUnavailable
from service.domain.ledger import (
    HOLD_TRANSITIONS,
    Admission,
    Entry,
    HoldAction,
    HoldRequest,
    HoldState,
    posted_scopes,
    requested_amount,
)
from service.domain.limit_errors import SECOND, build_limit_error, window_end
from service.domain.quota_limits import MONEY, RATES, Limit, LimitStatus, Measure
from service.usecases.ports.ledger import Spent
from service.usecases.ports.quota_store import CountersLost, CounterSnapshot, OutboxEntry, PostResult
from tests.fakes.minutes import Minute

NOW = 1_795_262_400 * SECOND  # 2026-11-21T12:00:00Z
MINUTE = 60 * SECOND
MAX_SWEPT = 100
LASTS = {Measure.DAY: 1e18, Measure.MONTH: 2e18}  # beside any wait, in microseconds
TOMBSTONE = 3600 * SECOND
Window = tuple[Measure, int]  # money of a day or month that is over at that time


@dataclass(slots=True)
class Hold:
    """A hold and its state. Times are microseconds since 1970."""

    hold_request: HoldRequest
    state: HoldState
    held_at: int
    lease_end: int


@dataclass(slots=True)
class TeamState:
    """State of one team.

    Attributes:
        counted_in: Run of the store in which the counters were rebuilt.
        holds: Open holds.
        ended: State and time of ended holds.
    """

    counted_in: int | None = None
    version: int = 0
    money: Counter[tuple[Window, str]] = field(default_factory=Counter)
    minutes: dict[tuple[Measure, str], Minute] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    ended: dict[str, tuple[HoldState, int]] = field(default_factory=dict)
    outbox: dict[str, Entry] = field(default_factory=dict)
    upgraded: dict[str, int] = field(default_factory=dict)
    epoch: tuple[int, int] = (-1, 0)

    def state(self, name: str) -> HoldState | None:
        """Return the state of a hold; None for an unknown one."""
        if name in self.holds:
            return self.holds[name].state
        return self.ended[name][0] if name in self.ended else None

    def by_lease(self) -> list[str]:
        """Return the open holds, ordered by the end of their lease."""
        return sorted(self.holds, key=lambda name: (self.holds[name].lease_end, name))

    def spend(self, at: int, amounts: Mapping[str, int], sign: int = 1) -> None:
        """Count money by scope in the windows of that time."""
        for window in windows(at):
            for scope, nanos in amounts.items():
                self.money[window, scope] += sign * nanos


def held_in(claim: HoldRequest) -> Mapping[str, int]:
    """Return the held amounts by scope."""
    return {scope: claim.quote_in(scope) for scope in claim.scopes}


def windows(at: int) -> tuple[Window, Window]:
    """The day and the month of a time."""
    return (Measure.DAY, window_end(Measure.DAY, at)), (Measure.MONTH, window_end(Measure.MONTH, at))


class FakeQuotaStore:
    """The port in memory. `now` is its clock; while `down` it is unavailable.

    A hold that no replica extends is swept after `lease_seconds`. With `counted` the counters of a new team are valid;
    otherwise they have to be rebuilt first, as in a new store.
    """

    def __init__(self, *, lease_seconds: float = 60.0, now: int = NOW, counted: bool = False) -> None:
        self.now = now
        self.down = False
        self.lease_seconds = lease_seconds
        self._counted = counted
        self._run = 0
        self._outbox_ids = 0
        self._epochs = 0
        self._teams: dict[str, TeamState] = {}
        self._registered: set[str] = set()
        self._leader: tuple[str, int] | None = None

    def forget(self) -> None:
        """Empty the store."""
        self._teams.clear()
        self._registered.clear()
        self._leader = None
        self._counted = False

    def restart(self) -> None:
        """Restart the store with its data. Its counters have to be rebuilt."""
        self._run += 1

    async def hold(
        self, team: str, hold_requests: Sequence[HoldRequest], limits: Sequence[Limit], *, state: HoldState
    ) -> Admission:
        mine = self._counted_team(team)
        names = [claim.hold_id for claim in hold_requests]
        if names and mine.holds.keys() >= {*names}:
            return self._admission(mine, mine.holds[names[0]].held_at, limits)
        if any(mine.state(name) for name in names):
            raise StateUnavailable("A hold of this request has ended already.")
        refusals = [self._limit_error(team, mine, limit, requested_amount(limit, hold_requests)) for limit in limits]
        if existing := [hold_request for hold_request in refusals if hold_request]:
            raise max(existing, key=lambda refusal: refusal[0])[1]
        for limit in limits:
            if limit.measure in RATES:
                self._minute(mine, limit).add(requested_amount(limit, hold_requests) or 0, self.now)
        for claim in hold_requests:
            self._put(mine, claim, state, self.now)
        return self._admission(mine, self.now, limits)

    async def mark_sent(self, team: str, hold_ids: Sequence[str]) -> None:
        mine = self._team(team)
        if not mine.holds.keys() >= {*hold_ids}:
            raise StateUnavailable("A hold of this request has ended already.")
        for hold_id in hold_ids:
            hold = mine.holds[hold_id]
            hold.state = HOLD_TRANSITIONS.get((hold.state, HoldAction.SEND), hold.state)

    async def post(self, entry: Entry) -> PostResult:
        mine = self._team(entry.team)
        state, hold = mine.state(entry.hold_id), mine.holds.get(entry.hold_id)
        if state and (state, HoldAction.POST) not in HOLD_TRANSITIONS:
            return PostResult(state=state)
        held_at = hold.held_at if hold else entry.held_at or self.now
        if hold:
            drawn = [scope for scope in posted_scopes(entry) if scope.startswith("tier:")]
            others = [scope for scope in drawn if scope not in hold.hold_request.scopes]
            mine.upgraded |= {scope: max(held_at, mine.upgraded.get(scope, 0)) for scope in others}
        self._end(mine, entry.hold_id, HoldState.POSTED)
        ticket = self._book(mine, entry, held_at)
        return PostResult(state=HoldState.POSTED, outbox_id=ticket, held_at=held_at, posted_at=self.now)

    async def void(self, team: str, hold_id: str) -> HoldState:
        mine = self._team(team)
        state = mine.state(hold_id)
        if state and (state, HoldAction.VOID) not in HOLD_TRANSITIONS:
            return state
        self._end(mine, hold_id, HoldState.VOIDED)
        return HoldState.VOIDED

    async def extend(self, team: str, hold_requests: Sequence[HoldRequest]) -> None:
        mine = self._team(team)
        for claim in hold_requests:
            if claim.hold_id in mine.holds:
                mine.holds[claim.hold_id].lease_end = self.now + round(self.lease_seconds * SECOND)
            elif not mine.state(claim.hold_id):
                self._put(mine, claim, HoldState.SENT, claim.entry.held_at or self.now)

    async def sweep(self, team: str) -> Sequence[HoldState]:
        mine = self._team(team)
        over = [name for name in mine.by_lease() if mine.holds[name].lease_end <= self.now]
        return tuple(self._expire(mine, name) for name in over[:MAX_SWEPT])

    async def limit_status(self, team: str, limits: Sequence[Limit]) -> Sequence[LimitStatus]:
        mine = self._counted_team(team)
        return tuple(self._limit_status(mine, limit) for limit in limits)

    async def read_outbox(self, team: str, limit: int) -> Sequence[OutboxEntry]:
        queue = [*self._team(team).outbox.items()][:limit]
        return tuple(OutboxEntry(outbox_id=ticket, entry=entry) for ticket, entry in queue)

    async def acknowledge(self, team: str, outbox_ids: Sequence[str]) -> int:
        mine = self._team(team)
        return sum(mine.outbox.pop(ticket, None) is not None for ticket in outbox_ids)

    async def snapshot(self, team: str) -> CounterSnapshot:
        mine = self._team(team)
        if mine.epoch[0] != self._run:
            self._epochs += 1
            mine.epoch = self._run, self._epochs
        version = str(mine.version)
        return CounterSnapshot(epoch=str(mine.epoch), version=version, at=self.now, open_holds=tuple(mine.by_lease()))

    async def rebuild(self, team: str, snapshot: CounterSnapshot, spent: Spent, settled: Collection[str]) -> bool:
        mine = self._team(team)
        is_current = (snapshot.epoch, snapshot.version) == (str(mine.epoch), str(mine.version)) and mine.epoch[
            0
        ] == self._run
        if not is_current or windows(spent.at) != windows(self.now):
            return False
        for name in mine.holds.keys() & {*settled}:
            self._end(mine, name, HoldState.POSTED)
        mine.money = Counter({key: nanos for key, nanos in mine.money.items() if key[0] not in windows(self.now)})
        for window, sums in zip(windows(self.now), (spent.day, spent.month), strict=True):
            mine.money.update({(window, scope): nanos for scope, nanos in sums.items()})
            for hold in mine.holds.values():
                if window in windows(hold.held_at):
                    mine.money.update({(window, scope): nanos for scope, nanos in held_in(hold.hold_request).items()})
        mine.counted_in = self._run
        return True

    async def register_teams(self, teams: Collection[str]) -> Collection[str]:
        self._answer()
        self._registered |= {*teams}
        return frozenset(self._registered)

    async def acquire_leadership(self, owner: str, seconds: float) -> bool:
        self._answer()
        if self._leader and self._leader[0] != owner and self._leader[1] > self.now:
            return False
        self._leader = owner, self.now + round(seconds * SECOND)
        return True

    def _answer(self) -> None:
        if self.down:
            raise StateUnavailable("The gateway's state does not answer.")

    def _team(self, team: str) -> TeamState:
        self._answer()
        fresh = TeamState(counted_in=self._run if self._counted else None)
        mine = self._teams.setdefault(team, fresh)
        mine.ended = {name: ended for name, ended in mine.ended.items() if ended[1] + TOMBSTONE > self.now}
        return mine

    def _counted_team(self, team: str) -> TeamState:
        mine = self._team(team)
        if mine.counted_in != self._run:
            raise CountersLost
        return mine

    def _put(self, mine: TeamState, claim: HoldRequest, state: HoldState, held_at: int) -> None:
        mine.holds[claim.hold_id] = Hold(claim, state, held_at, self.now + round(self.lease_seconds * SECOND))
        mine.spend(held_at, held_in(claim))

    def _end(self, mine: TeamState, name: str, state: HoldState) -> None:
        """Give back what was set aside, if it is known, and remember how the hold ended."""
        hold = mine.holds.pop(name, None)
        if hold:
            mine.spend(hold.held_at, held_in(hold.hold_request), -1)
        mine.ended[name] = state, self.now

    def _book(self, mine: TeamState, entry: Entry, held_at: int) -> str:
        self._outbox_ids += 1
        mine.version += 1
        mine.spend(held_at, dict.fromkeys(posted_scopes(entry), entry.cost))
        mine.outbox[f"{self._outbox_ids}-0"] = replace(entry, held_at=held_at, posted_at=self.now)
        return f"{self._outbox_ids}-0"

    def _expire(self, mine: TeamState, name: str) -> HoldState:
        hold = mine.holds[name]
        state = HOLD_TRANSITIONS[hold.state, HoldAction.EXPIRE]
        self._end(mine, name, state)
        if state is HoldState.EXPIRED:
            self._book(mine, hold.hold_request.entry, hold.held_at)
        return state

    def _admission(self, mine: TeamState, held_at: int, limits: Sequence[Limit]) -> Admission:
        return Admission(held_at=held_at, limit_status=tuple(self._limit_status(mine, limit) for limit in limits))

    def _minute(self, mine: TeamState, limit: Limit) -> Minute:
        return mine.minutes.setdefault((limit.measure, limit.scope), Minute())

    def _used(self, mine: TeamState, limit: Limit) -> int:
        if limit.measure in RATES:
            return self._minute(mine, limit).used(self.now)
        if limit.measure is Measure.CONCURRENT:
            claims = [hold.hold_request for hold in mine.holds.values()]
            return sum(claim.images for claim in claims if limit.scope in claim.scopes)
        return mine.money[(limit.measure, window_end(limit.measure, self.now)), limit.scope]

    def _limit_status(self, mine: TeamState, limit: Limit) -> LimitStatus:
        resets = 0
        if limit.measure in RATES:
            resets = self._minute(mine, limit).whole_in(self.now)
        elif limit.measure in MONEY:
            resets = window_end(limit.measure, self.now) - self.now
        return LimitStatus(limit=limit, used=self._used(mine, limit), resets_in=resets / SECOND)

    def _is_upgraded(self, mine: TeamState, limit: Limit) -> bool:
        marked = mine.upgraded.get(limit.scope)
        window = limit.measure, window_end(limit.measure, self.now) if limit.measure in MONEY else 0
        return marked is not None and window in windows(marked)

    def _limit_error(
        self, team: str, mine: TeamState, limit: Limit, asked: int | None
    ) -> tuple[float, LimitExceeded] | None:
        """Return the wait and the error of a limit without room; None if it has room."""
        standing = self._limit_status(mine, limit)
        if asked is None:
            if standing.used <= limit.maximum or not self._is_upgraded(mine, limit):
                return None
            asked = 0
        wait: int | None = None
        lasts = LASTS.get(limit.measure, 0.0)
        if limit.measure in RATES and asked <= limit.maximum:
            wait = self._minute(mine, limit).wait(asked, limit.maximum, self.now)
            if wait is None:
                return None
            lasts = wait
        elif standing.used + asked <= limit.maximum or (limit.measure in RATES and not asked):
            return None
        if asked > limit.maximum:
            return inf, build_limit_error(team, standing, asked, self.now)
        seconds = standing.resets_in if limit.measure in MONEY else wait and wait / SECOND
        return lasts, build_limit_error(team, replace(standing, wait_seconds=seconds), asked, self.now)
