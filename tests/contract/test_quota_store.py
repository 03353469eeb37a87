"""The ledger port: in memory, on one server, and on a cluster."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from service.domain.errors import LimitExceeded, StateUnavailable
from service.domain.ledger import EntryStatus, HoldState
from service.domain.quota_limits import TEAM, Limit, Measure
from service.usecases.ports.ledger import Spent
from service.usecases.ports.quota_store import CountersLost, PostResult
from tests.support.cluster import CLUSTER
from tests.support.quota_stores import CENT, HIGH, KEY, LOW, MODEL, SCOPES, QuotaHarness, open_quota_harness

PENDING, SENT, POSTED, VOIDED, EXPIRED = HoldState
DAILY = Limit(TEAM, Measure.DAY, 50 * CENT)
ROOM = (20, 20, 20, 100 * CENT, 100 * CENT)
LONG_AGO = 1_000_000_000_000_000  # 2001


@pytest.fixture(params=["fake", "server", CLUSTER])
async def new(request: pytest.FixtureRequest) -> AsyncIterator[QuotaHarness]:
    """A team that the store has never seen."""
    url = {"fake": "", "server": "redis_url", "cluster": "cluster_url"}[request.param]
    async with open_quota_harness(request.param, request.getfixturevalue(url) if url else "") as stage:
        yield stage


@pytest.fixture
async def stage(new: QuotaHarness) -> QuotaHarness:
    """A team that has spent nothing."""
    assert await new.rebuild()
    return new


async def test_counters_that_were_never_counted_are_not_believed(new: QuotaHarness) -> None:
    with pytest.raises(CountersLost):
        await new.ledger.hold(new.team, [new.hold_request()], [], state=PENDING)
    with pytest.raises(CountersLost):
        await new.ledger.limit_status(new.team, [])
    assert await new.rebuild({TEAM: 3}, {TEAM: 40})
    assert (await new.used(), await new.used(Measure.MONTH)) == (3, 40)


async def test_a_hold_counts_in_every_scope_and_measure(stage: QuotaHarness) -> None:
    limits = [Limit(scope, measure, most) for scope in SCOPES for measure, most in zip(Measure, ROOM, strict=True)]
    admission = await stage.ledger.hold(stage.team, [stage.hold_request(images=3)], limits, state=PENDING)
    assert [standing.limit for standing in admission.limit_status] == limits
    assert [standing.used for standing in admission.limit_status] == [1, 3, 3, 20 * CENT, 20 * CENT] * 4
    assert admission.limit_status[3].remaining == 80 * CENT
    assert admission.held_at > LONG_AGO
    assert await stage.used(scope=LOW) == 0


async def test_many_claims_are_one_request(stage: QuotaHarness) -> None:
    limits = [Limit(TEAM, measure, most) for measure, most in zip(Measure, ROOM, strict=True)]
    claims = [stage.hold_request(images=2), stage.hold_request(scopes=(TEAM, LOW))]
    admission = await stage.ledger.hold(stage.team, claims, limits, state=SENT)
    assert [standing.used for standing in admission.limit_status] == [1, 3, 3, 40 * CENT, 40 * CENT]
    assert (await stage.used(scope=HIGH), await stage.used(scope=LOW)) == (20 * CENT, 20 * CENT)


@pytest.mark.parametrize(
    ("limit", "used", "wait"),
    [
        (Limit(HIGH, Measure.REQUESTS, 1), 1, 60),
        (Limit(KEY, Measure.IMAGES, 3), 2, 60),
        (Limit(KEY, Measure.CONCURRENT, 3), 2, None),
        (Limit(TEAM, Measure.DAY, 39 * CENT), 20 * CENT, "window"),
        (Limit(HIGH, Measure.MONTH, 39 * CENT), 20 * CENT, "window"),
    ],
)
async def test_a_limit_without_room_refuses_and_nothing_is_held(
    stage: QuotaHarness, limit: Limit, used: int, wait: float | str | None
) -> None:
    others = [Limit(LOW, measure, most) for measure, most in zip(Measure, ROOM, strict=True)]
    claims = [stage.hold_request(images=2, scopes=(*SCOPES, LOW)) for _ in range(2)]
    before = await stage.ledger.hold(stage.team, claims[:1], [*others, limit], state=SENT)
    holder = f"Key '{KEY.removeprefix('key:')}'" if limit.scope == KEY else f"Team '{stage.team}'"
    with pytest.raises(LimitExceeded, match=f"^{holder}") as refused:
        await stage.ledger.hold(stage.team, claims[1:], [*others, limit], state=SENT)
    standing = refused.value.limit_status
    assert (standing.limit, standing.used) == (limit, used)
    assert standing.wait_seconds == (standing.resets_in if wait == "window" else wait and pytest.approx(wait, abs=2))
    after = await stage.ledger.limit_status(stage.team, [*others, limit])
    assert [status.used for status in after] == [status.used for status in before.limit_status]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("measures", "reported"),
    [
        ((Measure.CONCURRENT, Measure.REQUESTS), Measure.REQUESTS),
        ((Measure.REQUESTS, Measure.DAY), Measure.DAY),
        ((Measure.DAY, Measure.MONTH), Measure.MONTH),
    ],
)
async def test_of_several_limits_without_room_the_one_that_lasts_longest_is_reported(
    stage: QuotaHarness, order: int, measures: tuple[Measure, ...], reported: Measure
) -> None:
    most = {Measure.CONCURRENT: 1, Measure.REQUESTS: 1, Measure.DAY: 20 * CENT, Measure.MONTH: 20 * CENT}
    limits = [Limit(TEAM, measure, most[measure]) for measure in measures][::order]
    await stage.ledger.hold(stage.team, [stage.hold_request()], limits, state=SENT)
    with pytest.raises(LimitExceeded) as refused:
        await stage.ledger.hold(stage.team, [stage.hold_request()], limits, state=SENT)
    assert refused.value.limit_status.limit.measure is reported
    never = Limit(KEY, Measure.IMAGES, 0)
    with pytest.raises(LimitExceeded) as refused:
        await stage.ledger.hold(stage.team, [stage.hold_request()], [*limits, never], state=SENT)
    assert (refused.value.limit_status.limit, refused.value.limit_status.wait_seconds) == (never, None)


@pytest.mark.parametrize("measure", Measure)
async def test_what_never_fits_is_refused_without_a_time(stage: QuotaHarness, measure: Measure) -> None:
    huge = stage.hold_request(images=5, quote=5)
    most = 0 if measure is Measure.REQUESTS else 4
    with pytest.raises(LimitExceeded) as refused:
        await stage.ledger.hold(stage.team, [huge], [Limit(TEAM, measure, most)], state=PENDING)
    assert (refused.value.limit_status.used, refused.value.limit_status.wait_seconds) == (0, None)


async def test_the_last_of_a_limit_can_be_used(stage: QuotaHarness) -> None:
    limits = [Limit(TEAM, measure, most) for measure, most in zip(Measure, (1, 3, 3, 7, 7), strict=True)]
    admission = await stage.ledger.hold(stage.team, [stage.hold_request(images=3, quote=7)], limits, state=PENDING)
    assert [standing.remaining for standing in admission.limit_status] == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("images", [1, 3])
async def test_a_rate_admits_all_of_it_at_once_and_no_more(stage: QuotaHarness, images: int) -> None:
    limit, admitted = Limit(TEAM, Measure.IMAGES, 20), 0
    for _ in range(24):
        try:
            await stage.ledger.hold(stage.team, [stage.hold_request(images=images)], [limit], state=SENT)
        except LimitExceeded:
            continue
        admitted += images
    assert admitted == 20 // images * images
    assert (await stage.limit_status(limit)).used == admitted


async def test_what_asks_for_nothing_of_a_limit_passes_it(stage: QuotaHarness) -> None:
    limits = [Limit(TEAM, Measure.IMAGES, 0), Limit(LOW, Measure.REQUESTS, 0), Limit(LOW, Measure.DAY, 0)]
    admission = await stage.ledger.hold(stage.team, [stage.hold_request(images=0)], limits, state=PENDING)
    assert [standing.used for standing in admission.limit_status] == [0, 0, 0]


async def test_a_repeated_hold_is_not_counted_twice(stage: QuotaHarness) -> None:
    claims, limits = [stage.hold_request(), stage.hold_request()], [DAILY, Limit(TEAM, Measure.REQUESTS, 1)]
    first = await stage.ledger.hold(stage.team, claims, limits, state=SENT)
    again = await stage.ledger.hold(stage.team, claims, limits, state=SENT)
    assert again.held_at == first.held_at
    assert [standing.used for standing in again.limit_status] == [40 * CENT, 1]


async def test_a_hold_that_has_ended_is_not_made_again(stage: QuotaHarness) -> None:
    over, there = stage.hold_request(), stage.hold_request()
    await stage.ledger.hold(stage.team, [over], [], state=SENT)
    await stage.ledger.hold(stage.team, [there], [], state=SENT)
    await stage.ledger.void(stage.team, over.hold_id)
    for claims in ([over], [over, there], [there, stage.hold_request()]):
        with pytest.raises(StateUnavailable):
            await stage.ledger.hold(stage.team, claims, [], state=SENT)
    assert await stage.used() == 20 * CENT


async def test_pending_holds_are_sent_all_or_none(stage: QuotaHarness) -> None:
    one, other, over = stage.hold_request(), stage.hold_request(), stage.hold_request()
    await stage.ledger.hold(stage.team, [one, other, over], [], state=PENDING)
    await stage.ledger.void(stage.team, over.hold_id)
    for wrong in (over.hold_id, "never held"):
        with pytest.raises(StateUnavailable):
            await stage.ledger.mark_sent(stage.team, [one.hold_id, wrong])
    assert await stage.ledger.post(one.entry) == PostResult(state=PENDING)
    for _ in range(2):
        await stage.ledger.mark_sent(stage.team, [one.hold_id, other.hold_id])
    assert (await stage.ledger.post(one.entry)).state is POSTED


async def test_a_post_replaces_the_quote_by_the_cost_where_it_belongs(stage: QuotaHarness) -> None:
    claim = stage.hold_request(scopes=(*SCOPES, LOW))
    admission = await stage.ledger.hold(stage.team, [claim], [DAILY], state=SENT)
    cost = replace(claim.entry, cost=7 * CENT, resolved_tier="low", status=EntryStatus.DELIVERED)
    posted = await stage.ledger.post(cost)
    assert (posted.state, posted.held_at) == (POSTED, admission.held_at)
    assert await stage.ledger.post(cost) == PostResult(state=POSTED)
    for measure in (Measure.DAY, Measure.MONTH):
        assert [await stage.used(measure, scope) for scope in (*SCOPES, LOW)] == [*[7 * CENT] * 3, 0, 7 * CENT]
    assert [await stage.used(Measure.CONCURRENT, scope) for scope in SCOPES] == [0, 0, 0, 0]
    (waiting,) = await stage.ledger.read_outbox(stage.team, 10)
    assert waiting.outbox_id == posted.outbox_id
    assert waiting.entry == replace(cost, held_at=posted.held_at, posted_at=posted.posted_at)
    assert posted.posted_at >= posted.held_at


EACH = {HIGH: 20 * CENT, LOW: 3 * CENT}


async def test_each_tier_is_held_at_its_own_worst_price(stage: QuotaHarness) -> None:
    claim = stage.hold_request(scopes=(*SCOPES, LOW), quotes={LOW: 3 * CENT}, images=2)
    limits = [Limit(LOW, Measure.DAY, 3 * CENT), Limit(HIGH, Measure.DAY, 20 * CENT)]
    await stage.ledger.hold(stage.team, [claim], limits, state=SENT)
    for measure in (Measure.DAY, Measure.MONTH):
        assert {scope: await stage.used(measure, scope) for scope in EACH} == EACH
    assert [await stage.used(scope=scope) for scope in (TEAM, KEY)] == [20 * CENT] * 2
    assert [await stage.used(Measure.CONCURRENT, scope) for scope in EACH] == [2, 2]
    with pytest.raises(LimitExceeded) as refused:
        await stage.ledger.hold(stage.team, [stage.hold_request(scopes=(LOW,), quote=1)], limits, state=SENT)
    assert refused.value.limit_status.limit == limits[0]


@pytest.mark.parametrize("end", ["post", "void", "sweep"])
async def test_what_a_hold_ends_with_is_given_back_in_each_tier(stage: QuotaHarness, end: str) -> None:
    claim = stage.hold_request(scopes=(*SCOPES, LOW), quotes={LOW: 3 * CENT})
    ledger = stage.store.leasing(0)
    await ledger.hold(stage.team, [claim], [], state=SENT)
    await stage.store.restart(stage.team)
    assert await stage.rebuild()
    assert {scope: await stage.used(scope=scope) for scope in EACH} == EACH
    match end:
        case "post":
            await ledger.post(replace(claim.entry, cost=CENT, resolved_tier="low"))
        case "void":
            await ledger.void(stage.team, claim.hold_id)
        case _:
            assert await ledger.sweep(stage.team) == (EXPIRED,)
    left = {"post": (CENT, 0, CENT), "void": (0, 0, 0), "sweep": (20 * CENT, 20 * CENT, 0)}[end]
    assert tuple([await stage.used(scope=scope) for scope in (TEAM, HIGH, LOW)]) == left
    assert [await stage.used(Measure.CONCURRENT, scope) for scope in EACH] == [0, 0]


async def test_a_lost_hold_is_put_back_in_each_tier(stage: QuotaHarness) -> None:
    claim = stage.hold_request(scopes=(*SCOPES, LOW), quotes={LOW: 3 * CENT})
    await stage.ledger.extend(stage.team, [claim])
    assert {scope: await stage.used(scope=scope) for scope in EACH} == EACH


async def test_a_window_that_a_vendor_overshot_refuses_the_next(stage: QuotaHarness) -> None:
    """Low is asked for, high is drawn: the window of high has it, and refuses what may be drawn as high again."""
    beside = [Limit(HIGH, Measure.DAY, CENT), Limit(HIGH, Measure.MONTH, 100 * CENT)]
    low = [stage.hold_request(scopes=(TEAM, KEY, MODEL, LOW), quote=CENT) for _ in range(3)]
    await stage.ledger.hold(stage.team, low[:1], beside, state=SENT)
    await stage.ledger.post(replace(low[0].entry, cost=21 * CENT, tier="low", resolved_tier="high"))
    with pytest.raises(LimitExceeded, match="vendors draw in this scope what was asked for in another") as refused:
        await stage.ledger.hold(stage.team, low[1:2], beside, state=SENT)
    assert (refused.value.limit_status.limit, refused.value.limit_status.used) == (beside[0], 21 * CENT)
    assert refused.value.limit_status.wait_seconds == refused.value.limit_status.resets_in
    await stage.ledger.hold(stage.team, low[1:2], beside[1:], state=SENT)
    assert await stage.used(scope=HIGH) == 21 * CENT
    await stage.store.restart(stage.team)
    assert await stage.rebuild({TEAM: 21 * CENT, HIGH: 21 * CENT})
    with pytest.raises(LimitExceeded):
        await stage.ledger.hold(stage.team, low[2:], beside, state=SENT)


async def test_a_window_that_was_used_up_by_its_own_tier_refuses_no_other(stage: QuotaHarness) -> None:
    """Also where the limit was lowered below what is spent."""
    high, low = stage.hold_request(), stage.hold_request(scopes=(TEAM, KEY, MODEL, LOW), quote=CENT)
    await stage.ledger.hold(stage.team, [high], [], state=SENT)
    await stage.ledger.post(high.entry)
    await stage.ledger.hold(stage.team, [low], [Limit(HIGH, Measure.DAY, CENT)], state=SENT)


@pytest.mark.parametrize("state", [PENDING, SENT])
async def test_a_voided_hold_leaves_no_trace(stage: QuotaHarness, state: HoldState) -> None:
    claim = stage.hold_request()
    await stage.ledger.hold(stage.team, [claim], [], state=state)
    assert [await stage.ledger.void(stage.team, claim.hold_id) for _ in range(2)] == [VOIDED, VOIDED]
    assert await stage.ledger.post(claim.entry) == PostResult(state=VOIDED)
    assert (await stage.used(), await stage.used(Measure.CONCURRENT), await stage.entries()) == (0, 0, [])


async def test_what_was_posted_is_not_voided(stage: QuotaHarness) -> None:
    claim = stage.hold_request()
    await stage.ledger.hold(stage.team, [claim], [], state=SENT)
    await stage.ledger.post(claim.entry)
    assert await stage.ledger.void(stage.team, claim.hold_id) is POSTED
    assert await stage.used() == 20 * CENT


async def test_a_hold_that_was_lost_is_booked_all_the_same(stage: QuotaHarness) -> None:
    claim = stage.hold_request()
    posted = await stage.ledger.post(claim.entry)
    assert (posted.state, await stage.ledger.post(claim.entry)) == (POSTED, PostResult(state=POSTED))
    assert (await stage.used(), await stage.used(Measure.CONCURRENT)) == (20 * CENT, 0)
    old = stage.hold_request()
    await stage.ledger.post(replace(old.entry, held_at=LONG_AGO))
    assert await stage.used() == 20 * CENT
    assert [entry.held_at for entry in await stage.entries()] == [posted.held_at, LONG_AGO]


async def test_a_hold_that_was_lost_and_voided_stays_voided(stage: QuotaHarness) -> None:
    claim = stage.hold_request()
    assert await stage.ledger.void(stage.team, claim.hold_id) is VOIDED
    await stage.ledger.extend(stage.team, [claim])
    assert (await stage.used(), (await stage.ledger.snapshot(stage.team)).open_holds) == (0, ())


async def test_holds_whose_lease_is_over_are_ended(stage: QuotaHarness) -> None:
    alive, pending, sent = stage.hold_request(), stage.hold_request(), stage.hold_request()
    await stage.ledger.hold(stage.team, [alive], [], state=SENT)
    brief = stage.store.leasing(0)
    await brief.hold(stage.team, [pending], [], state=PENDING)
    await brief.hold(stage.team, [sent], [], state=SENT)
    assert [await brief.sweep(stage.team) for _ in range(2)] == [(VOIDED, EXPIRED), ()]
    assert (await stage.used(), await stage.used(Measure.CONCURRENT)) == (40 * CENT, 1)
    (entry,) = await stage.entries()
    assert replace(entry, held_at=0, posted_at=0) == sent.entry
    assert entry.posted_at >= entry.held_at > LONG_AGO
    assert await stage.ledger.post(replace(sent.entry, cost=1)) == PostResult(state=EXPIRED)
    assert await stage.ledger.post(pending.entry) == PostResult(state=VOIDED)
    assert (await stage.used(), len(await stage.entries())) == (40 * CENT, 1)


async def test_a_sweep_ends_a_hundred_holds_at_most(stage: QuotaHarness) -> None:
    brief = stage.store.leasing(-1)
    await brief.hold(stage.team, [stage.hold_request() for _ in range(101)], [], state=PENDING)
    assert [len(await brief.sweep(stage.team)) for _ in range(3)] == [100, 1, 0]
    assert await stage.used() == 0


async def test_an_extended_hold_lives_on_and_a_lost_one_is_put_back(stage: QuotaHarness) -> None:
    held, lost, over, old = (stage.hold_request() for _ in range(4))
    old = replace(old, entry=replace(old.entry, held_at=LONG_AGO))
    await stage.store.leasing(0).hold(stage.team, [held, over], [], state=PENDING)
    await stage.ledger.void(stage.team, over.hold_id)
    lasting = stage.store.leasing(60)
    for _ in range(2):
        await lasting.extend(stage.team, [held, lost, over, old])
    assert await lasting.sweep(stage.team) == ()
    assert {*(await lasting.snapshot(stage.team)).open_holds} == {held.hold_id, lost.hold_id, old.hold_id}
    assert (await stage.used(), await stage.used(Measure.CONCURRENT)) == (40 * CENT, 3)
    states = [(await lasting.post(claim.entry)).state for claim in (held, lost, over, old)]
    assert states == [PENDING, POSTED, VOIDED, POSTED]
    assert (await stage.used(), await stage.used(Measure.CONCURRENT)) == (40 * CENT, 1)


async def test_entries_wait_in_order_until_they_are_written(stage: QuotaHarness) -> None:
    posted = [await stage.ledger.post(stage.hold_request().entry) for _ in range(3)]
    tickets = [result.outbox_id or "" for result in posted]
    assert [entry.outbox_id for entry in await stage.ledger.read_outbox(stage.team, 2)] == tickets[:2]
    assert [await stage.ledger.acknowledge(stage.team, tickets[:2]) for _ in range(2)] == [2, 0]
    assert await stage.ledger.acknowledge(stage.team, []) == 0
    assert [entry.outbox_id for entry in await stage.ledger.read_outbox(stage.team, 9)] == tickets[2:]


async def test_counters_are_rebuilt_from_the_books_and_the_open_holds(stage: QuotaHarness) -> None:
    limits = [Limit(TEAM, Measure.REQUESTS, 9)]
    pending, sent, settled = stage.hold_request(), stage.hold_request(images=2), stage.hold_request()
    for claim, state in ((pending, PENDING), (sent, SENT), (settled, SENT)):
        await stage.ledger.hold(stage.team, [claim], limits, state=state)
    await stage.store.restart(stage.team)
    with pytest.raises(CountersLost):
        await stage.ledger.hold(stage.team, [pending], limits, state=PENDING)
    audit = await stage.ledger.snapshot(stage.team)
    assert {*audit.open_holds} == {pending.hold_id, sent.hold_id, settled.hold_id}
    spent = Spent(at=audit.at, day={TEAM: 5 * CENT, LOW: 1}, month={TEAM: 6 * CENT})
    for _ in range(2):
        assert await stage.ledger.rebuild(stage.team, audit, spent, [settled.hold_id, "unheard of"])
    days = [await stage.used(Measure.DAY, scope) for scope in (TEAM, KEY, LOW)]
    assert days == [45 * CENT, 40 * CENT, 1]
    assert (await stage.used(Measure.MONTH), await stage.used(Measure.CONCURRENT)) == (46 * CENT, 3)
    assert (await stage.limit_status(limits[0])).used == 3
    assert await stage.ledger.post(settled.entry) == PostResult(state=POSTED)
    assert await stage.ledger.post(pending.entry) == PostResult(state=PENDING)


async def test_a_rebuild_from_old_sums_does_nothing(stage: QuotaHarness) -> None:
    audit = await stage.ledger.snapshot(stage.team)
    spent = Spent(at=audit.at, day={TEAM: 9}, month={TEAM: 9})
    assert not await stage.ledger.rebuild(stage.team, audit, replace(spent, at=LONG_AGO), ())
    await stage.ledger.post(stage.hold_request(quote=1).entry)
    assert not await stage.ledger.rebuild(stage.team, audit, spent, ())
    assert await stage.used() == 1
    before = await stage.ledger.snapshot(stage.team)
    brief = stage.store.leasing(0)
    await brief.hold(stage.team, [stage.hold_request(quote=1)], [], state=SENT)
    assert await brief.sweep(stage.team) == (EXPIRED,)
    assert not await stage.ledger.rebuild(stage.team, before, spent, ())


async def test_an_emptied_store_admits_no_request_until_it_is_rebuilt(stage: QuotaHarness) -> None:
    claim = stage.hold_request()
    await stage.ledger.hold(stage.team, [claim], [DAILY], state=SENT)
    await stage.store.empty(stage.team)
    with pytest.raises(CountersLost):
        await stage.ledger.hold(stage.team, [stage.hold_request()], [DAILY], state=SENT)
    await stage.ledger.extend(stage.team, [claim])
    assert await stage.rebuild({TEAM: 15 * CENT})
    with pytest.raises(LimitExceeded):
        await stage.ledger.hold(stage.team, [stage.hold_request()], [DAILY], state=SENT)
    await stage.ledger.post(replace(claim.entry, cost=CENT))
    assert await stage.used() == 16 * CENT


async def test_large_sums_and_many_scopes_are_exact(stage: QuotaHarness) -> None:
    most = 9_007_199_254_740_991
    sums = {f"key:{number}": number for number in range(2_500)} | {TEAM: most - 3}
    assert await stage.rebuild(sums)
    limits = [Limit(TEAM, Measure.DAY, most), Limit("key:2499", Measure.MONTH, most)]
    admission = await stage.ledger.hold(stage.team, [stage.hold_request(quote=2, scopes=(TEAM,))], limits, state=SENT)
    assert [standing.used for standing in admission.limit_status] == [most - 1, 2_499]
    with pytest.raises(LimitExceeded) as refused:
        await stage.ledger.hold(stage.team, [stage.hold_request(quote=2)], limits, state=SENT)
    assert refused.value.limit_status.remaining == 1


async def test_however_many_race_a_budget_is_not_overshot(stage: QuotaHarness) -> None:
    ledgers = [stage.ledger, stage.store.leasing(60), stage.store.leasing(60)]

    async def hold_one(number: int) -> bool:
        claim, ledger = stage.hold_request(), ledgers[number % 3]
        try:
            await ledger.hold(stage.team, [claim], [Limit(TEAM, Measure.DAY, 210 * CENT)], state=SENT)
        except LimitExceeded:
            return False
        if number % 4 == 0:
            await ledger.void(stage.team, claim.hold_id)
            return False
        await ledger.post(claim.entry)
        return True

    is_held = await asyncio.gather(*map(hold_one, range(60)))
    is_held += await asyncio.gather(*map(hold_one, range(1, 60, 2)))
    assert sum(is_held) == 10
    assert (await stage.used(), len(await stage.entries())) == (200 * CENT, 10)


async def test_teams_are_announced_to_everybody(stage: QuotaHarness) -> None:
    other = f"{stage.team}-2"
    assert {stage.team} <= {*await stage.ledger.register_teams([stage.team])}
    assert {stage.team, other} <= {*await stage.ledger.register_teams([other])}
    assert {stage.team, other} <= {*await stage.ledger.register_teams([])}


async def test_one_leads_at_a_time(stage: QuotaHarness) -> None:
    assert await stage.ledger.acquire_leadership(stage.team, 60)
    assert not await stage.ledger.acquire_leadership("another", 60)
    assert await stage.ledger.acquire_leadership(stage.team, 0)  # at once over
