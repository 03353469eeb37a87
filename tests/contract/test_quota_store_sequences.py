"""Any sequence of verbs, on the fake and on the real ledger: the counters are the entries plus the open holds.

The expected state of every hold comes from the table `HOLD_TRANSITIONS` alone. A lease here is over at once, so that a
sweep ends whatever is open; a restart or a loss is followed by a rebuild from what the books then say.
"""

from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.errors import LimitExceeded, StateUnavailable
from service.domain.ledger import HOLD_TRANSITIONS, Entry, HoldAction, HoldRequest, HoldState, posted_scopes
from service.domain.quota_limits import TEAM, Limit, Measure
from service.usecases.ports.ledger import Spent
from tests.support.profiles import examples
from tests.support.quota_stores import HIGH, KEY, LOW, MODEL, SCOPES, QuotaHarness, open_quota_harness

HOLDS = 6
BUDGET = Limit(TEAM, Measure.DAY, 100)
WATCHED = (TEAM, KEY, HIGH, LOW)

VERBS = ("hold", "hold", "hold_sent", "send", "post", "post", "void", "extend", "sweep", "drain", "restart", "lose")
STEPS = st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, HOLDS - 1), st.integers(0, 40)), max_size=40)


@dataclass
class ExpectedState:
    """The state that the store should have."""

    stage: QuotaHarness
    claims: dict[int, HoldRequest] = field(default_factory=dict)
    states: dict[str, HoldState] = field(default_factory=dict)
    booked: dict[str, Entry] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)

    def expected(self, scope: str) -> int:
        """Entries plus open holds."""
        entries = sum(entry.cost for entry in self.booked.values() if scope in posted_scopes(entry))
        return entries + sum(claim.quote_in(scope) for claim in self.open() if scope in claim.scopes)

    def open(self) -> list[HoldRequest]:
        ends = (HoldState.PENDING, HoldState.SENT)
        return [claim for claim in self.claims.values() if self.states.get(claim.hold_id) in ends]

    def happens(self, verb: HoldAction, claim: HoldRequest, entry: Entry | None = None) -> HoldState | None:
        """Go on in the life of a hold; what is not in the table does not happen."""
        before = self.states.get(claim.hold_id)
        if before is None:
            return None
        after = HOLD_TRANSITIONS.get((before, verb), before)
        self.states[claim.hold_id] = after
        if before is HoldState.SENT and after in (HoldState.POSTED, HoldState.EXPIRED):
            self.booked[claim.hold_id] = entry or claim.entry
        return after

    async def hold(self, place: int, quote: int, state: HoldState = HoldState.PENDING) -> None:
        known = self.claims.get(place)
        if known is None or known.hold_id not in self.states:
            quotes = {LOW: quote // 2} if quote % 2 else {}
            known = self.stage.hold_request(quote=quote, images=1 + quote % 3, scopes=(*SCOPES, LOW), quotes=quotes)
            if self.expected(TEAM) + quote > BUDGET.maximum:
                with pytest.raises(LimitExceeded):
                    await self.stage.ledger.hold(self.stage.team, [known], [BUDGET], state=state)
                return
            await self.stage.ledger.hold(self.stage.team, [known], [BUDGET], state=state)
            self.claims[place], self.states[known.hold_id] = known, state
        elif known in self.open():
            await self.stage.ledger.hold(self.stage.team, [known], [BUDGET], state=state)
        else:
            with pytest.raises(StateUnavailable):
                await self.stage.ledger.hold(self.stage.team, [known], [BUDGET], state=state)
            del self.claims[place]

    async def hold_sent(self, place: int, quote: int) -> None:
        await self.hold(place, quote, HoldState.SENT)

    async def send(self, place: int, _: int) -> None:
        if claim := self.claims.get(place):
            if claim in self.open():
                await self.stage.ledger.mark_sent(self.stage.team, [claim.hold_id])
            self.happens(HoldAction.SEND, claim)

    async def post(self, place: int, cost: int) -> None:
        if claim := self.claims.get(place):
            entry = replace(claim.entry, cost=min(cost, claim.quote), resolved_tier="low" if cost % 2 else "high")
            posted = await self.stage.ledger.post(entry)
            is_new = claim.hold_id not in self.booked
            assert posted.state is self.happens(HoldAction.POST, claim, entry)
            assert bool(posted.outbox_id) == (is_new and claim.hold_id in self.booked)

    async def void(self, place: int, _: int) -> None:
        if claim := self.claims.get(place):
            assert await self.stage.ledger.void(self.stage.team, claim.hold_id) is self.happens(HoldAction.VOID, claim)

    async def extend(self, *_: int) -> None:
        await self.stage.ledger.extend(self.stage.team, [*self.claims.values()])

    async def sweep(self, *_: int) -> None:
        swept = await self.stage.ledger.sweep(self.stage.team)
        assert Counter(swept) == Counter(self.happens(HoldAction.EXPIRE, claim) for claim in self.open())

    async def drain(self, *_: int) -> None:
        waiting = await self.stage.ledger.read_outbox(self.stage.team, 1000)
        assert await self.stage.ledger.acknowledge(
            self.stage.team, [pending_entry.outbox_id for pending_entry in waiting]
        ) == len(waiting)
        self.written |= {pending_entry.entry.hold_id for pending_entry in waiting}

    async def restart(self, *_: int) -> None:
        await self.stage.store.restart(self.stage.team)
        await self.rebuild()

    async def lose(self, *_: int) -> None:
        """The store is emptied; the replica that has called a vendor puts its hold back."""
        await self.drain()
        await self.stage.store.empty(self.stage.team)
        self.claims = {place: claim for place, claim in self.claims.items() if claim in self.open()}
        sent = [claim for claim in self.open() if self.states[claim.hold_id] is HoldState.SENT]
        await self.stage.ledger.extend(self.stage.team, sent)
        self.claims = {place: claim for place, claim in self.claims.items() if claim in sent}
        await self.rebuild()

    async def rebuild(self) -> None:
        await self.drain()
        audit = await self.stage.ledger.snapshot(self.stage.team)
        sums: Counter[str] = Counter()
        for entry in self.booked.values():
            sums.update(dict.fromkeys(posted_scopes(entry), entry.cost))
        spent = Spent(at=audit.at, day=sums, month=sums)
        assert await self.stage.ledger.rebuild(self.stage.team, audit, spent, [*self.booked])

    async def check(self) -> None:
        """Counters are entries plus open holds, the budget holds, and what needs an entry has one."""
        limits = [
            Limit(scope, measure, BUDGET.maximum) for measure in (Measure.DAY, Measure.MONTH) for scope in WATCHED
        ]
        at_once = Limit(MODEL, Measure.CONCURRENT, 100)
        *money, images = await self.stage.ledger.limit_status(self.stage.team, [*limits, at_once])
        assert [standing.used for standing in money] == [self.expected(limit.scope) for limit in limits]
        assert images.used == sum(claim.images for claim in self.open())
        assert money[0].used <= BUDGET.maximum
        waiting = [
            pending_entry.entry.hold_id for pending_entry in await self.stage.ledger.read_outbox(self.stage.team, 1000)
        ]
        assert sorted([*waiting, *self.written]) == sorted(self.booked)
        assert {*(await self.stage.ledger.snapshot(self.stage.team)).open_holds} == {
            pending_entry.hold_id for pending_entry in self.open()
        }


async def run_steps(kind: str, url: str, steps: list[tuple[str, int, int]]) -> None:
    async with open_quota_harness(kind, url) as stage:
        stage.store.leasing(0)
        sequence = ExpectedState(replace(stage, ledger=stage.store.leasing(0)))
        assert await stage.rebuild()
        for verb, place, number in steps:
            act: Callable[[int, int], Coroutine[Any, Any, None]] = getattr(sequence, verb)
            await act(place, number)
            await sequence.check()


@settings(max_examples=examples(300))
@given(steps=STEPS)
async def test_the_counters_are_right_in_memory(steps: list[tuple[str, int, int]]) -> None:
    await run_steps("fake", "", steps)


@settings(max_examples=examples(50))
@given(steps=STEPS)
async def test_the_counters_are_right_on_a_server(redis_url: str, steps: list[tuple[str, int, int]]) -> None:
    await run_steps("server", redis_url, steps)


RATED = st.lists(
    st.tuples(st.sampled_from(("hold", "hold", "post", "void")), st.integers(0, 9), st.integers(0, 4)), max_size=25
)
ALL_LIMITS = tuple(
    Limit(scope, measure, most)
    for scope in (TEAM, HIGH)
    for measure, most in zip(Measure, (9, 12, 5, 110, 130), strict=True)
)


async def outcomes(stage: QuotaHarness, steps: list[tuple[str, int, int]]) -> list[object]:
    """Everything that verbs answer, as far as it does not depend on the time."""
    run_steps: list[object] = []
    claims = {number: stage.hold_request(hold_id=f"h{number}", quote=3 * number + 5) for number in range(10)}
    for verb, number, images in steps:
        claim = replace(claims[number], images=images)
        try:
            match verb:
                case "hold":
                    admission = await stage.ledger.hold(stage.team, [claim], ALL_LIMITS, state=HoldState.SENT)
                    run_steps.append([(standing.limit, standing.used) for standing in admission.limit_status])
                case "post":
                    run_steps.append((await stage.ledger.post(replace(claim.entry, cost=number))).state)
                case _:
                    run_steps.append(await stage.ledger.void(stage.team, claim.hold_id))
        except LimitExceeded as refused:
            run_steps.append(
                (refused.limit_status.limit, refused.limit_status.used, refused.limit_status.wait_seconds is None)
            )
        except StateUnavailable as refused:
            run_steps.append(refused.message)
    return run_steps


@settings(max_examples=examples(40))
@given(steps=RATED)
async def test_the_fake_and_a_server_answer_alike(redis_url: str, steps: list[tuple[str, int, int]]) -> None:
    async with open_quota_harness("fake", "") as fake, open_quota_harness("server", redis_url) as real:
        assert await fake.rebuild()
        assert await real.rebuild()
        assert await outcomes(fake, steps) == await outcomes(real, steps)
