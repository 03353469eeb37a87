"""The same picture is bought once, whoever asks for it and whatever happens to who buys it."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.booking import Caller
from service.domain.errors import CallFailed, FailureKind, FlightLost, LimitExceeded, NotCached, StateUnavailable
from service.domain.ledger import Basis, Entry
from service.domain.limits import Limit, Limits, Measure, Standing
from service.domain.teams import Team
from service.domain.terms import Terms
from service.usecases.accounts import Span
from service.usecases.buy_once import SHARED, BuyOnce, Share, Source
from service.usecases.buy_pictures import Depart, Made, Wish
from service.usecases.make_images import nobody
from tests.fakes.books import FakeBooks
from tests.fakes.builders import KEY, NOW, accounts, caller, failure, model, once, purchase, spec
from tests.fakes.flights import FakeFlights
from tests.fakes.ledger import FakeLedger
from tests.fakes.results import FakeResults

CENT = 10_000_000
TERMS = Terms()
FULL = LimitExceeded("No.", Standing(limit=Limit("team", Measure.DAY, 1), used=1, resets_in=1))


def wish(who: Caller | None = None, **changes: Any) -> Wish:
    return Wish(spec=spec(**changes), model=model(), caller=who or caller(), admitted=nobody)


class Vendor:
    """Sells pictures: one after another, or what it was told; waits at the `gate` if it is shut."""

    def __init__(self, *answers: Exception) -> None:
        self.calls = 0
        self.answers = list(answers)
        self.gate = asyncio.Event()
        self.gate.set()

    async def buy(self, depart: Depart) -> Made:
        if self.answers and isinstance(self.answers[0], LimitExceeded):
            raise self.answers.pop(0)
        await depart()
        self.calls += 1
        number = self.calls
        await self.gate.wait()
        if self.answers:
            raise self.answers.pop(0)
        return Made(
            spec=spec(),
            backend="alpha",
            upstream_model="alpha/painter",
            price_version="1",
            purchase=purchase(f"picture{number}", tier="low"),
            created=7,
            cost=CENT,
        )


class Scene:
    """Replicas on the same stores."""

    def __init__(self, **changes: Any) -> None:
        self.ledger, self.books = FakeLedger(counted=True), FakeBooks()
        self.hold = accounts(self.ledger, self.books)
        self.flights, self.results, self.vendor = FakeFlights(), FakeResults(), Vendor()
        self.changes, self.ids = changes, itertools.count(1)

    def replica(self, **changes: Any) -> BuyOnce:
        parts = {"flights": self.flights, "results": self.results, "mint": lambda: f"id-{next(self.ids)}"}
        return once(self.hold, **{**parts, **self.changes, **changes})

    async def booked(self) -> list[Entry]:
        await self.hold.keep.write()
        return [entry async for entry in self.books.entries(Span(since=0, until=2**62))]


def drawn(share: Share) -> bytes:
    return bytes(share.made.purchase.pictures[0].base64)


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
    assert (drawn(first), drawn(second), scene.vendor.calls) == (b"picture1", b"picture1", 1)
    assert (second.made.cost, second.made.created, second.made.backend) == (0, 7, "alpha")
    (entry,) = await scene.booked()
    assert (entry.cost, entry.saved, entry.basis, entry.cache) == (0, CENT, Basis.CACHE, "hit")
    assert (entry.resolved_tier, entry.size, entry.n) == ("low", "1024x1024", 1)


@pytest.mark.parametrize("terms", [Terms(variant=1), Terms(max_age=0), Terms(share=False)])
async def test_who_asks_for_another_one_gets_another_one(terms: Terms) -> None:
    scene = Scene()
    replica = scene.replica()
    await replica(wish(), TERMS, scene.vendor.buy)
    share = await replica(wish(), terms, scene.vendor.buy)
    assert (drawn(share), scene.vendor.calls) == (b"picture2", 2)


async def test_a_newer_one_takes_the_place_of_the_older() -> None:
    scene = Scene()
    replica = scene.replica()
    for terms in (TERMS, Terms(max_age=0), TERMS):
        share = await replica(wish(), terms, scene.vendor.buy)
    assert drawn(share) == b"picture2"


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
    scene = Scene(policy=replace(once(accounts()).policy, shared=True))
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
    assert {drawn(share) for share in shares} == {b"picture1"}
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
    assert [type(each) for each in found] == [CallFailed] * 3
    assert scene.vendor.calls == 1


async def test_who_waited_for_somebody_who_was_refused_buys() -> None:
    scene = Scene()
    replica = scene.replica()
    scene.vendor.answers = [FULL]
    found = await asyncio.gather(*(replica(wish(), TERMS, scene.vendor.buy) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [LimitExceeded, Share, Share]
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
    assert (drawn(share), scene.vendor.calls) == (b"picture1", 1)


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
    assert (drawn(share), scene.vendor.calls) == (b"picture2", 2)


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
