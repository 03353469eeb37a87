"""Quotas and holds in Redis or Valkey, a single server or a cluster.

Rule: every decision is taken by a script, at once and by the server's clock; here it is only spelled and read. All keys
of a team carry `{team}`, so that they are in one slot. A server that refuses, hangs, is full, loading or read-only is
`StateUnavailable` within 150 ms; counters that another run of the server left behind are `CountersLost`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from service.adapters.changing import Changing
from service.adapters.redis.crowd import Crowd
from service.adapters.redis.entries import decoded, encoded
from service.adapters.redis.line import Argument
from service.adapters.redis.script import Script, Scripts, load
from service.adapters.state import PATIENCE_SECONDS
from service.domain.errors import LimitExceeded, StateUnavailable
from service.domain.ledger import Admission, Claim, Entry, HoldState, scopes_posted
from service.domain.limits import MONEY, Limit, Standing
from service.domain.refusals import SECOND, refusal, window_ends
from service.usecases.accounts import Audit, CountersLost, Posted, Spent, Waiting

LEASE_SECONDS = 60.0
MOST_SWEPT = 100
TEAMS, LEADER = "igw:teams", "igw:leader"

_HOLD, _STANDINGS, _WAITING = load("hold"), load("standings"), load("waiting")
_SEND, _POST, _VOID, _EXTEND, _SWEEP, _WRITTEN, _AUDIT, _REBUILD, _ANNOUNCE, _LEAD = (
    load(verb, when_full=True)  # what was begun comes to its end
    for verb in ("send", "post", "void", "extend", "sweep", "written", "audit", "rebuild", "announce", "lead")
)


class RedisLedger:
    """The port `Ledger`. A hold that nobody extends is swept when `lease_seconds` are over.

    `patience_seconds` is how long the server may take to answer.
    """

    def __init__(
        self,
        url: Changing,
        *,
        lease_seconds: float = LEASE_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        crowd: Crowd | None = None,
    ) -> None:
        self._scripts = Scripts(url, patience_seconds, crowd)
        self._lease = round(lease_seconds * SECOND)

    async def hold(self, team: str, claims: Sequence[Claim], limits: Sequence[Limit], *, state: HoldState) -> Admission:
        """Hold all claims, as one request, or none; a repeated call finds them held already."""
        spelled = chain.from_iterable(map(_spelled_claim, claims))
        reply = await self._of_team(
            _HOLD, team, state.value, self._lease, len(limits), *_spelled_limits(limits), *spelled
        )
        match reply:
            case [b"held", at, held_at, *numbers]:
                return Admission(held_at=held_at, standings=_standings(limits, numbers, at))
            case [b"full", *numbers]:
                raise _refusal(team, limits, *numbers)
            case [b"over"]:
                raise StateUnavailable("A hold of this request has ended already.")
            case _:
                raise CountersLost

    async def send(self, team: str, hold_ids: Sequence[str]) -> None:
        """Mark pending holds as sent, all or none."""
        if not await self._of_team(_SEND, team, *hold_ids):
            raise StateUnavailable("A hold of this request has ended already.")

    async def post(self, entry: Entry) -> Posted:
        """End a sent hold with what it cost."""
        booked = "\n".join(scopes_posted(entry))
        state, *place = await self._of_team(
            _POST, entry.team, entry.hold_id, entry.cost, booked, encoded(entry), entry.held_at
        )
        match place:
            case [bytes(ticket), int(held_at), int(posted_at)]:
                return Posted(
                    state=HoldState(state.decode()), ticket=ticket.decode(), held_at=held_at, posted_at=posted_at
                )
            case _:
                return Posted(state=HoldState(state.decode()))

    async def void(self, team: str, hold_id: str) -> HoldState:
        """End a hold that was certainly not billed."""
        state: bytes = await self._of_team(_VOID, team, hold_id)
        return HoldState(state.decode())

    async def extend(self, team: str, claims: Sequence[Claim]) -> None:
        """Give open holds a new lease, and put lost ones back."""
        spelled = ((claim.entry.held_at, *_spelled_claim(claim)) for claim in claims)
        await self._of_team(_EXTEND, team, self._lease, *chain.from_iterable(spelled))

    async def sweep(self, team: str) -> Sequence[HoldState]:
        """End holds whose lease is over, at most `MOST_SWEPT` at once."""
        return tuple(HoldState(state.decode()) for state in await self._of_team(_SWEEP, team, MOST_SWEPT))

    async def standings(self, team: str, limits: Sequence[Limit]) -> Sequence[Standing]:
        """How limits stand."""
        match await self._of_team(_STANDINGS, team, *_spelled_limits(limits)):
            case [b"stand", at, *numbers]:
                return _standings(limits, numbers, at)
            case _:
                raise CountersLost

    async def waiting(self, team: str, most: int) -> Sequence[Waiting]:
        """Entries on their way to the books, oldest first."""
        return tuple(decoded(ticket, fields) for ticket, fields in await self._of_team(_WAITING, team, most))

    async def written(self, team: str, tickets: Sequence[str]) -> int:
        """These entries are in the books."""
        gone: int = await self._of_team(_WRITTEN, team, *tickets)
        return gone

    async def audit(self, team: str) -> Audit:
        """The version of the counters and the open holds."""
        life, version, at, ids = await self._of_team(_AUDIT, team)
        open_holds = tuple(each.decode() for each in ids)
        return Audit(life=life.decode(), version=version.decode(), at=at, open_holds=open_holds)

    async def rebuild(self, team: str, audit: Audit, spent: Spent, settled: Collection[str]) -> bool:
        """Set the counters to what the books say plus the open holds that they have not settled."""
        sums = (*_spelled_sums(spent.day), *_spelled_sums(spent.month))
        return bool(await self._of_team(_REBUILD, team, audit.life, audit.version, spent.at, *sums, *settled))

    async def announce(self, teams: Collection[str]) -> Collection[str]:
        """Make teams known to every replica; all that are."""
        known = await self._scripts.run(_ANNOUNCE, (TEAMS,), *teams)
        return frozenset(team.decode() for team in known)

    async def lead(self, owner: str, seconds: float) -> bool:
        """Become, or stay, the one replica that does what one should do."""
        return bool(await self._scripts.run(_LEAD, (LEADER,), owner, max(1, round(seconds * 1000))))

    async def close(self) -> None:
        """Close every connection."""
        await self._scripts.close()

    async def _of_team(self, script: Script, team: str, *arguments: Argument) -> Any:  # noqa: ANN401 (see `Scripts`)
        keys = (f"igw:{{{team}}}:state", f"igw:{{{team}}}:holds", f"igw:{{{team}}}:outbox")
        return await self._scripts.run(script, keys, *arguments)


def _spelled_limits(limits: Sequence[Limit]) -> Iterator[Argument]:
    for limit in limits:
        yield from (limit.scope, limit.measure.value, limit.most)


def _spelled_claim(claim: Claim) -> tuple[Argument, ...]:
    booked = "\n".join(scopes_posted(claim.entry))
    scopes = "\n".join(claim.scopes)
    quotes = "\n".join(str(claim.quote_in(scope)) for scope in claim.scopes) if claim.quotes else ""
    return (claim.hold_id, claim.quote, claim.images, scopes, quotes, claim.entry.cost, booked, encoded(claim.entry))


def _spelled_sums(window: Mapping[str, int]) -> Iterator[Argument]:
    yield len(window)
    for scope, nanos in window.items():
        yield from (scope, nanos)


def _standings(limits: Sequence[Limit], numbers: Sequence[int], at: int) -> tuple[Standing, ...]:
    """`numbers` are in turn how much is used and the microseconds until a rate is whole again."""
    return tuple(
        Standing(limit=limit, used=used, resets_in=_resets(limit, resets, at))
        for limit, used, resets in zip(limits, numbers[::2], numbers[1::2], strict=True)
    )


def _resets(limit: Limit, resets: int, at: int) -> float:
    return (window_ends(limit.measure, at) - at if limit.measure in MONEY else resets) / SECOND


def _refusal(team: str, limits: Sequence[Limit], at: int, place: int, *numbers: int) -> LimitExceeded:
    asked, used, resets, wait = numbers
    limit = limits[place]
    resets_in = _resets(limit, resets, at)
    sure: float | None = wait / SECOND if wait >= 0 else None
    if limit.measure in MONEY and asked <= limit.most:
        sure = resets_in
    return refusal(team, Standing(limit=limit, used=used, resets_in=resets_in, wait=sure), asked, at)
