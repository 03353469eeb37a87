"""The same Idempotency-Key is the same intention: answered once, and as often as it is asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from service.domain.booking import Caller
from service.domain.errors import (
    CallFailed,
    CallReplayed,
    FailureKind,
    FlightLost,
    KeyInUse,
    KeyReused,
    LimitExceeded,
    NotKeptAnyMore,
    StateUnavailable,
)
from service.domain.kept import new_id
from service.domain.ledger import Source
from service.domain.limits import Limit, Limits, Measure, Standing
from service.domain.teams import Team
from service.domain.terms import Terms
from service.usecases.buy_pictures import Wish
from service.usecases.make_images import nobody
from service.usecases.share import Share, bought
from tests.fakes.builders import KEY, NOW, REPLAYS, Counter, accounts, caller, failure, model, result, spec
from tests.fakes.flights import FakeFlights
from tests.fakes.pictures import FakePictures

TERMS = Terms(key="8e03")
DAY = 86_400_000_000
FULL = LimitExceeded("No.", Standing(limit=Limit("team", Measure.DAY, 1), used=1, resets_in=1))


def wish(who: Caller | None = None, *, linked: bool = False, **changes: Any) -> Wish:
    return Wish(spec=spec(**changes), model=model(), caller=who or caller(), admitted=nobody, linked=linked)


class Scene:
    """Replicas on the same stores, and what they do for whoever comes first."""

    def __init__(self, *answers: Exception, **changes: Any) -> None:
        self.parts = Counter(hold=accounts(), **changes)
        self.served = 0
        self.answers = list(answers)
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, wish: Wish, terms: Terms = TERMS, **changes: Any) -> Share:
        return await replace(self.parts, **changes).answer()(wish, terms, self.story)

    async def story(self, wish: Wish) -> Share:
        if self.answers and not isinstance(self.answers[0], CallFailed):
            raise self.answers.pop(0)
        await wish.depart()
        self.served += 1
        await self.gate.wait()
        if self.answers:
            raise self.answers.pop(0)
        return bought(
            result(ids=(new_id(wish.caller.key.team.name, "png", "0" * 32),)), replace(wish, source=Source.MISS)
        )


async def waiting(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 (fakes tell nobody)
            await asyncio.sleep(0)


async def test_without_a_key_every_request_is_its_own() -> None:
    scene = Scene()
    for _ in range(2):
        assert (await scene.ask(wish(), Terms())).source is Source.MISS
    assert scene.served == 2


async def test_the_second_gets_the_answer_of_the_first() -> None:
    scene = Scene()
    first = await scene.ask(wish())
    again = await scene.ask(wish(caller(request_id="req_2")))
    assert (again.source, again.cost, scene.served) == (Source.REPLAYED, 0, 1)
    shown = [(share.request_id, share.at, share.result.ids, share.result.purchase) for share in (first, again)]
    assert shown[0] == shown[1]
    assert first.request_id == "req_1"


@pytest.mark.parametrize(
    ("asked", "terms"),
    [(wish(prompt="an owl"), TERMS), (wish(linked=True), TERMS), (wish(), replace(TERMS, variant=1))],
)
async def test_a_key_is_good_for_one_request(asked: Wish, terms: Terms) -> None:
    scene = Scene()
    await scene.ask(wish())
    with pytest.raises(KeyReused):
        await scene.ask(asked, terms)
    assert scene.served == 1


async def test_another_team_has_keys_of_its_own() -> None:
    scene = Scene()
    await scene.ask(wish())
    stranger = caller(key=replace(KEY, team=Team(name="ads")))
    assert (await scene.ask(wish(stranger, prompt="an owl"))).source is Source.MISS


async def test_a_key_is_forgotten_after_a_day() -> None:
    scene = Scene()
    await scene.ask(wish())
    scene.parts.flights.now += DAY - 1
    scene.parts.results.now += DAY - 1
    assert (await scene.ask(wish())).source is Source.REPLAYED
    scene.parts.flights.now += 1
    assert (await scene.ask(wish(prompt="an owl"))).source is Source.MISS


async def test_the_second_waits_for_the_first() -> None:
    scene = Scene()
    scene.gate.clear()
    first = asyncio.create_task(scene.ask(wish()))
    await waiting(lambda: scene.served == 1)
    with pytest.raises(KeyReused):
        await scene.ask(wish(prompt="an owl"))
    with pytest.raises(KeyInUse):
        await scene.ask(wish(), replays=replace(REPLAYS, waits=False))
    first.cancel()
    second = asyncio.create_task(scene.ask(wish()))
    await asyncio.sleep(0.01)
    scene.gate.set()
    assert ((await second).source, scene.served) == (Source.REPLAYED, 1)


@pytest.mark.parametrize("kind", [FailureKind.TIMED_OUT, FailureKind.BROKEN_REPLY])
async def test_a_failure_that_may_have_cost_money_is_the_answer(kind: FailureKind) -> None:
    scene = Scene(CallFailed(failure(kind)))
    with pytest.raises(CallFailed) as first:
        await scene.ask(wish())
    assert not isinstance(first.value, CallReplayed)
    with pytest.raises(CallReplayed) as again:
        await scene.ask(wish())
    assert (again.value.failure, scene.served) == (first.value.failure, 1)


@pytest.mark.parametrize("error", [CallFailed(failure(FailureKind.OVERLOADED)), FULL, StateUnavailable("Away.")])
async def test_what_failed_for_nothing_is_tried_anew(error: Exception) -> None:
    scene = Scene(error)
    with pytest.raises(type(error)):
        await scene.ask(wish())
    assert (await scene.ask(wish(prompt="an owl"))).source is Source.MISS


async def test_what_is_in_doubt_is_not_tried_again() -> None:
    scene = Scene(flights=FakeFlights(lease_seconds=0))
    scene.gate.clear()
    leading = asyncio.create_task(scene.ask(wish()))
    await waiting(lambda: scene.served == 1)
    with pytest.raises(FlightLost):
        await scene.ask(wish())
    scene.gate.set()
    await leading


async def test_what_lies_in_the_picture_store_is_not_kept_a_second_time() -> None:
    store = FakePictures()
    scene = Scene(store=store)
    name = new_id("search", "png", "0" * 32)
    await store.keep(f"{name}.png", b"fox")

    async def story(wish: Wish) -> Share:
        return bought(result(ids=(name,), stored=True), wish)

    first = await scene.parts.answer()(wish(), TERMS, story)
    again = await scene.ask(wish())
    assert again.result.purchase == first.result.purchase
    stats = await scene.parts.results.stats(None, None)
    assert stats is not None
    assert stats.results == 0


async def test_what_cannot_be_kept_reaches_those_who_wait_with_the_same_key() -> None:
    scene = Scene()
    scene.parts.results.down = True
    scene.gate.clear()
    asking = [asyncio.create_task(scene.ask(wish(caller(request_id=f"req_{each}")))) for each in range(12)]
    await waiting(lambda: scene.served == 1)
    await asyncio.sleep(0.03)
    scene.gate.set()
    shares = await asyncio.gather(*asking)
    assert scene.served == 1
    assert len({(share.request_id, share.at, share.result.ids, share.result.purchase) for share in shares}) == 1
    assert sorted(share.source for share in shares) == [Source.MISS] + [Source.REPLAYED] * 11


@pytest.mark.parametrize("store", [None, FakePictures()])
async def test_what_is_nowhere_any_more_is_said(store: FakePictures | None) -> None:
    scene = Scene(store=store)
    scene.parts.results.down = True
    await scene.ask(wish())
    with pytest.raises(NotKeptAnyMore):
        await scene.ask(wish())
    assert scene.served == 1


async def test_a_replay_counts_as_a_request() -> None:
    scene = Scene()
    who = caller(key=replace(KEY, team=Team(name="search", limits=Limits(requests_per_minute=1, images_per_minute=1))))
    await scene.ask(wish(who))
    await scene.ask(wish(who))
    with pytest.raises(LimitExceeded):
        await scene.ask(wish(who))


async def test_an_answer_that_cost_nothing_is_remembered_without_its_pictures() -> None:
    scene, served = Scene(), 0

    async def hit(wish: Wish) -> Share:
        nonlocal served
        served += 1
        at = int(NOW.timestamp())
        return Share(result=result(), spec=wish.spec, source=Source.HIT, cost=0, at=at, request_id=f"req_{served}")

    answer = scene.parts.answer()
    first = await answer(wish(), TERMS, hit)
    again = await answer(wish(), TERMS, hit)
    assert (again.result.purchase, again.cost, served) == (first.result.purchase, 0, 2)
    stats = await scene.parts.results.stats(None, None)
    assert stats is not None
    assert stats.results == 0
    with pytest.raises(KeyReused):
        await answer(wish(prompt="an owl"), TERMS, hit)


async def test_a_free_answer_whose_pictures_are_stored_is_replayed_as_it_was_shown() -> None:
    store = FakePictures()
    scene = Scene(store=store)
    name = new_id("search", "png", "0" * 32)
    await store.keep(f"{name}.png", b"fox")

    async def hit(wish: Wish) -> Share:
        share = bought(result(ids=(name,), stored=True), wish)
        return replace(share, source=Source.HIT, cost=0, request_id=wish.caller.request_id)

    answer = scene.parts.answer()
    first = await answer(wish(), TERMS, hit)
    again = await answer(wish(caller(request_id="req_2")), TERMS, hit)
    assert (again.source, again.request_id, again.at) == (Source.REPLAYED, first.request_id, first.at)


async def test_many_free_answers_leave_a_bounded_number_of_flights() -> None:
    scene = Scene()

    async def hit(wish: Wish) -> Share:
        at = int(NOW.timestamp())
        return Share(result=result(), spec=wish.spec, source=Source.HIT, cost=0, at=at, request_id="req_1")

    for number in range(300):
        await scene.parts.answer()(wish(), Terms(key=f"key {number}"), hit)
    assert len(scene.parts.flights.known()) == 256


async def test_what_the_story_brought_from_the_cache_is_replayed_as_it_was_shown() -> None:
    scene = Scene()

    async def hit(wish: Wish) -> Share:
        old = result(kept_at=1, request_id="req_0", cost=7)
        at = int(NOW.timestamp())
        return Share(
            result=old, spec=wish.spec, source=Source.HIT, cost=0, at=at, request_id=wish.caller.request_id, age=9
        )

    story: Callable[[Wish], Awaitable[Share]] = hit
    first = await scene.parts.answer()(wish(), TERMS, story)
    again = await scene.ask(wish())
    assert (again.at, again.request_id) == (first.at, first.request_id)
