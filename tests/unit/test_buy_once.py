"""The same picture is bought once, whoever asks for it and whatever happens to who buys it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.booking import Caller
from service.domain.errors import (
    MAY_BE_BILLED,
    CallFailed,
    CallJoined,
    FailureKind,
    FlightLost,
    LimitExceeded,
    NotCached,
    NotKeptAnyMore,
    StateUnavailable,
)
from service.domain.ledger import Basis, Entry, Source
from service.domain.limits import Limit, Limits, Measure, Standing
from service.domain.teams import Team
from service.domain.terms import Terms
from service.usecases.accounts import Span
from service.usecases.buy_once import SHARED, BuyOnce, Policy
from service.usecases.buy_pictures import Depart, Made, Wish
from service.usecases.flights import Result
from service.usecases.make_images import nobody
from service.usecases.share import Share
from tests.fakes.books import FakeBooks
from tests.fakes.builders import KEY, NOW, POLICY, Counter, accounts, caller, failure, model, purchase, spec
from tests.fakes.flights import FakeFlights
from tests.fakes.ledger import FakeLedger
from tests.fakes.pictures import FakePictures

CENT = 10_000_000
UNSHARED = replace(POLICY, seconds=0)
TERMS = Terms()
FULL = LimitExceeded("No.", Standing(limit=Limit("team", Measure.DAY, 1), used=1, resets_in=1))


def wish(who: Caller | None = None, **changes: Any) -> Wish:
    return Wish(spec=spec(**changes), model=model(), caller=who or caller(), admitted=nobody)


class Vendor:
    """Sells pictures: one after another, or what it was told; waits at the `gate` if it is shut."""

    def __init__(self, *answers: Exception) -> None:
        self.calls = 0
        self.booked: list[Source] = []
        self.answers = list(answers)
        self.gate = asyncio.Event()
        self.gate.set()

    async def buy(self, wish: Wish, depart: Depart) -> Made:
        if self.answers and isinstance(self.answers[0], LimitExceeded):
            raise self.answers.pop(0)
        await depart()
        self.calls += 1
        self.booked.append(wish.source)
        number = self.calls
        await self.gate.wait()
        if self.answers:
            raise self.answers.pop(0)
        return Made(
            spec=spec(),
            backend="alpha",
            upstream_model="alpha/painter",
            price_version="1",
            purchase=purchase(f"fox{number}", tier="low"),
            created=7,
            cost=CENT,
        )


class Scene:
    """Replicas on the same stores."""

    def __init__(self, **changes: Any) -> None:
        self.ledger, self.books = FakeLedger(counted=True), FakeBooks()
        self.hold = accounts(self.ledger, self.books)
        self.vendor = Vendor()
        self.parts = Counter(hold=self.hold, **changes)
        self.flights, self.results = self.parts.flights, self.parts.results

    def replica(self, **changes: Any) -> BuyOnce:
        return replace(self.parts, **changes).once()

    async def booked(self) -> list[Entry]:
        await self.hold.keep.write()
        return [entry async for entry in self.books.entries(Span(since=0, until=2**62))]


def drawn(share: Share) -> bytes:
    return bytes(share.result.purchase.pictures[0].base64)


async def waiting(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 (fakes tell nobody)
            await asyncio.sleep(0)


async def test_who_asks_again_gets_what_was_bought_and_pays_nothing() -> None:
    scene = Scene()
    replica = scene.replica()
    first = await replica(wish(), TERMS, scene.vendor.buy)
    later = scene.replica(now=lambda: NOW + timedelta(seconds=90))
    second = await later(wish(), TERMS, scene.vendor.buy)
    assert (first.source, second.source, second.age) == (Source.MISS, Source.HIT, 90)
    assert (drawn(first), drawn(second), scene.vendor.calls) == (b"fox1", b"fox1", 1)
    assert (second.cost, second.result.created, second.result.backend) == (0, 7, "alpha")
    (entry,) = await scene.booked()
    assert (entry.cost, entry.saved, entry.basis, entry.cache) == (0, CENT, Basis.CACHE, "hit")
    assert (entry.resolved_tier, entry.size, entry.n) == ("low", "1024x1024", 1)


@pytest.mark.parametrize("terms", [Terms(variant=1), Terms(max_age=0), Terms(share=False)])
async def test_who_asks_for_another_one_gets_another_one(terms: Terms) -> None:
    scene = Scene()
    replica = scene.replica()
    await replica(wish(), TERMS, scene.vendor.buy)
    share = await replica(wish(), terms, scene.vendor.buy)
    assert (drawn(share), scene.vendor.calls) == (b"fox2", 2)


async def test_a_newer_one_takes_the_place_of_the_older() -> None:
    scene = Scene()
    replica = scene.replica()
    for terms in (TERMS, Terms(max_age=0), TERMS):
        share = await replica(wish(), terms, scene.vendor.buy)
    assert drawn(share) == b"fox2"


async def test_what_is_too_old_is_bought_again() -> None:
    scene = Scene()
    await scene.replica()(wish(), TERMS, scene.vendor.buy)
    later = scene.replica(now=lambda: NOW + timedelta(seconds=61))
    scene.flights.now += 61_000_000
    assert (await later(wish(), Terms(max_age=62), scene.vendor.buy)).source is Source.HIT
    assert (await later(wish(), Terms(max_age=60), scene.vendor.buy)).source is Source.MISS


async def test_another_team_and_another_wish_are_not_the_same() -> None:
    scene = Scene()
    replica = scene.replica()
    stranger = caller(key=replace(KEY, team=Team(name="ads")))
    for asked in (wish(), wish(prompt="a blue fox"), wish(stranger)):
        assert (await replica(asked, TERMS, scene.vendor.buy)).source is Source.MISS


async def test_teams_share_where_the_operator_says_so() -> None:
    scene = Scene(policy=replace(POLICY, shared=True))
    stranger = caller(key=replace(KEY, team=Team(name="ads")))
    await scene.replica()(wish(), TERMS, scene.vendor.buy)
    assert (await scene.replica()(wish(stranger), TERMS, scene.vendor.buy)).source is Source.HIT
    assert await scene.results.stats(SHARED, None) is not None


@pytest.mark.parametrize(
    ("team", "drawer", "source"),
    [(0, None, Source.BYPASS), (None, 0, Source.BYPASS), (5, 0, Source.MISS), (None, 5, Source.MISS)],
)
async def test_the_team_decides_then_the_model_then_the_gateway(
    team: int | None, drawer: int | None, source: Source
) -> None:
    scene = Scene()
    who = caller(key=replace(KEY, team=Team(name="search", cache_seconds=team)))
    asked = replace(wish(who), model=model(cache_seconds=drawer))
    assert (await scene.replica()(asked, TERMS, scene.vendor.buy)).source is source


@pytest.mark.parametrize("seconds", [None, 0])
@pytest.mark.parametrize(
    "terms",
    [
        TERMS,
        Terms(max_age=0),
        Terms(share=False),
        Terms(share=False, tries=0),
        Terms(share=False, tries=1),
        Terms(max_age=0, tries=0),
    ],
)
async def test_a_purchase_is_booked_under_the_word_that_its_caller_is_told(terms: Terms, seconds: int | None) -> None:
    scene = Scene()
    who = caller(key=replace(KEY, team=Team(name="search", cache_seconds=seconds)))
    share = await scene.replica()(wish(who), terms, scene.vendor.buy)
    assert scene.vendor.booked == [share.source]
    assert share.source is (Source.MISS if terms.share and seconds is None else Source.BYPASS)


async def test_only_what_is_kept() -> None:
    scene = Scene()
    with pytest.raises(NotCached):
        await scene.replica()(wish(), Terms(only=True), scene.vendor.buy)
    await scene.replica()(wish(), TERMS, scene.vendor.buy)
    assert (await scene.replica()(wish(), Terms(only=True), scene.vendor.buy)).source is Source.HIT
    assert scene.vendor.calls == 1


async def test_a_hit_counts_as_a_request() -> None:
    scene = Scene()
    who = caller(key=replace(KEY, team=Team(name="search", limits=Limits(requests_per_minute=1, images_per_minute=1))))
    await scene.replica()(wish(who), TERMS, scene.vendor.buy)
    await scene.replica()(wish(who), TERMS, scene.vendor.buy)
    with pytest.raises(LimitExceeded):
        await scene.replica()(wish(who), TERMS, scene.vendor.buy)


async def test_sixty_four_who_ask_at_once_on_two_replicas_buy_once() -> None:
    scene = Scene()
    here, there = scene.replica(), scene.replica()
    scene.vendor.gate.clear()
    asking = [
        asyncio.create_task(replica(wish(), TERMS, scene.vendor.buy)) for _ in range(32) for replica in (here, there)
    ]
    await waiting(lambda: scene.vendor.calls == 1)
    scene.vendor.gate.set()
    shares = await asyncio.gather(*asking)
    assert {drawn(share) for share in shares} == {b"fox1"}
    assert sorted(share.source for share in shares) == [Source.JOINED] * 63 + [Source.MISS]
    assert scene.vendor.calls == 1
    assert {entry.cost for entry in await scene.booked()} == {0}


async def test_a_failure_meets_everybody() -> None:
    scene = Scene()
    here, there = scene.replica(), scene.replica()
    scene.vendor.answers = [CallFailed(failure(FailureKind.MODERATION_BLOCKED))]
    scene.vendor.gate.clear()
    asking = [asyncio.create_task(replica(wish(), TERMS, scene.vendor.buy)) for replica in (here, here, there)]
    await waiting(lambda: scene.vendor.calls == 1)
    scene.vendor.gate.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert sorted(type(each).__name__ for each in found) == ["CallFailed", "CallJoined", "CallJoined"]
    assert scene.vendor.calls == 1


async def test_who_waited_for_somebody_who_was_refused_buys() -> None:
    scene = Scene()
    replica = scene.replica()
    scene.vendor.answers = [FULL]
    found = await asyncio.gather(*(replica(wish(), TERMS, scene.vendor.buy) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [LimitExceeded, Share, Share]
    assert scene.vendor.calls == 1


async def test_who_comes_at_the_very_moment_of_a_refusal_buys() -> None:
    scene = Scene()
    replica, moment = scene.replica(), asyncio.Event()

    async def refused(wanted: Wish, depart: Depart) -> Made:
        del wanted, depart
        await moment.wait()
        raise FULL

    async def at_that_moment() -> Share:
        await moment.wait()
        return await replica(wish(), TERMS, scene.vendor.buy)

    leading = asyncio.create_task(replica(wish(), TERMS, refused))
    await asyncio.sleep(0.01)
    coming = [asyncio.create_task(at_that_moment()) for _ in range(2)]
    await asyncio.sleep(0.01)
    moment.set()
    with pytest.raises(LimitExceeded):
        await leading
    assert sorted([(await each).source for each in coming]) == [Source.JOINED, Source.MISS]
    assert scene.vendor.calls == 1


async def test_a_caller_who_hangs_up_does_not_waste_the_picture() -> None:
    scene = Scene()
    replica = scene.replica()
    scene.vendor.gate.clear()
    gone = asyncio.create_task(replica(wish(), TERMS, scene.vendor.buy))
    await waiting(lambda: scene.vendor.calls == 1)
    gone.cancel()
    scene.vendor.gate.set()
    share = await replica(wish(), TERMS, scene.vendor.buy)
    assert (drawn(share), scene.vendor.calls) == (b"fox1", 1)


async def test_a_purchase_in_doubt_is_not_made_again() -> None:
    scene = Scene()
    scene.vendor.answers = [StateUnavailable("the books of the vendor burn")]
    with pytest.raises(StateUnavailable):
        await scene.replica()(wish(), TERMS, scene.vendor.buy)
    scene.flights.now += 31_000_000
    with pytest.raises(FlightLost):
        await scene.replica()(wish(), TERMS, scene.vendor.buy)
    assert scene.vendor.calls == 1


async def test_what_could_not_be_kept_is_bought_by_each_replica_for_itself() -> None:
    scene = Scene()
    scene.results.down = True
    await scene.replica()(wish(), TERMS, scene.vendor.buy)
    share = await scene.replica()(wish(), TERMS, scene.vendor.buy)
    assert (drawn(share), scene.vendor.calls) == (b"fox2", 2)


async def test_what_cannot_be_kept_reaches_those_who_wait() -> None:
    scene = Scene()
    scene.results.down = True
    replicas = [scene.replica() for _ in range(3)]
    scene.vendor.gate.clear()
    asking = [asyncio.create_task(each(wish(), TERMS, scene.vendor.buy)) for each in replicas for _ in range(4)]
    await waiting(lambda: scene.vendor.calls == 1)
    await asyncio.sleep(0.03)
    scene.vendor.gate.set()
    shares = await asyncio.gather(*asking)
    assert scene.vendor.calls == 1
    assert {drawn(share) for share in shares} == {b"fox1"}
    assert sorted(share.source for share in shares) == [Source.JOINED] * 11 + [Source.MISS]
    assert not scene.flights.handed


async def test_an_sdk_that_asks_again_is_handed_what_cannot_be_kept() -> None:
    scene = Scene()
    scene.results.down = True
    scene.vendor.gate.clear()
    first = asyncio.create_task(scene.replica()(wish(), tried(0, share=False), scene.vendor.buy))
    await waiting(lambda: scene.vendor.calls == 1)
    again = asyncio.create_task(scene.replica()(wish(), tried(1, share=False), scene.vendor.buy))
    await asyncio.sleep(0.03)
    scene.vendor.gate.set()
    assert (drawn(await first), drawn(await again), scene.vendor.calls) == (b"fox1", b"fox1", 1)


async def test_those_who_come_when_nothing_can_be_handed_over_buy_once_more_together() -> None:
    scene = Scene()
    scene.results.down = True
    await scene.replica()(wish(), TERMS, scene.vendor.buy)
    scene.vendor.gate.clear()
    asking = [asyncio.create_task(scene.replica()(wish(), TERMS, scene.vendor.buy)) for _ in range(3)]
    await waiting(lambda: scene.vendor.calls == 2)
    await asyncio.sleep(0.03)
    scene.vendor.gate.set()
    assert {drawn(share) for share in await asyncio.gather(*asking)} == {b"fox2"}
    assert scene.vendor.calls == 2


VARY = Terms(vary=True)


async def side_by_side(scene: Scene, count: int, terms: Terms = VARY, replicas: int = 2) -> list[Share]:
    """So many identical requests at once, on several replicas, all under way before the vendor draws."""
    there = [scene.replica() for _ in range(replicas)]
    scene.vendor.gate.clear()
    asking = [asyncio.create_task(there[number % replicas](wish(), terms, scene.vendor.buy)) for number in range(count)]
    await asyncio.sleep(0.03)
    scene.vendor.gate.set()
    return [*await asyncio.gather(*asking)]


async def test_requests_side_by_side_that_vary_get_different_pictures() -> None:
    scene = Scene()
    first = await side_by_side(scene, 4)
    second = await side_by_side(scene, 4)
    assert {drawn(share) for share in first} == {b"fox1", b"fox2", b"fox3", b"fox4"}
    assert {drawn(share) for share in second} == {drawn(share) for share in first}
    assert {share.source for share in second} == {Source.HIT}
    assert scene.vendor.calls == 4


async def test_a_varied_sample_is_kept_as_the_variant_of_its_number() -> None:
    scene = Scene()
    pictures = {drawn(share) for share in await side_by_side(scene, 3)}
    kept = [await scene.replica()(wish(), Terms(variant=number), scene.vendor.buy) for number in range(3)]
    assert {drawn(share) for share in kept} == pictures
    assert {share.source for share in kept} == {Source.HIT}


async def test_at_most_ten_samples_and_then_the_first_again() -> None:
    scene = Scene()
    shares = await side_by_side(scene, 12)
    assert (scene.vendor.calls, len({drawn(share) for share in shares})) == (10, 10)
    assert [share.source for share in shares].count(Source.JOINED) == 2


async def test_one_after_the_other_is_the_plain_request() -> None:
    scene = Scene()
    replica = scene.replica()
    for source in (Source.MISS, Source.HIT, Source.HIT):
        assert (await replica(wish(), VARY, scene.vendor.buy)).source is source
    assert (await replica(wish(), TERMS, scene.vendor.buy)).source is Source.HIT


async def test_another_keys_requests_are_another_series() -> None:
    scene = Scene()
    scene.vendor.gate.clear()
    other = caller(key=replace(KEY, id="search-2"))
    asking = [asyncio.create_task(scene.replica()(wish(who), VARY, scene.vendor.buy)) for who in (caller(), other)]
    await asyncio.sleep(0.03)
    scene.vendor.gate.set()
    assert {drawn(share) for share in await asyncio.gather(*asking)} == {b"fox1"}


async def test_what_takes_the_place_of_a_caller_who_hung_up_joins() -> None:
    scene = Scene()
    replica = scene.replica()
    scene.vendor.gate.clear()
    asking = [asyncio.create_task(replica(wish(), VARY, scene.vendor.buy)) for _ in range(3)]
    await waiting(lambda: scene.vendor.calls == 3)
    asking[1].cancel()
    await asyncio.sleep(0.01)
    again = asyncio.create_task(scene.replica()(wish(), VARY, scene.vendor.buy))
    await asyncio.sleep(0.03)
    scene.vendor.gate.set()
    shares = [await asking[0], await again, await asking[2]]
    assert {drawn(share) for share in shares} == {b"fox1", b"fox2", b"fox3"}
    assert (shares[1].source, scene.vendor.calls) == (Source.JOINED, 3)


async def test_an_sdk_that_asks_again_joins_though_requests_vary() -> None:
    scene = Scene()
    scene.vendor.gate.clear()
    asking = [asyncio.create_task(scene.replica()(wish(), tried(0, vary=True), scene.vendor.buy)) for _ in range(2)]
    await waiting(lambda: scene.vendor.calls == 2)
    asking += [asyncio.create_task(scene.replica()(wish(), tried(1, vary=True), scene.vendor.buy)) for _ in range(2)]
    await asyncio.sleep(0.03)
    scene.vendor.gate.set()
    assert {drawn(share) for share in await asyncio.gather(*asking[2:])} == {b"fox1", b"fox2"}
    assert scene.vendor.calls == 2
    await asyncio.gather(*asking)


async def test_a_varied_failure_that_may_have_been_billed_is_remembered_whichever_number_comes_next() -> None:
    scene = Scene()
    scene.vendor.gate.clear()
    scene.vendor.answers = [CallFailed(failure(FailureKind.TIMED_OUT))]
    asking = [asyncio.create_task(scene.replica()(wish(), VARY, scene.vendor.buy)) for _ in range(3)]
    await waiting(lambda: scene.vendor.calls == 3)
    scene.vendor.gate.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert sorted(type(each).__name__ for each in found) == ["CallFailed", "Share", "Share"]
    for seconds in (2, 4, 23):
        scene.flights.now += seconds * 1_000_000
        with pytest.raises(CallJoined):
            await scene.replica()(wish(), VARY, scene.vendor.buy)
    assert scene.vendor.calls == 3
    scene.flights.now += 2_000_000
    await scene.replica()(wish(), VARY, scene.vendor.buy)


async def test_a_number_for_which_nothing_was_bought_is_the_next_ones() -> None:
    scene = Scene()
    scene.vendor.answers = [CallFailed(failure(FailureKind.OVERLOADED))]
    with pytest.raises(CallFailed):
        await scene.replica()(wish(), VARY, scene.vendor.buy)
    await asyncio.sleep(0.01)
    await scene.replica()(wish(), VARY, scene.vendor.buy)
    assert (await scene.replica()(wish(), Terms(variant=0), scene.vendor.buy)).source is Source.HIT


@pytest.mark.parametrize("terms", [Terms(vary=True, share=False), Terms(vary=True, max_age=0)])
async def test_without_what_is_kept_each_varied_request_is_a_purchase(terms: Terms) -> None:
    scene = Scene()
    shares = await side_by_side(scene, 3, terms)
    assert (len({drawn(share) for share in shares}), scene.vendor.calls) == (3, 3)


async def test_without_a_cache_each_varied_request_is_a_purchase() -> None:
    scene = Scene(policy=UNSHARED)
    assert len({drawn(share) for share in await side_by_side(scene, 12, VARY)}) == 12


async def test_a_leader_shows_that_it_lives() -> None:
    scene = Scene()
    replica = scene.replica(lease=0.003)
    scene.vendor.gate.clear()
    leading = asyncio.create_task(replica(wish(), TERMS, scene.vendor.buy))
    await waiting(lambda: scene.vendor.calls == 1)
    scene.flights.now += 29_000_000
    await asyncio.sleep(0.02)
    scene.flights.now += 29_000_000
    other = asyncio.create_task(scene.replica()(wish(), TERMS, scene.vendor.buy))
    await asyncio.sleep(0.01)
    scene.vendor.gate.set()
    assert ((await leading).source, (await other).source) == (Source.MISS, Source.JOINED)


async def test_a_store_that_goes_away_does_not_cost_the_picture() -> None:
    scene = Scene()
    scene.vendor.gate.clear()
    asking = asyncio.create_task(scene.replica()(wish(), TERMS, scene.vendor.buy))
    await waiting(lambda: scene.vendor.calls == 1)
    scene.flights.down = True
    scene.vendor.gate.set()
    assert (await asking).source is Source.MISS


async def test_after_a_failure_that_cost_nothing_the_next_may_try() -> None:
    scene = Scene()
    scene.vendor.answers = [CallFailed(failure(FailureKind.OVERLOADED))]
    with pytest.raises(CallFailed):
        await scene.replica()(wish(), TERMS, scene.vendor.buy)
    assert (await scene.replica()(wish(), TERMS, scene.vendor.buy)).source is Source.MISS
    assert scene.vendor.calls == 2


def tried(times: int, **more: Any) -> Terms:
    """An SDK's request, after so many tries."""
    return Terms(tries=times, **more)


ALONE = [{"share": False}, {"max_age": 0}]


@pytest.mark.parametrize("alone", ALONE)
@pytest.mark.parametrize("store", [None, FakePictures()])
async def test_an_sdk_that_asks_again_gets_what_its_first_try_bought(
    alone: dict[str, Any], store: FakePictures | None
) -> None:
    scene = Scene(store=store, keep_all=True)
    first = await scene.replica()(wish(), tried(0, **alone), scene.vendor.buy)
    again = await scene.replica()(wish(), tried(1, **alone), scene.vendor.buy)
    assert (drawn(again), again.result.ids, scene.vendor.calls) == (b"fox1", first.result.ids, 1)
    assert (first.source, again.source, again.cost) == (
        Source.MISS if "max_age" in alone else Source.BYPASS,
        Source.JOINED,
        0,
    )


@pytest.mark.parametrize("alone", ALONE)
async def test_an_sdk_that_asks_again_waits_for_what_its_first_try_is_buying(alone: dict[str, Any]) -> None:
    scene = Scene()
    scene.vendor.gate.clear()
    first = asyncio.create_task(scene.replica()(wish(), tried(0, **alone), scene.vendor.buy))
    await waiting(lambda: scene.vendor.calls == 1)
    first.cancel()
    again = asyncio.create_task(scene.replica()(wish(), tried(1, **alone), scene.vendor.buy))
    await asyncio.sleep(0.01)
    scene.vendor.gate.set()
    assert (drawn(await again), scene.vendor.calls) == (b"fox1", 1)


@pytest.mark.parametrize("alone", ALONE)
async def test_two_who_share_with_nobody_are_two_purchases(alone: dict[str, Any]) -> None:
    scene = Scene()
    for _ in range(2):
        await scene.replica()(wish(), tried(0, **alone), scene.vendor.buy)
    again = await scene.replica()(wish(), tried(2, **alone), scene.vendor.buy)
    assert (drawn(again), scene.vendor.calls) == (b"fox2", 2)
    stranger = caller(key=replace(KEY, id="search-2"))
    await scene.replica()(wish(stranger), tried(2, **alone), scene.vendor.buy)
    assert scene.vendor.calls == 3


async def test_who_was_never_heard_of_and_says_that_it_asks_again_buys() -> None:
    scene = Scene()
    share = await scene.replica()(wish(), tried(1, share=False), scene.vendor.buy)
    assert (share.source, scene.vendor.calls) == (Source.BYPASS, 1)


@pytest.mark.parametrize("terms", [{}, {"share": False}])
async def test_what_may_have_been_billed_is_not_bought_again_for_an_sdk(terms: dict[str, Any]) -> None:
    scene = Scene()
    scene.vendor.answers = [CallFailed(failure(FailureKind.TIMED_OUT))]
    with pytest.raises(CallFailed):
        await scene.replica()(wish(), tried(0, **terms), scene.vendor.buy)
    scene.flights.now += 60_000_000
    with pytest.raises(CallJoined):
        await scene.replica()(wish(), tried(1, **terms), scene.vendor.buy)
    assert scene.vendor.calls == 1
    await scene.replica()(wish(), tried(0, **terms), scene.vendor.buy)
    assert scene.vendor.calls == 2


@pytest.mark.parametrize("policy", [POLICY, UNSHARED, replace(POLICY, shared=True)])
@pytest.mark.parametrize("terms", [TERMS, tried(0), Terms(max_age=0), Terms(relayed=True)])
async def test_a_failure_that_may_have_been_billed_is_the_answer_for_a_while(policy: Policy, terms: Terms) -> None:
    scene = Scene(policy=policy)
    scene.vendor.answers = [CallFailed(failure(FailureKind.TIMED_OUT))]
    with pytest.raises(CallFailed) as first:
        await scene.replica()(wish(), terms, scene.vendor.buy)
    for seconds in (2, 4, 23):
        scene.flights.now += seconds * 1_000_000
        with pytest.raises(CallJoined) as again:
            await scene.replica()(wish(), terms, scene.vendor.buy)
        assert again.value.failure == first.value.failure
    assert scene.vendor.calls == 1
    scene.flights.now += 1_000_000
    await scene.replica()(wish(), terms, scene.vendor.buy)
    assert scene.vendor.calls == 2


@pytest.mark.parametrize("policy", [POLICY, UNSHARED])
@pytest.mark.parametrize(
    ("who", "terms"),
    [
        (caller(), Terms(share=False)),
        (caller(), Terms(variant=1)),
        (caller(), Terms(key="new")),
        (caller(key=replace(KEY, id="search-2")), TERMS),
    ],
)
async def test_who_says_otherwise_or_has_another_key_buys(policy: Policy, who: Caller, terms: Terms) -> None:
    scene = Scene(policy=policy)
    scene.vendor.answers = [CallFailed(failure(FailureKind.TIMED_OUT))]
    with pytest.raises(CallFailed):
        await scene.replica()(wish(), TERMS, scene.vendor.buy)
    scene.flights.now += 0 if terms.key else 2_000_000
    await scene.replica()(wish(who), terms, scene.vendor.buy)
    assert scene.vendor.calls == 2


@pytest.mark.parametrize("kind", sorted(set(FailureKind) - MAY_BE_BILLED))
@pytest.mark.parametrize("policy", [POLICY, UNSHARED])
async def test_what_was_certainly_not_billed_is_not_remembered(policy: Policy, kind: FailureKind) -> None:
    scene = Scene(policy=policy)
    scene.vendor.answers = [CallFailed(failure(kind))]
    with pytest.raises(CallFailed):
        await scene.replica()(wish(), TERMS, scene.vendor.buy)
    scene.flights.now += 2_000_000
    await scene.replica()(wish(), TERMS, scene.vendor.buy)
    assert scene.vendor.calls == 2


@pytest.mark.parametrize("policy", [POLICY, UNSHARED])
async def test_where_the_operator_wants_it_no_failure_is_remembered(policy: Policy) -> None:
    scene = Scene(policy=replace(policy, failure_seconds=0))
    scene.vendor.answers = [CallFailed(failure(FailureKind.TIMED_OUT))]
    with pytest.raises(CallFailed):
        await scene.replica()(wish(), TERMS, scene.vendor.buy)
    scene.flights.now += 2_000_000
    await scene.replica()(wish(), TERMS, scene.vendor.buy)
    assert scene.vendor.calls == 2


async def test_another_keys_purchase_in_between_does_not_make_a_failure_forgotten() -> None:
    scene = Scene()
    scene.vendor.answers = [CallFailed(failure(FailureKind.TIMED_OUT)), CallFailed(failure(FailureKind.OVERLOADED))]
    other = wish(caller(key=replace(KEY, id="search-2")))
    for asked in (wish(), other):
        with pytest.raises(CallFailed):
            await scene.replica()(asked, TERMS, scene.vendor.buy)
        scene.flights.now += 2_000_000
    with pytest.raises(CallJoined):
        await scene.replica()(wish(), TERMS, scene.vendor.buy)
    assert scene.vendor.calls == 2


@pytest.mark.parametrize("terms", [{}, {"share": False}])
async def test_what_is_nowhere_any_more_is_not_bought_again_for_an_sdk(terms: dict[str, Any]) -> None:
    scene = Scene()
    scene.results.down = True
    await scene.replica()(wish(), tried(0, **terms), scene.vendor.buy)
    with pytest.raises(NotKeptAnyMore):
        await scene.replica()(wish(), tried(1, **terms), scene.vendor.buy)
    assert scene.vendor.calls == 1


async def test_what_the_cache_lost_is_found_in_the_store() -> None:
    store = FakePictures()
    scene = Scene(store=store, keep_all=True)
    scene.results.down = True
    await scene.replica()(wish(), tried(0), scene.vendor.buy)
    assert drawn(await scene.replica()(wish(), tried(1), scene.vendor.buy)) == b"fox1"
    store.kept.clear()
    with pytest.raises(NotKeptAnyMore):
        await scene.replica()(wish(), tried(1), scene.vendor.buy)


async def test_a_hit_shows_the_ids_of_the_first_and_an_answer_of_its_own() -> None:
    scene = Scene(store=FakePictures(), keep_all=True)
    first = await scene.replica()(wish(), TERMS, scene.vendor.buy)
    hit = await scene.replica()(wish(caller(request_id="req_2")), TERMS, scene.vendor.buy)
    assert (hit.result.ids, hit.result.stored) == (first.result.ids, True)
    assert (first.request_id, hit.request_id) == ("req_1", "req_2")


async def test_where_the_operator_dares_a_purchase_in_doubt_is_made_again() -> None:
    scene = Scene(flights=FakeFlights(lost_are_led=True))
    scene.vendor.answers = [StateUnavailable("the books of the vendor burn")]
    with pytest.raises(StateUnavailable):
        await scene.replica()(wish(), TERMS, scene.vendor.buy)
    scene.flights.now += 31_000_000
    assert (await scene.replica()(wish(), TERMS, scene.vendor.buy)).source is Source.MISS


async def test_a_leader_whose_store_hiccups_goes_on_to_show_that_it_lives() -> None:
    scene = Scene()
    scene.vendor.gate.clear()
    leading = asyncio.create_task(scene.replica(lease=0.003)(wish(), TERMS, scene.vendor.buy))
    await waiting(lambda: scene.vendor.calls == 1)
    scene.flights.down = True
    await asyncio.sleep(0.01)
    scene.flights.down = False
    scene.flights.now += 29_000_000
    await asyncio.sleep(0.02)
    scene.flights.now += 29_000_000
    other = asyncio.create_task(scene.replica()(wish(), TERMS, scene.vendor.buy))
    await asyncio.sleep(0.01)
    scene.vendor.gate.set()
    assert ((await leading).source, (await other).source) == (Source.MISS, Source.JOINED)


async def test_a_purchase_in_doubt_is_told_to_all_who_ask_at_once() -> None:
    scene = Scene()
    scene.vendor.answers = [StateUnavailable("the store went away during the purchase")]
    with pytest.raises(StateUnavailable):
        await scene.replica()(wish(), TERMS, scene.vendor.buy)
    scene.flights.now += 31_000_000
    replica = scene.replica()
    found = await asyncio.gather(*(replica(wish(), TERMS, scene.vendor.buy) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [FlightLost] * 3
    assert scene.vendor.calls == 1


async def test_where_no_number_can_be_dealt_nothing_is_bought_and_nothing_offered() -> None:
    scene = Scene()
    scene.flights.down = True
    with pytest.raises(StateUnavailable):
        await scene.replica()(wish(), VARY, scene.vendor.buy)
    scene.flights.down = False
    assert drawn(await scene.replica()(wish(), VARY, scene.vendor.buy)) == b"fox1"
    assert scene.vendor.calls == 1


class NothingHandedOver(FakeFlights):
    async def hand_over(self, *_: object) -> bool:
        raise StateUnavailable("away")


class NothingTakenOver(FakeFlights):
    async def take_over(self, *_: object, **__: object) -> Result | None:
        raise StateUnavailable("away")


@pytest.mark.parametrize("flights", [NothingHandedOver, NothingTakenOver])
async def test_without_a_hand_over_the_leader_is_served_and_another_replica_buys(flights: type[FakeFlights]) -> None:
    scene = Scene(flights=flights())
    scene.results.down = True
    scene.vendor.gate.clear()
    asking = [asyncio.create_task(scene.replica()(wish(), TERMS, scene.vendor.buy)) for _ in range(2)]
    await waiting(lambda: scene.vendor.calls == 1)
    await asyncio.sleep(0.03)
    scene.vendor.gate.set()
    assert {drawn(share) for share in await asyncio.gather(*asking)} == {b"fox1", b"fox2"}
